"""The inference worker: one bounded queue for all models, threads that batch while busy, deadlines that are kept.

One piece of work may hold many rows (the tiles of a photo). Rows are cut from it only when a batch takes them, so that
a large photo neither fills the memory nor keeps a small one waiting.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from app.errors import AppError, DeadlineExceeded, Draining, ModelFailed, Overloaded
from app.lanes import BRIEF_S, MANY, Client, Lanes, urgency
from app.metrics import ModelMetrics
from app.sessions import Arrays, DeviceLost, OutOfMemory

Row = Mapping[str, NDArray[Any] | np.generic]
T = TypeVar("T")
log = logging.getLogger("vitrine.worker")

MARGIN: Final = 1.25
"""Estimated waits are taken this much longer, since an answer in time also has to be sent."""
PACE_MEMORY: Final = 0.95
"""What is left of a measured batch's weight after the next one."""
RIVALS_S: Final = 0.005
"""Longest batch while several clients ask, since each may have to wait for one of another's."""
NICENESS: Final = 10
"""How much worker threads give way to the event loop and to the express worker where the system has it by thread: these
get nine tenths of a core for which both compete."""
MOST_NICENESS: Final = 19
"""What the system knows."""
LONG_S: Final = 0.1
"""One row that takes longer is passed by brief work. That a batch has many rows makes it none to pass: `batch_s` says
how long it may be, and what waits shares the next one."""
MOST_UNFINISHED: Final = 64
"""Jobs that may wait for a finisher. Then the worker waits, too, so that its measured speed is that of the answers, and
what cannot be answered in time is refused instead of gathering behind a GPU that is faster than the encoders."""
CAUTIOUS_BATCHES: Final = 200
"""Batches without a fault before a limit that lack of memory set is doubled."""


NOBODY: Final = Client("")


def failed(cause: BaseException) -> ModelFailed:
    """What a caller is told; the cause is for the log."""
    failure = ModelFailed("The model failed on this item.")
    failure.__cause__ = cause
    return failure


class Work(Protocol):
    """What a caller wants done: `rows` rows, each cut and put back by its index, from any worker thread."""

    @property
    def rows(self) -> int:
        """How many rows there are, at least one."""

    def row(self, index: int) -> Row:
        """The inputs of one row, without batch dimension."""

    def put(self, index: int, output: NDArray[Any]) -> None:
        """Take the output of one row; every index comes once, in any order."""


class Runner(Protocol):
    """What runs a batch: `app.sessions.Engine`."""

    @property
    def losses(self) -> int:
        """How often its device was lost."""

    def run(self, rows: Arrays, worker: int, *, alone: bool) -> NDArray[Any]:
        """A batch of rows -> their outputs."""

    def reopen(self, seen: int) -> None:
        """Get over a lost device."""


class Line:
    """Rows of one model and size in the worker: how they are run, how fast that goes, and how many are on their way.

    Its numbers belong to the batcher's lock.
    """

    def __init__(
        self, engine: Runner, metrics: ModelMetrics, *, seconds_per_row: float, max_batch: int, batch_s: float
    ) -> None:
        """Batches take at most `max_batch` rows and, by the measured speed, `batch_s` seconds."""
        self.engine, self.metrics = engine, metrics
        self.waiting = 0
        self._seconds, self._rows = seconds_per_row, 1.0
        self._max_batch, self._batch_s = max_batch, batch_s
        self._memory_limit, self._calm = max_batch, 0

    @property
    def seconds_per_row(self) -> float:
        """Time of one worker for one row, with cutting, putting back and finishing."""
        return self._seconds / self._rows

    def limit(self, most_s: float = math.inf) -> int:
        """The largest batch to make now, of at most so many seconds."""
        seconds = min(self._batch_s, most_s)
        fitting = int(seconds / self.seconds_per_row) if self.seconds_per_row else self._max_batch
        return max(1, min(self._memory_limit, fitting, self._max_batch))

    def measured(self, rows: int, seconds: float) -> None:
        """Remember a batch that went well."""
        self._seconds = PACE_MEMORY * self._seconds + seconds
        self._rows = PACE_MEMORY * self._rows + rows
        self._calm += 1
        if self._calm >= CAUTIOUS_BATCHES and self._memory_limit < self._max_batch:
            self._memory_limit, self._calm = 2 * self._memory_limit, 0

    def out_of_memory(self, rows: int) -> None:
        """Make smaller batches: this many rows were too many."""
        self._memory_limit, self._calm = max(1, rows // 2), 0


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """A finished work's value, and the seconds to its first batch, from there to its last output, and for finishing."""

    value: T
    queue: float
    infer: float
    finish: float


@dataclass(slots=True, eq=False)
class Job:
    """Work in the queue. Its future belongs to the event loop that submitted it; the rest is the worker's."""

    work: Work
    kind: Line
    client: Client
    deadline: float
    finish: Callable[[], Any]
    loop: asyncio.AbstractEventLoop
    row_s: float
    owed: int  # rows that the worker still means to run
    submitted: float = field(default_factory=time.monotonic)
    started: float = 0.0
    taken: int = 0
    finished: int = 0
    over: bool = False  # delivered, failed or abandoned: no row of it needs to run any more
    rows: int = field(init=False)
    brief: bool = field(init=False)
    future: asyncio.Future[Done[Any]] = field(init=False)

    def __post_init__(self) -> None:
        self.rows, self.future = self.owed, self.loop.create_future()
        self.brief = self.rows * self.row_s <= BRIEF_S

    def outcome(self) -> Outcome:
        """Finish, now that the last output is there."""
        begun = time.monotonic()
        try:
            value = self.finish()
        except AppError as error:
            return error
        except Exception as error:
            log.exception("finishing failed")
            return failed(error)
        return Done(value, self.started - self.submitted, begun - self.started, time.monotonic() - begun)

    def settle(self, outcome: Outcome) -> None:
        """In the event loop's thread: tell who waits, unless it has gone."""
        if self.future.done():
            return
        if isinstance(outcome, Exception):
            self.future.set_exception(outcome)
        else:
            self.future.set_result(outcome)


Outcome = Done[Any] | Exception
Batch = list[tuple[Job, int]]


def deliver(outcomes: list[tuple[Job, Outcome]]) -> None:
    """Settle jobs, each once, from any thread; together, since waking the event loop costs as much as a picture."""
    for loop in {job.loop for job, _ in outcomes}:
        own = [(job, outcome) for job, outcome in outcomes if job.loop is loop]
        for job, _ in own:
            job.over = True
        with contextlib.suppress(RuntimeError):  # the loop has been closed: there is nobody to tell
            loop.call_soon_threadsafe(settle_all, own)


def settle_all(outcomes: list[tuple[Job, Outcome]]) -> None:
    for job, outcome in outcomes:
        job.settle(outcome)


def give_way() -> None:
    """Have the calling thread go after others of this process, where the system has priorities for threads."""
    if sys.platform == "linux":  # elsewhere it would be the whole process
        whole = os.getpriority(os.PRIO_PROCESS, os.getpid())  # a thread may have been begun by one that gives way
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), min(whole + NICENESS, MOST_NICENESS))


def locked() -> threading.Lock:
    """A lock that is taken: whoever takes it again sleeps until somebody lets it go."""
    lock = threading.Lock()
    lock.acquire()
    return lock


class Batcher:
    """The queue of all models and its worker threads. An idle worker takes what is there at once; there is no timer.

    An express worker beside them runs at once, on all cores, brief work whose turn it is while every worker has a long
    row in hand, such as a large tile of a photo; and all work of a client that asks for little while another one has
    a heap waiting. Meanwhile the others finish what they have in hand, at a lower priority, and in the second case take
    nothing.
    """

    def __init__(
        self,
        *,
        workers: int = 2,
        express: bool = False,
        max_rows: int = 16384,
        restarted: Callable[[], None] = lambda: None,
        finisher: Executor | None = None,
        ran: Callable[[Batch, float], None] | None = None,
    ) -> None:
        """`express` adds an express worker; that is of use where a batch can be run on all cores, so not on GPUs.

        `restarted` is told of every worker thread that had to be replaced, `ran` of every batch and when it began.

        Work is finished by the worker that ran its last row, in whose processor's cache it is; or by `finisher`, where
        the workers have GPUs to feed.
        """
        self._max_rows, self._restarted, self._finisher, self._ran = max_rows, restarted, finisher, ran
        self._unfinished = threading.Semaphore(MOST_UNFINISHED)
        self._open = True
        # The event loop's half. It never waits for a lock: what it and the workers tell each other goes through deques.
        self._owed: dict[Client, float] = {}
        self._rows = 0
        self._inbox: deque[Job] = deque()
        self._settled: deque[tuple[Job, int]] = deque()
        self._idle: dict[bool, deque[int]] = {False: deque(), True: deque()}  # the workers; and the express worker
        self._workers, threads = workers, workers + express
        self._express = workers if express else None
        self._wakes = [locked() for _ in range(threads)]
        # The workers' half, and its lock.
        self._lock = threading.Lock()
        self._lanes: Lanes[Job] = Lanes()
        self._hands: list[Batch] = [[] for _ in range(threads)]
        self._threads = [self._thread(worker) for worker in range(threads)]
        for thread in self._threads:
            thread.start()

    def _thread(self, worker: int) -> threading.Thread:
        return threading.Thread(target=self._main, args=(worker,), name=f"worker-{worker}", daemon=True)

    def queue(self, kinds: Collection[Line]) -> tuple[int, float]:
        """Rows that wait in these lines, and the seconds that the oldest work there has; from any thread."""
        with self._lock:
            self._receive()
            waiting = [job.submitted for job in self._lanes if job.kind in kinds]
            rows = sum(kind.waiting for kind in kinds)
        return rows, time.monotonic() - min(waiting) if waiting else 0.0

    def owed(self, client: Client) -> float:
        """The worker seconds of what a client has on its way. Only for the event loop's thread."""
        self._collect()
        return self._owed.get(client, 0.0)

    def idle(self) -> bool:
        """Whether no work is queued or running. Only for the event loop's thread."""
        self._collect()
        return not self._rows

    def alive(self) -> bool:
        """Whether work is taken: open, with every worker thread running."""
        return self._open and all(thread.is_alive() for thread in self._threads)

    def wait(self, client: Client, seconds: float = 0.0) -> float:
        """How long work of so many worker seconds would take a client if it came now, with what is ahead of it.

        That is its own queue and, since every address gets the same, and every key of an address the same of that, at
        most as much of everybody else's. Only for the event loop's thread.
        """
        self._collect()
        own = self._owed.get(client, 0.0) + seconds
        at: dict[str, float] = {}
        for other, owed in self._owed.items():
            if other != client:
                share = min(owed, own) if other.address == client.address else owed
                at[other.address] = at.get(other.address, 0.0) + share
        own += at.pop(client.address, 0.0)
        ahead = sum(min(owed, own) for owed in at.values())
        return MARGIN * (own + ahead) / self._workers

    def _collect(self) -> None:
        """Take note of the rows that are no longer owed."""
        while self._settled:
            job, rows = self._settled.popleft()
            self._rows -= rows
            self._owe(job.client, -rows * job.row_s)

    def _owe(self, client: Client, seconds: float) -> None:
        owed = self._owed.get(client, 0.0) + seconds
        if owed > 1e-9:
            self._owed[client] = owed
        else:
            self._owed.pop(client, None)

    async def submit(
        self, kind: Line, work: Work, deadline: float, finish: Callable[[], T], client: Client = NOBODY
    ) -> Done[T]:
        """Run all rows of `work` and then, in a worker thread, `finish`, before `deadline` (time.monotonic's clock).

        Raises:
            Draining: the batcher is closed.
            Overloaded: the queue is full, or cannot meet the deadline at its measured speed.
            DeadlineExceeded: the deadline passed while rows were queued.
            ModelFailed: the model failed on one of the rows.
            AppError: what `finish` raised.
        """
        job = Job(work, kind, client, deadline, finish, asyncio.get_running_loop(), kind.seconds_per_row, work.rows)
        seconds = job.rows * job.row_s
        if not self._open:
            raise Draining
        wait = self.wait(client, seconds)
        if self._rows + job.rows > self._max_rows or job.submitted + wait > deadline:
            raise Overloaded(wait)
        self._rows += job.rows
        self._owe(client, seconds)
        self._inbox.append(job)
        self._wake(job.rows, express=False)
        rival = len(self._owed) > 1 and self._owed.get(client, 0.0) <= MANY * seconds  # it may be favoured
        if rival or (job.brief and self._all_long()):
            self._wake(1, express=True)
        try:
            return await job.future
        finally:
            if not job.over:
                self._abandon(job)

    def _wake(self, count: int, *, express: bool) -> None:
        """Wake so many of the workers that sleep, or the express worker; from any thread."""
        with contextlib.suppress(IndexError):
            for _ in range(count):
                self._wakes[self._idle[express].pop()].release()

    def _abandon(self, job: Job) -> None:
        with self._lock:
            self._receive()
            job.over = True
            self._drop(job, "abandoned")

    def _receive(self) -> None:
        """Put what has been submitted into its lanes."""
        while self._inbox:
            job = self._inbox.popleft()
            job.kind.waiting += job.rows
            due = urgency(job.submitted, job.deadline, job.rows * job.row_s / self._workers)
            self._lanes.add(job, due, time.monotonic())

    def _drop(self, job: Job, reason: str) -> None:
        """Forget the rows that no batch has taken."""
        rows = job.rows - job.taken
        if rows:
            self._lanes.remove(job)
            job.kind.waiting -= rows
            job.taken = job.rows
            job.kind.metrics.dropped(reason, rows)
        self._settle(job, job.owed)

    def _settle(self, job: Job, rows: int) -> None:
        """Rows that are no longer owed: run, or dropped."""
        rows = min(rows, job.owed)
        job.owed -= rows
        self._settled.append((job, rows))

    def close(self) -> None:
        """Take nothing new, finish what was accepted, stop the threads."""
        self._open = False
        for express in (False, True):
            self._wake(self._workers, express=express)
        for worker in range(len(self._threads)):
            while self._threads[worker].is_alive():  # by its number: a thread that dies meanwhile is replaced
                self._threads[worker].join()

    def _main(self, worker: int) -> None:
        """A worker thread's life; whatever ends it but `close` costs the batch in hand, and another one takes over."""
        try:
            self._work(worker)
        except BaseException:
            log.exception("worker %d died; %d rows in hand are lost", worker, len(self._hands[worker]))
            with self._lock:
                for job, _ in self._hands[worker]:
                    self._give_up(job, RuntimeError("the worker died"))
                self._hands[worker] = []
                express = worker == self._express
                self._idle[express] = deque(other for other in self._idle[express] if other != worker)
                self._wakes[worker] = locked()
            self._threads[worker] = self._thread(worker)
            self._threads[worker].start()
            self._restarted()

    def _work(self, worker: int) -> None:
        if self._express not in (None, worker):
            give_way()
        while taken := self._take(worker):
            batch, alone = taken
            begun = time.monotonic()
            finished = self._finish(self._process(batch, worker, alone))
            seconds = time.monotonic() - begun
            if alone and self._express is not None:  # it had the cores of all workers
                seconds *= self._workers
            with self._lock:
                batch[0][0].kind.measured(len(batch), seconds)
                self._hands[worker] = []
            deliver(finished)

    def _take(self, worker: int) -> tuple[Batch, bool] | None:
        """Wait for rows of one model, and say whether they are alone here; None once there will be none."""
        express = worker == self._express
        while True:
            with self._lock:
                self._receive()
                alone = not any(self._hands)
                favoured = self._express is not None and self._open and self._lanes.favoured(time.monotonic())
                mine = favoured or self._passing() if express else not favoured
                batch = self._hands[worker] = self._gather(express) if mine else []
                if batch:
                    if not express and self._all_long():  # brief work that waits, or just came, has to pass
                        self._wake(1, express=True)
                    return batch, express or (alone and not self._lanes)
                if not self._open:
                    return None
                self._idle[express].append(worker)
            if favoured != express:  # it is the others' turn
                self._wake(self._workers, express=favoured)
            if self._inbox or not self._open:  # what came since has perhaps found nobody to wake
                self._wake(1, express=False)
                self._wake(1, express=True)
            self._wakes[worker].acquire()

    def _all_long(self) -> bool:
        """Whether every worker has a long row in hand; from any thread."""
        return all(batch and batch[0][0].kind.seconds_per_row > LONG_S for batch in self._hands[: self._workers])

    def _passing(self) -> bool:
        """Whether it is the turn of brief work, and no worker will soon be free for it."""
        if not self._all_long():
            return False
        job = self._next(None)
        return job is not None and job.brief

    def _gather(self, express: bool) -> Batch:
        """The next batch: rows whose turn it is, shared out evenly among the workers; one row if it is express."""
        batch: Batch = []
        job = self._next(None)
        if job is None:
            return batch
        kind = job.kind
        most_s = RIVALS_S if self._lanes.rivals(time.monotonic()) else math.inf
        size = 1 if express else min(kind.limit(most_s), -(-kind.waiting // self._workers))
        while job is not None and len(batch) < size:
            now = time.monotonic()
            job.started = job.started or now
            batch.append((job, job.taken))
            if job.taken + 1 == job.rows:
                self._lanes.remove(job)
            job.taken += 1
            kind.waiting -= 1
            self._lanes.charge(job, kind.seconds_per_row, now)
            job = self._next(kind) if len(batch) < size else None
        return batch

    def _next(self, kind: Line | None) -> Job | None:
        """The job whose turn it is, past those that are too late."""
        while True:
            now = time.monotonic()
            job = self._lanes.next(now, kind)
            if job is None or job.deadline > now:
                return job
            self._drop(job, "expired")
            deliver([(job, DeadlineExceeded("The deadline passed while the work was queued."))])

    def _process(self, batch: Batch, worker: int, alone: bool, again: bool = True) -> list[Job]:
        """Run a batch and give the jobs that it completed.

        When it fails, its halves are tried alone, so that only a bad row's caller is harmed; when its device fails, it
        is run again on what takes the device's place.
        """
        kind = batch[0][0].kind
        begun, losses = time.monotonic(), kind.engine.losses
        try:
            self._run(kind, batch, worker, alone)
        except DeviceLost as error:
            log.error("a device was lost: %s", error)
            kind.metrics.fault("device_lost")
            kind.engine.reopen(losses)
            if again:
                return self._process(batch, worker, alone, again=False)
            return self._fail(batch, error)
        except Exception as error:
            if isinstance(error, OutOfMemory):
                kind.metrics.fault("out_of_memory")
                with self._lock:
                    kind.out_of_memory(len(batch))
            if len(batch) == 1:
                kind.metrics.batch(1, time.monotonic() - begun)
                log.error("the model failed on one row: %s", type(error).__name__)
                return self._fail(batch, error)
            middle = len(batch) // 2
            first = self._process(batch[:middle], worker, alone)
            return first + self._process(batch[middle:], worker, alone)
        kind.metrics.batch(len(batch), time.monotonic() - begun)
        if self._ran is not None:
            self._ran(batch, begun)
        return self._completed(batch)

    def _run(self, kind: Line, batch: Batch, worker: int, alone: bool) -> None:
        rows = [job.work.row(index) for job, index in batch]
        stacked = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
        output = kind.engine.run(stacked, worker, alone=alone)
        if len(output) != len(batch):
            raise ValueError(f"{len(output)} outputs for {len(batch)} rows")
        for (job, index), one in zip(batch, output, strict=True):
            job.work.put(index, one)

    def _fail(self, batch: Batch, error: BaseException) -> list[Job]:
        with self._lock:
            for job, _ in batch:
                self._give_up(job, error)
        return []

    def _give_up(self, job: Job, error: BaseException) -> None:
        if not job.over:
            deliver([(job, failed(error))])
            self._drop(job, "failed")

    def _completed(self, batch: Batch) -> list[Job]:
        done = []
        with self._lock:
            for job, _ in batch:
                job.finished += 1
                self._settle(job, 1)
                if job.finished == job.rows and not job.over:
                    done.append(job)
        return done

    def _finish(self, done: list[Job]) -> list[tuple[Job, Outcome]]:
        """Finish jobs here, or have them finished."""
        if self._finisher is None:
            return [(job, job.outcome()) for job in done]
        for job in done:
            self._unfinished.acquire()
            self._finisher.submit(self._finish_elsewhere, job)
        return []

    def _finish_elsewhere(self, job: Job) -> None:
        try:
            deliver([(job, job.outcome())])
        finally:
            self._unfinished.release()
