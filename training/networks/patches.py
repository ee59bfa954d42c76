"""A discriminator that judges patches, at several scales."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from training.networks.blocks import conv, downsample, leaky


@dataclass(frozen=True, kw_only=True)
class PatchConfig:
    """Channels of the convolutions, each but the last of which halves the picture.

    The first may read squares of 2x2 px instead of pixels (`squares`), which is the faster way to as many channels.
    """

    channels: tuple[int, ...] = (24, 48, 96)
    scales: int = 2
    classes: int = 0
    squares: bool = False


class PatchDiscriminator(nn.Module):
    """(N, C, S, S), and labels (N,) if it has classes -> logits (N, 1, h, w) of every scale, and all layers' features.

    The PatchGAN of pix2pix (Isola et al. 2017) at several scales with its features for matching, as in pix2pixHD (Wang
    et al. 2018), without normalisation. A label, the last of which is for unknown, enters by projection (Miyato &
    Koyama 2018), patch by patch.
    """

    def __init__(self, config: PatchConfig, inputs: int) -> None:
        super().__init__()
        self.scales = nn.ModuleList(Scale(config, inputs) for _ in range(config.scales))

    def forward(self, picture: Tensor, label: Tensor | None = None) -> tuple[list[Tensor], list[Tensor]]:
        logits, features = [], []
        for scale in self.scales:
            found, layers = scale(picture, label)
            logits.append(found)
            features += layers
            picture = downsample(picture)
        return logits, features


class Scale(nn.Module):
    """(N, C, S, S), and labels (N,) if there are classes -> logits (N, 1, h, w), and the features of every layer."""

    def __init__(self, config: PatchConfig, inputs: int) -> None:
        super().__init__()
        self.squares = config.squares
        before = (4 * inputs if config.squares else inputs, *config.channels[:-1])
        strides = [1 if config.squares and not index else 2 for index in range(len(before))]
        self.layers = nn.ModuleList(
            conv(a, b, stride=stride) for a, b, stride in zip(before, config.channels, strides, strict=True)
        )
        self.end = conv(config.channels[-1], 1, gain=0.5)
        self.embed = nn.Embedding(config.classes + 1, config.channels[-1]) if config.classes else None

    def forward(self, x: Tensor, label: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        features = []
        x = F.pixel_unshuffle(x, 2) if self.squares else x
        for layer in self.layers:
            x = leaky(layer(x))
            features.append(x)
        logits = self.end(x)
        if self.embed is not None and label is not None:
            logits = logits + (x * self.embed(label)[:, :, None, None]).mean(1, keepdim=True)
        return logits, features
