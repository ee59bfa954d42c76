"""Makes a product out of a line drawing: its class, its colours and its folds are told, its shape is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.networks.blocks import ResidualBlock, conv, laid_over_white, leaky, smooth, upsample

COLOURS = 9
"""Numbers that tell a product's colours: RGB of all of it, of its darker half and of its brighter half."""
FOLDS = 32
"""Side of the map of a product's folds."""
DRAWN = 0.75
"""How bright, of 1, a line may be at most to count for where the drawing is."""


@dataclass(frozen=True, kw_only=True)
class SketchConfig:
    """Channels at 1/2, 1/4, 1/8 and 1/16 of the side, blocks at the last three; classes, and a style's size."""

    channels: tuple[int, ...] = (32, 64, 112, 176)
    blocks: int = 2
    classes: int = 13
    style: int = 64
    palette: int = 832
    """Products whose colours and folds are kept, to be drawn from: as many of each class."""


class SketchNet(nn.Module):
    """lines (N, 1, S, S) in [0, 1], colours (N, 9) in [0, 1], folds (N, 1, 32, 32), label (N,) -> (N, 4, S, S).

    S is a multiple of 16; out comes the product over white, and its alpha, unclamped. `folds` is how much brighter than
    its mean, of 1, a product is from place to place of its bounding box, and `label` is `classes` for unknown. A U-Net
    as in pix2pix (Isola et al. 2017), of residual blocks without normalisation whose features are scaled by a style, as
    in StyleGAN2 (Karras et al. 2020), at half the side by sub-pixel convolution (Shi et al. 2016). It begins with the
    told colour and folds, and adds what they lack.
    """

    palette: Tensor
    """(P, 9): colours of products, as many of each class, the darkest first."""
    palette_folds: Tensor
    """(P, 32, 32) uint8: their folds, 128 is the mean."""

    def __init__(self, config: SketchConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("palette", torch.full((self.each * config.classes, COLOURS), 0.5))
        flat = torch.full((self.each * config.classes, FOLDS, FOLDS), 128, dtype=torch.uint8)
        self.register_buffer("palette_folds", flat)
        widths = config.channels
        self.embed = nn.Embedding(config.classes + 1, config.style)
        self.colour = conv(COLOURS, config.style, kernel=1)
        self.mix = conv(config.style, config.style, kernel=1)
        self.stem = conv(7, widths[0])
        self.down = nn.ModuleList(conv(a, b, stride=2) for a, b in pairwise(widths))
        self.encode = nn.ModuleList(self._blocks(width) for width in widths[1:])
        self.reduce = nn.ModuleList(conv(b, a, kernel=1) for a, b in pairwise(widths))
        self.decode = nn.ModuleList(
            self._blocks(width) if index else ResidualBlock(width, config.style)
            for index, width in enumerate(widths[:-1])
        )
        self.wide = conv(widths[0], 4 * 12)
        self.fine = conv(12 + 2, 16)
        self.head = conv(16, 4, gain=0.3)

    @property
    def each(self) -> int:
        """Products of the palette that are of one class."""
        return self.config.palette // self.config.classes

    def _blocks(self, width: int) -> nn.ModuleList:
        return nn.ModuleList(ResidualBlock(width, self.config.style) for _ in range(self.config.blocks))

    def forward(self, lines: Tensor, colours: Tensor, folds: Tensor, label: Tensor) -> Tensor:
        told = self.embed(label)[:, :, None, None] + self.colour(2 * colours[:, :, None, None] - 1)
        style = self.mix(leaky(told))
        shade, down, across = laid(folds, lines)
        x = self.stem(torch.cat([F.pixel_unshuffle(1 - lines, 2), 4 * shade, down, across], 1))
        kept = [x]
        for index, smaller in enumerate(self.down):
            x = through(self.encode[index], smaller(leaky(x)), style)
            kept.append(x)
        x = kept.pop()
        for reduce, decode in zip(reversed(self.reduce), reversed(self.decode), strict=True):
            x = through(decode, upsample(reduce(x)) + kept.pop(), style)
        shade = upsample(shade)
        wide = smooth(F.pixel_shuffle(self.wide(leaky(x)), 2))
        x = self.fine(torch.cat([wide, 1 - lines, 4 * shade], 1))
        drawn = self.head(leaky(x))
        return laid_over_white(colours[:, :3, None, None] + shade + drawn[:, :3], 0.5 + drawn[:, 3:])


def laid(folds: Tensor, lines: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Folds (N, 1, F, F) stretched over what is drawn in lines (N, 1, S, S), at half the side: (N, 1, S/2, S/2).

    Also how far down and across a place is in the drawing's bounding box, in [-1, 1] and the same shape. Bilinear, as
    the product of two matrices of hat functions.
    """
    side, count = lines.shape[-1], folds.shape[-1]
    ends = [places(lines.amin(axis)[:, 0], side, count) for axis in (3, 2)]
    steps = torch.arange(count, device=lines.device, dtype=lines.dtype)
    rows, columns = ((1 - (end[..., None] - steps).abs()).clamp(min=0) for end in ends)
    shade = rows @ folds[:, 0] @ columns.transpose(1, 2)
    down, across = (2 * end / (count - 1) - 1 for end in ends)
    size = (-1, -1, side // 2, side // 2)
    return shade[:, None], down[:, None, :, None].expand(*size), across[:, None, None, :].expand(*size)


def places(darkest: Tensor, side: int, count: int) -> Tensor:
    """Where each second pixel lies between the first and the last dark one of (N, S): (N, S/2) in [0, count - 1]."""
    at = torch.arange(side, device=darkest.device, dtype=darkest.dtype)
    inked = darkest < DRAWN
    first = torch.where(inked, at, side).amin(1, keepdim=True)
    last = torch.where(inked, at, -1).amax(1, keepdim=True)
    return (count * (at[::2] + 1 - first) / (last + 1 - first).clamp(min=1) - 0.5).clamp(0, count - 1)


def through(blocks: nn.Module, x: Tensor, style: Tensor) -> Tensor:
    """Through one block or several."""
    for block in blocks if isinstance(blocks, nn.ModuleList) else [blocks]:
        x = block(x, style)
    return x
