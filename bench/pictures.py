"""Pictures to send, made here so that every machine sends the same ones."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
from PIL import Image


@cache
def photo(width: int = 512, height: int = 512, image_format: str = "JPEG", mode: str = "RGB") -> bytes:
    """A picture with the detail and the noise of a phone photo of a garment, encoded at quality 85."""
    random = np.random.default_rng(5)
    y, x = np.mgrid[0:height, 0:width] / max(width, height)
    folds = 110 + 50 * np.sin(9 * x + 4 * np.sin(5 * y)) + 30 * np.sin(120 * (x + y / 3))
    cloth = np.hypot(x - 0.5, y - 0.5) < 0.4
    colours = np.where(cloth[..., None], folds[..., None] * (1.0, 0.7, 0.6), 215.0)
    noisy = colours + random.normal(0, 5, (height, width, 1)) + random.normal(0, 3, (height, width, 3))
    image = Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))
    if mode == "RGBA":
        image.putalpha(Image.fromarray((255 * cloth).astype(np.uint8)))
    file = io.BytesIO()
    image.convert(mode).save(file, image_format, quality=85)
    return file.getvalue()


@cache
def clean(width: int, height: int) -> bytes:
    """The same without noise or marks of a format, as PNG: one of four times the size, reduced."""
    with Image.open(io.BytesIO(photo(4 * width, 4 * height, "PNG"))) as image:
        small = image.resize((width, height), Image.Resampling.BOX)
    file = io.BytesIO()
    small.save(file, "PNG")
    return file.getvalue()
