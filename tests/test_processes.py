"""The supervisor and its serving processes: metrics that add up, the dead replaced, nothing left behind."""

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from bench.processes import tree
from tests.conftest import ROOT, alive, free_port, only, parent, running, value
from tests.load import LOST, ask, caller, crowd, generate, get


@pytest.fixture
def server():
    with running(MODELS_DIR=only("garments-128"), LOG_LEVEL="warning") as made:
        yield made


@pytest.fixture
def two():
    with running("--workers", "2", MODELS_DIR=only("garments-128"), LOG_LEVEL="warning") as made:
        wait_for_processes(made, 2)
        yield made


def wait_for_processes(server, count, without=0):
    """Until so many serve, by their own account, and `without` is none of them. One that loads states no memory."""
    until = time.monotonic() + 10
    while len(found := pids(scrapes(server, 1)[0])) != count or without in found or 0 in found.values():
        assert time.monotonic() < until, "the processes are not there"
        time.sleep(0.05)


def scrapes(server, count=12):
    """The metrics, each time on a new connection, so that every process is asked."""
    return [answer.body.decode() for answer in crowd(server.port, [get("/metrics")] * count)]


def pids(text):
    """The processes that state their memory."""
    lines = [line for line in text.splitlines() if line.startswith("vitrine_process_resident_bytes{")]
    return {int(line.partition('pid="')[2].partition('"')[0]): float(line.rpartition(" ")[2]) for line in lines}


def test_metrics_are_the_same_whichever_process_is_asked_and_add_up(two):
    answers = crowd(two.port, [generate(seed=i) for i in range(150)])
    assert {answer.status for answer in answers} == {200}

    for text in scrapes(two):
        assert value(text, "vitrine_requests_total", route="/generate", status="200") == 150
        assert value(text, "vitrine_request_seconds_count", route="/generate") == 150
        assert value(text, "vitrine_batch_rows_sum", model="garments-128") == 150
        assert value(text, "vitrine_processes") == 2
        assert value(text, "vitrine_ready") == 1
        assert set(pids(text)) == set(two.children())
        assert all(50e6 < memory < 2e9 for memory in pids(text).values())
    assert text.count("# TYPE vitrine_requests_total ") <= 1


def test_counters_outlive_the_process_that_counted_and_its_gauges_do_not(two):
    crowd(two.port, [generate(seed=i) for i in range(60)])
    dead, left = two.children()
    os.kill(dead, signal.SIGKILL)
    killed = time.monotonic()
    wait_for_processes(two, 2, without=dead)
    took = time.monotonic() - killed
    print(f"\ntwo processes again after {took:.2f} s")  # noqa: T201
    crowd(two.port, [generate(seed=i) for i in range(60)])

    assert took < 5  # 0.3 s where nothing else runs
    for text in scrapes(two):
        assert value(text, "vitrine_requests_total", route="/generate", status="200") == 120
        assert set(pids(text)) == set(two.children())
        assert dead not in pids(text)
        assert left in pids(text)


def test_a_killed_process_costs_what_it_had_in_hand_and_is_replaced(server):
    """16 callers; those who come while there is no process wait instead of being refused."""

    async def scenario():
        over, answers = asyncio.Event(), []
        seeds = [[generate(seed=100 * i + j) for j in range(100)] for i in range(16)]
        tasks = [
            asyncio.create_task(caller(server.port, itertools.cycle(mine), over.is_set, answers)) for mine in seeds
        ]
        await asyncio.sleep(1)
        (pid,) = server.children()
        os.kill(pid, signal.SIGKILL)
        killed = time.monotonic()
        new = await ask(server.port, generate(seed=7))  # nobody is there yet to accept it
        await asyncio.sleep(0.5)
        over.set()
        await asyncio.gather(*tasks)
        return killed, new, answers

    killed, new, answers = asyncio.run(asyncio.wait_for(scenario(), 30))
    before = [answer for answer in answers if answer.ended <= killed]
    after = [answer for answer in answers if answer.ended > killed]
    lost = [answer for answer in answers if answer.status == LOST]
    first = min(answer.ended for answer in after if answer.status == 200 and answer.ended - answer.seconds > killed)
    print(f"\n{len(before)} before, {len(lost)} of 16 in flight lost, good answers again after {first - killed:.2f} s")  # noqa: T201

    assert {answer.status for answer in before} == {200}
    assert {answer.status for answer in after} <= {200, LOST}
    assert len(lost) <= 16  # each caller's request in flight, and no connection refused afterwards
    assert new.status == 200
    assert first - killed < 5  # 0.8 s where nothing else runs
    assert server.client.get("/readyz").status_code == 200
    assert len(server.children()) == 1


def test_when_the_supervisor_is_killed_the_serving_process_finishes_its_work_and_ends():
    async def scenario(server):
        accepted = [asyncio.create_task(ask(server.port, generate(seed=i, count=16))) for i in range(8)]
        await asyncio.sleep(0.2)
        (pid,) = server.children()
        server.process.kill()
        assert {answer.status for answer in await asyncio.gather(*accepted)} == {200}
        until = time.monotonic() + 5
        while alive(pid):
            assert time.monotonic() < until, "an orphan stays"
            await asyncio.sleep(0.05)

    with running(code=-signal.SIGKILL, MODELS_DIR=only("garments-128"), LOG_LEVEL="warning") as server:
        asyncio.run(asyncio.wait_for(scenario(server), 30))


def test_a_killed_process_of_two_loses_nothing_that_the_other_has(two):
    async def scenario():
        over, answers = asyncio.Event(), []
        tasks = [
            asyncio.create_task(caller(two.port, itertools.cycle([generate(seed=i)]), over.is_set, answers))
            for i in range(16)
        ]
        await asyncio.sleep(0.5)
        os.kill(two.children()[0], signal.SIGKILL)
        await asyncio.sleep(1)
        over.set()
        await asyncio.gather(*tasks)
        return answers

    answers = asyncio.run(asyncio.wait_for(scenario(), 30))
    lost = sum(answer.status == LOST for answer in answers)
    print(f"\n{lost} of 16 in flight lost")  # noqa: T201

    assert {answer.status for answer in answers} <= {200, LOST}
    assert lost <= 16


def test_two_processes_drain_too():
    async def scenario(server):
        accepted = [asyncio.create_task(ask(server.port, generate(seed=i, count=6))) for i in range(32)]
        await asyncio.sleep(0.3)
        assert await asyncio.to_thread(server.stop) == 0
        assert {answer.status for answer in await asyncio.gather(*accepted)} == {200}

    with running("--workers", "2", MODELS_DIR=only("garments-128"), LOG_LEVEL="warning") as server:
        wait_for_processes(server, 2)
        asyncio.run(asyncio.wait_for(scenario(server), 60))


def test_the_answers_of_two_processes_are_the_same(two):
    answers = crowd(two.port, [generate(seed=7)] * 24)

    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1


@contextmanager
def newborn():
    """`vitrine serve` whose serving process has only just been forked; gives both."""
    environment = {**os.environ, "VITRINE_PORT": str(free_port()), "VITRINE_LOG_LEVEL": "error"}  # noqa: TID251
    environment["VITRINE_MODELS_DIR"] = str(only("cutout", "garments-128"))
    command = [sys.executable, "-c", "from app.cli import main; main()", "serve"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment)  # noqa: S603
    try:
        while len(found := tree(process.pid)) < 2:
            time.sleep(0.001)
        yield process, found[1]
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.parametrize("wait_s", [0, 0.05, 0.2])
def test_a_hangup_does_not_end_a_process_that_is_starting(wait_s):
    with newborn() as (process, child):
        time.sleep(wait_s)
        process.send_signal(signal.SIGHUP)
        time.sleep(0.5)
        assert [pid for pid in tree(process.pid) if parent(pid) == process.pid] == [child]


@pytest.mark.parametrize("wait_s", [0, 0.05, 0.2])
def test_a_server_that_is_stopped_while_it_starts_ends_well(wait_s):
    with newborn() as (process, _):
        time.sleep(wait_s)
        process.terminate()
        assert process.wait(20) == 0
