"""`vitrine tune`: measures which settings are the fastest on this machine, and writes them where `serve` finds them.

Measured is inference on the CPU alone, since that is where the settings differ; everything is measured in rounds, so
that a machine whose speed drifts does not favour what came first.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from app.contracts import smoke_row
from app.repository import Model, read_models
from app.sessions import Session, SessionOptions
from app.settings import TUNED, Settings, cores

ROUNDS: Final = 3
CLEARLY: Final = 1.03
"""What is not this much faster than the default is noise, and the default stays."""
BATCHES: Final = (1, 2, 4, 8, 16)
MANY_ROWS: Final = ("generate", "enhance", "level")
"""Tasks of which a request has many rows, whose default models are measured; the others' single ones hardly count."""
SPINS_US: Final = (0, 50, 1000)
K = TypeVar("K", bound=Hashable)


def add_parser(commands: Any) -> None:  # noqa: ANN401  # argparse has no public type for it
    """The subcommand."""
    parser = commands.add_parser("tune", help="measure the fastest settings for this machine")
    parser.add_argument("--out", type=Path, default=Path(TUNED), help=f"the file to write ({TUNED}, which serve reads)")
    parser.add_argument("--seconds", type=float, default=0.5, help="time of each of some hundred measurements (0.5)")


@dataclass(frozen=True, slots=True)
class Subject:
    """A model, and one row of its input."""

    name: str
    data: bytes
    row: dict[str, NDArray[Any]]

    @classmethod
    def of(cls, model: Model) -> Subject:
        """A model with its smoke input."""
        return cls(model.label, model.data, {name: np.asarray(value) for name, value in smoke_row(model).items()})

    def rows(self, count: int) -> dict[str, NDArray[Any]]:
        """A batch."""
        return {name: np.stack([value] * count) for name, value in self.row.items()}


def in_rounds(settings: Iterable[K], measure: Callable[[K], float]) -> dict[K, float]:
    """The median of what `measure` gives for each setting."""
    known = list(settings)
    rounds = [[measure(one) for one in known] for _ in range(ROUNDS)]
    return {one: statistics.median(values) for one, values in zip(known, zip(*rounds, strict=True), strict=True)}


def lone_seconds(subject: Subject, threads: int, spin_us: int, seconds: float) -> float:
    """Seconds for one row on an idle machine, the median of as many as `seconds` hold."""
    session, row = Session(subject.data, SessionOptions(threads, spin_us), cpu=True), subject.rows(1)
    session.run(row)
    times: list[float] = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or not times:
        begun = time.perf_counter()
        session.run(row)
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def busy_seconds(subject: Subject, workers: int, batch: int, arena: bool, seconds: float) -> float:
    """Seconds per row of so many worker threads together, on one single-threaded session."""
    session, rows = Session(subject.data, SessionOptions(1, arena=arena), cpu=True), subject.rows(batch)

    def work(_: int) -> float:
        session.run(rows)
        done, begun = 0, time.perf_counter()
        while (spent := time.perf_counter() - begun) < seconds or not done:
            session.run(rows)
            done += batch
        return done / spent

    with ThreadPoolExecutor(workers) as threads:
        return 1 / sum(threads.map(work, range(workers)))


def together(by_subject: Iterable[dict[K, float]]) -> dict[K, float]:
    """The geometric mean over the models, so that a fast model counts as much as a slow one."""
    all_of = list(by_subject)
    return {key: math.exp(statistics.fmean(math.log(one[key]) for one in all_of)) for key in all_of[0]}


def chosen(costs: dict[K, float], default: K) -> K:
    """The cheapest setting, or the default when it is hardly dearer."""
    best = min(costs, key=costs.__getitem__)
    return best if costs[default] > CLEARLY * costs[best] else default


def powers(most: int) -> Iterator[int]:
    """1, 2, 4 … and `most`."""
    yield from (2**i for i in range(most.bit_length()) if 2**i < most)
    yield most


def tuned(subjects: list[Subject], seconds: float, tell: Callable[[str], None]) -> dict[str, object]:
    """The best settings by name, for all models together."""
    most = cores()

    def measured(what: str, settings: list[K], cost: Callable[[Subject, K], float]) -> list[dict[K, float]]:
        """For every model, the seconds per row of each setting."""
        each = []
        for subject in subjects:
            each.append(in_rounds(settings, partial(cost, subject)))
            for setting, value in each[-1].items():
                tell(f"{subject.name}, {what} {setting}: {1000 * value:.3f} ms a row")
        return each

    grid = [(threads, spin) for threads in powers(most) for spin in (SPINS_US if threads > 1 else (0,))]
    alone = measured("alone, (threads, us of spinning)", grid, lambda s, one: lone_seconds(s, *one, seconds))
    lone_threads, spin_us = chosen(together(alone), (most, 50 if most > 1 else 0))

    shapes = [(workers, batch) for workers in sorted({max(1, most // 2), most}) for batch in BATCHES]
    busy = measured("(workers, batch)", shapes, lambda s, one: busy_seconds(s, *one, True, seconds))
    workers = chosen(together(best_by_workers(costs) for costs in busy), most)

    arenas = measured("arena", [True, False], lambda s, arena: busy_seconds(s, workers, 1, arena, seconds))
    return {
        "threads": workers,
        "lone_threads": lone_threads,
        "spin_us": spin_us,
        "batch_s": round(max(worthwhile(costs, workers) for costs in busy), 4),
        "arena": chosen(together(arenas), True),
    }


def best_by_workers(costs: dict[tuple[int, int], float]) -> dict[int, float]:
    """What every number of workers needs for a row at its best batch."""
    return {w: min(cost for (other, _), cost in costs.items() if other == w) for w, _ in costs}


def worthwhile(costs: dict[tuple[int, int], float], workers: int) -> float:
    """Seconds of the smallest batch that is hardly slower than the best."""
    own = {batch: cost for (other, batch), cost in costs.items() if other == workers}
    batch = min(batch for batch, cost in own.items() if cost <= CLEARLY * min(own.values()))
    return 1.1 * batch * workers * own[batch]  # a little more, so that this batch still fits when it takes longer


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Measure and write; gives the exit code.

    Raises:
        RepositoryError: a model is wrong.
        OSError: the file cannot be written.
    """
    models = list(read_models(settings.models_dir).values())
    defaults = {one.manifest.task: one for one in reversed(models)}
    subjects = [Subject.of(one) for task, one in defaults.items() if task in MANY_ROWS] or list(map(Subject.of, models))
    found = tuned(subjects, arguments.seconds, lambda text: print(text, file=sys.stderr))  # noqa: T201  # a command
    lines = [f"VITRINE_{name.upper()}={str(value).lower()}" for name, value in found.items()]
    arguments.out.write_text("\n".join(["# Measured by `vitrine tune` on this machine.", *lines]) + "\n")
    print("\n".join([*lines, f"written to {arguments.out}"]))  # noqa: T201  # a command
    return 0
