"""What `cascade-128`, a second stage, learns from: real products made small, and what the first stage makes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.augment import mirror, shift
from training.checkpoint import state_of
from training.composites import Random, floats
from training.data import DataError, Labelled
from training.networks.blocks import smooth
from training.networks.cascade import SCALE, Cascade, CascadeConfig
from training.networks.generator import Generator
from training.translation import AdversarialSettings, Batch

NOISE = 0.03
"""The most that is added to a real product made small, which is cleaner than a generated one: standard deviation."""
GRAIN = 0.08
"""The same of what is finer than GRAIN_SIDE px in a generated product. What has more of it is printed."""
GRAIN_SIDE = 5
TRUNCATION = (0.6, 1.0)
"""Of the generated ones."""


@dataclass(frozen=True, kw_only=True)
class UpsamplingRecipe(AdversarialSettings):
    """Settings of the training; `generated` is the share of samples of the first stage, which have no truth."""

    name: str
    network: CascadeConfig
    generated: float = 0.6
    seed: int = 0
    start: str = ""
    """The run that made the first stage."""


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


def first_stage(recipe: UpsamplingRecipe, run: Path) -> tuple[UpsamplingRecipe, Generator]:
    """The averaged generator of a run of `garments-...`, to be a recipe's first stage, and the recipe with its sizes.

    Raises:
        CheckpointError: there is no such run.
        DataError: it is of another network, or of another size.
    """
    weights, facts = state_of(run)
    try:
        network: dict[str, Any] = facts["recipe"]["network"]
        sizes: dict[str, Any] = {key: tuple(one) if isinstance(one, list) else one for key, one in network.items()}
        config = replace(recipe.network, **sizes)
        first = Generator(config)
        first.load_state_dict(weights["ema"])
    except (KeyError, RuntimeError, TypeError) as error:
        raise DataError(f"{run} is no run of a generator that {recipe.name} can finish: {error}") from error
    if config.finer not in (1, 2):
        made = config.coarse << config.finer
        raise DataError(f"{recipe.name} makes {config.size} px of as many or half of them, {run} has {made}")
    first.measure_style_mean()
    start = f"{facts['recipe']['name']}, {facts['images_seen']:,} images"
    return replace(recipe, network=config, start=start), first.eval().requires_grad_(False)
