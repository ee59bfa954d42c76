"""The reference network of the field's textbook example, for 28x28 grey pictures.

DCGAN (Radford, Metz, Chintala 2015) as most tutorials teach it: dense -> reshape -> transposed convolutions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class DcganConfig:
    """Latent size and the base width."""

    z_size: int = 100
    width: int = 32


class DcganGenerator(nn.Module):
    """z (N, z_size) -> (N, 1, 28, 28) in [-1, 1] (tanh)."""

    def __init__(self, config: DcganConfig) -> None:
        super().__init__()
        width = config.width
        self.dense = nn.Linear(config.z_size, 4 * width * 49, bias=False)
        self.layers = nn.Sequential(
            nn.BatchNorm2d(4 * width),
            nn.LeakyReLU(0.2),
            nn.ConvTranspose2d(4 * width, 2 * width, 4, 2, 1, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.LeakyReLU(0.2),
            nn.ConvTranspose2d(2 * width, width, 4, 2, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 1, 3, padding=1),
            nn.Tanh(),
        )

    def forward(self, z: Tensor) -> Tensor:
        return cast(Tensor, self.layers(self.dense(z).unflatten(1, (-1, 7, 7))))


class DcganDiscriminator(nn.Module):
    """Pictures (N, 1, 28, 28) in [-1, 1] -> (N,) logits."""

    def __init__(self, config: DcganConfig) -> None:
        super().__init__()
        width = config.width
        self.layers = nn.Sequential(
            nn.Conv2d(1, width, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Dropout(0.2),
            nn.Conv2d(width, 2 * width, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Dropout(0.2),
            nn.Flatten(),
            nn.Linear(2 * width * 49, 1),
        )

    def forward(self, picture: Tensor) -> Tensor:
        return cast(Tensor, self.layers(picture)[:, 0])
