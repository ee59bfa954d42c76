"""Whether a server does the work at all: its first answer must be the picture that was asked for."""

from __future__ import annotations

import base64
import io
import json
import urllib.request
from typing import Final

from PIL import Image

from bench.requests import body

SIDES: Final = {"generate": 64, "enhance": 1024}
MARK: Final = b"digitalsourcetype"


def check(port: int, task: str, image_format: str, envelope: str) -> None:
    """Ask once.

    Raises:
        RuntimeError: the answer is another picture, or has no XMP.
        OSError: there is no answer with status 200.
    """
    path, content, content_type = body(task, image_format, 1, envelope)
    headers = {"Content-Type": content_type}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", content, headers)
    with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
        data = response.read()
    if envelope == "bentoml":
        data = base64.b64decode(json.loads(data)[0])
    with Image.open(io.BytesIO(data)) as image:
        seen = (image.format or "").lower(), image.size
    if seen != (image_format, (SIDES[task], SIDES[task])) or MARK not in data:
        raise RuntimeError(f"{task} as {image_format} gave {seen}, {len(data)} bytes")
