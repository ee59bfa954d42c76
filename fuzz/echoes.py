"""Fuzz what refuses requests from their bytes: it may refuse only what a parser reads as the like of a refused one.

python -m fuzz.echoes --seconds 600 --corpus fuzz/corpus/echoes
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import atheris

with atheris.instrument_imports(include=["app"]):
    from app.echoes import Echoes, Like
    from app.errors import Overloaded
    from app.scopes import SANE_ID

from fuzz.engine import run
from fuzz.heads import plain

ADDRESS = "192.0.2.1"
LIKES = (
    Like(ADDRESS, "/generate", b"mine", b"", b"3"),
    Like(ADDRESS, "/enhance", b"", b"Bearer mine", b""),
    Like(ADDRESS, "/enhance", b"", b"", b""),
)


PIECES = (
    *(b"POST ", b"GET ", b"/generate", b"/enhance", b"?scale=2", b"#", b"%2e", b"http://a", b" HTTP/1.1", b" HTTP/1.0"),
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b"\r\n\r\n",
        b"\0",
        b"\t",
        b" ",
        b":",
        b": ",
        b",",
        b"\xe9",
        b"{}",
        b"0",
        b"2",
        b"9" * 5000,
    ),
    *(b"Host: a", b"X-API-Key: mine", b"x-api-key:", b"Authorization: Bearer mine", b"Request-Timeout: 3"),
    *(b"X-Request-ID: a-b", b"Content-Length: 2", b"content-length:", b"Content-Length: +2", b"Connection: keep-alive"),
    *(b"Connection: close", b"connection: Upgrade", b"Upgrade: h2c", b"Expect: 100-continue", b"Origin: https://a"),
    *(b"Transfer-Encoding: chunked", b"Transfer-Encoding : chunked", b"2\r\n{}\r\n0\r\n\r\n", b"X-Forwarded-For: b"),
)
"""Of which most bytes of an input name one, since nothing leads a fuzzer through a regular expression."""
RAW = len(PIECES)


def spelled(data: bytes) -> bytes:
    """The request that an input stands for: itself after a byte of `RAW`, pieces otherwise."""
    if data[:1] == bytes([RAW]):
        return data[1:]
    return b"".join(PIECES[byte % RAW] for byte in data)


def target(data: bytes) -> str:
    """A connection's first bytes, when three requests have just been refused."""
    data = spelled(data)
    echoes = Echoes()
    for like in LIKES:
        echoes.add(like, Overloaded(7), 0.0)
    found = echoes.find(data, ADDRESS, 0.0)
    if found is None:
        return "ordinary way"
    read = plain(data)
    assert read is not None  # noqa: S101  # what is looked for
    assert Like(ADDRESS, read.path, *read.asked) in LIKES  # noqa: S101
    assert found[0] == read.path  # noqa: S101
    assert SANE_ID.fullmatch(found[1].encode())  # noqa: S101
    return "echo"


def seeds() -> Iterable[bytes]:
    ends = (b"Content-Length: 2\r\n\r\n{}", b"content-length:0\r\n\r\n", b"Content-Length: 2\r\n\r\n{", b"\r\n")
    fields = (
        b"Host: a\r\nX-API-Key: mine\r\nRequest-Timeout: 3\r\n",
        b"Authorization: Bearer mine\r\nX-Request-ID: a-b\r\n",
        b"Connection: keep-alive\r\nAccept: */*\r\n",
        b"Connection: close\r\nExpect: 100-continue\r\n",
        b"Transfer-Encoding: chunked\r\nOrigin: https://shop.example\r\n",
    )
    for path in (b"/generate", b"/enhance?scale=2", b"/enhance#a", b"//enhance", b"/enhance/../generate"):
        for some in fields:
            for end in ends:
                yield bytes([RAW]) + b"POST " + path + b" HTTP/1.1\r\n" + some + end
    start, line, end = bytes([0, 2, 8, 10]), bytes([10]), bytes([31, 13, 21])
    for fields in itertools.permutations((25, 26, 29, 30), 3):
        yield start + line.join(bytes([one]) for one in fields) + line + end


if __name__ == "__main__":
    run("echoes", target, seeds)
