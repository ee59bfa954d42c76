"""What `sketch` learns from: snapshots of products, and drawings of the same products in the best light."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from training.composites import Floats, Random, floats, read_views, unit
from training.curate import split_of
from training.cutout import bounds
from training.data import DataError
from training.lines import PEN, Pen, line_drawing
from training.networks.lines import FINER, LinesConfig, LinesNet
from training.pictures import Pixels, read_rgba
from training.relighting import light_field, snapped
from training.translation import AdversarialSettings, Batch

VIEW_SCALE = 2.5
"""Pixels of ink to one of a rendered view."""
PHOTO_SCALES = (1.4, 1.9, 2.4, 3.0)
"""The same of photos: sharp pictures, and enlarged ones."""
WHOLE_EVERY = 10
"""Every so many-th photo is drawn with all that is on it, as one is that shows no product."""
INK = 2.5
"""With L1 a line is drawn where it is as likely as 1 to this; with a weight that makes ink and paper equal, of each
picture, everything that may be a line was dotted."""
MARGIN = 0.06
"""Of a product's longer side, around it."""


@dataclass(frozen=True, kw_only=True)
class LinesRecipe(AdversarialSettings):
    """Settings of the training; `photos` is how many photos are drawn, which takes half a second each."""

    name: str
    network: LinesConfig
    photos: int = 1200
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Subject:
    """A product to draw: a snapshot (H, W, 3) and alpha (H, W), both uint8, and ink, `scale` times as large, as PNG."""

    snapshot: Pixels
    alpha: Pixels
    ink: NDArray[np.uint8]
    scale: float
    lit: bool
    """Whether the snapshot is in the light of a place; otherwise it is the picture that was drawn."""

    def drawing(self) -> Pixels:
        """The ink, (FINER*h, FINER*w) uint8, about; 255 is black."""
        return np.asarray(cv2.imdecode(self.ink, cv2.IMREAD_GRAYSCALE), np.uint8)

    def seen(self, ink: Pixels, side: int, top: int, left: int) -> tuple[Floats, Floats]:
        """The square whose ink begins at (top, left): (S, S, 4) with alpha, and ink (FINER*S, FINER*S), in [0, 1]."""
        scale = self.scale / FINER
        # Pixels' centres are half a pixel from their edges.
        shifts = [0.5 * scale - 0.5 - at / FINER for at in (left, top)]
        matrix = np.array([[scale, 0, shifts[0]], [0, scale, shifts[1]]])
        picture = moved(np.dstack([self.snapshot, self.alpha]), matrix, side)
        return picture, moved(ink, np.array([[1.0, 0, -left], [0, 1, -top]]), FINER * side)


def read_subjects(
    folders: list[Path],
    splits: tuple[str, ...],
    photos: int,
    cache: Path | None = None,
    scales: tuple[float, ...] = PHOTO_SCALES,
) -> list[Subject]:
    """Subjects of some splits: every view of the folders of scenes, and so many photos of each that `curate` made.

    Photos take their scales one after the other. Drawings are kept in the folder `cache`, and taken from there the next
    time.

    Raises:
        DataError: there is none.
    """
    found: list[Subject] = []
    for folder in folders:
        if (folder / "index.csv").is_file():
            paths = [path for path in sorted((folder / "photos").glob("*.png")) if split_of(path.stem) in splits]
            for index, path in enumerate(tqdm(paths[:photos], desc="drawing photos", leave=False)):
                whole = index % WHOLE_EVERY == WHOLE_EVERY - 1
                found.append(of_photo(read_rgba(path), scales[index % len(scales)], whole, cache))
        else:
            views = [view for split in splits for view in read_views(folder, split)]
            shown = tqdm(views, desc="drawing views", leave=False)
            found += [of_view(scene, studio, cache) for scene, studio in shown]
    if not found:
        raise DataError(f"nothing to draw of {' and '.join(splits)} in {', '.join(map(str, folders))}")
    return found


def of_view(scene: Pixels, studio: Pixels, cache: Path | None = None) -> Subject:
    """A rendered view, drawn as it looks in a studio."""
    ink = drawn(studio[..., :3], studio[..., 3], VIEW_SCALE, cache)
    return Subject(scene, np.ascontiguousarray(studio[..., 3]), ink, VIEW_SCALE, True)


def of_photo(rgba: Pixels, scale: float, whole: bool, cache: Path | None = None) -> Subject:
    """A photo with a mask, drawn as it is: its product, or all of it."""
    rows, columns = (slice(None), slice(None)) if whole else around(rgba[..., 3])
    rgb = np.ascontiguousarray(rgba[rows, columns, :3])
    alpha = np.full(rgb.shape[:2], 255, np.uint8) if whole else np.ascontiguousarray(rgba[rows, columns, 3])
    return Subject(rgb, alpha, drawn(rgb, alpha, scale, cache), scale, False)


def around(alpha: Pixels, margin: float = MARGIN) -> tuple[slice, slice]:
    """The rows and columns of a product and a margin, as far as there is a picture."""
    height, width = alpha.shape
    top, left, bottom, right = bounds(alpha > 127) or (0, 0, height, width)
    room = round(margin * max(bottom - top, right - left)) + 1
    return slice(max(0, top - room), bottom + room), slice(max(0, left - room), right + room)


def drawn(rgb: Pixels, alpha: Pixels, scale: float, cache: Path | None = None, pen: Pen = PEN) -> NDArray[np.uint8]:
    """The drawing of a picture enlarged, as the bytes of a PNG (n,) uint8, 255 is ink."""
    said = hashlib.sha256(repr((pen, scale, rgb.shape)).encode() + rgb.tobytes() + alpha.tobytes()).hexdigest()
    path = None if cache is None else cache / f"{said[:24]}.png"
    if path is not None and path.is_file():
        return np.frombuffer(path.read_bytes(), np.uint8)
    size = (round(scale * rgb.shape[1]), round(scale * rgb.shape[0]))
    large, cover = (np.asarray(cv2.resize(one, size, interpolation=cv2.INTER_CUBIC), np.uint8) for one in (rgb, alpha))
    ink = (255 * line_drawing(large, cover, pen)).round().astype(np.uint8)
    _, data = cv2.imencode(".png", ink)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.tobytes())
    return np.asarray(data, np.uint8)


@dataclass(frozen=True, slots=True)
class Lining:
    """See `translation.Task`. The source is a snapshot and alpha, the target the squares of 2x2 px of ink."""

    recipe: LinesRecipe
    subjects: list[Subject]
    channels: int = 4 + FINER**2

    def network(self) -> nn.Module:
        return LinesNet(self.recipe.network)

    def batch(self, side: int, count: int, random: Random) -> Batch:
        samples = [part(self.subjects[int(random.integers(len(self.subjects)))], side, random) for _ in range(count)]
        picture, ink = (torch.from_numpy(np.stack(parts)) for parts in zip(*samples, strict=True))
        target = F.pixel_unshuffle(ink[:, None], FINER)
        source = picture.permute(0, 3, 1, 2).contiguous()
        return Batch(source, target, torch.ones(count, 1, side, side), torch.zeros(count, 0), torch.ones(count))

    def translated(self, net: nn.Module, batch: Batch) -> Tensor:
        return net(batch.source)  # type: ignore[no-any-return]

    def seen(self, batch: Batch) -> Tensor:
        return batch.source

    def label(self, batch: Batch) -> None:
        return None

    def terms(self, made: Tensor, batch: Batch) -> dict[str, Tensor]:
        return lines_terms(made, batch.target)


def lines_terms(made: Tensor, target: Tensor) -> dict[str, Tensor]:
    """How far ink is from the truth, both in [0, 1]; ink counts INK times as much as paper, of which there is more.

    `l1` is the distance, `balanced` the cross-entropy (Xie and Tu 2015), which says more while all is unsure.
    """
    weight = 1 + (INK - 1) * target
    entropy = F.binary_cross_entropy(made.clamp(1e-4, 1 - 1e-4), target, reduction="none")
    return {"l1": (weight * (made - target).abs()).mean(), "balanced": (weight * entropy).mean()}


def part(subject: Subject, side: int, random: Random) -> tuple[Floats, Floats]:
    """A part of a subject as a camera takes it, with alpha (S, S, 4), and its ink (FINER*S, FINER*S), in [0, 1]."""
    ink = subject.drawing()
    room = [length - FINER * side for length in ink.shape]
    top, left = (random.uniform(min(0, free), max(0, free)) for free in room)
    picture, lines = subject.seen(ink, side, round(top), round(left))
    if random.random() < 0.5:
        picture, lines = picture[:, ::-1], np.ascontiguousarray(lines[:, ::-1])
    share = 0.4 if subject.lit else 0.85
    if random.random() < 0.5:
        cloth = picture[..., 3] * pattern(side, random)
        rgb = picture[..., :3] * (1 + random.uniform(0.6, 1.0, 3) * cloth[..., None])
        picture = floats(np.dstack([rgb, picture[..., 3]]))
    return as_taken(picture, random, share), lines


def as_taken(picture: Floats, random: Random, share: float) -> Floats:
    """A picture and alpha (S, S, 4) in [0, 1] in a light that is drawn, by that share of chance, as a camera takes it.

    Sometimes cut out already, or with its channels exchanged.
    """
    side, rgb, alpha = len(picture), picture[..., :3], picture[..., 3]
    if random.random() < 0.2:
        ground = np.full(3, random.choice([1.0, 1.0, 0.0, 0.5])) if random.random() < 0.7 else random.random(3)
        rgb = floats(ground + (rgb - ground) * alpha[..., None])
    if random.random() < share:
        rgb = floats(rgb * light_field(side, random) * cast(side, random)[..., None])
    if random.random() < 0.3:
        rgb = rgb[..., random.permutation(3)]
    if random.random() < 0.3:
        alpha = floats(cv2.GaussianBlur(alpha, (0, 0), random.uniform(0.3, 1.2)))
    return floats(np.dstack([snapped(floats(np.clip(rgb, 0, 1)), random), alpha]))


def pattern(side: int, random: Random) -> Floats:
    """Stripes, checks or dots that are too fine to be drawn, a little bent: (S, S), how much brighter than without."""
    bend = random.uniform(0, 6)
    y, x = np.mgrid[0:side, 0:side] + bend * cv2.resize(random.normal(0, 1, (3, 3, 2)), (side, side)).transpose(2, 0, 1)
    angle, period = random.uniform(0, np.pi), np.exp(random.uniform(np.log(3), np.log(16)))
    along, across = (x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle))
    waves = [np.sin(2 * np.pi * at / period) for at in (along, across)]
    kind = int(random.integers(3))
    plane = waves[0] if kind == 0 else waves[0] + waves[1] if kind == 1 else waves[0] * waves[1]
    return floats(random.uniform(0.02, 0.2) * np.clip(random.uniform(1, 5) * plane, -1, 1))


def moved(pixels: Pixels, matrix: NDArray[np.float64], side: int) -> Floats:
    """Pixels, moved, in a square in [0, 1]; beyond their edge they go on as they are there."""
    found = cv2.warpAffine(pixels, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return unit(found)


def cast(side: int, random: Random) -> Floats:
    """How much light (S, S) is left by what stands in it: nothing, shapes as of leaves and hands, or bars."""
    kind = random.random()
    if kind < 0.35:
        return np.ones((side, side), np.float32)
    if kind < 0.75:
        cells = int(random.integers(2, 7))
        plane = cv2.resize(floats(random.normal(0, 1, (cells, cells))), (side, side), interpolation=cv2.INTER_CUBIC)
    else:
        y, x = np.mgrid[0:side, 0:side] / side
        angle, width = random.uniform(0, 2 * np.pi), random.uniform(0.15, 1.0)
        plane = np.cos(2 * np.pi * ((x * np.cos(angle) + y * np.sin(angle)) / width + random.random()))
    edge = (plane - random.uniform(-0.7, 0.7)) / random.uniform(0.01, 0.15)
    shade = 1 / (1 + np.exp(-np.clip(edge, -30, 30)))
    return floats(1 - random.uniform(0.2, 0.65) * shade)
