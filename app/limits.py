"""The first thing that a request meets: let in or refused, counted while it streams, measured when it ends."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.admission import Admission, Ticket
from app.echoes import Echoes, Like
from app.errors import AppError, BodyTimeout, ClientGone, Draining, InvalidOptions, stated
from app.keys import Key
from app.logs import REQUEST
from app.scopes import header, request_id
from app.service import Service

log = logging.getLogger("vitrine")
encoded: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
NO_SNIFFING: Final = ("X-Content-Type-Options", "nosniff")
SHOWN: Final = (
    "ETag", "RateLimit", "RateLimit-Policy", "Retry-After", "Server-Timing", "X-Model", "X-Model-Digest",
    "X-Native-Size", "X-Preset-Compliance", "X-Request-ID", "X-Seed",
)  # fmt: skip
"""What pages of other origins may read of an answer, beside its body."""
TAKEN: Final = (
    "Accept", "Authorization", "Content-Type", "If-None-Match", "Request-Timeout", "X-API-Key", "X-Request-ID",
)  # fmt: skip


def problem(scope: Scope, service: Service, error: AppError) -> Response:
    """An error as RFC 9457 has it, counted."""
    service.metrics.refused(error.code)
    body, headers = problem_parts(request_id(scope), error)
    return Response(body, error.status, headers)


@lru_cache(maxsize=100)
def problem_start(code: str, title: str, status: int, detail: str) -> str:
    """A problem's body, as `AppError.problem` has it, up to the request's id; the same each time under overload."""
    return f'{encoded(stated(code, title, status, detail))[:-1]},"request_id":"'


def problem_parts(name: str, error: AppError) -> tuple[bytes, dict[str, str]]:
    """A problem's body and the fields of its head; `name` is the request's id."""
    start = problem_start(error.code, error.title, error.status, str(error))
    rest = f',"errors":{encoded(error.errors)}' if isinstance(error, InvalidOptions) else ""
    body = f'{start}{name}"{rest}}}'.encode()
    headers = {"Content-Type": "application/problem+json", "X-Request-ID": name, **error.headers}
    headers[NO_SNIFFING[0]] = NO_SNIFFING[1]
    if isinstance(error, Draining):
        headers["Connection"] = "close"
    return body, headers


class Body:
    """A request's `receive`, which counts what comes and stops what comes too slowly.

    Raises:
        BodyTooLarge, BodyTimeout, Draining, Overloaded: inside the route that reads the body; `Gate` renders them.
    """

    def __init__(self, receive: Receive, admission: Admission, ticket: Ticket) -> None:
        self._receive, self._admission, self._ticket = receive, admission, ticket
        self._whole = False
        self._until = time.monotonic() + admission.settings.body_timeout_s

    async def __call__(self) -> Message:
        if self._whole:  # from here on one waits for the client to leave
            return await self._receive()
        timeout = self._admission.reading(self._until)
        try:
            async with timeout:
                message = await self._receive()
        except TimeoutError:
            if self._admission.draining:
                raise Draining from None
            limit = self._admission.settings.body_timeout_s
            raise BodyTimeout(f"The body did not arrive within {limit:g} s.") from None
        finally:
            self._admission.read(timeout)
        self._whole = not message.get("more_body", False)
        self._admission.hold_bytes(self._ticket, len(message.get("body", b"")))
        return message


Endpoint = Callable[[Request], Awaitable[Response]]


class Gate:
    """The ASGI application in front of FastAPI's: refuses at the head, counts and times by route and status.

    Requests that compute go from here straight to their endpoint: the way through FastAPI's layers costs as much
    processor time as a tenth of a generated picture.
    """

    def __init__(self, app: ASGIApp, endpoints: Mapping[str, Endpoint], service: Service) -> None:
        """`endpoints` are those of `app` that compute, by path; they answer POST."""
        self.app, self._endpoints, self._service = app, endpoints, service
        self._echoes = Echoes()
        self._paths = {path.encode(): path for path in endpoints}
        origins = service.settings.cors_origins
        self._first: ASGIApp = self._measured
        if origins:
            self._first = CORSMiddleware(
                self._measured, origins, allow_methods=("GET", "POST"), allow_headers=TAKEN, expose_headers=SHOWN
            )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (self._first if scope["type"] == "http" else self.app)(scope, receive, send)

    async def _measured(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun, status = time.monotonic(), 500
        scope["vitrine.service"] = self._service
        REQUEST.set(scope)

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message).setdefault(*NO_SNIFFING)
            await send(message)

        path, traces = scope["path"], self._service.traces
        endpoint = self._endpoints.get(path) if scope["method"] == "POST" else None
        trace = traces.begin(scope) if traces is not None and endpoint is not None else None
        try:
            if endpoint is None:
                await self.app(scope, receive, noted)
            else:
                response = await self._answer(endpoint, scope, receive)
                await response(scope, receive, noted)
        finally:
            route = path if endpoint else getattr(scope.get("route"), "path", "other")
            self._service.metrics.finished(route, status, time.monotonic() - begun)
            if trace is not None:
                trace.end(status)

    def turned_away(self, method: bytes, url: bytes, scope: Scope) -> AppError | None:
        """Why a request is refused at its head, counted; None for every other one, which is let in.

        Under overload most requests are refused, and to set up a task for each, or only what uvicorn makes of a head,
        would take the time of those that are not. So `scope` need not hold more than the caller and the fields.
        Requests through a proxy take the long way, on which their own address is found, and so do those of
        browsers' pages, whose refusals must say that they may be read.
        """
        path = self._paths.get(url.partition(b"?")[0]) if method == b"POST" else None
        if path is None or header(scope, b"x-forwarded-for") or header(scope, b"origin"):
            return None
        scope["path"] = path
        try:
            self._identify(scope)
            scope["vitrine.ticket"] = self._service.admission.enter(scope)
        except AppError as error:
            self._service.metrics.turned_away(path, error)
            self._echoes.add(Like.of(scope), error, time.monotonic())
            return error
        return None

    def echo(self, data: bytes, address: str, now: float) -> tuple[str, AppError] | None:
        """The id and the refusal, counted, of a request that is like one which was turned away a moment ago."""
        found = self._echoes.find(data, address, now)
        if found is None or self._service.admission.draining:
            return None
        path, name, error = found
        self._service.metrics.turned_away(path, error)
        return name, error

    def _identify(self, scope: Scope) -> None:
        """Find the caller's key, where keys are needed.

        Raises:
            Unauthorized, Forbidden: it has none for this route.
        """
        if self._service.keys is not None:
            scope["vitrine.key"] = self._service.keys.admit(scope, scope["path"].removeprefix("/"))

    @asynccontextmanager
    async def _counted(self, scope: Scope) -> AsyncIterator[dict[str, str]]:
        """Hold a request to its key's limits; gives the fields of the answer that tell them.

        Raises:
            RateLimited, TooManyAtOnce: they are used up.
        """
        key: Key | None = scope.get("vitrine.key")
        if key is None:
            yield {}
            return
        fields = await self._service.rates.enter(key)
        try:
            yield fields
        except AppError as error:
            error.headers |= fields
            raise
        finally:
            await self._service.rates.leave(key)

    async def _answer(self, endpoint: Endpoint, scope: Scope, receive: Receive) -> Response:
        """Let a request in and have it answered; every error becomes its problem."""
        admission = self._service.admission
        try:
            if "vitrine.ticket" not in scope:
                self._identify(scope)
                scope["vitrine.ticket"] = admission.enter(scope)
            ticket, answered = scope["vitrine.ticket"], False
            try:
                async with self._counted(scope) as fields:
                    response = await endpoint(Request(scope, Body(receive, admission, ticket)))
                response.headers.update(fields)
                answered = True
                return response
            finally:
                admission.leave(ticket, scope["path"], answered)
        except AppError as error:
            return problem(scope, self._service, error)
        except ClientDisconnect:
            return problem(scope, self._service, ClientGone())
        except asyncio.CancelledError:
            if not admission.draining:
                raise
            return problem(scope, self._service, Draining())  # it outlasted the time that there was
        except Exception:
            log.exception("request %s failed", request_id(scope))
            return problem(scope, self._service, AppError("Something went wrong here; it is in the log."))
