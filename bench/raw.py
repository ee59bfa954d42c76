"""The raw limit: what ONNX Runtime and the encoders reach in one process at the best settings, without any server."""

from __future__ import annotations

import itertools
import os
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Final

from bench.pictures import photo
from bench.work import FORMATS, Order, Photo, Worker

CORES: Final = os.cpu_count() or 1
SEARCH_S: Final = {"generate": 0.7, "enhance": 2.0}
FINAL_S: Final = {"generate": 3.0, "enhance": 6.0}
FINALISTS: Final = 3
FASTEST: Final = 2
# The last round decides, and takes three times as many.
ONE_ITEM_RUNS: Final = {"generate": 60, "enhance": 4}
QUICK: Final = 0.2
TILES: Final = (0, 276, -1)  # the model's own; halves of a 512 px photo and their margins; the whole photo


@dataclass(frozen=True, slots=True)
class Setup:
    """One way to use the cores. `tile` as in `Worker`; with `split`, the batches of one photo run side by side."""

    workers: int
    intra: int
    spinning: bool
    batch: int
    tile: int = 0
    split: bool = False

    def __str__(self) -> str:
        tile = {0: "", -1: ", whole photos"}.get(self.tile, f", tiles of {self.tile}")
        spinning = " spinning" if self.spinning else ""
        split = ", one photo over all" if self.split else ""
        return f"{self.workers} threads x {self.intra}{spinning} intra-op, batch {self.batch}{tile}{split}"

    def worker(self) -> Worker:
        return loaded(self.intra, self.spinning, self.batch, self.tile)


@dataclass(slots=True)
class Limit:
    """One task with one format. `again` is the same throughput at the end of the whole benchmark."""

    setup: Setup
    per_second: float
    one_item_setup: Setup
    one_item_ms: float
    search: dict[str, float]
    one_item_search: dict[str, float]
    again: list[float] = field(default_factory=list)

    @property
    def mean(self) -> float:
        """Of before and after, since the clock of a shared machine drifts."""
        return statistics.fmean([self.per_second, *self.again])


@cache
def loaded(intra: int, spinning: bool, batch: int, tile: int) -> Worker:
    return Worker(intra, spinning, batch, tile)


def thread_setups() -> Iterator[tuple[int, int, bool]]:
    """(workers, intra-op threads, spinning): a thread a core, and all cores for one worker."""
    yield CORES, 1, False
    if CORES > 1:
        yield from ((1, CORES, True), (1, CORES, False), (CORES, CORES, False))


def setups(task: str) -> list[Setup]:
    """What the search for the highest throughput tries."""
    shapes = [(b, 0) for b in (1, 4, 8, 16)] if task == "generate" else [(1, tile) for tile in TILES]
    return [Setup(*threads, batch, tile) for threads in thread_setups() for batch, tile in shapes]


def one_item_setups(task: str) -> list[Setup]:
    """What the search for the shortest time of one item tries."""
    alone = [(1, 1, False), *(threads for threads in thread_setups() if threads[0] == 1)]
    if task == "generate":
        return [Setup(*threads, 1) for threads in alone]
    whole = [Setup(*threads, 1, tile) for threads in alone[1:] for tile in TILES]
    return whole + [Setup(CORES, 1, False, 1, tile, split=True) for tile in TILES[:2]]


def calls(task: str, setup: Setup, image_format: str) -> Iterator[Callable[[], list[bytes]]]:
    """Endless pieces of work, no two generated pictures the same."""
    worker = setup.worker()
    pool = ThreadPoolExecutor(setup.workers) if setup.split else None
    for seed in itertools.count(0, setup.batch):
        if task == "generate":
            orders = [Order("t-shirt", seed + i, image_format) for i in range(setup.batch)]
            yield partial(worker.generate, orders)
        else:
            yield partial(worker.enhance, [Photo(photo(), image_format)], pool)


def throughput(task: str, setup: Setup, image_format: str, seconds: float) -> float:
    """Items per second, all workers together."""

    def rate(_: int) -> float:
        work = calls(task, setup, image_format)
        next(work)()
        done, begun = 0, time.perf_counter()
        while (spent := time.perf_counter() - begun) < seconds or not done:
            done += len(next(work)())
        return done / spent

    with ThreadPoolExecutor(setup.workers) as threads:
        return sum(threads.map(rate, range(setup.workers)))


def one_item(task: str, setup: Setup, image_format: str, runs: int) -> float:
    """Median milliseconds of one item on an idle machine."""
    times = []
    for work in itertools.islice(calls(task, setup, image_format), runs + 1):
        begun = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - begun))
    return statistics.median(times[1:])


def best(found: dict[Setup, float], count: int, *, highest: bool) -> list[Setup]:
    return sorted(found, key=lambda setup: found[setup], reverse=highest)[:count]


def named(found: dict[Setup, float]) -> dict[str, float]:
    return {str(setup): value for setup, value in found.items()}


def limits(task: str, share: float = 1) -> dict[str, Limit]:
    """By format. A short search on WebP; its best ones are measured again and longer, so that no lucky second wins.

    With less than the whole `share` of the time, only the first setting is tried.
    """
    runs = max(2, int(share * ONE_ITEM_RUNS[task]))
    some = slice(None if share == 1 else 1)
    searched = {s: throughput(task, s, "webp", share * SEARCH_S[task]) for s in setups(task)[some]}
    single = {s: one_item(task, s, "webp", runs) for s in one_item_setups(task)[some]}
    found = {}
    for image_format in FORMATS:
        rates, times = dict(searched), dict(single)
        finalists = best(searched, FINALISTS, highest=True)
        rates |= {s: throughput(task, s, image_format, share * FINAL_S[task]) for s in finalists}
        fastest = best(single, FASTEST, highest=False)
        times |= {s: one_item(task, s, image_format, 3 * runs) for s in fastest}
        top, first = max(finalists, key=rates.__getitem__), min(fastest, key=times.__getitem__)
        found[image_format] = Limit(top, rates[top], first, times[first], named(rates), named(times))
    return found


def again(task: str, found: dict[str, Limit], share: float = 1) -> list[float]:
    """The winners' throughput once more, in the order of the formats."""
    return [throughput(task, found[name].setup, name, share * FINAL_S[task]) for name in FORMATS]
