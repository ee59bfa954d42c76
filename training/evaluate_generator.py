"""How good a generator is, through networks that no loss has used, beside real products and spoiled ones.

Every sample is compared with the held-out products, in the same mix of classes and the same number (KID: four times
that, which takes a part of chance out of it and, since it is unbiased, nothing else). The floor is what training
products reach; the ceilings are what they reach once they are blurred, noisy, or melted into one mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from training.data import DataError, Labelled, read_products
from training.evaluators.frozen import Evaluator
from training.evaluators.taught import taught
from training.figures import Report
from training.measures import (
    Features,
    density_and_coverage,
    frechet,
    kid,
    nearest,
    nearest_pixels,
    share_nearer,
    spread,
    standardised,
)
from training.pictures import Pixels, on_white

SIDE = 64
PER_CLASS = 64
TIMES = 4
"""How many products KID looks at for each that is held out."""
QUANTILE = 0.05
"""Nearer to a training product than so many of the held-out ones are is suspicious."""
EYE = "evaluator-selfsupervised"
"""What variety, memorisation and single classes are looked at with: it knows neither classes nor chance."""
Draw = Callable[[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]], Pixels]


@dataclass(frozen=True, slots=True)
class Sample:
    """What one row of the report is about: products as `read_products` gives them, 64 px."""

    name: str
    data: Labelled
    seen: str = ""  # images in its training

    def rows(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which are the first `counts[c]` of each class c, class by class."""
        return np.concatenate([np.flatnonzero(self.data.labels == c)[:n] for c, n in enumerate(counts)])

    def part(self, counts: NDArray[np.int64]) -> Labelled:
        """The first `counts[c]` of each class c."""
        index = self.rows(counts)
        return replace(self.data, pictures=self.data.pictures[index], labels=self.data.labels[index])


@dataclass(slots=True)
class Figures:
    """What was measured on a sample: each figure overall and by class, the pairs that look copied, and its products."""

    name: str
    seen: str
    overall: dict[str, float] = field(default_factory=dict)
    classes: dict[str, dict[str, float]] = field(default_factory=dict)
    closest: Pixels | None = None
    products: Pixels | None = None


def draw_sample(name: str, draw: Draw, z_size: int, classes: tuple[str, ...], count: int, truncation: float) -> Sample:
    """`count` products of each class, the first draws of one random generator."""
    random, labels = np.random.default_rng(0), np.repeat(np.arange(len(classes)), count)
    parts = []
    for label in np.split(labels, range(64, len(labels), 64)):
        z = random.standard_normal((len(label), z_size), np.float32)
        rgba = draw(z, label, np.full(len(label), truncation, np.float32))
        parts += [np.dstack([on_white(one), one[..., 3]]) for one in rgba]
    return Sample(name, Labelled(np.stack([fitted(one) for one in parts]), labels, classes))


def fitted(picture: Pixels) -> Pixels:
    """(S, S, C) -> (64, 64, C): averaged, or enlarged without inventing detail."""
    if picture.shape[0] == SIDE:
        return picture
    way = cv2.INTER_AREA if picture.shape[0] > SIDE else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, (SIDE, SIDE), interpolation=way), np.uint8)


def read_held_out(folder: Path) -> Labelled:
    """The test products, and those of the validation split, which no training has seen either.

    Raises:
        DataError: there is no test product.
    """
    test = read_products(folder, "test", SIDE)
    try:
        more = read_products(folder, "validation", SIDE)
    except DataError:
        return test
    pictures, labels = np.concatenate([test.pictures, more.pictures]), np.concatenate([test.labels, more.labels])
    return Labelled(pictures, labels, test.classes)


class Yardstick:
    """The real products that samples are measured against, seen through every evaluator."""

    def __init__(
        self, train: Labelled, held_out: Labelled, evaluators: list[Evaluator], per_class: int = PER_CLASS
    ) -> None:
        self.train, self.held_out, self.evaluators = train, held_out, evaluators
        self.mix = np.bincount(held_out.labels, minlength=len(train.classes))
        self.each = np.full(len(train.classes), per_class)
        self.count = int(max(per_class, TIMES * self.mix.max()))
        self._raw = {one.name: one.features(rgb(train)) for one in evaluators}
        self._known = {name: standardised(raw, raw) for name, raw in self._raw.items()}
        self._unseen = {one.name: self.look(one, held_out) for one in evaluators}
        eye = next(one for one in evaluators if one.name == EYE)
        turned = [replace(data, pictures=data.pictures[:, :, ::-1]) for data in (train, held_out)]
        self._both = np.concatenate([self._known[EYE], self.look(eye, turned[0])])
        self._both_unseen = np.concatenate([self._unseen[EYE], self.look(eye, turned[1])])
        self.chance = len(train.labels) / (len(train.labels) + len(held_out.labels))
        self._far = nearest(self._unseen[EYE], self._both)[0]
        self._far_pixels = nearest_pixels(rgb(held_out), rgb(train))[0]

    def look(self, evaluator: Evaluator, data: Labelled) -> Features:
        """Features (N, D) in units of the training products' spread."""
        return standardised(evaluator.features(np.ascontiguousarray(rgb(data))), self._raw[evaluator.name])

    def measure(self, sample: Sample) -> Figures:
        """All figures of a sample of `count` products a class."""
        found, part = Figures(sample.name, sample.seen), sample.part(self.mix)
        several, even = sample.part(TIMES * self.mix), sample.part(self.each)
        first = np.isin(sample.rows(TIMES * self.mix), sample.rows(self.mix))
        for one in self.evaluators:
            seen, unseen = self.look(one, several), self._unseen[one.name]
            features, distance = seen[first], kid(seen, unseen)
            found.overall[f"kid {one.name}"], found.overall[f"spread {one.name}"] = distance.value, distance.spread
            found.overall[f"frechet {one.name}"] = frechet(features, unseen)
            density, coverage = density_and_coverage(features, unseen)
            found.overall[f"density {one.name}"], found.overall[f"coverage {one.name}"] = density, coverage
            if one.name == EYE:
                self._note_copies(found, part, features)
                self._note_classes(found, even, self.look(one, even))
            if one.classes == self.train.classes:
                found.overall["accuracy"] = float((one.labels(rgb(part)) == part.labels).mean())
                self._note_shares(found, "accuracy", one.labels(rgb(even)) == even.labels, even.labels)
        told = taught(even).labels(rgb(self.held_out)) == self.held_out.labels
        found.overall["taught"] = float(told.mean())
        self._note_shares(found, "taught", told, self.held_out.labels)
        found.overall["variety"] = float(np.mean([spread(rgb(even)[even.labels == c][:16]) for c in present(even)]))
        found.products = rgb(sample.part(np.full(len(self.train.classes), 8)))
        return found

    def _note_copies(self, found: Figures, part: Labelled, features: Features) -> None:
        """Memorisation, in features and in pixels, and the ten closest pairs of each.

        Smooth products are near everything in pixels; which kind of real product is the nearest does not mind.
        """
        far, index = nearest(features, self._both)
        found.overall["near"] = share_nearer(far, self._far, QUANTILE)
        far_pixels, index_pixels = nearest_pixels(rgb(part), rgb(self.train))
        found.overall["near pixels"] = share_nearer(far_pixels, self._far_pixels, QUANTILE)
        found.overall["pixels"] = float(np.median(far_pixels))
        found.overall["known"] = float((far < nearest(features, self._both_unseen)[0]).mean())
        found.overall["known pixels"] = float((far_pixels < nearest_pixels(rgb(part), rgb(self.held_out))[0]).mean())
        rows: list[Pixels] = []
        for distance, which in ((far, index % len(self.train.labels)), (far_pixels, index_pixels)):
            order = distance.argsort()[:10]
            rows += [rgb(part)[order], rgb(self.train)[which[order]]]
        found.closest = np.concatenate(rows)

    def _note_classes(self, found: Figures, even: Labelled, features: Features) -> None:
        """Each class against the training products of that class, of which there are more than held-out ones."""
        near = nearest(features, self._both)[0] < np.quantile(self._far, QUANTILE)
        self._note_shares(found, "near", near, even.labels)
        for label, name in enumerate(self.train.classes):
            made, real = features[even.labels == label], self._known[EYE][self.train.labels == label]
            if min(len(made), len(real)) < 2:
                continue
            density, coverage = density_and_coverage(made, real[: len(made)])
            figures = {"kid": kid(made, real).value, "frechet": frechet(made, real)}
            found.classes.setdefault(name, {}).update(figures | {"density": density, "coverage": coverage})

    def _note_shares(self, found: Figures, key: str, right: NDArray[np.bool_], labels: NDArray[np.int64]) -> None:
        """The share of each class."""
        for label, name in enumerate(self.train.classes):
            if (labels == label).any():
                found.classes.setdefault(name, {})[key] = float(right[labels == label].mean())

    def held_out_figures(self) -> Figures:
        """The held-out products as a sample of their own: accuracy, copies, and the floor of each class."""
        found = Figures("held-out products", "")
        self._note_classes(found, self.held_out, self._unseen[EYE])
        for one in self.evaluators:
            if one.classes == self.train.classes:
                right = one.labels(rgb(self.held_out)) == self.held_out.labels
                found.overall["accuracy"] = float(right.mean())
                self._note_shares(found, "accuracy", right, self.held_out.labels)
        found.overall |= {"near": QUANTILE, "near pixels": QUANTILE, "known": self.chance, "known pixels": self.chance}
        found.overall |= {"pixels": float(np.median(self._far_pixels))}
        return found

    def references(self) -> Iterator[Sample]:
        """The floor, and the ceilings made of it."""
        random = np.random.default_rng(0)
        groups = [np.flatnonzero(self.train.labels == label) for label in present(self.train)]
        index = np.concatenate([some(group, self.count, random) for group in groups])
        floor = replace(self.train, pictures=self.train.pictures[index], labels=self.train.labels[index])
        yield Sample("training products", floor)
        yield Sample("the same, blurred", replace(floor, pictures=blurred(floor.pictures)))
        yield Sample("the same, noisy", replace(floor, pictures=noisy(floor.pictures, random)))
        yield Sample("the mean of each class", replace(floor, pictures=class_means(floor, self.train)))


MEASURES = (
    ("kid evaluator-classifier", "KID, features of a classifier", "/ 1000", 1000),
    ("kid evaluator-selfsupervised", "KID, features learned without labels", "/ 1000", 1000),
    ("kid evaluator-random", "KID, random features", "/ 1000", 1000),
    ("frechet evaluator-classifier", "Fréchet distance, features of a classifier", "", 1),
    ("frechet evaluator-selfsupervised", "Fréchet distance, features learned without labels", "", 1),
    ("frechet evaluator-random", "Fréchet distance, random features", "", 1),
    (f"density {EYE}", "density", "", 1),
    (f"coverage {EYE}", "coverage", "", 1),
    ("accuracy", "products whose class a classifier tells", "%", 100),
    ("taught", "held-out products told by what learned from this alone", "%", 100),
    ("near", "suspiciously near a training product, in features", "%", 100),
    ("near pixels", "suspiciously near a training product, in pixels", "%", 100),
    ("known", "whose nearest real product is a training one, in features", "%", 100),
    ("known pixels", "whose nearest real product is a training one, in pixels", "%", 100),
    ("pixels", "RMS distance to the nearest training product, median", "of 255", 1),
    ("variety", "RMS distance of two seeds of a class", "of 255", 1),
)
"""Key, name, unit and factor of what a manifest keeps."""
WORST = (
    ("accuracy", "products whose class a classifier tells, of the worst class", "%", 100),
    ("coverage", "coverage of the worst class", "", 1),
)
"""The same of what it keeps of the classes."""


def note_generator(report: Report, yardstick: Yardstick, found: Figures, data: str) -> None:
    """Put the figures into a report, each beside the floor and the ceilings."""
    floor, *ceilings = [yardstick.measure(sample) for sample in yardstick.references()]
    unseen = yardstick.held_out_figures()
    for key, name, unit, factor in MEASURES:
        if key not in found.overall:
            continue
        beside = [("held-out", unseen), ("training", floor)]
        beside += list(zip(("blurred", "noisy", "class means"), ceilings, strict=True))
        values = [f"{label} {factor * one.overall[key]:.3g}" for label, one in beside if key in one.overall]
        report.add(name, factor * found.overall[key], unit, f"{data}; {', '.join(values)}")
    for key, name, unit, factor in WORST:
        shares = [(figures[key], label) for label, figures in found.classes.items() if key in figures]
        if shares:
            worst, label = min(shares)
            report.add(name, factor * worst, unit, f"{label}; {PER_CLASS} seeds of each class")


def rgb(data: Labelled) -> Pixels:
    """(N, S, S, 3) over white."""
    return data.pictures[..., :3]


def present(data: Labelled) -> list[int]:
    """The labels that occur."""
    return [int(label) for label in np.unique(data.labels)]


def some(index: NDArray[np.int64], count: int, random: np.random.Generator) -> NDArray[np.int64]:
    """`count` of an index in random order; those of a small class come again."""
    return np.resize(random.permutation(index), count)


def blurred(pictures: Pixels, sigma: float = 1.5) -> Pixels:
    """(N, S, S, C) -> the same, blurred."""
    return np.stack([np.asarray(cv2.GaussianBlur(one, (0, 0), sigma), np.uint8) for one in pictures])


def noisy(pictures: Pixels, random: np.random.Generator, sigma: float = 20) -> Pixels:
    """(N, S, S, 4) -> the same with Gaussian noise in its colours."""
    moved = pictures[..., :3] + random.normal(0, sigma, (*pictures.shape[:3], 3))
    return np.concatenate([moved.round().clip(0, 255).astype(np.uint8), pictures[..., 3:]], 3)


def class_means(sample: Labelled, train: Labelled) -> Pixels:
    """For each picture of the sample (N, S, S, C) the mean of its class."""
    found = np.empty_like(sample.pictures)
    for label in present(sample):
        mean = train.pictures[train.labels == label].astype(np.float32).mean(0)
        found[sample.labels == label] = mean.round().astype(np.uint8)
    return found
