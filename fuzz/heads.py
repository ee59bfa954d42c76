"""What a parser finds in the bytes of a request, to hold `app.echoes` against."""

from __future__ import annotations

from typing import NamedTuple

import httptools

from app.echoes import ASKED


class Plain(NamedTuple):
    """One whole POST request, after which the connection stays open and nothing has come yet."""

    path: str
    asked: tuple[bytes, ...]
    """Its fields of `ASKED`."""


class _Seen:
    def __init__(self) -> None:
        self.url, self.fields, self.messages, self.ended = b"", list[tuple[bytes, bytes]](), 0, 0

    def on_message_begin(self) -> None:
        self.messages += 1

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), value.strip()))

    def on_message_complete(self) -> None:
        self.ended += 1


def plain(data: bytes) -> Plain | None:
    """What httptools, which uvicorn reads requests with, finds; None for anything else than one plain request."""
    seen = _Seen()
    parser = httptools.HttpRequestParser(seen)
    try:
        parser.feed_data(data)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        return None
    whole = seen.messages == seen.ended == 1
    fields = dict(seen.fields)
    if not whole or parser.get_method() != b"POST" or not parser.should_keep_alive() or parser.should_upgrade():
        return None
    if parser.get_http_version() != "1.1" or b"expect" in fields or b"origin" in fields:
        return None
    path = httptools.parse_url(seen.url).path.decode("ascii")
    return Plain(path, tuple(fields.get(name, b"") for name in ASKED))
