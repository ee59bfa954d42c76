"""The inference worker: a bounded queue of work, threads that batch while they are busy, deadlines that are kept.

One piece of work may hold many rows (the tiles of a photo). Rows are cut from it only when a batch takes them, in turn
with those of all other work, so that a large photo neither fills the memory nor keeps a small one waiting.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from app.errors import DeadlineExceeded, Draining, ModelFailed, Overloaded
from app.metrics import ModelMetrics

Row = Mapping[str, NDArray[Any] | np.generic]
Run = Callable[[Mapping[str, NDArray[Any]]], NDArray[Any]]
log = logging.getLogger("vitrine.worker")


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


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds from `submit` to the first batch, and from there to the last output."""

    queue: float
    infer: float


@dataclass(slots=True)
class Job:
    """Work in the queue. Its future belongs to the event loop that submitted it; the rest is the worker's."""

    work: Work
    deadline: float
    loop: asyncio.AbstractEventLoop
    submitted: float = field(default_factory=time.monotonic)
    started: float = 0.0
    taken: int = 0
    finished: int = 0
    over: bool = False  # delivered, failed or abandoned: no row of it needs to run any more
    future: asyncio.Future[Spent] = field(init=False)

    def __post_init__(self) -> None:
        self.future = self.loop.create_future()

    def settle(self, outcome: Spent | Exception) -> None:
        """Deliver from any thread, once."""
        self.over = True
        with contextlib.suppress(RuntimeError):  # the loop has been closed: there is nobody to tell
            self.loop.call_soon_threadsafe(self._deliver, outcome)

    def _deliver(self, outcome: Spent | Exception) -> None:
        if self.future.done():
            return
        if isinstance(outcome, Exception):
            self.future.set_exception(outcome)
        else:
            self.future.set_result(outcome)


class Batcher:
    """One model's queue and its worker threads. An idle worker takes what is there at once; there is no timer."""

    def __init__(
        self, run: Run, metrics: ModelMetrics, *, workers: int = 2, max_batch: int = 16, max_rows: int = 16384
    ) -> None:
        self._run, self._metrics, self._max_batch, self._max_rows = run, metrics, max_batch, max_rows
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition()
        self._open = True
        self._seconds_per_row = 0.0
        metrics.watch_queue(self.depth, self.age)
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(workers)]
        for thread in self._threads:
            thread.start()

    def depth(self) -> int:
        """Rows that wait."""
        with self._changed:
            return self._depth()

    def _depth(self) -> int:
        return sum(job.work.rows - job.taken for job in self._jobs if not job.over)

    def age(self) -> float:
        """Seconds that the oldest work in the queue has waited; 0 when there is none."""
        with self._changed:
            waiting = [job.submitted for job in self._jobs if not job.over]
        return time.monotonic() - min(waiting) if waiting else 0.0

    def alive(self) -> bool:
        """Whether work is taken: open, with every worker thread running."""
        return self._open and all(thread.is_alive() for thread in self._threads)

    async def submit(self, work: Work, deadline: float) -> Spent:
        """Run all rows of `work` before `deadline` (on time.monotonic's clock), or none.

        Raises:
            Draining: the batcher is closed.
            Overloaded: the queue is full, or cannot meet the deadline at its measured speed.
            DeadlineExceeded: the deadline passed while rows were queued.
            ModelFailed: the model failed on one of the rows.
        """
        job = Job(work, deadline, asyncio.get_running_loop())
        with self._changed:
            if not self._open:
                raise Draining
            total = self._depth() + work.rows
            wait = total * self._seconds_per_row
            if total > self._max_rows or time.monotonic() + wait > deadline:
                raise Overloaded(wait)
            self._jobs.append(job)
            self._changed.notify_all()
        try:
            return await job.future
        finally:
            job.over = True

    def close(self) -> None:
        """Take nothing new, finish what was accepted, stop the threads."""
        with self._changed:
            self._open = False
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _take(self) -> list[tuple[Job, int]]:
        """Wait for rows, and take them from all work in turn; an empty list once there will be none."""
        with self._changed:
            while True:
                batch: list[tuple[Job, int]] = []
                while self._jobs and len(batch) < self._max_batch:
                    job = self._jobs.popleft()
                    if job.over:
                        self._metrics.dropped("abandoned", job.work.rows - job.taken)
                        continue
                    if job.deadline < time.monotonic():
                        self._metrics.dropped("expired", job.work.rows - job.taken)
                        job.settle(DeadlineExceeded("The deadline passed while the work was queued."))
                        continue
                    if not job.started:
                        job.started = time.monotonic()
                    batch.append((job, job.taken))
                    job.taken += 1
                    if job.taken < job.work.rows:
                        self._jobs.append(job)
                if batch or not self._open:
                    return batch
                self._changed.wait()

    def _work(self) -> None:
        while batch := self._take():
            begun = time.monotonic()
            try:
                self._process(batch)
            except BaseException as error:  # of ours, not of the model: this batch is lost, the worker goes on
                log.exception("a worker failed on a batch of %d rows", len(batch))
                for job, _ in batch:
                    job.settle(failed(error))
            spent = time.monotonic() - begun
            share = spent / len(batch) / len(self._threads)
            with self._changed:
                self._seconds_per_row += (0.1 if self._seconds_per_row else 1.0) * (share - self._seconds_per_row)

    def _process(self, batch: list[tuple[Job, int]]) -> None:
        """Run a batch; when it fails, its halves are tried alone, so that only the bad row's caller is harmed.

        A batch is counted before it is delivered, so that a caller with an answer finds it in the metrics.
        """
        begun = time.monotonic()
        try:
            rows = [job.work.row(index) for job, index in batch]
            output = self._run({name: np.stack([row[name] for row in rows]) for name in rows[0]})
            if len(output) != len(batch):
                raise ValueError(f"{len(output)} outputs for {len(batch)} rows")
            for (job, index), one in zip(batch, output, strict=True):
                job.work.put(index, one)
        except Exception as error:
            if len(batch) == 1:
                self._metrics.batch(1, time.monotonic() - begun)
                log.error("the model failed on one row: %s", type(error).__name__)
                batch[0][0].settle(failed(error))
                return
            middle = len(batch) // 2
            self._process(batch[:middle])
            self._process(batch[middle:])
            return
        now = time.monotonic()
        self._metrics.batch(len(batch), now - begun)
        with self._changed:
            for job, _ in batch:
                job.finished += 1
                if job.finished == job.work.rows and not job.over:
                    job.settle(Spent(job.started - job.submitted, now - job.started))
