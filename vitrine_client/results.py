"""What the service answers, with types."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, TypedDict

import httpx


@dataclass(frozen=True, slots=True)
class Image:
    """One picture: the bytes of a file, and its size in px."""

    data: bytes
    media_type: str
    width: int
    height: int
    seed: int | None = None
    """What it was drawn from; the same seed and options give the same bytes."""

    def save(self, path: str | PathLike[str]) -> None:
        """Write the file."""
        Path(path).write_bytes(self.data)


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule of a marketplace's preset, and whether the picture keeps it."""

    rule: str
    required: str
    measured: str
    ok: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """Pictures, what made them, and what it took."""

    images: tuple[Image, ...]
    model: str
    """name@version"""
    model_digest: str
    request_id: str
    timings_ms: dict[str, float]
    compliance: tuple[Finding, ...] = ()
    """Every rule of the preset; empty without one."""
    native_size: tuple[int, int] | None = None
    """Width and height of the upload."""

    @property
    def image(self) -> Image:
        """The first picture, of most routes the only one."""
        return self.images[0]

    @property
    def complies(self) -> bool:
        """Whether every rule of the preset is kept."""
        return all(finding.ok for finding in self.compliance)


@dataclass(frozen=True, slots=True)
class Marks:
    """Which marks a picture carries: what was found of each kind, as the API has it."""

    width: int
    height: int
    marks: dict[str, dict[str, Any]]
    request_id: str


@dataclass(frozen=True, slots=True)
class Styles:
    """What `restyle` can do, and the categories of `from-sketch`."""

    styles: list[str]
    categories: list[str]


class Backdrop(TypedDict):
    """A shipped backdrop."""

    name: str
    title: str


def answer_of(response: httpx.Response) -> Answer:
    """Pictures that came as JSON."""
    body = response.json()
    images = tuple(Image(**{**one, "data": base64.b64decode(one["data"])}) for one in body["images"])
    width, _, height = response.headers.get("x-native-size", "").partition("x")
    return Answer(
        images, body["model"], body["model_digest"], body["request_id"], body["timings_ms"],
        tuple(Finding(**one) for one in body.get("compliance", [])),
        (int(width), int(height)) if height else None,
    )  # fmt: skip
