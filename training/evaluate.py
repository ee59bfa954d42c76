"""How good a published model is, measured on its ONNX file with data it has not learned from.

Each measure becomes a record of the manifest's `quality`: measure, value, unit, data.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from training.cards import write_card, write_samples
from training.data import DataError, read_photos, read_products
from training.evaluate_colorway import evaluate_colorway
from training.evaluate_cutout import evaluate_cutout
from training.evaluate_generator import Draw, Yardstick, draw_sample, note_generator, read_held_out
from training.evaluate_lines import evaluate_lines
from training.evaluate_restoration import Enhancer, evaluate_enhancer, evaluate_level
from training.evaluate_restyle import evaluate_relight, evaluate_sketch, mean_lab
from training.evaluate_watermark import PICTURES, evaluate_watermark
from training.evaluators.frozen import load_evaluators
from training.export import GenerateGraph, averaged_of, graph_of, rounded, versions
from training.figures import Report
from training.harmonization import View, pair, read_pairs, stacked
from training.networks.harmonize import changed
from training.pictures import Pixels, sheet

SEVERAL = ("colorway", "cutout", "relight", "sketch", "harmonize", "watermark", "enhance", "upscale", "level")
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
    if manifest["task"] == "level":
        return evaluate_level(session, data)
    if manifest["task"] == "upscale":
        return evaluate_enhancer(Enhancer(session), manifest["scale"], data, restores=False)
    if manifest["task"] == "enhance":
        enhancer = Enhancer(session, load(newest(folder.parents[1], "restoration-level")))
        return evaluate_enhancer(enhancer, manifest["scale"], data)
    side = manifest["size"]
    if manifest["task"] == "colorway":
        return evaluate_colorway(session, side, data)
    if manifest["task"] == "cutout":
        return evaluate_cutout(session, side, data)
    if manifest["task"] == "relight":
        return evaluate_relight(session, side, data)
    if manifest["task"] == "sketch":
        return evaluate_lines(session, side, data)
    if manifest["task"] == "harmonize":
        views = [view for split in ("test", "validation") for view in read_pairs(data, split)]
        return evaluate_harmonizer(session, views, side)
    if len(data) != 2:
        raise EvaluationError("hidden marks are measured on two folders: photos, and products made by curate")
    reader = load(newest(folder.parents[1], f"{manifest['name']}-reader"))
    tiny = list(read_products(data[1], "test", 64).pictures[:PICTURES, ..., :3])
    return evaluate_watermark(session, reader, side, mixed(*data), tiny)


def of_one(session: onnxruntime.InferenceSession, manifest: dict[str, Any], folder: Path, data: Path) -> Report:
    """As `evaluate`, for the other tasks."""
    if manifest["task"] == "from-sketch":
        return evaluate_sketch(session, manifest, data)
    if manifest["task"] == "generate":
        return evaluate_generator(folder, data)
    raise EvaluationError(f"there is no evaluation of {manifest['task']!r}")


def mixed(photos: Path, curated: Path) -> list[Pixels]:
    """Held-out pictures of 400 to 800 px: photos as they are, and products on white, four times enlarged."""
    taken = read_photos(photos, "test", least=256, most=PICTURES // 2, halvings=0)
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
        write_samples(folder, report.picture)
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
class Generator:
    """A generator that can be drawn from: a published version, or a run as it stands."""

    name: str
    seen: str
    classes: tuple[str, ...]
    z_size: int
    draw: Draw


def open_generator(folder: Path) -> Generator:
    """The generator of a version's folder, or of a run's newest checkpoint.

    Raises:
        EvaluationError: the folder holds neither.
    """
    if (folder / "manifest.json").is_file():
        manifest = json.loads((folder / "manifest.json").read_text())
        session = load(folder)

        def draw(z: NDArray[np.float32], label: NDArray[np.int64], truncation: NDArray[np.float32]) -> Pixels:
            return np.asarray(session.run(None, {"z": z, "label": label, "truncation": truncation})[0], np.uint8)

        if manifest["task"] != "generate":
            raise EvaluationError(f"{folder} is no generator")
        name, seen = f"{manifest['name']}, version {manifest['version']}", manifest["training"]["images_seen"]
        classes, recipe = manifest["classes"], manifest["recipe"]
        return Generator(name, in_words(seen, recipe), tuple(classes), recipe["network"]["z_size"], draw)
    weights, state = averaged_of(folder)
    graph = rounded(graph_of(state["recipe"], weights))
    if not isinstance(graph, GenerateGraph):
        raise EvaluationError(f"{folder} is no generator's run")

    def drawn(z: NDArray[np.float32], label: NDArray[np.int64], truncation: NDArray[np.float32]) -> Pixels:
        with torch.no_grad():
            found = graph(torch.from_numpy(z), torch.from_numpy(label), torch.from_numpy(truncation))
        return np.asarray(found.numpy(), np.uint8)

    recipe, classes = state["recipe"], json.loads((folder / "data.json").read_text())["classes"]
    name = f"{recipe['name']} without {', '.join(recipe['without'])}" if recipe.get("without") else recipe["name"]
    seen = in_words(state["images_seen"], recipe)
    return Generator(f"{name}, a run", seen, tuple(classes), recipe["network"]["z_size"], drawn)


def in_words(images: int, recipe: Mapping[str, Any]) -> str:
    """How many images a recipe's run has seen, and what it began with."""
    return f"{images:,} after {recipe['start']}" if recipe.get("start") else f"{images:,} images"


def evaluate_generator(folder: Path, data: Path, truncation: float = 0.8) -> Report:
    """Distance, variety, classes, use and memorisation, each beside what real and spoiled products reach.

    Raises:
        DataError: the data has other classes than the model.
        EvaluatorError: the evaluators are missing or changed.
    """
    model, train, held_out = open_generator(folder), read_products(data, "train", 64), read_held_out(data)
    if model.classes != train.classes:
        raise DataError(f"the data's classes are {', '.join(train.classes)}")
    yardstick = Yardstick(train, held_out, load_evaluators())
    sample = draw_sample(model.name, model.draw, model.z_size, train.classes, yardstick.count, truncation)
    found, report = yardstick.measure(sample), Report()
    note_generator(
        report, yardstick, found, f"truncation {truncation:g}, against {len(held_out.labels)} held-out products"
    )
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
