"""Who may come in: at the head of a request, before its body, on what was promised and what is held."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from starlette.types import Scope

from app.batching import Batcher
from app.errors import BodyTooLarge, Draining, InvalidOptions, Overloaded
from app.lanes import Client
from app.scopes import header
from app.settings import Settings

COST_MEMORY: Final = 0.9
LAST_BODIES_S: Final = 5.0
"""How long bodies may still take to arrive once the service drains."""
RETRY_S: Final = 5.0


def client_of(scope: Scope) -> Client:
    """Whose request it is: the caller's address, and the name of its key, or whatever it sent as one."""
    address = scope.get("client")
    if known := scope.get("vitrine.key"):
        return Client(address[0] if address else "", known.name)
    key = header(scope, b"x-api-key") or header(scope, b"authorization")
    return Client(address[0] if address else "", key.decode("latin-1"))


def patience(scope: Scope, settings: Settings) -> float:
    """Seconds that the caller will wait.

    Raises:
        InvalidOptions: Request-Timeout is no positive number.
    """
    given = header(scope, b"request-timeout")
    if not given:
        return min(settings.default_timeout_s, settings.max_timeout_s)
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not (seconds > 0 and math.isfinite(seconds)):
        message = "must be a positive number of seconds"
        raise InvalidOptions([{"loc": ["header", "Request-Timeout"], "msg": message, "type": "value_error"}])
    return min(seconds, settings.max_timeout_s)


@dataclass(slots=True)
class Ticket:
    """One request that was let in: whose it is, until when, what it is expected to cost and what it holds."""

    client: Client
    deadline: float
    promised: float = 0.0
    spent: float = 0.0
    held_bytes: int = 0


@dataclass(slots=True)
class Admission:
    """What this process has let in. Belongs to the event loop."""

    settings: Settings
    batcher: Batcher
    draining: bool = False
    in_flight: int = 0
    held_pixels: int = 0
    held_bytes: int = 0
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    _reads: set[asyncio.Timeout] = field(default_factory=set)
    _costs: dict[str, float] = field(default_factory=dict)
    _promised: dict[Client, float] = field(default_factory=dict)

    def enter(self, scope: Scope) -> Ticket:
        """Let a request in, or refuse it.

        Raises:
            Draining: the service is shutting down.
            Overloaded: its like cannot be answered in time, or there are too many.
            BodyTooLarge: it says so itself.
            InvalidOptions: its Request-Timeout is wrong.
        """
        if self.draining:
            raise Draining
        client, seconds, now = client_of(scope), patience(scope, self.settings), time.monotonic()
        cost = self._costs.get(scope["path"], 0.0)
        wait = self.batcher.wait(client, cost + self._promised.get(client, 0.0))
        if wait > seconds or self.in_flight >= self.settings.max_requests:
            raise Overloaded(wait)
        length = header(scope, b"content-length")
        if length.isdigit() and int(length) > self.settings.max_body_bytes:
            raise self._too_large()
        ticket = Ticket(client, now + seconds, cost)
        if cost:
            self._promised[client] = self._promised.get(client, 0.0) + cost
        self.in_flight += 1
        self.idle.clear()
        return ticket

    def spend(self, ticket: Ticket, seconds: float) -> None:
        """A part of a request's work is done, or comes to the queue, which counts it from here on."""
        ticket.spent += seconds
        self._forget(ticket, seconds)

    def _forget(self, ticket: Ticket, seconds: float) -> None:
        seconds = min(seconds, ticket.promised)
        if seconds:
            ticket.promised -= seconds
            rest = self._promised[ticket.client] - seconds
            if rest > 1e-9:
                self._promised[ticket.client] = rest
            else:
                del self._promised[ticket.client]

    def leave(self, ticket: Ticket, path: str, answered: bool) -> None:
        """A request is over; what those cost that were `answered` is what the next ones are expected to cost."""
        self._forget(ticket, ticket.promised)
        if answered and ticket.spent:
            old = self._costs.get(path, ticket.spent)
            self._costs[path] = COST_MEMORY * old + (1 - COST_MEMORY) * ticket.spent
        self.held_bytes -= ticket.held_bytes
        self.in_flight -= 1
        if not self.in_flight:
            self.idle.set()

    def _too_large(self) -> BodyTooLarge:
        return BodyTooLarge(f"The body is over {self.settings.max_body_bytes} bytes.")

    def hold_bytes(self, ticket: Ticket, count: int) -> None:
        """A part of a body has come.

        Raises:
            BodyTooLarge: the body is over its limit.
            Overloaded: all bodies together are over theirs.
        """
        ticket.held_bytes += count
        self.held_bytes += count
        if ticket.held_bytes > self.settings.max_body_bytes:
            raise self._too_large()
        if self.held_bytes > max(self.settings.max_held_bytes, ticket.held_bytes):
            raise Overloaded(RETRY_S)

    @contextmanager
    def holding(self, pixels: int) -> Iterator[None]:
        """Account for pixels in memory.

        Raises:
            Overloaded: there are too many already.
        """
        if self.held_pixels and self.held_pixels + pixels > self.settings.max_held_pixels:
            raise Overloaded(RETRY_S)
        self.held_pixels += pixels
        try:
            yield
        finally:
            self.held_pixels -= pixels

    def reading(self, until: float) -> asyncio.Timeout:
        """For waiting for a part of a body until then, on time.monotonic's clock; not for long once the service drains.

        To be given back with `read`.
        """
        seconds = until - time.monotonic()
        timeout = asyncio.timeout(min(seconds, LAST_BODIES_S) if self.draining else seconds)
        self._reads.add(timeout)
        return timeout

    def read(self, timeout: asyncio.Timeout) -> None:
        """The part has come, or will not."""
        self._reads.discard(timeout)

    async def drained(self, seconds: float) -> bool:
        """Let nobody in any more and wait for those who are; whether they all came to an end in time."""
        self.draining = True
        last = asyncio.get_running_loop().time() + LAST_BODIES_S
        for timeout in self._reads:
            timeout.reschedule(min(last, timeout.when() or last))
        if self.in_flight:
            self.idle.clear()
            try:
                await asyncio.wait_for(self.idle.wait(), seconds)
            except TimeoutError:
                return False
        return True
