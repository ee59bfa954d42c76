"""Refusals of what is like something that was refused a moment ago, straight from the bytes of a request.

At ten times the rate that a machine can answer, nine of ten requests are refused, and what that costs is taken from
those that are let in. So only the first of its like goes the ordinary way, through the parser and the estimate of its
wait; for `SAME_S` its echoes, which ask for the same with the same credentials, are told the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from starlette.types import Scope

from app.errors import AppError, Overloaded
from app.scopes import SANE_ID, header, new_id

SAME_S: Final = 0.005
"""How long a refusal holds for its like."""
PLAIN: Final = re.compile(rb"POST (/[a-z]+)(?:\?[!-~]*)? HTTP/1\.1\r\n((?:[A-Za-z0-9-]+:[ -~]*\r\n)*)\r\n")
"""A head as nearly everybody sends it, and that says nothing but what it seems to; all else goes the ordinary way."""
TOLD: Final = re.compile(
    rb"^(x-api-key|authorization|request-timeout|x-request-id|content-length"
    rb"|connection|expect|origin|transfer-encoding|upgrade|x-forwarded-[a-z]+|forwarded):[ ]*([ -~]*?)[ ]*\r$",
    re.IGNORECASE | re.MULTILINE,
)
ASKED: Final = (b"x-api-key", b"authorization", b"request-timeout")
KNOWN: Final = {*ASKED, b"x-request-id", b"content-length", b"connection"}
"""The fields of those in `TOLD` that an echo may have."""
LENGTH: Final = re.compile(rb"[0-9]{1,9}")


class Like(NamedTuple):
    """What the requests have in common that are refused alike."""

    address: str
    path: str
    key: bytes
    authorization: bytes
    timeout: bytes

    @classmethod
    def of(cls, scope: Scope) -> Like:
        """Of a request that took the ordinary way."""
        asked = (header(scope, name) for name in ASKED)
        return cls(scope["client"][0] if scope.get("client") else "", scope["path"], *asked)


@dataclass(slots=True)
class Echoes:
    """What was refused lately. Belongs to the event loop."""

    _refused: dict[Like, AppError] = field(default_factory=dict)
    _until: float = 0.0

    def add(self, like: Like, error: AppError, now: float) -> None:
        """A request was refused; only what time cures is remembered."""
        if not isinstance(error, Overloaded):
            return
        self._forget(now)
        self._refused[like] = error

    def _forget(self, now: float) -> None:
        if now > self._until:
            self._refused.clear()
            self._until = now + SAME_S

    def find(self, data: bytes, address: str, now: float) -> tuple[str, str, AppError] | None:
        """The path, the id and the error of a request that is whole, and the like of one that was refused."""
        self._forget(now)
        head = PLAIN.match(data) if self._refused else None
        if head is None:
            return None
        told = TOLD.findall(head[2])
        fields = {name.lower(): value for name, value in told}
        length = fields.get(b"content-length", b"")
        if len(fields) < len(told) or not LENGTH.fullmatch(length) or len(data) != head.end() + int(length):
            return None
        if not fields.keys() <= KNOWN or fields.get(b"connection", b"keep-alive").lower() != b"keep-alive":
            return None
        path = head[1].decode()
        error = self._refused.get(Like(address, path, *[fields.get(name, b"") for name in ASKED]))
        if error is None:
            return None
        given = fields.get(b"x-request-id", b"")
        return path, given.decode() if SANE_ID.fullmatch(given) else new_id(), error
