"""Random patches of photos: their places are drawn on the processor, and they are cut where the photos are."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from training.pictures import Pixels

TRIES = 3


class Photos:
    """Clean photos in memory, of which restoration networks see random patches; each kind of them as often."""

    def __init__(self, kinds: list[list[Pixels]]) -> None:
        photos = [photo for kind in kinds for photo in kind]
        self.pixels = torch.from_numpy(np.concatenate([photo.reshape(-1, 3) for photo in photos]))
        self._height, self._width = torch.tensor([photo.shape[:2] for photo in photos]).unbind(1)
        self._start = torch.cumsum(self._height * self._width, 0) - self._height * self._width
        self._counts = torch.tensor([len(kind) for kind in kinds])

    def to(self, device: torch.device) -> Photos:
        """Patches will be cut on this device."""
        self.pixels = self.pixels.to(device)
        return self

    def places(self, count: int, side: int, random: torch.Generator) -> Tensor:
        """Draw candidates for patches, turned and mirrored at random: (count, TRIES, 3) int64 for `cut`.

        One patch of three has one candidate, three times; one has two, and one three.
        """
        draws = torch.rand((8, count, TRIES), generator=random, dtype=torch.float64)
        kind = whole(draws[0], len(self._counts))
        which = (torch.cumsum(self._counts, 0) - self._counts)[kind] + whole(draws[1], self._counts[kind])
        width = self._width[which]
        top, left = whole(draws[2], self._height[which] - side + 1), whole(draws[3], width - side + 1)
        first, down, right = self._start[which] + top * width + left, width, torch.ones_like(width)
        first, right = mirrored(first, right, side, draws[4] < 0.5)
        first, down = mirrored(first, down, side, draws[5] < 0.5)
        turned = draws[6] < 0.5
        down, right = torch.where(turned, right, down), torch.where(turned, down, right)
        found = torch.stack([first, down, right], -1)
        real = torch.arange(TRIES) <= whole(draws[7, :, :1], TRIES)
        return torch.where(real[..., None], found, found[:, :1])

    def patches(self, count: int, side: int, random: torch.Generator) -> Tensor:
        """Draw (count, side, side, 3) uint8."""
        return cut(self.pixels, self.places(count, side, random).to(self.pixels.device), side)


def whole(draws: Tensor, below: Tensor | int) -> Tensor:
    """Draws from [0, 1) as whole numbers from 0 to below `below`."""
    return (draws * below).long()


def mirrored(first: Tensor, step: Tensor, side: int, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """The same pixels from the other end, where `chosen`."""
    return torch.where(chosen, first + (side - 1) * step, first), torch.where(chosen, -step, step)


def cut(pixels: Tensor, places: Tensor, side: int) -> Tensor:
    """Pixels (P, 3) uint8 and candidates (N, TRIES, 3) -> (N, side, side, 3), of each patch's the one with most detail.

    A candidate is its first pixel, and the steps to the pixel below and to the one beside it. Detail is how much
    neighbours differ, as every other pixel tells.
    """
    at = torch.arange(side, device=pixels.device)
    rough = pixels[indices(places, at[::2]), 1].float()
    busiest = rough.diff(dim=2).abs().mean((2, 3)).argmax(1)
    chosen = places.gather(1, busiest[:, None, None].expand(-1, 1, 3))[:, 0]
    return pixels[indices(chosen, at)]


def indices(places: Tensor, at: Tensor) -> Tensor:
    """Places (..., 3) and the rows and columns that count (S,) -> pixels' indices (..., S, S)."""
    first, down, right = (one[..., None, None] for one in places.unbind(-1))
    return first + down * at[:, None] + right * at
