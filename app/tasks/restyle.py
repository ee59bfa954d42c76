"""Photos in another style: a studio's light, another colour, a model's own, and a drawing as a product."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.batching import Row
from app.images import Floats, Pixels, mapped, resample, resize
from app.tasks.colours import LUMA, lab, pixels, planes, srgb
from app.tasks.compose import Box, blur, strips
from app.tasks.cutout import blocks, enlarged, spread, to_bytes, unit, without_crumbs
from app.tasks.enhance import Tiles

GRID: Final = 33
"""Colours of each channel at which a change of colour is computed; between them it is interpolated."""
READ_SIDE: Final = 2048
"""Longest side, in px, at which a drawing is read."""
TONES: Final = (7.0, 94.0)
"""CIE lightness of the darkest and the brightest product that still shows its folds."""


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


def recoloured(rgb: Pixels, alpha: Pixels, wish: tuple[int, int, int], strength: float) -> Pixels:
    """A photo (H, W, 3) whose product, by alpha (H, W), has another mean colour: (H, W, 3) uint8.

    In CIE Lab: lightness keeps its ratio to the mean, as under the same light, within what the screen can show; the
    colour is the wished one, paler in the shade, with a quarter of the product's own differences. Outside alpha nothing
    changes. White and black are taken as the brightest and darkest cloth that still shows its folds (TONES).
    """
    few = rgb[alpha > 200]
    if not len(few):
        few = rgb[alpha > 0]
    few = few[:: max(1, len(few) // 20_000)]
    target = lab(np.array(wish, np.uint8))
    target[0] = np.clip(target[0], *TONES)
    aim, mean = target.copy(), lab(few).mean(0)
    spread_down, spread_up = np.percentile(lab(few)[:, 0] - mean[0], (2, 98))
    for _ in range(6):
        contrast = float(np.clip(aim[0] / max(mean[0], 12), 0.5, 1.8))
        room = [(98 - aim[0]) / max(spread_up, 1), (aim[0] - 2) / max(-spread_down, 1)]
        contrast = max(0.25, min(contrast, *room))
        aim += 0.9 * (target - lab(srgb(shifted(lab(few), mean, aim, contrast)).mean(0)))
        aim[0] = np.clip(aim[0], 1, 99)
    steps = np.rint(np.linspace(0, 255, GRID)).astype(np.uint8)
    red, green, blue = np.meshgrid(steps, steps, steps, indexing="ij")
    colours = np.stack([red, green, blue], -1)
    table = srgb(shifted(lab(colours), mean, aim, contrast)) / 255
    found = mapped(rgb, table.astype(np.float32))
    for rows in strips(len(rgb)):
        cover = unit(alpha[rows])[..., None] * np.float32(strength)
        found[rows] = np.rint(rgb[rows] + cover * (found[rows].astype(np.float32) - rgb[rows]))
    return found


def shifted(colours: Floats, mean: Floats, aim: Floats, contrast: float) -> Floats:
    """Lab colours (..., 3) moved from around one mean to around another."""
    lightness = np.clip(aim[0] + contrast * (colours[..., :1] - mean[0]), 0, 100)
    shade = np.clip(lightness / max(float(aim[0]), 1.0), 0.3, 1.25)
    tint = aim[1:] * shade + 0.25 * (colours[..., 1:] - mean[1:])
    return np.concatenate([lightness, tint], -1).astype(np.float32)


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
        rows, columns = (np.flatnonzero((ink > 0.35).any(axis)) for axis in (1, 0))
        self.is_blank = not rows.size
        self.box, self.product = Box(0, 0, 1, 1), np.zeros((side, side, 4), np.uint8)
        if self.is_blank:
            return
        down, across = int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1
        reach = max(8, round(1.12 * max(down, across)))
        top, left = int(rows[0] + rows[-1] + 1 - reach) // 2, int(columns[0] + columns[-1] + 1 - reach) // 2
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
