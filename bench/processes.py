"""What a server's processes use, and what others take of the machine meanwhile, read from /proc (Linux)."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DISTURBED: Final = 0.1  # cores that others took: from here on a measurement is in doubt
PROC: Final = Path("/proc")
TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """Sums over processes. Shared pages count once in PSS and in every process in RSS; `peak_rss_mb` adds up the most
    that each process ever had."""

    rss_mb: float
    pss_mb: float
    peak_rss_mb: float
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
    rss = pss = peak = cpu = 0.0
    threads = files = 0
    for pid in pids:
        home = PROC / str(pid)
        try:
            memory = dict(line.split(":", 1) for line in (home / "smaps_rollup").read_text().splitlines()[1:])
            status = dict(line.split(":", 1) for line in (home / "status").read_text().splitlines())
            stat = (home / "stat").read_text().rpartition(")")[2].split()
            files += len(os.listdir(home / "fd"))
        except OSError:
            continue
        rss += _kb(memory["Rss"]) / 1024
        pss += _kb(memory["Pss"]) / 1024
        peak += _kb(status.get("VmHWM", "0")) / 1024
        threads += int(stat[17])
        cpu += (int(stat[11]) + int(stat[12])) / TICKS
    return Usage(rss, pss, peak, threads, files, cpu)


def _kb(text: str) -> int:
    return int(text.split()[0])


class OtherLoad:
    """How many cores everything takes that is neither this process nor descends from it, a hypervisor included."""

    def __init__(self) -> None:
        self._begun, self._busy, self._own = time.monotonic(), _busy_s(), _own_s()

    def cores(self) -> float:
        """The mean since this object was made."""
        busy, own = _busy_s() - self._busy, _own_s() - self._own
        return max(0.0, busy - own) / (time.monotonic() - self._begun)


def _busy_s() -> float:
    """Seconds of all cores, without those that were idle or waited for a disk."""
    user, nice, system, _, _, *rest = (PROC / "stat").read_text().splitlines()[0].split()[1:9]
    return sum(map(int, (user, nice, system, *rest))) / TICKS


def _own_s() -> float:
    """Seconds of this process, its descendants, and all of theirs that have ended."""
    ticks = 0
    for pid in tree(os.getpid()):
        try:
            stat = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += sum(map(int, stat[11:15]))
    return ticks / TICKS
