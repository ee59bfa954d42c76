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
from torch import Tensor
from torch.nn import functional as F

from training.figures import Report
from training.pictures import Pixels, sheet
from training.watermarking import marked, small

WRONG: Final = 2
"""Bits that may be read wrongly, as the service has it."""
PLACES: Final = (
    (0.0, 0.0),
    (0.0, 1.0),
    (1.0, 0.0),
    (1.0, 1.0),
    (0.5, 0.5),
    (0.0, 0.5),
    (0.5, 0.0),
    (0.5, 1.0),
    (1.0, 0.5),
)
ALIGNMENTS: Final = ((1.0, 0.0, 0.0), *((scale, *place) for scale in (0.95, 0.9) for place in PLACES))
"""How a picture may lie in the one that was marked, as the service tries it: its size, how far down and across."""
PICTURES: Final = 100
SHOWN: Final = 6
Harm = Callable[[Pixels, np.random.Generator], Pixels]


def evaluate_watermark(
    hider: onnxruntime.InferenceSession,
    reader: onnxruntime.InferenceSession,
    side: int,
    pictures: list[Pixels],
    tiny: list[Pixels],
) -> Report:
    """Marks of random bits in (H, W, 3) uint8 pictures: how much they change, and how often they are read again.

    `tiny` are of the generator's own size, where there is little room for bits.
    """
    report, rows = Report(), list[Pixels]()
    data = f"{len(pictures)} held-out pictures, half photos, half products on white"
    after = measure(report, hider, reader, side, pictures, data)
    measure(report, hider, reader, side, tiny, f"{len(tiny)} held-out products on white, {len(tiny[0])} px")
    for at in np.linspace(0, len(pictures) - 1, SHOWN).astype(int):
        change = np.clip(128 + 10 * (after[at].astype(int) - pictures[at]), 0, 255).astype(np.uint8)
        rows += [square(one) for one in (pictures[at], after[at], change)]
    report.picture = sheet(rows, columns=6)
    return report


def measure(
    report: Report,
    hider: onnxruntime.InferenceSession,
    reader: onnxruntime.InferenceSession,
    side: int,
    pictures: list[Pixels],
    data: str,
) -> list[Pixels]:
    """Add the figures of some pictures to a report; gives them marked."""
    bits = np.random.default_rng(0).integers(0, 2, (len(pictures), hider.get_inputs()[1].shape[1])).astype(np.float32)
    after = [hide(hider, side, picture, own) for picture, own in zip(pictures, bits, strict=True)]
    noise = [float(((a.astype(float) - b) ** 2).mean()) for a, b in zip(after, pictures, strict=True)]
    levels = [10 * math.log10(255**2 / one) for one in noise]
    report.add("PSNR, mean", float(np.mean(levels)), "dB", data)
    report.add("PSNR, worst", min(levels), "dB", data)
    for name, harm in HARMS.items():
        random = np.random.default_rng(1)
        read = [logits_of(reader, side, harm(picture, random)) > 0 for picture in after]
        wrong = np.array([least_wrong(got, own) for got, own in zip(read, bits, strict=True)])
        report.add(f"marks recognised, {name}", int((wrong <= WRONG).sum()), f"of {len(wrong)}", data)
        report.add(f"bits right, {name}", float(1 - wrong.mean() / bits.shape[1]), "of 1", data)
    false = sum(
        least_wrong(logits_of(reader, side, picture) > 0, own) <= WRONG
        for picture, own in zip(pictures, bits, strict=True)
    )
    report.add("marks recognised where there is none", false, f"of {len(pictures)}", data)
    return after


def hide(hider: onnxruntime.InferenceSession, side: int, picture: Pixels, bits: NDArray[np.float32]) -> Pixels:
    """A picture with bits hidden in it, both as the service does it."""
    tensor = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
    image = (small(tensor, side)[0] * 255).round().byte().permute(1, 2, 0).numpy()
    change = torch.from_numpy(hider.run(None, {"image": image[None], "bits": bits[None]})[0]).permute(0, 3, 1, 2)
    return np.asarray((marked(tensor, change)[0] * 255).round().byte().permute(1, 2, 0).numpy(), np.uint8)


def logits_of(reader: onnxruntime.InferenceSession, side: int, picture: Pixels) -> NDArray[Any]:
    """What the reader sees in a picture, (ALIGNMENTS, B)."""
    tensor = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].float()
    parts = {scale: resized(tensor, round(scale * side)) for scale in {scale for scale, _, _ in ALIGNMENTS}}
    images = np.stack([surrounded(parts[scale], side, down, across) for scale, down, across in ALIGNMENTS])
    found: NDArray[Any] = reader.run(None, {"image": images})[0]
    return found


def resized(picture: Tensor, side: int) -> Pixels:
    """(1, 3, H, W) of 0 to 255 -> (side, side, 3)."""
    found = F.interpolate(picture, size=(side, side), mode="bilinear", align_corners=False, antialias=True)
    return np.asarray(found[0].round().clamp(0, 255).byte().permute(1, 2, 0).numpy(), np.uint8)


def surrounded(part: Pixels, side: int, down: float, across: float) -> Pixels:
    """(S, S, 3) -> (side, side, 3): as a part of a whole, its edges repeated around it."""
    room = side - len(part)
    top, left = round(down * room), round(across * room)
    return np.pad(part, ((top, room - top), (left, room - left), (0, 0)), mode="edge")


def least_wrong(read: NDArray[np.bool_], bits: NDArray[np.float32]) -> int:
    """Bits read wrongly in the best of some readings (R, B)."""
    return int((read != (bits > 0.5)).sum(1).min())


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
