"""Products onto a canvas: where they stand, what shadow they throw, and how they are laid over what is behind them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.images import Floats, Pixels, resample, resize
from app.tasks.cutout import mean_around

GAP: Final = 0.06
"""Between products, as a share of the side of a square of a product's area."""
LEAST_MARGIN: Final = 0.08
"""What a product that stands at the bottom leaves free below, at most, as a share of the height."""
STRIP: Final = 256
"""Rows that are worked on at once."""
SHADOW_SIDE: Final = 512
"""Longest side, in px, at which shadows are drawn: they are soft."""
SLANT: Final = 0.45
"""How far a cast shadow leans to the right, as a share of the product's height."""
SQUASH: Final = 0.3
"""How long it is, as a share of that height."""


@dataclass(frozen=True, slots=True)
class Box:
    """A part of the canvas, in px."""

    left: int
    top: int
    width: int
    height: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


def box_of(mask: NDArray[np.bool_]) -> Box | None:
    """The smallest box with all that is set in a mask (H, W), or nothing where nothing is."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    if not rows.size:
        return None
    top, left = int(rows[0]), int(columns[0])
    return Box(left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top)


def trimmed(rgba: Pixels) -> Pixels:
    """Straight RGBA (H, W, 4) uint8, which shows something, without the rows and columns at its edges that do not."""
    box = box_of(rgba[..., 3] > 8)
    assert box is not None  # noqa: S101  # as said
    return np.ascontiguousarray(rgba[box.slices])


def arranged(shapes: list[tuple[int, int]], width: int, height: int, fill: float, anchor: str) -> list[Box]:
    """Where products of these shapes, (height, width), go on a canvas: all of the same area, in rows, none turned.

    Together they take `fill` of the side of the canvas that limits them, in the middle, or at the `bottom`, where they
    stand in one row. In the middle they stand in as many rows as make them largest.
    """
    sides = [(float(np.sqrt(h / w)), float(np.sqrt(w / h))) for h, w in shapes]
    counts = range(1, len(shapes) + 1) if anchor == "center" else (1,)
    layouts = [rows_of(sides, count) for count in counts]
    scales = [min(fill * width / wide, fill * height / high) for _, wide, high in layouts]
    best = int(np.argmax(scales))
    (spots, wide, high), scale = layouts[best], scales[best]
    left, top = (width - scale * wide) / 2, (height - scale * high) / 2
    if anchor == "bottom":
        top = height - scale * high - height * min((1 - fill) / 2, LEAST_MARGIN)
    return [
        box_at(left + scale * x, max(0.0, top) + scale * y, scale * w, scale * h, width, height) for x, y, w, h in spots
    ]


Spot = tuple[float, float, float, float]


def rows_of(sides: list[tuple[float, float]], count: int) -> tuple[list[Spot], float, float]:
    """(left, top, width, height) of every product in so many rows, each row on its own ground, and the whole's size."""
    rows = [list(row) for row in np.array_split(np.arange(len(sides)), count)]
    widths = [sum(sides[i][1] for i in row) + GAP * (len(row) - 1) for row in rows]
    wide, y, spots = max(widths), 0.0, []
    for row, taken in zip(rows, widths, strict=True):
        tallest, x = max(sides[i][0] for i in row), (wide - taken) / 2
        for high, across in (sides[i] for i in row):
            spots.append((x, y + tallest - high, across, high))
            x += across + GAP
        y += tallest + GAP
    return spots, wide, y - GAP


def box_at(left: float, top: float, wide: float, high: float, width: int, height: int) -> Box:
    """The nearest box of whole pixels on the canvas, of at least one."""
    w, h = min(width, max(1, round(wide))), min(height, max(1, round(high)))
    return Box(min(max(0, round(left)), width - w), min(max(0, round(top)), height - h), w, h)


def shadows(alphas: list[tuple[Box, Pixels]], width: int, height: int, kind: str, lying: bool) -> Floats:
    """How much light the products take from what is behind them: (S, T) float32 in [0, 1], to be enlarged.

    `alphas` are (h, w) uint8, each the size of its box. Under what stands there is a `contact` shadow: of what is near
    the foot, the lowest row of alpha over one half, only the lowest parts throw it, pressed flat onto the foot's line
    and blurred, once narrow and once wide. A `soft` shadow adds the whole shape laid on the floor: every point at
    height z over the foot goes to (x + SLANT z, foot - SQUASH z) and is the softer the higher it was. What is `lying`
    is seen from above, and its soft shadow looks out from under it: the shape, moved down and blurred.
    """
    scale = min(1.0, SHADOW_SIDE / max(width, height))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    light = np.ones(size, np.float32)
    for box, alpha in alphas:
        shape = np.zeros(size, np.float32)
        small = Box(
            round(box.left * scale),
            round(box.top * scale),
            max(1, round(box.width * scale)),
            max(1, round(box.height * scale)),
        )
        part = resize(alpha, small.width, small.height).astype(np.float32) / 255
        view = shape[small.slices]
        view[:] = part[: view.shape[0], : view.shape[1]]
        feet = np.flatnonzero((shape > 0.5).any(1))
        if not feet.size:
            continue
        foot, tall = int(feet[-1]) + 1, int(feet[-1] - feet[0]) + 1
        if kind == "soft" and lying:
            light *= 1 - 0.6 * blur(shifted(shape, round(0.02 * tall) + 1, round(0.006 * tall)), 0.022 * tall)
            continue
        light *= 1 - contact(shape, foot, tall)
        if kind == "soft":
            light *= 1 - cast(shape, foot, tall)
    return 1 - light


def contact(shape: Floats, foot: int, tall: int) -> Floats:
    """The shadow right under a standing shape (S, T): `foot` is the row that it stands on, `tall` its height in px."""
    height = len(shape)
    lowest = np.where((shape > 0.5).any(0), height - np.argmax(shape[::-1] > 0.5, 0), 0)
    wide = int((lowest > 0).sum())
    near = np.clip(1 - (foot - lowest) / (0.12 * np.sqrt(tall * wide) + 1), 0, 1)
    line = np.zeros_like(shape)
    thick = max(1, round(0.012 * tall))
    line[max(0, foot - thick) : foot + thick] = near
    narrow, soft = blur(line, 0.012 * tall + 0.7), blur(line, 0.05 * tall + 1)
    return np.minimum(0.75 * narrow + 0.9 * soft, 0.9).astype(np.float32)


def cast(shape: Floats, foot: int, tall: int) -> Floats:
    """The shadow of a standing shape (S, T) on the floor behind it, softer away from the foot."""
    height, width = shape.shape
    rows, columns = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)[None, :]
    z = (foot - rows) / SQUASH
    source_y, source_x = foot - z, columns - SLANT * z
    inside = (z >= 0) & (source_y >= 0) & (source_x >= 0) & (source_x <= width - 1)
    y = np.rint(np.clip(source_y, 0, height - 1)).astype(np.intp)
    x = np.rint(np.clip(source_x, 0, width - 1)).astype(np.intp)
    laid = np.where(inside, shape[np.broadcast_to(y, inside.shape), x], 0).astype(np.float32)
    far = np.clip(z / tall, 0, 1)
    sharp, soft = blur(laid, 0.012 * tall + 0.5), blur(laid, 0.06 * tall + 1)
    return (0.55 * (1 - 0.45 * far) * (sharp + (soft - sharp) * far)).astype(np.float32)


def shifted(shape: Floats, down: int, across: int) -> Floats:
    """Moved by so many px, with nothing coming in."""
    height, width = shape.shape
    found = np.zeros_like(shape)
    found[min(down, height) :, min(across, width) :] = shape[: max(0, height - down), : max(0, width - across)]
    return found


def blur(plane: Floats, sigma: float) -> Floats:
    """(H, W) float32 with about a Gaussian of that standard deviation in px: three boxes, the edges repeated."""
    radius = max(1, round((np.sqrt(4 * sigma**2 + 1) - 1) / 2))
    for _ in range(3):
        plane = mean_around(plane, radius)
    return plane


def strips(height: int) -> Iterator[slice]:
    """Rows of a picture, a few at a time, so that sums in float take little memory."""
    return (slice(top, min(top + STRIP, height)) for top in range(0, height, STRIP))


def darkened(ground: Pixels, shadow: Floats, opacity: float) -> Pixels:
    """A ground with a shadow (S, T) in [0, 1] of that opacity: (H, W, 3) uint8, or (H, W, 4) of nothing but itself."""
    height, width = ground.shape[:2]
    taken = opacity * resample(shadow, width, height)[..., None]
    found = ground.copy()
    for rows in strips(height):
        if ground.shape[2] == 4:
            found[rows, :, 3:] = np.rint(255 * taken[rows])
        else:
            found[rows] = np.rint(ground[rows] * (1 - taken[rows]))
    return found


def laid_over(ground: Pixels, rgba: Pixels, box: Box) -> None:
    """Put a product, straight RGBA (h, w, 4) uint8, onto a ground, (H, W, 3) or straight RGBA (H, W, 4), in place."""
    whole = ground[box.slices]
    for rows in strips(box.height):
        view, part = whole[rows], rgba[rows]
        cover = part[..., 3:].astype(np.float32) / 255
        if ground.shape[2] == 3:
            view[:] = np.rint(view + cover * (part[..., :3].astype(np.float32) - view))
            continue
        below = view[..., 3:].astype(np.float32) / 255 * (1 - cover)
        both = cover + below
        colour = (part[..., :3] * cover + view[..., :3] * below) / np.maximum(both, 1e-6)
        view[..., :3], view[..., 3:] = np.rint(colour), np.rint(255 * both)
