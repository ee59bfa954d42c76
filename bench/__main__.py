"""`python -m bench`: the raw limit, this service and its peers on the same work; writes bench/results."""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final, TypeVar

from bench import raw, report
from bench.compare import Result, better, measure
from bench.facts import machine
from bench.plot import draw
from bench.raw import Limit
from bench.servers import peers, vitrine
from bench.verdict import Verdict, verdicts
from bench.work import FORMATS, ROOT, TASKS

T = TypeVar("T")
OURS: Final = "Vitrine"
PEERS: Final = ("FastAPI", "LitServe", "BentoML", "mosec")
log = logging.getLogger("bench")


def apart(function: Callable[..., T], *args: object) -> T:
    """In a process that ends afterwards, so that nothing of it burdens the servers' runs."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(function, *args).result()


def compare(
    task: str, limits: dict[str, Limit], names: list[str], out: Path, quick: bool
) -> tuple[list[Result], list[str]]:
    """Every server with one task. One that fails is reported, and the others go on."""
    # The peers get the tiling that the search found best: what is compared is the serving.
    setup = limits["webp"].setup
    known = {OURS: [vitrine()], **peers(task, setup.tile, setup.batch if task == "enhance" else 0)}
    results, failures = [], []
    for name in names:
        output = out / f"{name.lower()}.log"
        try:
            chosen = better(known[name], task, output, quick)
            log.info("%s: %s %s", task, name, chosen.variant)
            results.append(measure(chosen, task, output, quick))
            for run in results[-1].runs:
                log.info("  %s", run)
        except Exception as error:
            log.exception("%s failed with %s", name, task)
            failures.append(f"{name}, {task}: {error}")
    return results, failures


def judged(limits: dict[str, dict[str, Limit]], results: dict[str, list[Result]]) -> list[Verdict]:
    found = []
    for task, all_of in results.items():
        ours = [result for result in all_of if result.server == OURS]
        others = [result for result in all_of if result.server != OURS]
        for name in FORMATS if ours else ():
            found += verdicts(task, name, limits[task][name], ours[0], others)
    return found


def main() -> None:
    """Measure, then write README.md, results.json and bench.png."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke test of two minutes; its numbers mean little")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--servers", nargs="+", choices=(OURS, *PEERS), default=[OURS, *PEERS])
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    options.out.mkdir(parents=True, exist_ok=True)
    share = raw.QUICK if options.quick else 1.0
    limits, results, failures = {}, {}, []
    for task in options.tasks:
        log.info("%s: the raw limit", task)
        limits[task] = apart(raw.limits, task, share)
        log.info("%s", limits[task])
        results[task], failed = compare(task, limits[task], options.servers, options.out, options.quick)
        failures += failed
        for name, rate in zip(FORMATS, apart(raw.again, task, limits[task], share), strict=True):
            limits[task][name].again.append(rate)
    write(options.out, limits, results, failures)


def write(
    out: Path, limits: dict[str, dict[str, Limit]], results: dict[str, list[Result]], failures: list[str]
) -> None:
    """All three files."""
    facts, found = machine(), judged(limits, results)
    everything: dict[str, Any] = {
        "machine": facts,
        "limits": {task: {name: asdict(limit) for name, limit in by.items()} for task, by in limits.items()},
        "results": {task: [asdict(result) for result in all_of] for task, all_of in results.items()},
        "verdicts": [asdict(verdict) for verdict in found],
        "failures": failures,
    }
    (out / "results.json").write_text(json.dumps(everything, indent=1) + "\n")
    (out / "README.md").write_text(report.markdown(facts, limits, results, found, failures))
    draw(limits, results, out / "bench.png")


if __name__ == "__main__":
    main()
