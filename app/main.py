"""The HTTP service: so far `/generate` and what one reads."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import re
import secrets
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import numpy as np
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from starlette.exceptions import HTTPException

from app import __version__
from app.batching import Batcher
from app.errors import AppError, InvalidOptions, NotAcceptable, NotFound, UnknownCategory, UnknownModel
from app.images import Pixels, encode, over, resize
from app.limits import BodyLimit
from app.provenance import xmp_packet
from app.repository import Model
from app.schemas import GenerateRequest
from app.sessions import Session
from app.settings import Settings
from app.tasks.generate import SEEDS, drawn_label, latent, mixed

log = logging.getLogger("vitrine")
SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def create_app(settings: Settings, models: dict[str, Model]) -> FastAPI:
    """The application; every model is loaded before it takes requests."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.batchers = {
            name: Batcher(Session(model.data).run, workers=settings.workers, max_batch=settings.max_batch)
            for name, model in models.items()
        }
        app.state.ready = True
        yield
        app.state.ready = False
        for batcher in app.state.batchers.values():
            await asyncio.to_thread(batcher.close)

    app = FastAPI(title="Vitrine", version=__version__, lifespan=lifespan)
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes)
    app.state.settings, app.state.models = settings, models
    app.add_exception_handler(AppError, render_error)
    app.add_exception_handler(HTTPException, render_http)
    app.add_exception_handler(RequestValidationError, render_validation)
    app.add_exception_handler(Exception, render_unexpected)
    add_routes(app)
    return app


def problem(request: Request, error: AppError) -> JSONResponse:
    """RFC 9457."""
    body: dict[str, Any] = {
        "type": f"urn:vitrine:problem:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": str(error),
        "request_id": request_id(request),
    }
    if isinstance(error, InvalidOptions):
        body["errors"] = error.errors
    headers = {**error.headers, "X-Request-ID": body["request_id"]}
    return JSONResponse(body, error.status, headers, media_type="application/problem+json")


def request_id(request: Request) -> str:
    """The caller's own id if it is sane, else one of ours; the same for the whole request."""
    if not hasattr(request.state, "id"):
        given = request.headers.get("x-request-id", "")
        request.state.id = given if SANE_ID.fullmatch(given) else uuid.uuid4().hex
    return str(request.state.id)


async def render_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, AppError)  # noqa: S101  # what it is registered for
    return problem(request, error)


async def render_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  # what it is registered for
    if isinstance(error.__cause__, AppError):  # FastAPI wraps what reading the body raised
        return problem(request, error.__cause__)
    named = NotFound("There is nothing at this path.")
    if error.status_code != 404:
        named = NotFound(error.detail)
        named.status, named.code, named.title = error.status_code, "http", error.detail  # type: ignore[misc]
    return problem(request, named)


async def render_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101  # what it is registered for
    errors = [{"loc": [str(part) for part in e["loc"]], "msg": e["msg"], "type": e["type"]} for e in error.errors()]
    return problem(request, InvalidOptions(errors))


async def render_unexpected(request: Request, error: Exception) -> Response:
    log.error("request %s failed: %s", request_id(request), type(error).__name__)
    return problem(request, AppError("Something went wrong here; it is in the log."))


def find_generator(models: dict[str, Model], wanted: str | None) -> Model:
    """The generator that a request asks for, by name or name@version; the first one by default."""
    generators = [model for model in models.values() if model.manifest.task == "generate"]
    for model in generators:
        if wanted in (None, model.manifest.name, model.label):
            return model
    raise UnknownModel("No such generator is in the repository.")


def deadline(request: Request, settings: Settings) -> float:
    """When the caller's patience ends, on time.monotonic's clock."""
    given = request.headers.get("request-timeout")
    try:
        seconds = settings.default_timeout_s if given is None else float(given)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        message = "must be a positive number of seconds"
        raise InvalidOptions([{"loc": ["header", "Request-Timeout"], "msg": message, "type": "value_error"}])
    return time.monotonic() + min(seconds, settings.max_timeout_s)


def finish(rgba: Pixels, options: GenerateRequest, xmp: bytes) -> tuple[bytes, int]:
    """Background, size and encoding of one picture: the file and its side in px."""
    side = options.size or rgba.shape[0]
    rgba = resize(rgba, side, side)
    pixels = rgba
    if options.background != "transparent":
        colour = "#ffffff" if options.background == "white" else options.background
        pixels = over(rgba, (int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)))
    return encode(pixels, options.image_format, options.quality, xmp), side


def rows_of(options: GenerateRequest, seeds: list[int], model: Model) -> list[dict[str, Any]]:
    """The model's inputs, a row each picture."""
    classes = model.manifest.classes
    if options.category is not None and options.category not in classes:
        raise UnknownCategory("The model has no such category; GET /categories lists them.")
    rows = []
    for seed in seeds:
        z = latent(seed)
        if options.mix is not None:
            z = mixed(z, latent(options.mix.seed), options.mix.amount)
        label = drawn_label(seed, len(classes)) if options.category is None else classes.index(options.category)
        rows.append({"z": z, "label": np.int64(label), "truncation": np.float32(options.truncation)})
    return rows


def chosen_options(options: GenerateRequest, accept: str) -> tuple[GenerateRequest, bool]:
    """The options with the format that Accept picks, and whether the answer is JSON."""
    kinds = [part.split(";")[0].strip().lower() for part in accept.split(",") if part.strip()] or ["*/*"]
    for kind in kinds:
        if kind == "application/json":
            return options, True
        if kind in ("*/*", "image/*"):
            break
        if kind in ("image/png", "image/jpeg", "image/webp", "image/avif"):
            options = options.model_copy(update={"format": options.format or kind.split("/")[1]})
            break
    else:
        raise NotAcceptable("The answer can be image/png, image/jpeg, image/webp, image/avif or application/json.")
    if options.count > 1:
        if "*/*" not in kinds and "application/json" not in kinds:
            raise NotAcceptable("Several images come as application/json.")
        return options, True
    return options, False


async def generate(request: Request, options: GenerateRequest) -> Response:
    """Product pictures by category and seed."""
    state, begun = request.app.state, time.monotonic()
    until = deadline(request, state.settings)
    options, as_json = chosen_options(options, request.headers.get("accept", ""))
    model = find_generator(state.models, options.model)
    if options.background == "transparent" and options.format == "jpeg":
        message = "JPEG cannot be transparent"
        raise InvalidOptions([{"loc": ["body", "background"], "msg": message, "type": "value_error"}])
    if options.size is not None and options.size > model.manifest.size:
        raise UnknownModel("Sizes over the native one need the enhancer, which is not in the repository.")
    seed = secrets.randbelow(SEEDS) if options.seed is None else options.seed
    seeds = [(seed + i) % SEEDS for i in range(options.count)]
    rows = rows_of(options, seeds, model)
    day = datetime.now(UTC).date().isoformat()
    basis = f"{options.model_dump_json()} {seed} {model.digest} {__version__} {day}"
    tag = f'"{hashlib.sha256(basis.encode()).hexdigest()[:32]}"'
    headers = {"X-Model": model.label, "X-Model-Digest": model.digest, "X-Seed": str(seed)}
    headers |= {"X-Request-ID": request_id(request), "X-Content-Type-Options": "nosniff", "Vary": "Accept"}
    if not as_json:
        headers["ETag"] = tag
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
    pictures = await state.batchers[model.manifest.name].submit(rows, until)
    inferred = time.monotonic()
    files = []
    for index, picture in enumerate(pictures):
        xmp = xmp_packet(
            source="trainedAlgorithmicMedia",
            tool=f"Vitrine {__version__}",
            day=day,
            identifier=uuid.uuid5(uuid.NAMESPACE_OID, f"{basis} {index}").urn,
            model=model.label,
            digest=model.digest,
        )
        files.append(await asyncio.to_thread(finish, picture, options, xmp))
    timings = {"infer": 1000 * (inferred - begun), "encode": 1000 * (time.monotonic() - inferred)}
    headers["Server-Timing"] = ", ".join(f"{name};dur={value:.1f}" for name, value in timings.items())
    if not as_json:
        return Response(files[0][0], headers=headers, media_type=options.image_format.media_type)
    images = [
        {
            "data": base64.b64encode(data).decode(),
            "media_type": options.image_format.media_type,
            "width": side,
            "height": side,
            "seed": one,
        }
        for (data, side), one in zip(files, seeds, strict=True)
    ]
    body = {"images": images, "model": model.label, "model_digest": model.digest}
    return JSONResponse({**body, "request_id": request_id(request), "timings_ms": timings}, headers=headers)


def add_routes(app: FastAPI) -> None:
    """All routes."""

    def described(model: Model) -> dict[str, Any]:
        facts = model.manifest.model_dump(exclude={"recipe", "file"})
        return {**facts, "digest": model.digest, "active": True}

    async def models(request: Request) -> dict[str, Any]:
        return {"models": [described(model) for model in request.app.state.models.values()]}

    async def one_model(request: Request, name: str) -> dict[str, Any]:
        if name not in request.app.state.models:
            raise UnknownModel("No such model is in the repository.")
        return described(request.app.state.models[name])

    async def categories(request: Request) -> dict[str, Any]:
        return {"categories": list(find_generator(request.app.state.models, None).manifest.classes)}

    async def healthz() -> dict[str, str]:
        return {"status": "alive"}

    async def readyz(request: Request) -> dict[str, str]:
        return {"status": "ready" if request.app.state.ready else "draining"}

    async def root() -> RedirectResponse:
        return RedirectResponse("/docs")

    app.post("/generate", response_model=None)(generate)
    app.get("/models")(models)
    app.get("/models/{name}")(one_model)
    app.get("/categories")(categories)
    app.get("/healthz")(healthz)
    app.get("/readyz")(readyz)
    app.get("/", include_in_schema=False)(root)
