"""Photos through the enhancer: cut into tiles, run, put together without seams."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.batching import Row
from app.images import Pixels, resize

STEPS: Final = np.arange(16, 513, 16)
"""Sides, in px, of what a tile adds to the picture: few enough that every shape comes again."""
FIXED_SIDE: Final = 256
"""Of what a tile adds to a picture where all tiles have one shape."""
LEAST_MARGINS: Final = 8
"""Widths of a margin that a tile may always be wide and high: with less than that margins would be most of the work."""
TILE_COST: Final = 400
"""What a tile costs beside its pixels, in pixels."""


def mirrored(start: int, count: int, length: int) -> NDArray[np.intp]:
    """Indices start .. start + count - 1 into `length` samples, continued by symmetric reflection at both ends."""
    index = np.arange(start, start + count) % (2 * length)
    return np.where(index < length, index, 2 * length - 1 - index)


def tile_shape(height: int, width: int, margin: int, most: float, side_by_side: int = 1) -> tuple[int, int]:
    """(height, width) of the tiles, margins included, that cost least for a picture; at most `most` pixels each.

    Margins are computed twice, so large tiles are cheap; what a tile holds beyond the picture's edge is lost, and so is
    the time of a processor that has none while others have one, where tiles run `side_by_side`. Tiles of eight margins'
    width and height, or the smallest there are, may be given even where they are over `most`.
    """
    sides = STEPS + 2 * margin
    tiles = np.outer(-(-height // STEPS), -(-width // STEPS))
    areas = np.outer(sides, sides)
    costs = -(-tiles // side_by_side) * (areas + TILE_COST)
    most = max(most, (LEAST_MARGINS * margin) ** 2, areas[0, 0])
    costs = np.where(areas <= most, costs, np.iinfo(costs.dtype).max)
    row, column = np.unravel_index(costs.argmin(), costs.shape)
    return int(sides[row]), int(sides[column])


def fixed_shape(margin: int) -> tuple[int, int]:
    """(height, width) of the tiles of every picture, margins included: for GPUs, which plan anew for every shape."""
    return FIXED_SIDE + 2 * margin, FIXED_SIDE + 2 * margin


class Tiles:
    """The enhancer's work on one picture, (H, W, 3) uint8; `output` is (scale*H, scale*W, 3) uint8 when it is done.

    Every output pixel comes from exactly one tile, at least `margin` px inside it. With a margin no smaller than the
    network's receptive radius the result is the one that the whole picture, mirrored at its edges, would give.
    """

    def __init__(self, rgb: Pixels, strength: float | None, *, shape: tuple[int, int], margin: int, scale: int) -> None:
        """`shape` is (height, width) of every tile, margins included; a model that restores nothing has no strength."""
        self._rgb = rgb
        self._told: Row = {} if strength is None else {"strength": np.float32(strength)}
        self._margin, self._scale = margin, scale
        self.shape = shape
        self._down, self._across = (side - 2 * margin for side in shape)
        height, width = rgb.shape[:2]
        self._columns = -(-width // self._across)
        self.rows = -(-height // self._down) * self._columns
        self.output = np.empty((height * scale, width * scale, 3), np.uint8)

    def _origin(self, index: int) -> tuple[int, int]:
        return index // self._columns * self._down, index % self._columns * self._across

    def row(self, index: int) -> Row:
        top, left = (at - self._margin for at in self._origin(index))
        (high, wide), (height, width) = self.shape, self._rgb.shape[:2]
        if top >= 0 and left >= 0 and top + high <= height and left + wide <= width:
            image = self._rgb[top : top + high, left : left + wide]
        else:
            image = self._rgb[mirrored(top, high, height)[:, None], mirrored(left, wide, width)]
        return {"image": image, **self._told}

    def put(self, index: int, output: NDArray[Any]) -> None:
        top, left = (self._scale * at for at in self._origin(index))
        begin = self._scale * self._margin
        part = self.output[top : top + self._scale * self._down, left : left + self._scale * self._across]
        part[:] = output[begin : begin + part.shape[0], begin : begin + part.shape[1]]


class LevelTiles:
    """The level estimator's work on one picture: up to 16 tiles spread evenly; `level` is their mean, in [0, 1]."""

    def __init__(self, rgb: Pixels, tile: int) -> None:
        self._rgb, self._tile = rgb, tile
        down, across = (min(4, -(-side // tile)) for side in rgb.shape[:2])
        tops = np.linspace(0, max(0, rgb.shape[0] - tile), down).astype(int)
        lefts = np.linspace(0, max(0, rgb.shape[1] - tile), across).astype(int)
        self._origins = [(int(top), int(left)) for top in tops for left in lefts]
        self.rows = len(self._origins)
        self._levels = np.zeros(self.rows)

    def row(self, index: int) -> Row:
        top, left = self._origins[index]
        ys, xs = (mirrored(at, self._tile, n) for at, n in zip((top, left), self._rgb.shape[:2], strict=True))
        return {"image": self._rgb[ys[:, None], xs]}

    def put(self, index: int, output: NDArray[Any]) -> None:
        self._levels[index] = float(output)

    @property
    def level(self) -> float:
        # Two decimals, so that the last bits of a sum decide nothing.
        return round(float(np.clip(self._levels.mean(), 0, 1)), 2)


def mean_colour(rgb: Pixels) -> NDArray[np.float64]:
    """(H, W, 3) uint8, H below 2^24 -> (3,) float64. Whole rows are added up first, which is quick."""
    height, width = rgb.shape[:2]
    columns = rgb.reshape(height, -1).sum(0, dtype=np.uint32)
    return np.asarray(columns.reshape(width, 3).sum(0, dtype=np.uint64) / (height * width))


def keep_mean(output: Pixels, source: Pixels) -> Pixels:
    """`output` (uint8 RGB) with every channel's mean moved, by whole steps, to within half a step of `source`'s."""
    shift = np.rint(mean_colour(source) - mean_colour(output)).astype(np.int16)
    if not shift.any():
        return output
    return np.asarray(np.clip(output + shift, 0, 255), np.uint8)


def fill_hidden(rgb: Pixels, alpha: Pixels) -> Pixels:
    """Colours under zero alpha replaced by those of the visible pixels around, so that none bleeds into an edge.

    Push-pull over a pyramid (Gortler et al. 1996); visible pixels stay as they are.
    """
    hidden = alpha == 0
    if not hidden.any() or hidden.all():
        return rgb
    height, width = alpha.shape
    small = (max(1, (height + 1) // 2), max(1, (width + 1) // 2))
    weights = (~hidden).astype(np.float32)
    padded = np.pad(weights, ((0, 2 * small[0] - height), (0, 2 * small[1] - width)))
    colours = np.pad(rgb * weights[..., None], ((0, 2 * small[0] - height), (0, 2 * small[1] - width), (0, 0)))
    seen = padded.reshape(small[0], 2, small[1], 2).sum((1, 3))
    sums = colours.reshape(small[0], 2, small[1], 2, 3).sum((1, 3))
    coarse = np.where(seen[..., None] > 0, sums / np.maximum(seen, 1)[..., None], 0).round().astype(np.uint8)
    if small != (height, width):
        coarse = fill_hidden(coarse, (seen > 0).astype(np.uint8))
    filled = np.asarray(resize(coarse, width, height))
    return np.asarray(np.where(hidden[..., None], filled, rgb), np.uint8)
