"""How `harmonize` is trained: products in studio light, set into pictures that show how they looked in a place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from training.averaged import Averaged, AveragedTrainer, annealed
from training.composites import Floats, Random, floats, read_views, unit
from training.cutout import bounds
from training.data import DataError
from training.networks.harmonize import HarmonizeConfig, HarmonizeNet, changed
from training.pictures import Pixels, sheet


class View(NamedTuple):
    """One product twice, from the same camera: in a place (H, W, 3), and in a studio (H, W, 4) straight RGBA, uint8."""

    scene: Pixels
    studio: Pixels


class Pair(NamedTuple):
    """A square of both: the studio's product set into the place, its mask, the place as it was; all in [0, 1]."""

    rgb: Floats  # (S, S, 3)
    mask: Floats  # (S, S)
    target: Floats  # (S, S, 3)


@dataclass(frozen=True, kw_only=True)
class HarmonizeRecipe:
    """Settings of the training."""

    name: str
    network: HarmonizeConfig
    steps: int
    batch_size: int = 32
    lr: float = 1e-3
    ema_decay: float = 0.995
    weights: Mapping[str, float] = field(default_factory=lambda: {"colour": 1.0, "mean": 1.0, "change": 0.02})
    seed: int = 0


def read_pairs(folders: list[Path], split: str) -> list[View]:
    """Every view of the folders of scenes, of one split.

    Raises:
        DataError: there is none.
    """
    views = [View(*pair) for folder in folders for pair in read_views(folder, split)]
    if not views:
        raise DataError(f"no scenes of the {split} split in {', '.join(map(str, folders))}")
    return views


def cut_of(view: View, random: Random) -> tuple[tuple[slice, slice], bool]:
    """A part of a view around its product, as rows and columns, and whether it is mirrored; by chance."""
    height, width = view.scene.shape[:2]
    box = bounds(view.studio[..., 3] > 127) or (0, 0, height, width)
    top, left = (int(random.uniform(0, edge)) for edge in box[:2])
    bottom, right = (int(random.uniform(edge, whole)) for edge, whole in zip(box[2:], (height, width), strict=True))
    return (slice(top, max(bottom, top + 8)), slice(left, max(right, left + 8))), bool(random.random() < 0.5)


def pair(view: View, side: int, random: Random | None = None) -> Pair:
    """A view as the network sees it: by chance a part of it, mirrored, in a light that is a little off."""
    cut, mirror, gains = (slice(None), slice(None)), False, np.ones(3, np.float32)
    if random is not None:
        cut, mirror = cut_of(view, random)
        gains = floats(np.exp(random.normal(0, 0.04, 3) + random.normal(0, 0.12)))
    small, product = (unit(cv2.resize(one[cut], (side, side), interpolation=cv2.INTER_AREA)) for one in view)
    mask = product[..., 3:]
    rgb = floats(small + (np.clip(product[..., :3] * gains, 0, 1) - small) * mask)
    found = Pair(rgb, mask[..., 0], small)
    return Pair(*(np.ascontiguousarray(one[:, ::-1]) for one in found)) if mirror else found


def stacked(pairs: list[Pair]) -> tuple[Tensor, Tensor, Tensor]:
    """rgb (N, 3, S, S), mask (N, 1, S, S) and target (N, 3, S, S)."""
    rgb, mask, target = (torch.from_numpy(np.stack(parts)) for parts in zip(*pairs, strict=True))
    return rgb.permute(0, 3, 1, 2).contiguous(), mask[:, None], target.permute(0, 3, 1, 2).contiguous()


def harmonize_terms(found: Tensor, target: Tensor, mask: Tensor, parameters: Tensor) -> dict[str, Tensor]:
    """L1 distance of colours inside the product, of its mean colour, and the mean square of the parameters."""
    inside = (mask > 0.9).float()
    mass = inside.sum((2, 3)).clamp(min=1)
    difference = ((found - target) * inside).sum((2, 3)) / mass
    colour = ((found - target).abs() * inside).sum((2, 3)) / mass
    return {"colour": colour.mean(), "mean": difference.abs().mean(), "change": parameters.square().mean()}


class HarmonizeTrainer(AveragedTrainer[HarmonizeNet]):
    """Trains a `HarmonizeNet`; see `loop.Trainer`."""

    def __init__(self, recipe: HarmonizeRecipe, data: list[View], device: str = "cpu") -> None:
        torch.manual_seed(recipe.seed)
        cv2.setNumThreads(1)
        self.recipe, self.data, self.device = recipe, data, torch.device(device)
        self.averaged = Averaged(HarmonizeNet(recipe.network), self.device, recipe.ema_decay)
        self.batch_size, self.steps = recipe.batch_size, recipe.steps

    def step(self, index: int, random: torch.Generator) -> dict[str, float]:
        recipe = self.recipe
        rate = annealed(recipe.lr, index, recipe.steps)
        numbers = np.random.default_rng(int(torch.randint(2**62, (), generator=random)))
        views = [self.data[int(at)] for at in numbers.integers(0, len(self.data), self.batch_size)]
        parts = stacked([pair(view, recipe.network.size, numbers) for view in views])
        rgb, mask, target = (part.to(self.device) for part in parts)
        parameters = self.averaged.net(rgb, mask)
        terms = harmonize_terms(changed(rgb, parameters), target, mask, parameters)
        self.averaged.step(index, rate, terms, recipe.weights)
        return {name: term.item() for name, term in terms.items()}

    @torch.no_grad()
    def picture(self) -> Pixels:
        """Views at equal steps, three a row: set in, harmonized, as it was."""
        views = [self.data[at] for at in np.linspace(0, len(self.data) - 1, 12).astype(int)]
        rgb, mask, target = stacked([pair(view, self.recipe.network.size) for view in views])
        found = changed(rgb, self.averaged.ema(rgb.to(self.device), mask.to(self.device)).cpu())
        rows = torch.stack([rgb, rgb + (found - rgb) * mask, target], 1).flatten(0, 1)
        return sheet(list((rows.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()), columns=9)
