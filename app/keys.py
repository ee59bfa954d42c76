"""API keys: who may use which route, how often, and how much at once. Without a file of keys everybody may.

The file holds digests only. A key is 32 random bytes, so a plain SHA-256 of it cannot be turned round by guessing.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import secrets
import sys
import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final

from limits import RateLimitItem, parse
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from starlette.types import Scope

from app.errors import Forbidden, Unauthorized
from app.scopes import header

ROUTES: Final = ("generate", "enhance", "restyle", "compose", "inspect")
DIGEST: Final = r"^sha256:[0-9a-f]{64}$"
PREFIX: Final = "vk_"


class KeyFileError(Exception):
    """The file of keys cannot be used. The message says why."""


def _route(name: str) -> str:
    if name not in ROUTES:
        raise ValueError(f"must be one of {', '.join(ROUTES)}")
    return name


def _rate(text: str) -> str:
    parse(text)  # raises ValueError
    return text


class Key(BaseModel):
    """One caller: the table of that name in the file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str = Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")
    digests: list[Annotated[str, Field(pattern=DIGEST)]] = Field(min_length=1, max_length=2)
    """Of the key, as `vitrine keys new` prints it; a second one while the caller changes from one to another."""
    routes: list[Annotated[str, AfterValidator(_route)]] = Field(list(ROUTES), min_length=1)
    """What it may use; all by default."""
    rate: Annotated[str, AfterValidator(_rate)] | None = None
    """Such as "600/minute"; no limit by default."""
    concurrency: int | None = Field(None, ge=1)
    """Most requests at once; no limit by default."""

    @cached_property
    def limit(self) -> RateLimitItem | None:
        """`rate`, as the library has it; read once, since every request asks."""
        return None if self.rate is None else parse(self.rate)


@dataclass(frozen=True, slots=True)
class Keys:
    """All keys of a file."""

    keys: tuple[Key, ...]

    def admit(self, scope: Scope, route: str) -> Key:
        """The key that a request shows, as `Authorization: Bearer` or `X-API-Key`, if it is good for the route.

        Raises:
            Unauthorized: there is none, or an unknown one.
            Forbidden: it is not for this route.
        """
        given = header(scope, b"x-api-key")
        scheme, _, token = header(scope, b"authorization").partition(b" ")
        if not given and scheme.lower() == b"bearer":
            given = token.strip()
        if not given:
            raise Unauthorized("This route needs an API key: Authorization: Bearer KEY.")
        found = self._find(hashlib.sha256(given).hexdigest())
        if found is None:
            raise Unauthorized("The API key is not known.")
        if route not in found.routes:
            raise Forbidden(f"The API key is not for /{route}.")
        return found

    def _find(self, digest: str) -> Key | None:
        # All are compared, each in the same time, so that the time says nothing about any of them.
        found = None
        for key in self.keys:
            for known in key.digests:
                if hmac.compare_digest(known, f"sha256:{digest}"):
                    found = key
        return found


def read_keys(path: Path) -> Keys:
    """The keys in a TOML file, a table each.

    Raises:
        KeyFileError: it cannot be read, is not valid, or has the same digest twice.
    """
    try:
        tables: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        keys = tuple(Key.model_validate({"name": name, **table}) for name, table in tables.items())
    except ValidationError as error:
        wrong = error.errors(include_input=False, include_context=False)[0]
        raise KeyFileError(f"{path}: {'.'.join(map(str, wrong['loc']))}: {wrong['msg']}") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, TypeError) as error:
        raise KeyFileError(f"{path} cannot be read or is not valid ({type(error).__name__})") from None
    digests = [digest for key in keys for digest in key.digests]
    if not digests:
        raise KeyFileError(f"{path} holds no key")
    if len(set(digests)) < len(digests):
        raise KeyFileError(f"{path}: a digest is there twice")
    return Keys(keys)


def add_parser(commands: Any) -> None:  # noqa: ANN401  # argparse's own, which has no public name
    """`vitrine keys new`."""
    parser: argparse.ArgumentParser = commands.add_parser("keys", help="make API keys")
    actions = parser.add_subparsers(dest="action", required=True)
    new = actions.add_parser("new", help="print a new key, and the lines for the file of keys")
    new.add_argument("name", help="whose it is: letters, digits, dot, hyphen, underscore")


def run(arguments: argparse.Namespace) -> int:
    """Print a new key; it is kept nowhere."""
    key = PREFIX + secrets.token_urlsafe(32)
    digest = f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"
    try:
        Key(name=arguments.name, digests=[digest])
    except ValidationError:
        sys.stderr.write("vitrine: the name must be 1 to 64 letters, digits, dots, hyphens or underscores\n")
        return 2
    sys.stdout.write(f"# the key, which is shown only once: {key}\n[{json_key(arguments.name)}]\n")
    sys.stdout.write(f'digests = ["{digest}"]\n')
    return 0


def json_key(name: str) -> str:
    """A name as TOML's tables want it."""
    return f'"{name}"' if "." in name else name
