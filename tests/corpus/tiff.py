"""TIFF and BigTIFF: wrong tags, tiles, compressions, pointers."""

from __future__ import annotations

import struct
import zlib

from tests.corpus.drawing import EITHER, OK, REFUSED, Items, directory, saved


def tiff(order: str = "<", pixels: bytes | None = None, after: int = 0, **other: tuple[int, int, int] | None) -> bytes:
    """A good 8x6 grey picture with some tags, t256=(type, count, value), set, or left out (None)."""
    data = bytes(range(48)) if pixels is None else pixels
    tags = {256: (3, 1, 8), 257: (3, 1, 6), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1),
            273: (4, 1, 8), 277: (3, 1, 1), 278: (3, 1, 6), 279: (4, 1, len(data))}  # fmt: skip
    tags |= {int(name[1:]): value for name, value in other.items()}

    def placed(kind: int, count: int, value: int) -> int:  # a short lies in the first two bytes
        return value << 16 if order == ">" and kind == 3 and count == 1 and value < 65536 else value

    listed = [(tag, kind, count, placed(kind, count, value)) for tag, (kind, count, value) in sorted(set_tags(tags))]
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8 + len(data))
    return head + data + directory(listed, order, after)


def set_tags(tags: dict[int, tuple[int, int, int] | None]) -> list[tuple[int, tuple[int, int, int]]]:
    return [(tag, value) for tag, value in tags.items() if value is not None]


def big_tiff(order: str = "<", start: int = 16, count: int = 9) -> bytes:
    """The same as a BigTIFF."""
    tags = [(256, 3, 8), (257, 3, 6), (258, 3, 8), (259, 3, 1), (262, 3, 1),
            (273, 16, 16 + 8 + 9 * 20 + 8), (277, 3, 1), (278, 3, 6), (279, 16, 48)]  # fmt: skip
    entries = b"".join(
        struct.pack(order + "HHQ" + ("Q" if kind == 16 else "H6x"), tag, kind, 1, value) for tag, kind, value in tags
    )
    head = (b"II+\0" if order == "<" else b"MM\0+") + struct.pack(order + "HHQ", 8, 0, start)
    return head + struct.pack(order + "Q", count) + entries + bytes(8) + bytes(range(48))


def tiffs() -> Items:
    yield "tiff/plain", tiff(), OK
    yield "tiff/motorola", tiff(">"), OK
    yield "tiff/white-is-zero", tiff(t262=(3, 1, 0)), OK
    yield "tiff/big-start-beyond", big_tiff(start=2**40), REFUSED
    yield "tiff/big-many-tags", big_tiff(count=2**60), REFUSED
    yield "tiff/big", big_tiff(), EITHER
    yield "tiff/big-motorola", big_tiff(">"), EITHER
    start = 8 + 48
    yield "tiff/next-is-itself", tiff(after=start), EITHER
    yield "tiff/next-beyond", tiff(after=10**6), EITHER
    yield "tiff/next-in-the-head", tiff(after=4), EITHER
    yield "tiff/start-beyond", b"II*\0" + struct.pack("<I", 10**6) + tiff()[8:], REFUSED
    yield "tiff/start-zero", b"II*\0" + bytes(4) + tiff()[8:], REFUSED
    yield "tiff/wrong-end", b"II\0*" + tiff()[4:], EITHER
    yield "tiff/subdirectory-is-itself", tiff(t330=(4, 1, start), t34665=(4, 1, start), t34853=(4, 1, start)), OK
    for width, height in (
        (0, 6),
        (8, 0),
        (30_000, 30_000),
        (2**32 - 1, 2**32 - 1),
        (2**31, 2),
        (65_536, 1),
        (1, 65_536),
    ):
        yield f"tiff/size-{width}x{height}", tiff(t256=(4, 1, width), t257=(4, 1, height)), REFUSED
    yield "tiff/taller", tiff(t257=(3, 1, 60)), EITHER  # Pillow leaves the rest black
    yield "tiff/wider", tiff(t256=(3, 1, 60)), REFUSED
    yield "tiff/no-width", tiff(t256=None), REFUSED
    yield "tiff/no-offsets", tiff(t273=None), REFUSED
    yield "tiff/offsets-beyond", tiff(t273=(4, 1, 10**6)), REFUSED
    yield "tiff/offsets-last", tiff(t273=(4, 1, 2**32 - 1)), REFUSED
    yield "tiff/no-counts", tiff(t279=None), EITHER
    yield "tiff/counts-large", tiff(t279=(4, 1, 2**32 - 1)), EITHER
    yield "tiff/counts-zero", tiff(t279=(4, 1, 0)), EITHER
    yield "tiff/width-as-text", tiff(t256=(2, 4, 0x38383838)), REFUSED
    yield "tiff/width-as-fraction", tiff(t256=(5, 1, 8)), REFUSED
    yield "tiff/width-many", tiff(t256=(3, 2, 8 | 8 << 16)), EITHER


def tiff_layouts() -> Items:
    for bits in (0, 1, 2, 4, 12, 16, 24, 32, 64, 65535):
        yield f"tiff/bits-{bits}", tiff(t258=(3, 1, bits)), EITHER
    for samples in (0, 2, 3, 4, 5, 100, 65535):
        yield f"tiff/samples-{samples}", tiff(t277=(3, 1, samples)), EITHER
    for kind in (2, 3, 4, 5, 6, 8, 10, 32803, 34892, 65535):
        yield f"tiff/photometric-{kind}", tiff(t262=(3, 1, kind)), EITHER
    for compression in (0, 2, 3, 4, 5, 6, 7, 8, 32773, 32946, 34676, 34712, 34925, 50000, 50001, 50002, 65535):
        yield f"tiff/compression-{compression}", tiff(t259=(3, 1, compression)), EITHER
    for order in (0, 2, 8, 9, 65535):
        yield f"tiff/orientation-{order}", tiff(t274=(3, 1, order)), OK if order in (2, 8) else EITHER
    for planes in (0, 2, 3):
        yield f"tiff/planes-{planes}", tiff(t284=(3, 1, planes)), EITHER
    for rows in (0, 1, 2**32 - 1):
        yield f"tiff/strip-rows-{rows}", tiff(t278=(4, 1, rows)), EITHER
    for predictor in (2, 3, 99):
        yield (
            f"tiff/predictor-{predictor}",
            tiff(t259=(3, 1, 8), t317=(3, 1, predictor), pixels=zlib.compress(bytes(48))),
            EITHER,
        )
    for kind in (2, 3, 4, 99):
        yield f"tiff/sample-format-{kind}", tiff(t339=(3, 1, kind)), EITHER


def tiff_tiles() -> Items:
    tiled = {"t278": None, "t273": None, "t279": None, "t324": (4, 1, 8), "t325": (4, 1, 256)}
    yield "tiff/tiled", tiff(pixels=bytes(256), t322=(3, 1, 16), t323=(3, 1, 16), **tiled), OK
    for side in (0, 1, 15, 1000, 65536, 2**31, 2**32 - 1):
        sides: dict[str, tuple[int, int, int] | None] = {"t322": (4, 1, side), "t323": (4, 1, side)}
        yield f"tiff/tile-{side}", tiff(pixels=bytes(256), **tiled, **sides), REFUSED if side > 65535 else EITHER
        yield (
            f"tiff/tile-deflated-{side}",
            tiff(pixels=zlib.compress(bytes(256)), t259=(3, 1, 8), **tiled, **sides),
            EITHER,
        )
    bomb = zlib.compress(bytes(20_000 * 20_000 // 4), 9)
    yield (
        "tiff/bomb-tile",
        tiff(
            pixels=bomb,
            t259=(3, 1, 8),
            **{**tiled, "t325": (4, 1, len(bomb))},
            t322=(4, 1, 20_000),
            t323=(4, 1, 20_000),
        ),
        REFUSED,
    )
    yield (
        "tiff/bomb-strip",
        tiff(pixels=bomb, t259=(3, 1, 8), t256=(4, 1, 20_000), t257=(4, 1, 20_000), t278=(4, 1, 20_000)),
        REFUSED,
    )
    yield "tiff/bomb-behind-a-small-strip", tiff(pixels=bomb, t259=(3, 1, 8)), EITHER


def tiff_tags() -> Items:
    yield "tiff/value-beyond", tiff(t270=(2, 1000, 10**6)), EITHER
    yield "tiff/value-huge", tiff(t270=(2, 2**32 - 1, 8)), EITHER
    yield "tiff/type-unknown", tiff(t270=(99, 4, 8)), OK
    yield "tiff/numbers", tiff(t282=(5, 2**30, 8)), REFUSED
    whole = {f"t{tag}": (7, 90, 8) for tag in range(40_000, 42_000)}
    yield "tiff/overlaps", tiff(**whole), EITHER
    yield "tiff/tags-5000", tiff(**{f"t{tag}": (7, 4, 8) for tag in range(40_000, 45_000)}), REFUSED
    yield (
        "tiff/tags-counted-65535",
        tiff().replace(struct.pack("<H", 9) + struct.pack("<H", 256), b"\xff\xff\0\1"),
        REFUSED,
    )
    yield "tiff/profile-garbage", tiff(t34675=(7, 48, 8)), OK
    yield "tiff/profile-beyond", tiff(t34675=(7, 10**6, 10**6)), EITHER
    yield "tiff/palette-none", tiff(t262=(3, 1, 3)), REFUSED
    yield "tiff/palette-short", tiff(t262=(3, 1, 3), t320=(3, 24, 8)), EITHER
    for kind in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        for mode in ("L", "RGB", "CMYK"):
            data = bytearray(saved("TIFF", mode, compression=kind))
            data[len(data) // 2] ^= 0xFF
            yield f"tiff/damaged-{kind}-{mode}", bytes(data), EITHER
