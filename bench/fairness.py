"""`python -m bench.fairness`: how much longer one client waits beside another one's 200 parallel requests."""

from __future__ import annotations

import argparse
import http.client
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Final, NamedTuple

from bench.arrivals import Latency, Summary, callers, meanwhile
from bench.processes import OtherLoad
from bench.requests import body, payloads
from bench.servers import Running, serving, stop_on_sigterm, vitrine

GREEDY: Final = 200
PATIENCE: Final = {"Request-Timeout": "300"}
"""So that nobody is refused: it is the order that is looked at."""
SETTLE_S: Final = 1.5


class Case(NamedTuple):
    """What both ask for, how often the patient client does, with which pause, and how much the greedy one has."""

    task: str
    asked: int
    pause_s: float
    greedy: int


CASES: Final = (
    Case("generate", 500, 0.0, 6000),
    Case("generate", 200, 0.02, 6000),
    Case("enhance", 25, 0.0, GREEDY),
)


def patient(port: int, case: Case) -> Latency:
    """Of the requests of a client that waits for each answer.

    Raises:
        RuntimeError: one of them is refused.
    """
    connection, found = http.client.HTTPConnection("127.0.0.1", port, timeout=300), []
    for seed in range(case.asked):
        path, data, kind = body(case.task, "webp", seed, "plain")
        begun = time.perf_counter()
        connection.request("POST", path, data, {"Content-Type": kind, "X-API-Key": "patient", **PATIENCE})
        answer = connection.getresponse()
        answer.read()
        found.append(time.perf_counter() - begun)
        if answer.status != 200:
            raise RuntimeError(f"{answer.status} for a patient client")
        time.sleep(case.pause_s)
    connection.close()
    latency = Latency.of(found)
    assert latency is not None  # noqa: S101  # it has asked
    return latency


class Waits(NamedTuple):
    """Alone, then beside the greedy client, whose own summary it is."""

    case: Case
    alone: Latency
    beside: Latency
    greedy: Summary

    def line(self) -> str:
        pause = f"{1000 * self.case.pause_s:.0f} ms" if self.case.pause_s else "none"
        return (
            f"| /{self.case.task} | {pause} | {self.alone.p50:.1f} / {self.alone.p95:.1f} "
            f"| {self.beside.p50:.1f} / {self.beside.p95:.1f} | {self.beside.p95 / self.alone.p95:.2f} "
            f"| {self.greedy.ok_per_second:.1f}/s |"
        )


def waits(running: Running, case: Case) -> Waits:
    """Measure one case. What the greedy client has left is dropped with its process's connections."""
    patient(running.port, case._replace(asked=max(3, case.asked // 10)))
    alone = patient(running.port, case)
    greedy = payloads(case.task, "webp", {"X-API-Key": "greedy", **PATIENCE})
    with meanwhile(callers, running.port, greedy, GREEDY, case.greedy) as load:
        time.sleep(SETTLE_S)
        beside = patient(running.port, case)
        if load.done():
            raise RuntimeError("the greedy client had too little to do")
        return Waits(case, alone, beside, load.result())


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.fairness", description=__doc__)
    parser.parse_args()
    stop_on_sigterm()
    others, lines = OtherLoad(), []
    with tempfile.TemporaryDirectory() as folder, serving(vitrine(), Path(folder) / "log") as running:
        lines = [waits(running, case).line() for case in CASES]
    sys.stdout.write(
        f"Milliseconds, p50 / p95, on {os.cpu_count()} cores, of which others took {others.cores():.2f}.\n\n"
        "| route | pause | alone | beside 200 of another key | p95, times | the other's answers |\n"
        "| --- | --- | ---: | ---: | ---: | ---: |\n" + "\n".join(lines) + "\n"
    )


if __name__ == "__main__":
    main()
