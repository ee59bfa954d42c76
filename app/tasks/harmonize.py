"""A product in its backdrop's light: a few photometric parameters, predicted small and applied at any size."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.batching import Row
from app.contracts import PARAMETERS
from app.images import Floats, Pixels, resize
from app.tasks.colours import LUMA, lab
from app.tasks.compose import Box, laid_over, strips
from app.tasks.cutout import to_bytes, unit

MOST_DRIFT: Final = 8.0
"""How far the product's mean colour may move, in CIE 1976 Lab units, at full strength."""


class Harmony:
    """The network's work on one product, (h, w, 4) straight RGBA, in its box on a ground (H, W, 3); all uint8."""

    rows: Final = 1

    def __init__(self, ground: Pixels, rgba: Pixels, box: Box, side: int) -> None:
        height, width = ground.shape[:2]
        picture = resize(ground, side, side)
        small = Box(
            min(side - 1, box.left * side // width), min(side - 1, box.top * side // height),
            max(1, round(box.width * side / width)), max(1, round(box.height * side / height)),
        )  # fmt: skip
        small = Box(small.left, small.top, min(small.width, side - small.left), min(small.height, side - small.top))
        layer = resize(rgba, small.width, small.height)
        laid_over(picture, layer, small)
        mask = np.zeros((side, side, 1), np.uint8)
        mask[small.slices] = layer[..., 3:]
        self._image = np.concatenate([picture, mask], 2)
        self.change: Floats = np.zeros(PARAMETERS, np.float32)

    def row(self, _: int) -> Row:
        return {"image": self._image}

    def put(self, _: int, output: NDArray[Any]) -> None:
        # Three decimals, so that the last bits of a sum decide nothing.
        self.change = np.round(output, 3).astype(np.float32)


def harmonized(rgba: Pixels, change: Floats, strength: float) -> Pixels:
    """A product, straight RGBA (h, w, 4) uint8, with its colours changed by `strength` in [0, 1] of PARAMETERS.

    Every channel is raised to the exponent and multiplied by its gain, then the distance from its grey by the
    saturation. The product's mean colour moves by at most MOST_DRIFT times the strength: beyond, the change is made
    smaller.
    """
    visible = rgba[..., 3] > 127
    if not visible.any():
        return rgba
    few = rgba[visible][:: max(1, int(visible.sum()) // 4096), :3][None]
    share = 1.0
    while share > 0.01 and drift(few, changed(few, strength * share * change)) > MOST_DRIFT * strength:
        share *= 0.8
    return np.dstack([changed(rgba[..., :3], strength * share * change), rgba[..., 3]])


def changed(rgb: Pixels, change: Floats) -> Pixels:
    """Colours (H, W, 3) uint8 with the parameters applied in full."""
    levels = unit(np.arange(256, dtype=np.uint8))
    table = levels[:, None] ** np.exp(change[3]) * np.exp(change[:3])
    found = np.empty_like(rgb)
    for rows in strips(len(rgb)):
        colours = np.stack([table[rgb[rows, :, c], c] for c in range(3)], -1).astype(np.float32)
        grey = (colours @ LUMA)[..., None]
        found[rows] = to_bytes(grey + np.exp(change[4]) * (colours - grey))
    return found


def drift(before: Pixels, after: Pixels) -> float:
    """Distance of two pictures' mean colours, both uint8 sRGB, in CIE 1976 Lab (D65)."""
    return float(np.linalg.norm(lab(before).mean((0, 1)) - lab(after).mean((0, 1))))
