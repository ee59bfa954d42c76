"""What a server's processes use, read from /proc (Linux)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """Sums over processes. Shared pages count once in PSS and in every process in RSS."""

    rss_mb: float
    pss_mb: float
    threads: int
    files: int
    cpu_s: float


def tree(root: int) -> list[int]:
    """A process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for path in PROC.glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
        children.setdefault(parent, []).append(int(path.parent.name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def usage(pids: Iterable[int]) -> Usage:
    """Processes that have ended meanwhile count nothing."""
    rss = pss = cpu = 0.0
    threads = files = 0
    for pid in pids:
        home = PROC / str(pid)
        try:
            memory = dict(line.split(":", 1) for line in (home / "smaps_rollup").read_text().splitlines()[1:])
            stat = (home / "stat").read_text().rpartition(")")[2].split()
            files += len(os.listdir(home / "fd"))
        except OSError:
            continue
        rss += _kb(memory["Rss"]) / 1024
        pss += _kb(memory["Pss"]) / 1024
        threads += int(stat[17])
        cpu += (int(stat[11]) + int(stat[12])) / TICKS
    return Usage(rss, pss, threads, files, cpu)


def _kb(text: str) -> int:
    return int(text.split()[0])
