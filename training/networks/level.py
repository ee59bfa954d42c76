"""Tells how degraded a photo is, so that the enhancer knows how strongly to restore it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from training.networks.blocks import leaky


@dataclass(frozen=True, kw_only=True)
class LevelConfig:
    """Channels of the four convolutions; each but the first halves the picture."""

    channels: tuple[int, ...] = (16, 24, 32, 48)


class LevelNet(nn.Module):
    """lr (N, 3, H, W) in [0, 1], H and W at least 16 -> (N,) level, unclamped."""

    def __init__(self, config: LevelConfig) -> None:
        super().__init__()
        before = (3, *config.channels[:-1])
        self.layers = nn.ModuleList(
            [
                nn.Conv2d(a, b, 3, stride=1 if i == 0 else 2, padding=1)
                for i, (a, b) in enumerate(zip(before, config.channels, strict=True))
            ]
        )
        self.end = nn.Conv2d(config.channels[-1], 1, 1)

    def forward(self, lr: Tensor) -> Tensor:
        # Noise, blur and JPEG marks live in the finest detail; without it gone, flat colours drown them.
        features = 8 * (lr - F.avg_pool2d(lr, 3, 1, 1, count_include_pad=False))
        for layer in self.layers:
            features = leaky(layer(features))
        return cast(Tensor, self.end(features.mean((2, 3), keepdim=True))[:, 0, 0, 0])
