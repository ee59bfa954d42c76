"""How near files come to the service's own peak: `vitrine enhance|generate`, the service under a closed loop, and the
bare loop of ONNX Runtime and codecs, in turn on the same machine.

    python -m bench.files --rounds 3 --photos 24 --products 3000

Beside images a second, which other programs disturb, it tells the processor time of an image, which they hardly do: the
commands' without what they need to start. That of decoder processes is in the service's and not in the commands'.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, NamedTuple

from bench.compare import closed, warm
from bench.pictures import photo
from bench.processes import OtherLoad
from bench.raw import CORES, Setup, calls
from bench.servers import Running, serving, stop_on_sigterm, vitrine
from bench.work import MODELS, ROOT

RAW: Final = {
    # The best of the search in bench/results.
    "generate": Setup(2 * CORES, 1, False, 16),
    "enhance": Setup(CORES, 1, False, 1, -1, own=True),
}
CALLERS: Final = {"generate": 64, "enhance": 8}
"""With which the service reaches its peak in bench/results; the photos are counted, two for each caller."""


class Pace(NamedTuple):
    """Images a second, and seconds of a processor for each."""

    rate: float
    cpu_s: float


def bare(task: str, count: int) -> Pace:
    """So many images in the bare loop, after one call of each worker to warm up."""
    setup = RAW[task]
    workers = [calls(task, setup, "webp", number) for number in range(setup.workers)]
    for work in workers:
        next(work)()
    tickets = itertools.count(step=setup.batch)

    def run(work: Iterator[Callable[[], list[bytes]]]) -> int:
        return sum(len(next(work)()) for _ in itertools.takewhile(lambda ticket: ticket < count, tickets))

    begun, cpu = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(setup.workers) as threads:
        done = sum(threads.map(run, workers))
    return Pace(done / (time.perf_counter() - begun), (time.process_time() - cpu) / done)


def children_s() -> float:
    """Processor time of processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def command(words: list[str]) -> tuple[dict[str, Any], float]:
    """The summary of a command, and its processor time."""
    before = children_s()
    with tempfile.TemporaryFile() as told:  # a pipe would have to be read meanwhile
        subprocess.run(  # noqa: S603
            [sys.executable, "-m", "app.cli", *words, "--json"],
            check=True, stdout=told, stderr=subprocess.DEVNULL, cwd=ROOT, env={"VITRINE_MODELS_DIR": str(MODELS)},
        )  # fmt: skip
        told.seek(0)
        return json.loads(told.readlines()[-1])["summary"], children_s() - before


def through_files(words: list[str]) -> Pace:
    """The same through a command, models loaded; a second run, which skips all, tells what starting takes."""
    with tempfile.TemporaryDirectory() as out:
        summary, cpu = command([*words, "--out", out])
        _, starting = command([*words, "--out", out])
    return Pace(float(summary["images_per_second"]), (cpu - starting) / summary["made"])


def through_service(task: str, running: Running) -> Pace:
    """The same through the service, its callers each with one request at a time.

    Raises:
        RuntimeError: it did not answer every request with a picture.
    """
    before = running.usage().cpu_s
    seen = closed(running, vitrine(), task, "webp", CALLERS[task], quick=False)
    if seen.errors:
        raise RuntimeError(f"{seen.errors} of {seen.answers + seen.errors} requests failed")
    return Pace(seen.per_second, (running.usage().cpu_s - before) / seen.answers)


class Round(NamedTuple):
    """What part of the service's peak and of the bare loop's pace a command reaches, and the service's processor time
    of an image by the command's."""

    of_service: float
    of_service_cpu: float
    of_bare: float


def measured(task: str, words: list[str], count: int, running: Running) -> Round:
    """One round: the service right before and right after the command, since the speed of a machine drifts."""
    load = OtherLoad()
    raw, before, files, after = (
        bare(task, count), through_service(task, running), through_files(words), through_service(task, running),
    )  # fmt: skip
    service = Pace(*(statistics.fmean(each) for each in zip(before, after, strict=True)))
    told = ", ".join(f"{name} {one.rate:.3g}/s of {1000 * one.cpu_s:.3g} ms" for name, one in (
        ("files", files), ("service", service), ("bare", raw),
    ))  # fmt: skip
    print(f"{task}: {told} of a processor; others took {load.cores():.2f} cores", flush=True)  # noqa: T201
    return Round(files.rate / service.rate, service.cpu_s / files.cpu_s, files.rate / raw.rate)


def main() -> None:
    """Measure in turn, and print each task's shares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--photos", type=int, default=24)
    parser.add_argument("--products", type=int, default=3000)
    parser.add_argument("--tasks", nargs="+", choices=RAW, default=list(RAW))
    arguments = parser.parse_args()
    stop_on_sigterm()
    with tempfile.TemporaryDirectory() as folder, serving(vitrine(), Path(folder, "log")) as running:
        photos = Path(folder, "photos")
        photos.mkdir()
        for number in range(arguments.photos):
            (photos / f"{number}.jpg").write_bytes(photo())
        generate = ["generate", "--category", "t-shirt", "--seed", "1", "--count", str(arguments.products)]
        commands = {"generate": generate, "enhance": ["enhance", str(photos)]}
        counts = {"generate": arguments.products, "enhance": arguments.photos}
        for task in arguments.tasks:
            warm(running, vitrine(), task)
            rounds = [measured(task, commands[task], counts[task], running) for _ in range(arguments.rounds)]
            service, cpu, raw = (statistics.median(each) for each in zip(*rounds, strict=True))
            print(  # noqa: T201
                f"{task}: {service:.2f} of the service's peak, {cpu:.2f} by processor time; {raw:.2f} of the bare loop "
                "(medians)"
            )


if __name__ == "__main__":
    main()
