"""Takes the light of a place off a product: a map of gains and offsets, too coarse to touch any detail."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.networks.blocks import ResidualBlock, conv, leaky, upsample

CELL = 8
"""Pixels, each way, that share a gain and an offset."""


@dataclass(frozen=True, kw_only=True)
class RelightConfig:
    """Channels at 1/2, 1/4, 1/8, 1/16 and 1/32 of the side, blocks at the last three, and the most that may change."""

    channels: tuple[int, ...] = (16, 32, 64, 96, 128)
    blocks: int = 2
    gain: float = 1.0
    offset: float = 0.15


class RelightNet(nn.Module):
    """rgb (N, 3, S, S) and alpha (N, 1, S, S) in [0, 1], S a multiple of 32 -> (N, 6, S/8, S/8).

    The logarithms of the gains of red, green and blue, within `gain` of 0, and their offsets, within `offset`. A U-Net
    (Ronneberger et al. 2015) without normalisation, with the mean of the whole picture at its bottom; it starts by
    changing nothing. Colours as an affine function on a coarse grid: as in HDRnet (Gharbi et al. 2017).
    """

    def __init__(self, config: RelightConfig) -> None:
        super().__init__()
        self.config = config
        self.down = nn.ModuleList(conv(a, b, stride=2) for a, b in pairwise((4, *config.channels)))
        deep = config.channels[2:]
        self.encode = nn.ModuleList(self._blocks(width) for width in deep)
        self.whole = conv(deep[-1], deep[-1], kernel=1, gain=0.5)
        self.reduce = nn.ModuleList(conv(b, a, kernel=1) for a, b in pairwise(deep))
        self.decode = nn.ModuleList(self._blocks(width) for width in deep[:-1])
        self.head = conv(deep[0], 6, gain=0.01)

    def _blocks(self, width: int) -> nn.Sequential:
        return nn.Sequential(*(ResidualBlock(width) for _ in range(self.config.blocks)))

    def forward(self, rgb: Tensor, alpha: Tensor) -> Tensor:
        # What is not product still tells the light.
        x = torch.cat([rgb - 0.5, alpha], 1)
        kept: list[Tensor] = []
        for index, down in enumerate(self.down):
            x = down(x if index == 0 else leaky(x))
            if index >= 2:
                x = self.encode[index - 2](x)
                kept.append(x)
        x = kept.pop()
        x = x + self.whole(leaky(x.mean((2, 3), keepdim=True)))
        for reduce, decode in zip(reversed(self.reduce), reversed(self.decode), strict=True):
            x = decode(upsample(reduce(x)) + kept.pop())
        change = torch.tanh(self.head(leaky(x)))
        return torch.cat([self.config.gain * change[:, :3], self.config.offset * change[:, 3:]], 1)


def relit(rgb: Tensor, light: Tensor) -> Tensor:
    """(N, 3, S, S) in [0, 1] with a map (N, 6, S/8, S/8) applied, bilinear between its cells; unclamped."""
    large = F.interpolate(light, size=rgb.shape[2:], mode="bilinear", align_corners=False)
    return rgb * large[:, :3].exp() + large[:, 3:]
