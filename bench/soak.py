"""`python -m bench.soak`: mixed and hostile traffic for a long time, and whether memory, threads or files grow."""

from __future__ import annotations

import argparse
import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import numpy as np

from bench.caller import status
from bench.processes import tree, usage
from bench.servers import serving, stop_on_sigterm, vitrine
from bench.traffic import SERVED, Case, cases
from bench.work import ROOT

EVERY_S: Final = 1.0
CHECK_EVERY_S: Final = 60.0
SETTLE_S: Final = 3.0
BLOCKS: Final = 12
BROKEN: Final = -1  # no answer in all patience, or no connection
OVERLOAD: Final = (503, 504)
CHECK: Final = Case(
    "check", "/generate", SERVED, {"Content-Type": "application/json"}, b'{"seed": 7, "category": "dress"}'
)
log = logging.getLogger("bench")


@dataclass(frozen=True, slots=True)
class Sample:
    """The server's processes together, `at` seconds after the start."""

    at: float
    rss_mb: float
    pss_mb: float
    threads: int
    files: int


@dataclass(frozen=True, slots=True)
class Slope:
    """Growth after the warm-up and its standard error, in MB an hour."""

    value: float
    error: float

    def __str__(self) -> str:
        return f"{self.value:.1f} ± {self.error:.1f}"


@dataclass(slots=True)
class Result:
    """What the soak saw. Statuses by (case, route, status)."""

    seconds: float
    warm_up_s: float
    samples: list[Sample]
    answers: Counter[tuple[str, str, int]]
    wrong: Counter[tuple[str, str, int]]
    checks: int
    failed_checks: int
    rss: Slope
    pss: Slope

    @property
    def server_errors(self) -> int:
        """5xx that no overload explains, and requests without any answer."""
        return sum(n for (*_, code), n in self.answers.items() if (code >= 500 and code not in OVERLOAD) or code < 0)

    @property
    def overloads(self) -> int:
        return sum(n for (*_, code), n in self.answers.items() if code in OVERLOAD)


@dataclass(slots=True)
class Tally:
    """Counts that all callers add to."""

    answers: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    wrong: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, case: Case, code: int) -> None:
        key = (case.name, case.path.partition("?")[0], code)
        with self.lock:
            self.answers[key] += 1
            if code not in case.right:
                self.wrong[key] += 1


def growth(times: Sequence[float], sizes: Sequence[float]) -> Slope:
    """From seconds and MB, by least squares; NaN when there are too few.

    Over the means of a dozen blocks: neighbouring samples are far from independent, and would promise too much.
    """
    if len(times) < 2 * BLOCKS:
        return Slope(float("nan"), float("nan"))
    blocks = np.array_split(np.array([np.array(times) / 3600, sizes]), BLOCKS, axis=1)
    x, y = np.array([block.mean(1) for block in blocks]).T
    from_mean = x - x.mean()
    slope = float(from_mean @ y / (from_mean @ from_mean))
    residuals = y - y.mean() - slope * from_mean
    return Slope(slope, float(np.sqrt(residuals @ residuals / (BLOCKS - 2) / (from_mean @ from_mean))))


def ask(host: str, port: int, case: Case) -> int:
    try:
        return status(host, port, case)
    except OSError as error:
        log.warning("%s: %s", case.name, error)
        return BROKEN


def call(host: str, port: int, traffic: Iterator[Case], until: float, tally: Tally) -> None:
    """One caller: a request after the other."""
    while time.monotonic() < until:
        case = next(traffic)
        tally.add(case, ask(host, port, case))


def soak(
    base_url: str,
    pids: Sequence[int],
    seconds: float,
    *,
    concurrency: int = 6,
    warm_up_s: float | None = None,
    check_every_s: float = CHECK_EVERY_S,
    seed: int = 0,
) -> Result:
    """Mixed traffic against a running server; `pids` are its processes, whose descendants count too.

    The slope leaves out the warm-up, a quarter of the time by default.
    """
    host, port = urlsplit(base_url).hostname or "127.0.0.1", urlsplit(base_url).port or 80
    warm_up_s = seconds / 4 if warm_up_s is None else warm_up_s
    begun, tally, samples = time.monotonic(), Tally(), list[Sample]()
    checks = failed = 0
    with ThreadPoolExecutor(concurrency) as threads:
        until = begun + seconds
        running = [threads.submit(call, host, port, cases(seed + i), until, tally) for i in range(concurrency)]
        while (now := time.monotonic()) < until:
            samples.append(sample(pids, now - begun))
            if now - begun >= check_every_s * (checks + 1):
                checks += 1
                failed += ask(host, port, CHECK) not in SERVED
            time.sleep(EVERY_S)
        for caller in running:
            caller.result()
    time.sleep(SETTLE_S)
    checks, failed = checks + 1, failed + (ask(host, port, CHECK) not in SERVED)
    samples.append(sample(pids, time.monotonic() - begun))
    warm = [one for one in samples[:-1] if one.at >= warm_up_s]
    times = [one.at for one in warm]
    rss, pss = growth(times, [one.rss_mb for one in warm]), growth(times, [one.pss_mb for one in warm])
    return Result(seconds, warm_up_s, samples, tally.answers, tally.wrong, checks, failed, rss, pss)


def sample(pids: Sequence[int], at: float) -> Sample:
    now = usage({pid for root in pids for pid in tree(root)})
    return Sample(at, now.rss_mb, now.pss_mb, now.threads, now.files)


def main() -> None:
    """Soak `vitrine serve`, then write soak.md, soak.json and soak.png."""
    from bench.soak_report import write  # it needs matplotlib, which those who import `soak` may lack

    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--concurrency", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    options = parser.parse_args()
    stop_on_sigterm()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    options.out.mkdir(parents=True, exist_ok=True)
    with serving(vitrine(), options.out / "soak.log") as running:
        url = f"http://127.0.0.1:{running.port}"
        result = soak(url, [running.pid], 60 * options.minutes, concurrency=options.concurrency, seed=options.seed)
    write(result, options.out)


if __name__ == "__main__":
    main()
