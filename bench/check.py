"""Whether a server does the work at all: its first answer must be the picture that was asked for."""

from __future__ import annotations

import base64
import io
import json
import urllib.request
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.pictures import photo
from bench.requests import body
from bench.work import Order, Photo, Worker

MARK: Final = b"digitalsourcetype"
SEED: Final = 1
TOLERANCE: Final = 0.5  # mean of the absolute differences, in 255ths: other tiles may round and encode differently


def check(port: int, task: str, image_format: str, envelope: str) -> None:
    """Ask once.

    Raises:
        RuntimeError: the answer is another picture, or has no XMP.
        OSError: there is no answer with status 200.
    """
    path, content, content_type = body(task, image_format, SEED, envelope)
    headers = {"Content-Type": content_type}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", content, headers)
    with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
        data = response.read()
    if envelope == "bentoml":
        data = base64.b64decode(json.loads(data)[0])
    difference = distance(data, right(task, image_format))
    if not difference <= TOLERANCE or MARK not in data:
        raise RuntimeError(f"a wrong picture for {task} as {image_format}: {difference:.2f} away, {len(data)} bytes")


@cache
def right(task: str, image_format: str) -> bytes:
    """The picture, made here."""
    worker = Worker()
    if task == "generate":
        return worker.generate([Order("t-shirt", SEED, image_format)])[0]
    return worker.enhance([Photo(photo(), image_format)])[0]


def distance(one: bytes, other: bytes) -> float:
    """Mean of the absolute differences of two files' pixels, in 255ths; infinite when their formats or sizes differ."""
    (first, pixels), (second, others) = decoded(one), decoded(other)
    if first != second or pixels.shape != others.shape:
        return float("inf")
    return float(np.abs(pixels - others).mean())


def decoded(data: bytes) -> tuple[str | None, NDArray[np.float32]]:
    with Image.open(io.BytesIO(data)) as image:
        return image.format, np.asarray(image.convert("RGB"), np.float32)
