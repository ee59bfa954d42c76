"""What `from-sketch` learns from: curated products and drawings of them, with the gaps and tremor of a hand."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from training.composites import Floats, Random, floats, unit
from training.data import Labelled
from training.networks.sketch import COLOURS, SketchConfig, SketchNet
from training.pictures import Pixels
from training.translation import AdversarialSettings, Batch


@dataclass(frozen=True, kw_only=True)
class SketchRecipe(AdversarialSettings):
    """Settings of the training; `unknown` is the share of samples whose class is not told."""

    name: str
    network: SketchConfig
    unknown: float = 0.25
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Sketching:
    """See `translation.Task`. The source is a drawing, the target the product over white with its alpha.

    What is told is the product's colours (9 numbers) and its class.
    """

    recipe: SketchRecipe
    data: Labelled
    channels: int = 5

    def network(self) -> nn.Module:
        net = SketchNet(self.recipe.network)
        chosen = np.linspace(0, len(self.data.labels) - 1, self.recipe.network.palette).astype(int)
        net.palette.copy_(torch.from_numpy(np.stack([colours_of(self.data.pictures[at]) for at in chosen])))
        net.palette_label.copy_(torch.from_numpy(self.data.labels[chosen]))
        return net

    def batch(self, side: int, count: int, random: Random) -> Batch:
        chosen = random.integers(0, len(self.data.labels), count)
        lines, targets, told = [], [], np.zeros((count, COLOURS + 1), np.float32)
        for place, at in enumerate(chosen):
            rgba = self.data.pictures[at]
            if random.random() < 0.5:
                rgba = rgba[:, ::-1]
            if random.random() < 0.3:
                rgba = rgba[..., [*random.permutation(3), 3]]
            rgba = moved(rgba, random)
            small = np.asarray(cv2.resize(rgba, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
            lines.append(drawing(rgba, side, random))
            targets.append(unit(small).transpose(2, 0, 1))
            told[place, :COLOURS] = colours_of(small)
            known = random.random() >= self.recipe.unknown
            told[place, COLOURS] = self.data.labels[at] if known else self.recipe.network.classes
        source, target = torch.from_numpy(np.stack(lines)[:, None]), torch.from_numpy(np.stack(targets))
        return Batch(source, target, torch.ones(count, 1, side, side), torch.from_numpy(told))

    def translated(self, net: nn.Module, batch: Batch) -> Tensor:
        made: Tensor = net(batch.source, batch.told[:, :COLOURS], batch.told[:, COLOURS].long())
        return made


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


def drawing(rgba: Pixels, side: int, random: Random) -> Floats:
    """A line drawing (side, side) in [0, 1], 1 is paper, of a product over white with its alpha (S, S, 4) uint8.

    The outline, and of what is inside as many lines as chance wants, found by a difference of Gaussians (Winnemoeller
    et al. 2012); with a line of any thickness, tremor and gaps.
    """
    size = 2 * side
    large = np.asarray(cv2.resize(rgba, (size, size), interpolation=cv2.INTER_CUBIC), np.uint8)
    grey = unit(cv2.cvtColor(large[..., :3], cv2.COLOR_RGB2GRAY))
    alpha = unit(large[..., 3])
    ink = floats(cv2.morphologyEx((alpha > 0.5).astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)))
    if random.random() < 0.85:
        sigma = size / 256 * random.uniform(0.8, 2.2)
        fine, coarse = cv2.GaussianBlur(grey, (0, 0), sigma), cv2.GaussianBlur(grey, (0, 0), 1.6 * sigma)
        inner = (coarse - fine > random.uniform(0.008, 0.04)) & (cv2.erode(alpha, np.ones((5, 5))) > 0.9)
        ink = np.maximum(ink, without_specks(inner.astype(np.uint8), int(size * random.uniform(0.05, 0.3))))
    if random.random() < 0.5:
        ink = floats(cv2.dilate(ink, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (int(random.integers(2, 6)),) * 2)))
    ink = trembled(floats(ink), random)
    for _ in range(int(random.integers(0, 6))):
        centre = random.integers(0, size, 2)
        cv2.circle(ink, (int(centre[0]), int(centre[1])), int(random.uniform(0.01, 0.05) * size), 0.0, -1)
    ink = floats(cv2.GaussianBlur(ink, (0, 0), random.uniform(0.4, 1.2)))
    small = cv2.resize(ink, (side, side), interpolation=cv2.INTER_AREA)
    return floats(1 - np.clip(small * random.uniform(0.8, 1.6), 0, 1) * random.uniform(0.7, 1))


def without_specks(mask: Pixels, least: int) -> Floats:
    """A mask (H, W) of 0 and 1 without its parts of fewer than `least` pixels."""
    _, parts, stats, _ = cv2.connectedComponentsWithStats(mask)
    kept = stats[:, cv2.CC_STAT_AREA] >= least
    kept[0] = False
    return floats(kept[parts])


def trembled(ink: Floats, random: Random) -> Floats:
    """Lines (S, S) moved about by up to a hundredth of the side, smoothly."""
    side = len(ink)
    coarse = random.normal(0, random.uniform(0, 0.006) * side, (8, 8, 2))
    shift = cv2.resize(floats(coarse), (side, side), interpolation=cv2.INTER_CUBIC)
    y, x = np.mgrid[0:side, 0:side].astype(np.float32)
    return floats(cv2.remap(ink, x + shift[..., 0], y + shift[..., 1], cv2.INTER_LINEAR))
