"""The application: its parts put together, and every error rendered in one place."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from app import __version__, openapi, pages
from app.errors import AppError, BadRequest, MethodNotAllowed, NotFound
from app.limits import Gate, problem
from app.routes import compose, enhance, generate, inspect, restyle, router, service_of
from app.scopes import request_id
from app.service import Service, settle
from app.studio import studio

log = logging.getLogger("vitrine")
REFRESH_S = 1.0


def create_app(service: Service) -> Gate:
    """The application; every model is loaded and warm before it takes requests."""

    async def keep_fresh() -> None:
        while True:
            await asyncio.to_thread(service.metrics.refresh)
            await asyncio.sleep(REFRESH_S)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(service.start)
        log.info("ready")
        settle()
        fresh = asyncio.create_task(keep_fresh())
        yield
        fresh.cancel()
        await service.rates.close()
        await asyncio.to_thread(service.stop)

    app = FastAPI(
        title="Vitrine", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None,
        description=openapi.ABOUT, openapi_tags=openapi.TAGS,
    )  # fmt: skip
    app.openapi = openapi.document(app)  # type: ignore[method-assign]  # as FastAPI's own manual does
    app.add_exception_handler(AppError, render_error)
    app.add_exception_handler(HTTPException, render_http)
    app.add_exception_handler(Exception, render_unexpected)
    app.include_router(router)
    app.include_router(pages.router)
    app.include_router(studio())
    computing = {"/generate": generate, "/enhance": enhance, "/compose": compose, "/restyle": restyle}
    return Gate(app, {**computing, "/inspect": inspect}, service)


def rendered(request: Request, error: AppError) -> Response:
    return problem(request.scope, service_of(request), error)


async def render_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, AppError)  # noqa: S101  # what it is registered for
    return rendered(request, error)


async def render_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  # what it is registered for
    if isinstance(error.__cause__, AppError):  # FastAPI wraps what reading the body raised
        return rendered(request, error.__cause__)
    if error.status_code == 404:
        return rendered(request, NotFound("There is nothing at this path."))
    if error.status_code == 405:
        allow = (error.headers or {}).get("Allow", "")
        return rendered(request, MethodNotAllowed("This path has other methods.", Allow=allow))
    return rendered(request, BadRequest("The request could not be read."))


async def render_unexpected(request: Request, error: Exception) -> Response:
    log.error("request %s failed: %s", request_id(request.scope), type(error).__name__)
    return rendered(request, AppError("Something went wrong here; it is in the log."))
