"""One file through the service: its routes' own endpoints are called, so that files get what requests get."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import Request, Response
from pydantic import BaseModel
from starlette.types import Message

from app import __version__, routes
from app.admission import Ticket
from app.batching import NOBODY
from app.errors import (
    AppError,
    BodyTooLarge,
    InvalidOptions,
    NotAcceptable,
    UnknownCategory,
    UnknownModel,
    UnknownPreset,
    UnknownStyle,
)
from app.files.inputs import Item
from app.service import Service

Endpoint = Callable[[Request], Awaitable[Response]]
ENDPOINTS: Final[dict[str, Endpoint]] = {
    "enhance": routes.enhance,
    "restyle": routes.restyle,
    "compose": routes.compose,
    "generate": routes.generate,
}
OF_THE_COMMAND: Final = (NotAcceptable, UnknownCategory, UnknownModel, UnknownPreset, UnknownStyle)
OF_ONE_FILE: Final = frozenset(("no_product", "no_drawing"))
"""Errors of options that only one picture is to blame for."""
# fmt: off
INDIFFERENT: Final = frozenset((
    "access_log", "arena", "batch_s", "body_timeout_s", "c2pa_anchors", "cors_origins", "decode_memory_bytes",
    "decode_timeout_s", "default_timeout_s", "drain_s", "gpus", "host", "keys_file", "log_format", "log_level",
    "lone_threads", "max_batch", "max_body_bytes", "max_held_bytes", "max_held_pixels", "max_output_pixels",
    "max_pixels", "max_requests", "max_timeout_s", "models_dir", "models_key", "port", "presets_dir", "redis_url",
    "spin_us", "tensorrt", "threads", "tile_s", "workers",
))
# fmt: on
"""Settings that decide nothing about a file; every other one does, also one that is added later."""
HEADERS: Final = {
    "model": "X-Model",
    "model_digest": "X-Model-Digest",
    "seed": "X-Seed",
    "native_size": "X-Native-Size",
    "compliance": "X-Preset-Compliance",
}
"""What is noted of an answer."""


def is_of_the_command(error: AppError) -> bool:
    """Whether every other file would meet the same error."""
    if isinstance(error, InvalidOptions):
        return not any(one["type"] in OF_ONE_FILE for one in error.errors)
    return isinstance(error, OF_THE_COMMAND)


@dataclass
class Maker:
    """Makes files with one edit and its options."""

    service: Service
    edit: str
    options: BaseModel
    backdrop: bytes | None = None
    """Of a file, for compose."""
    given: dict[str, Any] = field(init=False)
    """The options that were given; those left open stay open for the service."""

    def __post_init__(self) -> None:
        self.given = self.options.model_dump(mode="json", exclude_unset=True)

    @cached_property
    def made(self) -> str:
        """The SHA-256 of all that decides what becomes of a file, beside the file."""
        behind = hashlib.sha256(self.backdrop or b"").hexdigest()
        rules = self.service.presets.digest(getattr(self.options, "preset", None))
        apart = {"seed", "count"} if self.edit == "generate" else set()  # the seed is in the name
        options = self.options.model_dump_json(exclude=apart)
        settings = self.service.settings.model_dump_json(exclude=set(INDIFFERENT))
        digests = self.service.catalogue.digests
        parts = (self.edit, options, sorted(self.given.keys() - apart), behind, rules, settings, __version__, digests)
        return hashlib.sha256(" ".join(map(str, parts)).encode()).hexdigest()

    async def make(self, item: Item) -> tuple[bytes, dict[str, Any]]:
        """The finished file, and what is to be noted of it.

        Raises:
            AppError: as the route.
            OSError: the source cannot be read.
        """
        asked = self._request(item) if item.source is None else await asyncio.to_thread(self._request, item)
        head, query, body = asked
        response = await ENDPOINTS[self.edit](request(self.service, self.edit, head, query, body))
        facts = {name: response.headers[key] for name, key in HEADERS.items() if key in response.headers}
        return bytes(response.body), facts

    def _request(self, item: Item) -> tuple[str, str, bytes]:
        """Content type, query and body."""
        if item.source is None:
            return "application/json", "", json.dumps(self.given | {"seed": item.seed, "count": 1}).encode()
        data = self._read(item.source)
        query = urlencode(self.given)
        if self.edit != "compose":
            return "image/*", query, data
        kind, body = form({"image": data} | ({"backdrop": self.backdrop} if self.backdrop else {}))
        return kind, query, body

    def _read(self, path: Path) -> bytes:
        most = self.service.settings.max_body_bytes
        if path.stat().st_size > most:
            raise BodyTooLarge(f"The file is over {most} bytes (VITRINE_MAX_BODY_BYTES).")
        return path.read_bytes()


def form(files: dict[str, bytes]) -> tuple[str, bytes]:
    """A multipart form of files (RFC 7578): its content type and body."""
    boundary = secrets.token_hex(16)
    head = '--{}\r\nContent-Disposition: form-data; name="{}"; filename="{}"\r\n\r\n'
    parts = [
        part for name, data in files.items() for part in (head.format(boundary, name, name).encode(), data, b"\r\n")
    ]
    return f"multipart/form-data; boundary={boundary}", b"".join([*parts, f"--{boundary}--\r\n".encode()])


def request(service: Service, edit: str, kind: str, query: str, body: bytes) -> Request:
    """A request that never was on a wire, without a deadline, whose client stays."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return messages.pop() if messages else await asyncio.get_running_loop().create_future()

    scope = {
        "type": "http",
        "method": "POST",
        "path": f"/{edit}",
        "query_string": query.encode(),
        "headers": [(b"content-type", kind.encode()), (b"accept", b"image/*")],
        "vitrine.service": service,
        "vitrine.ticket": Ticket(NOBODY, math.inf),
    }
    return Request(scope, receive)
