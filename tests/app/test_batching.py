"""The worker under load, faults and departures, with a model made of numpy."""

import asyncio
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from app.batching import MOST_NICENESS, MOST_UNFINISHED, NICENESS, NOBODY, Batcher, Line
from app.errors import DeadlineExceeded, Draining, ModelFailed, Overloaded
from app.lanes import Client
from app.metrics import Metrics
from app.sessions import DeviceLost, OutOfMemory
from tests.conftest import wait_for


class Numbers:
    """Work that doubles numbers, one a row."""

    def __init__(self, *numbers):
        self.numbers, self.rows, self.outputs = numbers, len(numbers), {}

    def row(self, index):
        return {"x": np.float32(self.numbers[index])}

    def put(self, index, output):
        self.outputs[index] = float(output)


FAULTS = {13: ValueError("13"), 66: SystemExit(66)}


class Model:
    """Doubles; waits for `gate` first; remembers its batches. Some numbers are faults."""

    def __init__(self, memory=1000, devices=0):
        self.batches, self.alone, self.gate = [], [], threading.Event()
        self.memory, self.devices, self.losses = memory, devices, 0
        self.gate.set()

    def run(self, rows, worker, *, alone):
        self.gate.wait(10)
        if self.devices > 0:
            raise DeviceLost("gone")
        if len(rows["x"]) > self.memory:
            raise OutOfMemory("too many rows")
        self.batches.append(rows["x"].tolist())
        self.alone.append(alone)
        for number in FAULTS.keys() & set(rows["x"].tolist()):
            raise FAULTS[number]
        return rows["x"] * 2

    def reopen(self, seen):
        if seen == self.losses:
            self.losses += 1
            self.devices -= 1


class Worker:
    """A batcher with one model, and its metrics."""

    def __init__(self, model, *, max_batch=16, **settings):
        self.metrics, self.model, self.restarts = Metrics(), model, []
        self.batcher = Batcher(**{"workers": 1, "restarted": lambda: self.restarts.append(1), **settings})
        line = {"seconds_per_row": 1e-3, "max_batch": max_batch, "batch_s": 10}
        self.line = Line(model, self.metrics.model("m"), **line)

    def submit(self, work, deadline=None, client=NOBODY):
        until = soon() if deadline is None else deadline
        return self.batcher.submit(self.line, work, until, lambda: work.outputs, client)

    def start(self, work, **options):
        return asyncio.create_task(self.submit(work, **options))

    async def busy(self):
        """Keep the only worker busy until the gate opens."""
        self.model.gate.clear()
        task = self.start(Numbers(0))
        await asyncio.sleep(0.1)
        assert self.batcher.queue([self.line])[0] == 0
        return task

    def value(self, name, **labels):
        return self.metrics.registry.get_sample_value(name, {"model": "m", **labels})


def soon():
    return time.monotonic() + 20


def run(scenario, model=None, **settings):
    model = model or Model()
    worker = Worker(model, **settings)
    try:
        return asyncio.run(asyncio.wait_for(scenario(worker, model), 20))
    finally:
        model.gate.set()
        worker.batcher.close()


def test_all_rows_of_a_work_come_back_at_their_place():
    async def scenario(worker, model):
        work = Numbers(*range(1, 6))
        await worker.submit(work)
        assert work.outputs == {i: 2 * (i + 1) for i in range(5)}

    run(scenario, max_batch=2)


def test_what_waits_while_the_worker_is_busy_shares_a_batch():
    async def scenario(worker, model):
        first = await worker.busy()
        others = [worker.start(Numbers(i)) for i in range(1, 5)]
        await asyncio.sleep(0.05)
        model.gate.set()
        await asyncio.gather(first, *others)
        assert model.batches == [[0], [1, 2, 3, 4]]

    run(scenario)


def test_a_large_work_does_not_keep_a_small_one_waiting():
    async def scenario(worker, model):
        first = await worker.busy()
        large = worker.start(Numbers(*range(100, 120)))
        await asyncio.sleep(0.02)
        small = worker.start(Numbers(7))
        await asyncio.sleep(0.02)
        model.gate.set()
        await asyncio.gather(first, large, small)
        assert 7 in model.batches[1]

    run(scenario, max_batch=4)


def test_a_bad_row_harms_only_its_own_caller():
    async def scenario(worker, model):
        first = await worker.busy()
        works = [Numbers(i) for i in (1, 13, 3)]
        others = [worker.start(work) for work in works]
        await asyncio.sleep(0.05)
        model.gate.set()
        outcome = await asyncio.gather(first, *others, return_exceptions=True)
        assert isinstance(outcome[2], ModelFailed)
        assert (works[0].outputs, works[2].outputs) == ({0: 2.0}, {0: 6.0})
        assert worker.batcher.alive()

    run(scenario)


def test_abandoned_and_expired_work_is_never_run():
    async def scenario(worker, model):
        first = await worker.busy()
        gone = worker.start(Numbers(1))
        late = worker.start(Numbers(2), deadline=time.monotonic() + 0.1)
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
    async def scenario(worker, model):
        first = await worker.busy()
        waiting = worker.start(Numbers(1, 2, 3))
        await asyncio.sleep(0.02)
        with pytest.raises(Overloaded):
            await worker.submit(Numbers(4, 5))
        assert worker.batcher.queue([worker.line])[0] == 3
        assert worker.batcher.queue([worker.line])[1] > 0
        model.gate.set()
        await asyncio.gather(first, waiting)

    run(scenario, max_rows=4)


def test_a_model_that_loses_rows_is_a_failure_and_the_worker_lives():
    class Loses(Model):
        def run(self, rows, worker, *, alone):
            return rows["x"][:0]

    async def scenario(worker, model):
        with pytest.raises(ModelFailed):
            await worker.submit(Numbers(1))
        assert worker.batcher.alive()
        assert worker.restarts == []

    run(scenario, Loses())


def test_closing_finishes_what_was_accepted_and_refuses_the_rest():
    async def scenario(worker, model):
        work = Numbers(*range(20, 40))
        task = worker.start(work)
        await asyncio.sleep(0)
        await asyncio.to_thread(worker.batcher.close)
        await task
        assert len(work.outputs) == 20
        with pytest.raises(Draining):
            await worker.submit(Numbers(1))

    run(scenario, max_batch=2)


def test_a_worker_that_dies_costs_the_batch_in_hand_and_is_replaced():
    async def scenario(worker, model):
        first = await worker.busy()
        fatal, other = worker.start(Numbers(66)), worker.start(Numbers(5))
        await asyncio.sleep(0.05)
        begun = time.monotonic()
        model.gate.set()
        outcome = await asyncio.gather(first, fatal, other, return_exceptions=True)
        assert isinstance(outcome[1], ModelFailed)
        assert outcome[2].value == {0: 10.0}
        assert time.monotonic() - begun < 5
        assert worker.batcher.alive()
        await asyncio.to_thread(wait_for, lambda: worker.restarts == [1])  # told once the next one runs

    run(scenario, max_batch=1)


def test_too_little_memory_halves_the_batch_and_answers_everyone():
    async def scenario(worker, model):
        first = await worker.busy()
        works = [Numbers(i) for i in range(101, 117)]
        others = [worker.start(work) for work in works]
        await asyncio.sleep(0.05)
        model.gate.set()
        await asyncio.gather(first, *others)
        assert [work.outputs for work in works] == [{0: 2.0 * i} for i in range(101, 117)]
        assert max(len(batch) for batch in model.batches) == 4
        assert worker.value("vitrine_provider_faults_total", fault="out_of_memory") == 3  # 16, then twice 8
        assert worker.line.limit() == 4

    run(scenario, Model(memory=4))


def test_a_lost_device_is_replaced_and_its_batch_is_run_again():
    async def scenario(worker, model):
        assert (await worker.submit(Numbers(4))).value == {0: 8.0}
        assert model.losses == 1
        assert worker.value("vitrine_provider_faults_total", fault="device_lost") == 1
        assert worker.batcher.alive()

    run(scenario, Model(devices=1))


def test_a_device_that_stays_lost_fails_the_batch_and_not_the_worker():
    async def scenario(worker, model):
        with pytest.raises(ModelFailed):
            await worker.submit(Numbers(4))
        assert worker.batcher.alive()
        assert (await worker.submit(Numbers(4))).value == {0: 8.0}

    run(scenario, Model(devices=2))


def test_only_work_that_is_alone_is_run_with_all_cores():
    async def scenario(worker, model):
        await worker.submit(Numbers(1))
        first = await worker.busy()
        others = [worker.start(Numbers(2)), worker.start(Numbers(3))]
        await asyncio.sleep(0.05)
        model.gate.set()
        await asyncio.gather(first, *others)
        assert model.alone == [True, True, False, True]

    run(scenario, max_batch=1)


ANNA, BEN = Client("a", "anna"), Client("b", "ben")


class Slow(Model):
    """Large numbers wait for the gate, threes for `threes`; remembers in which thread each number ran."""

    def __init__(self):
        super().__init__()
        self.threes, self.ran = threading.Event(), {}

    def run(self, rows, worker, *, alone):
        numbers = rows["x"].tolist()
        self.ran |= dict.fromkeys(numbers, threading.get_native_id())
        if max(numbers) >= 100:
            self.gate.wait(10)
        if 3 in numbers:
            self.threes.wait(10)
        if 66 in numbers:
            raise SystemExit(66)
        self.batches.append(numbers)
        self.alone.append(alone)
        return rows["x"] * 2


def beside_a_heap(scenario):
    """Run it while the only worker is busy with the first of twenty works of Anna's; all of them are answered then."""

    async def with_heap(worker, model):
        model.gate.clear()
        heap = [worker.start(Numbers(100 + i), client=ANNA) for i in range(20)]
        await asyncio.sleep(0.05)
        await scenario(worker, model)
        model.gate.set()
        assert [done.value for done in await asyncio.gather(*heap)] == [{0: 2.0 * (100 + i)} for i in range(20)]
        assert worker.batcher.alive()

    model = Slow()
    try:
        run(with_heap, model, express=True, max_batch=1)
    finally:
        model.threes.set()


def test_work_of_who_asks_for_little_does_not_wait_behind_a_heap():
    async def scenario(worker, model):
        assert (await worker.submit(Numbers(1, 2), client=BEN)).value == {0: 2.0, 1: 4.0}
        assert (model.batches, model.alone) == ([[1], [2]], [True, True])

    beside_a_heap(scenario)


def test_work_of_who_has_a_heap_waits_for_the_worker():
    async def scenario(worker, model):
        bens = [worker.start(Numbers(i), client=BEN) for i in range(10, 20)]
        await asyncio.sleep(0.1)
        assert model.batches == []
        model.gate.set()
        await asyncio.gather(*bens)

    beside_a_heap(scenario)


def test_nobody_competes_with_the_express_worker():
    async def scenario(worker, model):
        ben = worker.start(Numbers(1, 2, 3, 4), client=BEN)
        await asyncio.sleep(0.05)
        model.gate.set()
        await asyncio.sleep(0.1)
        assert model.batches == [[1], [2], [100]]  # what the worker had in hand, and no more
        model.threes.set()
        await ben
        assert len({model.ran[number] for number in (1, 2, 3, 4)} - {model.ran[100]}) == 1

    beside_a_heap(scenario)


def test_an_express_worker_that_dies_is_replaced():
    async def scenario(worker, model):
        with pytest.raises(ModelFailed):
            await worker.submit(Numbers(66), client=BEN)
        assert (await worker.submit(Numbers(1), client=BEN)).value == {0: 2.0}
        await asyncio.to_thread(wait_for, lambda: worker.restarts == [1])  # told once the next one runs

    beside_a_heap(scenario)


def test_closing_finishes_what_is_favoured_and_what_is_not():
    async def scenario(worker, model):
        ben = worker.start(Numbers(1, 3, 4), client=BEN)
        await asyncio.sleep(0.05)
        closing = asyncio.create_task(asyncio.to_thread(worker.batcher.close))
        await asyncio.sleep(0.05)
        assert not closing.done()
        model.gate.set()
        model.threes.set()
        assert (await ben).value == {0: 2.0, 1: 6.0, 2: 8.0}
        await closing
        worker.batcher = Batcher()  # for the check that all is well in the end

    beside_a_heap(scenario)


def test_the_batcher_says_what_clients_have_on_their_way():
    async def scenario(worker, model):
        assert worker.batcher.owed(ANNA) == pytest.approx(20e-3)
        ben = worker.start(Numbers(3), client=BEN)
        await asyncio.sleep(0.05)
        assert worker.batcher.owed(BEN) == pytest.approx(1e-3)
        model.threes.set()
        await ben
        assert worker.batcher.owed(BEN) == 0

    beside_a_heap(scenario)


def beside_a_tile(scenario, row_s=1.0, workers=1):
    """Run it while Anna's work, so long a row of it takes by the estimate, keeps every worker busy until the gate opens
    and has one row more to do; both are done then.
    """

    async def with_tile(worker, model):
        model.gate.clear()
        line = Line(model, worker.metrics.model("large"), seconds_per_row=row_s, max_batch=1, batch_s=10)
        rows = Numbers(*range(100, 101 + workers))
        photo = asyncio.create_task(worker.batcher.submit(line, rows, soon(), lambda: rows.outputs, ANNA))
        await asyncio.sleep(0.05)
        await scenario(worker, model)
        model.gate.set()
        assert (await photo).value == {i: 2.0 * (100 + i) for i in range(1 + workers)}

    model = Slow()
    try:
        run(with_tile, model, express=True, workers=workers)
    finally:
        model.threes.set()


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("client", [ANNA, BEN])
def test_brief_work_passes_a_long_batch_whoever_asks(client, workers):
    async def scenario(worker, model):
        assert (await worker.submit(Numbers(1, 2), client=client)).value == {0: 2.0, 1: 4.0}
        assert (model.batches, model.alone) == ([[1], [2]], [True, True])

    beside_a_tile(scenario, workers=workers)


def test_work_that_is_not_brief_waits_for_a_long_batch():
    async def scenario(worker, model):
        long = worker.start(Numbers(*[5] * 110))
        await asyncio.sleep(0.1)
        assert model.batches == []
        model.gate.set()
        await long

    beside_a_tile(scenario)


def test_brief_work_waits_for_a_brief_batch():
    async def scenario(worker, model):
        brief = worker.start(Numbers(1))
        await asyncio.sleep(0.1)
        assert model.batches == []
        model.gate.set()
        await brief

    beside_a_tile(scenario, row_s=0.05)


def test_brief_work_passes_a_long_batch_that_began_after_it_came():
    """It waits for a brief batch, since a worker will soon be free; but that one has to take the long work first."""

    async def scenario(worker, model):
        model.gate.clear()
        brief = worker.start(Numbers(3), client=ANNA)  # the worker has it until `threes`
        await asyncio.sleep(0.05)
        line = Line(model, worker.metrics.model("large"), seconds_per_row=1.0, max_batch=1, batch_s=10)
        tile = Numbers(100)
        photo = asyncio.create_task(worker.batcher.submit(line, tile, time.monotonic() + 1.4, dict, ANNA))
        late = worker.start(Numbers(1), client=ANNA)
        await asyncio.sleep(0.05)
        assert model.batches == []
        model.threes.set()
        assert (await late).value == {0: 2.0}
        model.gate.set()
        await asyncio.gather(brief, photo)
        assert model.batches == [[3], [1], [100]]

    run(scenario, Slow(), express=True, max_batch=1)


def test_when_the_worker_with_the_long_batch_dies_nothing_passes_it_any_more():
    async def scenario(worker, model):
        line = Line(model, worker.metrics.model("large"), seconds_per_row=1.0, max_batch=1, batch_s=10)
        with pytest.raises(ModelFailed):
            await worker.batcher.submit(line, Numbers(66), soon(), dict, ANNA)
        await asyncio.to_thread(wait_for, lambda: worker.restarts == [1])
        first = worker.start(Numbers(3))
        second = worker.start(Numbers(1))
        await asyncio.sleep(0.1)
        assert model.batches == []
        model.threes.set()
        await asyncio.gather(first, second)

    run(scenario, Slow(), express=True, max_batch=1)


@pytest.mark.skipif(sys.platform != "linux", reason="priorities for threads are Linux's")
def test_workers_give_way_to_the_event_loop_and_to_the_express_worker():
    async def scenario(worker, model):
        await worker.submit(Numbers(1), client=BEN)
        nice = {number: os.getpriority(os.PRIO_PROCESS, thread) for number, thread in model.ran.items()}
        own = os.getpriority(os.PRIO_PROCESS, os.getpid())
        assert (nice[1], nice[100]) == (own, min(own + NICENESS, MOST_NICENESS))

    beside_a_heap(scenario)


def test_the_client_who_had_least_goes_first():
    async def scenario(worker, model):
        first = await worker.busy()
        greedy = [worker.start(Numbers(100 + i), client=Client("a", "greedy")) for i in range(20)]
        await asyncio.sleep(0.02)
        modest = worker.start(Numbers(7), client=Client("b", "modest"))
        await asyncio.sleep(0.02)
        model.gate.set()
        await asyncio.gather(first, modest, *greedy)
        assert [7.0] in model.batches[:3]

    run(scenario, max_batch=1)


def test_a_promise_counts_others_only_as_far_as_they_come_first():
    async def scenario(worker, model):
        first = await worker.busy()
        greedy = [worker.start(Numbers(*range(100, 200)), client=Client("a", "greedy")) for _ in range(5)]
        await asyncio.sleep(0.02)
        assert worker.batcher.wait(Client("a", "greedy"), 0.001) > 0.5
        assert worker.batcher.wait(Client("b", "modest"), 0.001) < 0.01
        with pytest.raises(Overloaded):
            await worker.submit(Numbers(1), time.monotonic() + 0.3, Client("a", "greedy"))
        modest = worker.start(Numbers(1), deadline=time.monotonic() + 0.3, client=Client("b", "modest"))
        await asyncio.sleep(0.02)
        model.gate.set()
        await asyncio.gather(first, modest, *greedy)

    run(scenario)


def test_what_finishing_raises_comes_to_its_caller_alone():
    async def scenario(worker, model):
        def broken():
            raise RuntimeError("no encoder")

        with pytest.raises(ModelFailed):
            await worker.batcher.submit(worker.line, Numbers(1), soon(), broken)
        assert (await worker.submit(Numbers(4))).value == {0: 8.0}

    run(scenario)


def test_invented_keys_do_not_make_another_address_wait_longer():
    async def scenario(worker, model):
        first = await worker.busy()
        many = [worker.start(Numbers(100 + i), client=Client("a", f"key-{i}")) for i in range(500)]
        await asyncio.sleep(0.05)
        assert worker.batcher.wait(Client("b", "modest"), 0.001) < 0.01
        model.gate.set()
        await asyncio.gather(first, *many)

    run(scenario)


def test_a_worker_waits_for_who_finishes_its_work():
    """A GPU that is faster than the encoders must not let finished work gather: it would be promised as done."""

    async def scenario(worker, model):
        gate = threading.Event()
        works = [Numbers(i) for i in range(100, 100 + MOST_UNFINISHED + 20)]
        jobs = [
            asyncio.create_task(worker.batcher.submit(worker.line, work, soon(), lambda: gate.wait(10)))
            for work in works
        ]
        await asyncio.sleep(0.3)
        waiting = sum(1 for work in works if not work.outputs)
        gate.set()
        await asyncio.gather(*jobs)
        assert 0 < waiting < 20
        assert all(work.outputs for work in works)

    with ThreadPoolExecutor(1) as finisher:
        run(scenario, max_batch=4, finisher=finisher)
