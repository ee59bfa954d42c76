"""A product as a line drawing: what the network draws of its square, as clean lines at the picture's own size."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.batching import Row
from app.images import Floats, Pixels, resize
from app.tasks.compose import Box, box_of
from app.tasks.cutout import blocks, enlarged, parts, to_bytes, unit

MARGIN: Final = 0.06
"""Of a product's longer side, around it."""
LEAST: Final = 0.5
"""Of the picture's longer side: smaller products are drawn as small as they are, not with hair-thin lines."""
MOST_ENLARGED: Final = 1.5
"""How many times a small picture is enlarged for the network, at most; it has learned from such."""
CRISP: Final = 1.6
"""By how much the edges of ink are steeper than the network draws them."""
STROKE: Final = (64, 0.6)
"""Of what hangs together: the least ink, in squares of 2x2 px, and how dark it is somewhere."""


class Lines:
    """The network's work on a photo (H, W, 3) and its product's alpha (H, W), both uint8: a picture of `side` px.

    The product and a margin fill it as far as that makes nothing too large; beyond, the picture's edge goes on.
    """

    rows: Final = 1

    def __init__(self, rgb: Pixels, alpha: Pixels, side: int) -> None:
        self._height, self._width = alpha.shape
        self._box = box = around(alpha)
        longest = max(box.width, box.height, round(LEAST * max(alpha.shape)))
        scale = min(side / longest, MOST_ENLARGED)
        self._scale = scale
        height, width = (max(1, round(scale * length)) for length in (box.height, box.width))
        top, left = (side - height) // 2, (side - width) // 2
        self._part = Box(left, top, width, height)
        room = ((top, side - height - top), (left, side - width - left))
        small, cover = (resize(np.ascontiguousarray(one[box.slices]), width, height) for one in (rgb, alpha))
        self._image = np.dstack([np.pad(small, (*room, (0, 0)), mode="edge"), np.pad(cover, room, mode="edge")])
        self._ink: Floats = np.zeros((1, 1), np.float32)

    def row(self, _: int) -> Row:
        return {"image": self._image}

    def put(self, _: int, output: NDArray[Any]) -> None:
        finer = len(output) // len(self._image)
        box = Box(*(finer * at for at in (self._part.left, self._part.top, self._part.width, self._part.height)))
        self._ink = unit(output[box.slices][..., 0])
        self._scale *= finer

    def drawn(self, strength: float) -> Pixels:
        """The drawing, (H, W, 3) uint8, all grey, on white; `strength` in [0, 1] is how dark the ink is."""
        paper = np.full((self._height, self._width), 255, np.uint8)
        ink, box = without_strokes(self._ink), self._box
        # Where lines are enlarged their edges stay a pixel or two wide.
        sharp = CRISP * max(1.0, 1 / self._scale)
        view = paper[box.slices]
        for block in blocks(box.height, box.width):
            cover = np.clip(sharp * (enlarged(ink, block, box.height, box.width) - 0.5) + 0.5, 0, 1)
            view[block] = to_bytes(1 - np.float32(strength) * cover)
        return np.repeat(paper[..., None], 3, 2)


def around(alpha: Pixels) -> Box:
    """The box of a product and a margin, as far as there is a picture; the whole picture where there is none."""
    height, width = alpha.shape
    box = box_of(alpha > 16)
    if box is None:
        return Box(0, 0, width, height)
    margin = round(MARGIN * max(box.height, box.width)) + 2
    top, left = max(0, box.top - margin), max(0, box.left - margin)
    bottom, right = min(height, box.top + box.height + margin), min(width, box.left + box.width + margin)
    return Box(left, top, right - left, bottom - top)


def without_strokes(ink: Floats) -> Floats:
    """Ink (H, W) in [0, 1] without what hangs together and has little of it, or is nowhere dark (STROKE).

    Looked at in squares of 2x2 px, where a gap of a pixel is none.
    """
    height, width = ink.shape
    padded = np.pad(ink, ((0, height % 2), (0, width % 2)))
    small = padded.reshape(len(padded) // 2, 2, -1, 2).max((1, 3))
    labels = parts(small > 0.25)
    least, dark = STROKE
    kept = np.bincount(labels.ravel()) >= min(least, max(height, width) // 4)
    strong = np.zeros_like(kept)
    strong[labels[small >= dark]] = True
    kept &= strong
    kept[0] = False
    return np.where(kept[labels].repeat(2, 0).repeat(2, 1)[:height, :width], ink, 0).astype(np.float32)
