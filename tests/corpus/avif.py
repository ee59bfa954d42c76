"""AVIF: every box with a wrong size, garbage, another name."""

from __future__ import annotations

import io
import struct

from PIL import Image

from tests.corpus.drawing import EITHER, REFUSED, Items, box, saved, seeds


def avifs() -> Items:
    base = seeds()["avif"]
    for kind in (
        b"ftyp",
        b"meta",
        b"hdlr",
        b"pitm",
        b"iloc",
        b"iinf",
        b"infe",
        b"iprp",
        b"ipco",
        b"ispe",
        b"pixi",
        b"av1C",
        b"ipma",
        b"mdat",
    ):
        at, name = base.index(kind) - 4, kind.decode()
        size = struct.unpack(">I", base[at : at + 4])[0]
        for lie in (0, 1, 7, size - 1, size + 1, 2**31, 2**32 - 1):
            yield f"avif/{name}-size-{lie}", base[:at] + struct.pack(">I", lie) + base[at + 4 :], EITHER
        yield (
            f"avif/{name}-unknown",
            base[: at + 4] + b"zzzz" + base[at + 8 :],
            REFUSED if kind in (b"ftyp", b"meta", b"mdat") and kind != b"mdat" else EITHER,
        )
        yield f"avif/{name}-zeros", base[: at + 8] + bytes(size - 8) + base[at + size :], EITHER
        yield f"avif/{name}-ones", base[: at + 8] + b"\xff" * (size - 8) + base[at + size :], EITHER
    shown = base.index(b"ispe") + 8
    for width, height in ((0, 17), (24, 0), (7000, 7000), (30_000, 30_000), (2**32 - 1, 2**32 - 1)):
        yield (
            f"avif/size-{width}x{height}",
            base[:shown] + struct.pack(">II", width, height) + base[shown + 8 :],
            REFUSED,
        )
    for width, height in ((12, 17), (48, 34)):
        yield (
            f"avif/size-{width}x{height}",
            base[:shown] + struct.pack(">II", width, height) + base[shown + 8 :],
            EITHER,
        )
    large = saved("AVIF", "L", (64, 64), speed=10)
    at = large.index(b"ispe") + 8
    yield "avif/smaller-than-coded", large[:at] + struct.pack(">II", 8, 8) + large[at + 8 :], EITHER
    file = io.BytesIO()
    Image.new("L", (7000, 7000)).save(file, "AVIF", speed=10, quality=1)
    huge = file.getvalue()
    at = huge.index(b"ispe") + 8
    yield "avif/bomb-behind-small-boxes", huge[:at] + struct.pack(">II", 8, 8) + huge[at + 8 :], REFUSED
    grid = base.replace(b"av01", b"grid")
    yield "avif/grid", grid, EITHER
    for brand in (b"heic", b"mif1", b"avis", b"mp42", b"isom", b"zzzz"):
        yield f"avif/brand-{brand.decode()}", base[:8] + brand + base[12:], EITHER
    yield "avif/only-type", base[: struct.unpack(">I", base[:4])[0]], REFUSED
    yield "avif/boxes", base + box(b"free", b"") * 60_000, REFUSED
    yield "avif/heif-head", box(b"ftyp", b"heic\0\0\0\0mif1heic") + box(b"meta", bytes(40)), REFUSED
