"""The routes: they read a request, call the pipeline and wrap what it gives."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse

from app import composing, examples, inspecting, metrics, openapi, pipeline, restyling
from app.answers import Answer, Envelope, negotiate, not_modified, respond
from app.catalogue import Loaded
from app.errors import ClientGone, Draining, UnknownModel
from app.images import ImageFormat
from app.pipeline import Identity
from app.presets import Preset
from app.schemas import ComposeOptions, EnhanceOptions, GenerateRequest, InspectOptions, RestyleOptions
from app.scopes import request_id
from app.service import Call, Service
from app.tasks.backdrops import backdrops as shipped_backdrops
from app.tasks.generate import SEEDS
from app.uploads import Upload, read_json, read_upload, refuse

T = TypeVar("T")
router = APIRouter(generate_unique_id_function=lambda route: route.name)


def service_of(request: Request) -> Service:
    service: Service = request.scope["vitrine.service"]
    return service


def call_of(request: Request) -> Call:
    """The request on its way: from here on it sees the models of this moment, whatever is loaded meanwhile."""
    return Call(service_of(request).catalogue, request.scope["vitrine.ticket"], request.scope.get("vitrine.trace"))


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Do the work, or drop it once the client has left. The body must have been read.

    Raises:
        ClientGone: it left.
    """
    worker, gone = asyncio.current_task(), False

    async def left() -> None:
        nonlocal gone
        while (await request.receive())["type"] != "http.disconnect":
            pass
        gone = True
        if worker:
            worker.cancel()

    watcher = asyncio.ensure_future(left())
    try:
        return await work
    except asyncio.CancelledError:
        if not gone or worker is None:
            raise
        worker.uncancel()
        raise ClientGone from None
    finally:
        watcher.cancel()


def head(request: Request, model: Loaded | None, identity: Identity) -> dict[str, str]:
    """The headers of every image answer; without a model where it is known only after a look at the upload."""
    headers = {} if model is None else {"X-Model": model.label, "X-Model-Digest": model.digest}
    headers |= {"X-Request-ID": request_id(request.scope), "X-Content-Type-Options": "nosniff", "Vary": "Accept"}
    return headers | {"ETag": identity.etag}


def answered(request: Request, answer: Answer, envelope: Envelope, headers: dict[str, str]) -> Response:
    """Count and respond; only bare pictures have an ETag, since JSON holds the request's id and times."""
    seconds = {stage: ms / 1000 for stage, ms in answer.timings_ms.items()}
    service_of(request).metrics.answered(request.scope["path"], len(answer.files), seconds)
    headers = {"X-Model": answer.model, "X-Model-Digest": answer.digest, **headers}
    if answer.compliance is not None:
        headers["X-Preset-Compliance"] = "pass" if all(finding["ok"] for finding in answer.compliance) else "fail"
    if envelope is not Envelope.BYTES:
        headers = {name: value for name, value in headers.items() if name != "ETag"}
    return respond(answer, envelope, headers, request_id(request.scope))


def check_background(background: str, image_format: ImageFormat) -> None:
    """Refuse a background that the format cannot hold.

    Raises:
        InvalidOptions: it is transparent, in JPEG.
    """
    if background == "transparent" and image_format is ImageFormat.JPEG:
        raise refuse("background", "JPEG cannot be transparent")


@router.post(
    "/generate",
    tags=["pictures"],
    summary="Product pictures from nothing",
    response_class=Response,
    responses=openapi.pictures(*examples.OF_GENERATE),
    openapi_extra=openapi.json_body(GenerateRequest, examples.GENERATE),
)
async def generate(request: Request) -> Response:
    """Product pictures by category and seed."""
    call, service = call_of(request), service_of(request)
    options = read_json(await request.body(), request.headers.get("content-type", ""), GenerateRequest)
    envelope, image_format = negotiate(request.headers.get("accept", ""), options.format, options.count)
    model = call.catalogue.find("generate", options.model)
    check_background(options.background, image_format)
    seed = secrets.randbelow(SEEDS) if options.seed is None else options.seed
    identity = Identity.of(service, call, options.model_dump_json(), seed, image_format)
    headers = head(request, model, identity) | {"X-Seed": str(seed)}
    if envelope is Envelope.BYTES and not_modified(request, identity.etag):
        return Response(status_code=304, headers=headers)
    work = pipeline.generate(service, call, options, image_format, seed, identity)
    return answered(request, await unless_gone(request, work), envelope, headers)


@router.post(
    "/enhance",
    tags=["pictures"],
    summary="A photo, sharper, cleaner, larger",
    response_class=Response,
    responses=openapi.pictures(*examples.OF_ENHANCE),
    openapi_extra=openapi.upload(EnhanceOptions, examples.ENHANCE),
)
async def enhance(request: Request) -> Response:
    """An upload, sharper, cleaner, larger."""
    call, service = call_of(request), service_of(request)
    upload = await read_upload(request, EnhanceOptions)
    options: EnhanceOptions = upload.options
    preset = None if options.preset is None else service.presets.find(options.preset)
    envelope, image_format = negotiate_for(request, options.format, preset)
    check_background(options.background, image_format)
    call.catalogue.enhancers(options.scale, options.model)  # refused before the work, not after it
    headers = head(request, None, identity := identity_of(service, call, upload, image_format))
    if envelope is Envelope.BYTES and not_modified(request, identity.etag):
        return Response(status_code=304, headers=headers)
    if preset is None:
        work = pipeline.enhance(service, call, upload.image, options, image_format, identity)
    else:
        work = composing.for_marketplace(service, call, upload.image, options, image_format, preset, identity)
    answer, picture = await unless_gone(request, work)
    headers["X-Native-Size"] = f"{picture.width}x{picture.height}"
    return answered(request, answer, envelope, headers)


@router.post(
    "/compose",
    tags=["pictures"],
    summary="Products on another backdrop",
    response_class=Response,
    responses=openapi.pictures(*examples.OF_COMPOSE),
    openapi_extra=openapi.forms(ComposeOptions, examples.COMPOSE),
)
async def compose(request: Request) -> Response:
    """Products cut out of one to four photos, on another backdrop."""
    call, service = call_of(request), service_of(request)
    upload = await read_upload(request, ComposeOptions, {"image": (1, 4), "backdrop": (0, 1)})
    options: ComposeOptions = upload.options
    preset = None if options.preset is None else service.presets.find(options.preset)
    envelope, image_format = negotiate_for(request, options.format, preset)
    model = call.catalogue.find("cutout")
    headers = head(request, model, identity := identity_of(service, call, upload, image_format))
    if envelope is Envelope.BYTES and not_modified(request, identity.etag):
        return Response(status_code=304, headers=headers)
    photo = next(iter(upload.files["backdrop"]), None)
    work = composing.compose(service, call, upload.files["image"], photo, options, image_format, preset, identity)
    return answered(request, await unless_gone(request, work), envelope, headers)


@router.post(
    "/restyle",
    tags=["pictures"],
    summary="A photo in another style",
    response_class=Response,
    responses=openapi.pictures(*examples.OF_RESTYLE),
    openapi_extra=openapi.upload(RestyleOptions, examples.RESTYLE),
)
async def restyle(request: Request) -> Response:
    """An upload in another style: studio, colorway, sketch, from-sketch, or that of a model in the repository."""
    call, service = call_of(request), service_of(request)
    upload = await read_upload(request, RestyleOptions)
    options: RestyleOptions = upload.options
    model = restyling.model_of(call.catalogue, options)
    preset = None if options.preset is None else service.presets.find(options.preset)
    envelope, image_format = negotiate_for(request, options.format, preset)
    seed = secrets.randbelow(SEEDS) if options.seed is None else options.seed
    drawn = seed if options.style == "from-sketch" else ""
    identity = identity_of(service, call, upload, image_format, drawn)
    headers = head(request, model, identity)
    if options.style == "from-sketch":
        headers["X-Seed"] = str(seed)
    if envelope is Envelope.BYTES and not_modified(request, identity.etag):
        return Response(status_code=304, headers=headers)
    asked = restyling.Asked(options, image_format, preset, seed, identity)
    answer, picture = await unless_gone(request, restyling.restyle(service, call, upload.image, asked))
    headers["X-Native-Size"] = f"{picture.width}x{picture.height}"
    return answered(request, answer, envelope, headers)


@router.post(
    "/inspect",
    tags=["provenance"],
    summary="Marks of a picture",
    responses=openapi.marks(*examples.OF_INSPECT),
    openapi_extra=openapi.upload(InspectOptions, examples.INSPECT),
)
async def inspect(request: Request) -> Response:
    """Which marks a picture carries (XMP, China's label, content credentials, a hidden one), and their worth."""
    call, service = call_of(request), service_of(request)
    upload = await read_upload(request, InspectOptions)
    marks, picture = await unless_gone(request, inspecting.inspect(service, call, upload.image))
    name = request_id(request.scope)
    body = {"width": picture.width, "height": picture.height, "marks": marks, "request_id": name}
    return JSONResponse(body, headers={"X-Request-ID": name})


def negotiate_for(request: Request, wanted: str | None, preset: Preset | None) -> tuple[Envelope, ImageFormat]:
    """The envelope and format of one picture, which a preset may restrict.

    Raises:
        NotAcceptable: nothing that Accept allows can be made.
        InvalidOptions: the preset does not allow the format.
    """
    default = preset.default_format if preset else "webp"
    envelope, image_format = negotiate(request.headers.get("accept", ""), wanted, 1, default)
    if preset and image_format.value not in preset.formats:
        raise refuse("format", f"the preset wants {' or '.join(preset.formats)}")
    return envelope, image_format


def identity_of(service: Service, call: Call, upload: Upload, image_format: ImageFormat, *more: object) -> Identity:
    """What decides about the answer to a request with uploads, and `more` that does."""
    content = [name + hashlib.sha256(data).hexdigest() for name, found in upload.files.items() for data in found]
    rules = service.presets.digest(upload.options.preset)
    uploads = [data for found in upload.files.values() for data in found]
    options = upload.options.model_dump_json()
    return Identity.of(service, call, *content, options, *more, rules, image_format, uploads=uploads)


def described(loaded: Loaded) -> dict[str, Any]:
    """A model's manifest for clients, and what it runs on here."""
    facts = loaded.model.manifest.model_dump(exclude={"recipe", "file"})
    return {**facts, "digest": loaded.digest, "provider": loaded.engine.provider, "active": True}


@router.get("/models", tags=["catalogue"], summary="Every model in use")
async def list_models(request: Request) -> dict[str, Any]:
    """With their sizes, classes, licences, training data and measured quality."""
    return {"models": [described(loaded) for loaded in service_of(request).catalogue]}


@router.get(
    "/models/{name}",
    tags=["catalogue"],
    summary="One model",
    responses=openapi.problems(examples.UNKNOWN_MODEL),
)
async def get_model(request: Request, name: str) -> dict[str, Any]:
    """As in the list, by its name."""
    found = service_of(request).catalogue.named(name)
    if found is None:
        raise UnknownModel("No such model is in the repository.")
    return described(found)


@router.get(
    "/categories",
    tags=["catalogue"],
    summary="Categories of /generate",
    responses=openapi.problems(examples.UNKNOWN_MODEL),
)
async def list_categories(request: Request) -> dict[str, Any]:
    """What `/generate` can make."""
    return {"categories": list(service_of(request).catalogue.find("generate").model.manifest.classes)}


@router.get("/styles", tags=["catalogue"], summary="Styles of /restyle")
async def list_styles(request: Request) -> dict[str, Any]:
    """What `/restyle` can do, and the categories of products that it makes of drawings."""
    catalogue = service_of(request).catalogue
    model = catalogue.first("from-sketch")
    return {"styles": restyling.styles(catalogue), "categories": list(model.model.manifest.classes) if model else []}


@router.get("/presets", tags=["catalogue"], summary="Marketplaces' rules")
async def list_presets(request: Request) -> dict[str, Any]:
    """The marketplaces' rules that an answer can be made to keep."""
    return {"presets": service_of(request).presets.listed()}


@router.get("/backdrops", tags=["catalogue"], summary="Backdrops of /compose")
async def list_backdrops() -> dict[str, Any]:
    """What `/compose` can lay products on, beside colours and files."""
    return {"backdrops": [{"name": one.name, "title": one.title} for one in shipped_backdrops().values()]}


@router.get("/healthz", tags=["operation"], summary="Whether the process lives")
async def check_health() -> dict[str, str]:
    """The process lives."""
    return {"status": "alive"}


@router.get(
    "/readyz",
    tags=["operation"],
    summary="Whether work is taken",
    responses=openapi.problems(examples.DRAINING),
)
async def check_readiness(request: Request) -> dict[str, str]:
    """All models are loaded and warm."""
    if not service_of(request).is_ready():
        raise Draining
    return {"status": "ready"}


@router.get("/metrics", tags=["operation"], summary="Figures for Prometheus", response_class=PlainTextResponse)
async def get_metrics(request: Request) -> Response:
    """In Prometheus' text format."""
    text = await asyncio.to_thread(service_of(request).metrics.exposition)
    return Response(text, media_type=metrics.CONTENT_TYPE)
