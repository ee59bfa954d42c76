"""The tables in Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

from bench.compare import Measured, Result
from bench.processes import DISTURBED
from bench.raw import Limit, Rate
from bench.verdict import Verdict

INTRODUCTION: Final = """# Benchmark

Written by `make bench`; every number, and the whole search for the raw limit, is in [results.json](results.json).
Two pieces of work, the same code and models for all servers:

- **generate**: one 128x128 picture from a seed, over white, encoded with XMP;
- **enhance**: a 512x512 JPEG decoded, its level estimated, its tiles through the enhancer at scale 2, the answer
  encoded at 1024x1024 with XMP.

Quality 90. A server's first answers are compared with the picture made in-process. Server and load generator share
the machine's cores.

![peaks and tails](bench.png)
"""
LIMIT_NOTE: Final = """ONNX Runtime, decoding and encoding without a server, at the best of the settings that were tried
(threads or processes, intra-op threads, spinning, batch, sessions, tiles). The best setting of all is what the service
is held against. Measured again right before and right after the service's own closed loops, since the speed of a shared
machine drifts; their mean counts. *others* is the most that everything else took of one core during those measurements.
"""
RUNS_NOTE: Final = """Latencies in ms. In the closed loops every caller sends its next request after an answer: `wrk`
for `generate` (which corrects p95 and p99 upwards after stalls), `bench/arrivals.py` with a fixed number of requests
for `enhance`. There the first round of the callers, which finds no queue, does not count for the latency where a second
one follows; where none does, all came at once. In the open loops requests arrive at constant intervals at 50 % and 80 %
of the server's own peak, and latency counts from the moment at which a request should have been sent. *n* is the number
of answers behind the percentiles: below 100 the p99 is the slowest one. *CPU/answer* is the server's, in ms; *client*
is what the load generator took, and *others* what everything else on the machine took, both in percent of one core.
"""
MEMORY_NOTE: Final = """Sums over all processes of a server, in MB: PSS counts shared pages once; *most RSS* adds up the
highest that each process ever had. *machine* is the raw limit's setting, measured right before this server's runs, in
items/s: where it differs between servers, the machine's speed did.
"""
LOAD_HEAD: Final = ("server", "format", "load", "answers/s", "p50", "p95", "p99", "n", "errors")
COST_HEAD: Final = ("CPU/answer", "client", "others")
MEMORY_HEAD: Final = ("task", "server", "best variant", "machine", "ready after, s")
SIZES_HEAD: Final = ("PSS at start", "most PSS", "most RSS", "threads")
QUICK_NOTE: Final = "**A quick run: a smoke test with a few requests each, whose numbers mean nothing.**\n"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    lines += [f"| {' | '.join(str(cell) for cell in row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def number(value: float) -> str:
    """Three digits, or all before the point."""
    if math.isnan(value):
        return "-"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def limit_row(task: str, image_format: str, what: str, rate: Rate) -> tuple[object, ...]:
    again = " / ".join(number(value) for value in rate.again) or "-"
    return task, image_format, what, number(rate.searched), again, number(rate.mean), f"{rate.others:.0%}", rate.setup


def limits_table(limits: dict[str, dict[str, Limit]]) -> str:
    rows = []
    for task, by in limits.items():
        for name, limit in by.items():
            rows.append(limit_row(task, name, "items/s", limit.best))
            rows.append(limit_row(task, name, "ms, one item", limit.one_item))
    return table(("task", "format", "what", "search", "before / after", "mean", "others", "settings"), rows)


def run_row(result: Result, run: Measured) -> tuple[object, ...]:
    callers = f"{run.load:.0f} caller{'s' * (run.load > 1)}"
    load = callers if run.share is None else f"{number(run.load)}/s ({run.share:.0%})"
    times = (number(value) for value in (run.per_second, run.p50, run.p95, run.p99))
    costs = number(run.server_ms), f"{run.client_cpu:.0%}", f"{run.others:.0%}"
    return result.server, run.format, load, *times, run.count, run.errors, *costs


def runs_table(results: Sequence[Result]) -> str:
    return table((*LOAD_HEAD, *COST_HEAD), (run_row(result, run) for result in results for run in result.runs))


def disturbances(results: dict[str, list[Result]]) -> str:
    """How many runs had to share the machine."""
    runs = [run for all_of in results.values() for result in all_of for run in result.runs]
    disturbed = sum(run.others > DISTURBED for run in runs)
    return f"In {disturbed} of {len(runs)} runs others took more than {DISTURBED:.0%} of a core.\n"


def memory_table(results: dict[str, list[Result]]) -> str:
    rows = []
    for task, all_of in results.items():
        for r in all_of:
            pss, rss = (max(getattr(usage, name) for usage in r.usage) for name in ("pss_mb", "peak_rss_mb"))
            sizes = (number(r.usage[0].pss_mb), number(pss), number(rss), max(usage.threads for usage in r.usage))
            rows.append((task, r.server, r.variant or "as shipped", number(r.clock), number(r.started_s), *sizes))
    return table((*MEMORY_HEAD, *SIZES_HEAD), rows)


def verdict_table(verdicts: Iterable[Verdict]) -> str:
    rows = ((v.task, v.format, v.what, number(v.value), v.target, "met" if v.met else "**missed**") for v in verdicts)
    return table(("task", "format", "what", "value", "target", ""), rows)


def markdown(
    facts: dict[str, str],
    limits: dict[str, dict[str, Limit]],
    results: dict[str, list[Result]],
    verdicts: Sequence[Verdict],
    failures: Sequence[str],
    quick: bool = False,
) -> str:
    """The whole page."""
    parts = [INTRODUCTION, *([QUICK_NOTE] if quick else [])]
    if verdicts:
        parts += ["## Targets\n", verdict_table(verdicts)]
    if failures:
        parts += ["Not measured:\n", "\n".join(f"- {failure}" for failure in failures) + "\n"]
    parts += ["## The raw limit\n", LIMIT_NOTE, limits_table(limits)]
    parts += ["## The servers\n", RUNS_NOTE, disturbances(results)]
    for task in results:
        parts += [f"### {task}\n", runs_table(results[task])]
    parts += ["## Memory and variants\n", MEMORY_NOTE, memory_table(results)]
    parts += ["## Measured on\n", table(("what", ""), facts.items())]
    return "\n".join(parts)
