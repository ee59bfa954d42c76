"""One serving process: uvicorn with our signals. It drains before it stops, and reloads while it serves."""

from __future__ import annotations

import asyncio
import logging
import resource
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import Scope
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from app.main import create_app
from app.metrics import Metrics
from app.protocol import Protocol
from app.scopes import header
from app.service import Service
from app.settings import Settings
from app.supervisor import SIGNALS
from app.traces import from_environment

log = logging.getLogger("vitrine")
KEEP_ALIVE_S = 75
SHUTDOWN_S = 5
FORWARDED = (b"x-forwarded-for", b"x-forwarded-proto")


class Server(uvicorn.Server):
    """Uvicorn that stops when told by `serve` alone."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Proxied(ProxyHeadersMiddleware):
    """Uvicorn's reading of what proxies say, without its look at the caller's address where none says anything."""

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:  # type: ignore[override]  # noqa: ANN401
        said = scope["type"] == "http" and any(header(scope, name) for name in FORWARDED)
        await (super().__call__(scope, receive, send) if said else self.app(scope, receive, send))  # type: ignore[arg-type]


def raise_file_limit() -> None:
    """A descriptor each connection: as many as this process may have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def serve(settings: Settings, listener: socket.socket, parent: int, folder: Path | None) -> int:
    """Serve on a bound socket until SIGTERM, or until the pipe `parent` closes because the supervisor is gone.

    Metrics are shared through `folder`, if there is one. Gives the exit code: 0 when all accepted requests were
    answered.
    """
    raise_file_limit()
    service = Service(settings, Metrics(folder), traces=from_environment())
    gate = create_app(service)
    config = uvicorn.Config(
        gate,
        http=partial(Protocol, gate),  # type: ignore[arg-type]  # whatever makes one
        server_header=False,
        access_log=settings.access_log,
        log_config=None,  # as everything else
        log_level=settings.log_level,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=SHUTDOWN_S,
        backlog=2048,
        proxy_headers=False,  # as below
    )
    if settings.log_level == "info":  # its own news, under the name uvicorn.error, look like trouble and repeat ours
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    config.load()
    config.loaded_app = Proxied(config.loaded_app, config.forwarded_allow_ips)
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        return runner.run(attended(service, Server(config), listener, parent))


async def attended(service: Service, server: Server, listener: socket.socket, parent: int) -> int:
    """Serve, and do what signals say."""
    loop, code = asyncio.get_running_loop(), 0
    stop, tasks = asyncio.Event(), set[asyncio.Task[None]]()

    async def reload() -> None:
        async with reloading:
            await asyncio.to_thread(service.reload)

    def on_hangup() -> None:
        task = loop.create_task(reload())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    reloading = asyncio.Lock()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, on_hangup)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    loop.add_reader(parent, stop.set)
    serving = loop.create_task(server.serve([listener]))
    stopping = loop.create_task(stop.wait())
    await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
    loop.remove_reader(parent)
    if not serving.done():
        log.info("draining: %d requests in flight", service.admission.in_flight)
        if not await service.admission.drained(service.settings.drain_s):
            log.error("%d requests were not finished in time", service.admission.in_flight)
            code = 1
        server.should_exit = True
    stopping.cancel()
    await serving
    return code
