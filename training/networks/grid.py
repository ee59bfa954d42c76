"""Networks that say how colours change from place to place, too coarsely to touch any detail."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.networks.blocks import ResidualBlock, conv, leaky, upsample

CELL = 8
"""Pixels, each way, that share a change."""


class GridNet(nn.Module):
    """(N, C, S, S), S a multiple of 32 -> (N, D, S/8, S/8), near 0 at first.

    A U-Net (Ronneberger et al. 2015) without normalisation, with the mean of the whole picture at its bottom. Colours
    as an affine function on a coarse grid: as in HDRnet (Gharbi et al. 2017).
    """

    def __init__(self, inputs: int, channels: Sequence[int], blocks: int, outputs: int) -> None:
        super().__init__()
        self.down = nn.ModuleList(conv(a, b, stride=2) for a, b in pairwise((inputs, *channels)))
        deep = channels[2:]
        self.encode = nn.ModuleList(residuals(width, blocks) for width in deep)
        self.whole = conv(deep[-1], deep[-1], kernel=1, gain=0.5)
        self.reduce = nn.ModuleList(conv(b, a, kernel=1) for a, b in pairwise(deep))
        self.decode = nn.ModuleList(residuals(width, blocks) for width in deep[:-1])
        self.head = conv(deep[0], outputs, gain=0.01)

    def grid(self, x: Tensor) -> Tensor:
        """The map, unbounded."""
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
        found: Tensor = self.head(leaky(x))
        return found


def residuals(width: int, count: int) -> nn.Sequential:
    """So many residual blocks."""
    return nn.Sequential(*(ResidualBlock(width) for _ in range(count)))


def enlarged(grid: Tensor, like: Tensor) -> Tensor:
    """A map (N, D, s, t) at the size of a picture (N, C, H, W), bilinear between its cells."""
    return F.interpolate(grid, size=like.shape[2:], mode="bilinear", align_corners=False)


def affine(rgb: Tensor, change: Tensor) -> Tensor:
    """(N, 3, H, W) with a map (N, 12, s, t) applied, three rows of 3 factors, then 3 offsets: (N, 3, H, W), unclamped.

    A row is what one channel becomes; the map is bilinear between its cells.
    """
    large = enlarged(change, rgb)
    rows = [(row * rgb).sum(1, keepdim=True) for row in large[:, :9].chunk(3, 1)]
    return torch.cat(rows, 1) + large[:, 9:]
