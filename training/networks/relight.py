"""Takes the light of a place off a product: a map of gains and offsets, too coarse to touch any detail."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from training.networks.grid import GridNet, enlarged


@dataclass(frozen=True, kw_only=True)
class RelightConfig:
    """Channels at 1/2, 1/4, 1/8, 1/16 and 1/32 of the side, blocks at the last three, and the most that may change."""

    channels: tuple[int, ...] = (16, 32, 64, 96, 128)
    blocks: int = 2
    gain: float = 1.0
    offset: float = 0.15


class RelightNet(GridNet):
    """rgb (N, 3, S, S) and alpha (N, 1, S, S) in [0, 1], S a multiple of 32 -> (N, 6, S/8, S/8).

    The logarithms of the gains of red, green and blue, within `gain` of 0, and their offsets, within `offset`; it
    starts by changing nothing.
    """

    def __init__(self, config: RelightConfig) -> None:
        super().__init__(4, config.channels, config.blocks, 6)
        self.config = config

    def forward(self, rgb: Tensor, alpha: Tensor) -> Tensor:
        # What is not product still tells the light.
        change = torch.tanh(self.grid(torch.cat([rgb - 0.5, alpha], 1)))
        return torch.cat([self.config.gain * change[:, :3], self.config.offset * change[:, 3:]], 1)


def relit(rgb: Tensor, light: Tensor) -> Tensor:
    """(N, 3, S, S) in [0, 1] with a map (N, 6, S/8, S/8) applied, bilinear between its cells; unclamped."""
    large = enlarged(light, rgb)
    return rgb * large[:, :3].exp() + large[:, 3:]
