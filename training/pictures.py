"""Reading and writing pictures in the offline half, and the contact sheets that one looks at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
TRANSPARENT = (".png", ".webp")
"""Suffixes of files that may have alpha."""
MAGENTA = (255.0, 0.0, 255.0)  # what no product is


def read_rgb(path: Path) -> Pixels | None:
    """The upright (H, W, 3) uint8 picture in a file, over white, or None when it cannot be decoded."""
    rgba = find_rgba(path)
    if rgba is not None:
        return on_white(rgba)
    data = np.frombuffer(path.read_bytes(), np.uint8) if path.is_file() else np.empty(0, np.uint8)
    bgr = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    return None if bgr is None else np.ascontiguousarray(bgr[..., ::-1]).astype(np.uint8)


def read_rgba(path: Path) -> Pixels:
    """The (H, W, 4) uint8 straight RGBA picture in a file with an alpha channel.

    Raises:
        ValueError: the file is missing, damaged, has no alpha, or more than 8 bits a channel.
    """
    rgba = find_rgba(path)
    if rgba is None:
        raise ValueError(f"{path} is no picture with alpha of 8 bits")
    return rgba


def find_rgba(path: Path) -> Pixels | None:
    """As `read_rgba`, but None where that raises."""
    if path.suffix.lower() not in TRANSPARENT or not path.is_file():
        return None
    data = np.frombuffer(path.read_bytes(), np.uint8)
    bgra = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    if bgra is None or bgra.dtype != np.uint8 or bgra.shape[2:] != (4,):
        return None
    return np.ascontiguousarray(np.asarray(bgra, np.uint8)[..., [2, 1, 0, 3]])


def write_picture(path: Path, pixels: Pixels, quality: int = 90) -> None:
    """Write (H, W, 3) RGB or (H, W, 4) RGBA uint8; the suffix chooses the format.

    Raises:
        OSError: the picture could not be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    order = [2, 1, 0, 3] if pixels.shape[2] == 4 else [2, 1, 0]
    options = [cv2.IMWRITE_WEBP_QUALITY, quality] if path.suffix == ".webp" else []
    if not cv2.imwrite(str(path), pixels[..., order], options):
        raise OSError(f"cannot write {path}")


def png(pixels: Pixels) -> bytes:
    """(H, W, 3) RGB or (H, W, 4) RGBA uint8 as a PNG file."""
    return cv2.imencode(".png", pixels[..., [2, 1, 0, 3][: pixels.shape[2]]])[1].tobytes()


def on_white(rgba: Pixels) -> Pixels:
    """(..., 4) straight RGBA uint8 -> (..., 3) uint8 over white."""
    return over(rgba[..., :3], rgba[..., 3].astype(np.float32) / np.float32(255), (255, 255, 255))


def over(rgb: Pixels, alpha: NDArray[np.float32], ground: tuple[float, float, float]) -> Pixels:
    """(..., 3) uint8 with alpha (...) in [0, 1] over one colour."""
    cover = alpha[..., None]
    return (rgb * cover + np.array(ground, np.float32) * (1 - cover)).round().astype(np.uint8)


def sheet(pictures: Sequence[Pixels], columns: int, gap: int = 2) -> Pixels:
    """Equal (H, W, 3) pictures -> one contact sheet, row by row, on light grey."""
    height, width = pictures[0].shape[:2]
    rows = -(-len(pictures) // columns)
    canvas = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, 3), 230, np.uint8)
    for index, picture in enumerate(pictures):
        top, left = (index // columns) * (height + gap) + gap, (index % columns) * (width + gap) + gap
        canvas[top : top + height, left : left + width] = picture
    return canvas
