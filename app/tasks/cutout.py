"""Products out of photos: what the network sees small is made sharp at the photo's own size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.batching import Row
from app.images import Floats, Pixels, resample, resize
from app.tasks.enhance import fill_hidden

FIT_SIDE: Final = 768
"""Longest side, in px, at which the edge is fitted to the photo."""
REACH: Final = 1.5
"""How far a fitted edge may lie from where the network saw it, in the network's px."""
SMOOTHNESS: Final = 2e-4
"""Variance of colour, of 1, up to which a neighbourhood counts as of one colour."""
SNAP: Final = (0.2, 0.95)
"""Fitted alpha up to which there is nothing, and from which on there is product. Of six between (0.04, 0.96) and
(0.3, 0.9), the mildest that leaves 99.5 % of held-out scenes' grounds without a trace."""
CRUMB: Final = 0.03
"""What a part of the product that lies alone must have of the largest part's area."""
BLOCK: Final = 256
"""Side of the squares, in px, of which those without an edge cost nothing."""


class Whole:
    """One photo's cut-out, (H, W, 3) uint8: the network's work on it, shrunk to the square, and what comes of it."""

    rows: Final = 1

    def __init__(self, rgb: Pixels, side: int) -> None:
        self._rgb, self._small = rgb, resize(rgb, side, side)
        self._cutout: Pixels = np.empty(0, np.uint8)

    def row(self, _: int) -> Row:
        return {"image": self._small}

    def put(self, _: int, output: NDArray[Any]) -> None:
        self._cutout = output

    def refined(self) -> Pixels:
        """What the network made of it, (S, S, 4), at the photo's own size: (H, W, 4) straight RGBA uint8.

        Alpha follows the photo's edges by a guided filter (He, Sun and Tang 2013, with the photo's three channels as
        the guide, fitted small and applied large as in their "Fast guided filter", 2015). Where alpha is 1 the colours
        are the photo's own; at the edge the ground's share is taken out (Forte 2021):
        F = F' + a (I - a F' - (1 - a) B'), where F' is the network's smooth foreground and B' the mean ground nearby.
        """
        rgb, cutout = self._rgb, self._cutout
        height, width = rgb.shape[:2]
        scale = min(1.0, FIT_SIDE / max(height, width))
        fit = (max(1, round(height * scale)), max(1, round(width * scale)))
        alpha = without_crumbs(unit(cutout[..., 3]))
        guide = unit(resize(rgb, fit[1], fit[0]))
        radius = max(1, round(REACH * max(fit) / alpha.shape[0]))
        slopes, offset = guided(guide, resample(alpha, fit[1], fit[0]), radius)
        product = unit(fill_hidden(cutout[..., :3], cutout[..., 3]))
        ground = unit(fill_hidden(self._small, (alpha < 0.02).astype(np.uint8)))
        sure = certain(alpha)
        output = np.dstack([rgb, np.zeros((height, width), np.uint8)])
        for block in blocks(height, width):
            view, seen = output[block], part(sure, block, height, width)
            if (seen == seen.flat[0]).all() and seen.flat[0] in (0, 1):
                view[..., 3] = 255 * int(seen.flat[0])
                continue
            image = unit(rgb[block])
            at = [enlarged(plane, block, height, width) for plane in (*slopes, offset)]
            found = image[..., 0] * at[0] + image[..., 1] * at[1] + image[..., 2] * at[2] + at[3]
            kept = enlarged(sure, block, height, width)
            a = snapped(np.where(kept >= 1, 1, np.where(kept <= 0, 0, found)))
            front, behind = (
                np.dstack([enlarged(picture[..., c], block, height, width) for c in range(3)])
                for picture in (product, ground)
            )
            cover = a[..., None]
            colour = front + cover * (image - cover * front - (1 - cover) * behind)
            view[..., :3] = np.where(cover >= 1, rgb[block], to_bytes(colour))
            view[..., 3] = to_bytes(a)
        return output


def unit(pixels: Pixels) -> Floats:
    """uint8 -> float32 in [0, 1]."""
    return np.multiply(pixels, np.float32(1 / 255), dtype=np.float32)


def to_bytes(values: Floats) -> Pixels:
    """float32 -> uint8, clipped and rounded."""
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)


def snapped(alpha: NDArray[Any]) -> Floats:
    """Faint alpha is none, and nearly full alpha is full (SNAP)."""
    return np.clip((alpha - SNAP[0]) / (SNAP[1] - SNAP[0]), 0, 1).astype(np.float32)


def without_crumbs(alpha: Floats) -> Floats:
    """Alpha (S, S) without the parts that hang together with nothing and have little of what the largest part has."""
    labels = parts(alpha > 0.1)
    masses = np.bincount(labels.ravel(), alpha.ravel())
    masses[0] = 0
    return np.where((masses < CRUMB * masses.max())[labels], 0, alpha).astype(np.float32)


def parts(mask: NDArray[np.bool_]) -> NDArray[np.intp]:
    """A number for every part of a mask (H, W) that hangs together, also by corners; 0 outside.

    Everybody takes the largest number around, and then the number of whom that was at first, so that numbers travel in
    leaps (pointer jumping, Wyllie 1979).
    """
    labels = np.where(mask, np.arange(1, mask.size + 1).reshape(mask.shape), 0)
    while True:
        grown = np.where(mask, spread(labels, np.maximum), 0)
        leapt = np.where(mask, np.append(0, grown.ravel())[grown], 0)
        if (leapt == labels).all():
            return labels
        labels = leapt


def certain(alpha: Floats) -> Floats:
    """Where the network is sure of product (1) and of ground (0), itself and its neighbours; 0.5 elsewhere."""
    low, high = alpha, alpha
    for _ in range(2):
        low, high = spread(low, np.minimum), spread(high, np.maximum)
    return np.where(low > 0.98, 1, np.where(high < 0.02, 0, 0.5)).astype(np.float32)


def spread(plane: NDArray[Any], pick: np.ufunc) -> NDArray[Any]:
    """The smallest or largest of every pixel and its eight neighbours."""
    padded = np.pad(plane, 1, mode="edge")
    rows = pick(pick(padded[:-2], padded[1:-1]), padded[2:])
    found: NDArray[Any] = pick(pick(rows[:, :-2], rows[:, 1:-1]), rows[:, 2:])
    return found


def mean_around(plane: Floats, radius: int) -> Floats:
    """The mean of the square of side 2 radius + 1 around every pixel, edges repeated."""
    side = 2 * radius + 1
    sums = np.pad(plane, radius, mode="edge").astype(np.float64)
    for axis in (0, 1):
        total = np.cumsum(sums, axis)
        first = np.zeros_like(total.take([0], axis))
        total = np.concatenate([first, total], axis)
        length = total.shape[axis]
        sums = total.take(range(side, length), axis) - total.take(range(length - side), axis)
    return (sums / side**2).astype(np.float32)


def guided(guide: Floats, target: Floats, radius: int, smoothness: float = SMOOTHNESS) -> tuple[list[Floats], Floats]:
    """The linear model of a target (H, W) in a guide (H, W, 3), fitted in every neighbourhood: slopes and offset.

    A neighbourhood whose colours vary by less than `smoothness` counts as flat.
    """
    colours = [guide[..., c] for c in range(3)]
    means = [mean_around(colour, radius) for colour in colours]
    mean = mean_around(target, radius)
    together = [mean_around(colour * target, radius) - m * mean for colour, m in zip(colours, means, strict=True)]
    spreads = {
        (i, j): mean_around(colours[i] * colours[j], radius) - means[i] * means[j] + np.float32(smoothness * (i == j))
        for i in range(3)
        for j in range(i, 3)
    }
    slopes = solved(spreads, together)
    offset = mean - sum(slope * m for slope, m in zip(slopes, means, strict=True))
    return [mean_around(slope, radius) for slope in slopes], mean_around(offset, radius)


def solved(matrix: dict[tuple[int, int], Floats], right: list[Floats]) -> list[Floats]:
    """Every pixel's symmetric 3x3 system, by cofactors."""
    a, b, c, d, e, f = (matrix[key] for key in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)))
    minors = [d * f - e * e, c * e - b * f, b * e - c * d, a * f - c * c, b * c - a * e, a * d - b * b]
    size = a * minors[0] + b * minors[1] + c * minors[2]
    x, y, z = right
    return [
        (minors[0] * x + minors[1] * y + minors[2] * z) / size,
        (minors[1] * x + minors[3] * y + minors[4] * z) / size,
        (minors[2] * x + minors[4] * y + minors[5] * z) / size,
    ]


Block = tuple[slice, slice]


def blocks(height: int, width: int) -> Iterator[Block]:
    """Squares that cover a picture."""
    for top in range(0, height, BLOCK):
        for left in range(0, width, BLOCK):
            yield slice(top, min(top + BLOCK, height)), slice(left, min(left + BLOCK, width))


def part(plane: Floats, block: Block, height: int, width: int) -> Floats:
    """The pixels of a small plane that a block of the whole picture is made of."""
    (rows, columns), (down, across) = block, (plane.shape[0] / height, plane.shape[1] / width)
    top, left = max(0, int(rows.start * down) - 1), max(0, int(columns.start * across) - 1)
    return plane[top : int(rows.stop * down) + 2, left : int(columns.stop * across) + 2]


def enlarged(plane: Floats, block: Block, height: int, width: int) -> Floats:
    """A block of a small plane enlarged to the whole picture's size."""
    (rows, columns), (down, across) = block, (plane.shape[0] / height, plane.shape[1] / width)
    box = (columns.start * across, rows.start * down, columns.stop * across, rows.stop * down)
    return resample(plane, columns.stop - columns.start, rows.stop - rows.start, box)
