"""What a refusal costs under overload, and what becomes of a connection on which they are made."""

import asyncio
import json
import time
from functools import partial
from pathlib import Path

import httptools
import pytest
import uvicorn
from uvicorn.server import ServerState

from app.echoes import SAME_S
from app.examples import OF_ENHANCE, OF_GENERATE
from app.lanes import Client
from app.limits import Gate, problem_parts
from app.metrics import Metrics
from app.protocol import Protocol
from app.service import Service
from app.settings import Settings
from tests.load import generate

REQUEST = generate({"Request-Timeout": "3"}, seed=1)


class Wire(asyncio.Transport):
    """A transport that keeps what was written last."""

    written, closed = b"", False

    def write(self, data):
        self.written = data

    def close(self):
        self.closed = True

    def is_closing(self):
        return self.closed

    def get_extra_info(self, name, default=None):
        return {"peername": ("192.0.2.1", 5), "sockname": ("192.0.2.2", 80)}.get(name, default)


class Reader:
    """The least that a parser's owner does with a head."""

    def __init__(self):
        self.fields = []

    def on_header(self, name, value):
        self.fields.append((name.lower(), value))


@pytest.fixture
def service():
    made = Service(Settings(models_dir=Path("models")), Metrics())
    made.admission._costs["/generate"] = 0.002
    made._batcher._owed[Client("192.0.2.1")] = 60.0  # seconds of work that wait
    yield made
    made._batcher._owed.clear()
    made.stop()


def connected(service):
    gate = Gate(lambda *_: None, {"/generate": lambda _: None}, service)
    config = uvicorn.Config(gate, http=partial(Protocol, gate), log_config=None)
    config.load()
    protocol = Protocol(gate, config=config, server_state=ServerState(), app_state={})
    protocol.access_log = False
    wire = Wire()
    protocol.connection_made(wire)
    return protocol, wire


def cheapest(function, count=300, rounds=15):
    """Seconds of this thread's processor time for one call, in the best round."""
    best = float("inf")
    for _ in range(rounds):
        begun = time.thread_time()
        for _ in range(count):
            function()
        best = min(best, (time.thread_time() - begun) / count)
    return best


def test_a_refusal_costs_eleven_times_the_parsing_of_its_head_at_most(service):
    """In processor time, so that a busy machine does not matter. It was 6.6 times the parsing of its head when this was
    written, and 20 times when every refusal went through uvicorn's making of a scope and a cycle.
    """

    async def refused():
        protocol, wire = connected(service)
        protocol.data_received(REQUEST)
        cost = cheapest(lambda: protocol.data_received(REQUEST))
        assert wire.written.startswith(b"HTTP/1.1 503 ")
        return cost

    head = REQUEST.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    parsed = cheapest(lambda: httptools.HttpRequestParser(Reader()).feed_data(head))
    ratio = asyncio.run(refused()) / parsed
    print(f"\na refusal costs {ratio:.1f} times the parsing of its head, {1e6 * parsed:.1f} us")  # noqa: T201

    assert ratio < 11


def test_every_refusal_is_counted_whichever_way_it_takes(service):
    async def many():
        protocol, _ = connected(service)
        for number in range(30):
            protocol.data_received(REQUEST)
            if number % 10 == 9:
                await asyncio.sleep(2 * SAME_S)  # from here on the first one takes the ordinary way again
        service._batcher._owed.clear()
        assert protocol._gate.turned_away(b"POST", b"/generate", {"headers": [], "client": None}) is None

    asyncio.run(many())
    text = service.metrics.exposition().decode()

    assert 'vitrine_refusals_total{code="overloaded"} 30.0' in text
    assert 'vitrine_requests_total{route="/generate",status="503"} 30.0' in text


def test_a_body_that_comes_late_is_passed_over_and_the_next_request_heard(service):
    async def scenario():
        protocol, wire = connected(service)
        protocol.data_received(REQUEST[:-3])
        first, wire.written = wire.written, b""
        protocol.data_received(REQUEST[-3:])
        assert wire.written == b""
        protocol.data_received(REQUEST)
        return first, wire.written, wire.closed

    first, second, closed = asyncio.run(scenario())

    assert first.startswith(b"HTTP/1.1 503 ")
    assert second.startswith(b"HTTP/1.1 503 ")
    assert not closed


def test_a_draining_service_has_no_echoes(service):
    async def scenario():
        protocol, wire = connected(service)
        protocol.data_received(REQUEST)
        service.admission.draining = True
        protocol.data_received(REQUEST)
        return wire.written, wire.closed

    written, closed = asyncio.run(scenario())

    assert b"urn:vitrine:problem:draining" in written
    assert closed


@pytest.mark.parametrize("error", [*OF_GENERATE, *OF_ENHANCE], ids=lambda error: error.code)
def test_a_problem_is_written_as_the_error_says_it(error):
    body, fields = problem_parts("an-id", error)

    assert json.loads(body) == json.loads(json.dumps(error.problem("an-id")))
    assert fields["X-Request-ID"] == "an-id"
    assert error.headers.items() <= fields.items()
