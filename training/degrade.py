"""What happens to a photo between the lens and the upload: the degradations that the enhancer learns to undo.

One number, the level in [0, 1], scales all of it: 0 is a plain bicubic reduction, 1 a blurred, noisy, heavily
compressed one. The order (blur, reduce, noise, JPEG) is that of Zhang et al. 2021, first order only.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from training.pictures import Pixels


@dataclass(frozen=True, kw_only=True)
class Degradation:
    """The worst case of each step; level and chance scale it down."""

    blur_sigma: float = 1.2  # px of the large picture
    noise_sigma: float = 10.0  # of 255, on each channel
    jpeg_best: int = 95
    jpeg_worst: int = 60
    clean_share: float = 0.25  # of the patches get level 0


def reduce_clean(rgb: Pixels, scale: int) -> Pixels:
    """(H, W, 3) uint8 -> (H / scale, W / scale, 3): antialiased bicubic, the standard protocol's reduction."""
    tensor = torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)[None].float()
    small = F.interpolate(tensor, scale_factor=1 / scale, mode="bicubic", antialias=True, align_corners=False)
    return small.round().clamp(0, 255).byte()[0].permute(1, 2, 0).numpy()


def degrade(rgb: Pixels, scale: int, level: float, settings: Degradation, random: torch.Generator) -> Pixels:
    """(H, W, 3) uint8 -> (H / scale, W / scale, 3) uint8, degraded to `level` in [0, 1]; level 0 is `reduce_clean`."""
    if level <= 0:
        return reduce_clean(rgb, scale)
    blur, noise, quality = (0.6 + 0.4 * torch.rand(3, generator=random)).tolist()
    sigma = settings.blur_sigma * level * blur
    rgb = cv2.GaussianBlur(rgb, (0, 0), sigma).astype(np.uint8) if sigma > 0.15 else rgb
    small = reduce_clean(rgb, scale).astype(np.float32)
    amount = settings.noise_sigma * level * noise
    shape = (*small.shape[:2], 1)
    grain = (
        0.7 * torch.randn(small.shape, generator=random).numpy() + 0.7 * torch.randn(shape, generator=random).numpy()
    )
    noisy = np.clip(small + amount * grain, 0, 255).round().astype(np.uint8)
    jpeg = round(settings.jpeg_best - (settings.jpeg_best - settings.jpeg_worst) * level * quality)
    _, data = cv2.imencode(".jpg", noisy[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, jpeg])
    return np.ascontiguousarray(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)[..., ::-1])


def degraded_pairs(
    clean: Pixels, scale: int, settings: Degradation, random: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """(N, S, S, 3) uint8 patches -> low resolution (N, 3, S / scale, S / scale) and target in [0, 1], levels (N,)."""
    levels = torch.rand(len(clean), generator=random)
    levels[torch.rand(len(clean), generator=random) < settings.clean_share] = 0.0
    small = [
        degrade(patch, scale, level, settings, random) for patch, level in zip(clean, levels.tolist(), strict=True)
    ]
    lr = torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2).float() / 255
    hr = torch.from_numpy(clean).permute(0, 3, 1, 2).float() / 255
    return lr, hr, levels
