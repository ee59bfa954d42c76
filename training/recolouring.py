"""What `colorway` learns from: products in their own colours, and what they would be in others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.colours import in_lab
from training.composites import Floats, Random, floats, pick, placed
from training.networks.colorway import LUMA, SURE, ColorwayConfig, ColorwayNet, mean_inside
from training.networks.grid import affine
from training.pictures import Pixels
from training.relighting import snapped
from training.translation import AdversarialSettings, Batch

CLOTH = 14.0
"""How far from the most frequent colour, in CIE 1976, what is dyed with it still is."""
SHADED = 0.3
"""How much of a difference in lightness counts for that."""
FAR = 0.3
"""How far, of 1, what is surely no cloth is from the mean colour."""
PRINTED = 3.0
"""How much that counts."""


@dataclass(frozen=True, kw_only=True)
class ColorwayRecipe(AdversarialSettings):
    """Settings of the training; `strange` is the share of samples with another product's colour, without a truth."""

    name: str
    network: ColorwayConfig
    strange: float = 0.35
    seed: int = 0


class Colouring:
    """See `translation.Task`. The source is a product in another colour and its alpha, the target its own colours.

    What is told is the mean colour that it should have. The discriminator sees shape and picture, not the source: that
    has colours that nobody has dyed.
    """

    channels = 4

    def __init__(self, recipe: ColorwayRecipe, products: list[Pixels]) -> None:
        self.recipe, self.products = recipe, products
        self._means = np.stack([mean_of(product) for product in products])

    def network(self) -> nn.Module:
        return ColorwayNet(self.recipe.network)

    def batch(self, side: int, count: int, random: Random) -> Batch:
        strange = random.random(count) < self.recipe.strange
        dyed = [sample(self.products, self._means, side, random) for _ in range(count)]
        sources = [one.target if alone else one.source for one, alone in zip(dyed, strange, strict=True)]
        alpha = torch.from_numpy(np.stack([one.alpha for one in dyed]))[:, None]
        source, target = (
            torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()
            for pictures in (sources, [one.target for one in dyed])
        )
        told = mean_inside(target, alpha)
        others = torch.from_numpy(np.stack([self._wish(random) for _ in range(count)]))
        alone = torch.from_numpy(strange.astype(np.float32))
        told = torch.where(alone[:, None] > 0, others, told)
        return Batch(torch.cat([source, alpha], 1), over_white(target, alpha), alpha, told, 1 - alone)

    def _wish(self, random: Random) -> Floats:
        """The mean colour of a product, its channels exchanged at times, a little off."""
        mean = self._means[random.integers(len(self._means))]
        mean = mean[random.permutation(3)] if random.random() < 0.5 else mean
        return floats(np.clip(mean + random.normal(0, 0.03, 3), 0.02, 0.98))

    def seen(self, batch: Batch) -> Tensor:
        return batch.source[:, 3:]

    def label(self, batch: Batch) -> Tensor | None:
        return None

    def translated(self, net: nn.Module, batch: Batch) -> Tensor:
        rgb, alpha = batch.source[:, :3], batch.source[:, 3:]
        return over_white(affine(rgb, net(rgb, alpha, batch.told)), alpha)

    def terms(self, made: Tensor, batch: Batch) -> dict[str, Tensor]:
        """`l1` of those that have a truth; `told` how far the mean is from the wish; `folds` and `cast` of the others.

        What differs from the mean, as prints do, counts up to PRINTED times. `folds` is how much of the source's fine
        differences of lightness is missing, or turned round; `cast` how much tint cloth of one colour has that is not
        the wish's.
        """
        alone, alpha = 1 - batch.paired, batch.weight
        apart = (batch.target - batch.told[:, :, None, None]).abs().mean(1, keepdim=True)
        weight = alpha * (1 + (PRINTED - 1) * (apart / FAR).clamp(max=1))
        gap = (weight * (made - batch.target).abs()).sum((1, 2, 3)) / (3 * weight.sum((1, 2, 3)).clamp(min=1))
        missed = (mean_inside(made.clamp(0, 1), alpha) - batch.told).abs().mean(1)
        wanted, found = (fine(one, alpha) for one in (batch.source[:, :3], made))
        like = (wanted * found).sum((1, 2, 3)) / ((wanted**2).sum((1, 2, 3)) * (found**2).sum((1, 2, 3)) + 1e-6).sqrt()
        return {
            "l1": (gap * batch.paired).sum() / batch.paired.sum().clamp(min=1),
            "told": missed.mean(),
            "folds": ((1 - like) * alone).sum() / alone.sum().clamp(min=1),
            "cast": (cast(made, batch) * alone).sum() / alone.sum().clamp(min=1),
        }


def cast(made: Tensor, batch: Batch) -> Tensor:
    """The tint (N,) that is not the wish's where the source has about its mean colour."""
    source, luma = batch.source[:, :3], made.new_tensor(LUMA)[:, None, None]
    apart = (source - mean_inside(source, batch.weight)[:, :, None, None]).abs().mean(1, keepdim=True)
    cloth = (batch.weight > SURE) * torch.exp(-((3 * apart / FAR) ** 2))
    wish = batch.told[:, :, None, None]
    bright, aim = ((luma * one).sum(1, keepdim=True) for one in (made, wish))
    tint_of = made - bright - (wish - aim) * (bright / aim.clamp(min=0.05)).clamp(0, 2)
    return (cloth * tint_of.abs()).sum((1, 2, 3)) / (3 * cloth.sum((1, 2, 3)).clamp(min=1))


def over_white(rgb: Tensor, alpha: Tensor) -> Tensor:
    """(N, 3, S, S) by (N, 1, S, S) on white."""
    return rgb * alpha + (1 - alpha)


def fine(rgb: Tensor, alpha: Tensor) -> Tensor:
    """Lightness of (N, 3, S, S) without what is coarser than a cell, well inside alpha: (N, 1, S, S)."""
    grey = torch.einsum("nchw,c->nhw", rgb, rgb.new_tensor(LUMA))[:, None]
    inside = -F.max_pool2d(-(alpha > SURE).float(), 9, 1, 4)
    return inside * (grey - F.avg_pool2d(grey, 9, 1, 4))


class Dyed(NamedTuple):
    """A product in two colours, source and target (S, S, 3), with its alpha (S, S), in [0, 1]."""

    source: Floats
    target: Floats
    alpha: Floats


def sample(products: list[Pixels], means: Floats, side: int, random: Random) -> Dyed:
    """A product somewhere in the square, as it is, sometimes with its channels exchanged, and in a made-up colour.

    That is about another product's, and dyes the cloth alone, or all of it; then a camera takes it.
    """
    target, alpha = placed(pick(products, random), side, random, 1, light=0.0, fill=(0.75, 1))
    if random.random() < 0.4:
        target = target[..., random.permutation(3)]
    target = floats(target)
    wish = means[random.integers(len(means))]
    wish = wish[random.permutation(3)] if random.random() < 0.5 else wish
    if random.random() < 0.8:
        keep = (random.uniform(0.6, 1.5), random.uniform(0.5, 1.3))
        source = dyed(target, alpha, wish, keep, only_cloth=random.random() < 0.95)
    else:
        source = target[..., random.permutation(3)]
        gain = np.exp(random.normal(0, 0.35, 3) + random.normal(0, 0.3))
        source = np.clip(source, 0, 1) ** np.exp(random.normal(0, 0.3)) * gain
        if (alpha > SURE).any():
            source = source / max(1.0, float(np.quantile(source[alpha > SURE], 0.97)))
    source = np.clip(source + tint(side, random), 0, 1)
    ground = random.random(3)
    photo = snapped(floats(ground + (source - ground) * alpha[..., None]), random)
    return Dyed(photo, target, alpha)


def tint(side: int, random: Random) -> Floats:
    """A faint light of changing colour (S, S, 3), no brighter or darker: black cloth has such casts, which are noise.

    Without them the network takes all casts for true, and makes them large where it makes black cloth white.
    """
    coarse = random.normal(0, 0.02, (3, 3, 3))
    faint = floats(coarse - (coarse @ LUMA)[..., None])
    return floats(cv2.resize(faint, (side, side), interpolation=cv2.INTER_CUBIC))


def dyed(rgb: Floats, alpha: Floats, wish: Floats, keep: tuple[float, float], *, only_cloth: bool) -> Floats:
    """A product (S, S, 3) whose most frequent colour becomes `wish` (3,): what is far from that colour stays as it is.

    Of differences of lightness and of tint so much is kept as `keep` says, within what can be shown; colours are paler
    in the shade.
    """
    colours, aim = in_lab(rgb), in_lab(wish)
    inside = alpha > SURE
    if not inside.any():
        return rgb
    mode = most_frequent(colours[inside])
    apart = colours - mode * np.concatenate([np.ones_like(colours[..., :1]), *2 * [shade(colours, mode)]], -1)
    depth = apart[..., :1] * keep[0] * min(1.5, max(0.6, float(aim[0] / max(mode[0], 15))))
    lightness = np.clip(aim[0] + depth, 1, 99)
    moved = np.concatenate([lightness, aim[1:] * shade(lightness, aim) + keep[1] * apart[..., 1:]], -1)
    result = cv2.cvtColor(floats(moved), cv2.COLOR_LAB2RGB)
    if only_cloth:
        far = np.sqrt((apart[..., 1:] ** 2).sum(-1) + (SHADED * apart[..., 0]) ** 2) / CLOTH
        share = cv2.GaussianBlur(floats(np.exp(-(far**4))), (0, 0), 0.7)
        result = rgb + share[..., None] * (result - rgb)
    return floats(np.clip(result, 0, 1))


def shade(colours: Floats, middle: Floats) -> Floats:
    """How much of a cloth's tint its shades show, (..., 1), by their lightness beside the middle's; all Lab."""
    return floats(np.clip(colours[..., :1] / max(float(middle[0]), 5), 0.3, 1.3))


def most_frequent(colours: Floats) -> Floats:
    """Of Lab colours (N, 3) the mean of the half of them that lies closest together."""
    centre = np.median(colours, 0)
    for _ in range(4):
        apart = (colours - centre) * [SHADED, 1, 1]
        far = (apart**2).sum(-1)
        centre = colours[far <= np.quantile(far, 0.5)].mean(0)
    return floats(centre)


def mean_of(rgba: Pixels) -> Floats:
    """The mean colour (3,) of a product (H, W, 4) in [0, 1]."""
    inside = rgba[..., 3] > 255 * SURE
    return floats((rgba[..., :3][inside] if inside.any() else rgba[..., :3].reshape(-1, 3)).mean(0) / 255)
