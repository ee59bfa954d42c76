"""The worker batches while busy, keeps deadlines, isolates bad rows and drains."""

import asyncio
import threading
import time

import numpy as np
import pytest

from app.batching import Batcher
from app.errors import DeadlineExceeded, Draining, ModelFailed, Overloaded


def row(value):
    return {"x": np.array([value])}


def soon():
    return time.monotonic() + 10


@pytest.fixture
def make():
    made = []

    def build(run, **options):
        made.append(Batcher(run, **options))
        return made[-1]

    yield build
    for batcher in made:
        batcher.close()


def test_rows_that_arrive_while_a_worker_is_busy_share_a_batch(make):
    sizes, go = [], threading.Event()

    def run(rows):
        sizes.append(len(rows["x"]))
        go.wait(5)
        return rows["x"] * 2

    batcher = make(run, workers=1)

    async def main():
        first = asyncio.create_task(batcher.submit([row(0)], soon()))
        while not sizes:
            await asyncio.sleep(0.001)
        rest = [asyncio.create_task(batcher.submit([row(i)], soon())) for i in range(1, 9)]
        await asyncio.sleep(0.02)
        go.set()
        return await asyncio.gather(first, *rest)

    results = asyncio.run(main())

    assert sizes == [1, 8]
    assert [int(r[0][0]) for r in results] == [2 * i for i in range(9)]


def test_only_the_bad_row_fails(make):
    def run(rows):
        if (rows["x"] == 3).any():
            raise RuntimeError("poison")
        return rows["x"]

    batcher = make(run, workers=1)

    async def main():
        jobs = [batcher.submit([row(i)], soon()) for i in range(8)]
        return await asyncio.gather(*jobs, return_exceptions=True)

    results = asyncio.run(main())

    assert isinstance(results[3], ModelFailed)
    assert [int(r[0][0]) for i, r in enumerate(results) if i != 3] == [0, 1, 2, 4, 5, 6, 7]


def test_expired_and_abandoned_rows_never_reach_the_model(make):
    seen, go = [], threading.Event()

    def run(rows):
        seen.extend(rows["x"][:, 0].tolist())
        go.wait(5)
        return rows["x"]

    batcher = make(run, workers=1)

    async def main():
        first = asyncio.create_task(batcher.submit([row(0)], soon()))
        while not seen:
            await asyncio.sleep(0.001)
        late = asyncio.create_task(batcher.submit([row(1)], time.monotonic() + 0.02))
        gone = asyncio.create_task(batcher.submit([row(2)], soon()))
        await asyncio.sleep(0.05)
        gone.cancel()
        await asyncio.sleep(0.01)
        go.set()
        await first
        with pytest.raises(DeadlineExceeded):
            await late

    asyncio.run(main())

    assert seen == [0]


def test_a_full_queue_and_a_closed_one_say_no_at_once(make):
    batcher = make(lambda rows: rows["x"], workers=1, max_waiting=4)

    async def main():
        with pytest.raises(Overloaded):
            await batcher.submit([row(i) for i in range(5)], soon())
        batcher.close()
        with pytest.raises(Draining):
            await batcher.submit([row(0)], soon())

    asyncio.run(main())
