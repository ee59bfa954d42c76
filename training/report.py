"""Generators compared on one page: figures, samples and the pairs that look most like copies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from training.data import DataError, read_products
from training.evaluate import Generator, open_generator
from training.evaluate_generator import EYE, QUANTILE, Figures, Yardstick, draw_sample, read_held_out
from training.evaluators.frozen import load_evaluators
from training.pictures import sheet, write_picture

LOOKS = ("evaluator-classifier", EYE, "evaluator-random")
DISTANCES = [f"{measure} {look}" for measure in ("kid", "frechet") for look in LOOKS]
VARIETY = [f"{measure} {look}" for measure in ("density", "coverage") for look in LOOKS]
USE = ["accuracy", "taught", "variety"]
COPIES = ["near", "near pixels", "known", "known pixels", "pixels"]
BY_CLASS = ["kid", "frechet", "density", "coverage", "accuracy", "taught", "near"]
HEADS = {
    "kid": "KID",
    "frechet": "Fréchet",
    "density": "density",
    "coverage": "coverage",
    "accuracy": "class told",
    "taught": "teaches",
    "near": "near, features",
    "near pixels": "near, pixels",
    "known": "nearest is known, features",
    "known pixels": "nearest is known, pixels",
    "pixels": "nearest, RMS",
    "variety": "two seeds, RMS",
}


def report(folders: list[Path], data: Path, out: Path, truncation: float) -> list[Path]:
    """Measure the generators of versions' or runs' folders and write `generator.md` and its pictures into `out`.

    Raises:
        DataError: the data was not made by `curate`, or has other classes than a model.
        EvaluationError: a folder holds no generator.
    """
    train, held_out = read_products(data, "train", 64), read_held_out(data)
    models = [open_generator(folder) for folder in folders]
    for model in models:
        check_classes(model, train.classes)
    yardstick = Yardstick(train, held_out, load_evaluators())
    references = [yardstick.measure(sample) for sample in yardstick.references()]
    found = []
    for model in models:
        sample = draw_sample(model.name, model.draw, model.z_size, train.classes, yardstick.count, truncation)
        found.append(yardstick.measure(replace(sample, seen=model.seen)))
    rows = [yardstick.held_out_figures(), *references, *found]
    pictures = write_pictures(out, found, [rows[0], *found], len(train.classes))
    page = out / "generator.md"
    page.write_text(render(rows, found, len(held_out.labels), truncation, folders, out, train.classes))
    return [page, *pictures]


def check_classes(model: Generator, classes: tuple[str, ...]) -> None:
    """Refuse to compare what was not taught the same.

    Raises:
        DataError: the classes differ.
    """
    if model.classes != classes:
        raise DataError(f"{model.name} makes {', '.join(model.classes)}; the data's classes are {', '.join(classes)}")


def slug(name: str) -> str:
    """A model's name as a part of a file's."""
    return "-".join("".join(c if c.isalnum() else " " for c in name.lower()).split())


def write_pictures(out: Path, found: list[Figures], bars: list[Figures], columns: int) -> list[Path]:
    """Uncurated products and closest pairs of each model, and the bars of the classes."""
    paths = [out / "generator-classes.svg"]
    out.mkdir(parents=True, exist_ok=True)
    draw_bars(paths[0], bars)
    for one in found:
        samples, closest = (out / f"{kind}-{slug(one.name)}.webp" for kind in ("samples", "closest"))
        if one.products is not None and one.closest is not None:
            count = len(one.products) // columns
            by_row = one.products.reshape(columns, count, *one.products.shape[1:]).swapaxes(0, 1)
            write_picture(samples, sheet(list(by_row.reshape(one.products.shape)), columns), quality=85)
            write_picture(closest, sheet(list(one.closest), 10), quality=85)
            paths += [samples, closest]
    return paths


def draw_bars(path: Path, bars: Sequence[Figures]) -> None:
    """Coverage, class accuracy and KID by class, one colour a sample."""
    keys, classes = ("coverage", "accuracy", "kid"), list(bars[0].classes)
    with mpl.rc_context({"svg.hashsalt": "vitrine", "svg.fonttype": "path"}):
        figure = Figure(figsize=(10, 7), layout="constrained")
        FigureCanvasSVG(figure)
        for place, key in enumerate(keys):
            axes = figure.add_subplot(len(keys), 1, place + 1)
            for index, one in enumerate(bars):
                heights = [one.classes.get(name, {}).get(key, 0.0) for name in classes]
                width = 0.8 / len(bars)
                axes.bar(np.arange(len(classes)) + index * width, heights, width, label=one.name)
            axes.set_xticks(np.arange(len(classes)) + 0.4 - 0.4 / len(bars), classes, fontsize=8)
            axes.set_ylabel(HEADS[key])
            axes.grid(axis="y", alpha=0.3)
        figure.axes[0].legend(fontsize=8, ncols=len(bars), loc="lower center", bbox_to_anchor=(0.5, 1.0))
        figure.savefig(path, metadata={"Date": None})


def shown(figures: dict[str, float], key: str) -> str:
    """One figure as text; KID in thousandths, with its spread."""
    if key not in figures:
        return ""
    measure, _, look = key.partition(" ")
    if measure == "kid":
        spread = f" ± {1000 * figures[f'spread {look}']:.0f}" if look else ""
        return f"{1000 * figures[key]:.1f}{spread}" if abs(figures[key]) < 0.1 else f"{1000 * figures[key]:.0f}{spread}"
    if measure in ("frechet", "pixels", "variety"):
        return f"{figures[key]:.1f}"
    return f"{figures[key]:.2f}" if measure in ("density", "coverage") else f"{100 * figures[key]:.1f} %"


def table(head: list[str], rows: Sequence[tuple[str, dict[str, float]]], keys: list[str]) -> list[str]:
    """A Markdown table with a row each, without rows that have none of the figures."""
    lines = [f"| {' | '.join(head)} |", f"| --- | {' | '.join(['---:'] * len(keys))} |"]
    for name, figures in rows:
        if any(key in figures for key in keys):
            lines.append(f"| {name} | {' | '.join(shown(figures, key) for key in keys)} |")
    return lines


def heads(keys: list[str]) -> list[str]:
    """The head of a table: "KID classifier" for "kid evaluator-classifier"."""
    found = [""]
    for key in keys:
        measure, _, look = key.partition(" evaluator-")
        found.append(f"{HEADS[measure]}, {look}" if look else HEADS[measure])
    return found


def aims(floor: Figures, model: Figures, textbook: Figures | None, count: int) -> list[str]:
    """What was aimed at, and whether it was reached; a missed aim is called so."""
    lines = []

    def say(what: str, value: str, reached: bool) -> None:
        lines.append(f"| {model.name} | {what} | {value} | {'reached' if reached else '**missed**'} |")

    for look in LOOKS if textbook is not None and textbook is not model else ():
        ours, theirs = model.overall[f"kid {look}"], textbook.overall[f"kid {look}"] if textbook else 1.0
        name = look.removeprefix("evaluator-")
        say(
            f"KID at most a third of {textbook.name if textbook else ''}'s, {name}",
            f"{ours / theirs:.2f} of it",
            ours <= theirs / 3,
        )
    coverage = model.overall[f"coverage {EYE}"]
    say("coverage at least 0.7, self-supervised", f"{coverage:.2f}", coverage >= 0.7)
    if "accuracy" in model.overall:
        share = model.overall["accuracy"] / floor.overall["accuracy"]
        say("class told at least 0.9 times as often as of held-out products", f"{share:.2f} times", share >= 0.9)
    for key in ("near", "near pixels", "known", "known pixels"):
        chance = floor.overall[key]
        limit = chance + 2 * float(np.sqrt(chance * (1 - chance) / count))
        say(
            f"{HEADS[key]}: at most {100 * limit:.1f} %, as far as chance goes",
            shown(model.overall, key),
            model.overall[key] <= limit,
        )
    return lines


def render(
    rows: list[Figures],
    found: list[Figures],
    count: int,
    truncation: float,
    folders: list[Path],
    out: Path,
    classes: tuple[str, ...],
) -> str:
    """The page."""
    overall = [(f"{one.name} ({one.seen} seen)" if one.seen else one.name, one.overall) for one in rows]
    textbook = next((one for one in found if one.name.startswith("dcgan")), None)
    lines = ["# Generators", "", INTRODUCTION.format(count=count, quantile=round(100 * QUANTILE)), ""]
    lines += [
        "<!-- not run: it needs two runs and a curated folder -->",
        "```console",
        f"$ .venv/bin/vitrine-train report {' '.join(map(str, folders))} \\",
        f"    --data CURATED --out {out}",
        "```",
        "",
    ]
    lines += [f"Truncation {truncation:g}.", ""]
    lines += ["## Distance", "", *table(heads(DISTANCES), overall, DISTANCES), ""]
    lines += ["## Variety and fidelity", "", *table(heads(VARIETY), overall, VARIETY), ""]
    lines += ["## Classes and use", "", *table(heads(USE), overall, USE), ""]
    lines += ["## Copies", "", *table(heads(COPIES), overall, COPIES), "", EXPLANATION, ""]
    lines += ["## Aims", "", "| model | aim | found | |", "| --- | --- | ---: | --- |"]
    for one in found:
        lines += aims(rows[0], one, textbook, count)
    lines += ["", "## By class", "", BY_CLASS_TEXT, "", "![by class](generator-classes.svg)", ""]
    for one in (rows[0], *found):
        lines += [f"### {one.name}", "", *table(heads(BY_CLASS), list(one.classes.items()), BY_CLASS), ""]
    lines += [
        "## Pictures",
        "",
        f"Uncurated: the first eight draws of each class, a class a column ({', '.join(classes)}).",
        "",
    ]
    for one in found:
        name = slug(one.name)
        lines += [f"### Samples of {one.name}", "", f"![samples](samples-{name}.webp)", ""]
        lines += [f"### Closest pairs of {one.name}", "", PAIRS, "", f"![closest pairs](closest-{name}.webp)", ""]
    return "\n".join(lines)


INTRODUCTION = """\
Through three networks that no loss has ever used: a classifier of the classes, a self-supervised encoder, and one with
random weights (`training/evaluators/`). Every row is compared with the same {count} held-out products (test and
validation split), in the same mix of classes and the same number, for KID in four times that number. The floor is what
training products reach; the ceilings are what these reach once they are blurred (sigma 1.5 px), noisy (sigma 20 of
255), or melted into one mean a class. Written by:"""
EXPLANATION = """\
*KID* (Binkowski et al. 2018): unbiased, in thousandths, ± the standard deviation over 100 subsets of 100. *Fréchet*
(Heusel et al. 2017): shrunk covariances of 64 features. *Density*, *coverage* (Naeem et al. 2020): five neighbours;
coverage of two halves of one set would be about 0.97. *Class told*: by the classifier. *Teaches* (Ravuri & Vinyals
2019): share of held-out products that a small classifier tells after 300 steps on 64 products a class of the row alone.
*Near*: share that is nearer to a training product than 95 % of the held-out products are, 5 % by chance; of training
products themselves it is all; smooth products are near everything in pixels. *Nearest is known*: share whose nearest
real product is a training one, not a held-out one; by chance as many as the training products are of both, however
smooth (more or less than the aims allow for, since some plain products are the nearest of many). *Nearest*: median RMS
distance to the nearest training product, of 255. *Two seeds*: mean RMS distance of two of a class."""
BY_CLASS_TEXT = """\
Through the self-supervised encoder, 64 products a class, against training products of the class: there are too few
held-out ones. Those are the floor here, a rough one where a class has few of them; their Fréchet distance is then too
large. *Class told* and *teaches* as above. KID in thousandths."""
PAIRS = """\
Ten closest to a training product in the features of the self-supervised encoder, each above that product (mirrored
ones too); below, ten closest in pixels."""
