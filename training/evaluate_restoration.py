"""How good an enhancer is, and how well degradation is estimated, on pictures that they have not learned from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from PIL import Image

from training.data import DataError
from training.degrade import Degradation, degrade, reduce_clean
from training.evaluate_restyle import mean_lab, similarity
from training.figures import Report
from training.pictures import Pixels, read_rgb, sheet
from training.restoration import read_clean

SIDE = 320  # px of the clean crops
LEAST = 96
COUNT = 50
"""Of pictures of a folder."""
SHOWN = 4
STEER = 0.5
"""The level of the pictures by which it is measured what the strength does."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A clean crop (H, W, 3) and what the published recipe makes of it (H / scale, W / scale, 3) at `level`."""

    clean: Pixels
    small: Pixels
    level: float


def luma(rgb: Pixels) -> NDArray[np.float64]:
    """(H, W, 3) uint8 -> (H, W), Y of ITU-R BT.601 in [16, 235], as the standard protocol has it."""
    weights = np.array([65.481, 128.553, 24.966]) / 255
    return np.asarray(rgb.astype(np.float64) @ weights + 16)


def scores(found: Pixels, truth: Pixels, border: int) -> tuple[float, float]:
    """PSNR in dB and SSIM (Wang et al. 2004) on Y, without the outermost `border` pixels."""
    x, y = (luma(one)[border:-border, border:-border] for one in (found, truth))
    psnr = 10 * np.log10(255**2 / max(float(np.mean((x - y) ** 2)), 1e-10))
    # Without what its window would need from beyond the edge.
    return float(psnr), float(similarity(x, y)[5:-5, 5:-5].mean())


def bicubic(rgb: Pixels, scale: int) -> Pixels:
    """(H, W, 3) uint8 -> (scale*H, scale*W, 3)."""
    size = (scale * rgb.shape[1], scale * rgb.shape[0])
    return np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.BICUBIC))


def shrunk(rgb: Pixels, scale: int) -> Pixels:
    """(scale*H, scale*W, 3) uint8 -> (H, W, 3), Lanczos, as the service does for scale 1."""
    size = (rgb.shape[1] // scale, rgb.shape[0] // scale)
    return np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.LANCZOS))


def trials(pictures: list[Pixels], scale: int, level: float | None = None) -> list[Trial]:
    """Each picture cropped to at most SIDE px and degraded to `level`, or to one that its index draws."""
    found = []
    for index, picture in enumerate(pictures):
        height, width = (min(n, SIDE) // scale * scale for n in picture.shape[:2])
        random = torch.Generator().manual_seed(index)
        drawn = float(torch.rand((), generator=random))
        at = drawn if level is None else level
        clean = np.ascontiguousarray(picture[:height, :width])
        found.append(Trial(clean, degrade(clean, scale, at, Degradation(), random), at))
    return found


class Enhancer:
    """A published enhancer, with the estimate of its strength that the service makes, or one that only enlarges."""

    def __init__(
        self, session: onnxruntime.InferenceSession, estimator: onnxruntime.InferenceSession | None = None
    ) -> None:
        self._session, self._estimator = session, estimator

    def estimated(self, rgb: Pixels) -> float:
        """The strength for a picture, in [0, 1]."""
        if self._estimator is None:
            return 0.0
        return float(self._estimator.run(None, {"image": rgb[None]})[0][0])

    def __call__(self, rgb: Pixels, strength: float) -> Pixels:
        """The whole picture at once, mirrored at its edges."""
        margin = 24
        padded = np.pad(rgb, ((margin, margin), (margin, margin), (0, 0)), mode="symmetric")
        given: dict[str, NDArray[Any]] = {"image": padded[None]}
        if self._estimator is not None:
            given["strength"] = np.array([strength], np.float32)
        large = np.asarray(self._session.run(None, given)[0][0], np.uint8)
        scale = large.shape[0] // padded.shape[0]
        inner = slice(margin * scale, -margin * scale)
        return large[inner, inner]


def evaluate_enhancer(enhancer: Enhancer, scale: int, folders: list[Path], *, restores: bool = True) -> Report:
    """Degraded photos with the estimated strength, cleanly reduced ones without any; standard pairs; steering; colour.

    What restores nothing is measured on clean pictures alone. Standard pairs are files `x{scale}_*_LR.png` and
    `..._HR.png` in one of the folders.

    Raises:
        DataError: there are neither pictures nor pairs.
    """
    standard = [folder for folder in folders if any(folder.glob("x*_LR.png"))]
    report = Report()
    pictures = held_out([folder for folder in folders if folder not in standard])
    if pictures and restores:
        on_pictures(report, enhancer, scale, pictures)
    elif pictures:
        report.picture = on_clean_pictures(report, enhancer, scale, pictures)
    for folder in standard:
        on_pairs(report, enhancer, scale, folder)
    if not report.records:
        raise DataError("there is nothing to measure an enhancer on")
    return report


def held_out(folders: list[Path]) -> list[Pixels]:
    """COUNT test pictures of each folder, or a few less, at equal steps."""
    pictures: list[Pixels] = []
    for folder in folders:
        found = read_clean(folder, "test", LEAST)
        pictures += found[:: max(1, len(found) // COUNT)][:COUNT]
    return pictures


def on_pictures(report: Report, enhancer: Enhancer, scale: int, pictures: list[Pixels]) -> None:
    """What held-out pictures gain."""
    gains: list[float] = []
    same_size: list[float] = []
    shifts: list[float] = []
    rows: list[Pixels] = []
    inside = np.ones((1, 1), bool)
    for index, trial in enumerate(trials(pictures, scale)):
        restored, plain = enhancer(trial.small, enhancer.estimated(trial.small)), bicubic(trial.small, scale)
        gains.append(scores(restored, trial.clean, scale)[0] - scores(plain, trial.clean, scale)[0])
        target = reduce_clean(trial.clean, scale)
        same_size.append(scores(shrunk(restored, scale), target, 2)[0] - scores(trial.small, target, 2)[0])
        means = [
            mean_lab((one.mean((0, 1)) / 255).astype(np.float32)[None, None], inside) for one in (trial.small, restored)
        ]
        shifts.append(float(np.linalg.norm(means[0] - means[1])))
        if index < SHOWN:
            rows += shown_row(trial, plain, restored)
    data = f"{len(gains)} held-out pictures, degraded by the recipe to random levels, strength estimated"
    report.add("PSNR (Y) above bicubic, mean", float(np.mean(gains)), "dB", data)
    report.add("PSNR (Y) above bicubic, worst", min(gains), "dB", data)
    report.add("pictures better than bicubic", sum(gain > 0 for gain in gains), f"of {len(gains)}", data)
    report.add("PSNR (Y) above the upload, scale 1, mean", float(np.mean(same_size)), "dB", data)
    report.add("shift of the mean colour, worst", max(shifts), "CIE 1976, before the service takes it back", data)
    on_clean_pictures(report, enhancer, scale, pictures)
    steered = trials(pictures, scale, STEER)
    data = f"{len(steered)} held-out pictures, degraded to level {STEER:g}"
    for strength in (0.0, 0.25, 0.5, 0.75, 1.0):
        found = [scores(enhancer(one.small, strength), one.clean, scale)[0] for one in steered]
        report.add(f"PSNR (Y), strength {strength:g}", float(np.mean(found)), "dB", data)
    report.picture = sheet(rows, columns=4)


def on_clean_pictures(report: Report, enhancer: Enhancer, scale: int, pictures: list[Pixels]) -> Pixels:
    """What held-out pictures that are only small gain; gives a sheet of some of them."""
    gains: list[tuple[float, float]] = []
    rows: list[Pixels] = []
    for trial in trials(pictures, scale, 0.0):
        made, plain = enhancer(trial.small, 0), bicubic(trial.small, scale)
        gains.append((scores(made, trial.clean, scale)[0], scores(plain, trial.clean, scale)[0]))
        if len(gains) <= SHOWN:
            rows += shown_row(trial, plain, made)
    data = f"{len(gains)} held-out pictures, cleanly reduced, strength 0"
    report.add("PSNR (Y)", float(np.mean([ours for ours, _ in gains])), "dB", data)
    report.add("PSNR (Y) above bicubic, mean", float(np.mean([ours - plain for ours, plain in gains])), "dB", data)
    return sheet(rows, columns=4)


def shown_row(trial: Trial, plain: Pixels, made: Pixels) -> list[Pixels]:
    """What goes into a row of the sheet: what was given, bicubic, the model's, the truth."""
    blocks = np.asarray(cv2.resize(trial.small, trial.clean.shape[1::-1], interpolation=cv2.INTER_NEAREST), np.uint8)
    return [shown(one) for one in (blocks, plain, made, trial.clean)]


def shown(rgb: Pixels, side: int = 192) -> Pixels:
    """The middle of a picture, at most `side` px, on grey."""
    top, left = (max(0, (n - side) // 2) for n in rgb.shape[:2])
    part = rgb[top : top + side, left : left + side]
    canvas = np.full((side, side, 3), 128, np.uint8)
    canvas[: part.shape[0], : part.shape[1]] = part
    return canvas


def on_pairs(report: Report, enhancer: Enhancer, scale: int, folder: Path) -> None:
    """The standard protocol: PSNR and SSIM on Y, the border cropped by the scale; no restoration is asked for."""
    ours, plain = [], []
    for path in sorted(folder.glob(f"x{scale}_*_LR.png")):
        small, large = (read_rgb(path.with_name(path.name.replace("LR", kind))) for kind in ("LR", "HR"))
        if small is None or large is None:
            raise DataError(f"{path} has no high resolution beside it")
        height, width = (scale * n for n in small.shape[:2])
        truth = large[:height, :width]
        ours.append(scores(enhancer(small, 0.0), truth, scale))
        plain.append(scores(bicubic(small, scale), truth, scale))
    if not ours:
        return
    data = f"{folder.name}, {len(ours)} pictures, x{scale}, standard protocol, strength 0"
    for index, (name, unit) in enumerate((("PSNR (Y)", "dB"), ("SSIM (Y)", ""))):
        report.add(name, float(np.mean([one[index] for one in ours])), unit, data)
        report.add(f"{name}, bicubic", float(np.mean([one[index] for one in plain])), unit, data)


def evaluate_level(estimator: onnxruntime.InferenceSession, folders: list[Path]) -> Report:
    """Mean absolute error of the estimated level, beside that of always saying the mean."""
    pictures = held_out(folders)
    report, tried = Report(), trials(pictures, 2)
    levels = np.array([trial.level for trial in tried])
    found = np.array([float(estimator.run(None, {"image": trial.small[None]})[0][0]) for trial in tried])
    data = f"{len(tried)} held-out pictures, degraded by the recipe to random levels"
    report.add("mean absolute error", float(np.abs(found - levels).mean()), "of strength", data)
    report.add("the same of always saying the mean", float(np.abs(levels - levels.mean()).mean()), "of strength", data)
    clean = [float(estimator.run(None, {"image": one.small[None]})[0][0]) for one in trials(pictures, 2, 0.0)]
    report.add("mean level of clean pictures", float(np.mean(clean)), "of strength", "the same, cleanly reduced")
    return report
