"""A product as a line drawing: where its shape ends, and what stands out inside."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.images import Floats, Pixels, resize
from app.tasks.compose import Box, blur
from app.tasks.cutout import blocks, enlarged, parts, to_bytes, unit

DRAWN_SIDE: Final = 1000
"""Longest side, in px, at which lines are found; they are made sharp at the picture's own size."""
MOST_ENLARGED: Final = 4.0
"""How many times a small picture is enlarged for that, at most."""
FINE: Final = 0.0016
"""Sigma of the finer Gaussian across a line, as a share of the longest side; also the unit of lengths here."""
ALONG: Final = 4.0
"""Sigma of the Gaussian along a line, in FINE."""
BLUE: Final = 0.7
"""How much lines of the blue channel count, whose noise is the strongest."""
RANGE: Final = (0.6, 2.5)
"""Contrasts up to this one, of 1, are raised to it, at most so many times: what is dark has lines too."""
CROWD: Final = (18.0, 1.3, 0.03)
"""Over how far, in FINE, lines around a line are counted, how much they take from it, and the most that one counts."""
LINE: Final = (0.005, 0.014)
"""What a line must have everywhere, and somewhere, after that."""
STROKE: Final = 30.0
"""Shortest line, in FINE."""


def line_drawing(rgb: Pixels, alpha: Pixels, strength: float) -> Pixels:
    """The product of a photo (H, W, 3), by alpha (H, W), both uint8, in lines on white: (H, W, 3) uint8, all grey.

    Its outline, whole, where alpha is half; inside a flow-based difference of Gaussians (Kang, Lee and Chui 2007, in
    the separated form of Kyprianidis and Doellner 2008) of every colour channel, less what lines around there are
    (surround suppression, Grigorescu, Petkov and Westenberg 2003), so that patterns and creases do not become hatching;
    what is strong somewhere is followed while it is weak (Canny 1986), and short strokes are left out. `strength` in
    [0, 1] is how dark the ink is. Lines are as thick as the picture is large.
    """
    height, width = alpha.shape
    paper = np.full((height, width), 255, np.uint8)
    if (alpha > 127).any():
        scale = min(DRAWN_SIDE / max(height, width), MOST_ENLARGED)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        # No finer than the picture itself, where that is small and has been enlarged.
        unit_of = max(FINE * scale * max(height, width), 0.7 * scale)
        ink = ink_of(resize(rgb, *size), resize(alpha, *size), unit_of)
        # Where lines are enlarged their edges stay a pixel or two wide.
        sharp = max(1.0, 0.7 / scale)
        for block in blocks(height, width):
            cover = np.clip(sharp * (enlarged(ink, block, height, width) - 0.5) + 0.5, 0, 1)
            paper[block] = to_bytes(1 - np.float32(strength) * np.where(cover < 0.02, 0, cover))
    return np.repeat(paper[..., None], 3, 2)


def ink_of(rgb: Pixels, alpha: Pixels, unit_of: float) -> Floats:
    """How much ink every pixel of a picture (H, W, 3) and its alpha (H, W), both uint8, gets: (H, W) in [0, 1].

    `unit_of` is FINE in px.
    """
    height, width = alpha.shape
    box = around(alpha, round(12 * unit_of))
    picture, cover = unit(rgb[box.slices]), unit(alpha[box.slices])
    sharp = np.clip(6 * cover - 2.5, 0, 1).astype(np.float32)  # a line where alpha is half, however soft it is
    inside = blur(sharp, 2.5 * unit_of) > 0.98
    ink = outline(sharp, 1.4 * unit_of)
    if inside.any():
        ink = np.maximum(ink, drawn(picture, cover, inside, unit_of))
    found = np.zeros((height, width), np.float32)
    found[box.slices] = without_strokes(ink, ink, (0.0, 0.0), min(STROKE * unit_of, 0.5 * max(box.width, box.height)))
    return found


def around(alpha: Pixels, margin: int) -> Box:
    """The box of a product and a margin, as far as there is a picture."""
    height, width = alpha.shape
    rows, columns = (np.flatnonzero((alpha > 16).any(axis)) for axis in (1, 0))
    if not rows.size:
        return Box(0, 0, width, height)
    top, left = max(0, int(rows[0]) - margin), max(0, int(columns[0]) - margin)
    bottom, right = min(height, int(rows[-1]) + 1 + margin), min(width, int(columns[-1]) + 1 + margin)
    return Box(left, top, right - left, bottom - top)


def outline(cover: Floats, sigma: float) -> Floats:
    """Ink where a cover (H, W) in [0, 1] is half; the picture's edge is none."""
    soft = blur(cover, sigma)
    return np.where((soft > 0) & (soft < 1), np.clip(1.6 - 3.2 * np.abs(soft - 0.5), 0, 1), 0).astype(np.float32)


def drawn(picture: Floats, cover: Floats, inside: NDArray[np.bool_], unit_of: float) -> Floats:
    """Ink for what is inside of a product: picture (H, W, 3) in [0, 1], its cover and the mask (H, W) that is drawn."""
    near = blur(cover, 4 * unit_of)
    channels = []
    for colour in (picture[..., c] for c in range(3)):
        beyond = blur(colour * cover, 4 * unit_of) / np.maximum(near, 1e-3)  # the ground must draw no line
        channels.append(np.where(near > 0.05, beyond + cover * (colour - beyond), 0.5).astype(np.float32))
    gain = contrast(picture[inside])
    found = lines_of(channels, inside, unit_of) * gain
    reach, share, most = CROWD
    mask = inside.astype(np.float32)
    crowd = blur(np.minimum(found, most), reach * unit_of) / np.maximum(blur(mask, reach * unit_of), 0.05)
    found = np.maximum(found - np.float32(share) * crowd, 0)
    ink = np.clip((found - LINE[0]) / LINE[0], 0, 1)
    return without_strokes(ink, found, LINE, STROKE * unit_of)


def contrast(colours: Floats) -> float:
    """By how much the contrast of a product's colours (N, 3) is raised (RANGE)."""
    low, high = np.percentile(colours[:: max(1, len(colours) // 5000)].mean(-1), (2, 98))
    return float(np.clip(RANGE[0] / max(float(high - low), 0.01), 1, RANGE[1]))


def lines_of(channels: list[Floats], inside: NDArray[np.bool_], unit_of: float) -> Floats:
    """How much darker a place is than both its sides, smoothed along the line: (H, W), 0 outside of the mask.

    Nearest pixels are enough: the picture has been enlarged, or is about to be blurred along the line.
    """
    height, width = inside.shape
    across_y, across_x = directions(channels, 3 * unit_of)
    y, x = (at.astype(np.float32) for at in np.nonzero(inside))
    index = np.flatnonzero(inside)
    dy, dx = across_y.ravel()[index], across_x.ravel()[index]
    reach = int(np.ceil(4.5 * unit_of))
    steps = np.arange(-reach, reach + 1)
    weights = bell(steps, 1.6 * unit_of) - bell(steps, unit_of)
    sums = [np.zeros(len(index), np.float32) for _ in channels]
    for step, weight in zip(steps, weights, strict=True):
        at = places(y + step * dy, x + step * dx, height, width)
        sums = [total + weight * channel.ravel()[at] for total, channel in zip(sums, channels, strict=True)]
    best = np.maximum(np.maximum(sums[0], sums[1]), BLUE * sums[2])
    plane = np.zeros(height * width, np.float32)
    plane[index] = np.maximum(best, 0)
    found = np.zeros_like(plane)
    found[index] = followed(plane, index, (across_x.ravel(), -across_y.ravel()), (y, x), (height, width), unit_of)
    return found.reshape(height, width)


def followed(
    plane: Floats,
    index: NDArray[np.intp],
    along: tuple[Floats, Floats],
    at: tuple[Floats, Floats],
    shape: tuple[int, int],
    unit_of: float,
) -> Floats:
    """The mean of a plane along the line through every place, by a Gaussian (ALONG); all planes flat."""
    sigma = ALONG * unit_of
    total, mass = plane[index].copy(), np.float32(1)
    for sign in (1, -1):
        (y, x), (down, right) = (at[0].copy(), at[1].copy()), (sign * along[0][index], sign * along[1][index])
        for step in range(1, int(2 * sigma) + 1):
            y += down
            x += right
            here = places(y, x, *shape)
            weight = np.float32(np.exp(-(step**2) / (2 * sigma**2)))
            total += weight * plane[here]
            mass += weight
            next_y, next_x = along[0][here], along[1][here]
            back = next_y * down + next_x * right < 0  # a direction has two ends
            down, right = np.where(back, -next_y, next_y), np.where(back, -next_x, next_x)
    return np.asarray(total / mass, np.float32)


def directions(channels: list[Floats], sigma: float) -> tuple[Floats, Floats]:
    """Where colours change most, (y, x) of length 1 at every pixel: the smoothed structure tensor (Di Zenzo 1986)."""
    vertical = horizontal = both = np.zeros_like(channels[0])
    for channel in channels:
        dy, dx = np.gradient(channel)
        vertical, horizontal, both = vertical + dy * dy, horizontal + dx * dx, both + dy * dx
    vertical, horizontal, both = (blur(part, sigma) for part in (vertical, horizontal, both))
    angle = 0.5 * np.arctan2(2 * both, horizontal - vertical)
    return np.sin(angle).astype(np.float32), np.cos(angle).astype(np.float32)


def bell(steps: NDArray[np.intp], sigma: float) -> Floats:
    """A Gaussian whose sum is 1."""
    values = np.exp(-(steps**2) / (2 * sigma**2))
    return np.asarray(values / values.sum(), np.float32)


def places(y: Floats, x: Floats, height: int, width: int) -> NDArray[np.int32]:
    """The flat numbers of the nearest pixels."""
    rows, columns = np.rint(y).astype(np.int32), np.rint(x).astype(np.int32)
    return np.clip(rows, 0, height - 1) * np.int32(width) + np.clip(columns, 0, width - 1)


def without_strokes(ink: Floats, found: Floats, limits: tuple[float, float], least: float) -> Floats:
    """Ink (H, W) without what hangs together and is short, or nowhere reaches the higher of two limits of `found`.

    Looked at in squares of 2x2 px, where a gap of a pixel is none.
    """
    height, width = ink.shape
    padded = np.pad(np.where(ink > 0.2, found, 0), ((0, height % 2), (0, width % 2)))
    small = padded.reshape(len(padded) // 2, 2, -1, 2).max((1, 3))
    labels = parts(small > 0)
    kept = np.bincount(labels.ravel()) >= least / 2
    strong = np.zeros_like(kept)
    strong[labels[small >= max(limits[1], 1e-6)]] = True
    kept &= strong
    kept[0] = False
    return np.where(kept[labels].repeat(2, 0).repeat(2, 1)[:height, :width], ink, 0).astype(np.float32)
