"""How long the benchmark will take."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from bench import compare, raw
from bench.servers import peers

# On two cores: a server's start and end; a process for one measurement; photos a second.
START_S: Final = 4.0
SPAWN_S: Final = 1.2
PHOTOS_PER_SECOND: Final = 2.4
WARM_PHOTOS: Final = 6


def search_s(task: str, quick: bool) -> float:
    """The search for the raw limit."""
    share, one_s = raw.QUICK if quick else 1.0, 1 / PHOTOS_PER_SECOND if task == "enhance" else 0.005
    some = slice(1 if quick else None)
    runs = raw.one_item_runs(task, share) * one_s
    last = (raw.FINALISTS + 1) * (share * raw.FINAL_S[task] + 2 * one_s) + raw.FASTEST * raw.LAST_ROUND * runs
    first = len(raw.setups(task)[some]) * (share * raw.SEARCH_S[task] + 3 * one_s)
    return SPAWN_S + first + len(raw.one_item_setups(task)[some]) * (runs + one_s) + len(compare.formats(quick)) * last


def server_s(task: str, name: str, ours: bool, quick: bool, rate: float) -> float:
    """One server with one task, at `rate` photos a second."""
    start = START_S + (WARM_PHOTOS / rate if task == "enhance" else 0)
    total = start
    for image_format in compare.formats(quick):
        for load in compare.loads(task, image_format, quick):
            photos = (compare.QUICK_PHOTOS if quick else compare.CLOSED_PHOTOS)[image_format].get(load, 0)
            total += SPAWN_S + photos / rate if task == "enhance" else 1 if quick else compare.CLOSED_S
        for share in compare.shares(image_format, quick):
            total += SPAWN_S + compare.OPEN_S[task][share] * (compare.QUICK_OPEN if quick else 1)
    if ours:
        moment = (
            SPAWN_S + 2.5 * raw.FINAL_S[task] * (raw.QUICK if quick else 1.0) + (3 / rate if task == "enhance" else 0)
        )
        return total + 2 * len(compare.formats(quick)) * moment
    if quick:
        return total
    probe = SPAWN_S + compare.PROBE_PHOTOS / rate if task == "enhance" else compare.PROBE_S
    return total + SPAWN_S + raw.FINAL_S[task] + len(peers(task, 0, 0)[name]) * (start + probe)


def seconds(tasks: Iterable[str], servers: Iterable[str], ours: str, quick: bool) -> float:
    """The whole benchmark."""
    names = list(servers)
    each = [server_s(task, name, name == ours, quick, PHOTOS_PER_SECOND) for task in tasks for name in names]
    return sum(each) + sum(search_s(task, quick) for task in tasks)
