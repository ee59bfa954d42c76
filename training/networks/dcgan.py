"""The reference network of the field's textbook example: 28x28 grey pictures, or products by class.

DCGAN (Radford, Metz, Chintala 2015) as most tutorials teach it: dense -> reshape -> transposed convolutions. Classes
enter as one-hot numbers beside the noise and as planes beside the picture (Mirza & Osindero 2014).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True, kw_only=True)
class DcganConfig:
    """Latent size, width at full size, and the picture: `start` px doubled so often, its channels, 0 for no classes."""

    z_size: int = 100
    width: int = 32
    start: int = 7
    doublings: int = 2
    channels: int = 1
    classes: int = 0
    original: bool = False
    """As in the paper: batch normalisation in the discriminator too, weights of N(0, 0.02); tutorials have dropout."""

    @property
    def size(self) -> int:
        """Side of the picture, px."""
        return self.start << self.doublings


class DcganGenerator(nn.Module):
    """z (N, z_size) and, with classes, label (N,) -> (N, channels, S, S) in [-1, 1] (tanh)."""

    def __init__(self, config: DcganConfig) -> None:
        super().__init__()
        self.config = config
        widths = [config.width << i for i in range(config.doublings, -1, -1)]
        self.dense = nn.Linear(config.z_size + config.classes, widths[0] * config.start**2, bias=False)
        layers: list[nn.Module] = [nn.BatchNorm2d(widths[0]), nn.LeakyReLU(0.2)]
        for a, b in pairwise(widths):
            layers += [nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False), nn.BatchNorm2d(b), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(config.width, config.channels, 3, padding=1), nn.Tanh())
        if config.original:
            self.apply(shrink)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        if label is not None and self.config.classes:
            z = torch.cat([z, F.one_hot(label, self.config.classes).to(z)], 1)
        return cast(Tensor, self.layers(self.dense(z).unflatten(1, (-1, self.config.start, self.config.start))))


class DcganDiscriminator(nn.Module):
    """Pictures (N, channels, S, S) in [-1, 1] and, with classes, label (N,) -> (N,) logits."""

    def __init__(self, config: DcganConfig) -> None:
        super().__init__()
        self.config = config
        widths = [config.channels + config.classes, *(config.width << i for i in range(config.doublings))]
        layers: list[nn.Module] = []
        for index, (a, b) in enumerate(pairwise(widths)):
            layers.append(nn.Conv2d(a, b, 4, 2, 1))
            if config.original:
                layers += [nn.BatchNorm2d(b), nn.LeakyReLU(0.2)] if index else [nn.LeakyReLU(0.2)]
            else:
                layers += [nn.LeakyReLU(0.2), nn.Dropout(0.2)]
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(widths[-1] * config.start**2, 1))
        if config.original:
            self.apply(shrink)

    def forward(self, picture: Tensor, label: Tensor | None = None) -> Tensor:
        if label is not None and self.config.classes:
            planes = F.one_hot(label, self.config.classes).to(picture)[:, :, None, None]
            picture = torch.cat([picture, planes.expand(-1, -1, *picture.shape[2:])], 1)
        return cast(Tensor, self.layers(picture)[:, 0])


def shrink(layer: nn.Module) -> None:
    """The paper's initialisation of a layer's weights."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(layer.weight, 0.0, 0.02)


class DcganProducts(nn.Module):
    """A conditional DCGAN of four channels, called like `generator.Generator`: -> (N, 4, S, S) in [0, 1].

    `truncation` (N,) shortens the noise, for want of a style to pull.
    """

    def __init__(self, net: DcganGenerator) -> None:
        super().__init__()
        self.net, self.config = net, net.config

    def forward(self, z: Tensor, label: Tensor, truncation: Tensor) -> Tensor:
        return cast(Tensor, (self.net(z * truncation[:, None], label) + 1) / 2)
