"""The inference worker: a bounded queue of rows, threads that batch while they are busy, deadlines that are kept."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.errors import DeadlineExceeded, Draining, ModelFailed, Overloaded

Row = Mapping[str, NDArray[Any]]
Run = Callable[[Row], NDArray[np.uint8]]


@dataclass(slots=True)
class Job:
    """One waiting row. Its future belongs to the event loop that submitted it."""

    row: Row
    deadline: float
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[NDArray[np.uint8]] = field(init=False)

    def __post_init__(self) -> None:
        self.future = self.loop.create_future()

    def settle(self, outcome: NDArray[np.uint8] | Exception) -> None:
        """Deliver from any thread; a caller who left is skipped."""
        self.loop.call_soon_threadsafe(self._deliver, outcome)

    def _deliver(self, outcome: NDArray[np.uint8] | Exception) -> None:
        if self.future.done():
            return
        if isinstance(outcome, Exception):
            self.future.set_exception(outcome)
        else:
            self.future.set_result(outcome)


class Batcher:
    """One model's queue and its worker threads. An idle worker takes what is there at once; there is no timer."""

    def __init__(self, run: Run, *, workers: int = 2, max_batch: int = 16, max_waiting: int = 256) -> None:
        self._run, self._max_batch, self._max_waiting = run, max_batch, max_waiting
        self._waiting: deque[Job] = deque()
        self._changed = threading.Condition()
        self._open = True
        self._seconds_per_row = 0.0
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(workers)]
        for thread in self._threads:
            thread.start()

    async def submit(self, rows: list[Row], deadline: float) -> list[NDArray[np.uint8]]:
        """Run rows (without batch dimension) before `deadline` (time.monotonic); all or none are accepted.

        Raises:
            Draining: the batcher is closed.
            Overloaded: the queue is full, or cannot meet the deadline at its measured speed.
            DeadlineExceeded: the deadline passed while a row was queued.
            ModelFailed: the model raised on one of the rows.
        """
        loop = asyncio.get_running_loop()
        jobs = [Job(row, deadline, loop) for row in rows]
        with self._changed:
            if not self._open:
                raise Draining
            total = len(self._waiting) + len(jobs)
            wait = total * self._seconds_per_row
            if total > self._max_waiting or time.monotonic() + wait > deadline:
                raise Overloaded(wait)
            self._waiting.extend(jobs)
            self._changed.notify_all()
        try:
            return list(await asyncio.gather(*(job.future for job in jobs)))
        finally:
            for job in jobs:
                job.future.cancel()

    def close(self) -> None:
        """Take nothing new, finish what was accepted, stop the threads."""
        with self._changed:
            self._open = False
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _take(self) -> list[Job]:
        """Wait for work; an empty list means that there will be none."""
        with self._changed:
            while self._open and not self._waiting:
                self._changed.wait()
            batch: list[Job] = []
            while self._waiting and len(batch) < self._max_batch:
                job = self._waiting.popleft()
                if job.future.done():
                    continue
                if job.deadline < time.monotonic():
                    job.settle(DeadlineExceeded("The deadline passed while the work was queued."))
                    continue
                batch.append(job)
            return batch

    def _work(self) -> None:
        while True:
            batch = self._take()
            if batch:
                self._process(batch)
            elif not self._open:
                return

    def _process(self, batch: list[Job]) -> None:
        """Run a batch; when it fails, its halves are tried alone, so that only the bad row's caller is harmed."""
        begun = time.monotonic()
        try:
            output = self._run({name: np.stack([job.row[name] for job in batch]) for name in batch[0].row})
        except Exception as error:
            if len(batch) == 1:
                failure = ModelFailed("The model failed on this item.")
                failure.__cause__ = error
                batch[0].settle(failure)
                return
            middle = len(batch) // 2
            self._process(batch[:middle])
            self._process(batch[middle:])
            return
        spent = (time.monotonic() - begun) / len(batch) / len(self._threads)
        with self._changed:
            self._seconds_per_row = spent if not self._seconds_per_row else 0.9 * self._seconds_per_row + 0.1 * spent
        for job, picture in zip(batch, output, strict=True):
            job.settle(picture)
