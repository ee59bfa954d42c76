"""A product in another colour: a map of affine changes of colour, too coarse to touch any detail."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from training.networks.grid import GridNet

LUMA = (0.2126, 0.7152, 0.0722)
"""What red, green and blue contribute to lightness (ITU-R BT.709)."""
DARK = 0.15
"""Products darker than this are taken to be this bright where their shades are scaled: what is black has only noise."""
SURE = 0.8
"""Alpha from which on a pixel shows the product alone."""


@dataclass(frozen=True, kw_only=True)
class ColorwayConfig:
    """Channels at 1/2, 1/4, 1/8, 1/16 and 1/32 of the side, blocks at the last three, and the most that may change."""

    channels: tuple[int, ...] = (16, 24, 36, 48, 64)
    blocks: int = 1
    factor: float = 2.0
    offset: float = 0.5


class ColorwayNet(GridNet):
    """rgb (N, 3, S, S), alpha (N, 1, S, S) and the wished mean (N, 3), in [0, 1] -> (N, 12, S/8, S/8) for `affine`.

    S is a multiple of 32. It starts with cloth dyed in the wished colour, whose shades keep their ratio to the mean;
    what it learns is what real products do beyond that: prints, seams and soles keep their own colour, black cloth
    shines, white cloth has grey folds. Factors are within `factor` of that, offsets within `offset`.
    """

    def __init__(self, config: ColorwayConfig) -> None:
        super().__init__(10, config.channels, config.blocks, 12)
        self.config = config

    def forward(self, rgb: Tensor, alpha: Tensor, wish: Tensor) -> Tensor:
        mean = mean_inside(rgb, alpha)
        told = [one[:, :, None, None].expand_as(rgb) - 0.5 for one in (wish, mean)]
        raw = torch.tanh(self.grid(torch.cat([(rgb - 0.5) * alpha, alpha, *told], 1)))
        factors = self.config.factor * raw[:, :9] + dye(mean, wish).flatten(1)[:, :, None, None]
        moved = [(row * mean[:, :, None, None]).sum(1, keepdim=True) for row in factors.chunk(3, 1)]
        offsets = wish[:, :, None, None] - torch.cat(moved, 1) + self.config.offset * raw[:, 9:]
        return torch.cat([factors, offsets], 1)


def dye(mean: Tensor, wish: Tensor) -> Tensor:
    """(N, 3) and (N, 3) -> (N, 3, 3): the wished colour times how much brighter than the mean a pixel is."""
    luma = mean.new_tensor(LUMA)
    ratio = luma / (mean @ luma).clamp(min=DARK)[:, None]
    return wish[:, :, None] * ratio[:, None, :]


def mean_inside(rgb: Tensor, alpha: Tensor) -> Tensor:
    """The mean colour (N, 3) of (N, 3, S, S) where alpha (N, 1, S, S) is sure, or, where that is nowhere, of all."""
    sure = (alpha > SURE).float() + 1e-6
    found: Tensor = (rgb * sure).sum((2, 3)) / sure.sum((2, 3))
    return found
