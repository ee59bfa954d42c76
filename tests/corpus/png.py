"""PNG: every depth and colour, wrong chunks, bombs."""

from __future__ import annotations

import struct
import zlib

from tests.corpus.drawing import EITHER, MAX_PIXELS, OK, REFUSED, SIGNATURE, Items, chunk

IEND = chunk(b"IEND", b"")
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def ihdr(width: int, height: int, depth: int = 8, colour: int = 2, interlace: int = 0, tail: bytes = b"\0\0") -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBB", width, height, depth, colour) + tail + bytes([interlace]))


def scanlines(width: int, height: int, depth: int, colour: int, value: int = 0x5A) -> bytes:
    return (b"\0" + bytes([value]) * -(-width * depth * CHANNELS[colour] // 8)) * height


def adam7(width: int, height: int, depth: int, colour: int) -> bytes:
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    sizes = ((-(-(width - x) // dx), -(-(height - y) // dy)) for x, y, dx, dy in passes)
    return b"".join(scanlines(across, down, depth, colour) for across, down in sizes if across > 0 and down > 0)


def png(*parts: bytes, head: bytes | None = None, pixels: bytes | None = None) -> bytes:
    """A good 8x6 picture, some chunks before its pixels; another head, other pixels (uncompressed)."""
    raw = scanlines(8, 6, 8, 2) if pixels is None else pixels
    return SIGNATURE + (head or ihdr(8, 6)) + b"".join(parts) + chunk(b"IDAT", zlib.compress(raw)) + IEND


def pngs() -> Items:
    for depth, colours in ((1, (0, 3)), (2, (0, 3)), (4, (0, 3)), (8, (0, 2, 3, 4, 6)), (16, (0, 2, 4, 6))):
        for colour in colours:
            palette = [chunk(b"PLTE", bytes(range(48)))] if colour == 3 else []
            plain, woven = scanlines(9, 7, depth, colour, 0), adam7(9, 7, depth, colour)
            yield f"png/depth-{depth}-{colour}", png(*palette, head=ihdr(9, 7, depth, colour), pixels=plain), OK
            yield f"png/woven-{depth}-{colour}", png(*palette, head=ihdr(9, 7, depth, colour, 1), pixels=woven), OK
    for depth, colour in ((3, 2), (1, 2), (16, 3), (8, 5), (0, 0), (255, 255)):
        yield f"png/wrong-depth-{depth}-{colour}", png(head=ihdr(8, 6, depth, colour)), REFUSED
    for width, height in ((0, 6), (8, 0), (0, 0)):
        yield f"png/size-{width}x{height}", png(head=ihdr(width, height)), REFUSED
    for width, height in (
        (30_000, 30_000),
        (2**31 - 1, 2**31 - 1),
        (2**32 - 1, 1),
        (MAX_PIXELS + 1, 1),
        (65_536, 1),
        (1, 65_536),
    ):
        yield f"png/claims-{width}x{height}", png(head=ihdr(width, height)), REFUSED
    yield "png/fewer-rows", png(head=ihdr(8, 9)), EITHER  # Pillow leaves them black
    yield "png/wider", png(head=ihdr(9, 6)), REFUSED
    yield "png/more-rows", png(head=ihdr(8, 4)), EITHER
    yield "png/narrower", png(head=ihdr(5, 6)), EITHER
    yield "png/compression-9", png(head=ihdr(8, 6, tail=b"\x09\0")), EITHER
    yield "png/filter-9", png(head=ihdr(8, 6, tail=b"\0\x09")), EITHER
    yield "png/interlace-7", png(head=ihdr(8, 6, interlace=7)), EITHER
    yield "png/row-filter-9", png(pixels=scanlines(8, 6, 8, 2).replace(b"\0", b"\x09")), REFUSED
    yield (
        "png/out-of-palette",
        png(chunk(b"PLTE", bytes(6)), head=ihdr(8, 6, 8, 3), pixels=(b"\0" + b"\xff" * 8) * 6),
        OK,
    )
    yield "png/no-palette", png(head=ihdr(8, 6, 8, 3), pixels=(b"\0" + b"\7" * 8) * 6), EITHER
    yield "png/palette-of-7-bytes", png(chunk(b"PLTE", bytes(7)), head=ihdr(8, 6, 8, 3), pixels=bytes(54)), EITHER
    yield "png/palette-of-3000", png(chunk(b"PLTE", bytes(3000)), head=ihdr(8, 6, 8, 3), pixels=bytes(54)), EITHER
    long = chunk(b"tRNS", bytes(3000))
    yield "png/long-transparency", png(chunk(b"PLTE", bytes(6)), long, head=ihdr(8, 6, 8, 3), pixels=bytes(54)), EITHER


def png_chunks() -> Items:
    for kind in (
        b"tRNS",
        b"gAMA",
        b"cHRM",
        b"sRGB",
        b"pHYs",
        b"iCCP",
        b"tEXt",
        b"zTXt",
        b"iTXt",
        b"eXIf",
        b"acTL",
        b"fcTL",
    ):
        name = kind.decode()
        yield f"png/{name}-empty", png(chunk(kind, b"")), EITHER
        yield f"png/{name}-garbage", png(chunk(kind, bytes(range(1, 200)))), EITHER
        yield f"png/{name}-crc", png(chunk(kind, b"x", crc=1)), EITHER
        for length in (2**31, 2**32 - 1, 1000):
            yield f"png/{name}-length-{length}", png(chunk(kind, b"x", length=length)), REFUSED
    idat = chunk(b"IDAT", zlib.compress(scanlines(8, 6, 8, 2)))
    yield "png/idat-crc", SIGNATURE + ihdr(8, 6) + idat[:-1] + b"!" + IEND, EITHER
    yield "png/idat-length", SIGNATURE + ihdr(8, 6) + struct.pack(">I", 4) + idat[4:] + IEND, REFUSED
    yield (
        "png/idat-adler",
        SIGNATURE + ihdr(8, 6) + chunk(b"IDAT", zlib.compress(scanlines(8, 6, 8, 2))[:-1] + b"!") + IEND,
        EITHER,
    )
    yield "png/idat-none", SIGNATURE + ihdr(8, 6) + IEND, REFUSED
    yield "png/idat-garbage", SIGNATURE + ihdr(8, 6) + chunk(b"IDAT", b"garbage" * 9) + IEND, REFUSED
    parts = [zlib.compress(scanlines(8, 6, 8, 2))[at : at + 1] for at in range(40)]
    yield "png/idat-bytewise", SIGNATURE + ihdr(8, 6) + b"".join(chunk(b"IDAT", one) for one in parts) + IEND, OK
    yield "png/ihdr-crc", SIGNATURE + ihdr(8, 6)[:-1] + b"!" + idat + IEND, REFUSED
    yield "png/ihdr-twice", SIGNATURE + ihdr(8, 6) + ihdr(30_000, 30_000) + idat + IEND, REFUSED
    yield "png/ihdr-late", SIGNATURE + idat + ihdr(8, 6) + IEND, REFUSED
    yield "png/ihdr-short", SIGNATURE + chunk(b"IHDR", b"\0\0\0\x08") + idat + IEND, REFUSED
    yield "png/critical-unknown", png(chunk(b"ABCD", b"?")), EITHER
    yield "png/kind-not-ascii", png(chunk(b"\xff\xfe\0\1", b"?")), EITHER
    yield "png/bomb-pixels", png(head=ihdr(8, 6), pixels=bytes(60_000_000)), EITHER


def png_bombs() -> Items:
    bomb = zlib.compress(bytes(50_000_000), 9)
    yield "png/bomb-zTXt", png(chunk(b"zTXt", b"Comment\0\0" + bomb)), EITHER
    yield "png/bomb-iTXt", png(chunk(b"iTXt", b"Comment\0\1\0\0\0" + bomb)), EITHER
    yield "png/bomb-iCCP", png(chunk(b"iCCP", b"x\0\0" + bomb)), EITHER
    yield (
        "png/bomb-many",
        png(*[chunk(b"zTXt", b"k%d\0\0" % n + zlib.compress(bytes(900_000))) for n in range(90)]),
        EITHER,
    )
    yield "png/text-many", png(*[chunk(b"tEXt", b"k%d\0v" % n) for n in range(2000)]), OK
    yield (
        "png/exif-hex-bomb",
        png(chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n9\n" + b"41" * 400_000))),
        EITHER,
    )
    animated = chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))
    yield "png/frames-claimed", png(animated), EITHER
    yield (
        "png/frame-outside",
        png(
            chunk(b"acTL", struct.pack(">II", 1, 0)),
            chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 99, 99, 5, 5, 1, 1, 0, 0)),
        ),
        EITHER,
    )
