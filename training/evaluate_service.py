"""What only a running service shows: whether cut-outs carry a rim of their old ground, and whether white is white."""

from __future__ import annotations

from pathlib import Path

import cv2
import httpx
import numpy as np

from training.composites import Floats, read_views, unit
from training.cutout import bleed
from training.data import DataError
from training.figures import Report
from training.gallery import Caller
from training.pictures import Pixels, png

GROUNDS = ((255, 255, 255), (30, 30, 32), (40, 160, 90))
BAND = 5
"""Width, in px, of what counts as the edge."""


def evaluate_service(url: str, scenes: Path) -> Report:
    """Of held-out scenes: the mean error of colours in the edge band, over three grounds, against the true composite.

    And the share of pixels outside the true product that the style `studio` makes exactly white. The true foreground is
    the scene's product with its inner colours spread outwards, laid over by the true alpha. Beside the service's
    cut-out: the photo's own colours with the service's alpha, which is what a rim looks like, and with the true alpha.

    Raises:
        DataError: no scenes, or the service refuses.
    """
    white: list[float] = []
    errors: dict[str, list[float]] = {"": [], "without despill, ": [], "true alpha without despill, ": []}
    with httpx.Client(base_url=url, timeout=120) as client:
        caller = Caller(client)
        views = [view for split in ("test", "validation") for view in read_views(scenes, split)]
        if not views:
            raise DataError(f"no held-out scenes in {scenes}")
        for scene, studio in views:
            options = {"scale": "1", "denoise": "0", "background": "transparent"}
            cut = caller.picture("/enhance", [png(scene)], **options)
            alpha = unit(studio[..., 3])
            inner = bleed(scene, np.where(alpha > 0.98, 255, 0).astype(np.uint8), pixels=1)
            edge = band(alpha)
            studio_shot = caller.picture("/restyle", [png(scene)], style="studio")[..., :3]
            white.append(float((studio_shot[alpha == 0] == 255).all(-1).mean()))
            ours = unit(cut[..., 3])
            variants = {"": (cut[..., :3], ours), "without despill, ": (scene, ours)}
            variants["true alpha without despill, "] = (scene, alpha)
            for name, (colours, cover) in variants.items():
                errors[name] += [
                    float(np.abs(laid(colours, cover, ground) - laid(inner, alpha, ground))[edge].mean())
                    for ground in GROUNDS
                ]
    report = Report()
    data = f"{len(views)} held-out scenes over {len(GROUNDS)} grounds, a band of {BAND} px at the edge"
    for name, values in errors.items():
        report.add(f"{name}error of the edge's colour", float(np.mean(values)), "of 255", data)
    said = f"{len(views)} held-out scenes"
    report.add("exactly white outside the product, studio, mean", 100 * float(np.mean(white)), "% of the pixels", said)
    report.add("the same, median", 100 * float(np.median(white)), "% of the pixels", said)
    return report


def band(alpha: Floats) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Where the edge is: (H, W)."""
    inside = (alpha > 0.5).astype(np.uint8)
    kernel = np.ones((BAND, BAND), np.uint8)
    return np.asarray(cv2.dilate(inside, kernel) != cv2.erode(inside, kernel))


def laid(colours: Pixels, alpha: Floats, ground: tuple[int, int, int]) -> Floats:
    """(H, W, 3) uint8 by alpha over a colour, 0 to 255, not rounded."""
    below = np.array(ground, np.float32)
    return np.asarray(below + (colours - below) * alpha[..., None], np.float32)
