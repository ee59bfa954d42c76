"""Whether the targets are met."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bench.compare import Result
from bench.raw import Limit


@dataclass(frozen=True, slots=True)
class Verdict:
    """One target with one task and format; the value is NaN when a run failed."""

    task: str
    format: str
    what: str
    value: float
    target: str
    met: bool


def verdicts(task: str, image_format: str, limit: Limit, ours: Result, peers: Sequence[Result]) -> list[Verdict]:
    """All targets of one task and format."""
    nan = math.nan
    peak, best_peer = ours.peak(image_format), max((peer.peak(image_format) for peer in peers), default=nan)
    single, late = ours.run(image_format, callers=1), ours.run(image_format, share=0.8)
    p50, p99 = single.p50 if single else nan, late.p99 if late else nan
    others = [run.p99 for peer in peers if (run := peer.run(image_format, share=0.8)) and not math.isnan(run.p99)]
    rows = [
        ("peak / raw limit", peak / limit.mean, "≥ 0.95", peak / limit.mean >= 0.95),
        ("peak / best peer's peak", peak / best_peer, "> 1", peak > best_peer),
        ("p50 of one caller / one item", p50 / limit.one_item_ms, "≤ 1.2", p50 <= 1.2 * limit.one_item_ms),
        ("p99 at 80 % / one item", p99 / limit.one_item_ms, "≤ 4", p99 <= 4 * limit.one_item_ms),
    ]
    if others:
        rows.append(("p99 at 80 % / best peer's", p99 / min(others), "≤ 0.5", p99 <= 0.5 * min(others)))
    return [Verdict(task, image_format, *row) for row in rows]
