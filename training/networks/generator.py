"""The class-conditional product generator, and the discriminator it learns from.

In the spirit of R3GAN (Huang et al. 2024): residual blocks without normalisation, bilinear resampling, a class
embedding. Pictures are the sum of every level's contribution, as in StyleGAN2's skip generator (Karras et al. 2020), so
that training can begin at a low resolution and grow (Karras et al. 2018) without any fading: what a new level adds
starts at zero. Each level writes and reads its picture at twice its own size, by sub-pixel convolution (Shi et al.
2016), which spends the work on channels, not on pixels. Written from the papers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.networks.blocks import ResidualBlock, conv, downsample, laid_over_white, leaky, smooth, upsample


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig:
    """Sizes of the generator: `blocks[i]` blocks of `channels[i]` work at 4 * 2**i px, for a picture of 8 * 2**i px."""

    classes: int = 13
    z_size: int = 64
    embedding: int = 32
    style_size: int = 128
    channels: tuple[int, ...] = (192, 160, 96, 48)
    blocks: tuple[int, ...] = (1, 1, 1, 1)
    textures: int = 16
    """Maps of every level but the first, from which a style mixes what lies in the cloth."""

    @property
    def size(self) -> int:
        """Side of the finest picture, px."""
        return 8 << (len(self.channels) - 1)


@dataclass(frozen=True, kw_only=True)
class DiscriminatorConfig:
    """Sizes of the discriminator, as `GeneratorConfig` has them; `hidden` is what it knows of a whole picture."""

    classes: int = 13
    channels: tuple[int, ...] = (192, 160, 96, 48)
    blocks: tuple[int, ...] = (1, 1, 1, 1)
    hidden: int = 128


class Texture(nn.Module):
    """(N, style_size, 1, 1) style -> (N, channels, side, side): maps at their places, as the style mixes them.

    Without them all detail has to be unfolded from 4 x 4 features by filters that are the same everywhere, and
    comes out woven. Fixed noise as StyleGAN (Karras et al. 2019) has it at inference, but learned, several of them, and
    as strong as the style says: the picture is still a smooth function of z alone. Starts at zero.
    """

    def __init__(self, style_size: int, maps: int, channels: int, side: int) -> None:
        super().__init__()
        self.maps = nn.Parameter(torch.randn(1, maps, side, side))
        self.mix = conv(style_size, maps, kernel=1)
        self.spread = conv(maps, channels, kernel=1, gain=0.0)

    def forward(self, style: Tensor) -> Tensor:
        return cast(Tensor, self.spread(self.maps * self.mix(style)))


class Generator(nn.Module):
    """z (N, z_size) standard normal and label (N,) int64 -> (N, 4, S, S), unclamped.

    The first three channels are the product over white, the last its alpha, all in [0, 1] up to overshoot. The network
    draws a colour and an alpha and lays the one over white with the other, so that white ground needs no learning.
    `truncation` (N,) in [0, 1] pulls the style towards the mean style of its class (the truncation trick in w,
    Karras et al. 2019); those means are the buffer `style_mean`, set by `measure_style_mean`.
    """

    style_mean: Tensor

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        style = config.style_size
        self.embedding = nn.Embedding(config.classes, config.embedding)
        self.mapping = nn.ModuleList(
            [conv(config.z_size + config.embedding, style, kernel=1), conv(style, style, kernel=1)]
        )
        self.start = conv(style, config.channels[0] * 16, kernel=1)
        self.blocks = nn.ModuleList(
            [
                nn.ModuleList([ResidualBlock(c, style) for _ in range(count)])
                for c, count in zip(config.channels, config.blocks, strict=True)
            ]
        )
        pairs = zip(config.channels[:-1], config.channels[1:], strict=True)
        self.joins = nn.ModuleList([conv(a, b, kernel=1) for a, b in pairs])
        self.textures = nn.ModuleList(
            [Texture(style, config.textures, c, 8 << i) for i, c in enumerate(config.channels[1:])]
        )
        self.pictures = nn.ModuleList([conv(c, 16, gain=0.1 if i < 1 else 0.0) for i, c in enumerate(config.channels)])
        self.register_buffer("style_mean", torch.zeros(config.classes, style))

    def style(self, z: Tensor, label: Tensor) -> Tensor:
        """(N, z_size), (N,) -> (N, style_size, 1, 1)."""
        # 1x1 convolutions, not matrix products: their result does not depend on what shares the batch.
        hidden = torch.cat([z, self.embedding(label)], 1)[:, :, None, None]
        hidden = leaky(self.mapping[0](hidden))
        return cast(Tensor, self.mapping[1](hidden))

    @torch.no_grad()
    def measure_style_mean(self, samples: int = 4096, seed: int = 0) -> None:
        """Set `style_mean` to each class's mean style over `samples` draws."""
        random = torch.Generator().manual_seed(seed)
        z = torch.randn(samples, self.config.z_size, generator=random)
        for label in range(self.config.classes):
            labels = torch.full((samples,), label)
            self.style_mean[label] = self.style(z, labels).mean(0).flatten()

    def forward(self, z: Tensor, label: Tensor, truncation: Tensor | None = None, levels: int | None = None) -> Tensor:
        """As the class says; with `levels` only the first so many levels are used, for a smaller picture."""
        style = self.style(z, label)
        if truncation is not None:
            mean = self.style_mean[label][:, :, None, None]
            style = mean + truncation[:, None, None, None] * (style - mean)
        features = self.start(leaky(style)).reshape(-1, self.config.channels[0], 4, 4)
        features = self._through(0, features, style)
        drawn = self._draw(0, features)
        for index in range(1, levels or len(self.blocks)):
            features = self.joins[index - 1](upsample(features)) + self.textures[index - 1](style)
            features = self._through(index, features, style)
            drawn = upsample(drawn) + self._draw(index, features)
        # Grey and transparent is where an untrained network starts from.
        return laid_over_white(drawn[:, :3] + 0.5, drawn[:, 3:])

    def _through(self, level: int, features: Tensor, style: Tensor) -> Tensor:
        for block in cast(nn.ModuleList, self.blocks[level]):
            features = block(features, style)
        return features

    def _draw(self, level: int, features: Tensor) -> Tensor:
        """What a level adds to the picture: (N, C, H, W) -> (N, 4, 2H, 2W)."""
        return smooth(F.pixel_shuffle(self.pictures[level](leaky(features)), 2))


class Discriminator(nn.Module):
    """Pictures (N, 4, S, S) in [0, 1] and label (N,) -> (N,) logits; S may be any level's size.

    The generator turned round: each level reads the picture at its own size, new levels start without a voice. The
    label enters by projection (Miyato & Koyama 2018).
    """

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        self.pictures = nn.ModuleList([conv(16, c) for c in config.channels])
        self.blocks = nn.ModuleList(
            [
                nn.Sequential(*(ResidualBlock(c) for _ in range(count)))
                for c, count in zip(config.channels, config.blocks, strict=True)
            ]
        )
        pairs = zip(config.channels[1:], config.channels[:-1], strict=True)
        self.joins = nn.ModuleList([conv(a, b, kernel=1, gain=0.1) for a, b in pairs])
        self.end = nn.Conv2d(config.channels[0], config.hidden, 4)
        self.embedding = nn.Embedding(config.classes, config.hidden)
        self.score = nn.Linear(config.hidden, 1)

    def forward(self, picture: Tensor, label: Tensor) -> Tensor:
        level = (picture.shape[-1] // 8).bit_length() - 1
        picture = 2 * picture - 1
        features = self.blocks[level](self._read(level, picture))
        for index in range(level - 1, -1, -1):
            picture = downsample(picture)
            features = self.joins[index](downsample(features)) + self._read(index, picture)
            features = self.blocks[index](features)
        hidden = leaky(self.end(leaky(features)).flatten(1))
        projection = (hidden * self.embedding(label)).sum(1) / self.config.hidden**0.5
        return cast(Tensor, self.score(hidden)[:, 0] + projection)

    def _read(self, level: int, picture: Tensor) -> Tensor:
        """What a level sees of the picture: (N, 4, 2H, 2W) -> (N, C, H, W)."""
        return cast(Tensor, self.pictures[level](F.pixel_unshuffle(picture, 2)))
