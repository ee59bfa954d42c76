"""Fuzz what reads requests: forms, JSON, options, Accept, headers; a checked request or a refusal out, nothing else.

python -m fuzz.requests --seconds 600 --corpus fuzz/corpus/requests
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable

import atheris

with atheris.instrument_imports(include=["app", "starlette.formparsers", "starlette.requests", "python_multipart"]):
    from fastapi import Request

    from app.admission import patience
    from app.answers import negotiate, ranked
    from app.errors import AppError
    from app.limits import problem_parts
    from app.schemas import ComposeOptions, EnhanceOptions, GenerateRequest, RestyleOptions
    from app.scopes import request_id
    from app.settings import Settings
    from app.tasks.colours import rgb_of
    from app.uploads import ONE_IMAGE, read_json, read_upload

from fuzz.engine import run

SETTINGS = Settings()
MODELS = (EnhanceOptions, ComposeOptions, RestyleOptions)
COUNTS = (ONE_IMAGE, {"image": (1, 4), "backdrop": (0, 1)}, ONE_IMAGE)
MOST_ANSWERED = 65536
"""Bytes of a refusal: more would be worth an attacker's while."""


def target(data: bytes) -> str:
    """The first byte chooses the route, the next line is the query, the next ones are fields, the rest is the body."""
    if not data:
        return "nothing"
    head, _, body = data[1:].partition(b"\n\n")
    query, *lines = head.split(b"\n")
    fields = [(name.strip().lower(), value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
    scope = {"type": "http", "method": "POST", "path": "/", "query_string": query, "headers": fields}
    try:
        return checked(scope, body, data[0] % 4)
    except AppError as error:
        return refused(scope, error)


def refused(scope: dict[str, object], error: AppError) -> str:
    answer, headers = problem_parts(request_id(scope), error)
    assert json.loads(answer)["status"] == error.status != 500  # noqa: S101  # what is looked for
    assert len(answer) < MOST_ANSWERED  # noqa: S101
    assert all("\n" not in value for value in headers.values())  # noqa: S101
    return error.code


def checked(scope: dict[str, object], body: bytes, route: int) -> str:
    assert len(request_id(scope)) <= 64  # noqa: S101
    assert 0 < patience(scope, SETTINGS) <= SETTINGS.max_timeout_s  # noqa: S101

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": body, "more_body": False}

    request = Request(scope, receive)
    accept = request.headers.get("accept", "")
    assert len(ranked(accept)) <= accept.count(",") + 1  # noqa: S101
    if route == 3:
        asked = read_json(body, request.headers.get("content-type", ""), GenerateRequest)
        negotiate(accept, asked.format, asked.count)
        assert all(0 <= one <= 255 for one in rgb_of(asked.background)) or asked.background == "transparent"  # noqa: S101
        return "generate"
    upload = asyncio.run(read_upload(request, MODELS[route], COUNTS[route]))
    negotiate(accept, upload.options.format, 1)
    upload.options.model_dump_json().encode()
    return MODELS[route].__name__


def form(kind: bytes, *parts: tuple[bytes, bytes]) -> bytes:
    body = b"".join(
        b"--x\r\nContent-Disposition: form-data; " + head + b"\r\n\r\n" + data + b"\r\n" for head, data in parts
    )
    return b"\nContent-Type: " + kind + b"\n\n" + body + b"--x--\r\n"


def seeds() -> Iterable[bytes]:
    multipart = b"multipart/form-data; boundary=x"
    image = (b'name="image"; filename="a.png"\r\nContent-Type: image/png', b"\x89PNG")
    options = [
        b"scale=2&denoise=0.5&quality=80&format=png&background=%23ff0000&preset=ebay",
        b"style=colorway&color=%23102030",
    ]
    for route in (b"\0", b"\1", b"\2"):
        yield route + form(multipart, image)
        yield route + form(
            multipart, image, (b'name="scale"', b"4"), (b'name="width"', b"640"), (b'name="style"', b"studio")
        )
        yield route + form(multipart, image, image, (b'name="backdrop"', b"gradient:#ffffff-#000000"))
        yield route + form(multipart + b"; charset=utf-16", image, (b'name="denoise"', b"0\x005"))
        for query in options:
            yield route + query + b"\nContent-Type: image/png\nAccept: image/*;q=0.8, application/json\n\n\x89PNG"
    yield b"\0\nContent-Type: multipart/form-data\n\n"
    kind = b"\3\nContent-Type: application/json\nAccept: */*\nRequest-Timeout: 1.5\nX-Request-ID: a-b\n\n"
    yield kind + b'{"count": 2, "seed": 7}'
    yield kind + (
        b'{"category": "t-shirt", "truncation": 0.5, "mix": {"seed": 3, "amount": 0.5}, "size": 512, '
        b'"background": "#00ff00", "format": "avif", "quality": 50, "model": "m"}'
    )


if __name__ == "__main__":
    run("requests", target, seeds)
