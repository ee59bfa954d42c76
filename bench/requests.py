"""Requests as the bytes that go over the wire, made before the clock starts, in each server's own envelope."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Final

from bench.pictures import photo

SEEDS: Final = 4096
ENVELOPES: Final = ("plain", "json", "bentoml", "mosec")


def http(path: str, body: bytes, content_type: str, headers: Mapping[str, str] | None = None) -> bytes:
    """One POST."""
    fields = {"Host": "127.0.0.1", "Content-Type": content_type, "Content-Length": str(len(body)), **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + body


def body(task: str, image_format: str, seed: int, envelope: str) -> tuple[str, bytes, str]:
    """(path, body, content type). Only `plain` takes a photo as it is: the other frameworks want JSON or no options."""
    order = {"category": "t-shirt", "seed": seed, "format": image_format}
    path, as_json = f"/{task}", "application/json"
    if task == "enhance":
        if envelope == "plain":
            return f"{path}?format={image_format}", photo(), "image/jpeg"
        if envelope == "mosec":
            return path, image_format.encode() + photo(), "application/octet-stream"
        order = {"image": base64.b64encode(photo()).decode(), "format": image_format}
    return path, json.dumps({"items": [order]} if envelope == "bentoml" else order).encode(), as_json


def payloads(
    task: str, image_format: str, headers: Mapping[str, str] | None = None, envelope: str = "plain"
) -> list[bytes]:
    """Different seeds for `generate`; the same photo for `enhance`, where nothing is kept between requests."""
    seeds = range(SEEDS if task == "generate" else 1)
    return [http(*body(task, image_format, seed, envelope), headers) for seed in seeds]
