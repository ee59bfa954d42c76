"""One server after the other under the same load: closed loops, then constant arrivals below its own peak."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench import requests
from bench.arrivals import Summary, alone, arrivals, callers
from bench.check import check
from bench.processes import Usage
from bench.servers import Running, Server, serving
from bench.work import FORMATS
from bench.wrk import wrk

CONCURRENCY: Final = (1, 8, 32, 64)
CLOSED_S: Final = 3
# Photos take half a second each, so they are counted instead of timed, and JPEG, which differs in its encoder
# only, is measured where the verdict needs it.
CLOSED_PHOTOS: Final = {"webp": {1: 8, 8: 24, 32: 32, 64: 64}, "jpeg": {1: 8, 8: 24}}
SHARES: Final = (0.5, 0.8)
OPEN_S: Final = {"generate": {0.5: 5.0, 0.8: 10.0}, "enhance": {0.5: 15.0, 0.8: 25.0}}
PROBE_S: Final = 2
PROBE_PHOTOS: Final = 8
QUICK_PHOTOS: Final = {"webp": {1: 1, 4: 4}, "jpeg": {1: 1}}


@dataclass(frozen=True, slots=True)
class Measured:
    """One run. `load` is the number of callers, or arrivals a second at `share` of the peak; times in ms."""

    task: str
    format: str
    load: float
    share: float | None
    per_second: float
    p50: float
    p95: float
    p99: float
    count: int
    errors: int
    client_cpu: float


@dataclass(slots=True)
class Result:
    """One server with one task."""

    server: str
    variant: str
    started_s: float
    runs: list[Measured] = field(default_factory=list)
    usage: list[Usage] = field(default_factory=list)

    def peak(self, image_format: str) -> float:
        """Highest throughput of the closed loops."""
        return max((r.per_second for r in self.runs if r.format == image_format and r.share is None), default=0.0)

    def run(self, image_format: str, *, callers: int = 0, share: float | None = None) -> Measured | None:
        wanted = (image_format, share)
        runs = [r for r in self.runs if (r.format, r.share) == wanted and (share or r.load == callers)]
        return runs[0] if runs else None


def measured(task: str, image_format: str, load: float, share: float | None, summary: Summary) -> Measured:
    seen = summary.latency
    times = (seen.p50, seen.p95, seen.p99) if seen else (float("nan"),) * 3
    count = seen.count if seen else 0
    return Measured(
        task, image_format, load, share, summary.ok_per_second, *times, count, summary.errors, summary.cpu_share
    )


def closed(running: Running, server: Server, task: str, image_format: str, load: int, quick: bool) -> Measured:
    """So many callers, each with one request at a time."""
    if task == "generate":
        r = wrk(running.port, task, image_format, server.envelope, load, 1 if quick else CLOSED_S)
        count = r.requests - r.errors
        return Measured(task, image_format, load, None, r.per_second, r.p50, r.p95, r.p99, count, r.errors, r.cpu_share)
    count = (QUICK_PHOTOS if quick else CLOSED_PHOTOS)[image_format][load]
    payloads = requests.payloads(task, image_format, envelope=server.envelope)
    return measured(task, image_format, load, None, alone(callers, running.port, payloads, load, count))


def loads(task: str, image_format: str, quick: bool) -> Iterable[int]:
    if task == "enhance":
        return (QUICK_PHOTOS if quick else CLOSED_PHOTOS)[image_format]
    return (1, 32) if quick else CONCURRENCY


def shares(task: str, image_format: str, quick: bool) -> Iterable[float]:
    return SHARES[-1:] if quick or (task, image_format) == ("enhance", "jpeg") else SHARES


def warm(running: Running, server: Server, task: str) -> None:
    """The right answers, and the threads, arenas and batch sizes that a long-lived server has seen."""
    for image_format in FORMATS:
        check(running.port, task, image_format, server.envelope)
    payloads = requests.payloads(task, "webp", envelope=server.envelope)
    summary = alone(callers, running.port, payloads, 8, 64 if task == "generate" else 4)
    if summary.errors:
        raise RuntimeError(f"{server.name} answers {summary.statuses} to the first {task} requests")


def measure(server: Server, task: str, log: Path, quick: bool) -> Result:
    """All runs of one server with one task, on a fresh process."""
    with serving(server, log) as running:
        result = Result(server.name, server.variant, running.started_s, usage=[running.usage()])
        warm(running, server, task)
        for image_format in FORMATS:
            for load in loads(task, image_format, quick):
                result.runs.append(closed(running, server, task, image_format, load, quick))
                result.usage.append(running.usage())
            for share in shares(task, image_format, quick):
                rate = share * result.peak(image_format)
                seconds = OPEN_S[task][share] / (10 if quick else 1)
                payloads = requests.payloads(task, image_format, envelope=server.envelope)
                summary = alone(arrivals, running.port, payloads, rate, seconds)
                result.runs.append(measured(task, image_format, rate, share, summary))
                result.usage.append(running.usage())
    return result


def better(variants: list[Server], task: str, log: Path, quick: bool) -> Server:
    """The variant with the higher throughput in a short run."""
    if len(variants) == 1 or quick:
        return variants[-1]
    return max(variants, key=lambda server: probe(server, task, log))


def probe(server: Server, task: str, log: Path) -> float:
    with serving(server, log) as running:
        warm(running, server, task)
        if task == "generate":
            return wrk(running.port, task, "webp", server.envelope, 32, PROBE_S).per_second
        payloads = requests.payloads(task, "webp", envelope=server.envelope)
        return alone(callers, running.port, payloads, PROBE_PHOTOS, PROBE_PHOTOS).ok_per_second
