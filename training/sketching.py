"""What `from-sketch` learns from: curated products and drawings of them, with the gaps and tremor of a hand."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.composites import Floats, Random, floats, unit
from training.data import Labelled
from training.networks.sketch import COLOURS, FOLDS, SketchConfig, SketchNet, laid
from training.pictures import Pixels
from training.translation import AdversarialSettings, Batch

PLAIN = (0.45, 0.6)
"""Share of a class's products without pattern, and of these without print: their colours and folds are kept, to be
drawn from."""
EMPTY = (0.1, 0.6)
"""Share of drawings without a line inside: of other products, and of plain ones, so that what is empty stays plain."""
COARSE = 8
"""Side of the squares, in px, whose mean is compared with what is told: what is finer, the discriminator judges."""


@dataclass(frozen=True, kw_only=True)
class SketchRecipe(AdversarialSettings):
    """Settings of the training; `unknown` is the share of samples whose class is not told.

    `strange` is the share that is told another product's colours and folds, so that they have no truth.
    """

    name: str
    network: SketchConfig
    unknown: float = 0.25
    strange: float = 0.1
    seed: int = 0


class Sketching:
    """See `translation.Task`. The source is a drawing, the target the product over white with its alpha.

    What is told is the product's colours (9 numbers), its class, and its folds (32 x 32).
    """

    channels = 5

    def __init__(self, recipe: SketchRecipe, data: Labelled) -> None:
        self.recipe, self.data = recipe, data
        self._plain = {label: plainest(data, label) for label in range(recipe.network.classes)}
        self._colours = {at: colours_of(data.pictures[at]) for kept in self._plain.values() for at in kept}

    def network(self) -> nn.Module:
        net = SketchNet(self.recipe.network)
        chosen: list[int] = []
        for kept in self._plain.values():
            if kept:
                # At equal steps of brightness, not one as often as the other: most plain products are dark.
                bright = np.array([self._colours[at][:3].mean() for at in kept])
                low, high = (float(np.quantile(bright, share)) for share in (0.1, 1))
                steps = np.linspace(low, high, net.each)
                chosen += [kept[int(np.abs(bright - step).argmin())] for step in steps]
        if len(chosen) == len(net.palette):
            net.palette.copy_(torch.from_numpy(np.stack([self._colours[at] for at in chosen])))
            folds = np.stack([folds_of(self.data.pictures[at]) for at in chosen])
            net.palette_folds.copy_(torch.from_numpy(np.rint(128 + 255 * folds).clip(0, 255).astype(np.uint8)))
        return net

    def batch(self, side: int, count: int, random: Random) -> Batch:
        chosen = random.integers(0, len(self.data.labels), count)
        lines, targets = [], []
        told = np.zeros((count, COLOURS + 1 + FOLDS**2), np.float32)
        strange = random.random(count) < self.recipe.strange
        for place, at in enumerate(chosen):
            rgba = self.data.pictures[at]
            if random.random() < 0.5:
                rgba = rgba[:, ::-1]
            swap = [*random.permutation(3), 3] if random.random() < 0.3 else [0, 1, 2, 3]
            rgba = moved(rgba[..., swap], random)
            small = np.asarray(cv2.resize(rgba, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
            lines.append(drawing(rgba, side, random, empty=EMPTY[at in self._colours]))
            targets.append(unit(small).transpose(2, 0, 1))
            shown = self._other(int(at), random)[..., swap] if strange[place] else small
            told[place, :COLOURS] = colours_of(shown)
            known = random.random() >= self.recipe.unknown
            told[place, COLOURS] = self.data.labels[at] if known else self.recipe.network.classes
            folds = folds_of(shown)
            told[place, COLOURS + 1 :] = (folds if strange[place] else vague(folds, random)).ravel()
        source, target = torch.from_numpy(np.stack(lines)[:, None]), torch.from_numpy(np.stack(targets))
        paired = torch.from_numpy(1 - strange.astype(np.float32))
        return Batch(source, target, torch.ones(count, 1, side, side), torch.from_numpy(told), paired)

    def _other(self, at: int, random: Random) -> Pixels:
        """A plain product of the same class, perhaps mirrored."""
        kept = self._plain[int(self.data.labels[at])]
        rgba = self.data.pictures[kept[random.integers(len(kept))]]
        return np.asarray(rgba[:, ::-1] if random.random() < 0.5 else rgba, np.uint8)

    def seen(self, batch: Batch) -> Tensor:
        return batch.source

    def label(self, batch: Batch) -> Tensor:
        return batch.told[:, COLOURS].long()

    def translated(self, net: nn.Module, batch: Batch) -> Tensor:
        folds = batch.told[:, COLOURS + 1 :].reshape(-1, 1, FOLDS, FOLDS)
        made: Tensor = net(batch.source, batch.told[:, :COLOURS], folds, self.label(batch))
        return made

    def terms(self, made: Tensor, batch: Batch) -> dict[str, Tensor]:
        """`alpha` of all; `l1` of those that have a truth; of the others how far they are from what is told."""
        gap = (made - batch.target).abs().mean((1, 2, 3))
        inside = (F.avg_pool2d((batch.target[:, 3:] > 0.9).float(), COARSE) > 0.999).float()
        folds = batch.told[:, COLOURS + 1 :].reshape(-1, 1, FOLDS, FOLDS)
        shade = F.avg_pool2d(laid(folds, batch.source)[0], COARSE // 2)
        wish = batch.told[:, :3, None, None] + shade
        missed = ((F.avg_pool2d(made[:, :3], COARSE) - wish).abs() * inside).sum((1, 2, 3))
        told = missed / (3 * inside.sum((1, 2, 3)) + 1)
        alone = 1 - batch.paired
        return {
            "alpha": (made[:, 3] - batch.target[:, 3]).abs().mean(),
            "l1": (gap * batch.paired).sum() / batch.paired.sum().clamp(min=1),
            "told": (told * alone).sum() / alone.sum().clamp(min=1),
        }


def moved(rgba: Pixels, random: Random) -> Pixels:
    """A product over white with its alpha (S, S, 4), a little smaller, turned and moved: nobody draws in the middle."""
    side = len(rgba)
    matrix = cv2.getRotationMatrix2D((side / 2, side / 2), random.normal(0, 4), random.uniform(0.75, 1.05))
    matrix = np.column_stack([matrix[:, :2], matrix[:, 2] + random.normal(0, 0.03 * side, 2)])
    white = (255, 255, 255, 0)
    return np.asarray(cv2.warpAffine(rgba, matrix, (side, side), flags=cv2.INTER_LINEAR, borderValue=white), np.uint8)


def colours_of(rgba: Pixels) -> Floats:
    """(9,) in [0, 1]: mean RGB of a product (S, S, 4), of its darker half and of its brighter half."""
    inside = unit(rgba[..., :3][rgba[..., 3] > 200])
    if len(inside) < 4:
        return np.full(COLOURS, 0.5, np.float32)
    order = np.argsort(inside.sum(1))
    dark, bright = inside[order[: len(order) // 2]], inside[order[len(order) // 2 :]]
    return floats(np.concatenate([inside.mean(0), dark.mean(0), bright.mean(0)]))


def plainest(data: Labelled, label: int) -> list[int]:
    """The products of a class, by number, that have the least print, pattern and contrast (PLAIN)."""
    places = [int(at) for at in np.flatnonzero(data.labels == label)]
    for share, measure in ((PLAIN[0], busyness), (PLAIN[1], printed)):
        order = np.argsort([measure(data.pictures[at]) for at in places], kind="stable")
        places = [places[at] for at in order[: max(1, round(share * len(places)))]] if places else []
    return places


def printed(rgba: Pixels) -> float:
    """How far the strongest of a product's folds stick out from the usual ones, as a print or a label does."""
    depth = np.abs(folds_of(rgba)[4:-4, 4:-4])
    return float(np.quantile(depth, 0.99) / (np.quantile(depth, 0.7) + 0.02))


def busyness(rgba: Pixels) -> float:
    """How much a product (S, S, 4) shows beside its folds: differing colours, fine contrast, some of its lightness."""
    lab = np.asarray(cv2.cvtColor(unit(rgba[..., :3]), cv2.COLOR_RGB2LAB), np.float32)
    inside = floats(cv2.erode((rgba[..., 3] > 200).astype(np.uint8), np.ones((5, 5))))
    few = inside > 0
    if few.sum() < 16:
        return float("inf")
    sigma = len(rgba) / 40
    around = cv2.GaussianBlur(inside, (0, 0), sigma)
    mean = cv2.GaussianBlur(lab[..., 0] * inside, (0, 0), sigma) / np.maximum(around, 1e-3)
    fine = np.abs(lab[..., 0] - mean)[few]
    chroma = float(np.hypot(*lab[few][:, 1:].std(0)))
    return chroma + 0.5 * float(np.quantile(fine, 0.99)) + 0.3 * float(lab[few][:, 0].std())


def folds_of(rgba: Pixels) -> Floats:
    """(32, 32): how much brighter than its mean, of 1, a product (S, S, 4) is from place to place of its bounding box.

    Around the product goes on what is near, and farther away the mean.
    """
    rows, columns = (np.flatnonzero((rgba[..., 3] > 127).any(axis)) for axis in (1, 0))
    if not rows.size:
        return np.zeros((FOLDS, FOLDS), np.float32)
    box = unit(rgba[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    cover = floats(box[..., 3] > 0.9)
    grey = box[..., :3].mean(-1) * cover
    size = (FOLDS, FOLDS)
    grey, cover = (floats(cv2.resize(one, size, interpolation=cv2.INTER_AREA)) for one in (grey, cover))
    if cover.sum() < 1:
        return np.zeros((FOLDS, FOLDS), np.float32)
    mean = grey.sum() / cover.sum()
    near, total = (cv2.GaussianBlur(one, (0, 0), 1.5) for one in (grey, cover))
    around = np.clip(2 * total, 0, 1) * (near / np.maximum(total, 1e-4) - mean)
    return floats(np.where(cover > 0.3, grey / np.maximum(cover, 1e-3) - mean, around).clip(-0.5, 0.5))


def vague(folds: Floats, random: Random) -> Floats:
    """Folds that are told less well: blurred, moved about a little, or not at all."""
    if random.random() < 0.15:
        return np.zeros_like(folds)
    folds = floats(cv2.GaussianBlur(folds, (0, 0), random.uniform(0.3, 3))) if random.random() < 0.5 else folds
    coarse = random.normal(0, random.uniform(0, 0.8), (4, 4, 2))
    shift = cv2.resize(floats(coarse), (FOLDS, FOLDS), interpolation=cv2.INTER_CUBIC)
    y, x = np.mgrid[0:FOLDS, 0:FOLDS].astype(np.float32)
    return floats(
        cv2.remap(folds, x + shift[..., 0], y + shift[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    )


def drawing(rgba: Pixels, side: int, random: Random, empty: float = 0.4) -> Floats:
    """A line drawing (side, side) in [0, 1], 1 is paper, of a product over white with its alpha (S, S, 4) uint8.

    The outline, sometimes of straight strokes, and, of what is inside, nothing (with the chance `empty`) or as many
    lines as chance wants, found by a difference of Gaussians (Winnemoeller et al. 2012); with a line of any thickness,
    tremor and gaps.
    """
    size = 2 * side
    large = np.asarray(cv2.resize(rgba, (size, size), interpolation=cv2.INTER_CUBIC), np.uint8)
    grey = unit(cv2.cvtColor(large[..., :3], cv2.COLOR_RGB2GRAY))
    alpha = unit(large[..., 3])
    ink = outline((alpha > 0.5).astype(np.uint8), random)
    if random.random() >= empty:
        sigma = size / 256 * random.uniform(0.8, 2.2)
        fine, coarse = cv2.GaussianBlur(grey, (0, 0), sigma), cv2.GaussianBlur(grey, (0, 0), 1.6 * sigma)
        inner = (coarse - fine > random.uniform(0.008, 0.04)) & (cv2.erode(alpha, np.ones((5, 5))) > 0.9)
        least, share = int(size * random.uniform(0.05, 0.3)), 1 - random.random() ** 2
        ink = np.maximum(ink, without_specks(inner.astype(np.uint8), least, share, random))
    if random.random() < 0.5:
        ink = floats(cv2.dilate(ink, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (int(random.integers(2, 6)),) * 2)))
    ink = trembled(floats(ink), random)
    for _ in range(int(random.integers(0, 6))):
        centre = random.integers(0, size, 2)
        cv2.circle(ink, (int(centre[0]), int(centre[1])), int(random.uniform(0.01, 0.05) * size), 0.0, -1)
    ink = floats(cv2.GaussianBlur(ink, (0, 0), random.uniform(0.4, 1.2)))
    small = cv2.resize(ink, (side, side), interpolation=cv2.INTER_AREA)
    return floats(1 - np.clip(small * random.uniform(0.8, 1.6), 0, 1) * random.uniform(0.7, 1))


def outline(inside: Pixels, random: Random) -> Floats:
    """The edge of a mask (S, S) of 0 and 1, 2 px thick, a quarter of the time of straight strokes."""
    if random.random() < 0.75:
        return floats(cv2.morphologyEx(inside, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)))
    ink = np.zeros(inside.shape, np.float32)
    bend = random.uniform(0.003, 0.012) * len(inside)
    for curve in cv2.findContours(inside, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)[0]:
        cv2.polylines(ink, [cv2.approxPolyDP(curve, bend, True)], True, 1.0, 2)
    return ink


def without_specks(mask: Pixels, least: int, share: float, random: Random) -> Floats:
    """A mask (H, W) of 0 and 1 without its parts of fewer than `least` pixels, and with that share of the others."""
    count, parts, stats, _ = cv2.connectedComponentsWithStats(mask)
    kept = (stats[:, cv2.CC_STAT_AREA] >= least) & (random.random(count) < share)
    kept[0] = False
    return floats(kept[parts])


def trembled(ink: Floats, random: Random) -> Floats:
    """Lines (S, S) moved about by up to a hundredth of the side, smoothly."""
    side = len(ink)
    coarse = random.normal(0, random.uniform(0, 0.006) * side, (8, 8, 2))
    shift = cv2.resize(floats(coarse), (side, side), interpolation=cv2.INTER_CUBIC)
    y, x = np.mgrid[0:side, 0:side].astype(np.float32)
    return floats(cv2.remap(ink, x + shift[..., 0], y + shift[..., 1], cv2.INTER_LINEAR))
