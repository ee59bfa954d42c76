"""The two clients. They send what `calls` describes; each route is a method of both, with the same arguments."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from types import TracebackType
from typing import Any, Concatenate, Final, ParamSpec, Self, TypeVar

import httpx

from vitrine_client import calls
from vitrine_client.calls import Call
from vitrine_client.errors import Unreachable, VitrineError, problem_of
from vitrine_client.retrying import Attempts, Retries

P = ParamSpec("P")
T = TypeVar("T")
DEFAULT: Final = Retries()
NEVER: Final = Retries(attempts=1)
GRACE_S: Final = 1.0
"""How much longer than its deadline the service's answer is waited for, so that it can say why there is none."""


def _as_method(build: Callable[..., Any], send: Callable[..., Any]) -> Any:  # noqa: ANN401  # typed by who calls it
    """Give a method the name, words and arguments of the call that it sends."""
    wraps(build)(send)
    itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    signature = inspect.signature(build)
    send.__signature__ = signature.replace(parameters=[itself, *signature.parameters.values()])  # type: ignore[attr-defined]
    return send


def _sync(build: Callable[P, Call[T]]) -> Callable[Concatenate[Client, P], T]:
    def send(self: Client, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.send(build(*args, **kwargs))

    return _as_method(build, send)  # type: ignore[no-any-return]


def _async(build: Callable[P, Call[T]]) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]:
    async def send(self: AsyncClient, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.send(await asyncio.to_thread(build, *args, **kwargs))  # it may read files

    return _as_method(build, send)  # type: ignore[no-any-return]


def _headers(key: str | None) -> dict[str, str]:
    return {"Accept": "application/json"} | ({} if key is None else {"Authorization": f"Bearer {key}"})


def _arguments(call: Call[Any], attempts: Attempts) -> dict[str, Any]:
    """What httpx wants. The service is told how long the answer is waited for."""
    attempts.sent += 1
    left = attempts.left_s
    told = {"Request-Timeout": f"{left:.3f}"} if call.method == "POST" else {}
    return {"method": call.method, "url": call.path, "headers": told, "timeout": left + GRACE_S, **call.body}


def _result(call: Call[T], response: httpx.Response) -> T:
    """What a good answer holds.

    Raises:
        Problem: it is none.
    """
    if response.status_code != 200:
        raise problem_of(response)
    return call.read(response)


class Client:
    """Waits for each answer. To be closed, or used in a `with`; threads may share one."""

    def __init__(
        self, url: str = "http://127.0.0.1:8000", *, key: str | None = None, timeout_s: float = 120.0,
        retries: Retries = DEFAULT, transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:  # fmt: skip
        """`timeout_s` is for a call with all its repetitions; the service is told, and drops what comes too late."""
        self._http = httpx.Client(base_url=url, headers=_headers(key), transport=transport)
        self._timeout_s, self._retries, self._sleep = timeout_s, retries, sleep

    def send(self, call: Call[T]) -> T:
        """Send a call until there is an answer.

        Raises:
            Problem, Unreachable: there is none.
        """
        attempts = Attempts(self._retries if call.patient else NEVER, self._timeout_s)
        while True:
            try:
                return _result(call, self._request(**_arguments(call, attempts)))
            except VitrineError as error:
                self._sleep(attempts.wait(error))

    def _request(self, **arguments: Any) -> httpx.Response:  # noqa: ANN401  # httpx's
        try:
            return self._http.request(**arguments)
        except httpx.TransportError as error:
            raise Unreachable(f"{type(error).__name__}: {error}") from error

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    generate = _sync(calls.generate)
    enhance = _sync(calls.enhance)
    restyle = _sync(calls.restyle)
    compose = _sync(calls.compose)
    inspect = _sync(calls.inspect)
    models = _sync(calls.models)
    model = _sync(calls.model)
    categories = _sync(calls.categories)
    styles = _sync(calls.styles)
    presets = _sync(calls.presets)
    backdrops = _sync(calls.backdrops)
    healthz = _sync(calls.healthz)
    readyz = _sync(calls.readyz)
    metrics = _sync(calls.metrics)


class AsyncClient:
    """The same for asyncio. To be closed, or used in an `async with`."""

    def __init__(
        self, url: str = "http://127.0.0.1:8000", *, key: str | None = None, timeout_s: float = 120.0,
        retries: Retries = DEFAULT, transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:  # fmt: skip
        """As `Client`."""
        self._http = httpx.AsyncClient(base_url=url, headers=_headers(key), transport=transport)
        self._timeout_s, self._retries, self._sleep = timeout_s, retries, sleep

    async def send(self, call: Call[T]) -> T:
        """As `Client.send`."""
        attempts = Attempts(self._retries if call.patient else NEVER, self._timeout_s)
        while True:
            try:
                return _result(call, await self._request(**_arguments(call, attempts)))
            except VitrineError as error:
                await self._sleep(attempts.wait(error))

    async def _request(self, **arguments: Any) -> httpx.Response:  # noqa: ANN401  # httpx's
        try:
            return await self._http.request(**arguments)
        except httpx.TransportError as error:
            raise Unreachable(f"{type(error).__name__}: {error}") from error

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    generate = _async(calls.generate)
    enhance = _async(calls.enhance)
    restyle = _async(calls.restyle)
    compose = _async(calls.compose)
    inspect = _async(calls.inspect)
    models = _async(calls.models)
    model = _async(calls.model)
    categories = _async(calls.categories)
    styles = _async(calls.styles)
    presets = _async(calls.presets)
    backdrops = _async(calls.backdrops)
    healthz = _async(calls.healthz)
    readyz = _async(calls.readyz)
    metrics = _async(calls.metrics)
