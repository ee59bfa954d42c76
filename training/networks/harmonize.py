"""Tells how a product's colours must change for it to stand in the light of what is behind it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.networks.blocks import conv, leaky

LUMA = (0.2126, 0.7152, 0.0722)


@dataclass(frozen=True, kw_only=True)
class HarmonizeConfig:
    """Side of the square, channels of the convolutions, each of which halves it, and the most that may change."""

    size: int = 64
    channels: tuple[int, ...] = (16, 32, 48, 64)
    most: float = 0.4


class HarmonizeNet(nn.Module):
    """rgb (N, 3, S, S) and the product's mask (N, 1, S, S), in [0, 1] -> (N, 5) parameters within `most` of 0.

    They are logarithms: of the gains of red, green and blue, of an exponent, of the saturation. A small regressor of
    photometric parameters, after Harmonizer (Ke et al. 2022); it cannot change a product's texture or shape.
    """

    def __init__(self, config: HarmonizeConfig) -> None:
        super().__init__()
        self.config = config
        before = (4, *config.channels[:-1])
        self.layers = nn.ModuleList(conv(a, b, stride=2) for a, b in zip(before, config.channels, strict=True))
        width = config.channels[-1]
        self.mix = conv(2 * width + 6, 64, kernel=1)
        self.end = conv(64, 5, kernel=1, gain=0.1)

    def forward(self, rgb: Tensor, mask: Tensor) -> Tensor:
        x = torch.cat([rgb - 0.5, mask], 1)
        for layer in self.layers:
            x = leaky(layer(x))
        small = nn.functional.avg_pool2d(mask, 2 ** len(self.layers))
        inside, outside = masked_mean(x, small), masked_mean(x, 1 - small)
        colours = [masked_mean(rgb, mask), masked_mean(rgb, 1 - mask)]
        features = leaky(self.mix(torch.cat([inside, outside, *colours], 1)))
        found: Tensor = self.config.most * torch.tanh(self.end(features)[:, :, 0, 0])
        return found


def masked_mean(picture: Tensor, mask: Tensor) -> Tensor:
    """Of (N, C, H, W) where the mask (N, 1, H, W) is: (N, C, 1, 1)."""
    return (picture * mask).sum((2, 3), keepdim=True) / mask.sum((2, 3), keepdim=True).clamp(min=1e-3)


def changed(rgb: Tensor, parameters: Tensor) -> Tensor:
    """(N, 3, H, W) in [0, 1] with (N, 5) parameters applied; unclamped at the end."""
    gains, exponent, saturation = (
        parameters[:, at, None, None].exp() for at in (slice(0, 3), slice(3, 4), slice(4, 5))
    )
    colours = rgb.clamp(min=1e-3) ** exponent * gains
    luma = torch.tensor(LUMA, dtype=rgb.dtype, device=rgb.device)[None, :, None, None]
    grey = (colours * luma).sum(1, keepdim=True)
    return grey + saturation * (colours - grey)
