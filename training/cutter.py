"""The published cut-out network, as the offline half uses it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import onnxruntime

from training.cutout import Cutout, judge, keep_product, shrink
from training.pictures import Pixels


@cache
def opened(folder: Path) -> tuple[onnxruntime.InferenceSession, int]:
    """A version's session, of one thread, and its side; once a process.

    Raises:
        ValueError: it is no network for cut-outs.
    """
    manifest = json.loads((folder / "manifest.json").read_text())
    if manifest["task"] != "cutout":
        raise ValueError(f"{folder} is for {manifest['task']}, not for cut-outs")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    data = (folder / "model.onnx").read_bytes()
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"]), manifest["size"]


def cut_out_by(folder: Path, rgb: Pixels) -> Cutout:
    """(H, W, 3) uint8 photo of any size -> the product at working size by a published network, with a verdict.

    Raises:
        ValueError: the version is no network for cut-outs.
        OSError: there is no such version.
    """
    session, side = opened(folder)
    small = shrink(rgb)
    square = np.asarray(cv2.resize(small, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
    alpha = session.run(None, {"image": square[None]})[0][0, ..., 3]
    large = cv2.resize(alpha, (small.shape[1], small.shape[0]), interpolation=cv2.INTER_LINEAR)
    mask = keep_product(np.where(large > 127, 255, 0).astype(np.uint8))
    return Cutout(small, mask, judge(small, mask))
