"""The enhancer: a larger picture, with noise, blur and JPEG marks taken away as strongly as asked, or none at all."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.networks.blocks import conv, leaky


@dataclass(frozen=True, kw_only=True)
class EnhanceConfig:
    """Width, depth, how many times larger the picture becomes, and whether it is restored as well."""

    channels: int = 64
    blocks: int = 4
    scale: int = 2
    restores: bool = True

    @property
    def radius(self) -> int:
        """How far a pixel of the input reaches, in px of the input."""
        return 2 * self.blocks + 2


class EnhanceNet(nn.Module):
    """lr (N, 3, H, W) in [0, 1] and strength (N,) in [0, 1] -> (N, 3, scale*H, scale*W), unclamped.

    Residual blocks without normalisation (Lim et al. 2017, EDSR) that work at low resolution, and a sub-pixel
    convolution (Shi et al. 2016, ESPCN) that predicts the difference to the repeated input. The strength enters as a
    constant plane, as FFDNet's noise map does (Zhang et al. 2018); what only enlarges has none, and ignores it.
    """

    def __init__(self, config: EnhanceConfig) -> None:
        super().__init__()
        self.config = config
        width = config.channels
        self.head = conv(4 if config.restores else 3, width)
        self.blocks = nn.ModuleList(EnhanceBlock(width) for _ in range(config.blocks))
        self.tail = conv(width, 3 * config.scale**2, gain=0.1)

    def forward(self, lr: Tensor, strength: Tensor | None = None) -> Tensor:
        x = lr - 0.5
        if self.config.restores and strength is not None:
            x = torch.cat([x, strength[:, None, None, None] * torch.ones_like(lr[:, :1])], 1)
        x = self.head(x)
        for block in self.blocks:
            x = block(x)
        detail = F.pixel_shuffle(self.tail(x), self.config.scale)
        return detail + F.interpolate(lr, scale_factor=float(self.config.scale), mode="nearest")


class EnhanceBlock(nn.Module):
    """(N, C, H, W) -> the same shape. Its second convolution starts small, so that the sum over all blocks does too."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = conv(channels, channels)
        self.second = conv(channels, channels, gain=0.3)

    def forward(self, x: Tensor) -> Tensor:
        difference: Tensor = self.second(leaky(self.first(x)))
        return x + difference
