"""The enhancer: twice the size, with noise, blur and JPEG marks taken away as strongly as asked."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.networks.blocks import conv


@dataclass(frozen=True, kw_only=True)
class EnhanceConfig:
    """Width and depth; the receptive radius is `convs + 2` px of the input."""

    channels: int = 32
    convs: int = 8
    scale: int = 2


class EnhanceNet(nn.Module):
    """lr (N, 3, H, W) in [0, 1] and strength (N,) in [0, 1] -> (N, 3, scale*H, scale*W), unclamped.

    A plain stack of convolutions with PReLU that works at low resolution and ends in a sub-pixel convolution (Shi et
    al. 2016, ESPCN), as in SRVGGNetCompact (Wang et al. 2021); it predicts the difference to the repeated input. The
    strength enters as a constant plane, as FFDNet's noise map does (Zhang et al. 2018).
    """

    def __init__(self, config: EnhanceConfig) -> None:
        super().__init__()
        self.config = config
        width = config.channels
        layers: list[nn.Module] = [conv(4, width), nn.PReLU(width)]
        for _ in range(config.convs):
            layers += [conv(width, width), nn.PReLU(width)]
        self.body = nn.Sequential(*layers, conv(width, 3 * config.scale**2, gain=0.1))

    def forward(self, lr: Tensor, strength: Tensor) -> Tensor:
        plane = strength[:, None, None, None] * torch.ones_like(lr[:, :1])
        detail = F.pixel_shuffle(self.body(torch.cat([lr - 0.5, plane], 1)), self.config.scale)
        return detail + F.interpolate(lr, scale_factor=float(self.config.scale), mode="nearest")
