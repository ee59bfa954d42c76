"""How the evaluators are trained: one to tell the classes apart, one without labels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from training.augment import augment, warp
from training.averaged import Averaged
from training.data import Labelled
from training.hardware import has_fast_bf16
from training.networks.features import FeatureConfig, FeatureNet
from training.pictures import Pixels, sheet


@dataclass(frozen=True, kw_only=True)
class EvaluatorRecipe:
    """Settings of an evaluator's training. With `weights` of VICReg's terms it learns without labels."""

    name: str
    network: FeatureConfig
    steps: int
    batch_size: int = 64
    lr: float = 2e-3
    ema_decay: float = 0.998
    weights: Mapping[str, float] = field(default_factory=lambda: {"cross-entropy": 1.0})
    seed: int = 0
    bf16: bool = True

    @property
    def labelled(self) -> bool:
        """Whether it learns the classes."""
        return "cross-entropy" in self.weights


def classifier_terms(logits: Tensor, label: Tensor) -> dict[str, Tensor]:
    """logits (N, K), label (N,) -> cross-entropy with labels smoothed by 0.1 (Szegedy et al. 2016)."""
    return {"cross-entropy": F.cross_entropy(logits, label, label_smoothing=0.1)}


def vicreg_terms(first: Tensor, second: Tensor) -> dict[str, Tensor]:
    """Embeddings (N, D) of two views of the same pictures -> the terms of VICReg (Bardes, Ponce, LeCun 2022)."""
    variance, covariance = [], []
    for view in (first, second):
        centred = view - view.mean(0)
        variance.append(F.relu(1 - (centred.var(0) + 1e-4).sqrt()).mean())
        square = (centred.T @ centred / (len(view) - 1)).square()
        covariance.append((square.sum() - square.diagonal().sum()) / view.shape[1])
    return {
        "invariance": F.mse_loss(first, second),
        "variance": torch.stack(variance).mean(),
        "covariance": torch.stack(covariance).sum(),
    }


class EvaluatorTrainer:
    """Trains a `FeatureNet` on products over white; see `loop.Trainer`."""

    def __init__(self, recipe: EvaluatorRecipe, data: Labelled, device: str = "cpu") -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.data, self.device = recipe, data, torch.device(device)
        self.averaged = Averaged(FeatureNet(recipe.network), self.device, recipe.ema_decay, most_gradient=5.0)
        self._bf16 = recipe.bf16 and has_fast_bf16(self.device)
        self.batch_size, self.steps = recipe.batch_size, recipe.steps
        # Between all products alike and all classes alike: the rarest class has 40 photos, the commonest 600.
        counts = np.bincount(data.labels, minlength=len(data.classes))
        self._odds = torch.from_numpy(1 / np.sqrt(counts[data.labels]))

    def _draw(self, random: torch.Generator) -> tuple[Tensor, Tensor]:
        index = torch.multinomial(self._odds, self.batch_size, replacement=True, generator=random).numpy()
        pictures = torch.from_numpy(self.data.pictures[index]).permute(0, 3, 1, 2).float() / 255
        return pictures, torch.from_numpy(self.data.labels[index])

    def _look(self, pictures: Tensor, random: torch.Generator) -> Tensor:
        """A random view of (N, 4, S, S) products, through the network."""
        rgb = warp(augment(pictures, random), random)[:, :3].to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._bf16):
            found: Tensor = self.averaged.net(rgb)
        return found.float()

    def step(self, index: int, random: torch.Generator) -> dict[str, float]:
        recipe = self.recipe
        rate = recipe.lr * (0.02 + 0.49 * (1 + math.cos(math.pi * index / recipe.steps)))
        rate *= min(1.0, (index + 1) / 100)
        pictures, labels = self._draw(random)
        if recipe.labelled:
            terms = classifier_terms(self._look(pictures, random), labels.to(self.device))
        else:
            terms = vicreg_terms(self._look(pictures, random), self._look(pictures, random))
        self.averaged.step(index, rate, terms, recipe.weights)
        return {name: term.item() for name, term in terms.items()}

    def state(self) -> dict[str, Mapping[str, Tensor]]:
        return self.averaged.state()

    def restore(self, groups: Mapping[str, Mapping[str, Tensor]]) -> None:
        self.averaged.restore(groups)

    @torch.no_grad()
    def picture(self) -> Pixels:
        """Twelve fixed products, each before the five that the network finds most like it among 1,000."""
        index = np.random.default_rng(0).permutation(len(self.data.labels))[:1000]
        rgb = self.data.pictures[index, ..., :3]
        pictures = torch.from_numpy(rgb).permute(0, 3, 1, 2).float() / 255
        found = torch.cat(
            [self.averaged.ema.features(part.to(self.device)).cpu() for part in torch.split(pictures, 100)]
        )
        found = (found - found.mean(0)) / (found.std(0) + 1e-6)
        order = torch.cdist(found[:12], found).argsort(1)[:, :6]
        return sheet(list(rgb[order.flatten().numpy()]), columns=12)
