"""A small HTTP/1.1 load generator: arrivals at constant intervals (open loop), or so many callers (closed loop).

Latency counts from the moment at which a request should have been sent, so a server that stalls cannot hide the
requests that waited for it. `wrk` cannot do that, and cannot count requests that outlive its measurement.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import resource
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import cycle
from multiprocessing import get_context
from typing import Any, Final, TypeVar, cast

from bench import requests as made

try:
    import uvloop
except ImportError:  # slower, and good enough for a few hundred requests a second
    new_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
else:
    new_loop = uvloop.new_event_loop

LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
TICK_S: Final = 0.001  # the resolution of the event loop's timers
MOST_CONNECTIONS: Final = 16384
BROKEN: Final = 0  # instead of a status: the connection was closed or refused
Now = time.perf_counter
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds."""

    count: int
    mean: float
    p50: float
    p95: float
    p99: float
    max: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Latency | None:
        """Nearest-rank percentiles; with fewer than 100 values p99 is the largest of them."""
        if not seconds:
            return None
        ms = sorted(1000 * value for value in seconds)
        p50, p95, p99 = (ms[max(0, -(-percent * len(ms) // 100) - 1)] for percent in (50, 95, 99))
        return cls(len(ms), sum(ms) / len(ms), p50, p95, p99, ms[-1])


@dataclass(frozen=True, slots=True)
class Summary:
    """What came of the requests.

    `ok_per_second` counts the 200s that came before the arrivals ended, or, with callers, before the last answer.
    `latency` leaves out the answers that a run was told to skip.
    """

    sent: int
    statuses: dict[int, int]
    unfinished: int
    seconds: float
    ok_per_second: float
    latency: Latency | None
    refusal: Latency | None
    late: Latency | None
    connections: int
    cpu_share: float

    @property
    def errors(self) -> int:
        """Everything that is no 200."""
        return self.sent - self.statuses.get(200, 0)


@dataclass(slots=True)
class Log:
    """(status, when it should have been sent, when it ended), and how late it was sent."""

    ended: list[tuple[int, float, float]] = field(default_factory=list)
    late: list[float] = field(default_factory=list)


class Connection(asyncio.Protocol):
    """One keep-alive connection with one request on the way at a time."""

    def __init__(self, pool: Pool, first: tuple[bytes, float]) -> None:
        self.pool, self.current = pool, first
        self.busy, self.transport = True, cast("asyncio.Transport", None)  # set before anything else is called
        self.buffer, self.need = bytearray(), 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.send(self.current)

    def send(self, request: tuple[bytes, float]) -> None:
        self.current, self.busy, self.need = request, True, 0
        self.buffer.clear()
        self.pool.log.late.append(Now() - request[1])
        self.transport.write(request[0])

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if not self.need:
            head = self.buffer.find(b"\r\n\r\n")
            if head < 0:
                return
            length = LENGTH.search(self.buffer, 0, head + 2)
            if length is None:  # chunked: none of the servers here sends that
                self.transport.abort()
                return
            self.need = head + 4 + int(length[1])
        if len(self.buffer) >= self.need and self.busy:
            self.busy = False
            self.pool.ended(int(self.buffer[9:12]), self.current[1])
            self.pool.free(self)

    def connection_lost(self, _: Exception | None) -> None:
        self.pool.lost(self)


class Pool:
    """Connections that are opened as they are needed, up to a limit; beyond it requests wait and count as late."""

    def __init__(self, port: int, most: int, after: Callable[[], None] = lambda: None) -> None:
        self.port, self.most, self.after = port, most, after
        self.log, self.opened, self.peak, self.on_the_way = Log(), 0, 0, 0
        self._idle: list[Connection] = []
        self._waiting: deque[tuple[bytes, float]] = deque()
        self._opening: set[asyncio.Task[None]] = set()

    def send(self, payload: bytes, due: float) -> None:
        self.on_the_way += 1
        if self._idle:
            self._idle.pop().send((payload, due))
        elif self.opened < self.most:
            self._open((payload, due))
        else:
            self._waiting.append((payload, due))

    def _open(self, request: tuple[bytes, float]) -> None:
        self.opened += 1
        self.peak = max(self.peak, self.opened)
        task = asyncio.get_running_loop().create_task(self._connect(request))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _connect(self, request: tuple[bytes, float]) -> None:
        try:
            loop = asyncio.get_running_loop()
            await loop.create_connection(lambda: Connection(self, request), "127.0.0.1", self.port)
        except OSError:
            self.opened -= 1
            self.ended(BROKEN, request[1])

    def ended(self, status: int, due: float) -> None:
        self.on_the_way -= 1
        self.log.ended.append((status, due, Now()))
        self.after()

    def free(self, connection: Connection) -> None:
        if self._waiting:
            connection.send(self._waiting.popleft())
        elif not connection.busy:  # `after` may have used it
            self._idle.append(connection)

    def lost(self, connection: Connection) -> None:
        self.opened -= 1
        if connection in self._idle:
            self._idle.remove(connection)
        if connection.busy:
            connection.busy = False
            self.ended(BROKEN, connection.current[1])
        if self._waiting and self.opened < self.most:
            self._open(self._waiting.popleft())

    def close(self) -> None:
        for connection in self._idle:
            connection.transport.close()


async def _finish(pool: Pool, drain_s: float) -> None:
    until = Now() + drain_s
    while pool.on_the_way and until > Now():
        await asyncio.sleep(0.01)
    pool.close()


async def _open_loop(pool: Pool, payloads: Iterator[bytes], rate: float, seconds: float, drain_s: float) -> float:
    begun, count = Now(), int(rate * seconds)
    sent = 0
    while sent < count:
        due = begun + sent / rate
        if (wait := due - Now()) > 0:
            await asyncio.sleep(max(wait, TICK_S))
        while sent < count and begun + sent / rate <= Now():
            pool.send(next(payloads), begun + sent / rate)
            sent += 1
    await asyncio.sleep(max(0.0, begun + seconds - Now()))
    await _finish(pool, drain_s)
    return begun


async def _closed_loop(pool: Pool, payloads: Iterator[bytes], callers: int, count: int, drain_s: float) -> float:
    begun, left = Now(), count

    def again() -> None:
        nonlocal left
        if left:
            left -= 1
            # Once the connection that has just answered is free again.
            asyncio.get_running_loop().call_soon(lambda: pool.send(next(payloads), Now()))

    pool.after = again
    for _ in range(min(callers, count)):
        again()
    latest = begun
    while len(pool.log.ended) < count and Now() < latest + drain_s:
        await asyncio.sleep(0.01)
        latest = max(latest, pool.log.ended[-1][2] if pool.log.ended else latest)
    pool.close()
    return begun


def _run(pool: Pool, loop_of: Callable[[], Any], seconds: float | None, skip: int = 0) -> Summary:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    cpu, wall = time.process_time(), Now()
    with asyncio.Runner(loop_factory=new_loop) as runner:
        begun = runner.run(loop_of())
    spent, used = Now() - wall, time.process_time() - cpu
    ended = pool.log.ended
    good = [end for status, _, end in ended if status == 200]
    if seconds is None:
        seconds = max((end for _, _, end in ended), default=begun) - begun
    in_time = sum(1 for end in good if end <= begun + seconds)
    times = [(status, end - due) for status, due, end in ended]
    return Summary(
        sent=len(ended) + pool.on_the_way,
        statuses={status: sum(1 for s, _ in times if s == status) for status in sorted({s for s, _ in times})},
        unfinished=pool.on_the_way,
        seconds=seconds,
        ok_per_second=in_time / seconds if seconds else 0.0,
        latency=Latency.of([took for status, took in times[skip:] if status == 200]),
        refusal=Latency.of([took for status, took in times if status == 503]),
        late=Latency.of(pool.log.late),
        connections=pool.peak,
        cpu_share=used / spent,
    )


def arrivals(
    port: int,
    payloads: list[bytes],
    rate: float,
    seconds: float,
    connections_max: int = MOST_CONNECTIONS,
    drain_s: float = 60,
) -> Summary:
    """`rate` requests a second at constant intervals, the payloads in turn; then `drain_s` for the last answers."""
    pool = Pool(port, connections_max)
    return _run(pool, lambda: _open_loop(pool, cycle(payloads), rate, seconds, drain_s), seconds)


def callers(
    port: int, payloads: list[bytes], concurrency: int, count: int, skip: int = 0, drain_s: float = 120
) -> Summary:
    """`count` requests, `concurrency` at a time, until the last is answered or none is for `drain_s`.

    The first `skip` answers count for the throughput, not for the latency: they found no queue in front of them.
    """
    pool = Pool(port, concurrency)
    return _run(pool, lambda: _closed_loop(pool, cycle(payloads), concurrency, count, drain_s), None, skip)


def alone(function: Callable[..., T], *args: Any, **options: Any) -> T:  # noqa: ANN401  # passed on as they are
    """In a process of its own, as a load generator should be; it ends afterwards, and burdens no other run."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(function, *args, **options).result()


@contextmanager
def meanwhile(function: Callable[..., Summary], *args: Any) -> Iterator[Future[Summary]]:  # noqa: ANN401  # passed on
    """As `alone`, while the block does something else; its process has started when the block begins."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        process.submit(int).result()
        yield process.submit(function, *args)


def main() -> None:
    """Print a summary as JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.arrivals", description=__doc__)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--task", choices=("generate", "enhance"), default="generate")
    parser.add_argument("--format", choices=("webp", "jpeg"), default="webp")
    parser.add_argument("--rate", type=float, default=100, help="requests a second")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--connections", type=int, default=MOST_CONNECTIONS)
    parser.add_argument("--request-timeout", type=float, help="send this many seconds as Request-Timeout")
    options = parser.parse_args()
    headers = {} if options.request_timeout is None else {"Request-Timeout": f"{options.request_timeout:g}"}
    payloads = made.payloads(options.task, options.format, headers)
    summary = arrivals(options.port, payloads, options.rate, options.seconds, options.connections)
    json.dump(asdict(summary), sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
