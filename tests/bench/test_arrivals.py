"""The load generator counts what it should: every request, from the moment at which it was due."""

import asyncio
import contextlib
import threading

import pytest

from bench.arrivals import BROKEN, Latency, arrivals, callers
from bench.requests import http

PAYLOADS = [http("/", b"hello", "text/plain")]
ANSWER = b"HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\nok"


class Small:
    """An HTTP server in a thread. `behave` is told the number of the request and gives what to write back."""

    def __init__(self, behave):
        self.behave, self.seen, self.port = behave, 0, 0
        self._loop, self._ready = asyncio.new_event_loop(), threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._main(),))

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(5)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(5)
        self._loop.close()

    async def _main(self):
        self._stop, self._tasks = asyncio.Event(), set()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(5)
                self.seen += 1
                writer.write(await self.behave(self.seen))
                await writer.drain()
        writer.close()


def answering(delay_s=0.0, status=200):
    async def behave(_):
        await asyncio.sleep(delay_s)
        return ANSWER % status

    return behave


def test_percentiles_are_nearest_ranks():
    seconds = [number / 1000 for number in range(200, 0, -1)]

    latency = Latency.of(seconds)

    assert (latency.count, latency.p50, latency.p95, latency.p99, latency.max) == (200, 100, 190, 198, 200)
    assert latency.mean == pytest.approx(100.5)
    assert Latency.of([]) is None
    assert Latency.of([0.003]) == Latency(1, 3, 3, 3, 3, 3)


def test_arrivals_come_at_their_rate_and_are_all_answered():
    with Small(answering()) as server:
        summary = arrivals(server.port, PAYLOADS, 200, 0.5)

    assert (summary.sent, summary.statuses, summary.unfinished, server.seen) == (100, {200: 100}, 0, 100)
    assert summary.errors == 0
    assert 150 < summary.ok_per_second <= 200
    assert summary.latency.count == 100


def test_a_server_that_stalls_cannot_hide_those_who_waited():
    """One request stalls all: those that were due meanwhile waited from their due times on, not from their sending."""

    async def behave(number):
        if number == 10:
            loop = asyncio.get_running_loop()
            until = loop.time() + 0.4
            while loop.time() < until:  # nothing else runs in this server meanwhile
                pass
        return ANSWER % 200

    with Small(behave) as server:
        summary = arrivals(server.port, PAYLOADS, 100, 0.5, connections_max=2)

    assert summary.statuses == {200: 50}
    assert summary.latency.max > 330
    assert summary.latency.p50 > 100  # the 40 of 50 that were due during the stall waited 200 ms on average
    assert summary.late.max > 200  # with two connections they could not even be sent


def test_answers_after_the_end_do_not_count_for_the_throughput():
    with Small(answering(0.3)) as server:
        summary = arrivals(server.port, PAYLOADS, 50, 0.4)

    assert summary.statuses == {200: 20}
    assert 0 < summary.ok_per_second * 0.4 <= 7


def test_refusals_and_lost_connections_are_errors():
    async def behave(number):
        return ANSWER % 503 if number % 2 else b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"

    with Small(behave) as server:
        summary = arrivals(server.port, PAYLOADS, 100, 0.2)

    assert summary.statuses == {BROKEN: 10, 503: 10}
    assert (summary.errors, summary.ok_per_second, summary.latency) == (20, 0, None)
    assert summary.refusal.count == 10


def test_callers_keep_one_request_each_on_its_way():
    with Small(answering(0.02)) as server:
        summary = callers(server.port, PAYLOADS, 4, 20, skip=4)

    assert (summary.sent, summary.statuses, summary.connections, server.seen) == (20, {200: 20}, 4, 20)
    assert summary.latency.count == 16
    assert 50 < summary.ok_per_second <= 200
    assert summary.latency.p50 >= 20


def test_nobody_there_is_an_error_for_each_request():
    with Small(answering()) as server:
        port = server.port
    summary = callers(port, PAYLOADS, 2, 6)

    assert summary.statuses == {BROKEN: 6}
