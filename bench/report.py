"""The tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from bench.compare import Measured, Result
from bench.raw import Limit
from bench.verdict import Verdict

INTRODUCTION: Final = """# Benchmark

Written by `make bench`; every number is in [results.json](results.json). Two pieces of work, the same for all:

- **generate**: one 64x64 picture from a seed, over white, encoded with XMP;
- **enhance**: a 512x512 JPEG, decoded, its level estimated, its tiles through the enhancer at scale 2, encoded at
  1024x1024.

Quality 90. Server and load generator share the machine's cores; what the generator took of one core is in the column
*client*. Latencies are in ms. In the closed loops every caller sends its next request after an answer: `wrk` for
`generate`, `bench/arrivals.py` with a fixed number of requests for `enhance`. In the open loops requests arrive at
constant intervals at 50 % and 80 % of the server's own peak, and latency counts from the moment at which a request
should have been sent. *n* is the number of answers behind the percentiles: below 100 the p99 is the slowest one.

![peaks and tails](bench.png)
"""


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    lines += [f"| {' | '.join(str(cell) for cell in row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def number(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def limits_table(limits: dict[str, dict[str, Limit]]) -> str:
    rows = []
    for task, by in limits.items():
        for name, limit in by.items():
            rates = " / ".join(number(rate) for rate in (limit.per_second, *limit.again))
            one = (number(limit.one_item_ms), limit.one_item_setup)
            rows.append((task, name, rates, number(limit.mean), limit.setup, *one))
    return table(("task", "format", "items/s, before / after", "mean", "settings", "one item, ms", "settings"), rows)


def run_row(result: Result, run: Measured) -> tuple[object, ...]:
    load = (
        f"{run.load:.0f} caller{'s' * (run.load > 1)}"
        if run.share is None
        else f"{number(run.load)}/s ({run.share:.0%})"
    )
    times = (number(value) for value in (run.per_second, run.p50, run.p95, run.p99))
    return result.server, run.format, load, *times, run.count, run.errors, f"{run.client_cpu:.0%}"


def runs_table(results: Sequence[Result]) -> str:
    head = ("server", "format", "load", "answers/s", "p50", "p95", "p99", "n", "errors", "client")
    return table(head, (run_row(result, run) for result in results for run in result.runs))


def memory_table(results: dict[str, list[Result]]) -> str:
    rows = []
    for task, all_of in results.items():
        for r in all_of:
            peak = max(r.usage, key=lambda usage: usage.pss_mb)
            sizes = (number(r.usage[0].pss_mb), number(peak.pss_mb), number(peak.rss_mb))
            rows.append((task, r.server, r.variant or "as shipped", number(r.started_s), *sizes))
    return table(("task", "server", "the best of its variants", "ready, s", "PSS at start, MB", "PSS", "RSS"), rows)


def verdict_table(verdicts: Iterable[Verdict]) -> str:
    rows = ((v.task, v.format, v.what, number(v.value), v.target, "met" if v.met else "**missed**") for v in verdicts)
    return table(("task", "format", "what", "value", "target", ""), rows)


def markdown(
    facts: dict[str, str],
    limits: dict[str, dict[str, Limit]],
    results: dict[str, list[Result]],
    verdicts: Sequence[Verdict],
    failures: Sequence[str],
) -> str:
    """The whole page."""
    parts = [INTRODUCTION, "## Targets\n", verdict_table(verdicts)]
    if failures:
        parts += ["Not measured:\n", "\n".join(f"- {failure}" for failure in failures) + "\n"]
    parts += ["## The raw limit\n", "ONNX Runtime and the encoders in one process; the search is in results.json.\n"]
    parts += [limits_table(limits)]
    for task in results:
        parts += [f"## {task}\n", runs_table(results[task])]
    parts += ["## Memory and variants\n", "Sums over all processes of a server, the highest after any run.\n"]
    parts += [memory_table(results), "## Measured on\n", table(("what", ""), facts.items())]
    return "\n".join(parts)
