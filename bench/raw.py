"""The raw limit: what ONNX Runtime and the codecs reach at the best settings, without any server."""

from __future__ import annotations

import itertools
import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache, partial
from multiprocessing import get_context, synchronize
from typing import Final

from bench.pictures import photo
from bench.processes import DISTURBED, OtherLoad
from bench.work import FORMATS, Order, Photo, Worker

CORES: Final = len(os.sched_getaffinity(0))
SEARCH_S: Final = {"generate": 0.7, "enhance": 2.0}
FINAL_S: Final = {"generate": 3.0, "enhance": 5.0}
FINALISTS: Final = 2
FASTEST: Final = 2
ONE_ITEM_RUNS: Final = {"generate": 60, "enhance": 4}
LAST_ROUND: Final = 2  # times as many runs of one item for the fastest ones
QUICK: Final = 0.2
BATCHES: Final = (1, 2, 4, 8, 16, 32)
# The manifest's; 16, 9 and 4 equal parts of a 512 px photo with their margins; the whole photo.
TILES: Final = (0, 148, 191, 276, -1)
SOME_TILES: Final = (0, 276, -1)


Meeting = threading.Barrier | synchronize.Barrier
meeting: list[Meeting] = []


@dataclass(frozen=True, slots=True)
class Setup:
    """One way to use the cores.

    Workers are threads, or `processes`; `own` gives every thread sessions of its own; `tile` is as in `Worker`; with
    `split`, the batches of one photo run side by side.
    """

    workers: int
    intra: int
    spinning: bool
    batch: int
    tile: int = 0
    split: bool = False
    own: bool = False
    processes: bool = False

    def __str__(self) -> str:
        tile = {0: "", -1: ", whole photos"}.get(self.tile, f", tiles of {self.tile}")
        spinning = " spinning" if self.spinning else ""
        split = ", one photo over all" if self.split else ""
        own = ", a session each" if self.own else ""
        one, many = ("process", "processes") if self.processes else ("thread", "threads")
        workers = f"{self.workers} {one if self.workers == 1 else many}"
        return f"{workers} x {self.intra}{spinning} intra-op, batch {self.batch}{tile}{split}{own}"

    def worker(self, number: int = 0) -> Worker:
        return loaded(self.intra, self.spinning, self.batch, self.tile, number if self.own else 0)


@dataclass(slots=True)
class Rate:
    """Items a second at one setting: as the search found it, and as measured again around the service's own runs."""

    setup: Setup
    searched: float
    again: list[float] = field(default_factory=list)
    others: float = 0.0

    @property
    def mean(self) -> float:
        """What the service is held against: what the machine could do then, not what it once could."""
        return statistics.fmean(self.again or [self.searched])

    def add(self, value: float, others: float) -> None:
        """Measured again, while others took so many cores."""
        self.again.append(value)
        self.others = max(self.others, others)


@dataclass(slots=True)
class Limit:
    """One task with one format: the best of all settings, the quickest item (ms)."""

    best: Rate
    one_item: Rate
    search: dict[str, float]
    one_item_search: dict[str, float]


@dataclass(frozen=True, slots=True)
class Moment:
    """Both settings of a limit, measured once more."""

    best: float
    one_item: float
    others: float


@cache
def loaded(intra: int, spinning: bool, batch: int, tile: int, _: int) -> Worker:
    return Worker(intra, spinning, batch, tile)


def thread_setups() -> list[tuple[int, int, bool]]:
    """(workers, intra-op threads, spinning) beside one worker a core: one for all cores, and some between and above."""
    if CORES == 1:
        return [(2, 1, False)]
    between = [(CORES // 2, 2, False)] if CORES >= 4 else []
    return [(1, CORES, True), (1, CORES, False), (CORES, CORES, False), *between, (2 * CORES, 1, False)]


def setups(task: str) -> list[Setup]:
    """What the search for the highest throughput tries."""
    if task == "generate":
        each = [Setup(CORES, 1, False, batch) for batch in BATCHES] + [Setup(CORES, 1, False, 8, own=True)]
        each += [Setup(CORES, 1, False, batch, processes=True) for batch in (8, 16)]
        return each + [Setup(*threads, batch) for threads in thread_setups() for batch in (4, 16)]
    each = [Setup(CORES, 1, False, 1, tile, own=True) for tile in TILES]
    each += [Setup(CORES, 1, False, 1, tile, processes=True) for tile in (148, -1)]
    each += [Setup(CORES, 1, False, 1, -1), Setup(CORES, 1, False, 4, 0, own=True)]
    return each + [Setup(*threads, 1, tile) for threads in thread_setups() for tile in (0, -1)]


def one_item_setups(task: str) -> list[Setup]:
    """What the search for the shortest time of one item tries."""
    alone = [(1, 1, False), *(threads for threads in thread_setups() if threads[0] == 1)]
    if task == "generate":
        return [Setup(*threads, 1) for threads in alone]
    whole = [Setup(*threads, 1, tile) for threads in alone[1:] for tile in SOME_TILES]
    return whole + [Setup(CORES, 1, False, 1, tile, split=True) for tile in TILES if tile >= 0]


def calls(task: str, setup: Setup, image_format: str, number: int = 0) -> Iterator[Callable[[], list[bytes]]]:
    """Endless pieces of work for thread `number`, no two generated pictures the same."""
    worker = setup.worker(number)
    pool = ThreadPoolExecutor(setup.workers) if setup.split else None
    for seed in itertools.count(number * 2**32, setup.batch):
        if task == "generate":
            orders = [Order("t-shirt", seed + i, image_format) for i in range(setup.batch)]
            yield partial(worker.generate, orders)
        else:
            yield partial(worker.enhance, [Photo(photo(), image_format)], pool)


def throughput(task: str, setup: Setup, image_format: str, seconds: float) -> float:
    """Items per second, all workers together, each by its own last item within the time that all of them work."""
    work = partial(rate, task, setup, image_format, seconds)
    if not setup.processes:
        _meet(threading.Barrier(setup.workers))
        with ThreadPoolExecutor(setup.workers) as threads:
            return sum(threads.map(work, range(setup.workers)))
    context = get_context("spawn")
    met = (context.Barrier(setup.workers),)
    with ProcessPoolExecutor(setup.workers, mp_context=context, initializer=_meet, initargs=met) as processes:
        return sum(processes.map(work, range(setup.workers)))


def rate(task: str, setup: Setup, image_format: str, seconds: float, number: int) -> float:
    """One worker's items per second."""
    work = calls(task, setup, image_format, number)
    next(work)()
    meeting[0].wait()
    begun, done, last = time.perf_counter(), 0, 0.0
    while last < seconds:
        count = len(next(work)())
        spent = time.perf_counter() - begun
        if spent > seconds and done:
            break
        done, last = done + count, spent
    return done / last


def _meet(barrier: Meeting) -> None:
    """Where this process's workers begin together, and with those of other processes."""
    meeting[:] = [barrier]


def one_item(task: str, setup: Setup, image_format: str, runs: int) -> float:
    """Median milliseconds of one item on an idle machine."""
    times = []
    for work in itertools.islice(calls(task, setup, image_format), runs + 1):
        begun = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - begun))
    return statistics.median(times[1:])


def one_item_runs(task: str, share: float) -> int:
    return max(1, int(share * ONE_ITEM_RUNS[task]))


def best(found: Mapping[Setup, float], count: int, *, highest: bool) -> list[Setup]:
    return sorted(found, key=lambda setup: found[setup], reverse=highest)[:count]


def named(found: Mapping[Setup, float]) -> dict[str, float]:
    return {str(setup): value for setup, value in found.items()}


def limits(task: str, share: float = 1) -> dict[str, Limit]:
    """By format. A short search on WebP; its best ones are measured again and longer, so that no lucky second wins.

    With less than the whole `share` of the time, only the first setting and WebP are tried.
    """
    runs = one_item_runs(task, share)
    some = slice(None if share == 1 else 1)
    searched = {s: throughput(task, s, "webp", share * SEARCH_S[task]) for s in setups(task)[some]}
    single = {s: one_item(task, s, "webp", runs) for s in one_item_setups(task)[some]}
    finalists = best(searched, FINALISTS, highest=True)
    fastest = best(single, FASTEST, highest=False)
    found = {}
    for image_format in FORMATS if share == 1 else FORMATS[:1]:
        rates = {s: throughput(task, s, image_format, share * FINAL_S[task]) for s in finalists}
        times = {s: one_item(task, s, image_format, LAST_ROUND * runs) for s in fastest}
        top, first = max(finalists, key=rates.__getitem__), min(fastest, key=times.__getitem__)
        found[image_format] = Limit(
            Rate(top, rates[top]),
            Rate(first, times[first]),
            named({**searched, **rates}),
            named({**single, **times}),
        )
    return found


def moment(task: str, image_format: str, limit: Limit, share: float = 1) -> Moment:
    """Both settings of a limit once more; a second time if others disturbed the first: the quieter one counts."""
    first = _moment(task, image_format, limit, share)
    if first.others < DISTURBED or share < 1:
        return first
    return min(first, _moment(task, image_format, limit, share), key=lambda one: one.others)


def _moment(task: str, image_format: str, limit: Limit, share: float) -> Moment:
    load = OtherLoad()
    rate = throughput(task, limit.best.setup, image_format, share * FINAL_S[task])
    item = one_item(task, limit.one_item.setup, image_format, LAST_ROUND * one_item_runs(task, share))
    return Moment(rate, item, load.cores())
