"""Pieces that several networks share."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SLOPE = 0.2
LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in lightness as it is stored (ITU-R BT.601)."""


def from_bytes(image: Tensor) -> Tensor:
    """(N, H, W, C) uint8 -> (N, C, H, W) float32 in [0, 1]."""
    return image.permute(0, 3, 1, 2).float() / 255


def lightness(colour: Tensor) -> Tensor:
    """(N, 3, H, W) -> (N, 1, H, W), as LUMA weighs it."""
    return (colour * colour.new_tensor(LUMA)[None, :, None, None]).sum(1, keepdim=True)


def leaky(x: Tensor) -> Tensor:
    """LeakyReLU with the slope 0.2 that GANs commonly use."""
    return F.leaky_relu(x, SLOPE)


def conv(
    inputs: int, outputs: int, kernel: int = 3, gain: float = 1.0, bias: bool = True, stride: int = 1
) -> nn.Conv2d:
    """A convolution to 1 / `stride` of the size, with He initialisation (2015) scaled by `gain`, and zero bias."""
    layer = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=bias)
    nn.init.kaiming_normal_(layer.weight, a=SLOPE)
    with torch.no_grad():
        layer.weight.mul_(gain)
        if layer.bias is not None:
            layer.bias.zero_()
    return layer


def upsample(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, 2H, 2W), bilinear."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def downsample(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, H/2, W/2), mean of each 2x2 square."""
    return F.avg_pool2d(x, 2)


def smooth(x: Tensor) -> Tensor:
    """(N, C, H, W) -> the same size, filtered with [1, 2, 1] / 4 both ways, the outermost pixels repeated.

    Its zero at the highest frequency takes away the checkerboard that sub-pixel convolutions draw.
    """
    return F.avg_pool2d(F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 2, 1), 2, 1)


def laid_over_white(colour: Tensor, alpha: Tensor) -> Tensor:
    """A colour (N, 3, H, W) laid over white with its alpha (N, 1, H, W), and the alpha: (N, 4, H, W)."""
    return torch.cat([1 + alpha * (colour - 1), alpha], 1)


class ResidualBlock(nn.Module):
    """Pre-activation residual block without normalisation; the second convolution starts near zero.

    (N, C, H, W) -> (N, C, H, W). With `style_size` the features between the convolutions are scaled by 1 + A(w),
    where w is a (N, style_size, 1, 1) style.
    """

    def __init__(self, channels: int, style_size: int = 0) -> None:
        super().__init__()
        self.first = conv(channels, channels)
        self.second = conv(channels, channels, gain=0.1)
        self.scale = conv(style_size, channels, kernel=1, gain=0.1) if style_size else None

    def forward(self, x: Tensor, style: Tensor | None = None) -> Tensor:
        hidden = self.first(leaky(x))
        if self.scale is not None and style is not None:
            hidden = hidden * (1 + self.scale(style))
        return cast(Tensor, x + self.second(leaky(hidden)))
