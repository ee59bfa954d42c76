"""How `cutout` is trained: on photos with masks, rendered scenes and composites, first small, then at its own size."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from training.averaged import Averaged, AveragedTrainer
from training.composites import Material, Sample, Shares, sample
from training.hardware import has_fast_bf16
from training.networks.matting import MattingConfig, MattingNet
from training.pictures import MAGENTA, Pixels, sheet


@dataclass(frozen=True, kw_only=True)
class MattingRecipe:
    """Settings of a cut-out training; `stages` are (side in px, steps), the last one at the side that is served."""

    name: str
    network: MattingConfig
    stages: tuple[tuple[int, int], ...]
    batch_size: int = 8
    lr: float = 1e-3
    ema_decay: float = 0.998
    weights: Mapping[str, float] = field(
        default_factory=lambda: {"l1": 1.0, "cross_entropy": 0.5, "overlap": 0.5, "edges": 1.0, "residual": 2.0}
    )
    shares: Shares = field(default_factory=Shares)
    seed: int = 0
    bf16: bool = True
    start: str = ""
    """SHA-256 of the published graph that the training begins with; none: it begins with random weights."""

    @property
    def side(self) -> int:
        """What is served."""
        return self.stages[-1][0]

    def side_at(self, step: int) -> int:
        """The side of the pictures in a step."""
        for side, steps in self.stages:
            if step < steps:
                return side
            step -= steps
        return self.side


class MattingTrainer(AveragedTrainer[MattingNet]):
    """Trains a `MattingNet`; see `loop.Trainer`."""

    def __init__(self, recipe: MattingRecipe, data: Material, device: str = "cpu") -> None:
        torch.manual_seed(recipe.seed)
        cv2.setNumThreads(1)  # its threads and PyTorch's would fight
        self.recipe, self.data, self.device = recipe, data, torch.device(device)
        self.averaged = Averaged(MattingNet(recipe.network), self.device, recipe.ema_decay, most_gradient=1.0)
        self.batch_size, self.steps = recipe.batch_size, sum(steps for _, steps in recipe.stages)
        self._bf16 = recipe.bf16 and has_fast_bf16(self.device)

    def step(self, index: int, random: torch.Generator) -> dict[str, float]:
        recipe = self.recipe
        warm = min(1.0, (1 + index) / 200)
        rate = recipe.lr * warm * (0.01 + 0.495 * (1 + math.cos(math.pi * index / self.steps)))
        truth = batch(self.data, recipe.side_at(index), self.batch_size, recipe.shares, random)
        rgb, *rest = (tensor.to(self.device, memory_format=torch.channels_last) for tensor in truth)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._bf16):
            logits, residual = self.averaged.net(rgb)
        terms = matting_terms(logits.float(), residual.float(), *rest)
        self.averaged.step(index, rate, terms, recipe.weights)
        return {name: term.item() for name, term in terms.items()}

    @torch.no_grad()
    def picture(self) -> Pixels:
        """Fixed samples, three a row: picture, cut-out, truth."""
        truth = batch(self.data, self.recipe.side, 12, self.recipe.shares, torch.Generator().manual_seed(0))
        rgb, alpha, residual, _ = truth
        logits, found = self.averaged.ema(rgb.to(self.device))
        ours = on_ground(rgb + found.cpu(), logits.sigmoid().cpu())
        rows = torch.stack([rgb, ours, on_ground(rgb + residual, alpha)], 1).flatten(0, 1)
        pixels = (rows.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()
        return sheet(list(pixels), columns=9)


def batch(material: Material, side: int, count: int, shares: Shares, random: torch.Generator) -> tuple[Tensor, ...]:
    """rgb (N, 3, S, S), alpha (N, 1, S, S), residual (N, 3, S, S) and weight (N, 1, S, S), float32."""
    numbers = np.random.default_rng(int(torch.randint(2**62, (), generator=random)))
    samples = [sample(material, side, shares, numbers) for _ in range(count)]
    return tuple(stacked(samples, name) for name in Sample._fields)


def stacked(samples: list[Sample], name: str) -> Tensor:
    """One part of all samples, channels first."""
    array = np.stack([getattr(one, name) for one in samples])
    return torch.from_numpy(array[:, None] if array.ndim == 3 else np.ascontiguousarray(array.transpose(0, 3, 1, 2)))


def on_ground(colour: Tensor, alpha: Tensor) -> Tensor:
    """(N, 3, S, S) with alpha (N, 1, S, S), all in [0, 1], over magenta."""
    below = torch.tensor(MAGENTA)[None, :, None, None] / 255
    return below + (colour - below) * alpha


def matting_terms(
    logits: Tensor, residual: Tensor, alpha: Tensor, true_residual: Tensor, weight: Tensor
) -> dict[str, Tensor]:
    """Loss terms of a prediction, all means over what `weight` trusts.

    `overlap` is one minus the soft intersection over union of each picture, `edges` the L1 distance of the horizontal
    and vertical differences of alpha, `residual` counts where there is product.
    """
    found = logits.sigmoid()
    mass = weight.sum().clamp(min=1)
    entropy = F.binary_cross_entropy_with_logits(logits, alpha, reduction="none")
    shared = (weight * torch.minimum(found, alpha)).sum((1, 2, 3))
    union = (weight * torch.maximum(found, alpha)).sum((1, 2, 3))
    edges = sum(
        (weight[..., cut, :][..., side] * (difference(found, axis) - difference(alpha, axis)).abs()).sum()
        for axis, cut, side in ((-1, slice(None), slice(1, None)), (-2, slice(1, None), slice(None)))
    )
    product = weight * (alpha > 0.02)
    return {
        "l1": (weight * (found - alpha).abs()).sum() / mass,
        "cross_entropy": (weight * entropy).sum() / mass,
        "overlap": (1 - (shared + 1) / (union + 1)).mean(),
        "edges": torch.as_tensor(edges) / mass,
        "residual": (product * (residual - true_residual).abs()).sum() / (3 * product.sum().clamp(min=1)),
    }


def difference(picture: Tensor, axis: int) -> Tensor:
    """Of neighbours along an axis."""
    return torch.diff(picture, dim=axis)
