"""Draws a product in lines: ink twice as fine as the picture that it looks at."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.networks.blocks import ResidualBlock, conv, leaky, upsample

FINER = 2
"""How many times as many pixels a side ink has as the picture."""


@dataclass(frozen=True, kw_only=True)
class LinesConfig:
    """Channels at 1/2, 1/4 and so on of the side, blocks at each on the way down, and the side that is served."""

    channels: tuple[int, ...] = (24, 32, 48, 48, 48)
    blocks: tuple[int, ...] = (0, 1, 1, 1, 1)
    size: int = 512


class LinesNet(nn.Module):
    """rgb and alpha (N, 4, S, S) in [0, 1], S a multiple of 2 ** len(channels) -> ink (N, 4, S, S) in [0, 1].

    The channels are the squares of 2x2 px that each pixel becomes (`F.pixel_shuffle` by FINER). A U-Net (Ronneberger et
    al. 2015) without normalisation, which would take the contrast of faint lines for noise's; a block at each level on
    the way up. Pixels go in and come out as squares (Shi et al. 2016), so that nothing is computed at full size.
    """

    def __init__(self, config: LinesConfig) -> None:
        super().__init__()
        self.config = config
        first, *rest = config.channels
        self.stem = conv(16, first)
        self.down = nn.ModuleList(conv(a, b, stride=2) for a, b in pairwise((first, *rest)))
        self.encode = nn.ModuleList(
            nn.Sequential(*(ResidualBlock(width) for _ in range(count)))
            for width, count in zip(config.channels, config.blocks, strict=True)
        )
        self.reduce = nn.ModuleList(conv(b, a, kernel=1) for a, b in pairwise(config.channels))
        self.decode = nn.ModuleList(ResidualBlock(width) for width in config.channels[:-1])
        self.head = conv(first, 16, gain=0.1)
        # White paper to begin with: about a twentieth of a drawing is ink.
        nn.init.constant_(self.head.bias, -3.0)  # type: ignore[arg-type]

    def forward(self, picture: Tensor) -> Tensor:
        x = self.encode[0](self.stem(F.pixel_unshuffle(picture - 0.5, 2)))
        kept: list[Tensor] = []
        for down, encode in zip(self.down, self.encode[1:], strict=True):
            kept.append(x)
            x = encode(down(leaky(x)))
        for reduce, decode in zip(reversed(self.reduce), reversed(self.decode), strict=True):
            x = decode(upsample(reduce(x)) + kept.pop())
        return torch.sigmoid(F.pixel_shuffle(self.head(leaky(x)), 2))
