"""What `cascade-128`, a second stage, learns from: real products made small, and what the first stage makes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.augment import mirror, shift
from training.checkpoint import state_of
from training.composites import Random, floats
from training.data import DataError, Labelled
from training.export import settings_of, share_kept, weights_of
from training.networks.blocks import from_bytes, lightness, smooth
from training.networks.cascade import SCALE, Cascade, CascadeConfig, strengthened
from training.networks.generator import Generator, GeneratorConfig
from training.translation import AdversarialSettings, Batch

NOISE = 0.03
"""The most that is added to a real product made small, which is cleaner than a generated one: standard deviation."""
GRAIN = 0.08
"""The same of what is finer than GRAIN_SIDE px in a generated product. What has more of it is printed."""
GRAIN_SIDE = 5
TRUNCATION = (0.6, 1.0)
"""Of the generated ones."""
SERVED = 0.8
"""The truncation of what is served, unless somebody asks for another one."""
MADE, REAL = 96, 1000
"""Generated and, at most, real products of a class to measure contrast on."""
MOST_CONTRAST = 2.0
"""That generated products are given."""
OPAQUE = 0.98
"""Alpha that is inside a product, where its edge has no say in contrast."""


@dataclass(frozen=True, kw_only=True)
class UpsamplingRecipe(AdversarialSettings):
    """Settings of the training; `generated` is the share of samples of the first stage, which have no truth."""

    name: str
    network: CascadeConfig
    generated: float = 0.6
    seed: int = 0
    start: str = ""
    """What the first stage is, and what it has seen."""


class Upsampling:
    """See `translation.Task`. The source is a small product, every pixel of it 4 x 4, the target a product over white.

    The small one is the target made small and smoothed, or a generated one; then the target is any product of its
    class. The discriminator sees the picture alone, since it could tell a real source by its grain. The class is told,
    and noise: none where there is a truth, which has another one.
    """

    channels = 4

    def __init__(self, recipe: UpsamplingRecipe, data: Labelled, first: Generator, device: torch.device) -> None:
        self.recipe, self.data, self.device = recipe, data, device
        self._first = first.to(device)
        self._contrast = torch.tensor(recipe.network.contrast, device=device)

    def network(self) -> nn.Module:
        net = Cascade(self.recipe.network)
        net.first.load_state_dict(self._first.state_dict())
        net.first.requires_grad_(False)
        return net

    def batch(self, side: int, count: int, random: Random) -> Batch:
        seeds = torch.Generator().manual_seed(int(random.integers(2**62)))
        products, label = self.data.batch(count, seeds)
        target = shift(mirror(F.interpolate(products, size=(side, side), mode="area"), seeds), seeds)
        small = F.avg_pool2d(target, SCALE)
        made = self._generated(label, side // SCALE, random, seeds)
        share = torch.from_numpy(floats(random.random((count, 1, 1, 1))))
        rough = F.pad(share * grain(made).roll(1, 0) + noise(small, random), (0, 0, 0, 0, 0, 1))
        generated = torch.from_numpy(random.random(count) < self.recipe.generated)[:, None, None, None]
        small = smooth(torch.where(generated, made, (small + (small[:, 3:] > 0) * rough).clamp(0, 1)))
        source = F.interpolate(small, scale_factor=SCALE, mode="nearest")
        paired = (~generated).float().flatten()
        z = torch.randn(count, self.recipe.network.z_size, generator=seeds) * generated.flatten(1)
        told = torch.cat([label[:, None].float(), z], 1)
        return Batch(source, target, torch.ones(count, 1, side, side), told, paired)

    @torch.no_grad()
    def _generated(self, label: Tensor, side: int, random: Random, seeds: torch.Generator) -> Tensor:
        z = torch.from_numpy(floats(random.standard_normal((len(label), self.recipe.network.z_size))))
        truncation = torch.from_numpy(floats(random.uniform(*TRUNCATION, len(label))))
        made = self._first(*(one.to(self.device) for one in (z, label, truncation)))
        made = strengthened(made, self._contrast[label.to(self.device)])
        # Moved like real ones, so that nobody can be told by the place.
        return F.interpolate(shift(made.cpu(), seeds), size=(side, side), mode="area").clamp(0, 1)

    def seen(self, batch: Batch) -> Tensor:
        return batch.source[:, :0]

    def label(self, batch: Batch) -> Tensor:
        return batch.told[:, 0].long()

    def translated(self, net: nn.Module, batch: Batch) -> Tensor:
        return cast(Cascade, net).second(small_of(batch), self.label(batch), batch.told[:, 1:])  # type: ignore[no-any-return]

    def terms(self, made: Tensor, batch: Batch) -> dict[str, Tensor]:
        """`l1` of those that have a truth; `coarse` is how far all are, made small again, from what they began with."""
        gap = (made - batch.target).abs().mean((1, 2, 3))
        apart = F.avg_pool2d(smooth(F.avg_pool2d(made, SCALE)) - small_of(batch), 2)
        return {
            "l1": (gap * batch.paired).sum() / batch.paired.sum().clamp(min=1),
            "coarse": apart.abs().mean(),
        }


def small_of(batch: Batch) -> Tensor:
    """The small products that a batch's source shows: (N, 4, S/4, S/4)."""
    return batch.source[:, :, ::SCALE, ::SCALE]


def grain(small: Tensor) -> Tensor:
    """What is finer than GRAIN_SIDE px well inside small products (N, 4, S, S): (N, 3, S, S), at most GRAIN of it."""
    alpha = small[:, 3:]
    colour = small[:, :3] - (1 - alpha)
    mean, share = (F.avg_pool2d(one, GRAIN_SIDE, 1, GRAIN_SIDE // 2) for one in (colour, alpha))
    inside = -F.max_pool2d(-alpha, 3, 1, 1)
    fine = inside * (colour - mean / share.clamp(min=0.01))
    strength = (fine.square().mean((1, 2, 3)) / inside.mean((1, 2, 3)).clamp(min=0.01)).sqrt()
    return fine * (GRAIN / strength.clamp(min=GRAIN))[:, None, None, None]


def noise(small: Tensor, random: Random) -> Tensor:
    """Noise for small products (N, C, S, S): (N, 3, S, S) of every strength up to NOISE, grey and coloured."""
    grey, coloured = (floats(random.standard_normal((len(small), channels, *small.shape[2:]))) for channels in (1, 3))
    amounts = floats(random.uniform(0, NOISE, (2, len(small), 1, 1, 1)))
    return torch.from_numpy(amounts[0] * grey + amounts[1] * coloured)


def first_stage(recipe: UpsamplingRecipe, start: Path) -> tuple[UpsamplingRecipe, Generator, list[str]]:
    """A generator to be a recipe's first stage, the recipe with its sizes, and its classes.

    `start` is a run of `garments-...`, whose averaged weights are taken, or a published version of it or of a cascade.

    Raises:
        CheckpointError: there is no such run.
        DataError: it is of another network, or of another size.
        ExportError: there is no such version.
    """
    try:
        if (start / "manifest.json").is_file():
            manifest = json.loads((start / "manifest.json").read_text())
            facts, classes = manifest["recipe"], manifest["classes"]
            config = sized(recipe.network, facts)
            first = Generator(config)
            part = "first." if facts["name"].startswith("cascade") else ""
            weights, _ = weights_of(start, first, part)
            seen = facts.get("start") or f"{facts['name']}, {manifest['training']['images_seen']:,} images"
        else:
            groups, state = state_of(start)
            config, weights = sized(recipe.network, state["recipe"]), groups["ema"]
            first, classes = Generator(config), json.loads((start / "data.json").read_text())["classes"]
            seen = f"{state['recipe']['name']}, {state['images_seen']:,} images"
        first.load_state_dict({**first.state_dict(), **weights})
    except (KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
        raise DataError(f"{start} is no generator that {recipe.name} can finish: {error}") from error
    if config.finer not in (1, 2):
        raise DataError(f"{recipe.name} makes {config.size} px of as many or half of them, {start} has {config.made}")
    first.measure_style_mean()
    return replace(recipe, network=config, start=seen), first.eval().requires_grad_(False), classes


def sized(config: CascadeConfig, recipe: Mapping[str, Any]) -> CascadeConfig:
    """A cascade whose first stage has the sizes of the generator of a recipe, as a run or a manifest records it."""
    names = {one.name for one in fields(GeneratorConfig)}
    return replace(config, **{key: value for key, value in settings_of(recipe).items() if key in names})


@torch.no_grad()
def missing_contrast(config: CascadeConfig, first: Generator, products: Labelled) -> tuple[float, ...]:
    """How many times as strong light and shade are in real products of each class as in a generator's.

    The ratio of medians, from 1 to MOST_CONTRAST; 1 for a class without products.
    """
    seeds, kept = torch.Generator().manual_seed(0), share_kept(torch.full((MADE,), SERVED))
    found = []
    for label in range(config.classes):
        z = torch.randn(MADE, config.z_size, generator=seeds)
        made = contrast_of(first(z, torch.full((MADE,), label), kept)).median()
        chosen = np.flatnonzero(products.labels == label)[:REAL]
        if not len(chosen):
            found.append(1.0)
            continue
        pictures = from_bytes(torch.from_numpy(products.pictures[chosen]))
        real = contrast_of(F.interpolate(pictures, config.made, mode="area")).median()
        found.append(round(min(max(float(real / made.clamp(min=1e-6)), 1.0), MOST_CONTRAST), 2))
    return tuple(found)


def contrast_of(picture: Tensor) -> Tensor:
    """Of products (N, 4, H, W) over white, the standard deviation of lightness well inside them: (N,)."""
    alpha = picture[:, 3:]
    inside = (-F.max_pool2d(-alpha, 5, 1, 2) > OPAQUE).float()
    count, light = inside.sum((2, 3), keepdim=True).clamp(min=1), lightness(picture[:, :3].clamp(0, 1))
    mean = (light * inside).sum((2, 3), keepdim=True) / count
    return ((light - mean).square() * inside / count).sum((1, 2, 3)).sqrt()
