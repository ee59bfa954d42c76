"""The routes: they read a request, call the pipeline and wrap what it gives."""

from __future__ import annotations

import asyncio
import hashlib
import math
import re
import secrets
import time
import uuid
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse, RedirectResponse

from app import metrics, openapi, pipeline
from app.answers import Answer, Envelope, negotiate, not_modified, respond
from app.errors import ClientGone, Draining, InvalidOptions, UnknownModel, UnknownPreset
from app.images import ImageFormat
from app.pipeline import Identity, Service
from app.repository import Model
from app.schemas import EnhanceOptions, GenerateRequest
from app.tasks.generate import SEEDS
from app.uploads import read_upload, refuse

T = TypeVar("T")
SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
router = APIRouter()


def request_id(request: Request) -> str:
    """The caller's own id if it is sane, else one of ours; the same for the whole request."""
    if not hasattr(request.state, "id"):
        given = request.headers.get("x-request-id", "")
        request.state.id = given if SANE_ID.fullmatch(given) else uuid.uuid4().hex
    return str(request.state.id)


def service_of(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


def deadline(request: Request) -> float:
    """When the caller's patience ends, on time.monotonic's clock.

    Raises:
        InvalidOptions: Request-Timeout is no positive number.
    """
    settings, given = service_of(request).settings, request.headers.get("request-timeout")
    try:
        seconds = settings.default_timeout_s if given is None else float(given)
    except ValueError:
        seconds = 0.0
    if not (seconds > 0 and math.isfinite(seconds)):
        message = "must be a positive number of seconds"
        raise InvalidOptions([{"loc": ["header", "Request-Timeout"], "msg": message, "type": "value_error"}])
    return time.monotonic() + min(seconds, settings.max_timeout_s)


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Do the work, or drop it once the client has left. The body must have been read.

    Raises:
        ClientGone: it left.
    """

    async def left() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    task, watcher = asyncio.create_task(work), asyncio.create_task(left())
    try:
        await asyncio.wait((task, watcher), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGone
        return task.result()
    finally:
        task.cancel()
        watcher.cancel()


def head(request: Request, model: Model, identity: Identity) -> dict[str, str]:
    """The headers of every image answer."""
    headers = {"X-Model": model.label, "X-Model-Digest": model.digest, "X-Request-ID": request_id(request)}
    return headers | {"X-Content-Type-Options": "nosniff", "Vary": "Accept", "ETag": identity.etag}


def answered(request: Request, answer: Answer, envelope: Envelope, headers: dict[str, str]) -> Response:
    """Count and respond; only bare pictures have an ETag, since JSON holds the request's id and times."""
    seconds = {stage: ms / 1000 for stage, ms in answer.timings_ms.items()}
    service_of(request).metrics.answered(request.scope["route"].path, len(answer.files), seconds)
    if envelope is not Envelope.BYTES:
        headers = {name: value for name, value in headers.items() if name != "ETag"}
    return respond(answer, envelope, headers, request_id(request))


def check_background(background: str, image_format: ImageFormat) -> None:
    """Refuse a background that the format cannot hold.

    Raises:
        InvalidOptions: it is transparent, in JPEG.
    """
    if background == "transparent" and image_format is ImageFormat.JPEG:
        raise refuse("background", "JPEG cannot be transparent")


def digests(service: Service) -> str:
    return " ".join(model.digest for model in service.models.values())


@router.post("/generate", response_class=Response, responses=openapi.pictures())
async def generate(request: Request, options: GenerateRequest) -> Response:
    """Product pictures by category and seed."""
    service, until = service_of(request), deadline(request)
    envelope, image_format = negotiate(request.headers.get("accept", ""), options.format, options.count)
    model = service.find("generate", options.model)
    check_background(options.background, image_format)
    seed = secrets.randbelow(SEEDS) if options.seed is None else options.seed
    identity = Identity.of(options.model_dump_json(), seed, image_format, digests(service))
    headers = head(request, model, identity) | {"X-Seed": str(seed)}
    if envelope is Envelope.BYTES and not_modified(request, identity.etag):
        return Response(status_code=304, headers=headers)
    work = pipeline.generate(service, options, image_format, seed, until, identity)
    return answered(request, await unless_gone(request, work), envelope, headers)


@router.post(
    "/enhance",
    response_class=Response,
    responses=openapi.pictures(415),
    openapi_extra=openapi.upload(EnhanceOptions),
)
async def enhance(request: Request) -> Response:
    """An upload, sharper, cleaner, larger."""
    service, until = service_of(request), deadline(request)
    upload = await read_upload(request, EnhanceOptions)
    options: EnhanceOptions = upload.options
    if options.preset is not None:
        raise UnknownPreset("There is no such preset; GET /presets lists them.")
    envelope, image_format = negotiate(request.headers.get("accept", ""), options.format, 1)
    check_background(options.background, image_format)
    model = service.find("enhance")
    content = hashlib.sha256(upload.data).hexdigest()
    identity = Identity.of(content, options.model_dump_json(), image_format, digests(service))
    headers = head(request, model, identity)
    if envelope is Envelope.BYTES and not_modified(request, identity.etag):
        return Response(status_code=304, headers=headers)
    work = pipeline.enhance(service, upload.data, options, image_format, until, identity)
    answer, picture = await unless_gone(request, work)
    headers["X-Native-Size"] = f"{picture.width}x{picture.height}"
    return answered(request, answer, envelope, headers)


def described(service: Service, model: Model) -> dict[str, Any]:
    """A model's manifest for clients, and what it runs on here."""
    facts = model.manifest.model_dump(exclude={"recipe", "file"})
    provider = service.providers[model.manifest.name]
    return {**facts, "digest": model.digest, "provider": provider, "active": True}


@router.get("/models")
async def models(request: Request) -> dict[str, Any]:
    """Every model in use."""
    service = service_of(request)
    return {"models": [described(service, model) for model in service.models.values()]}


@router.get("/models/{name}", responses=openapi.problems(404))
async def one_model(request: Request, name: str) -> dict[str, Any]:
    """One model."""
    service = service_of(request)
    found = service.models.get(name)
    if found is None:
        raise UnknownModel("No such model is in the repository.")
    return described(service, found)


@router.get("/categories", responses=openapi.problems(404))
async def categories(request: Request) -> dict[str, Any]:
    """What `/generate` can make."""
    return {"categories": list(service_of(request).find("generate").manifest.classes)}


@router.get("/presets")
async def presets() -> dict[str, Any]:
    """The marketplace presets: none yet."""
    return {"presets": []}


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process lives."""
    return {"status": "alive"}


@router.get("/readyz", responses=openapi.problems(503))
async def readyz(request: Request) -> dict[str, str]:
    """All models are loaded and warm."""
    if not service_of(request).is_ready():
        raise Draining
    return {"status": "ready"}


@router.get("/metrics", response_class=PlainTextResponse)
async def scrape(request: Request) -> Response:
    """For Prometheus."""
    return Response(service_of(request).metrics.exposition(), media_type=metrics.CONTENT_TYPE)


@router.get("/", include_in_schema=False)
async def root() -> RedirectResponse:
    return RedirectResponse("/docs")
