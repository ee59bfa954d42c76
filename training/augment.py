"""Differentiable augmentation of what a discriminator sees (Zhao et al. 2020), for products over white."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def augment(picture: Tensor, random: torch.Generator, warped: float = 0.0) -> Tensor:
    """(N, 4, S, S) or (N, 1, S, S) in [0, 1] -> the same, mirrored, shifted and recoloured at random.

    Differentiable in `picture`; `random` may be of its device, or of the CPU. The ground (white, transparent) fills
    what a shift uncovers. The colours inside alpha change in brightness, saturation and contrast; the ground stays
    white. A share `warped` of pictures of four channels is also turned and stretched: not all of them, so that a
    generator need not show that (Karras et al. 2020, ADA).
    """
    picture = mirror(picture, random)
    if picture.shape[1] == 4:
        picture = recolour(picture, random)
    if warped > 0:
        chosen = torch.rand(len(picture), generator=random, device=random.device).to(picture.device) < warped
        picture = torch.where(chosen[:, None, None, None], warp(picture, random), picture)
    return shift(picture, random)


def mirror(picture: Tensor, random: torch.Generator) -> Tensor:
    """About half of the pictures (N, C, S, S) mirrored."""
    mirrored = torch.rand(len(picture), generator=random, device=random.device).to(picture.device) < 0.5
    return torch.where(mirrored[:, None, None, None], picture.flip(-1), picture)


def recolour(picture: Tensor, random: torch.Generator) -> Tensor:
    """Brightness +-0.15, saturation x0.6 to 1.4, contrast x0.75 to 1.25, inside alpha."""
    chances = torch.rand(3, len(picture), 1, 1, 1, generator=random, device=random.device)
    brightness, saturation, contrast = chances.to(picture) - 0.5
    colour, alpha = picture[:, :3], picture[:, 3:]
    inside = alpha.clamp(0, 1)
    grey = colour.mean(1, keepdim=True)
    changed = grey + (colour - grey) * (1 + 0.8 * saturation)
    middle = (changed * inside).sum((1, 2, 3), keepdim=True) / (3 * inside.sum((1, 2, 3), keepdim=True) + 1)
    changed = middle + (changed - middle) * (1 + 0.5 * contrast) + 0.3 * brightness
    return torch.cat([colour + inside * (changed - colour), alpha], 1)


def ground_of(picture: Tensor) -> Tensor:
    """What is around pictures (N, C, H, W): (1, C, 1, 1), white and transparent, or black for a single channel."""
    ground = picture.new_ones(1, picture.shape[1], 1, 1)
    ground[:, -1] = 0.0  # no list of numbers, which would have to come from the CPU
    return ground


def shift(picture: Tensor, random: torch.Generator) -> Tensor:
    """Whole-pixel shifts of up to an eighth of the side, one per picture."""
    count, channels, side, _ = picture.shape
    most = max(1, side // 8)
    ground = ground_of(picture)
    padded = F.pad(picture - ground, [most] * 4) + ground
    corners = torch.randint(0, 2 * most + 1, (2, count, 1, 1, 1), generator=random, device=random.device)
    top, left = corners.to(picture.device)
    along = torch.arange(side, device=picture.device)
    rows = (top + along[:, None]).expand(count, channels, side, padded.shape[3])
    columns = (left + along).expand(count, channels, side, side)
    return padded.gather(2, rows).gather(3, columns)


def warp(picture: Tensor, random: torch.Generator) -> Tensor:
    """(N, 4, S, S) -> the same turned by up to 12 degrees and scaled by 0.8 to 1.25, each side on its own."""
    count = len(picture)
    turn, across, along = 2 * torch.rand(3, count, generator=random, device=random.device) - 1
    angle, wide, high = 0.21 * turn, torch.exp(0.22 * across), torch.exp(0.22 * along)
    still = torch.zeros_like(angle)
    rows = [wide * angle.cos(), -wide * angle.sin(), still, high * angle.sin(), high * angle.cos(), still]
    matrix = torch.stack(rows, 1).reshape(count, 2, 3).to(picture)
    grid = F.affine_grid(matrix, list(picture.shape), align_corners=False)
    ground = ground_of(picture)
    return F.grid_sample(picture - ground, grid, align_corners=False) + ground
