"""Line drawings of clean pictures by rule, which is what the network `sketch` learns to make of snapshots."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from training.composites import Floats, floats, unit
from training.cutout import bounds
from training.pictures import Pixels


@dataclass(frozen=True, kw_only=True)
class Pen:
    """How a picture is drawn; lengths are in px of the drawing, contrasts of 1."""

    fine: float = 1.8
    """Sigma of the finer Gaussian across a line."""
    wide: float = 2.4
    """Sigma of the wider one, in `fine`: pictures are blurred, and a step in them is not much sharper than that."""
    along: float = 3.0
    """Sigma of the Gaussian along a line, in `fine`."""
    blue: float = 0.7
    """How much lines of the blue channel count, whose noise is the strongest."""
    contrast: tuple[float, float] = (0.6, 2.5)
    """Contrasts up to this one are raised to it, at most so many times: what is dark has lines too."""
    crowd: tuple[float, float, float] = (18.0, 1.5, 0.08)
    """Over how far, in `fine`, lines around a line are counted, what they take from it, the most that one counts."""
    line: tuple[float, float] = (0.010, 0.030)
    """What a line must have everywhere, and somewhere, after that."""
    stroke: float = 40.0
    """Shortest line."""
    inner: float = 1.7
    """Half the width of a line inside."""
    outer: float = 2.4
    """Half the width of the outline."""


PEN = Pen()
PACE = 2.5
"""Px between places that are read along a line."""


def line_drawing(rgb: Pixels, alpha: Pixels, pen: Pen = PEN) -> Floats:
    """Ink (H, W) in [0, 1] for a picture (H, W, 3) and its product's alpha (H, W), both uint8.

    The outline, where alpha is half; inside, the crests of a flow-based difference of Gaussians (Kang, Lee and Chui
    2007, in the separated form of Kyprianidis and Doellner 2008) of every colour channel, less what lines around there
    are (surround suppression, Grigorescu, Petkov and Westenberg 2003), so that patterns and creases do not become
    hatching; what is strong somewhere is followed while it is weak (Canny 1986), and short strokes are left out. All
    lines are drawn with a pen of one width.
    """
    cover = floats(np.clip(3 * cv2.GaussianBlur(unit(alpha), (0, 0), 1.5 * pen.fine) - 1, 0, 1))
    ink = outline(cover, pen)
    inside = cv2.GaussianBlur(cover, (0, 0), 2.5 * pen.fine) > 0.985
    box = bounds(inside)
    if box is not None:
        margin = round(12 * pen.fine)
        part = tuple(slice(max(0, low - margin), high + margin) for low, high in zip(box[:2], box[2:], strict=True))
        ink[part] = np.maximum(ink[part], drawn(unit(rgb[part]), cover[part], inside[part], pen))
    return ink


def outline(cover: Floats, pen: Pen) -> Floats:
    """Ink where a cover (H, W) in [0, 1] is half; the picture's edge is none."""
    mask = np.pad((cover > 0.5).astype(np.uint8), 1, mode="edge")
    edge = cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, np.ones((2, 2), np.uint8))[1:-1, 1:-1] > 0
    return penned(kept(edge, edge, pen.stroke), pen.outer)


def drawn(picture: Floats, cover: Floats, inside: NDArray[np.bool_], pen: Pen) -> Floats:
    """Ink for what is inside of a product: picture (H, W, 3) in [0, 1], its cover and the mask (H, W) that is drawn."""
    near = cv2.GaussianBlur(cover, (0, 0), 4 * pen.fine)[..., None]
    ground = cv2.GaussianBlur(picture * cover[..., None], (0, 0), 4 * pen.fine) / np.maximum(near, 1e-3)
    picture = floats(np.where(near > 0.05, ground + cover[..., None] * (picture - ground), 0.5))
    picture = floats(cv2.bilateralFilter(picture, 7, 0.06, 1.5 * pen.fine))
    shades = picture[inside].mean(-1)
    low, high = np.percentile(shades[:: max(1, len(shades) // 5000)], (2, 98))
    gain = float(np.clip(pen.contrast[0] / max(float(high - low), 0.01), 1, pen.contrast[1]))
    across = directions(picture, 2 * pen.fine)
    found = followed(lines_of(picture, pen), (across[1], -across[0]), pen.along * pen.fine)
    found = floats(found * gain * inside)
    reach, share, most = pen.crowd
    mask = inside.astype(np.float32)
    crowd = cv2.GaussianBlur(np.minimum(found, most), (0, 0), reach * pen.fine)
    crowd = crowd / np.maximum(cv2.GaussianBlur(mask, (0, 0), reach * pen.fine), 0.05)
    found = floats(np.maximum(found - share * crowd, 0))
    sides = [sampled(found, sign * across[0], sign * across[1]) for sign in (1, -1)]
    crest = (found >= sides[0]) & (found > sides[1]) & (found > pen.line[0])
    return penned(kept(crest, found > pen.line[1], pen.stroke), pen.inner)


def directions(picture: Floats, sigma: float) -> tuple[Floats, Floats]:
    """Where colours change most, (y, x) of length 1 at every pixel: the smoothed structure tensor (Di Zenzo 1986)."""
    dx, dy = (cv2.Sobel(picture, cv2.CV_32F, *order) for order in ((1, 0), (0, 1)))
    parts = [(a * b).sum(-1) for a, b in ((dy, dy), (dx, dx), (dy, dx))]
    vertical, horizontal, both = (cv2.GaussianBlur(part, (0, 0), sigma) for part in parts)
    angle = 0.5 * np.arctan2(2 * both, horizontal - vertical)
    return floats(np.sin(angle)), floats(np.cos(angle))


def sampled(plane: Floats, down: Floats, right: Floats) -> Floats:
    """A plane (H, W) or (H, W, C) read at places that are moved by so many pixels, linear between them."""
    rows, columns = np.indices(down.shape, np.float32)
    at = floats(columns + right), floats(rows + down)
    return floats(cv2.remap(plane, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def lines_of(picture: Floats, pen: Pen) -> Floats:
    """How much darker a place is than what is around it, of the channel where that is most: (H, W)."""
    wide, fine = (cv2.GaussianBlur(picture, (0, 0), sigma) for sigma in (pen.wide * pen.fine, pen.fine))
    sums = wide - fine
    best = np.maximum(np.maximum(sums[..., 0], sums[..., 1]), pen.blue * sums[..., 2])
    return floats(np.maximum(best, 0))


def followed(plane: Floats, along: tuple[Floats, Floats], sigma: float) -> Floats:
    """The mean of a plane (H, W) along the line through every place, by a Gaussian."""
    total, mass = plane.copy(), 1.0
    flow = np.dstack(along)
    rows, columns = np.indices(plane.shape, np.float32)
    for sign in (PACE, -PACE):
        step = sign * flow
        x, y = columns + step[..., 1], rows + step[..., 0]
        for count in range(1, int(2 * sigma / PACE) + 1):
            weight = float(np.exp(-((PACE * count) ** 2) / (2 * sigma**2)))
            total += weight * cv2.remap(plane, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            mass += weight
            there = cv2.remap(flow, x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
            # A line has two ends: on along the one that lies ahead.
            ahead = np.sign((there * step).sum(-1, keepdims=True)) * PACE
            step = there * ahead
            x, y = x + step[..., 1], y + step[..., 0]
    return floats(total / mass)


def kept(crest: NDArray[np.bool_], strong: NDArray[np.bool_], least: float) -> NDArray[np.bool_]:
    """What hangs together, is at least so many pixels long, and is strong somewhere."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(crest.astype(np.uint8), connectivity=8)
    good = stats[:, cv2.CC_STAT_AREA] >= least
    good &= np.bincount(labels[strong & crest], minlength=count) > 0
    good[0] = False
    return np.asarray(good[labels])


def penned(crest: NDArray[np.bool_], half: float) -> Floats:
    """Lines (H, W), a pixel wide, as ink in [0, 1] twice `half` wide, their steps smoothed."""
    if not crest.any():
        return np.zeros(crest.shape, np.float32)
    far = cv2.distanceTransform((~crest).astype(np.uint8), cv2.DIST_L2, 5)
    solid = cv2.GaussianBlur(floats(np.clip(half + 0.5 - far, 0, 1)), (0, 0), 1.5)
    return floats(np.clip(2 * solid - 0.5, 0, 1))
