"""What is left of hidden marks after what happens to published pictures, measured on the published pair of networks."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import cv2
import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from training.figures import Report
from training.pictures import Pixels, sheet
from training.watermarking import marked, small

WRONG: Final = 2
"""Bits that may be read wrongly, as the service has it."""
PICTURES: Final = 100
SHOWN: Final = 6
Harm = Callable[[Pixels, np.random.Generator], Pixels]


def evaluate_watermark(
    hider: onnxruntime.InferenceSession, reader: onnxruntime.InferenceSession, side: int, pictures: list[Pixels]
) -> Report:
    """Marks of random bits in (H, W, 3) uint8 pictures: how much they change, and how often they are read again."""
    report, rows = Report(), list[Pixels]()
    bits = np.random.default_rng(0).integers(0, 2, (len(pictures), hider.get_inputs()[1].shape[1])).astype(np.float32)
    after = [hide(hider, side, picture, own) for picture, own in zip(pictures, bits, strict=True)]
    data = f"{len(pictures)} held-out pictures, half photos, half products on white"
    noise = [float(((a.astype(float) - b) ** 2).mean()) for a, b in zip(after, pictures, strict=True)]
    levels = [10 * math.log10(255**2 / one) for one in noise]
    report.add("PSNR, mean", float(np.mean(levels)), "dB", data)
    report.add("PSNR, worst", min(levels), "dB", data)
    for name, harm in HARMS.items():
        random = np.random.default_rng(1)
        read = [logits_of(reader, side, harm(picture, random)) > 0 for picture in after]
        wrong = np.array([int((got != (own > 0.5)).sum()) for got, own in zip(read, bits, strict=True)])
        report.add(f"marks recognised, {name}", int((wrong <= WRONG).sum()), f"of {len(wrong)}", data)
        report.add(f"bits right, {name}", float(1 - wrong.mean() / bits.shape[1]), "of 1", data)
    false = sum(
        int(((logits_of(reader, side, picture) > 0) != (own > 0.5)).sum()) <= WRONG
        for picture, own in zip(pictures, bits, strict=True)
    )
    report.add("marks recognised where there is none", false, f"of {len(pictures)}", data)
    for at in np.linspace(0, len(pictures) - 1, SHOWN).astype(int):
        change = np.clip(128 + 10 * (after[at].astype(int) - pictures[at]), 0, 255).astype(np.uint8)
        rows += [square(one) for one in (pictures[at], after[at], change)]
    report.picture = sheet(rows, columns=6)
    return report


def hide(hider: onnxruntime.InferenceSession, side: int, picture: Pixels, bits: NDArray[np.float32]) -> Pixels:
    """A picture with bits hidden in it, both as the service does it."""
    tensor = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
    image = (small(tensor, side)[0] * 255).round().byte().permute(1, 2, 0).numpy()
    change = torch.from_numpy(hider.run(None, {"image": image[None], "bits": bits[None]})[0]).permute(0, 3, 1, 2)
    return np.asarray((marked(tensor, change)[0] * 255).round().byte().permute(1, 2, 0).numpy(), np.uint8)


def logits_of(reader: onnxruntime.InferenceSession, side: int, picture: Pixels) -> NDArray[Any]:
    """What the reader sees in a picture."""
    tensor = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].float()
    resized = F.interpolate(tensor, size=(side, side), mode="bilinear", align_corners=False, antialias=True)
    image = resized.round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
    found: NDArray[Any] = reader.run(None, {"image": image})[0][0]
    return found


def jpeg(picture: Pixels, random: np.random.Generator) -> Pixels:
    """Through JPEG of quality 75."""
    data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 75])[1]
    return np.ascontiguousarray(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)[..., ::-1])


def half(picture: Pixels, random: np.random.Generator) -> Pixels:
    """Half as wide and high."""
    height, width = picture.shape[:2]
    return np.asarray(cv2.resize(picture, (width // 2, height // 2), interpolation=cv2.INTER_AREA), np.uint8)


def crop(picture: Pixels, random: np.random.Generator) -> Pixels:
    """A tenth of the width and of the height away, more or less of it from either side."""
    height, width = picture.shape[:2]
    top, left = int(random.integers(0, height // 10 + 1)), int(random.integers(0, width // 10 + 1))
    return picture[top : top + height - height // 10, left : left + width - width // 10]


HARMS: Final[dict[str, Harm]] = {
    "untouched": lambda picture, _: picture,
    "JPEG 75": jpeg,
    "half the size": half,
    "a tenth cropped": crop,
    "all three": lambda picture, random: jpeg(half(crop(picture, random), random), random),
}


def square(picture: Pixels, side: int = 192) -> Pixels:
    """The middle of a picture, at one size for the sheet."""
    height, width = picture.shape[:2]
    least = min(height, width)
    top, left = (height - least) // 2, (width - least) // 2
    middle = picture[top : top + least, left : left + least]
    return np.asarray(cv2.resize(middle, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
