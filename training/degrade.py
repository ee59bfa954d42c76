"""What happens to a photo between the lens and the upload: the degradations that the enhancer learns to undo.

One number, the level in [0, 1], scales all of it: 0 is a plain bicubic reduction, 1 a blurred, noisy photo that has
been compressed twice. Second order, as Wang et al. 2021 (Real-ESRGAN) have it, in moderate ranges: lens blur, an
application that makes it smaller and compresses it, then another one that does both again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from training.pictures import Pixels

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Degradation:
    """The worst case of each step; level and chance scale it down."""

    blur_sigma: float = 0.8  # px of the small picture, of an elliptic Gaussian
    noise_sigma: float = 10.0  # of 255, on each channel
    jpeg_best: int = 95
    jpeg_worst: int = 55
    twice_share: float = 0.5  # of the degraded patches go through a second application
    clean_share: float = 0.4  # of the patches get level 0


def reduce_clean(rgb: Pixels, scale: int) -> Pixels:
    """(H, W, 3) uint8 -> (H / scale, W / scale, 3): antialiased bicubic, the standard protocol's reduction."""
    return reduced_patches(torch.from_numpy(np.ascontiguousarray(rgb))[None], scale)[0].numpy()


def reduced(rgb: Floats, height: int, width: int) -> Floats:
    """(H, W, 3) in [0, 255] -> (height, width, 3), antialiased bicubic."""
    tensor = torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)[None]
    small = F.interpolate(tensor, (height, width), mode="bicubic", antialias=True, align_corners=False)
    return np.asarray(small.clamp(0, 255)[0].permute(1, 2, 0).numpy(), np.float32)


def blurred(rgb: Floats, sigma: float, random: torch.Generator) -> Floats:
    """Through a Gaussian whose longer half-axis is `sigma` px, the other one half of that at least, at any angle."""
    if sigma < 0.15:
        return rgb
    ratio, angle = torch.rand(2, generator=random).tolist()
    reach = math.ceil(3 * sigma)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float32)
    turn = math.pi * angle
    along, across = x * math.cos(turn) + y * math.sin(turn), y * math.cos(turn) - x * math.sin(turn)
    weights = np.exp(-0.5 * ((along / sigma) ** 2 + (across / (sigma * (0.5 + 0.5 * ratio))) ** 2))
    return np.asarray(cv2.filter2D(rgb, -1, weights / weights.sum(), borderType=cv2.BORDER_REFLECT), np.float32)


def grained(rgb: Floats, sigma: float, random: torch.Generator) -> Floats:
    """With noise of `sigma` steps of 255 at full light, half of it common to the channels; dark parts have less."""
    height, width = rgb.shape[:2]
    own = torch.randn((height, width, 3), generator=random).numpy()
    common = torch.randn((height, width, 1), generator=random).numpy()
    shot = np.sqrt(0.25 + 0.75 * rgb / 255)
    return np.asarray(np.clip(rgb + sigma * shot * math.sqrt(0.5) * (own + common), 0, 255), np.float32)


def compressed(rgb: Floats, quality: int) -> Pixels:
    """Through JPEG, as uint8."""
    _, data = cv2.imencode(".jpg", rgb.round().astype(np.uint8)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.ascontiguousarray(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)[..., ::-1])


def degrade(rgb: Pixels, scale: int, level: float, settings: Degradation, random: torch.Generator) -> Pixels:
    """(H, W, 3) uint8 -> (H / scale, W / scale, 3) uint8, degraded to `level` in [0, 1]; level 0 is `reduce_clean`."""
    if level <= 0:
        return reduce_clean(rgb, scale)
    blur, noise, first, second = (level * (0.6 + 0.4 * torch.rand(4, generator=random))).tolist()
    twice, between = torch.rand(2, generator=random).tolist()
    height, width = rgb.shape[0] // scale, rgb.shape[1] // scale
    photo = blurred(rgb.astype(np.float32), settings.blur_sigma * blur * scale, random)
    worst = settings.jpeg_best - settings.jpeg_worst
    if twice < settings.twice_share:
        # The first application stops somewhere between the two sizes.
        sides = (round(n * scale**between) for n in (height, width))
        photo = grained(reduced(photo, *sides), settings.noise_sigma * noise, random)
        photo = reduced(compressed(photo, round(settings.jpeg_best - worst * first)).astype(np.float32), height, width)
        return compressed(photo, round(settings.jpeg_best - worst * second))
    photo = grained(reduced(photo, height, width), settings.noise_sigma * noise, random)
    return compressed(photo, round(settings.jpeg_best - worst * second))


def degraded(clean: Pixels, scale: int, settings: Degradation, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """(N, S, S, 3) uint8 patches -> (N, S / scale, S / scale, 3) uint8 at random levels, and those, (N,)."""
    levels = torch.rand(len(clean), generator=random)
    levels[torch.rand(len(clean), generator=random) < settings.clean_share] = 0.0
    small = [
        degrade(patch, scale, level, settings, random) for patch, level in zip(clean, levels.tolist(), strict=True)
    ]
    return torch.from_numpy(np.stack(small)), levels


def reduced_patches(clean: Tensor, scale: int) -> Tensor:
    """(N, H, W, 3) uint8 -> (N, H / scale, W / scale, 3) uint8: `reduce_clean` of each, on any device.

    As MATLAB's `imresize`, which made the standard pairs, does it: pictures are mirrored at their edges, columns are
    reduced before rows, and each time values are rounded.
    """
    planes, edge = clean.permute(0, 3, 2, 1).float(), 2 * scale
    for _ in range(2):
        planes = torch.cat([planes[..., :edge].flip(-1), planes, planes[..., -edge:].flip(-1)], -1)
        size = (planes.shape[-2], planes.shape[-1] // scale)
        planes = F.interpolate(planes, size, mode="bicubic", antialias=True, align_corners=False)[..., 2:-2]
        planes = (planes.clamp(0, 255) + 0.5).floor().transpose(-1, -2)
    return planes.byte().permute(0, 3, 2, 1)
