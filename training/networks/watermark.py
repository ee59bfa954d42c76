"""A mark that is not seen: one network hides bits in a picture, the other reads them, trained together.

As in HiDDeN (Zhu et al. 2018) and StegaStamp (Tancik et al. 2020), with two differences: what is added is a change of
limited power by construction, so that no weight has to be found between being read and not being seen; and it is made
at one small size and added at any, so that the mark is as large as the picture and resizing leaves it alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.networks.blocks import ResidualBlock, conv, leaky, lightness, smooth, upsample


@dataclass(frozen=True, kw_only=True)
class WatermarkConfig:
    """Channels of the hiding network at 1/2, 1/4 and 1/8 of `size`, of the reading one down to 1/16; powers of 255."""

    bits: int = 32
    size: int = 128
    hiding: tuple[int, ...] = (24, 48, 64)
    reading: tuple[int, ...] = (32, 64, 96, 128)
    message: int = 16
    rms: float = 2.1
    """Root of the mean squared change of the whole picture: 41.7 dB."""
    local_rms: float = 3.2
    """The same of where there is room, in a picture that is mostly white: 38 dB."""


def room_of(rgb: Tensor) -> Tensor:
    """rgb (N, 3, H, W) in [0, 1] -> (N, 1, H, W): 0 where a picture is quite white, which must stay so, else 1."""
    return (rgb.amin(1, keepdim=True) < 254.5 / 255).float()


def blur(x: Tensor, radius: int) -> Tensor:
    """The mean of each square of (2 radius + 1) px, edges repeated."""
    return F.avg_pool2d(F.pad(x, (radius,) * 4, mode="replicate"), 2 * radius + 1, 1)


def busyness(rgb: Tensor) -> Tensor:
    """rgb (N, 3, H, W) in [0, 1] -> (N, 1, H, W) in [0.4, 1.6]: how much of a change goes unseen there.

    Texture hides changes, smooth ground shows them (contrast masking; Legge & Foley 1980).
    """
    luma = lightness(rgb)
    spread = (blur(luma.square(), 2) - blur(luma, 2).square()).clamp(min=0).add(1e-6).sqrt()
    return (0.4 + 16 * blur(spread, 2)).clamp(max=1.6)


class Hider(nn.Module):
    """rgb (N, 3, S, S) in [0, 1] and bits (N, B) of 0 and 1 -> the change (N, 3, S, S), in steps of 255.

    The bits enter as a plane each way: the same everywhere, and different in every part of the picture.
    """

    def __init__(self, config: WatermarkConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.hiding
        self.down = nn.ModuleList(conv(a, b, stride=2, gain=0.3) for a, b in pairwise((4, *widths)))
        self.everywhere = nn.Linear(config.bits, widths[-1])
        self.somewhere = nn.Linear(config.bits, config.message * 64)
        self.join = conv(config.message, widths[-1], kernel=1)
        self.deep = nn.ModuleList(ResidualBlock(widths[-1]) for _ in range(2))
        self.again = nn.ModuleList(nn.Linear(config.bits, width) for width in widths[:-1])
        self.reduce = nn.ModuleList(conv(b, a, kernel=1) for a, b in pairwise(widths))
        self.up = nn.ModuleList(ResidualBlock(width) for width in widths[:-1])
        self.head = conv(widths[0], 12)
        # The bits must be louder than the picture at first: otherwise there is nothing for the reader to find.
        with torch.no_grad():
            for plane in (self.everywhere, self.somewhere, *self.again):
                plane.weight.mul_(3)

    def forward(self, rgb: Tensor, bits: Tensor, strength: float = 1.0) -> Tensor:
        """As the class says; `strength` multiplies both powers."""
        config, room = self.config, room_of(rgb)
        message = 2 * bits - 1
        x = torch.cat([rgb - 0.5, room], 1)
        kept: list[Tensor] = []
        for index, down in enumerate(self.down):
            x = down(x if index == 0 else leaky(x))
            kept.append(x)
        x = kept.pop()
        part = self.somewhere(message).reshape(-1, config.message, 8, 8)
        part = F.interpolate(part, size=x.shape[2:], mode="bilinear", align_corners=False)
        x = x + self.everywhere(message)[:, :, None, None] + self.join(part)
        for block in self.deep:
            x = block(x)
        for index in range(len(self.up) - 1, -1, -1):
            x = upsample(self.reduce[index](leaky(x))) + kept.pop() + self.again[index](message)[:, :, None, None]
            x = self.up[index](x)
        change = smooth(F.pixel_shuffle(self.head(leaky(x)), 2).float())
        change = change * busyness(rgb) * room
        power = change.square().mean((1, 2, 3), keepdim=True).add(1e-6)
        # The share of a picture that has room decides which of the two limits holds.
        share = room.mean((1, 2, 3), keepdim=True)
        most = torch.minimum(torch.full_like(share, config.rms**2), share * config.local_rms**2)
        return change * (strength * (most / power).sqrt()).clamp(max=24.0)


class Reader(nn.Module):
    """rgb (N, 3, S, S) in [0, 1] -> logits (N, B): positive for a bit of 1."""

    def __init__(self, config: WatermarkConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.reading
        self.down = nn.ModuleList(conv(a, b, stride=2) for a, b in pairwise((6, *widths)))
        self.blocks = nn.ModuleList(ResidualBlock(width) for width in widths)
        side = config.size >> len(widths)
        self.narrow = conv(widths[-1], 64, kernel=1)
        self.score = nn.Linear(64 * side * side + widths[-1], config.bits)

    def forward(self, rgb: Tensor) -> Tensor:
        # What is looked for is a hundredth of the picture: without its coarse part it can be seen.
        x = torch.cat([rgb - 0.5, 12 * (rgb - blur(rgb, 3))], 1)
        for index, (down, block) in enumerate(zip(self.down, self.blocks, strict=True)):
            x = block(down(x if index == 0 else leaky(x)))
        x = leaky(x)
        both = torch.cat([leaky(self.narrow(x)).flatten(1), x.mean((2, 3))], 1)
        return cast(Tensor, self.score(both))


class WatermarkNet(nn.Module):
    """Both, since neither can learn without the other."""

    def __init__(self, config: WatermarkConfig) -> None:
        super().__init__()
        self.config = config
        self.hider, self.reader = Hider(config), Reader(config)
