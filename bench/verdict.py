"""Whether the targets are met."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bench.compare import Result
from bench.raw import Limit


@dataclass(frozen=True, slots=True)
class Verdict:
    """One target with one task and format; the value is NaN when a run failed, which misses every target."""

    task: str
    format: str
    what: str
    value: float
    target: str
    met: bool


def verdicts(task: str, image_format: str, limit: Limit, ours: Result, peers: Sequence[Result]) -> list[Verdict]:
    """All targets of one task and format; those about peers only where there are any."""
    peak, item = ours.peak(image_format), limit.one_item.mean
    single, late = ours.run(image_format, callers=1), ours.run(image_format, share=0.8)
    p50, p99 = single.p50 if single else math.nan, late.p99 if late else math.nan
    errors = sum(run.errors for run in ours.runs if run.format == image_format)
    rows = [
        ("peak / raw limit", (value := peak / limit.best.mean), "≥ 0.95", value >= 0.95),
        ("p50 of one caller / one item", (value := p50 / item), "≤ 1.2", value <= 1.2),
        ("p99 at 80 % / one item", (value := p99 / item), "≤ 4", value <= 4),
        ("answers other than 200", float(errors), "0", not errors),
    ]
    peaks = [peer.peak(image_format) for peer in peers]
    tails = [run.p99 for peer in peers if (run := peer.run(image_format, share=0.8)) and not math.isnan(run.p99)]
    if any(peaks):
        rows.append(("peak / best peer's peak", (value := peak / max(peaks)), "> 1", value > 1))
    if tails:
        rows.append(("p99 at 80 % / best peer's", (value := p99 / min(tails)), "≤ 0.5", value <= 0.5))
    return [Verdict(task, image_format, *row) for row in rows]
