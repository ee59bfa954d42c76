"""What `relight` learns from: products in the light of places and as they look in a studio; light is made up, too."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from training.composites import Floats, Material, Random, Shares, floats, floor, pick, placed, shadow, taken, unit
from training.composites import Sample as Taken
from training.harmonization import View, cut_of
from training.networks.relight import RelightConfig, RelightNet, relit
from training.translation import AdversarialSettings, Batch


@dataclass(frozen=True, kw_only=True)
class RelightRecipe(AdversarialSettings):
    """Settings of the training; `made_up` is the share of samples whose light is drawn, `paper` of those on paper."""

    name: str
    network: RelightConfig
    made_up: float = 0.35
    paper: float = 0.2
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Relighting:
    """See `translation.Task`. The source is a snapshot and the product's alpha, the target the product on white."""

    recipe: RelightRecipe
    views: list[View]
    material: Material
    channels: int = 7

    def network(self) -> nn.Module:
        return RelightNet(self.recipe.network)

    def batch(self, side: int, count: int, random: Random) -> Batch:
        samples = [self.sample(side, random) for _ in range(count)]
        rgb, alpha, target = (torch.from_numpy(np.stack(parts)) for parts in zip(*samples, strict=True))
        rgb, target = (one.permute(0, 3, 1, 2).contiguous() for one in (rgb, target))
        alpha = alpha[:, None]
        white = target * alpha + (1 - alpha)
        return Batch(torch.cat([rgb, alpha], 1), white, alpha, torch.zeros(count, 0), torch.ones(count))

    def sample(self, side: int, random: Random) -> Sample:
        kind = random.random()
        if kind < self.recipe.paper:
            return on_paper(self.material, side, random)
        if kind < self.recipe.paper + self.recipe.made_up:
            return drawn_light(self.material, side, random)
        return pictured(pick(self.views, random), side, random)

    def translated(self, net: nn.Module, batch: Batch) -> Tensor:
        rgb, alpha = batch.source[:, :3], batch.source[:, 3:]
        return relit(rgb, net(rgb, alpha)) * alpha + (1 - alpha)

    def seen(self, batch: Batch) -> Tensor:
        return batch.source

    def label(self, batch: Batch) -> None:
        return None

    def terms(self, made: Tensor, batch: Batch) -> dict[str, Tensor]:
        mass = (batch.weight.sum() * made.shape[1]).clamp(min=1)
        return {"l1": (batch.weight * (made - batch.target).abs()).sum() / mass}


Sample = tuple[Floats, Floats, Floats]
"""A snapshot (S, S, 3), alpha (S, S) and the product in a studio's light (S, S, 3), in [0, 1]."""


def pictured(view: View, side: int, random: Random) -> Sample:
    """A part of a view, sometimes with its channels exchanged, as a camera takes it."""
    cut, mirror = cut_of(view, random)
    step = -1 if mirror else 1
    scene, studio = (unit(cv2.resize(one[cut][:, ::step], (side, side), interpolation=cv2.INTER_AREA)) for one in view)
    target, alpha = studio[..., :3], studio[..., 3]
    if random.random() < 0.3:
        order = random.permutation(3)
        scene, target = scene[..., order], target[..., order]
    return snapped(floats(scene), random), floats(alpha), floats(target)


def snapped(rgb: Floats, random: Random) -> Floats:
    """With a camera's noise and marks of JPEG, in the light that it had."""
    nothing = np.zeros(rgb.shape[:2], np.float32)
    return taken(Taken(rgb, nothing, np.zeros_like(rgb), nothing), random, light=0.0).rgb


def drawn_light(material: Material, side: int, random: Random) -> Sample:
    """A product in a studio's light over any ground, both under a light that is drawn."""
    colour, alpha = placed(pick(material.products, random), side, random, 1, light=0.0)
    ground = floor(material, side, Shares(), colour, alpha, random)
    if random.random() < 0.7:
        ground = floats(ground * (1 - shadow(alpha, random)[..., None]))
    field = light_field(side, random)
    rgb = floats(np.clip((ground + (colour - ground) * alpha[..., None]) * field, 0, 1))
    return snapped(rgb, random), alpha, colour


def on_paper(material: Material, side: int, random: Random) -> Sample:
    """A product on white or nearly white paper, mostly in the studio's light already: there is nothing to take off.

    A light that is not the studio's is to be seen on the paper, whose brightest place a camera has at most white.
    """
    colour, alpha = placed(pick(material.products, random), side, random, 1, light=0.0)
    ground = np.full_like(colour, random.uniform(0.85, 1))
    if random.random() < 0.5:
        ground *= 1 - shadow(alpha, random)[..., None]
    rgb = ground + (colour - ground) * alpha[..., None]
    if random.random() < 0.4:
        field = light_field(side, random)
        rgb *= field / max(1, field.max())
    return snapped(floats(rgb), random), alpha, colour


def light_field(side: int, random: Random) -> Floats:
    """A light (S, S, 3): its strength, its colour, how it falls off over the picture, and a soft patch of shade."""
    coarse = np.exp(random.normal(0, 0.3) + random.normal(0, 0.12, 3) + random.normal(0, 0.18, (3, 3, 1)))
    field = cv2.resize(floats(coarse), (side, side), interpolation=cv2.INTER_CUBIC)
    if random.random() < 0.3:
        y, x = np.mgrid[0:side, 0:side] / side
        angle, edge = random.uniform(0, 2 * np.pi), random.uniform(0.2, 0.8)
        along = (x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle) + 0.5
        field = (
            field * (1 - random.uniform(0.1, 0.5) / (1 + np.exp((along - edge) / random.uniform(0.01, 0.1))))[..., None]
        )
    return floats(np.clip(field, 0.25, 3))
