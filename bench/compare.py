"""One server after the other under the same load: closed loops, then constant arrivals below its own peak."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from bench import requests
from bench.arrivals import Summary, alone, arrivals, callers
from bench.check import check
from bench.processes import OtherLoad, Usage
from bench.servers import Running, Server, serving
from bench.work import FORMATS
from bench.wrk import wrk

CONCURRENCY: Final = (1, 8, 32, 64)
CLOSED_S: Final = 3
# Photos take half a second each, so they are counted instead of timed. The first answers find no queue and count for
# the throughput alone, which needs more than one round of the callers. JPEG differs in its encoder only, and gets less.
CLOSED_PHOTOS: Final = {"webp": {1: 6, 8: 16, 32: 40, 64: 64}, "jpeg": {1: 6, 8: 12}}
SHARES: Final = {"webp": (0.5, 0.8), "jpeg": (0.8,)}
OPEN_S: Final = {"generate": {0.5: 5.0, 0.8: 8.0}, "enhance": {0.5: 6.0, 0.8: 14.0}}
PROBE_S: Final = 2
PROBE_PHOTOS: Final = 8
QUICK_PHOTOS: Final = {"webp": {1: 2, 4: 4}}
QUICK_OPEN: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a load generator saw. `load` is the number of callers, or arrivals a second at `share` of the peak.

    Times in ms, behind which are `count` of the good answers; `client_cpu` in cores.
    """

    load: float
    share: float | None = None
    per_second: float
    p50: float
    p95: float
    p99: float
    count: int
    answers: int
    errors: int
    client_cpu: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured(Figures):
    """One run: `server_ms` is the server's CPU time for one answer, `others` the cores that everything else took."""

    task: str
    format: str
    server_ms: float
    others: float


@dataclass(slots=True)
class Result:
    """One server with one task; `clock` is the raw limit's setting, measured shortly before, in items a second."""

    server: str
    variant: str
    started_s: float
    clock: float = math.nan
    runs: list[Measured] = field(default_factory=list)
    usage: list[Usage] = field(default_factory=list)

    def peak(self, image_format: str) -> float:
        """Highest throughput of the closed loops."""
        return max((r.per_second for r in self.runs if r.format == image_format and r.share is None), default=0.0)

    def run(self, image_format: str, *, callers: int = 0, share: float | None = None) -> Measured | None:
        wanted = (image_format, share)
        runs = [r for r in self.runs if (r.format, r.share) == wanted and (share or r.load == callers)]
        return runs[0] if runs else None


def figures(summary: Summary, load: float, share: float | None = None) -> Figures:
    seen = summary.latency
    p50, p95, p99 = (seen.p50, seen.p95, seen.p99) if seen else (math.nan,) * 3
    return Figures(
        load=load,
        share=share,
        per_second=summary.ok_per_second,
        p50=p50,
        p95=p95,
        p99=p99,
        count=seen.count if seen else 0,
        answers=summary.statuses.get(200, 0),
        errors=summary.errors,
        client_cpu=summary.cpu_share,
    )


def skipped(load: int, count: int) -> int:
    """How many of the first answers found no queue; none when the callers have only one round."""
    return load if 1 < load < count else 0


def photos(running: Running, server: Server, image_format: str, load: int, count: int) -> Figures:
    payloads = requests.payloads("enhance", image_format, envelope=server.envelope)
    return figures(alone(callers, running.port, payloads, load, count, skipped(load, count)), load)


def closed(running: Running, server: Server, task: str, image_format: str, load: int, quick: bool) -> Figures:
    """So many callers, each with one request at a time."""
    if task == "enhance":
        count = (QUICK_PHOTOS if quick else CLOSED_PHOTOS)[image_format][load]
        return photos(running, server, image_format, load, count)
    r = wrk(running.port, task, image_format, server.envelope, load, 1 if quick else CLOSED_S)
    return Figures(
        load=load,
        per_second=r.per_second,
        p50=r.p50,
        p95=r.p95,
        p99=r.p99,
        count=r.answers,
        answers=r.answers,
        errors=r.errors,
        client_cpu=r.cpu_share,
    )


def opened(
    running: Running, server: Server, task: str, image_format: str, share: float, peak: float, seconds: float
) -> Figures:
    """Constant arrivals."""
    payloads = requests.payloads(task, image_format, envelope=server.envelope)
    return figures(alone(arrivals, running.port, payloads, share * peak, seconds), share * peak, share)


def formats(quick: bool) -> Sequence[str]:
    return FORMATS[:1] if quick else FORMATS


def loads(task: str, image_format: str, quick: bool) -> Iterable[int]:
    if task == "enhance":
        return (QUICK_PHOTOS if quick else CLOSED_PHOTOS)[image_format]
    return (1, 32) if quick else CONCURRENCY


def shares(image_format: str, quick: bool) -> Iterable[float]:
    return SHARES[image_format][-1:] if quick else SHARES[image_format]


def warm(running: Running, server: Server, task: str) -> None:
    """The right answers, and the threads, arenas and batch sizes that a long-lived server has seen."""
    for image_format in FORMATS:
        check(running.port, task, image_format, server.envelope)
    payloads = requests.payloads(task, "webp", envelope=server.envelope)
    summary = alone(callers, running.port, payloads, 8, 64 if task == "generate" else 4)
    if summary.errors:
        raise RuntimeError(f"{server.name} answers {summary.statuses} to the first {task} requests")


def observed(running: Running, result: Result, task: str, image_format: str, run: Callable[[], Figures]) -> Measured:
    """A run, with what it cost the server and what else the machine did meanwhile."""
    others, before = OtherLoad(), running.usage()
    seen, cores = run(), others.cores()
    after = running.usage()
    result.usage.append(after)
    server_ms = 1000 * (after.cpu_s - before.cpu_s) / max(1, seen.answers)
    return Measured(**asdict(seen), task=task, format=image_format, server_ms=server_ms, others=cores)


def measure(server: Server, task: str, log: Path, quick: bool, around: Callable[[str], None]) -> Result:
    """All runs of one server with one task, on a fresh process.

    `around` is called with the format before and after its closed loops; the server is idle then.
    """
    with serving(server, log) as running:
        result = Result(server.name, server.variant, running.started_s, usage=[running.usage()])
        warm(running, server, task)
        for image_format in formats(quick):
            around(image_format)
            for load in loads(task, image_format, quick):
                run = partial(closed, running, server, task, image_format, load, quick)
                result.runs.append(observed(running, result, task, image_format, run))
            around(image_format)
            for share in shares(image_format, quick):
                seconds = OPEN_S[task][share] * (QUICK_OPEN if quick else 1)
                run = partial(opened, running, server, task, image_format, share, result.peak(image_format), seconds)
                result.runs.append(observed(running, result, task, image_format, run))
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
        return photos(running, server, "webp", PROBE_PHOTOS, PROBE_PHOTOS).per_second
