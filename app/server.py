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
from typing import Any, cast

import uvicorn
from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from app.errors import AppError, BadRequest, HeadTooLarge
from app.limits import Gate, problem_parts
from app.main import create_app
from app.metrics import Metrics
from app.service import Service
from app.settings import Settings
from app.supervisor import SIGNALS

log = logging.getLogger("vitrine")
KEEP_ALIVE_S = 75
SHUTDOWN_S = 5
MAX_HEAD_BYTES = 65536
"""Of a request's head, and of what is no body between the parts of a chunked one and after it."""


class Server(uvicorn.Server):
    """Uvicorn that stops when told by `serve` alone."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Coalescing:
    """A transport that writes once what was written to it within one turn of the event loop.

    Uvicorn writes the head and the body of an answer separately, and for a small picture a system call is dear.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._parts: list[bytes] = []

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  # whatever the transport has
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(data)

    def _flush(self) -> None:
        if self._parts:
            data, self._parts = b"".join(self._parts), []
            self._transport.write(data)

    def write_now(self, data: bytes) -> None:
        """Write a whole answer."""
        if self._parts:
            self.write(data)
        else:
            self._transport.write(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()


class Protocol(HttpToolsProtocol):
    """Uvicorn's, on such a transport. It refuses at once what the gate turns away, and heads that have no end."""

    def __init__(self, gate: Gate, **arguments: Any) -> None:  # noqa: ANN401  # uvicorn's own
        super().__init__(**arguments)
        self._gate = gate
        self._barren = 0
        self._over = False  # the request that is being read has been answered: the rest of it is not looked at

    def data_received(self, data: bytes) -> None:
        self._barren += len(data)
        super().data_received(data)
        if self._barren > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refuse(HeadTooLarge(f"The head is over {MAX_HEAD_BYTES} bytes."))

    def on_message_begin(self) -> None:
        self._over = False
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._barren = 0
        if not self._turned_away():
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._barren = 0
        if not self._over:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._barren = 0
        if not self._over:
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(BadRequest(msg))

    def _refuse(self, error: AppError) -> None:
        """Answer what never became a request, and hang up."""
        self._write(error, *problem_parts({"type": "http", "headers": []}, error), keep=False)

    def _write(self, error: AppError, body: bytes, fields: dict[str, str], *, keep: bool) -> None:
        """Answer with a problem, and hang up unless the connection is to be kept."""
        fields["Content-Length"] = str(len(body))
        if not keep:
            fields["Connection"] = "close"
        lines = [f"{name}: {value}\r\n" for name, value in fields.items()]
        dates = [b"%b: %b\r\n" % field for field in self.server_state.default_headers]
        head = "".join(lines).encode("latin-1")
        self._wire.write_now(b"".join([STATUS_LINE[error.status], *dates, head, b"\r\n", body]))
        if not keep:
            self.transport.close()

    def _turned_away(self) -> bool:
        """Whether the request is refused at its head: before uvicorn makes a cycle of it, and asyncio a task."""
        busy = self.cycle is not None and not self.cycle.response_complete
        if busy or self.access_log or self.parser.should_upgrade():
            return False  # the log is written on the long way
        scope = cast("Scope", self.scope)
        error = self._gate.turned_away(self.parser.get_method(), self.url, scope)
        if error is None:
            return False
        self._over = True
        body, fields = problem_parts(scope, error)
        keep = "Connection" not in fields and self.parser.should_keep_alive()
        self._write(error, body, fields, keep=keep and self.parser.get_http_version() != "1.0")
        self.on_response_complete()
        return True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._wire = Coalescing(transport, self.loop)
        super().connection_made(self._wire)  # type: ignore[arg-type]


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
    service = Service(settings, Metrics(folder))
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
    )
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
