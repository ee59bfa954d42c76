"""What the head of a request says."""

from __future__ import annotations

import random
import re
from typing import Final, cast

from starlette.types import Scope

SANE_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")


def header(scope: Scope, name: bytes) -> bytes:
    """The first field of this name, which is in lower case; empty when there is none."""
    fields = scope.get("vitrine.fields")
    if fields is None:
        fields = scope["vitrine.fields"] = dict(reversed(scope["headers"]))  # read many times, even to refuse it
    return cast(bytes, fields.get(name, b""))


def new_id() -> str:
    """An id for a request that brought none."""
    return f"{random.getrandbits(128):032x}"


def request_id(scope: Scope) -> str:
    """The caller's own id if it is sane, else one of ours; the same for the whole request."""
    if "vitrine.id" not in scope:
        given = header(scope, b"x-request-id")
        scope["vitrine.id"] = given.decode() if SANE_ID.fullmatch(given) else new_id()
    return str(scope["vitrine.id"])
