"""Engines that fail, under the whole application: who loses an answer, and how soon the next one comes."""

import concurrent.futures
import threading
import time
from contextlib import contextmanager

import pytest

from app.sessions import DeviceLost, Engine, OutOfMemory
from tests.conftest import in_process, only, value, wait_for

MARK = 0.25  # a truncation that says: here
NORMAL = {"truncation": 0.5, "format": "png"}


class Faulty:
    """The real engine, which waits for `gate`, notes its batches, and asks `fault` before each of them."""

    def __init__(self, data):
        self.real = Engine(data, cores=1)
        self.provider, self.losses = self.real.provider, 0
        self.gate, self.batches = threading.Event(), []
        self.gate.set()
        self.waiting = threading.Event()
        self.fault = lambda marked, rows: None

    def run(self, rows, worker=0, *, alone=False):
        if "truncation" in rows:
            self.waiting.set()
            self.gate.wait(20)
            marked = bool((rows["truncation"] == MARK).any())
            self.batches.append((len(rows["z"]), marked))
            self.fault(marked, len(rows["z"]))
        return self.real.run(rows, worker, alone=alone)

    def reopen(self, seen):
        if seen == self.losses:
            self.losses += 1


class App:
    """A client, and the generator's engine below it."""

    def __init__(self, client, engine, pool):
        self.client, self.engine, self._pool = client, engine, pool

    def ask(self, seed, **options):
        return self.client.post("/generate", json={"seed": seed, **NORMAL, **options})

    def later(self, seed, **options):
        return self._pool.submit(self.ask, seed, **options)

    def hold(self):
        """Close the gate and let a request wait behind it."""
        self.engine.gate.clear()
        self.engine.waiting.clear()
        first = self.later(1000)
        assert self.engine.waiting.wait(5)
        return first

    def release(self, rows):
        """Open the gate once so many rows wait."""
        for _ in range(200):
            if self.value("vitrine_queue_rows", model="garments-128") == rows:
                break
            time.sleep(0.02)
        else:
            raise AssertionError("they do not wait")
        self.engine.batches.clear()
        self.engine.gate.set()

    def value(self, name, **labels):
        return value(self.client.get("/metrics").text, name, **labels)

    def ready(self):
        return self.client.get("/readyz").status_code == 200


@contextmanager
def faulty_app(**settings):
    engines = []

    def open_engine(data):
        engines.append(Faulty(data))
        return engines[-1]

    settings = {"threads": 1, "gpus": 0, "batch_s": 10, **settings}
    with (
        in_process(open_engine, models_dir=only("garments-128"), **settings) as client,
        concurrent.futures.ThreadPoolExecutor(40) as pool,
    ):
        generator = next(engine for engine in engines if engine.batches)  # it has been proved with marked inputs
        yield App(client, generator, pool)


@pytest.fixture
def app():
    with faulty_app() as made:
        yield made


def test_a_poisonous_item_gets_its_own_error_and_its_batch_mates_are_answered(app):
    right = [app.ask(seed).content for seed in range(7)]

    def fault(marked, rows):
        if marked:
            raise ValueError("/secret/path: this item is poison")

    app.engine.fault = fault
    first = app.hold()
    mates = [app.later(seed) for seed in range(4)]
    poison = app.later(99, truncation=MARK)
    mates += [app.later(seed) for seed in range(4, 7)]
    app.release(8)
    answer = poison.result()

    assert app.engine.batches[1] == (8, True)  # they did share a batch
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:vitrine:problem:model-failed"
    assert "secret" not in answer.text
    assert [mate.result().content for mate in mates] == right
    assert first.result().status_code == 200
    assert app.ready()
    assert app.value("vitrine_worker_restarts_total") == 0


def test_a_worker_that_dies_loses_its_batch_only_and_the_next_answer_comes_soon(app):
    def fault(marked, rows):
        if marked:
            raise SystemExit(1)

    app.engine.fault = fault
    first = app.hold()
    lost = [app.later(seed, truncation=MARK) for seed in range(2)]
    app.release(2)
    died = time.monotonic()
    assert [one.result().status_code for one in lost] == [500, 500]
    assert app.ask(5).status_code == 200
    assert time.monotonic() - died < 5

    assert first.result().status_code == 200
    wait_for(lambda: app.value("vitrine_worker_restarts_total") == 1)
    assert app.ready()


def test_of_several_batches_only_that_of_the_dead_worker_is_lost():
    with faulty_app(max_batch=1) as app:

        def fault(marked, rows):
            if marked:
                raise SystemExit(1)

        app.engine.fault = fault
        first = app.hold()
        others = [app.later(seed) for seed in range(6)]
        lost = app.later(99, truncation=MARK)
        app.release(7)

        assert lost.result().status_code == 500
        assert {one.result().status_code for one in [first, *others]} == {200}


def test_when_memory_runs_out_batches_are_halved_and_everyone_is_answered(app):
    def fault(marked, rows):
        if rows > 3:
            raise OutOfMemory("CUDA failure 2: out of memory")

    app.engine.fault = fault
    first = app.hold()
    others = [app.later(seed) for seed in range(16)]
    app.release(16)

    assert {one.result().status_code for one in [first, *others]} == {200}
    assert [rows for rows, _ in app.engine.batches][:4] == [1, 16, 8, 4]
    assert app.value("vitrine_provider_faults_total", fault="out_of_memory") > 0
    app.engine.batches.clear()
    first = app.hold()
    others = [app.later(seed) for seed in range(16)]
    app.release(16)
    assert {one.result().status_code for one in [first, *others]} == {200}
    assert max(rows for rows, _ in app.engine.batches) <= 3  # it has learnt what fits
    assert app.ready()


def test_a_lost_device_is_opened_again_and_nobody_notices(app):
    def fault(marked, rows):
        if app.engine.losses == 0:
            raise DeviceLost("CUDA error: device lost")

    app.engine.fault = fault
    first = app.hold()
    others = [app.later(seed) for seed in range(5)]
    app.release(5)

    assert {one.result().status_code for one in [first, *others]} == {200}
    assert app.engine.losses == 1
    assert app.value("vitrine_provider_faults_total", fault="device_lost") == 1
    assert app.ready()


def test_a_device_that_does_not_come_back_fails_its_callers_and_no_others(app):
    def fault(marked, rows):
        if app.engine.losses < 2:
            raise DeviceLost("CUDA error: device lost")

    app.engine.fault = fault
    answer = app.ask(1)

    assert answer.status_code == 500
    assert "CUDA" not in answer.text
    app.engine.losses = 2
    assert app.ask(1).status_code == 200
    assert app.ready()
