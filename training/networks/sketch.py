"""Makes a product out of a line drawing: its class and its colours are told, its shape is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from training.networks.blocks import ResidualBlock, conv, leaky, upsample

COLOURS = 9
"""Numbers that tell a product's colours: RGB of all of it, of its darker half and of its brighter half."""


@dataclass(frozen=True, kw_only=True)
class SketchConfig:
    """Channels at the full side, 1/2, 1/4, 1/8 and 1/16, blocks at the last three; classes, and a style's size."""

    channels: tuple[int, ...] = (16, 32, 64, 112, 160)
    blocks: int = 2
    classes: int = 13
    style: int = 64
    palette: int = 1024
    """Products whose colours are kept, to be drawn from."""


class SketchNet(nn.Module):
    """lines (N, 1, S, S), colours (N, 9), both in [0, 1], and label (N,), or `classes` for unknown -> (N, 4, S, S).

    S is a multiple of 16; out comes the product over white, and its alpha, unclamped. A U-Net as in pix2pix (Isola et
    al. 2017), of residual blocks without normalisation whose features are scaled by a style, as in StyleGAN2 (Karras
    et al. 2020).
    """

    palette: Tensor
    """(P, 9): colours of products."""
    palette_label: Tensor
    """(P,): their classes."""

    def __init__(self, config: SketchConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("palette", torch.full((config.palette, COLOURS), 0.5))
        self.register_buffer("palette_label", torch.zeros(config.palette, dtype=torch.int64))
        widths = config.channels
        self.embed = nn.Embedding(config.classes + 1, config.style)
        self.colour = conv(COLOURS, config.style, kernel=1)
        self.mix = conv(config.style, config.style, kernel=1)
        self.stem = conv(1, widths[0])
        self.down = nn.ModuleList(conv(a, b, stride=2) for a, b in pairwise(widths))
        self.encode = nn.ModuleList(self._blocks(width) for width in widths[2:])
        self.reduce = nn.ModuleList(conv(b, a, kernel=1) for a, b in pairwise(widths))
        self.decode = nn.ModuleList(
            self._blocks(width) if index >= 2 else ResidualBlock(width, config.style)
            for index, width in enumerate(widths[:-1])
        )
        self.head = conv(widths[0], 4, gain=0.3)

    def _blocks(self, width: int) -> nn.ModuleList:
        return nn.ModuleList(ResidualBlock(width, self.config.style) for _ in range(self.config.blocks))

    def forward(self, lines: Tensor, colours: Tensor, label: Tensor) -> Tensor:
        told = self.embed(label)[:, :, None, None] + self.colour(2 * colours[:, :, None, None] - 1)
        style = self.mix(leaky(told))
        x = self.stem(1 - lines)
        kept = [x]
        for index, down in enumerate(self.down):
            x = down(leaky(x))
            if index >= 1:
                x = through(self.encode[index - 1], x, style)
            kept.append(x)
        x = kept.pop()
        for reduce, decode in zip(reversed(self.reduce), reversed(self.decode), strict=True):
            x = through(decode, upsample(reduce(x)) + kept.pop(), style)
        picture: Tensor = 0.5 + self.head(leaky(x))
        return picture


def through(blocks: nn.Module, x: Tensor, style: Tensor) -> Tensor:
    """Through one block or several."""
    for block in blocks if isinstance(blocks, nn.ModuleList) else [blocks]:
        x = block(x, style)
    return x
