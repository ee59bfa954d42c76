"""Cut a single product out of a photo without a network: GrabCut started from the colours of the border.

GrabCut is Rother, Kolmogorov, Blake, "GrabCut: interactive foreground extraction using iterated graph cuts" (2004).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

WORK_SIDE = 320
BORDER_SHARE = 0.05
ITERATIONS = 4


@dataclass(frozen=True, slots=True)
class Cutout:
    """A product and how far its mask can be trusted."""

    rgb: Pixels  # (H, W, 3)
    mask: Pixels  # (H, W), 0 or 255
    reason: str  # why it must not be used; "" when it may


def shrink(rgb: Pixels, side: int = WORK_SIDE) -> Pixels:
    """(H, W, 3) uint8 -> the same picture with its long side at most `side` px."""
    height, width = rgb.shape[:2]
    factor = side / max(height, width)
    if factor >= 1:
        return rgb
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return cv2.resize(rgb, size, interpolation=cv2.INTER_AREA).astype(np.uint8)


def background_distance(rgb: Pixels, clusters: int = 4) -> NDArray[np.float32]:
    """(H, W, 3) uint8 -> (H, W) float32: Lab distance, in deviations, to the nearest colour cluster of the border."""
    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB).astype(np.float32)
    height, width = lab.shape[:2]
    band = max(2, round(min(height, width) * BORDER_SHARE))
    border = np.concatenate(
        [lab[:band].reshape(-1, 3), lab[:, :band].reshape(-1, 3), lab[:, -band:].reshape(-1, 3)]
    )  # not the bottom: trousers and dresses often run out of it
    cv2.setRNGSeed(0)
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 20, 0.5)
    _, labels, centres = cv2.kmeans(border, clusters, None, stop, 2, cv2.KMEANS_PP_CENTERS)  # type: ignore[call-overload]
    distance = np.full((height, width), np.inf, np.float32)
    for index, centre in enumerate(centres):
        members = border[labels[:, 0] == index]
        if len(members) < 0.03 * len(border):  # a corner of the product, not the ground
            continue
        spread = members.std(0) + 4.0
        distance = np.minimum(distance, np.sqrt((((lab - centre) / spread) ** 2).sum(-1)))
    return distance


def grabcut_mask(rgb: Pixels) -> Pixels:
    """(H, W, 3) uint8 -> (H, W) uint8 mask of 0 and 255, all that GrabCut calls foreground."""
    distance = cv2.GaussianBlur(background_distance(rgb), (0, 0), 1.5)
    height, width = distance.shape
    trimap = np.full((height, width), cv2.GC_PR_BGD, np.uint8)
    trimap[distance > 2.5] = cv2.GC_PR_FGD
    centre = np.zeros_like(trimap)
    centre[round(height * 0.25) : round(height * 0.75), round(width * 0.3) : round(width * 0.7)] = 1
    trimap[(distance > 1.5) & (centre == 1)] = cv2.GC_PR_FGD
    band = max(2, round(min(height, width) * 0.02))
    for edge in (trimap[:band], trimap[:, :band], trimap[:, -band:]):
        edge[:] = cv2.GC_BGD
    background, foreground = np.zeros((1, 65)), np.zeros((1, 65))
    if not (trimap == cv2.GC_PR_FGD).any():
        return np.zeros((height, width), np.uint8)
    cv2.setRNGSeed(0)
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    cv2.grabCut(bgr, trimap, None, background, foreground, ITERATIONS, cv2.GC_INIT_WITH_MASK)  # type: ignore[call-overload]
    return np.where((trimap == cv2.GC_FGD) | (trimap == cv2.GC_PR_FGD), 255, 0).astype(np.uint8)


def keep_product(mask: Pixels) -> Pixels:
    """(H, W) mask -> the mask without specks and thin bridges, small holes closed; two parts of a pair both stay."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, kernel).astype(np.uint8)
    count, parts, stats, _ = cv2.connectedComponentsWithStats(mask)
    if count < 2:
        return mask
    areas = stats[1:, cv2.CC_STAT_AREA]
    kept = np.isin(parts, 1 + np.flatnonzero(areas > 0.25 * areas.max()))
    holes = np.where(kept, 0, 255).astype(np.uint8)
    count, parts, stats, _ = cv2.connectedComponentsWithStats(holes)
    small = 1 + np.flatnonzero(stats[1:, cv2.CC_STAT_AREA] < 0.01 * areas.max())
    kept |= np.isin(parts, small)
    return np.where(kept, 255, 0).astype(np.uint8)


def contour_contrast(rgb: Pixels, mask: Pixels) -> float:
    """Share of the mask's outline on which the colours inside and outside differ (Lab distance over 8), in [0, 1]."""
    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB).astype(np.float32)
    inside = mask.astype(np.float32) / 255
    blurred_in = cv2.GaussianBlur(lab * inside[..., None], (0, 0), 3) / (
        cv2.GaussianBlur(inside, (0, 0), 3)[..., None] + 1e-3
    )
    outside = 1 - inside
    blurred_out = cv2.GaussianBlur(lab * outside[..., None], (0, 0), 3) / (
        cv2.GaussianBlur(outside, (0, 0), 3)[..., None] + 1e-3
    )
    edge = cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    if not edge.any():
        return 0.0
    difference = np.sqrt(((blurred_in - blurred_out) ** 2).sum(-1))
    return float((difference[edge] > 8).mean())


def judge(rgb: Pixels, mask: Pixels) -> str:
    """Why a mask must not be used, as a short stable word; "" when nothing speaks against it."""
    inside = mask > 0
    area = inside.mean()
    if area < 0.06:
        return "too-small"
    if area > 0.80:
        return "too-large"
    border = np.concatenate(
        [inside[0], inside[-1], inside[:, 0], inside[:, -1], inside[:, 3], inside[:, -4], inside[3]]
    )
    if border.mean() > 0.04:
        return "cut-off"
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = sum(cv2.arcLength(contour, True) for contour in contours)
    if outline**2 / (4 * np.pi * inside.sum()) > 14:  # 1 for a disc, about 3 to 8 for garments
        return "ragged"
    if contour_contrast(rgb, mask) < 0.80:
        return "faint-outline"
    return ""


def cut_out(rgb: Pixels) -> Cutout:
    """(H, W, 3) uint8 photo of any size -> the product at working size with its mask and a verdict."""
    small = shrink(rgb)
    mask = keep_product(grabcut_mask(small))
    return Cutout(small, mask, judge(small, mask))


def bleed(rgb: Pixels, mask: Pixels, pixels: int = 2) -> Pixels:
    """Replace the colours outside the mask, and within `pixels` of its edge, by those of the nearest inner pixel.

    (H, W, 3) and (H, W) uint8 -> (H, W, 3) uint8. So no colour of the old ground is left when the edge is resampled.
    """
    core = cv2.erode(mask, np.ones((2 * pixels + 1, 2 * pixels + 1), np.uint8))
    if not core.any():
        return rgb
    _, nearest = cv2.distanceTransformWithLabels(255 - core, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    colours = np.zeros((int(nearest.max()) + 1, 3), np.uint8)
    colours[nearest[core > 0]] = rgb[core > 0]
    return np.where((core > 0)[..., None], rgb, colours[nearest]).astype(np.uint8)


def bounds(inside: NDArray[np.bool_]) -> tuple[int, int, int, int] | None:
    """(top, left, bottom, right) of what is inside, (H, W); None when nothing is."""
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    return (int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1) if rows.size else None


def place(rgb: Pixels, mask: Pixels, side: int, fill: float = 0.90) -> Pixels:
    """Centre a product: (H, W, 3) and (H, W) uint8 -> (side, side, 4) straight RGBA, white where alpha is 0.

    The long side of its bounding box becomes `fill` of `side`.
    """
    top, left, bottom, right = bounds(mask > 0) or (0, 0, *mask.shape)
    scale = fill * side / max(bottom - top, right - left)
    shift_x = (side - scale * (left + right)) / 2
    shift_y = (side - scale * (top + bottom)) / 2
    colour = bleed(rgb, mask)
    alpha = cv2.GaussianBlur(mask, (0, 0), 0.8).astype(np.uint8)
    if scale < 1:  # warpAffine does not filter when it shrinks
        sigma = max(0.01, 0.45 * (1 / scale - 1))
        colour, alpha = (cv2.GaussianBlur(p, (0, 0), sigma).astype(np.uint8) for p in (colour, alpha))
    matrix = np.array([[scale, 0, shift_x + scale * 0.5 - 0.5], [0, scale, shift_y + scale * 0.5 - 0.5]])
    size = (side, side)
    moved = cv2.warpAffine(colour, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    coverage = cv2.warpAffine(alpha, matrix, size, flags=cv2.INTER_LINEAR, borderValue=0)
    alpha = np.clip((coverage.astype(np.float32) - 16) * 255 / 223, 0, 255).astype(np.uint8)
    return np.dstack([np.where(alpha[..., None] > 0, moved, 255), alpha]).astype(np.uint8)
