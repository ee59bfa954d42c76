"""Photos in another style: a studio's light, another colour, a line drawing, and a drawing as a product."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.batching import Row
from app.images import Floats, Pixels, mapped, resample, resize
from app.tasks.colours import LUMA, lab, srgb
from app.tasks.compose import Box, blur, strips
from app.tasks.cutout import blocks, enlarged, guided, parts, spread, to_bytes, unit, without_crumbs

GRID: Final = 33
"""Colours of each channel at which a change of colour is computed; between them it is interpolated."""
DRAWN_SIDE: Final = 1000
"""Longest side, in px, at which lines are drawn."""
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


def line_drawing(rgb: Pixels, alpha: Pixels, strength: float) -> Pixels:
    """The product of a photo (H, W, 3), by alpha (H, W), both uint8, in lines on white: (H, W, 3) uint8.

    Its outline, and inside where a difference of Gaussians (Winnemoeller, Kyprianidis and Olsen 2012) of the picture,
    smoothed but for its edges by a guided filter (He, Sun and Tang 2013), is dark; short strokes are left out.
    """
    height, width = alpha.shape
    scale = DRAWN_SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    picture, cover = unit(resize(rgb, *size)), unit(resize(alpha, *size))
    side = max(size)
    fine = 0.0028 * side
    slopes, offset = guided(picture, picture @ LUMA, max(1, round(0.004 * side)), 0.0003)
    grey = picture[..., 0] * slopes[0] + picture[..., 1] * slopes[1] + picture[..., 2] * slopes[2] + offset
    grey = 1 + cover * (grey - 1)
    cover = np.clip(6 * cover - 2.5, 0, 1).astype(np.float32)  # a line where alpha is half, however soft it is
    edges = blur(grey, 1.6 * fine) - blur(grey, fine)
    inside = np.clip((edges - 0.009) / 0.009, 0, 1) * (blur(cover, 2 * fine) > 0.98)
    inside = without_strokes(inside.astype(np.float32), 0.08 * side)
    soft = blur(cover, 0.8 * fine)
    outline = np.clip(1.6 - 3.2 * np.abs(soft - 0.5), 0, 1) * (np.abs(soft - 0.5) < 0.5)
    ink = np.maximum(inside, outline) * strength
    paper = to_bytes((1 - ink).astype(np.float32))
    return np.repeat(resize(paper, width, height)[..., None], 3, 2)


def without_strokes(ink: Floats, least: float) -> Floats:
    """Ink (H, W) in [0, 1] without what hangs together and is of fewer pixels than `least`."""
    labels = parts(ink > 0.2)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.where(sizes[labels] >= least, ink, 0).astype(np.float32)


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
