"""A discriminator that judges patches, at two scales."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from training.networks.blocks import conv, downsample, leaky


@dataclass(frozen=True, kw_only=True)
class PatchConfig:
    """Channels of the convolutions, each but the last of which halves the picture."""

    channels: tuple[int, ...] = (24, 48, 96)


class PatchDiscriminator(nn.Module):
    """(N, C, S, S) -> logits (N, 1, h, w) of two scales, and the features of every layer.

    The PatchGAN of pix2pix (Isola et al. 2017) at two scales with its features for matching, as in pix2pixHD (Wang et
    al. 2018), without normalisation.
    """

    def __init__(self, config: PatchConfig, inputs: int) -> None:
        super().__init__()
        self.scales = nn.ModuleList(Scale(config, inputs) for _ in range(2))

    def forward(self, picture: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        logits, features = [], []
        for scale in self.scales:
            found, layers = scale(picture)
            logits.append(found)
            features += layers
            picture = downsample(picture)
        return logits, features


class Scale(nn.Module):
    """(N, C, S, S) -> logits (N, 1, h, w), and the features of every layer."""

    def __init__(self, config: PatchConfig, inputs: int) -> None:
        super().__init__()
        before = (inputs, *config.channels[:-1])
        self.layers = nn.ModuleList(conv(a, b, stride=2) for a, b in zip(before, config.channels, strict=True))
        self.end = conv(config.channels[-1], 1, gain=0.5)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        features = []
        for layer in self.layers:
            x = leaky(layer(x))
            features.append(x)
        return self.end(x), features
