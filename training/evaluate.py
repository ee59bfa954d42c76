"""How good a published model is, measured on its ONNX file with data it has not learned from.

Each measure becomes a record of the manifest's `quality`: measure, value, unit, data.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from training.cards import write_card
from training.data import Labelled, read_photos, read_products
from training.degrade import Degradation, degrade
from training.evaluate_cutout import evaluate_cutout
from training.evaluate_restyle import evaluate_relight, evaluate_sketch, mean_lab, psnr
from training.evaluate_watermark import PICTURES, evaluate_watermark
from training.export import versions
from training.figures import Report
from training.harmonization import View, pair, read_pairs, stacked
from training.networks.harmonize import changed
from training.pictures import Pixels, on_white, sheet, write_picture

SIDE = 320  # px of the clean crops
SHOWN = 4
SEVERAL = ("cutout", "relight", "harmonize", "watermark")
"""Tasks that are measured on several folders."""


class EvaluationError(Exception):
    """The model cannot be evaluated. The message says what is missing."""


def evaluate(folder: Path, data: list[Path]) -> Report:
    """Measure the model of a version's folder on held-out data of its kind.

    That is a folder of photos, for a generator one of curated products, for cut-outs all that they are learned from.

    Raises:
        EvaluationError: no manifest, an unknown task, or the models around it are missing.
        DataError: the data does not fit the task.
    """
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
    except (OSError, ValueError) as error:
        raise EvaluationError(f"{folder} holds no readable manifest.json") from error
    session = load(folder)
    if manifest["task"] in SEVERAL:
        return of_several(session, manifest, folder, data)
    if len(data) > 1:
        raise EvaluationError(f"a model for {manifest['task']} is measured on one folder")
    return of_one(session, manifest, folder, data[0])


def of_several(
    session: onnxruntime.InferenceSession, manifest: dict[str, Any], folder: Path, data: list[Path]
) -> Report:
    """As `evaluate`, for the tasks that are measured on several folders."""
    side = manifest["size"]
    if manifest["task"] == "cutout":
        return evaluate_cutout(session, side, data)
    if manifest["task"] == "relight":
        return evaluate_relight(session, side, data)
    if manifest["task"] == "harmonize":
        views = [view for split in ("test", "validation") for view in read_pairs(data, split)]
        return evaluate_harmonizer(session, views, side)
    if len(data) != 2:
        raise EvaluationError("hidden marks are measured on two folders: photos, and products made by curate")
    reader = load(newest(folder.parents[1], f"{manifest['name']}-reader"))
    return evaluate_watermark(session, reader, side, mixed(*data))


def of_one(session: onnxruntime.InferenceSession, manifest: dict[str, Any], folder: Path, data: Path) -> Report:
    """As `evaluate`, for the other tasks."""
    if manifest["task"] == "from-sketch":
        return evaluate_sketch(session, manifest, data)
    if manifest["task"] == "generate":
        train, test = (read_products(data, split, manifest["size"]) for split in ("train", "test"))
        return evaluate_generator(session, manifest, train, test)
    photos = read_photos(data, "test", least=192, most=50)
    if manifest["task"] == "level":
        return evaluate_level(session, photos)
    if manifest["task"] == "enhance":
        return evaluate_enhancer(session, load(newest(folder.parents[1], "restoration-level")), photos)
    raise EvaluationError(f"there is no evaluation of {manifest['task']!r}")


def mixed(photos: Path, curated: Path) -> list[Pixels]:
    """Held-out pictures of 400 to 800 px: photos as they are, and products on white, four times enlarged."""
    taken = read_photos(photos, "test", least=256, most=PICTURES // 2, halved=False)
    products = read_products(curated, "test", 128).pictures[: PICTURES - len(taken), ..., :3]
    large = [cv2.resize(one, (512, 512), interpolation=cv2.INTER_CUBIC) for one in products]
    return [*taken, *(np.asarray(one, np.uint8) for one in large)]


def save(folder: Path, report: Report) -> None:
    """Put a report into the version's manifest, its samples and its card."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["quality"] = report.records
    path.write_text(json.dumps(manifest, indent=1) + "\n")
    if report.picture is not None:
        write_picture(folder / "samples.webp", report.picture, quality=85)
    write_card(folder)


def newest(models: Path, name: str) -> Path:
    """The folder of a model's highest version.

    Raises:
        EvaluationError: there is none.
    """
    found = versions(models / name)
    if not found:
        raise EvaluationError(f"{models} holds no {name}")
    return models / name / str(max(found))


def load(folder: Path) -> onnxruntime.InferenceSession:
    """The session of a version's model."""
    return onnxruntime.InferenceSession((folder / "model.onnx").read_bytes(), providers=["CPUExecutionProvider"])


@dataclass(frozen=True, slots=True)
class Trial:
    """A clean crop (H, W, 3) and what the published recipe makes of it (H / 2, W / 2, 3) at `level`."""

    clean: Pixels
    small: Pixels
    level: float


def trials(photos: list[Pixels]) -> list[Trial]:
    """Each photo cropped to at most SIDE px and degraded to a level that its index draws."""
    found = []
    for index, photo in enumerate(photos):
        height, width = (min(n, SIDE) // 2 * 2 for n in photo.shape[:2])
        random = torch.Generator().manual_seed(index)
        level = float(torch.rand((), generator=random))
        clean = photo[:height, :width]
        found.append(Trial(clean, degrade(clean, 2, level, Degradation(), random), level))
    return found


def evaluate_enhancer(
    enhancer: onnxruntime.InferenceSession, estimator: onnxruntime.InferenceSession, photos: list[Pixels]
) -> Report:
    """PSNR against bicubic's, with the strength estimated from the degraded photo as the service does."""
    report = Report()
    gains: list[float] = []
    rows: list[Pixels] = []
    for trial in trials(photos):
        strength = estimator.run(None, {"image": trial.small[None]})[0]
        restored = enhancer.run(None, {"image": trial.small[None], "strength": strength})[0][0]
        height, width = trial.clean.shape[:2]
        bicubic = np.asarray(cv2.resize(trial.small, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
        gains.append(psnr(restored, trial.clean) - psnr(bicubic, trial.clean))
        if len(rows) < 4 * SHOWN:
            nearest = np.asarray(cv2.resize(trial.small, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)
            rows += [picture[:192, :192] for picture in (nearest, bicubic, restored, trial.clean)]
    data = f"{len(gains)} held-out photos, degraded by the recipe to random levels"
    report.add("PSNR above bicubic, mean", float(np.mean(gains)), "dB", data)
    report.add("PSNR above bicubic, worst", min(gains), "dB", data)
    report.add("photos better than bicubic", sum(gain > 0 for gain in gains), f"of {len(gains)}", data)
    report.picture = sheet(rows, columns=4)
    return report


def evaluate_level(estimator: onnxruntime.InferenceSession, photos: list[Pixels]) -> Report:
    """Mean absolute error of the estimated level, beside that of always saying the mean."""
    report, tried = Report(), trials(photos)
    levels = np.array([trial.level for trial in tried])
    found = np.array([float(estimator.run(None, {"image": trial.small[None]})[0][0]) for trial in tried])
    data = f"{len(photos)} held-out photos, degraded by the recipe to random levels"
    report.add("mean absolute error", float(np.abs(found - levels).mean()), "of strength", data)
    report.add("the same of always saying the mean", float(np.abs(levels - levels.mean()).mean()), "of strength", data)
    return report


def evaluate_generator(
    session: onnxruntime.InferenceSession, manifest: dict[str, Any], train: Labelled, test: Labelled, count: int = 16
) -> Report:
    """Variety and memorisation in pixels, each beside the same measure of real products.

    Variety: mean distance of 16 seeds of one class to each other. Memorisation: the median distance of a generated
    product to the nearest training product, mirrored or not; a copying generator falls far below the held-out products.

    Raises:
        EvaluationError: the data has other classes than the model.
    """
    if tuple(manifest["classes"]) != train.classes:
        raise EvaluationError(f"the data's classes are {', '.join(train.classes)}")
    random, report = np.random.default_rng(0), Report()
    made, variety, real_variety = [], [], []
    for label in range(len(train.classes)):
        inputs = {
            "z": random.standard_normal((count, manifest["recipe"]["network"]["z_size"]), np.float32),
            "label": np.full(count, label),
            "truncation": np.full(count, 0.8, np.float32),
        }
        pictures = on_white(session.run(None, inputs)[0])
        made.append(pictures)
        variety.append(spread(pictures))
        real_variety.append(spread(train.pictures[train.labels == label, ..., :3][:count]))
    data = f"{count} seeds of each of {len(train.classes)} classes, truncation 0.8, {manifest['size']} px"
    report.add("RMS distance of two seeds of a class", float(np.mean(variety)), "of 255", data)
    report.add("the same, of the least varied class", min(variety), "of 255", data)
    report.add("the same, of two real products", float(np.mean(real_variety)), "of 255", f"{count} of each class")
    reals = train.pictures[..., :3]
    generated = float(np.median(nearest_distances(np.concatenate(made), reals)))
    held_out = float(np.median(nearest_distances(test.pictures[..., :3], reals)))
    report.add("RMS distance to the nearest training product, median", generated, "of 255", data)
    report.add("the same, of held-out products", held_out, "of 255", f"{len(test.labels)} test products")
    return report


def evaluate_harmonizer(session: onnxruntime.InferenceSession, views: list[View], side: int) -> Report:
    """How far a product's mean colour is from what it was in its place: set in as it is, and changed in full.

    Without the service's cap on how far a colour may move.
    """
    report, rows, before, after = Report(), [], [], []
    shown = set(np.linspace(0, len(views) - 1, 12).astype(int))
    for index, view in enumerate(views):
        rgb, mask, target = stacked([pair(view, side)])
        image = (torch.cat([rgb, mask], 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()
        found = changed(rgb, torch.from_numpy(session.run(None, {"image": image})[0])).clamp(0, 1)
        inside = mask[0, 0].numpy() > 0.9
        pictures = [one[0].permute(1, 2, 0).numpy() for one in (rgb, rgb + (found - rgb) * mask, target)]
        means = [mean_lab(one, inside) for one in pictures]
        before.append(float(np.linalg.norm(means[0] - means[2])))
        after.append(float(np.linalg.norm(means[1] - means[2])))
        if index in shown:
            rows += [(one * 255).round().astype(np.uint8) for one in pictures]
    data = f"{len(views)} views of held-out objects, {side} px"
    report.add("distance of the mean colour, set in as it is", float(np.mean(before)), "CIE 1976", data)
    report.add("the same, harmonized", float(np.mean(after)), "CIE 1976", data)
    better = sum(a < b for a, b in zip(after, before, strict=True))
    report.add("views that came nearer", better, f"of {len(views)}", data)
    report.picture = sheet(rows, columns=9)
    return report


def spread(pictures: NDArray[np.uint8]) -> float:
    """Mean RMS distance of every two of (N, H, W, C) uint8 pictures, of 255."""
    flat = pictures.reshape(len(pictures), -1).astype(np.float64)
    first, second = np.triu_indices(len(flat), 1)
    return float(np.sqrt(((flat[first] - flat[second]) ** 2).mean(1)).mean())


def nearest_distances(pictures: NDArray[np.uint8], reals: NDArray[np.uint8]) -> NDArray[np.float64]:
    """RMS distance (N,), of 255, of each (N, H, W, C) picture to the nearest of the reals, mirrored or not."""
    flat = pictures.reshape(len(pictures), -1).astype(np.float32)
    best = np.full(len(flat), np.inf)
    for other in (reals, reals[:, :, ::-1]):
        real = other.reshape(len(other), -1).astype(np.float32)
        squares = (flat**2).sum(1)[:, None] + (real**2).sum(1) - 2 * flat @ real.T
        best = np.minimum(best, squares.min(1))
    return np.asarray(np.sqrt(np.maximum(best, 0) / flat.shape[1]), np.float64)
