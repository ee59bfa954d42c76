"""Hundreds of damaged, odd and hostile files, drawn and written here, the same ones every time.

Each has a name and what is expected of it: `ok` must be decoded, `refused` must get 400, 413 or 415, and of `either`
it is only known that nothing else may happen. `python -m tests.corpus FOLDER` writes them out.
"""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import dataclass

from tests.corpus import avif, general, jpeg, metadata, png, riff_gif_bmp, tiff
from tests.corpus.drawing import EITHER, MAX_PIXELS, OK, REFUSED

__all__ = ["EITHER", "MAX_PIXELS", "OK", "REFUSED", "Item", "corpus"]


@dataclass(frozen=True, slots=True)
class Item:
    """One file."""

    name: str
    data: bytes
    expected: str


@functools.cache
def corpus() -> tuple[Item, ...]:
    """All of them."""
    parts = (
        general.good, general.cut_short, general.bit_flips, general.tails, general.foreign,
        png.pngs, png.png_chunks, png.png_bombs, jpeg.jpegs, jpeg.jpeg_scans,
        riff_gif_bmp.gifs, riff_gif_bmp.webps, riff_gif_bmp.bmps, avif.avifs,
        tiff.tiffs, tiff.tiff_layouts, tiff.tiff_tiles, tiff.tiff_tags, metadata.exifs, metadata.profiles,
    )  # fmt: skip
    items = tuple(Item(*one) for part in parts for one in part())
    twice = [name for name, count in Counter(item.name for item in items).items() if count > 1]
    assert not twice, twice
    return items
