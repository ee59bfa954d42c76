"""The studio page at `/`: its files, read once at the start, found by name and served as they are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from fastapi import APIRouter, Request, Response

from app.answers import not_modified
from app.errors import NotFound
from app.scopes import request_id

PAGE: Final = "index.html"
MEDIA_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
"""What is served, by the end of its name; this module and whatever else lies here is not."""
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEAD: Final = {
    "Cache-Control": "no-cache",  # names have no digest in them: a browser asks each time, and mostly gets a 304
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file of the page."""

    data: bytes
    media_type: str
    etag: str


def assets() -> dict[str, Asset]:
    """Every file of the page, by its path below `/studio/`."""
    return dict(_walk(files("app.studio"), ""))


def _walk(folder: Traversable, prefix: str) -> Iterator[tuple[str, Asset]]:
    for one in folder.iterdir():
        if one.is_dir():
            yield from _walk(one, f"{prefix}{one.name}/")
        elif kind := MEDIA_TYPES.get("." + one.name.rpartition(".")[2]):
            data = one.read_bytes()
            yield prefix + one.name, Asset(data, kind, f'"{hashlib.sha256(data).hexdigest()[:32]}"')


def studio() -> APIRouter:
    """The routes of the page and its files; a name is looked up among those read here, so it leads nowhere else."""
    router, found = APIRouter(include_in_schema=False), assets()

    def answer(request: Request, name: str) -> Response:
        if name not in found:
            raise NotFound("The studio has no such file.")
        asset = found[name]
        headers = HEAD | {"ETag": asset.etag, "X-Request-ID": request_id(request.scope)}
        if not_modified(request, asset.etag):
            return Response(status_code=304, headers=headers)
        return Response(asset.data, headers=headers, media_type=asset.media_type)

    @router.api_route("/", methods=["GET", "HEAD"])
    async def page(request: Request) -> Response:
        return answer(request, PAGE)

    @router.api_route("/studio/{name:path}", methods=["GET", "HEAD"])
    async def file(request: Request, name: str) -> Response:
        return answer(request, name)

    return router
