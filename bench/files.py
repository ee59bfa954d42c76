"""How near files come to the raw limit: `vitrine enhance|generate` and the bare loop in turn, on the same machine.

    python -m bench.files --rounds 3 --photos 24 --products 1500

Beside images a second, which other programs disturb, it tells the processor time of an image, which they hardly do: the
commands' without what they need to start, and without that of the decoder processes.
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

from bench.pictures import photo
from bench.processes import OtherLoad
from bench.raw import CORES, Setup, calls
from bench.work import MODELS, ROOT

RAW: Final = {
    # The best of the search in bench/results.
    "generate": Setup(2 * CORES, 1, False, 16),
    "enhance": Setup(CORES, 1, False, 1, -1, own=True),
}


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
    told = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "app.cli", *words, "--json"],
        check=True, capture_output=True, cwd=ROOT, env={"VITRINE_MODELS_DIR": str(MODELS)},
    )  # fmt: skip
    return json.loads(told.stdout.splitlines()[-1])["summary"], children_s() - before


def through_files(words: list[str]) -> Pace:
    """The same through a command, models loaded; a second run, which skips all, tells what starting takes."""
    summary, cpu = command([*words, "--overwrite"])
    _, starting = command(words)
    return Pace(float(summary["images_per_second"]), (cpu - starting) / summary["made"])


def main() -> None:
    """Measure in turn, and print each task's shares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--photos", type=int, default=24)
    parser.add_argument("--products", type=int, default=1500)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        photos, out = Path(folder, "photos"), str(Path(folder, "out"))
        photos.mkdir()
        for number in range(arguments.photos):
            (photos / f"{number}.jpg").write_bytes(photo())
        generate = ["generate", "--category", "t-shirt", "--seed", "1", "--count", str(arguments.products)]
        commands = {"generate": [*generate, "--out", out], "enhance": ["enhance", str(photos), "--out", out]}
        counts = {"generate": arguments.products, "enhance": arguments.photos}
        for task, words in commands.items():
            shares = [shares_of(task, words, counts[task]) for _ in range(arguments.rounds)]
            rate, cpu = (statistics.median(each) for each in zip(*shares, strict=True))
            print(f"{task}: {rate:.2f} of the bare loop's images/s, {cpu:.2f} by processor time (medians)")  # noqa: T201


def shares_of(task: str, words: list[str], count: int) -> Pace:
    """One round: what part of the bare loop's pace the command reaches, by the clock and by processor time."""
    load = OtherLoad()
    raw, files = bare(task, count), through_files(words)
    print(  # noqa: T201
        f"{task}: {files.rate:.3g} files/s of {1000 * files.cpu_s:.3g} ms of a processor, bare {raw.rate:.3g}/s of "
        f"{1000 * raw.cpu_s:.3g} ms; others took {load.cores():.2f} cores"
    )
    return Pace(files.rate / raw.rate, raw.cpu_s / files.cpu_s)


if __name__ == "__main__":
    main()
