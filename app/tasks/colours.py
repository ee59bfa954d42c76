"""Colours as the eye measures them."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.images import Floats, Pixels

LUMA: Final = np.array([0.2126, 0.7152, 0.0722], np.float32)
"""What red, green and blue contribute to lightness (ITU-R BT.709)."""
MATRIX: Final = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750],
                          [0.0193339, 0.1191920, 0.9503041]])  # fmt: skip
WHITE: Final = MATRIX.sum(1)


def lab(rgb: Pixels | Floats) -> Floats:
    """(..., 3) sRGB, 0 to 255 -> CIE 1976 L*a*b*, D65 (IEC 61966-2-1, ISO/CIE 11664-4)."""
    values = np.asarray(rgb, np.float32) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    ratio = linear @ (MATRIX / WHITE[:, None]).T
    x, y, z = np.moveaxis(np.where(ratio > 216 / 24389, np.cbrt(ratio), (24389 / 27 * ratio + 16) / 116), -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1).astype(np.float32)


def srgb(colours: Floats) -> Floats:
    """The reverse of `lab`, not rounded; what no screen shows is clipped, channel by channel."""
    y = (colours[..., 0] + 16) / 116
    f = np.stack([y + colours[..., 1] / 500, y, y - colours[..., 2] / 200], -1)
    ratio = np.where(f > 6 / 29, f**3, (116 * f - 16) * 27 / 24389)
    linear = np.clip((ratio * WHITE) @ np.linalg.inv(MATRIX).T, 0, 1)
    values = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(255 * values, np.float32)


def rgb_of(background: str) -> tuple[int, int, int]:
    """`white` or `#rrggbb` as bytes."""
    digits = "ffffff" if background == "white" else background[1:]
    return int(digits[0:2], 16), int(digits[2:4], 16), int(digits[4:6], 16)


def planes(image: Pixels) -> Floats:
    """(H, W, C) uint8 -> (C, H, W) float32 in [0, 1]."""
    return np.multiply(image.transpose(2, 0, 1), np.float32(1 / 255), dtype=np.float32, order="C")


def pixels(output: NDArray[Any]) -> Pixels:
    """(C, H, W) float in [0, 1] -> (H, W, C) uint8, clipped and rounded."""
    return np.asarray(np.rint(np.clip(output.transpose(1, 2, 0), 0, 1) * 255), np.uint8)
