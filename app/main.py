"""The application: its parts put together, and every error rendered in one place."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import __version__
from app.errors import AppError, BadRequest, InvalidOptions, MethodNotAllowed, NotFound
from app.limits import BodyLimit
from app.metrics import Metrics
from app.pipeline import Service
from app.repository import Model
from app.routes import request_id, router, service_of
from app.settings import Settings

log = logging.getLogger("vitrine")


class Measured:
    """ASGI middleware that counts and times requests by route and status."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        begun, status = time.monotonic(), 500

        async def noted(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            return await self.app(scope, receive, noted)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self.metrics.finished(route, status, time.monotonic() - begun)


def create_app(settings: Settings, models: dict[str, Model]) -> FastAPI:
    """The application; every model is loaded and warm before it takes requests."""
    metrics = Metrics()
    service = Service(settings, models, metrics)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(service.start)
        yield
        await asyncio.to_thread(service.stop)

    app = FastAPI(title="Vitrine", version=__version__, lifespan=lifespan)
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes, timeout_s=settings.body_timeout_s)
    app.add_middleware(Measured, metrics=metrics)
    app.state.service = service
    app.add_exception_handler(AppError, render_error)
    app.add_exception_handler(HTTPException, render_http)
    app.add_exception_handler(RequestValidationError, render_validation)
    app.add_exception_handler(Exception, render_unexpected)
    app.include_router(router)
    return app


def problem(request: Request, error: AppError) -> JSONResponse:
    """RFC 9457."""
    service_of(request).metrics.refusals.labels(error.code).inc()
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


async def render_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, AppError)  # noqa: S101  # what it is registered for
    return problem(request, error)


async def render_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  # what it is registered for
    if isinstance(error.__cause__, AppError):  # FastAPI wraps what reading the body raised
        return problem(request, error.__cause__)
    if error.status_code == 404:
        return problem(request, NotFound("There is nothing at this path."))
    if error.status_code == 405:
        allow = (error.headers or {}).get("Allow", "")
        return problem(request, MethodNotAllowed("This path has other methods.", Allow=allow))
    return problem(request, BadRequest("The request could not be read."))


async def render_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101  # what it is registered for
    errors = [{"loc": [str(part) for part in e["loc"]], "msg": e["msg"], "type": e["type"]} for e in error.errors()]
    return problem(request, InvalidOptions(errors))


async def render_unexpected(request: Request, error: Exception) -> Response:
    log.error("request %s failed: %s", request_id(request), type(error).__name__)
    return problem(request, AppError("Something went wrong here; it is in the log."))
