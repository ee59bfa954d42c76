"""HTTP/1.1 as uvicorn speaks it, with what costs most under load done otherwise."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final, cast

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from app.errors import AppError, BadRequest, HeadTooLarge
from app.limits import Gate, problem_parts
from app.scopes import new_id, request_id

MAX_HEAD_BYTES: Final = 65536
"""Of a request's head, and of what is no body between the parts of a chunked one and after it."""


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
        self._between = True  # no part of a request has come
        self._refused_at = 0.0
        self._over = False  # the request that is being read has been answered: the rest of it is not looked at

    def data_received(self, data: bytes) -> None:
        if self._echoed(data):
            return
        self._barren += len(data)
        super().data_received(data)
        if self._barren > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refuse(HeadTooLarge(f"The head is over {MAX_HEAD_BYTES} bytes."))

    def on_message_begin(self) -> None:
        self._over, self._between = False, False
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
        self._barren, self._between = 0, True
        if not self._over:
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(BadRequest(msg))

    def _refuse(self, error: AppError) -> None:
        """Answer what never became a request, and hang up."""
        self._write(error, *problem_parts(new_id(), error), keep=False)

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

    def _echoed(self, data: bytes) -> bool:
        """Whether these bytes are a whole request, and were refused as its like was a moment ago."""
        busy = self.cycle is not None and not self.cycle.response_complete
        if busy or not self._between or self._barren or self.access_log or self.transport.is_closing():
            return False
        now = time.monotonic()
        echo = self._gate.echo(data, self.client[0] if self.client else "", now)
        if echo is None:
            return False
        name, error = echo
        self._write(error, *problem_parts(name, error), keep=True)
        self._refused_at = now
        return True

    def timeout_keep_alive_handler(self) -> None:
        left = self._refused_at + self.timeout_keep_alive - time.monotonic()
        if left > 0:
            self.timeout_keep_alive_task = self.loop.call_later(left, self.timeout_keep_alive_handler)
        else:
            super().timeout_keep_alive_handler()

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
        body, fields = problem_parts(request_id(scope), error)
        keep = "Connection" not in fields and self.parser.should_keep_alive()
        self._write(error, body, fields, keep=keep and self.parser.get_http_version() != "1.0")
        self.on_response_complete()
        return True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._wire = Coalescing(transport, self.loop)
        super().connection_made(self._wire)  # type: ignore[arg-type]
