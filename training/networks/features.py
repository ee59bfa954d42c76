"""A small network that looks at products: what evaluators are made of."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from training.networks.blocks import ResidualBlock, conv, leaky


@dataclass(frozen=True, kw_only=True)
class FeatureConfig:
    """Channels of the convolutions, each of which halves the picture; widths of the dense layers after them."""

    channels: tuple[int, ...] = (16, 32, 64, 64)
    head: tuple[int, ...] = ()


class FeatureNet(nn.Module):
    """rgb (N, 3, S, S) in [0, 1], over white -> what the head makes of the features, (N, head[-1])."""

    def __init__(self, config: FeatureConfig) -> None:
        super().__init__()
        self.config = config
        before = (3, *config.channels[:-1])
        self.layers = nn.ModuleList(conv(a, b, stride=2) for a, b in zip(before, config.channels, strict=True))
        # At half the size a block would cost as much as all the rest, and say little.
        self.blocks = nn.ModuleList(ResidualBlock(width) for width in config.channels[1:])
        before = (config.channels[-1], *config.head[:-1])
        self.head = nn.ModuleList(nn.Linear(a, b) for a, b in zip(before, config.head, strict=False))

    def features(self, rgb: Tensor) -> Tensor:
        """rgb as above -> (N, channels[-1]), means over the picture."""
        x = self.layers[0](2 * rgb - 1)
        for layer, block in zip(self.layers[1:], self.blocks, strict=True):
            x = block(layer(leaky(x)))
        return leaky(x).mean((2, 3))

    def forward(self, rgb: Tensor) -> Tensor:
        x = self.features(rgb)
        for index, layer in enumerate(self.head):
            x = layer(leaky(x) if index else x)
        return x
