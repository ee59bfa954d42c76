"""`python -m bench`: the raw limit, this service and its peers on the same work; writes bench/results."""

from __future__ import annotations

import argparse
import json
import logging
import math
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from bench import estimate, raw, report
from bench.arrivals import alone
from bench.compare import Result, better, measure
from bench.facts import machine
from bench.raw import Limit
from bench.servers import peers, stop_on_sigterm, vitrine
from bench.verdict import Verdict, verdicts
from bench.work import ROOT, TASKS

Limits = dict[str, dict[str, Limit]]
OURS: Final = "Vitrine"
PEERS: Final = ("FastAPI", "LitServe", "BentoML", "mosec")
log = logging.getLogger("bench")


def ours(task: str, limits: dict[str, Limit], log_file: Path, quick: bool) -> Result:
    """This service, with the raw limit measured again before and after the closed loops of every format."""

    def around(image_format: str) -> None:
        limit = limits[image_format]
        now = alone(raw.moment, task, image_format, limit, raw.QUICK if quick else 1.0)
        for rate, value in ((limit.best, now.best), (limit.one_item, now.one_item)):
            rate.add(value, now.others)

    return measure(vitrine(), task, log_file, quick, around)


def peer(name: str, task: str, limits: dict[str, Limit], log_file: Path, quick: bool) -> Result:
    """The best variant of another server."""
    # The peers get the tiling that the search found best: what is compared is the serving.
    setup = limits["webp"].best.setup
    variants = peers(task, setup.tile, setup.batch if task == "enhance" else 0)[name]
    chosen = better(variants, task, log_file, quick)
    clock = math.nan if quick else alone(raw.throughput, task, setup, "webp", raw.FINAL_S[task])
    result = measure(chosen, task, log_file, quick, lambda _: None)
    result.clock = clock
    return result


def compare(
    task: str, limits: dict[str, Limit], names: list[str], out: Path, quick: bool
) -> tuple[list[Result], list[str]]:
    """Every server with one task. One that fails is reported, and the others go on."""
    results, failures = [], []
    for name in names:
        log_file = out / f"{name.lower()}.log"
        try:
            one = ours(task, limits, log_file, quick) if name == OURS else peer(name, task, limits, log_file, quick)
        except Exception as error:
            log.exception("%s failed with %s", name, task)
            failures.append(f"{name}, {task}: {error}")
            continue
        results.append(one)
        log.info("%s: %s %s", task, name, one.variant)
        for run in one.runs:
            log.info("  %s", run)
    return results, failures


def judged(limits: Limits, results: dict[str, list[Result]]) -> list[Verdict]:
    found = []
    for task, all_of in results.items():
        mine = [result for result in all_of if result.server == OURS]
        others = [result for result in all_of if result.server != OURS]
        for name in limits[task] if mine else ():
            found += verdicts(task, name, limits[task][name], mine[0], others)
    return found


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke test of two minutes; its numbers mean little")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--servers", nargs="+", choices=(OURS, *PEERS), default=[OURS, *PEERS])
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        parser.error("the load generator wrk is missing: apt-get install wrk")
    return options


def main() -> None:
    """Measure, then write README.md, results.json and bench.png."""
    options = arguments()
    stop_on_sigterm()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    options.out.mkdir(parents=True, exist_ok=True)
    names = [name for name in (OURS, *PEERS) if name in options.servers]  # ours first, next to the search
    minutes = estimate.seconds(options.tasks, names, OURS, options.quick) / 60
    log.info("about %.0f minutes on two cores; nothing else should run meanwhile", minutes)
    limits: Limits = {}
    results: dict[str, list[Result]] = {}
    failures: list[str] = []
    for task in options.tasks:
        log.info("%s: the raw limit", task)
        limits[task] = alone(raw.limits, task, raw.QUICK if options.quick else 1.0)
        for name, limit in limits[task].items():
            log.info("  %s: %.4g items/s with %s", name, limit.best.searched, limit.best.setup)
        results[task], failed = compare(task, limits[task], names, options.out, options.quick)
        failures += failed
    write(options.out, limits, results, failures, options.quick)


def write(out: Path, limits: Limits, results: dict[str, list[Result]], failures: list[str], quick: bool) -> None:
    """All three files."""
    from bench.plot import draw  # only here, since every process that is started imports this module

    facts, found = machine(), judged(limits, results)
    everything: dict[str, Any] = {
        "quick": quick,
        "machine": facts,
        "limits": {task: {name: asdict(limit) for name, limit in by.items()} for task, by in limits.items()},
        "results": {task: [asdict(result) for result in all_of] for task, all_of in results.items()},
        "verdicts": [asdict(verdict) for verdict in found],
        "failures": failures,
    }
    (out / "results.json").write_text(json.dumps(everything, indent=1) + "\n")
    (out / "README.md").write_text(report.markdown(facts, limits, results, found, failures, quick))
    draw(limits, results, out / "bench.png")


if __name__ == "__main__":
    main()
