"""SIGTERM under load: what was accepted is answered, what comes is refused, and nothing stays behind."""

import asyncio
import signal
import time

from bench.pictures import photo
from tests.conftest import only, running
from tests.load import LOST, Connection, ask, enhance, generate, get, let_in, waiting_rows

ONE_BY_ONE = {"MODELS_DIR": only("garments-128"), "THREADS": 2, "BATCH_S": 0.001, "LOG_LEVEL": "warning"}
"""A server that has at most three rows in hand."""


def test_every_accepted_request_is_answered_and_every_new_one_refused():
    """64 in flight; new ones come on connections that were there before, and on new ones."""

    async def scenario(server):
        kept = [await Connection.to(server.port) for _ in range(4)]
        for connection in kept:
            assert (await connection.ask(generate(seed=1))).status == 200
        before = server.value("vitrine_batch_rows_sum", model="garments-128")
        accepted = [asyncio.create_task(ask(server.port, generate(seed=i, count=4))) for i in range(64)]
        await let_in(server, "garments-128", before + 64 * 4)
        begun = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.1)
        refused = [await connection.ask(generate(seed=2)) for connection in kept[:3]]
        refused += await asyncio.gather(*(ask(server.port, generate(seed=3)) for _ in range(8)))
        ready, health = await asyncio.gather(ask(server.port, get("/readyz")), ask(server.port, get("/healthz")))
        unfinished = sum(not task.done() for task in accepted)
        answers = await asyncio.gather(*accepted)
        last = time.monotonic()
        code = await asyncio.to_thread(server.process.wait, 30)
        for connection in kept:
            await connection.close()
        print(f"\nlast answer {last - begun:.1f} s after SIGTERM, end {time.monotonic() - last:.1f} s later")  # noqa: T201
        assert code == 0
        assert time.monotonic() - last < 10
        assert unfinished > 32  # what was refused was refused while those were in flight
        assert [answer.status for answer in answers] == 64 * [200]
        assert {answer.status for answer in refused} == {503}
        for answer in refused:
            assert answer.problem == "draining"
            assert int(answer.headers["retry-after"]) >= 1
            assert answer.headers["connection"] == "close"
        assert ready.status == 503
        assert health.status == 200
        assert (await ask(server.port, get("/healthz"))).status == LOST  # nobody listens any more

    with running(**ONE_BY_ONE) as server:
        asyncio.run(asyncio.wait_for(scenario(server), 60))


def test_an_idle_server_with_open_connections_stops_at_once():
    async def scenario(server):
        kept = [await Connection.to(server.port) for _ in range(8)]
        for connection in kept[:4]:
            await connection.ask(generate(seed=1))
        begun = time.monotonic()
        assert await asyncio.to_thread(server.stop) == 0
        assert time.monotonic() - begun < 3
        for connection in kept:
            await connection.close()

    with running(MODELS_DIR=only("garments-128"), LOG_LEVEL="warning") as server:
        asyncio.run(asyncio.wait_for(scenario(server), 60))


def test_work_that_outlasts_the_drain_time_is_given_up_and_the_exit_code_says_so():
    async def scenario(server):
        long = [asyncio.create_task(ask(server.port, enhance(photo(1200, 1200)))) for _ in range(8)]
        while await waiting_rows(server, "enhance-x2") < 300:
            await asyncio.sleep(0.02)
        begun = time.monotonic()
        assert await asyncio.to_thread(server.stop) == 1
        assert time.monotonic() - begun < 9  # uvicorn gives its connections 5 s
        answers = await asyncio.gather(*long)
        assert {answer.status for answer in answers} <= {LOST, 200, 500, 503}

    with running(code=1, MODELS_DIR=only("enhance-x2"), DRAIN_S=0.5, TILE_S=0.02, LOG_LEVEL="warning") as server:
        asyncio.run(asyncio.wait_for(scenario(server), 60))


def test_a_body_that_never_comes_does_not_hold_the_drain():
    async def scenario(server):
        slow = await Connection.to(server.port)
        slow.writer.write(generate(seed=1)[:-5])
        await asyncio.sleep(0.5)
        begun = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        answer = await slow.ask(b"")
        assert (answer.status, answer.problem) == (503, "draining")
        assert await asyncio.to_thread(server.process.wait, 30) == 0
        await slow.close()
        assert time.monotonic() - begun < 12  # the body had 5 s, of the 60 that bodies have otherwise

    with running(MODELS_DIR=only("garments-128"), LOG_LEVEL="warning") as server:
        asyncio.run(asyncio.wait_for(scenario(server), 60))


def test_a_second_signal_changes_nothing():
    async def scenario(server):
        before = server.value("vitrine_batch_rows_sum", model="garments-128")
        accepted = [asyncio.create_task(ask(server.port, generate(seed=i, count=8))) for i in range(16)]
        await let_in(server, "garments-128", before + 16 * 8)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
            server.process.send_signal(number)
            await asyncio.sleep(0.02)
        assert {answer.status for answer in await asyncio.gather(*accepted)} == {200}

    with running(**ONE_BY_ONE) as server:
        asyncio.run(asyncio.wait_for(scenario(server), 60))
