"""How well products are cut out, on objects and photos that the network has not seen, beside GrabCut."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import onnxruntime

from training.composites import Floats, Material, Shares, composite, read_material, taken, unit
from training.cutout import grabcut_mask, keep_product
from training.figures import Report
from training.pictures import MAGENTA, Pixels, over, sheet

COMPOSITES = 100
SHOWN = 8
SHOWN_SIDE = 128

KINDS = {
    "scenes": "rendered scenes of held-out objects",
    "composites": "composites of held-out products over any ground",
    "photos": "held-out photos of garments, against the masks that they were curated with",
}


class Trial(NamedTuple):
    """A square picture (S, S, 3) uint8 and its true alpha (S, S) in [0, 1]."""

    rgb: Pixels
    alpha: Floats


class Score(NamedTuple):
    """Of one picture: intersection over union at half alpha, mean absolute error, error of the gradient, ms."""

    iou: float
    mae: float
    gradient: float
    ms: float


Cutter = Callable[[Pixels], Floats]


def trials_of(folders: list[Path], side: int) -> dict[str, list[Trial]]:
    """What is tried, by its kind: everything of the splits that no training sees.

    Raises:
        DataError: the folders hold no product of these splits.
    """
    found: dict[str, list[Trial]] = {"scenes": [], "composites": [], "photos": []}
    for split in ("test", "validation"):
        material = read_material(folders, split)
        found["scenes"] += [squared(rgba, side) for rgba in material.scenes]
        found["photos"] += [squared(rgba, side) for rgba in material.photos]
        found["composites"] += list(composites(material, side, COMPOSITES // 2))
    return {kind: trials for kind, trials in found.items() if trials}


def squared(rgba: Pixels, side: int) -> Trial:
    """A picture with alpha, stretched to the square."""
    small = np.asarray(cv2.resize(rgba, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
    return Trial(np.ascontiguousarray(small[..., :3]), unit(small[..., 3]))


def composites(material: Material, side: int, count: int) -> Iterator[Trial]:
    """Composites as in training, of these products."""
    random = np.random.default_rng(0)
    for _ in range(count):
        made = taken(composite(material, side, Shares(), random), random)
        yield Trial((made.rgb * 255).round().astype(np.uint8), made.alpha)


def network(session: onnxruntime.InferenceSession) -> Cutter:
    """The published model."""
    return lambda rgb: unit(session.run(None, {"image": rgb[None]})[0][0, ..., 3])


def grabcut(rgb: Pixels) -> Floats:
    """GrabCut as `curate` uses it."""
    return unit(keep_product(grabcut_mask(rgb)))


def score(found: Floats, alpha: Floats, seconds: float) -> Score:
    """Compare an alpha with the true one."""
    ours, true = found > 0.5, alpha > 0.5
    union = (ours | true).sum()
    iou = float((ours & true).sum() / union) if union else 1.0
    gradient = sum(float(np.abs(np.diff(found - alpha, axis=axis)).mean()) for axis in (0, 1))
    return Score(iou, float(np.abs(found - alpha).mean()), gradient, 1000 * seconds)


def scored(cutter: Cutter, trials: list[Trial]) -> tuple[Score, list[Floats]]:
    """The means over all trials, and every alpha that was found."""
    scores, alphas = [], []
    for trial in trials:
        begun = time.perf_counter()
        alphas.append(cutter(trial.rgb))
        scores.append(score(alphas[-1], trial.alpha, time.perf_counter() - begun))
    return Score(*(float(np.mean(values)) for values in zip(*scores, strict=True))), alphas


def evaluate_cutout(session: onnxruntime.InferenceSession, side: int, folders: list[Path]) -> Report:
    """Every kind of picture, each with the network and with GrabCut.

    Raises:
        DataError: the folders hold no product of the splits that no training sees.
    """
    report, rows = Report(), []
    for kind, trials in trials_of(folders, side).items():
        data = f"{len(trials)} {KINDS[kind]}, {side} px"
        alphas = []
        for name, cutter in (("", network(session)), ("GrabCut, ", grabcut)):
            mean, found = scored(cutter, trials)
            alphas.append(found)
            report.add(f"{name}IoU", mean.iou, "", data)
            report.add(f"{name}mean absolute error", mean.mae, "of 1", data)
            report.add(f"{name}gradient error", mean.gradient, "of 1", data)
            report.add(f"{name}time", mean.ms, "ms", data)
        for at in np.linspace(0, len(trials) - 1, SHOWN).astype(int):
            rows += shown(trials[at], *(found[at] for found in alphas))
    report.picture = sheet(rows, columns=8)
    return report


def shown(trial: Trial, ours: Floats, theirs: Floats) -> list[Pixels]:
    """Input, ours, GrabCut's, truth."""
    pictures = [trial.rgb, *(over(trial.rgb, alpha, MAGENTA) for alpha in (ours, theirs, trial.alpha))]
    size = (SHOWN_SIDE, SHOWN_SIDE)
    return [np.asarray(cv2.resize(one, size, interpolation=cv2.INTER_AREA), np.uint8) for one in pictures]
