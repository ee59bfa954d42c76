"""How well light is taken off products, and drawings become products; on what was not learned from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from training.composites import Floats, unit
from training.data import read_products
from training.figures import Report
from training.harmonization import View, read_pairs
from training.networks.relight import relit
from training.pictures import Pixels, on_white, over, sheet
from training.sketching import drawing

SHOWN = 8
WHITE = (255, 255, 255)


def psnr(a: Pixels, b: Pixels) -> float:
    """Peak signal-to-noise ratio of two uint8 pictures of the same shape, dB."""
    return float(10 * np.log10(255**2 / max(float(np.mean((a.astype(np.float64) - b) ** 2)), 1e-10)))


def ssim(a: Pixels, b: Pixels) -> float:
    """Structural similarity of two (H, W, 3) uint8 pictures' luma (Wang et al. 2004; Gaussian window of 1.5 px)."""
    x, y = (cv2.cvtColor(one, cv2.COLOR_RGB2GRAY).astype(np.float64) for one in (a, b))
    return float(similarity(x, y).mean())


def similarity(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Structural similarity of two planes (H, W) of up to 255, at every pixel."""

    def mean(plane: Any) -> Any:  # noqa: ANN401  # OpenCV's arrays
        return cv2.GaussianBlur(plane, (11, 11), 1.5)

    mx, my = mean(x), mean(y)
    vx, vy, both = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return np.asarray(((2 * mx * my + c1) * (2 * both + c2)) / ((mx**2 + my**2 + c1) * (vx + vy + c2)))


def evaluate_relight(session: onnxruntime.InferenceSession, side: int, folders: list[Path]) -> Report:
    """On white, by the true alpha: the snapshot as it is and relit, each beside the studio's view; and that view relit.

    Raises:
        DataError: the folders hold no views of the splits that no training sees.
    """
    views = [view for split in ("test", "validation") for view in read_pairs(folders, split)]
    report, rows, scores = Report(), [], []
    shown = set(np.linspace(0, len(views) - 1, SHOWN).astype(int))
    for index, view in enumerate(views):
        pictures, alpha = relit_views(session, view, side)
        _, before, after, truth = pictures
        inside = alpha > 0.9
        again = relit_by(session, truth, alpha)
        gaps = [
            float(np.linalg.norm(mean_lab(unit(one), inside) - mean_lab(unit(truth), inside)))
            for one in (before, after, again)
        ]
        scores.append((psnr(before, truth), psnr(after, truth), ssim(before, truth), ssim(after, truth), *gaps))
        if index in shown:
            rows += [
                np.asarray(cv2.resize(one, (128, 128), interpolation=cv2.INTER_AREA), np.uint8) for one in pictures
            ]
    means = np.mean(scores, 0)
    data = f"{len(views)} views of held-out objects, on white by their true alpha, {side} px"
    names = ["PSNR", "SSIM", "distance of the product's mean colour"]
    for name, unit_of, at in zip(names, ("dB", "", "CIE 1976"), (0, 2, 4), strict=True):
        report.add(f"{name}, snapshot", means[at], unit_of, data)
        report.add(f"{name}, relit", means[at + 1], unit_of, data)
    report.add(f"{names[2]}, relit where it is the studio's already", means[6], "CIE 1976", data)
    better = sum(after > before for before, after, *_ in scores)
    report.add("views with a better PSNR", better, f"of {len(views)}", data)
    report.picture = sheet(rows, columns=8)
    return report


def relit_views(
    session: onnxruntime.InferenceSession, view: View, side: int
) -> tuple[tuple[Pixels, Pixels, Pixels, Pixels], Floats]:
    """A view's snapshot, and on white: the snapshot, the same relit, and the studio's view; and alpha."""
    scene, studio = (np.asarray(cv2.resize(one, (side, side), interpolation=cv2.INTER_AREA), np.uint8) for one in view)
    alpha = unit(studio[..., 3])
    after = relit_by(session, scene, alpha)
    return (scene, over(scene, alpha, WHITE), over(after, alpha, WHITE), over(studio[..., :3], alpha, WHITE)), alpha


def relit_by(session: onnxruntime.InferenceSession, rgb: Pixels, alpha: Floats) -> Pixels:
    """A picture (S, S, 3) with the light of its place taken off, as the published graph tells it."""
    light = session.run(None, {"image": np.dstack([rgb, (255 * alpha).round().astype(np.uint8)])[None]})[0]
    picture = torch.from_numpy(unit(rgb)).permute(2, 0, 1)[None]
    found = relit(picture, torch.from_numpy(light).permute(0, 3, 1, 2)).clamp(0, 1)[0].permute(1, 2, 0).numpy()
    return np.asarray((found * 255).round(), np.uint8)


def mean_lab(rgb: Floats, inside: Any) -> Floats:  # noqa: ANN401  # a mask
    """The mean colour inside of (H, W, 3) in [0, 1], CIE 1976 Lab, (3,)."""
    mean = rgb[inside].mean(0)[None, None] if inside.any() else np.zeros((1, 1, 3), np.float32)
    return np.asarray(cv2.cvtColor(mean, cv2.COLOR_RGB2LAB)[0, 0], np.float32)


def evaluate_sketch(session: onnxruntime.InferenceSession, manifest: dict[str, Any], folder: Path) -> Report:
    """Drawings of held-out products: whether what comes has their shape, and differs from draw to draw.

    Raises:
        DataError: the folder was not written by `curate`, or holds no product of the test split.
    """
    side, data = manifest["size"], read_products(folder, "test", 128)
    random, report, rows = np.random.default_rng(0), Report(), []
    overlaps, apart = [], []
    shown = set(np.linspace(0, len(data.labels) - 1, 2 * SHOWN).astype(int))
    for index, (product, label) in enumerate(zip(data.pictures, data.labels, strict=True)):
        lines = (drawing(product, side, random) * 255).round().astype(np.uint8)[..., None]
        inputs = {
            "image": np.repeat(lines[None], 3, 0),
            "label": np.full(3, label),
            "draw": random.integers(0, 2**31, 3),
            "strength": np.ones(3, np.float32),
        }
        made = session.run(None, inputs)[0]
        true = np.asarray(cv2.resize(product[..., 3], (side, side), interpolation=cv2.INTER_AREA)) > 127
        for one in made:
            found = one[..., 3] > 127
            overlaps.append((found & true).sum() / max((found | true).sum(), 1))
        pictures = [on_white(one) for one in made]
        apart.append(np.sqrt(((pictures[0].astype(float) - pictures[1]) ** 2).mean()))
        if index in shown:
            rows += [
                np.repeat(lines, 3, 2),
                *pictures,
                np.asarray(cv2.resize(product[..., :3], (side, side)), np.uint8),
            ]
    said = f"drawings of {len(data.labels)} held-out products, three draws each, {side} px"
    report.add("IoU with the drawn product's shape", float(np.mean(overlaps)), "", said)
    report.add("RMS distance of two draws", float(np.mean(apart)), "of 255", said)
    report.picture = sheet(rows, columns=10)
    return report
