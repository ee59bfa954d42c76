"""A product generator in two stages: a small picture from noise, and an upsampler that draws what is finer.

As in StackGAN (Zhang et al. 2017): what the first stage does poorly, fine detail, is left away by halving its picture,
and what it does well, outline and colours, is what the second begins with. Unlike there the second stage also sees real
products made small, whose detail is known, so that it learns from pairs what cloth looks like (as Ledig et al. 2017 for
photos). Written from the papers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.networks.blocks import ResidualBlock, conv, downsample, leaky, smooth, upsample
from training.networks.generator import Generator, GeneratorConfig

SCALE = 4
"""Sides of the upsampler's picture to those of what it begins with."""


@dataclass(frozen=True, kw_only=True)
class CascadeConfig(GeneratorConfig):
    """Sizes of both stages: the generator's, and what the upsampler has at half, once and twice the size it is given.

    `fine` are its channels, `blocks` its residual blocks.
    """

    fine: tuple[int, int, int] = (64, 48, 32)
    blocks: tuple[int, int, int] = (1, 2, 2)

    @property
    def coarse(self) -> int:
        """Side of what the upsampler is given, px: half of the first stage's picture."""
        return super().size // 2

    @property
    def size(self) -> int:
        """Side of the picture, px."""
        return SCALE * self.coarse


class Upsampler(nn.Module):
    """coarse (N, 4, S, S) over white with its alpha, in [0, 1], and label (N,) int64 -> (N, 4, 4S, 4S), unclamped.

    Draws how a colour and an alpha differ from the coarse ones enlarged, and lays the one over white with the other.
    The picture is written at twice the size of its features, by sub-pixel convolution (Shi et al. 2016).
    """

    def __init__(self, config: CascadeConfig) -> None:
        super().__init__()
        half, once, twice = config.fine
        self.embedding = nn.Embedding(config.classes, config.embedding)
        self.read = conv(4, once)
        self.down = conv(once, half, kernel=1)
        self.ups = nn.ModuleList([conv(half, once, kernel=1), conv(once, twice, kernel=1)])
        self.levels = nn.ModuleList(
            nn.ModuleList(ResidualBlock(channels, config.embedding) for _ in range(blocks))
            for channels, blocks in zip(config.fine, config.blocks, strict=True)
        )
        self.draw = conv(twice, 16, gain=0.1)

    def forward(self, coarse: Tensor, label: Tensor) -> Tensor:
        style = self.embedding(label)[:, :, None, None]
        read = self.read(2 * coarse - 1)
        features = self._through(0, self.down(downsample(read)), style)
        features = self._through(1, read + self.ups[0](upsample(features)), style)
        features = self._through(2, self.ups[1](upsample(features)), style)
        drawn = upsample(upsample(coarse)) + smooth(F.pixel_shuffle(self.draw(leaky(features)), 2))
        colour, alpha = drawn[:, :3], drawn[:, 3:]
        return torch.cat([1 + alpha * (colour - 1), alpha], 1)

    def _through(self, level: int, features: Tensor, style: Tensor) -> Tensor:
        for block in cast(nn.ModuleList, self.levels[level]):
            features = block(features, style)
        return features


class Cascade(nn.Module):
    """Called like `Generator`: z (N, z_size), label (N,), truncation (N,) -> (N, 4, S, S), unclamped, S its size."""

    def __init__(self, config: CascadeConfig) -> None:
        super().__init__()
        self.config = config
        self.first = Generator(config)
        self.second = Upsampler(config)

    def measure_style_mean(self) -> None:
        """As the first stage's."""
        self.first.measure_style_mean()

    def coarse(self, z: Tensor, label: Tensor, truncation: Tensor | None = None) -> Tensor:
        """What the second stage begins with, the first one's picture halved and smoothed: (N, 4, S/4, S/4) in [0, 1]."""
        return smooth(downsample(self.first(z, label, truncation)).clamp(0, 1))

    def forward(self, z: Tensor, label: Tensor, truncation: Tensor | None = None) -> Tensor:
        return cast(Tensor, self.second(self.coarse(z, label, truncation), label))
