"""Photos in another style: a studio's light, another colour, a model's own, and a drawing as a product."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.batching import Row
from app.images import Floats, Pixels, resample, resize
from app.tasks.colours import LUMA, lab, pixels, planes, srgb
from app.tasks.compose import Box, blur, box_of, strips
from app.tasks.cutout import Block, blocks, enlarged, spread, to_bytes, unit, without_crumbs
from app.tasks.enhance import Tiles

READ_SIDE: Final = 2048
"""Longest side, in px, at which a drawing is read."""
TONES: Final = (7.0, 94.0)
"""CIE lightness of the darkest and the brightest product that still shows its folds."""
MARGIN: Final = 1.1
"""Side of the square around a product, as a share of the product's longer side."""
SURE: Final = 204
"""Alpha, of 255, from which on a pixel shows the product alone."""


class Relight:
    """The network's work on one product, (h, w, 4) straight RGBA on what was around it, (H, W, 3); all uint8."""

    rows: Final = 1

    def __init__(self, rgb: Pixels, alpha: Pixels, side: int) -> None:
        self._image = np.dstack([resize(rgb, side, side), resize(alpha, side, side)])
        self.light: Floats = np.zeros((1, 1, 6), np.float32)

    def row(self, _: int) -> Row:
        return {"image": self._image}

    def put(self, _: int, output: NDArray[Any]) -> None:
        # Three decimals, so that the last bits of a sum decide nothing.
        self.light = np.round(output, 3).astype(np.float32)


def relit(rgb: Pixels, alpha: Pixels, light: Floats, strength: float) -> Pixels:
    """A photo (H, W, 3) whose product, by alpha (H, W), both uint8, has its light changed: (H, W, 3) uint8.

    `light` (s, t, 6) holds the logarithms of the gains of red, green and blue and their offsets, of 1, and is taken
    times `strength`; it is smooth, so that all detail stays.
    """
    height, width = alpha.shape
    output = rgb.copy()
    for block in blocks(height, width):
        if not alpha[block].any():
            continue
        at = [strength * enlarged(light[..., c], block, height, width) for c in range(6)]
        gains, offsets = np.exp(np.stack(at[:3], -1)), np.stack(at[3:], -1)
        output[block] = to_bytes(unit(rgb[block]) * gains + offsets)
    return output


class Colorway:
    """The network's work on one product: a photo (H, W, 3), by alpha (H, W), both uint8, and the colour to come.

    `change` (s, s, 12) is what becomes of colours, of 1, in the square `box` around the product, which may reach beyond
    the photo: red, green and blue, each of three factors, then their offsets.
    """

    rows: Final = 1

    def __init__(self, rgb: Pixels, alpha: Pixels, side: int, wish: tuple[int, int, int]) -> None:
        self.box = square_around(alpha)
        square = clipped_to(self.box, rgb, alpha)
        self._image = np.dstack([resize(square[..., :3], side, side), resize(square[..., 3], side, side)])
        self._target = lab(np.array(wish, np.uint8))
        self._target[0] = np.clip(self._target[0], *TONES)
        self._wish = np.rint(srgb(self._target)).astype(np.uint8)
        self.change: Floats = np.zeros((1, 1, 12), np.float32)

    def row(self, _: int) -> Row:
        return {"image": self._image, "color": self._wish}

    def put(self, _: int, output: NDArray[Any]) -> None:
        # Three decimals, so that the last bits of a sum decide nothing.
        self.change = np.round(output, 3).astype(np.float32)

    def balanced(self) -> Floats:
        """The change, with what the product's mean colour would still lack; what no screen shows is lost."""
        side = len(self._image)
        inside = self._image[..., 3] > SURE
        if not inside.any():
            inside = self._image[..., 3] > 0
        if not inside.any():
            return self.change
        large = [resample(self.change[..., c], side, side)[inside] for c in range(12)]
        found = dyed(unit(self._image[..., :3][inside]), large)
        lacking = np.zeros(3, np.float32)
        for _ in range(6):
            mean = lab(255 * np.clip(found + lacking, 0, 1)).mean(0)
            lacking += 0.9 * (srgb(self._target) - srgb(mean)) / 255
        return np.concatenate([self.change[..., :9], self.change[..., 9:] + lacking], -1)


def square_around(alpha: Pixels) -> Box:
    """The square around a product, by alpha (H, W) uint8, and a margin; it may reach beyond the picture."""
    box = box_of(alpha > 16)
    if box is None:
        return Box(0, 0, max(alpha.shape), max(alpha.shape))
    side = max(8, round(MARGIN * max(box.height, box.width)))
    return Box(box.left - (side - box.width) // 2, box.top - (side - box.height) // 2, side, side)


def clipped_to(box: Box, rgb: Pixels, alpha: Pixels) -> Pixels:
    """A box of a photo (H, W, 3) with its alpha (H, W): RGBA uint8. Beyond the photo its edge goes on, transparent."""
    height, width = alpha.shape
    rows, columns = np.arange(box.top, box.top + box.height), np.arange(box.left, box.left + box.width)
    within = np.ix_(rows.clip(0, height - 1), columns.clip(0, width - 1))
    found = np.dstack([rgb[within], alpha[within]])
    found[(rows < 0) | (rows >= height), :, 3] = 0
    found[:, (columns < 0) | (columns >= width), 3] = 0
    return found


def part_of(box: Box, height: int, width: int) -> Block:
    """The rows and columns of a picture that lie in a box."""
    top, left = max(0, box.top), max(0, box.left)
    bottom, right = min(height, box.top + box.height), min(width, box.left + box.width)
    return slice(top, max(top, bottom)), slice(left, max(left, right))


def dyed(rgb: Floats, change: Sequence[Floats]) -> Floats:
    """Colours (..., 3), of 1, with the planes (...) of a `Colorway.change` applied; unclipped."""
    rows = [sum(change[3 * row + c] * rgb[..., c] for c in range(3)) + change[9 + row] for row in range(3)]
    return np.stack(rows, -1)


def recoloured(rgb: Pixels, alpha: Pixels, change: Floats, box: Box, strength: float) -> Pixels:
    """A photo (H, W, 3) whose product, by alpha (H, W), has other colours, see `Colorway`: (H, W, 3) uint8.

    The change is taken times `strength` and is smooth, so that all detail stays. Outside alpha nothing changes.
    """
    found = rgb.copy()
    inside = part_of(box, *alpha.shape)
    before, cover, after = rgb[inside], alpha[inside], found[inside]
    down, across = inside[0].start - box.top, inside[1].start - box.left
    for rows, columns in blocks(*cover.shape):
        if not cover[rows, columns].any():
            continue
        within = slice(rows.start + down, rows.stop + down), slice(columns.start + across, columns.stop + across)
        colours, share = unit(before[rows, columns]), np.float32(strength) * unit(cover[rows, columns])[..., None]
        maps = [enlarged(change[..., c], within, box.height, box.width) for c in range(12)]
        after[rows, columns] = to_bytes(colours + share * (np.clip(dyed(colours, maps), 0, 1) - colours))
    return found


class StyleTiles(Tiles):
    """A translator's work on one picture: as `Tiles`, but the graph takes and gives planes of float32 in [0, 1]."""

    def __init__(self, rgb: Pixels, *, shape: tuple[int, int], margin: int) -> None:
        super().__init__(rgb, 1.0, shape=shape, margin=margin, scale=1)

    def row(self, index: int) -> Row:
        return {"image": planes(np.asarray(super().row(index)["image"], np.uint8))}

    def put(self, index: int, output: NDArray[Any]) -> None:
        super().put(index, pixels(output))


def mixed(before: Pixels, after: Pixels, strength: float) -> Pixels:
    """Two pictures (H, W, 3) uint8: the first for `strength` 0, the second for 1, between them their mean."""
    if strength >= 1:
        return after
    found = np.empty_like(before)
    for rows in strips(len(before)):
        part = before[rows].astype(np.float32)
        found[rows] = np.rint(part + np.float32(strength) * (after[rows] - part))
    return found


class Drawing:
    """The network's work on one line drawing, (H, W, 3) uint8; `product` is (S, S, 4) straight RGBA uint8.

    `box` is the square of the drawing that it stands for, which may reach beyond the drawing's edges.
    """

    rows: Final = 1

    def __init__(self, rgb: Pixels, side: int, label: int, draw: int, strength: float) -> None:
        height, width = rgb.shape[:2]
        shrink = min(1.0, READ_SIDE / max(height, width))
        ink = inked(resize(rgb, max(1, round(shrink * width)), max(1, round(shrink * height))))
        drawn = box_of(ink > 0.35)
        self.is_blank = drawn is None
        self.box, self.product = Box(0, 0, 1, 1), np.zeros((side, side, 4), np.uint8)
        if drawn is None:
            return
        reach = max(8, round(1.12 * max(drawn.height, drawn.width)))
        top, left = drawn.top + (drawn.height - reach) // 2, drawn.left + (drawn.width - reach) // 2
        self._image = small_lines(ink, Box(left, top, reach, reach), side)
        self.box = Box(*(round(at / shrink) for at in (left, top, reach, reach)))
        self._label, self._draw, self._strength = np.int64(label), np.int64(draw), np.float32(strength)

    def row(self, _: int) -> Row:
        return {"image": self._image, "label": self._label, "draw": self._draw, "strength": self._strength}

    def put(self, _: int, output: NDArray[Any]) -> None:
        self.product = output.copy()
        self.product[without_crumbs(unit(output[..., 3])) == 0] = (255, 255, 255, 0)


def inked(rgb: Pixels) -> Floats:
    """How dark every pixel of a drawing is beside its paper, however that is lit: (H, W) float32 in [0, 1]."""
    grey = unit(rgb) @ LUMA
    if np.median(grey) < 0.4:  # chalk on a board
        grey = 1 - grey
    height, width = grey.shape
    small = resample(grey, max(1, width // 16), max(1, height // 16)) if min(grey.shape) >= 32 else grey
    for _ in range(2):
        small = spread(small, np.maximum)
    paper = resample(blur(small, 2.0), width, height)
    ink = np.clip(1 - grey / np.maximum(paper, 0.05), 0, 1)
    darkest = float(np.percentile(ink, 99.8))
    if darkest < 0.12:
        return np.zeros_like(ink, np.float32)
    return np.clip((ink / darkest - 0.1) / 0.9, 0, 1).astype(np.float32)


def small_lines(ink: Floats, box: Box, side: int) -> Pixels:
    """The square of a drawing at the network's size, (side, side, 1) uint8, 255 is paper; thin lines are kept."""
    height, width = ink.shape
    square = np.zeros((box.height, box.width), np.float32)
    top, left = max(0, box.top), max(0, box.left)
    bottom, right = min(height, box.top + box.height), min(width, box.left + box.width)
    square[top - box.top : bottom - box.top, left - box.left : right - box.left] = ink[top:bottom, left:right]
    while len(square) > 4 * side:
        square = np.pad(square, ((0, len(square) % 2), (0, len(square) % 2)))
        square = square.reshape(len(square) // 2, 2, -1, 2).max((1, 3))
    square = spread(resample(square, 2 * side, 2 * side), np.maximum)
    paper = 1 - np.clip(1.2 * square.reshape(side, 2, side, 2).mean((1, 3)), 0, 1)
    return to_bytes(paper.astype(np.float32))[..., None]
