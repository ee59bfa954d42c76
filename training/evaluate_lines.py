"""How well snapshots are drawn: lines beside those of the clean picture, and specks; on what was not learned from."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from training.composites import Floats, Random, floats, unit
from training.figures import Report
from training.lines import kept, line_drawing
from training.lining import Subject, as_taken, read_subjects
from training.networks.lines import FINER
from training.pictures import Pixels, sheet

PHOTOS = 40
"""How many held-out photos are drawn, of each folder."""
HELD_SCALE = 3.0
"""Pixels of ink to one of a photo, so that the product about fills the square."""
SHOWN = 10
SHOWN_SIDE = 256
TOLERANCES = (1, 2)
"""Px of the network's picture that a line may be off."""
SPECK = 160
"""Px of ink, four to a pixel of the network's picture: what hangs together and has less is a speck."""
SHORT = 160
"""Px of ink that a stroke has at least, to be left."""
EDGE = 12
"""Px of ink from the outline to what counts as inside."""


def evaluate_lines(session: onnxruntime.InferenceSession, side: int, folders: list[Path]) -> Report:
    """Drawings of held-out snapshots by the network, and by the rule that drew the truth, beside the truth.

    Photos are first put into a light that is drawn, with noise and marks of JPEG; views are as they were rendered.

    Raises:
        DataError: the folders hold nothing of the splits that no training sees.
    """
    subjects = read_subjects(folders, ("test", "validation"), PHOTOS, scales=(HELD_SCALE,))
    random, report, rows = np.random.default_rng(0), Report(), []
    shown = set(np.linspace(0, len(subjects) - 1, SHOWN).astype(int))
    scores: dict[bool, list[list[list[float]]]] = {True: [], False: []}
    for index, subject in enumerate(subjects):
        picture, truth = framed(subject, side, random)
        inside = inner(picture[..., 3])
        raw = by_network(session, picture)
        drawings = [cleaned(raw), by_rule(picture), truth, raw]
        scores[subject.lit].append([figures(one, truth, inside) for one in drawings])
        if index in shown:
            share = min(1.0, max(subject.drawing().shape) / len(truth))
            rows += [shown_of(one, share) for one in (picture[..., :3], *(1 - one for one in drawings[:3]))]
    for lit, said in ((True, "views of held-out objects, as rendered"), (False, "held-out photos in a drawn light")):
        if scores[lit]:
            note(report, np.mean(scores[lit], 0), f"{len(scores[lit])} {said}, {side} px")
    report.picture = sheet(rows, columns=8)
    return report


def note(report: Report, means: NDArray[np.float64], data: str) -> None:
    """Means (4, M) of `figures` of the network, cleaned, of the rule, of the truth and of the network as it is."""
    names = ("network", "rule on the snapshot", "truth", "network, before it is cleaned")
    for tolerance, at in zip(TOLERANCES, (0, 1), strict=True):
        for which in (0, 1):
            report.add(f"F of lines within {tolerance} px, {names[which]}", float(means[which, at]), "", data)
    for which in (0, 1):
        right, found, met, there = means[which, 4:]
        inside = 2 * right * met / max(right * there + met * found, 1e-9)
        report.add(f"F of lines inside within {TOLERANCES[-1]} px, {names[which]}", float(inside), "", data)
    for which in (0, 3, 1):
        report.add(f"specks, {names[which]}", float(means[which, 2]), "a drawing", data)
    for which in (0, 1, 2):
        report.add(f"ink, {names[which]}", float(means[which, 3]), "% of the paper", data)


def inner(alpha: Floats) -> NDArray[np.bool_]:
    """Where a line (FINER*S, FINER*S) is none of the outline, by alpha (S, S) in [0, 1]."""
    size = (FINER * alpha.shape[1], FINER * alpha.shape[0])
    cover = np.asarray(cv2.resize(alpha, size, interpolation=cv2.INTER_LINEAR) > 0.5, np.uint8)
    return cv2.erode(cover, np.ones((2 * EDGE + 1, 2 * EDGE + 1), np.uint8)) > 0


def cleaned(ink: Floats) -> Floats:
    """Ink without strokes that are short or faint, as the service leaves them out (`app/tasks/lines.py`)."""
    return floats(np.where(kept(ink > 0.25, ink > 0.6, SHORT), ink, 0))


def framed(subject: Subject, side: int, random: Random) -> tuple[Floats, Floats]:
    """A subject in the middle of a square, as taken (S, S, 4), and its ink (FINER*S, FINER*S), in [0, 1]."""
    ink = subject.drawing()
    top, left = ((length - FINER * side) // 2 for length in ink.shape)
    picture, truth = subject.seen(ink, side, top, left)
    return as_taken(picture, random, 0.0 if subject.lit else 1.0), truth


def by_network(session: onnxruntime.InferenceSession, picture: Floats) -> Floats:
    """What the network draws of a picture and alpha (S, S, 4) in [0, 1]: (FINER*S, FINER*S) in [0, 1]."""
    image = np.asarray((255 * picture).round(), np.uint8)
    return unit(session.run(None, {"image": image[None]})[0][0, ..., 0])


def by_rule(picture: Floats) -> Floats:
    """What the rule draws of it."""
    size = (FINER * picture.shape[1], FINER * picture.shape[0])
    large = np.clip(cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC), 0, 1)
    large = np.asarray((255 * large).round(), np.uint8)
    return line_drawing(np.ascontiguousarray(large[..., :3]), np.ascontiguousarray(large[..., 3]))


def figures(found: Floats, truth: Floats, inside: NDArray[np.bool_]) -> list[float]:
    """F within every tolerance, specks, ink in percent, and `counts` inside; all (H, W), drawings in [0, 1]."""
    ink, true = found > 0.5, truth > 0.5
    overlaps = [overlap(ink, true, FINER * tolerance) for tolerance in TOLERANCES]
    return [*overlaps, float(specks(ink)), 100 * float(ink.mean()), *counts(ink, true, inside)]


def counts(found: NDArray[np.bool_], truth: NDArray[np.bool_], inside: NDArray[np.bool_]) -> list[float]:
    """Px of ink inside that are right, that there are, px of the truth inside that are met, that there are."""
    near, met = (widened(one, FINER * TOLERANCES[-1]) for one in (truth, found))
    return [float((one & inside).sum()) for one in (found & near, found, truth & met, truth)]


def overlap(found: NDArray[np.bool_], truth: NDArray[np.bool_], reach: int) -> float:
    """The F measure of lines that may be `reach` px off (Martin, Fowlkes and Malik 2004); 1 where both are blank."""
    if not found.any() or not truth.any():
        return float(found.any() == truth.any())
    precision, recall = float(widened(truth, reach)[found].mean()), float(widened(found, reach)[truth].mean())
    return 2 * precision * recall / max(precision + recall, 1e-9)


def widened(ink: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """Where ink is at most so many px away."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return cv2.dilate(ink.astype(np.uint8), disc) > 0


def specks(ink: NDArray[np.bool_]) -> int:
    """How many parts hang together with nothing and have less ink than SPECK."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(ink.astype(np.uint8), connectivity=8)
    return int((stats[1:, cv2.CC_STAT_AREA] < SPECK).sum())


def shown_of(picture: Floats, share: float) -> Pixels:
    """The middle of a picture (S, S) or (S, S, 3) in [0, 1], as large as in the sheet: (T, T, 3) uint8."""
    edge = round((1 - share) / 2 * len(picture))
    part = picture[edge : len(picture) - edge, edge : len(picture) - edge]
    small = floats(cv2.resize(part, (SHOWN_SIDE, SHOWN_SIDE), interpolation=cv2.INTER_AREA))
    pixels = np.asarray((255 * small).round(), np.uint8)
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, 2)
