"""One function for each route, with the API's own names; what it gives can be sent, and says how to read the answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, Generic, Literal, TypeVar
from urllib.parse import quote

import httpx

from vitrine_client.results import Answer, Backdrop, Marks, Styles, answer_of

T = TypeVar("T")
Source = bytes | str | PathLike[str] | BinaryIO
"""A picture to upload: its bytes, its path, or an open file."""
Format = Literal["png", "jpeg", "webp", "avif"]
Shadow = Literal["none", "contact", "soft"]
Files = list[tuple[str, tuple[str, bytes, str]]]


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A request that can be sent again and again."""

    method: str
    path: str
    read: Callable[[httpx.Response], T]
    body: dict[str, Any] = field(default_factory=dict)
    patient: bool = True
    """Whether it is sent again when the service asks for that."""


def data_of(source: Source) -> bytes:
    """The bytes of a picture.

    Raises:
        OSError: it cannot be read.
    """
    if isinstance(source, bytes):
        return source
    return Path(source).read_bytes() if isinstance(source, str | PathLike) else source.read()


def given(options: dict[str, Any]) -> dict[str, Any]:
    """Those that are not left to the service."""
    return {name: value for name, value in options.items() if value is not None}


def uploaded(path: str, images: Sequence[Source], options: dict[str, Any], **files: bytes | None) -> Call[Answer]:
    """A form with pictures."""
    parts: Files = [("image", ("image", data_of(one), "application/octet-stream")) for one in images]
    parts += [(name, (name, data, "application/octet-stream")) for name, data in files.items() if data is not None]
    return Call("POST", path, answer_of, {"files": parts, "data": given(options)})


def listed(path: str, name: str) -> Call[Any]:
    """A list, by its name in the answer."""
    return Call("GET", path, lambda response: response.json()[name])


def generate(
    *, category: str | None = None, count: int | None = None, seed: int | None = None, truncation: float | None = None,
    mix: dict[str, Any] | None = None, size: int | None = None, background: str | None = None,
    model: str | None = None, format: Format | None = None, quality: int | None = None,
) -> Call[Answer]:  # fmt: skip
    """Product pictures by category and seed. `mix` is {"seed": int, "amount": 0 to 1}."""
    return Call("POST", "/generate", answer_of, {"json": given(dict(locals()))})


def enhance(
    image: Source, *, scale: Literal[1, 2, 4] | None = None, denoise: float | None = None,
    background: str | None = None, preset: str | None = None, model: str | None = None, format: Format | None = None,
    quality: int | None = None,
) -> Call[Answer]:  # fmt: skip
    """A photo, sharper, cleaner, larger; `model` is an enhancer's name, such as a faster one's."""
    options = {name: value for name, value in locals().items() if name != "image"}
    return uploaded("/enhance", [image], options)


def restyle(
    image: Source, *, style: str, color: str | None = None, category: str | None = None, seed: int | None = None,
    strength: float | None = None, shadow: Shadow | None = None, preset: str | None = None,
    format: Format | None = None, quality: int | None = None,
) -> Call[Answer]:  # fmt: skip
    """A photo in another style: studio, colorway, sketch, from-sketch."""
    options = {name: value for name, value in locals().items() if name != "image"}
    return uploaded("/restyle", [image], options)


def compose(
    image: Source | Sequence[Source], *, backdrop: str | bytes | PathLike[str] | BinaryIO | None = None,
    cutout: Literal["auto", "none"] | None = None, shadow: Shadow | None = None, shadow_opacity: float | None = None,
    fill: float | None = None, anchor: Literal["center", "bottom"] | None = None, harmonize: float | None = None,
    width: int | None = None, height: int | None = None, preset: str | None = None, format: Format | None = None,
    quality: int | None = None,
) -> Call[Answer]:  # fmt: skip
    """One to four products on a backdrop; a text is a colour, a gradient or a shipped one's name, all else a file."""
    options = {name: value for name, value in locals().items() if name not in ("image", "backdrop")}
    images = image if isinstance(image, Sequence) and not isinstance(image, str | bytes) else [image]
    if backdrop is None or isinstance(backdrop, str):
        return uploaded("/compose", images, {**options, "backdrop": backdrop})
    return uploaded("/compose", images, options, backdrop=data_of(backdrop))


def inspect(image: Source) -> Call[Marks]:
    """Which marks a picture carries, and what they are worth."""
    form = uploaded("/inspect", [image], {})
    return Call("POST", "/inspect", lambda response: Marks(**response.json()), form.body)


def models() -> Call[list[dict[str, Any]]]:
    """Every model in use: name, version, digest, licence, data, quality."""
    return listed("/models", "models")


def model(name: str) -> Call[dict[str, Any]]:
    """One model."""
    return Call("GET", f"/models/{quote(name, safe='')}", lambda response: dict(response.json()))


def categories() -> Call[list[str]]:
    """What `generate` can make."""
    return listed("/categories", "categories")


def styles() -> Call[Styles]:
    """What `restyle` can do."""
    return Call("GET", "/styles", lambda response: Styles(**response.json()))


def presets() -> Call[list[dict[str, Any]]]:
    """Marketplaces' rules."""
    return listed("/presets", "presets")


def backdrops() -> Call[list[Backdrop]]:
    """What `compose` can lay products on, beside colours and files."""
    return listed("/backdrops", "backdrops")


def healthz() -> Call[dict[str, str]]:
    """Whether the process lives."""
    return Call("GET", "/healthz", lambda response: dict(response.json()), patient=False)


def readyz() -> Call[dict[str, str]]:
    """Whether it takes work; `Overloaded` while it does not."""
    return Call("GET", "/readyz", lambda response: dict(response.json()), patient=False)


def metrics() -> Call[str]:
    """What Prometheus scrapes."""
    return Call("GET", "/metrics", lambda response: response.text, patient=False)
