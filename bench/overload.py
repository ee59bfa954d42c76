"""`python -m bench.overload`: ten times the sustainable rate, with deadlines; what is still answered in time.

The share is taken once the queue is as long as it gets, from what the server counted; and again from the first request
on, as a client sees it. The load generator takes its time from the same cores: what it took is told, and what the share
would be of a peak that shares the machine with it.
"""

from __future__ import annotations

import argparse
import logging
import os
import re
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import requests
from bench.arrivals import Summary, alone, arrivals, callers, meanwhile
from bench.processes import OtherLoad, tree, usage
from bench.servers import Running, serving, stop_on_sigterm, vitrine
from bench.wrk import wrk

SETTLE_S: Final = {"generate": 2.0, "enhance": 5.0}
"""Until the queue is full."""
SECONDS: Final = {"generate": 8.0, "enhance": 40.0}
PHOTOS: Final = 24
"""That the peak is measured with."""
CORES: Final = len(os.sched_getaffinity(0))
IMAGES: Final = re.compile(r"^vitrine_images_total\{.*\} (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Moment:
    """Counters, in seconds."""

    at: float
    images: float
    server: float
    generator: float

    @classmethod
    def now(cls, running: Running) -> Moment:
        with urllib.request.urlopen(f"http://127.0.0.1:{running.port}/metrics", timeout=30) as answer:
            images = sum(map(float, IMAGES.findall(answer.read().decode())))
        served = set(tree(running.pid))
        others = set(tree(os.getpid())) - served - {os.getpid()}
        return cls(time.monotonic(), images, usage(served).cpu_s, usage(others).cpu_s)


@dataclass(frozen=True, slots=True)
class Result:
    """Rates in answers a second, what was taken of the cores, and the client's view."""

    peak: float
    rate: float
    good: float
    server: float
    generator: float
    others: float
    summary: Summary

    def lines(self) -> Sequence[str]:
        steady, whole = self.good / self.peak, self.summary.ok_per_second / self.peak
        corrected = steady * CORES / (CORES - self.generator)
        return [
            f"peak {self.peak:.3g}/s, offered {self.rate:.3g}/s, {CORES} cores",
            f"in time {self.good:.3g}/s with a full queue: {steady:.0%} of the peak; from the start on {whole:.0%}",
            f"the generator took {self.generator:.2f} cores, the server {self.server:.2f}, others {self.others:.2f}; "
            f"of the peak beside such a generator {corrected:.0%}",
            f"statuses {self.summary.statuses}, {self.summary.connections} connections",
            f"answered {self.summary.latency}",
            f"refused {self.summary.refusal}",
        ]


def peak_of(running: Running, task: str, image_format: str) -> float:
    """Answers a second to as many callers as it likes, after a warm-up."""
    if task == "enhance":
        payloads = requests.payloads(task, image_format)
        alone(callers, running.port, payloads, 2, 4)
        return alone(callers, running.port, payloads, 8, PHOTOS).ok_per_second
    wrk(running.port, task, image_format, "plain", 16, 2)
    return wrk(running.port, task, image_format, "plain", 32, 4).per_second


def overload(running: Running, task: str, times: float, seconds: float, image_format: str) -> Result:
    """Offer so many times the peak, and watch."""
    others = OtherLoad()
    peak = peak_of(running, task, image_format)
    payloads = requests.payloads(task, image_format, {"Request-Timeout": "3"})
    with meanwhile(arrivals, running.port, payloads, times * peak, seconds) as load:
        time.sleep(SETTLE_S[task])
        first = Moment.now(running)
        time.sleep(seconds - SETTLE_S[task] - 0.3)
        last = Moment.now(running)
        summary = load.result()
    past = last.at - first.at
    return Result(
        peak, times * peak, (last.images - first.images) / past, (last.server - first.server) / past,
        (last.generator - first.generator) / past, others.cores(), summary,
    )  # fmt: skip


def main() -> None:
    """Print what was found."""
    parser = argparse.ArgumentParser(prog="python -m bench.overload", description=__doc__)
    parser.add_argument("--task", choices=tuple(SECONDS), default="generate")
    parser.add_argument("--times", type=float, default=10)
    parser.add_argument("--seconds", type=float, help="how long (8, with photos 40)")
    parser.add_argument("--format", choices=("webp", "jpeg"), default="webp")
    options = parser.parse_args()
    stop_on_sigterm()
    logging.basicConfig(level=logging.INFO)
    with tempfile.TemporaryDirectory() as folder, serving(vitrine(), Path(folder) / "log") as running:
        seconds = options.seconds or SECONDS[options.task]
        result = overload(running, options.task, options.times, seconds, options.format)
    sys.stdout.write("\n".join(result.lines()) + "\n")


if __name__ == "__main__":
    main()
