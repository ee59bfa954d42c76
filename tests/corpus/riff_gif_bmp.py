"""WebP, GIF and BMP."""

from __future__ import annotations

import io
import struct

from PIL import Image

from tests.corpus.drawing import EITHER, OK, REFUSED, SIZE, Items, frames, saved, seeds


def gif(*parts: bytes, screen: bytes = b"\x08\0\x06\0\x91\0\0", palette: bytes = bytes(range(12))) -> bytes:
    return b"GIF89a" + screen + palette + b"".join(parts) + b";"


def gif_frame(
    width: int = 8, height: int = 6, left: int = 0, top: int = 0, flags: int = 0, data: bytes | None = None
) -> bytes:
    pixels = (
        b"\2\x16\x84\x8f\xa9\xcb\xed\x0f\xa3\x9c\xb4\xda\x8b\xb3\xde\xbc\xfb\x0f\x86\xe2\x48\x14\0"
        if data is None
        else data
    )
    return b"," + struct.pack("<HHHHB", left, top, width, height, flags) + pixels


def gifs() -> Items:
    frame = gif_frame()
    yield "gif/plain", gif(frame), EITHER
    yield "gif/interlaced", saved("GIF", "P", interlace=1), OK
    yield "gif/no-palette", gif(frame, screen=b"\x08\0\x06\0\0\0\0", palette=b""), EITHER
    yield "gif/two-frames", gif(frame, frame), REFUSED
    yield "gif/no-frame", gif(), REFUSED
    yield "gif/huge-canvas", gif(frame, screen=b"\xff\xff\xff\xff\x91\0\0"), REFUSED
    yield "gif/huge-frame", gif(gif_frame(65535, 65535)), REFUSED
    yield "gif/frame-outside", gif(gif_frame(left=60_000, top=60_000)), REFUSED
    yield "gif/frame-empty", gif(gif_frame(0, 0)), EITHER
    yield "gif/zero-canvas", gif(frame, screen=bytes([0, 0, 0, 0, 0x91, 0, 0])), EITHER
    for bits in (0, 1, 9, 12, 13, 255):
        yield f"gif/code-size-{bits}", gif(gif_frame(data=bytes([bits, 4]) + b"\1\2\3\4\0")), EITHER
    yield "gif/no-data", gif(gif_frame(data=b"\2\0")), EITHER
    yield "gif/ones", gif(gif_frame(data=b"\2" + (b"\xff" + b"\xff" * 255) * 4 + b"\0")), EITHER
    yield "gif/comments", gif(b"!\xfe" + b"\xff" + b"c" * 255 + b"\0", frame), EITHER
    yield "gif/comment-bytewise", gif(b"!\xfe" + b"\1c" * 450_000 + b"\0", frame), REFUSED
    yield "gif/extensions", gif(b"!\xf9\4\1\0\0\3\0" * 20_000, frame), EITHER
    yield "gif/extension-short", gif(b"!\xf9\1\1\0", frame), EITHER
    yield "gif/extension-unended", gif(b"!\xf9\4\1\0\0\3", frame), EITHER
    yield "gif/transparent-out-of-palette", gif(b"!\xf9\4\1\0\0\xff\0", frame), EITHER
    yield "gif/loop", gif(b"!\xff\x0bNETSCAPE2.0\3\1\0\0\0", frame), EITHER
    yield "gif/87a-with-extension", b"GIF87a" + gif(b"!\xfe\1c\0", frame)[6:], EITHER
    yield "gif/javascript", b"GIF89a=1;alert(1);//" + bytes(80), REFUSED
    yield "gif/javascript-comment", gif(b"!\xfe\x10*/=1;alert(1);//\0", frame), EITHER


def riff(*chunks: tuple[bytes, bytes], size: int | None = None) -> bytes:
    body = b"WEBP" + b"".join(
        kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2) for kind, data in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body) if size is None else size) + body


def vp8x(width: int, height: int, flags: int = 0) -> tuple[bytes, bytes]:
    return b"VP8X", bytes([flags, 0, 0, 0]) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")


def webps() -> Items:
    lossy, lossless = seeds()["webp"][20:], saved("WEBP", lossless=True)[20:]
    yield "webp/extended", riff(vp8x(*SIZE), (b"VP8 ", lossy)), OK
    yield "webp/canvas-lies", riff(vp8x(16383, 16383), (b"VP8 ", lossy)), REFUSED
    yield "webp/canvas-largest", riff(vp8x(2**24, 2**24), (b"VP8 ", lossy)), REFUSED
    yield "webp/frame-lies", riff((b"VP8 ", lossy[:6] + b"\xff\x3f\xff\x3f" + lossy[10:])), REFUSED
    yield "webp/lossless-lies", riff((b"VP8L", lossless[:1] + b"\xff" * 4 + lossless[5:])), REFUSED
    yield "webp/frame-zero", riff((b"VP8 ", lossy[:6] + bytes(4) + lossy[10:])), REFUSED
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "WEBP", lossless=True, quality=0, method=0)
    plain = file.getvalue()[20:]  # of one colour, which takes no bits a pixel: as good at any size
    yield "webp/really-16383", riff((b"VP8L", plain[:1] + struct.pack("<I", 16382 | 16382 << 14) + plain[5:])), REFUSED
    animated = frames("WEBP")
    yield "webp/animated-canvas-lies", animated[:24] + b"\xff\xff\xff" * 2 + animated[30:], REFUSED
    for size in (0, 4, 20, 2**31, 2**32 - 1):
        yield f"webp/size-{size}", riff((b"VP8 ", lossy), size=size), EITHER
    yield "webp/no-picture", riff(vp8x(*SIZE)), REFUSED
    yield "webp/only-alpha", riff(vp8x(*SIZE, 16), (b"ALPH", bytes(50))), REFUSED
    yield "webp/alpha-garbage", riff(vp8x(*SIZE, 16), (b"ALPH", bytes(range(50))), (b"VP8 ", lossy)), EITHER
    yield "webp/two-pictures", riff((b"VP8 ", lossy), (b"VP8 ", lossy)), EITHER
    yield "webp/chunks", riff(vp8x(*SIZE), (b"VP8 ", lossy), *[(b"zzzz", b"")] * 20_000), EITHER
    yield "webp/profile-garbage", riff(vp8x(*SIZE, 32), (b"ICCP", b"x" * 999), (b"VP8 ", lossy)), OK
    yield "webp/xmp-large", riff(vp8x(*SIZE, 4), (b"VP8 ", lossy), (b"XMP ", b"<" * 3_000_000)), OK
    for at in range(10):
        yield f"webp/head-{at}", riff((b"VP8 ", lossy[:at] + bytes([lossy[at] ^ 0xFF]) + lossy[at + 1 :])), EITHER
        yield (
            f"webp/lossless-head-{at}",
            riff((b"VP8L", lossless[:at] + bytes([lossless[at] ^ 0xFF]) + lossless[at + 1 :])),
            EITHER,
        )


def bmp(
    width: int, height: int, bits: int, data: bytes, compression: int = 0, palette: bytes = b"", **more: int
) -> bytes:
    offset = more.get("offset", 54 + len(palette))
    head = struct.pack(
        "<IiiHHIIiiII",
        more.get("head", 40),
        width,
        height,
        1,
        bits,
        compression,
        len(data),
        0,
        0,
        more.get("colours", len(palette) // 4),
        0,
    )
    return (
        b"BM"
        + struct.pack("<IHHI", more.get("size", 54 + len(palette) + len(data)), 0, 0, offset)
        + head
        + palette
        + data
    )


def bmps() -> Items:
    rows, grey = bytes(range(24)) * 6, b"".join(bytes([n, n, n, 0]) for n in range(256))
    yield "bmp/24", bmp(8, 6, 24, rows), OK
    yield "bmp/downwards", bmp(8, -6, 24, rows), OK
    yield "bmp/32", bmp(8, 6, 32, bytes(range(192))), OK
    yield "bmp/16", bmp(8, 6, 16, bytes(range(96))), OK
    yield "bmp/8", bmp(8, 6, 8, bytes(range(48)), palette=grey), OK
    yield "bmp/4", bmp(8, 6, 4, bytes(range(24)), palette=grey[-64:]), OK
    yield "bmp/1", bmp(8, 6, 1, bytes(range(24)), palette=grey[:8]), OK
    yield "bmp/out-of-palette", bmp(8, 6, 8, b"\xff" * 48, palette=grey[:8]), EITHER
    rle = b"".join(b"\x08" + bytes([n]) + b"\0\0" for n in range(6)) + b"\0\1"
    yield "bmp/rle8", bmp(8, 6, 8, rle, 1, grey), OK
    yield "bmp/rle8-downwards", bmp(8, -6, 8, rle, 1, grey), EITHER
    yield "bmp/rle8-overrun", bmp(8, 6, 8, b"\xff\1" * 400 + b"\0\1", 1, grey), EITHER
    yield "bmp/rle8-jumps", bmp(8, 6, 8, b"\0\2\xff\xff" * 400 + b"\0\1", 1, grey), EITHER
    yield "bmp/rle8-cut", bmp(8, 6, 8, rle[:5], 1, grey), EITHER
    yield "bmp/rle8-large", bmp(6000, 6000, 8, b"\0\1", 1, grey), EITHER
    yield "bmp/rle4", bmp(8, 6, 4, b"\x08\x12\0\0" * 6 + b"\0\1", 2, grey[:64]), EITHER
    for compression in (1, 2, 3, 4, 5, 6, 11, 99):
        yield f"bmp/compression-{compression}", bmp(8, 6, 24, rows, compression), EITHER
    for bits in (0, 2, 3, 5, 15, 48, 64, 65535):
        yield f"bmp/bits-{bits}", bmp(8, 6, bits, rows), EITHER
    for width, height in ((0, 6), (8, 0), (-8, 6), (2**31 - 1, 2**31 - 1), (30_000, 30_000), (30_000, -30_000)):
        yield f"bmp/size-{width}x{height}", bmp(width, height, 24, rows), REFUSED
    yield "bmp/lowest", bmp(8, -(2**31), 24, rows), REFUSED
    yield "bmp/taller", bmp(8, 60, 24, rows), REFUSED
    yield "bmp/wider", bmp(60, 6, 24, rows), REFUSED
    for head in (0, 12, 16, 39, 41, 64, 108, 124, 2**32 - 1):
        yield f"bmp/head-{head}", bmp(8, 6, 24, rows, head=head), EITHER
    os2 = b"BM" + struct.pack("<IHHIIHHHH", 26 + len(rows), 0, 0, 26, 12, 8, 6, 1, 24) + rows
    yield "bmp/os2", os2, OK
    yield "bmp/offset-beyond", bmp(8, 6, 24, rows, offset=10**6), REFUSED
    yield "bmp/offset-zero", bmp(8, 6, 24, rows, offset=0), EITHER
    yield "bmp/colours-many", bmp(8, 6, 8, bytes(48), palette=grey, colours=2**31), EITHER
    yield "bmp/size-zero", bmp(8, 6, 24, rows, size=0), OK
    yield "bmp/size-small", bmp(8, 6, 24, rows, size=60), EITHER
    yield "bmp/dib-alone", bmp(8, 6, 24, rows)[14:], REFUSED
