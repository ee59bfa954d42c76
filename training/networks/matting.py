"""The cut-out network: which part of each pixel is product, and what colour the product has there."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from training.networks.blocks import ResidualBlock, conv, leaky, upsample


@dataclass(frozen=True, kw_only=True)
class MattingConfig:
    """Channels at 1/2, 1/4, 1/8, 1/16 and 1/32 of the side, blocks at each, and channels at the full side."""

    channels: tuple[int, ...] = (16, 32, 64, 96, 128)
    blocks: tuple[int, ...] = (0, 1, 2, 2, 2)
    detail: int = 8


class MattingNet(nn.Module):
    """rgb (N, 3, S, S) in [0, 1], S a multiple of 32 -> logits of alpha (N, 1, S, S) and residual (N, 3, S, S).

    A U-Net (Ronneberger et al. 2015) of residual blocks without normalisation, with the mean of the whole picture at
    its bottom and a thin branch at the full side for the edges. The residual is what the product's own colour differs
    from the picture's, as in Background Matting V2 (Lin et al. 2021): smooth, so that it can be enlarged and added to
    a larger picture without blurring it.
    """

    def __init__(self, config: MattingConfig) -> None:
        super().__init__()
        self.config = config
        widths = (config.detail, *config.channels)
        self.detail = conv(3, config.detail)
        self.down = nn.ModuleList(conv(a, b, stride=2) for a, b in pairwise(widths))
        self.encode = nn.ModuleList(
            nn.Sequential(*(ResidualBlock(width) for _ in range(count)))
            for width, count in zip(config.channels, config.blocks, strict=True)
        )
        bottom = config.channels[-1]
        self.whole = conv(bottom, bottom, kernel=1, gain=0.5)
        pairs = list(pairwise(widths))
        self.reduce = nn.ModuleList(conv(b, a, kernel=1) for a, b in pairs)
        deep = (False, *(count > 1 for count in config.blocks))
        self.merge = nn.ModuleList(Merge(a, is_deep) for (a, _), is_deep in zip(pairs, deep, strict=False))
        self.head = conv(config.detail, 4, gain=0.3)

    def forward(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        x = self.detail(rgb - 0.5)
        kept = [x]
        for down, encode in zip(self.down, self.encode, strict=True):
            x = encode(down(leaky(x)))
            kept.append(x)
        x = kept.pop()
        x = x + self.whole(leaky(x.mean((2, 3), keepdim=True)))
        for reduce, merge, level in zip(reversed(self.reduce), reversed(self.merge), reversed(kept), strict=True):
            x = merge(upsample(reduce(x)), level)
        output = self.head(leaky(x))
        return output[:, :1], 0.5 * torch.tanh(output[:, 1:])


class Merge(nn.Module):
    """What comes from below and what was kept of the same size, both (N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, channels: int, deep: bool) -> None:
        super().__init__()
        self.join = conv(2 * channels, channels, kernel=1)
        self.mix: nn.Module = ResidualBlock(channels) if deep else conv(channels, channels)

    def forward(self, below: Tensor, kept: Tensor) -> Tensor:
        joined = self.join(torch.cat([below, kept], 1))
        mixed: Tensor = self.mix(joined if isinstance(self.mix, ResidualBlock) else leaky(joined))
        return mixed
