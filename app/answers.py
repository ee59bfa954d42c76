"""What an answer looks like: the envelope and format that `Accept` picks, ETags, images as bytes, JSON or ZIP."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from dataclasses import dataclass
from enum import Enum
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from app.errors import NotAcceptable
from app.images import ImageFormat

OFFERED = "The answer can be image/png, image/jpeg, image/webp, image/avif, application/json or application/zip."


class Envelope(Enum):
    """How pictures travel."""

    BYTES = "bytes"
    JSON = "json"
    ZIP = "zip"


@dataclass(frozen=True, slots=True)
class Encoded:
    """One finished file."""

    data: bytes
    width: int
    height: int
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """Finished files, what made them, and the milliseconds of each stage."""

    files: list[Encoded]
    image_format: ImageFormat
    model: str
    digest: str
    timings_ms: dict[str, float]
    compliance: list[dict[str, Any]] | None = None
    """Of a single picture that was made for a marketplace: every rule, and whether it is kept."""


def ranked(accept: str) -> list[str]:
    """The media ranges of an Accept field, best first: by q, then the more specific (RFC 9110, 12.5.1)."""
    found: list[tuple[float, int, str]] = []
    for part in accept.split(","):
        kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
        if not kind:
            continue
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    quality = float(parameter[2:])
                except ValueError:
                    quality = 0.0
        if quality > 0:
            found.append((-quality, kind.count("*"), kind))
    return [kind for _, _, kind in sorted(found, key=lambda item: item[:2])]


def negotiate(accept: str, wanted: str | None, count: int, default: str = "webp") -> tuple[Envelope, ImageFormat]:
    """The envelope and format for `count` pictures; an explicit format (`wanted`) wins over Accept's.

    Raises:
        NotAcceptable: nothing that Accept allows can be made.
    """
    chosen = ImageFormat(wanted or default)
    for kind in ranked(accept) if accept.strip() else ["*/*"]:
        if kind == "application/json" or (kind in ("*/*", "application/*") and (count > 1 or kind[0] == "a")):
            return Envelope.JSON, chosen
        if kind == "application/zip":
            return Envelope.ZIP, chosen
        if count == 1 and kind in ("*/*", "image/*"):
            return Envelope.BYTES, chosen
        if count == 1 and kind.removeprefix("image/") in set(ImageFormat):
            return Envelope.BYTES, chosen if wanted else ImageFormat(kind.removeprefix("image/"))
    raise NotAcceptable(OFFERED)


def not_modified(request: Request, tag: str) -> bool:
    """Whether the client has this very answer (RFC 9110, 13.1.2: weak comparison)."""
    given = [one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")]
    return tag.removeprefix("W/") in given or "*" in given


def respond(answer: Answer, envelope: Envelope, headers: dict[str, str], request_id: str) -> Response:
    """The response, with Server-Timing."""
    timing = ", ".join(f"{name};dur={value:.1f}" for name, value in answer.timings_ms.items())
    headers = {**headers, "Server-Timing": timing}
    kind = answer.image_format.media_type
    if envelope is Envelope.BYTES:
        return Response(answer.files[0].data, headers=headers, media_type=kind)
    images: list[dict[str, Any]] = []
    for file in answer.files:
        facts = {"media_type": kind, "width": file.width, "height": file.height}
        images.append(facts if file.seed is None else {**facts, "seed": file.seed})
    body: dict[str, Any] = {"model": answer.model, "model_digest": answer.digest, "request_id": request_id}
    if answer.compliance is not None:
        body["compliance"] = answer.compliance
    if envelope is Envelope.ZIP:
        return Response(_zip(answer, images, body), headers=headers, media_type="application/zip")
    data = [base64.b64encode(file.data).decode() for file in answer.files]
    listed = [{"data": one, **facts} for one, facts in zip(data, images, strict=True)]
    timings = {name: round(value, 1) for name, value in answer.timings_ms.items()}
    return JSONResponse({"images": listed, **body, "timings_ms": timings}, headers=headers)


def _zip(answer: Answer, images: list[dict[str, Any]], body: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:  # stored: pictures do not get smaller
        for number, (one, facts) in enumerate(zip(answer.files, images, strict=True), 1):
            facts["file"] = f"{number:02d}.{answer.image_format.value}"
            archive.writestr(zipfile.ZipInfo(facts["file"]), one.data)
        manifest = json.dumps({"images": images, **body}, indent=1)
        archive.writestr(zipfile.ZipInfo("manifest.json"), manifest)
    return file.getvalue()
