"""Good files of every kind, damaged ones of each, and what is no picture, or more than one."""

from __future__ import annotations

import base64
import struct

import numpy as np

from tests.corpus.drawing import (
    EITHER,
    OK,
    REFUSED,
    SEED,
    SIGNATURE,
    Items,
    box,
    chunk,
    frames,
    saved,
    seeds,
    segment,
    srgb,
    with_segments,
)
from tests.corpus.png import png


def good() -> Items:
    """Everything that the contract lists must be read."""
    for name, data in seeds().items():
        yield f"good/{name}", data, OK
    for kind in ("PNG", "TIFF"):
        for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
            yield f"good/{kind.lower()}-mode-{mode}", saved(kind, mode), OK
    for compression in ("group3", "group4", "tiff_ccitt", "packbits"):
        yield f"good/tiff-1-bit-{compression}", saved("TIFF", "1", compression=compression), OK
    for compression in ("lzma", "zstd"):
        yield f"good/tiff-{compression}", saved("TIFF", compression=compression), EITHER  # as libtiff was built
    for width, height in ((1, 1), (1, 300), (300, 1), (2, 3)):
        for kind in ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF"):
            yield f"good/{kind.lower()}-{width}x{height}", saved(kind, size=(width, height)), OK
    yield "good/jpeg-cmyk-profile", saved("JPEG", "CMYK", icc_profile=srgb()), OK  # of another space: ignored
    yield "good/jpeg-grey-profile", saved("JPEG", "L", icc_profile=srgb()), OK
    yield "good/tiff-cmyk", saved("TIFF", "CMYK"), OK
    yield "good/tiff-lab", saved("TIFF", "LAB"), EITHER
    yield "good/tiff-float", saved("TIFF", "F"), OK
    yield "good/tiff-integer", saved("TIFF", "I"), OK
    yield "good/jpeg-restarts", saved("JPEG", restart_marker_blocks=1), OK
    for name, text in ARITHMETIC.items():
        yield f"good/jpeg-arithmetic{name}", base64.b64decode(text), EITHER  # as libjpeg was built
    for kind in ("GIF", "WEBP", "PNG", "TIFF"):
        yield f"frames/{kind.lower()}", frames(kind), REFUSED
    yield "frames/avif", frames("AVIF", speed=10), REFUSED
    yield "frames/png-default-image", frames("PNG", default_image=True), REFUSED
    yield "frames/mpo", frames("MPO"), OK


ARITHMETIC = {
    "": "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABsSFBcUERsXFhceHBsgKEIrKCUlKFE6PTBCYFVlZF9VXVtqeJmBanGQc1tdhbWGkJ6jq62rZ4C8"
    "ybqmx5moq6T/yQALCAAQABABAREA/8wABgAQEAX/2gAIAQEAAD8A/suXR81TDKse29ls/9k=",
    "-progressive": "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABsSFBcUERsXFhceHBsgKEIrKCUlKFE6PTBCYFVlZF9VXVtqeJmBanGQc1tdhbWG"
    "kJ6jq62rZ4C8ybqmx5moq6T/ygALCAAQABABAREA/8wABAAQ/9oACAEBAAAAAf1yxv/MAAQQBf/aAAgBAQABBQKfkiD/zAAEEAX/2gAIAQEABj8C"
    "wP/MAAQQBf/aAAgBAQABPyF8/9oACAEBAAAAEGD/zAAEEAX/2gAIAQEAAT8Q0xkL6v/Z",
}
"""Made with cjpeg -arithmetic, which Pillow cannot write: 16x16, grey."""


def boundaries(name: str, data: bytes) -> set[int]:
    """Where a file's parts begin, and places right behind."""
    marks = {1, 2, 3, 4, 8, 12, len(data) // 3, len(data) // 2, len(data) - 9, len(data) - 2, len(data) - 1}
    if name.startswith("jpeg"):
        marks |= {at for at in range(len(data) - 1) if data[at] == 0xFF and data[at + 1] not in (0, 0xFF)}
    elif name.startswith("png"):
        marks |= {at - 4 for at in range(8, len(data)) if data[at : at + 4].isalpha() and at < 60}
        for kind in (b"IDAT", b"IEND", b"PLTE", b"tRNS", b"iCCP", b"tEXt", b"zTXt", b"iTXt"):
            marks |= {data.find(kind) + shift for shift in (-4, 0, 4, 8)} if kind in data else set()
    elif name.startswith("avif"):
        kinds = (
            b"meta",
            b"hdlr",
            b"pitm",
            b"iloc",
            b"iinf",
            b"infe",
            b"iprp",
            b"ipco",
            b"ispe",
            b"av1C",
            b"ipma",
            b"mdat",
        )
        marks |= {data.find(kind) + shift for kind in kinds if kind in data for shift in (0, 4, 7)}
    elif name.startswith("tiff"):
        order = "<" if data[:2] == b"II" else ">"
        at = struct.unpack(order + "I", data[4:8])[0]
        marks |= {at, at + 1, at + 2, at + 14, at + 100}
    elif name.startswith("gif"):
        marks |= {6, 10, 13, 20, data.rfind(b",", 0, 900), data.rfind(b",", 0, 900) + 5, data.rfind(b",", 0, 900) + 11}
    else:
        marks |= {14, 18, 20, 26, 30, 54}
    return {at for at in marks if 0 < at < len(data)}


def cut_short() -> Items:
    for name, data in seeds().items():
        for at in sorted(boundaries(name, data)):
            # Whether the last bytes hold a pixel is known only where a file says where it ends.
            sure = name.startswith(("jpeg", "png", "gif")) or at < 0.8 * len(data)
            yield f"cut/{name}-{at}", data[:at], REFUSED if sure else EITHER


def bit_flips() -> Items:
    random = np.random.default_rng(SEED)
    for name, data in seeds().items():
        for number in range(6):
            bad = bytearray(data)
            for at in random.integers(0, len(bad) if number % 2 else min(64, len(bad)), 1 + number):
                bad[at] ^= 1 << int(random.integers(8))
            yield f"flip/{name}-{number}", bytes(bad), EITHER
        shuffled = bytearray(data)
        middle = len(data) // 2
        shuffled[middle : middle + 40] = random.bytes(len(shuffled[middle : middle + 40]))
        yield f"noise/{name}", bytes(shuffled), EITHER
        yield f"zeros/{name}", data[:middle] + bytes(len(data) - middle), EITHER


def tails() -> Items:
    page, archive = b"<html><script>alert(1)</script></html>", b"PK\3\4" + b"z" * 60 + b"PK\5\6" + bytes(18)
    for name, data in seeds().items():
        refused = EITHER if name.startswith("tiff") else REFUSED  # a TIFF has no end
        yield f"tail/{name}-zip", data + archive, refused
        yield f"tail/{name}-html", data + page, refused
        yield f"tail/{name}-again", data + data, refused
        yield f"tail/{name}-padding", data + bytes(500), OK
    yield "tail/html-first", page + seeds()["png"], REFUSED
    yield "tail/zip-first", archive + seeds()["jpeg"], REFUSED
    yield "tail/png-html-inside", png(chunk(b"tEXt", b"Comment\0" + page)), OK
    yield "tail/jpeg-zip-inside", with_segments(seeds()["jpeg"], segment(0xFE, archive)), OK
    yield "tail/jpeg-script-inside", with_segments(seeds()["jpeg"], segment(0xFE, b"*/=alert(1);/*")), OK


def foreign() -> Items:
    texts = {
        "1-byte": b"x", "zero": b"\0", "zeros": bytes(5000), "text": b"hello, world\n" * 20, "json": b'{"a": 1}',
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
        "svg-entity": b'<?xml version="1.0"?><!DOCTYPE s [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg>&x;</svg>',
        "pdf": b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF\n",
        "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(%pipe%id) (r) file\nshowpage\n",
        "psd": b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 8, 8, 8, 3) + bytes(300),
        "zip": b"PK\3\4" + bytes(60), "gzip": b"\x1f\x8b\x08" + bytes(40), "elf": b"\x7fELF" + bytes(60),
        "mp4": box(b"ftyp", b"isom\0\0\2\0isommp42") + box(b"mdat", bytes(40)), "jxl": b"\xff\x0a" + bytes(40),
        "jp2": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(40),
        "wmf": b"\xd7\xcd\xc6\x9a" + bytes(40), "exr": b"v/1\1" + bytes(40),
        "ppm": b"P6\n2 2\n255\n" + bytes(12), "xbm": b"#define x_width 8\n#define x_height 1\n",
        "fits": b"SIMPLE  =" + bytes(90),
        "mvg": b"push graphic-context\nimage over 0,0 0,0 'https://example.com/'\n", "riff": b"RIFF\4\0\0\0WAVE",
        "magic-jpeg": b"\xff\xd8\xff", "magic-png": SIGNATURE, "magic-gif": b"GIF89a",
        "magic-tiff": b"II*\0", "magic-bmp": b"BM",
        "magic-webp": b"RIFF\0\0\0\0WEBP", "magic-avif": b"\0\0\0\x1cftypavif",
    }  # fmt: skip
    for name, data in texts.items():
        yield f"foreign/{name}", data, REFUSED
    yield "foreign/empty", b"", REFUSED
    for kind in ("ICO", "TGA", "PCX", "PPM", "ICNS", "JPEG2000", "SGI", "DDS", "EPS", "PDF", "QOI"):
        try:
            size = (64, 64)
            yield f"foreign/saved-{kind.lower()}", saved(kind, "RGB", size), REFUSED
        except (OSError, KeyError):
            continue  # as Pillow was built
    random = np.random.default_rng(SEED)
    for number in range(10):
        yield f"foreign/noise-{number}", random.bytes(10 ** (number % 5)), REFUSED
