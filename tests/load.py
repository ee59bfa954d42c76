"""Requests as raw HTTP/1.1, for tests that need hundreds of them at once, or one that breaks off."""

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass, field

from bench.requests import http

LOST = 0  # instead of a status: the connection ended without an answer


@dataclass(frozen=True)
class Answer:
    """What came back; `seconds` from sending to the last byte, `ended` on time.monotonic's clock."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    seconds: float = 0.0
    ended: float = 0.0

    @property
    def problem(self):
        """The code of a problem."""
        assert self.headers["content-type"] == "application/problem+json"
        return json.loads(self.body)["type"].rpartition(":")[2]


def generate(headers=None, **options):
    """A request for a product."""
    return http("/generate", json.dumps(options).encode(), "application/json", headers)


def enhance(data, headers=None, query="denoise=0.5&format=jpeg"):
    """A request to enhance an upload. With `denoise` given, the model that estimates it is not asked."""
    return http(f"/enhance?{query}", data, "image/jpeg", headers)


def get(path, headers=None):
    fields = "".join(f"{name}: {value}\r\n" for name, value in {"Host": "127.0.0.1", **(headers or {})}.items())
    return f"GET {path} HTTP/1.1\r\n{fields}\r\n".encode()


class Connection:
    """One connection, kept alive."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, port):
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(self, payload):
        """Send a request and read the answer; `LOST` when the connection ends first."""
        begun = time.monotonic()
        try:
            self.writer.write(payload)
            lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:]) if name}
            body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        except (ConnectionError, asyncio.IncompleteReadError):
            return Answer(LOST, seconds=time.monotonic() - begun, ended=time.monotonic())
        ended = time.monotonic()
        return Answer(int(lines[0].split()[1]), headers, body, ended - begun, ended)

    async def close(self):
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


async def ask(port, payload):
    """One request on a connection of its own."""
    try:
        connection = await Connection.to(port)
    except ConnectionError:
        return Answer(LOST, ended=time.monotonic())
    try:
        return await connection.ask(payload)
    finally:
        await connection.close()


def crowd(port, payloads):
    """All at once, each on its own connection; the answers in the same order."""

    async def everyone():
        return await asyncio.gather(*(ask(port, payload) for payload in payloads))

    return asyncio.run(everyone())


async def caller(port, payloads, until, answers):
    """One request after the other on one connection, on a new one when it is lost, until `until()`."""
    connection = None
    for payload in payloads:
        if until():
            break
        try:
            connection = connection or await Connection.to(port)
            answers.append(await connection.ask(payload))
        except ConnectionError:
            answers.append(Answer(LOST, ended=time.monotonic()))
            await asyncio.sleep(0.01)
        if connection and answers[-1].status in (LOST, 503):
            await connection.close()
            connection = None
    if connection:
        await connection.close()


def percentile(values, share):
    """Nearest rank."""
    ranked = sorted(values)
    return ranked[max(0, -(-int(share * 100) * len(ranked) // 100) - 1)]


def probe(port, path, seconds):
    """Milliseconds of one request after the other, each on a new connection, ten a second; to be run in a process."""

    async def all_of_them():
        times, until = [], time.monotonic() + seconds
        while time.monotonic() < until:
            begun = time.monotonic()
            answer = await ask(port, get(path, {"Connection": "close"}))
            times.append(1000 * (time.monotonic() - begun))
            assert answer.status == 200
            await asyncio.sleep(0.1)
        return times

    return asyncio.run(all_of_them())


async def let_in(server, model, count):
    """Wait until so many rows are queued or run, beside at most three in hand, which the metrics count as neither."""

    def seen():
        return server.value("vitrine_queue_rows", model=model) + server.value("vitrine_batch_rows_sum", model=model)

    while await asyncio.to_thread(seen) < count - 3:
        await asyncio.sleep(0.02)


async def waiting_rows(server, model):
    """Rows in the queue, while the other tasks go on."""
    return await asyncio.to_thread(server.value, "vitrine_queue_rows", model=model)
