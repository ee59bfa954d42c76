"""How the evaluators are trained: one to tell the classes apart, one without labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import permutations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from training.augment import augment, warp
from training.averaged import Averaged, AveragedTrainer, annealed
from training.data import Labelled
from training.hardware import has_fast_bf16
from training.networks.blocks import from_bytes
from training.networks.features import FeatureConfig, FeatureNet
from training.pictures import Pixels, sheet

TURNS, ORDERS = 4, tuple(permutations(range(4)))


@dataclass(frozen=True, kw_only=True)
class EvaluatorRecipe:
    """Settings of an evaluator's training. With the `weights` of puzzles it learns without labels."""

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


def puzzle_terms(logits: Tensor, answer: Tensor) -> dict[str, Tensor]:
    """logits (N, 28) and answer (N,) as `puzzles` gives it -> cross-entropy of its two halves."""
    half = len(logits) // 2
    return {
        "rotation": F.cross_entropy(logits[:half, :TURNS], answer[:half]),
        "jigsaw": F.cross_entropy(logits[half:, TURNS:], answer[half:]),
    }


def puzzles(pictures: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """(N, C, S, S) -> as many puzzles, and the answer (N,) to each.

    The first half is turned by quarters, and the answer is how many (Gidaris et al. 2018); of the rest the quadrants
    have changed places, and the answer is which of the 24 orders they have (Noroozi & Favaro 2016).
    """
    half, side = len(pictures) // 2, pictures.shape[-1] // 2
    turns = torch.randint(TURNS, (half,), generator=random)
    orders = torch.randint(len(ORDERS), (len(pictures) - half,), generator=random)
    turned = [torch.rot90(one, int(turn), (1, 2)) for one, turn in zip(pictures[:half], turns, strict=True)]
    mixed = []
    for one, order in zip(pictures[half:], orders, strict=True):
        quadrants = [one[:, y : y + side, x : x + side] for y in (0, side) for x in (0, side)]
        a, b, c, d = (quadrants[index] for index in ORDERS[int(order)])
        mixed.append(torch.cat([torch.cat([a, b], 2), torch.cat([c, d], 2)], 1))
    return torch.stack([*turned, *mixed]), torch.cat([turns, orders])


class EvaluatorTrainer(AveragedTrainer[FeatureNet]):
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
        pictures = from_bytes(torch.from_numpy(self.data.pictures[index]))
        return pictures, torch.from_numpy(self.data.labels[index])

    def _view(self, pictures: Tensor, random: torch.Generator) -> Tensor:
        """What (N, 4, S, S) products may look like as well: (N, 3, S, S)."""
        return warp(augment(pictures, random), random)[:, :3]

    def _answer(self, rgb: Tensor) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._bf16):
            found: Tensor = self.averaged.net(rgb.to(self.device))
        return found.float()

    def step(self, index: int, random: torch.Generator) -> dict[str, float]:
        recipe = self.recipe
        rate = annealed(recipe.lr, index, recipe.steps)
        rate *= min(1.0, (index + 1) / min(100.0, 0.1 * recipe.steps))
        pictures, labels = self._draw(random)
        if recipe.labelled:
            terms = classifier_terms(self._answer(self._view(pictures, random)), labels.to(self.device))
        else:
            rgb, answer = puzzles(self._view(pictures, random), random)
            terms = puzzle_terms(self._answer(rgb), answer.to(self.device))
        self.averaged.step(index, rate, terms, recipe.weights)
        return {name: term.item() for name, term in terms.items()}

    @torch.no_grad()
    def picture(self) -> Pixels:
        """Twelve fixed products, each before the five that the network finds most like it among 1,000."""
        index = np.random.default_rng(0).permutation(len(self.data.labels))[:1000]
        rgb = self.data.pictures[index, ..., :3]
        pictures = from_bytes(torch.from_numpy(rgb))
        found = torch.cat(
            [self.averaged.ema.features(part.to(self.device)).cpu() for part in torch.split(pictures, 100)]
        )
        found = (found - found.mean(0)) / (found.std(0) + 1e-6)
        order = torch.cdist(found[:12], found).argsort(1)[:, :6]
        return sheet(list(rgb[order.flatten().numpy()]), columns=12)
