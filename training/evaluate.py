"""The enhancer on held-out photos, against bicubic: `python -m training.evaluate PHOTOS MODELS`."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import torch

from training.data import read_photos
from training.degrade import Degradation, degrade
from training.pictures import Pixels


def psnr(a: Pixels, b: Pixels) -> float:
    """Peak signal-to-noise ratio of two (H, W, 3) uint8 RGB pictures, dB."""
    return float(10 * np.log10(255**2 / np.mean((a.astype(np.float64) - b) ** 2)))


def load(models: Path, name: str) -> onnxruntime.InferenceSession:
    """The highest version of a published model."""
    newest = max((models / name).glob("[0-9]*"), key=lambda path: int(path.name))
    return onnxruntime.InferenceSession((newest / "model.onnx").read_bytes(), providers=["CPUExecutionProvider"])


def gains(photos: list[Pixels], models: Path, side: int = 320) -> list[float]:
    """PSNR above bicubic's, dB, photo by photo: each is cropped to `side` px, degraded to a random level, restored."""
    enhancer, estimator = load(models, "enhance-x2"), load(models, "restoration-level")
    found = []
    for index, photo in enumerate(photos):
        height, width = (min(n, side) // 2 * 2 for n in photo.shape[:2])
        clean = photo[:height, :width]
        random = torch.Generator().manual_seed(index)
        small = degrade(clean, 2, float(torch.rand((), generator=random)), Degradation(), random)[None]
        strength = estimator.run(None, {"image": small})[0]
        restored = enhancer.run(None, {"image": small, "strength": strength})[0][0]
        bicubic = np.asarray(cv2.resize(small[0], (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
        found.append(psnr(restored, clean) - psnr(bicubic, clean))
    return found


if __name__ == "__main__":
    result = gains(read_photos(Path(sys.argv[1]), "test", least=192, most=50), Path(sys.argv[2]))
    better = sum(gain > 0 for gain in result)
    sys.stdout.write(f"{better} of {len(result)} photos better than bicubic, by {np.mean(result):.2f} dB on average\n")
