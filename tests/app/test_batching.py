"""The worker under load, faults and departures, with a model made of numpy."""

import asyncio
import threading
import time

import numpy as np
import pytest

from app.batching import Batcher
from app.errors import DeadlineExceeded, Draining, ModelFailed, Overloaded
from app.metrics import Metrics


class Numbers:
    """Work that doubles numbers, one a row."""

    def __init__(self, *numbers):
        self.numbers, self.rows, self.outputs = numbers, len(numbers), {}

    def row(self, index):
        return {"x": np.float32(self.numbers[index])}

    def put(self, index, output):
        self.outputs[index] = float(output)


class Model:
    """Doubles; waits for `gate` first; fails on 13; remembers its batches."""

    def __init__(self):
        self.batches, self.gate = [], threading.Event()
        self.gate.set()

    def __call__(self, rows):
        self.gate.wait(10)
        self.batches.append(rows["x"].tolist())
        if 13 in rows["x"]:
            raise ValueError("13")
        return rows["x"] * 2


def soon():
    return time.monotonic() + 20


def run(scenario, **settings):
    model = Model()
    batcher = Batcher(model, Metrics().model("m"), **{"workers": 1, **settings})
    try:
        return asyncio.run(scenario(batcher, model))
    finally:
        model.gate.set()
        batcher.close()


async def busy(batcher, model):
    """Keep the only worker busy until the gate opens."""
    model.gate.clear()
    task = asyncio.create_task(batcher.submit(Numbers(0), soon()))
    while batcher.depth() or not task:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    return task


def test_all_rows_of_a_work_come_back_at_their_place():
    async def scenario(batcher, model):
        work = Numbers(*range(1, 6))
        await batcher.submit(work, soon())
        assert work.outputs == {i: 2 * (i + 1) for i in range(5)}

    run(scenario, max_batch=2)


def test_what_waits_while_the_worker_is_busy_shares_a_batch():
    async def scenario(batcher, model):
        first = await busy(batcher, model)
        others = [asyncio.create_task(batcher.submit(Numbers(i), soon())) for i in range(1, 5)]
        await asyncio.sleep(0.05)
        model.gate.set()
        await asyncio.gather(first, *others)
        assert model.batches == [[0], [1, 2, 3, 4]]

    run(scenario)


def test_a_large_work_does_not_keep_a_small_one_waiting():
    async def scenario(batcher, model):
        first = await busy(batcher, model)
        large = asyncio.create_task(batcher.submit(Numbers(*range(100, 120)), soon()))
        await asyncio.sleep(0.02)
        small = asyncio.create_task(batcher.submit(Numbers(7), soon()))
        await asyncio.sleep(0.02)
        model.gate.set()
        await asyncio.gather(first, large, small)
        assert 7 in model.batches[1]

    run(scenario, max_batch=4)


def test_a_bad_row_harms_only_its_own_caller():
    async def scenario(batcher, model):
        first = await busy(batcher, model)
        works = [Numbers(i) for i in (1, 13, 3)]
        others = [asyncio.create_task(batcher.submit(work, soon())) for work in works]
        await asyncio.sleep(0.05)
        model.gate.set()
        outcome = await asyncio.gather(first, *others, return_exceptions=True)
        assert isinstance(outcome[2], ModelFailed)
        assert (works[0].outputs, works[2].outputs) == ({0: 2.0}, {0: 6.0})
        assert batcher.alive()

    run(scenario)


def test_abandoned_and_expired_work_is_never_run():
    async def scenario(batcher, model):
        first = await busy(batcher, model)
        gone = asyncio.create_task(batcher.submit(Numbers(1), soon()))
        late = asyncio.create_task(batcher.submit(Numbers(2), time.monotonic() + 0.1))
        await asyncio.sleep(0.2)
        gone.cancel()
        await asyncio.sleep(0.02)
        model.gate.set()
        await first
        with pytest.raises(DeadlineExceeded):
            await late
        assert model.batches == [[0]]

    run(scenario)


def test_a_full_queue_says_no_at_once():
    async def scenario(batcher, model):
        first = await busy(batcher, model)
        waiting = asyncio.create_task(batcher.submit(Numbers(1, 2, 3), soon()))
        await asyncio.sleep(0.02)
        with pytest.raises(Overloaded):
            await batcher.submit(Numbers(4, 5), soon())
        assert batcher.depth() == 3
        assert batcher.age() > 0
        model.gate.set()
        await asyncio.gather(first, waiting)

    run(scenario, max_rows=4)


def test_a_model_that_loses_rows_is_a_failure_and_the_worker_lives():
    batcher = Batcher(lambda rows: rows["x"][:0], Metrics().model("m"), workers=1)

    async def scenario():
        with pytest.raises(ModelFailed):
            await batcher.submit(Numbers(1), soon())

    asyncio.run(scenario())
    assert batcher.alive()
    batcher.close()


def test_closing_finishes_what_was_accepted_and_refuses_the_rest():
    async def scenario(batcher, model):
        work = Numbers(*range(20, 40))
        task = asyncio.create_task(batcher.submit(work, soon()))
        await asyncio.sleep(0)
        await asyncio.to_thread(batcher.close)
        await task
        assert len(work.outputs) == 20
        with pytest.raises(Draining):
            await batcher.submit(Numbers(1), soon())

    run(scenario, max_batch=2)


class BreaksOnce:
    """Metrics that fail the first time a batch is counted: a fault of ours, outside the model."""

    def __init__(self):
        self.counted = 0

    def watch_queue(self, depth, age):
        pass

    def dropped(self, reason, rows):
        pass

    def batch(self, rows, seconds):
        self.counted += 1
        if self.counted == 1:
            raise KeyboardInterrupt  # not even an Exception


def test_a_worker_outlives_a_fault_outside_the_model():
    async def scenario():
        with pytest.raises(ModelFailed):
            await batcher.submit(Numbers(1), soon())
        work = Numbers(2)
        await batcher.submit(work, soon())
        return work.outputs

    batcher = Batcher(Model(), BreaksOnce(), workers=1)
    try:
        assert asyncio.run(asyncio.wait_for(scenario(), 10)) == {0: 4.0}
        assert batcher.alive()
    finally:
        batcher.close()
