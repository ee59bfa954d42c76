"""A product generator in two stages: a picture from noise, and an upsampler that draws anew what is fine in it.

As in StackGAN (Zhang et al. 2017): what the first stage does poorly, fine detail, is left away by making its picture
small, and what it does well, outline and colours, is what the second begins with. Unlike there the second stage also
sees real products made small, whose detail is known, so that it learns from pairs what cloth looks like (as Ledig et
al. 2017 for photos). Part of what the first stage's picture had beyond that is laid over the result at the end, as a
level of a Laplacian pyramid is (Denton et al. 2015): fine light and shade of cloth. Written from the papers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.networks.blocks import (
    ResidualBlock,
    conv,
    downsample,
    laid_over_white,
    leaky,
    lightness,
    smooth,
    upsample,
)
from training.networks.generator import Generator, GeneratorConfig

SCALE = 4
"""Sides of the upsampler's picture to those of what it begins with."""

WOVEN = 0.3
"""How much of z mixes the second stage's textures once it has learned: with all of it, as while it learns, there are
seeds whose cloth is speckled."""

KEPT_LIGHT, KEPT_TINT = 1.0, 0.3
"""How much of the first stage's detail is kept, of its lightness smoothed once and of its colour smoothed twice. What
is finer is a mesh of two or three px in all colours, which the second stage is there to avoid; without any of it cloth
looks like plastic."""


@dataclass(frozen=True, kw_only=True)
class CascadeConfig(GeneratorConfig):
    """Sizes of both stages: the generator's, and what the upsampler has at half, once and twice the size it is given.

    `side` is that of the picture, px, which may be the first stage's or a larger one.
    `fine` are its channels, `fine_blocks` its residual blocks, `weaves` the maps of each of its two textures.
    `contrast` is how many times as strong light and shade are in real products of each class as in the first stage's.
    """

    fine: tuple[int, int, int] = (64, 48, 32)
    fine_blocks: tuple[int, int, int] = (1, 2, 2)
    weaves: int = 8
    side: int = 128
    contrast: tuple[float, ...] = (1.0,) * 13

    @property
    def coarse(self) -> int:
        """Side of what the upsampler is given, px."""
        return self.side // SCALE

    @property
    def made(self) -> int:
        """Side of the first stage's picture, px."""
        return super().size

    @property
    def finer(self) -> int:
        """How often the first stage's picture has to be halved for that."""
        return (self.made // self.coarse).bit_length() - 1

    @property
    def size(self) -> int:
        """As every generator's config has it: `side`."""
        return self.side


class Weave(nn.Module):
    """(N, z_size, 1, 1) and a side -> (N, channels, side, side): noise that is always the same, mixed as z says.

    What is fine in cloth is random, and a network that is shown nothing random must make it of edges, whose echoes it
    draws (so did this one's first version). The noise of StyleGAN (Karras et al. 2019), but a function of the seed.
    """

    def __init__(self, z_size: int, maps: int, channels: int, tile: int) -> None:
        super().__init__()
        self.maps = nn.Parameter(torch.randn(1, maps, tile, tile))
        self.mix = conv(z_size, maps, kernel=1)
        self.spread = conv(maps, channels, kernel=1, gain=0.3)

    def forward(self, z: Tensor, side: int) -> Tensor:
        repeats = side // self.maps.shape[-1]
        return cast(Tensor, self.spread(self.maps.repeat(1, 1, repeats, repeats) * self.mix(z)))


class Upsampler(nn.Module):
    """coarse (N, 4, S, S) over white with its alpha, in [0, 1], label (N,), z (N, z_size) -> (N, 4, 4S, 4S), unclamped.

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
            for channels, blocks in zip(config.fine, config.fine_blocks, strict=True)
        )
        self.weaves = nn.ModuleList(
            Weave(config.z_size, config.weaves, channels, config.coarse) for channels in (once, twice)
        )
        self.draw = conv(twice, 16, gain=0.1)

    def forward(self, coarse: Tensor, label: Tensor, z: Tensor) -> Tensor:
        style = self.embedding(label)[:, :, None, None]
        read = self.read(2 * coarse - 1)
        features = self._through(0, self.down(downsample(read)), style)
        for level, weave in enumerate(self.weaves):
            features = self.ups[level](upsample(features)) + (read if level == 0 else 0)
            features = features + weave(z[:, :, None, None], features.shape[-1])
            features = self._through(level + 1, features, style)
        drawn = upsample(upsample(coarse)) + smooth(F.pixel_shuffle(self.draw(leaky(features)), 2))
        return laid_over_white(drawn[:, :3], drawn[:, 3:])

    def _through(self, level: int, features: Tensor, style: Tensor) -> Tensor:
        for block in cast(nn.ModuleList, self.levels[level]):
            features = block(features, style)
        return features


class Cascade(nn.Module):
    """Called like `Generator`: z (N, z_size), label (N,), truncation (N,) -> (N, 4, S, S), unclamped, S its size."""

    contrast: Tensor

    def __init__(self, config: CascadeConfig) -> None:
        super().__init__()
        self.config = config
        self.first = Generator(config)
        self.second = Upsampler(config)
        self.register_buffer("contrast", torch.tensor(config.contrast), persistent=False)

    def measure_style_mean(self) -> None:
        """As the first stage's."""
        self.first.measure_style_mean()

    def forward(self, z: Tensor, label: Tensor, truncation: Tensor | None = None) -> Tensor:
        first = coarse = strengthened(self.first(z, label, truncation), self.contrast[label])
        for _ in range(self.config.finer):
            coarse = downsample(coarse)
        share = WOVEN if truncation is None else WOVEN * truncation[:, None]
        picture = self.second(smooth(coarse.clamp(0, 1)), label, share * z)
        if first.shape == picture.shape:
            kept = self._kept((first - picture)[:, :3])
        else:
            kept = upsample(self._kept((first - downsample(picture))[:, :3]))
        alpha = picture[:, 3:]
        return torch.cat([picture[:, :3] + alpha.clamp(0, 1) * kept, alpha], 1)

    @staticmethod
    def _kept(detail: Tensor) -> Tensor:
        """(N, 3, H, W) differences of colour -> what is kept of them."""
        light = lightness(detail)
        return smooth(KEPT_LIGHT * light + KEPT_TINT * smooth(detail - light))


def strengthened(picture: Tensor, contrast: Tensor) -> Tensor:
    """Products (N, 4, H, W) over white -> the same, lightness `contrast` (N,) times as far from its mean."""
    return torch.cat([picture[:, :3] + (contrast - 1)[:, None, None, None] * shade(picture), picture[:, 3:]], 1)


def shade(picture: Tensor) -> Tensor:
    """How much lighter a product (N, 4, H, W) over white is than its mean, times its alpha: (N, 1, H, W)."""
    alpha = picture[:, 3:].clamp(0, 1)
    light = lightness(picture[:, :3]) - (1 - alpha)
    return light - alpha * light.sum((2, 3), keepdim=True) / alpha.sum((2, 3), keepdim=True).clamp(min=1)
