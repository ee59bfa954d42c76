"""The command `vitrine-train`: curate photos, train a recipe, export a run, evaluate a model."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from httpx import HTTPError

from training import evaluate, hardware
from training.adversarial import PARTS, GanRecipe, GanTrainer
from training.checkpoint import CheckpointError
from training.composites import read_material
from training.curate import curate, read_names
from training.data import DataError, read_fashion_mnist, read_photos, read_products
from training.dcgan import DcganRecipe, DcganTrainer
from training.drawings import drawn
from training.evaluate_service import evaluate_service
from training.evaluators.frozen import HOME, EvaluatorError, keep
from training.evaluators.learning import EvaluatorRecipe, EvaluatorTrainer
from training.export import ExportError, publish, weights_of
from training.figures import Report
from training.gallery import gallery
from training.harmonization import HarmonizeRecipe, HarmonizeTrainer, read_pairs
from training.lining import LinesRecipe, Lining, read_subjects
from training.loop import Trainer, train
from training.matting import MattingRecipe, MattingTrainer
from training.networks.enhance import EnhanceConfig, EnhanceNet
from training.networks.matting import MattingNet
from training.patches import Photos
from training.recipes import RECIPES, Recipe, quick
from training.recolouring import ColorwayRecipe, Colouring
from training.relighting import Relighting, RelightRecipe
from training.report import report
from training.report_enhancers import is_enhancer, report_enhancers
from training.restoration import RestorationRecipe, RestorationTrainer, read_clean
from training.sketching import Sketching, SketchRecipe
from training.translation import TranslationTrainer
from training.upsampling import Upsampling, UpsamplingRecipe, first_stage, missing_contrast
from training.watermarking import WatermarkRecipe, WatermarkTrainer

DRAWN_SIDE = 192  # px
FAILURES = (
    CheckpointError,
    DataError,
    EvaluatorError,
    ExportError,
    HTTPError,
    evaluate.EvaluationError,
    OSError,
    ValueError,
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command. Exits with 2 and one line of explanation when it cannot be done."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except FAILURES as error:
        parser.exit(2, f"vitrine-train: {error}\n")


def make_parser() -> argparse.ArgumentParser:
    """Every recipe is a command, beside curate, export and evaluate."""
    parser = argparse.ArgumentParser(
        prog="vitrine-train", description="Train Vitrine's networks on a folder of photos."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    command = commands.add_parser("curate", help="turn raw product photos into training data")
    command.add_argument("folder", type=Path, help="photos in folders named by class, or images/ with images.csv")
    command.add_argument("--out", type=Path, required=True)
    command.add_argument("--labels", type=Path, help="JSON map from label to class; other labels are dropped")
    command.add_argument("--cutout", type=Path, metavar="VERSION", help="cut out by a published network, not GrabCut")
    command.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    command.set_defaults(run=run_curate)
    for name, make in RECIPES.items():
        add_recipe(commands.add_parser(name, help=(make.__doc__ or "").splitlines()[0]), name)
    add_export(commands.add_parser("export", help="publish a run as the next version of its model"))
    command = commands.add_parser("evaluate", help="measure a published model on held-out data")
    command.add_argument("folder", type=Path, help="a version's folder, such as models/enhance-x2/1")
    add_data(command, "photos; for a generator, a folder made by curate; for cutout, what it was trained on")
    command.add_argument("--save", action="store_true", help="write the figures into the manifest and the card")
    command.set_defaults(run=run_evaluate)
    command = commands.add_parser("report", help="compare generators, or enhancers, on one page, with pictures")
    command.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="versions' folders, or runs")
    add_data(command, "for generators, a folder made by curate; for enhancers, photos and standard pairs")
    command.add_argument("--out", type=Path, default=Path("docs/quality"))
    command.add_argument("--truncation", type=float, default=0.8, help="as the service has it (default: %(default)s)")
    command.set_defaults(run=run_report)
    command = commands.add_parser("publish-evaluator", help="keep a run of evaluator-... for evaluations")
    command.add_argument("folder", type=Path, help="a run folder")
    command.add_argument("--data", type=Path, required=True, help="the folder that it learned from")
    command.add_argument("--training-data", required=True, help="what it learned from, in words")
    command.add_argument("--out", type=Path, default=HOME)
    command.set_defaults(run=run_publish_evaluator)
    command = commands.add_parser("evaluate-service", help="what only a running service shows: edges, and white")
    command.add_argument("--url", default="http://127.0.0.1:8000")
    command.add_argument("--scenes", type=Path, required=True, help="a folder with scenes.csv")
    command.set_defaults(run=run_evaluate_service)
    command = commands.add_parser("gallery", help="sheets of what a running service makes of held-out pictures")
    command.add_argument("--url", default="http://127.0.0.1:8000")
    command.add_argument("--scenes", type=Path, required=True, help="a folder with scenes.csv")
    command.add_argument("--curated", type=Path, required=True, help="a folder made by curate")
    command.add_argument("--photos", type=Path, required=True, help="the folder that it was made of")
    command.add_argument("--skip", nargs="*", default=[], help="objects and photos not to show, as for their brands")
    command.add_argument("--out", type=Path, default=Path("docs/gallery"))
    command.set_defaults(run=run_gallery)
    return parser


def add_data(command: argparse.ArgumentParser, text: str) -> None:
    """The folders that a command reads."""
    command.add_argument("--data", type=Path, nargs="+", required=True, metavar="FOLDER", help=text)


def add_recipe(command: argparse.ArgumentParser, name: str) -> None:
    """The options of a training; the same command again resumes it."""
    add_data(command, "what the recipe learns from; cutout takes several: curated photos, scenes, pictures as grounds")
    command.add_argument("--out", type=Path, default=Path("runs") / name, help="the run folder (default: %(default)s)")
    if name.startswith(("cutout", "enhance", "upscale")):
        command.add_argument("--start", type=Path, metavar="VERSION", help="begin with a published model's weights")
    if name == "cascade-128":
        command.add_argument(
            "--start",
            type=Path,
            metavar="GENERATOR",
            required=True,
            help="the run of garments-64 or -128, or the published version, to go on from",
        )
    if name.startswith("garments"):
        command.add_argument("--without", nargs="+", choices=PARTS, default=[], help="leave parts of the recipe out")
    command.add_argument("--max-minutes", type=float, help="stop after so long; the same command goes on later")
    command.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    command.add_argument("--threads", type=int, default=0, help="CPU threads (default: one per core)")
    command.add_argument("--quick", action="store_true", help="the recipe's debug twin: a few small steps")
    command.set_defaults(run=run_recipe)


def add_export(command: argparse.ArgumentParser) -> None:
    """The facts that a run does not know are asked for: nobody should have to guess a model's licence."""
    command.add_argument("folder", type=Path, help="a run folder")
    command.add_argument("--models", type=Path, default=Path("models"))
    command.add_argument("--name", help="publish under this name (default: the recipe's, without -tune)")
    command.add_argument("--training-data", required=True, help="what it learned from, in words")
    command.add_argument("--data-licence", required=True)
    command.add_argument("--weights-licence", required=True)
    command.add_argument("--attribution", help="whom the data's licence asks to name")
    command.add_argument("--limits", required=True, help="what it is known to do badly; goes into the card")
    command.set_defaults(run=run_export)


def run_curate(options: argparse.Namespace) -> None:
    """Curate, and say where the result should be looked at."""
    kept = curate(options.folder, options.out, read_names(options.labels), options.processes, options.cutout)
    say(f"{kept} products in {options.out}; look at {options.out / 'sheets'} and report.md before training")


def run_recipe(options: argparse.Namespace) -> None:
    """Train, or go on training."""
    if options.threads:
        torch.set_num_threads(options.threads)
    recipe = quick(RECIPES[options.command]()) if options.quick else RECIPES[options.command]()
    if isinstance(recipe, GanRecipe):
        recipe = replace(recipe, without=tuple(sorted(set(options.without))))
    start, cache = getattr(options, "start", None), options.out / "truths"
    recipe, trainer, data = prepare(recipe, options.data, options.device, start, cache)
    note_data(options.out, data)
    done = train(
        trainer,
        asdict(recipe),
        options.out,
        max_minutes=options.max_minutes,
        hardware=hardware.describe(options.device),
    )
    state = (
        "finished" if done == trainer.steps else f"stopped at step {done:,} of {trainer.steps:,}; run again to go on"
    )
    say(f"{recipe.name} {state}; see {options.out / 'samples'} and curves.png")


def prepare(
    recipe: Recipe, folders: list[Path], device: str, start: Path | None = None, cache: Path | None = None
) -> tuple[Recipe, Trainer, dict[str, Any]]:
    """The recipe fitted to the data, its trainer, and the facts about the data that the run folder keeps.

    `cache` is a folder for what takes long to compute of the data.

    Raises:
        DataError: the folders do not hold what the recipe needs.
        ExportError: `start` is no published version of the recipe's network.
    """
    if isinstance(recipe, MattingRecipe):
        material = read_material(folders, "train")
        kinds = {"photos": material.photos, "scenes": material.scenes, "grounds": material.places + material.surfaces}
        weights: dict[str, torch.Tensor] = {}
        if start is not None:
            weights, digest = weights_of(start, MattingNet(recipe.network))
            recipe = replace(recipe, start=digest)
        trainer = MattingTrainer(recipe, material, device)
        if weights:
            trainer.averaged.begin(weights)
        return recipe, trainer, {name: len(found) for name, found in kinds.items()}
    if isinstance(recipe, RestorationRecipe):
        return prepare_restoration(recipe, folders, device, start)
    if isinstance(recipe, LinesRecipe):
        return prepare_lines(recipe, folders, device, cache)
    if isinstance(recipe, ColorwayRecipe | RelightRecipe | HarmonizeRecipe | WatermarkRecipe):
        return prepare_of_several(recipe, folders, device)
    if len(folders) > 1:
        raise DataError(f"{recipe.name} learns from one folder")
    if isinstance(recipe, UpsamplingRecipe):
        return prepare_second_stage(recipe, folders[0], device, start)
    return prepare_of_one(recipe, folders[0], device)


def prepare_restoration(
    recipe: RestorationRecipe, folders: list[Path], device: str, start: Path | None
) -> tuple[Recipe, Trainer, dict[str, Any]]:
    """As `prepare`, for restoration; an enhancer may begin with one of another scale, but for the last layer."""
    weights: dict[str, torch.Tensor] = {}
    if start is not None and isinstance(recipe.network, EnhanceConfig):
        scale = scale_of(start)
        weights, digest = weights_of(start, EnhanceNet(replace(recipe.network, scale=scale)))
        if scale != recipe.scale:
            weights = {name: tensor for name, tensor in weights.items() if not name.startswith("tail.")}
        recipe = replace(recipe, start=digest)
    kinds = [read_clean(folder, "train", recipe.patch, recipe.halvings) for folder in folders]
    counts = {"pictures": sum(map(len, kinds)), "drawings": recipe.drawings}
    if recipe.drawings:
        kinds.append(drawn(recipe.drawings, DRAWN_SIDE))
    trainer = RestorationTrainer(recipe, Photos(kinds), device)
    trainer.begin(weights)
    return recipe, trainer, counts


def scale_of(start: Path) -> int:
    """How many times larger a published version makes a picture.

    Raises:
        ExportError: it is no enhancer's.
    """
    try:
        return int(json.loads((start / "manifest.json").read_text())["scale"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExportError(f"{start} holds no published enhancer: {error}") from error


def prepare_lines(
    recipe: LinesRecipe, folders: list[Path], device: str, cache: Path | None
) -> tuple[Recipe, Trainer, dict[str, Any]]:
    """As `prepare`, for line drawings."""
    subjects = read_subjects(folders, ("train",), recipe.photos, cache)
    counts = {"views": sum(one.lit for one in subjects), "photos": sum(not one.lit for one in subjects)}
    return recipe, TranslationTrainer(recipe, Lining(recipe, subjects), device, recipe.seed), counts


def prepare_of_several(
    recipe: ColorwayRecipe | RelightRecipe | HarmonizeRecipe | WatermarkRecipe, folders: list[Path], device: str
) -> tuple[Recipe, Trainer, dict[str, Any]]:
    """As `prepare`, for what learns from several folders."""
    if isinstance(recipe, WatermarkRecipe):
        if len(folders) != 2:
            raise DataError("watermark learns from two folders: photos, and products made by curate")
        photos = read_photos(folders[0], "train", least=min(recipe.sides), most=2000, halvings=0)
        products = read_products(folders[1], "train", 128)
        counts = {"photos": len(photos), "products": len(products.labels)}
        return recipe, WatermarkTrainer(recipe, photos, products, device), counts
    if isinstance(recipe, ColorwayRecipe):
        colouring = Colouring(recipe, read_material(folders, "train").products)
        trainer = TranslationTrainer(recipe, colouring, device, recipe.seed)
        return recipe, trainer, {"products": len(colouring.products)}
    views = read_pairs(folders, "train")
    if isinstance(recipe, RelightRecipe):
        task = Relighting(recipe, views, read_material(folders, "train"))
        return recipe, TranslationTrainer(recipe, task, device, recipe.seed), {"views": len(views)}
    return recipe, HarmonizeTrainer(recipe, views, device), {"views": len(views)}


def prepare_second_stage(
    recipe: UpsamplingRecipe, folder: Path, device: str, start: Path | None
) -> tuple[Recipe, Trainer, dict[str, Any]]:
    """As `prepare`, for what finishes the pictures of a generator, whose classes must be those of the data."""
    if start is None:
        raise DataError(f"{recipe.name} finishes the pictures of garments-64 or -128: say with --start whose")
    recipe, first, known = first_stage(recipe, start)
    products = read_products(folder, "train", recipe.network.size)
    if known != list(products.classes):
        raise DataError(f"{start} knows other classes than {folder}: {', '.join(known)}")
    network = replace(recipe.network, contrast=missing_contrast(recipe.network, first, products))
    recipe = replace(recipe, network=network, critic=replace(recipe.critic, classes=len(known)))
    task = Upsampling(recipe, products, first, torch.device(device))
    facts = {"pictures": len(products.labels), "classes": known}
    return recipe, TranslationTrainer(recipe, task, device, recipe.seed), facts


def prepare_of_one(
    recipe: SketchRecipe | GanRecipe | EvaluatorRecipe | DcganRecipe, folder: Path, device: str
) -> tuple[Recipe, Trainer, dict[str, Any]]:
    """As `prepare`, for what learns from one folder."""
    if isinstance(recipe, SketchRecipe | GanRecipe | EvaluatorRecipe) or (
        isinstance(recipe, DcganRecipe) and recipe.network.classes
    ):
        return prepare_products(recipe, folder, device)
    grey = read_fashion_mnist(folder)
    return recipe, DcganTrainer(recipe, grey, device), {"pictures": len(grey.labels), "classes": list(grey.classes)}


def prepare_products(
    recipe: SketchRecipe | GanRecipe | EvaluatorRecipe | DcganRecipe, folder: Path, device: str
) -> tuple[Recipe, Trainer, dict[str, Any]]:
    """As `prepare`, for what learns from curated products: as many classes as these have."""
    if isinstance(recipe, SketchRecipe | EvaluatorRecipe):
        side = 128 if isinstance(recipe, SketchRecipe) else 64
    else:
        side = recipe.network.size
    products = read_products(folder, "train", side)
    classes = len(products.classes)
    facts = {"pictures": len(products.labels), "classes": list(products.classes)}
    if isinstance(recipe, EvaluatorRecipe):
        if recipe.labelled:
            recipe = replace(recipe, network=replace(recipe.network, head=(classes,)))
        return recipe, EvaluatorTrainer(recipe, products, device), facts
    if isinstance(recipe, SketchRecipe):
        network, critic = replace(recipe.network, classes=classes), replace(recipe.critic, classes=classes)
        recipe = replace(recipe, network=network, critic=critic)
        return recipe, TranslationTrainer(recipe, Sketching(recipe, products), device, recipe.seed), facts
    if isinstance(recipe, GanRecipe):
        generator, judge = replace(recipe.network, classes=classes), replace(recipe.critic, classes=classes)
        recipe = replace(recipe, network=generator, critic=judge)
        return recipe, GanTrainer(recipe, products, device), facts
    recipe = replace(recipe, network=replace(recipe.network, classes=classes))
    return recipe, DcganTrainer(recipe, products, device), facts


def note_data(out: Path, facts: dict[str, Any]) -> None:
    """Keep the data's facts in the run folder.

    Raises:
        DataError: the run began with other data.
    """
    path = out / "data.json"
    if path.is_file() and json.loads(path.read_text()) != facts:
        raise DataError(f"{out} holds a run that began with other data; choose another folder with --out")
    out.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(facts, indent=1) + "\n")


def run_export(options: argparse.Namespace) -> None:
    """Publish a run."""
    facts = {
        "licence": {"weights": options.weights_licence, "data": options.data_licence},
        "training_data": options.training_data,
        "limits": options.limits,
    }
    if options.attribution:
        facts["attribution"] = options.attribution
    for folder in publish(options.folder, options.models, facts, options.name):
        say(f"published {folder}; measure it with `vitrine-train evaluate {folder} --data FOLDER --save`")


def run_evaluate(options: argparse.Namespace) -> None:
    """Measure a model, and keep the figures when asked to."""
    found = evaluate.evaluate(options.folder, options.data)
    say_figures(found)
    if options.save:
        evaluate.save(options.folder, found)


def run_report(options: argparse.Namespace) -> None:
    """Write the page and its pictures, to be looked at."""
    if is_enhancer(options.folders[0]):
        written = report_enhancers(options.folders, options.data, options.out)
    elif len(options.data) > 1:
        raise DataError("generators are compared on one folder")
    else:
        written = report(options.folders, options.data[0], options.out, options.truncation)
    for path in written:
        say(str(path))


def run_publish_evaluator(options: argparse.Namespace) -> None:
    """Publish an evaluator."""
    train, test = (read_products(options.data, split, 64) for split in ("train", "test"))
    share = keep(options.folder, train, test, options.training_data, options.out)
    say(f"published into {options.out}: tells {100 * share:.1f} % of {len(test.labels)} test products")


def run_evaluate_service(options: argparse.Namespace) -> None:
    """Measure a running service."""
    say_figures(evaluate_service(options.url, options.scenes))


def say_figures(report: Report) -> None:
    """One line a figure."""
    for record in report.records:
        say(f"{record['measure']}: {record['value']:g} {record['unit']} ({record['data']})")


def run_gallery(options: argparse.Namespace) -> None:
    """Make the sheets, to be looked at."""
    for path in gallery(options.url, options.scenes, options.curated, options.photos, options.skip, options.out):
        say(str(path))


def say(line: str) -> None:
    """A line on standard output."""
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
