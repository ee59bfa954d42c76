"""What a command says: a bar or lines on stderr while it works, JSON on stdout if wanted, and a summary at the end."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections import Counter
from types import TracebackType
from typing import Any, Final, Self

from tqdm import tqdm

EVERY_S: Final = 10.0
"""Between two lines about the progress, where there is no terminal for a bar."""
BAR: Final = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_noinv_fmt}]"
"""tqdm's own, but for slow work, whose seconds an image it would tell."""


def printable(text: str) -> str:
    """A name or a reason as one line that cannot steer a terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def clock(seconds: float) -> str:
    """Such as 1:02:03 or 2:03."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


class Teller:
    """Counts what becomes of the files, and says it."""

    def __init__(self, total: int, verb: str, *, as_json: bool) -> None:
        """`verb` is what is done to a file: `made` or `checked`."""
        self._total, self._verb, self._json = total, verb, as_json
        self._begun = self._told = time.monotonic()
        self.counts: Counter[str] = Counter()
        self._bar = tqdm(
            total=total, unit=" images", file=sys.stderr, disable=not sys.stderr.isatty(), smoothing=0.1,
            ncols=shutil.get_terminal_size().columns,  # 80 where a terminal does not know
            bar_format=BAR, leave=False,  # the summary says it all
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.close()

    def begin(self) -> None:
        """The clock starts now."""
        self._begun = self._told = time.monotonic()
        self._bar.reset()

    @property
    def well(self) -> bool:
        """Whether every file is there, and keeps the rules that it was made for."""
        there = self.counts[self._verb] + self.counts["skipped"]
        return there == self._total and not self.counts["breaking"]

    def file(self, status: str, facts: dict[str, Any]) -> None:
        """One file is over: done, `skipped` or `failed`; with a `reason`, where there is one."""
        self.counts[status] += 1
        broken = facts.get("compliance") == "fail"
        self.counts["breaking"] += broken
        if self._json:
            print(json.dumps({"status": status, **facts}), flush=True)  # noqa: T201  # a command
        name = facts.get("input") or facts["file"]
        if status == "failed":
            self.say(f"failed: {name}: {facts['reason']}")
        elif broken:
            self.say(f"breaks the preset's rules: {name}" + (f": {facts['reason']}" if "reason" in facts else ""))
        self._bar.update()
        self._tell_progress()

    def _tell_progress(self) -> None:
        now = time.monotonic()
        if not self._bar.disable or now - self._told < EVERY_S:
            return
        done = sum(self.counts[one] for one in (self._verb, "skipped", "failed"))
        if done < self._total:
            self._told = now
            rate = self.counts[self._verb] / (now - self._begun)
            left = f", {clock((self._total - done) / rate)} left" if rate else ""
            self.say(f"{done} of {self._total} images, {rate:.2f} images/s{left}")

    def say(self, text: str) -> None:
        """A line on stderr, above the bar."""
        self._bar.write(printable(text), file=sys.stderr)
        sys.stderr.flush()

    def summary(self, **facts: Any) -> None:  # noqa: ANN401  # JSON
        """The last line."""
        seconds = time.monotonic() - self._begun
        made, skipped, failed = (self.counts[one] for one in (self._verb, "skipped", "failed"))
        rate = made / seconds if seconds else 0.0
        self._bar.close()
        if self._json:
            told: dict[str, Any] = {self._verb: made, "skipped": skipped, "failed": failed}
            told |= {"breaking": self.counts["breaking"], "total": self._total}
            told |= {"seconds": round(seconds, 3), "images_per_second": round(rate, 3)}
            print(json.dumps({"summary": told | facts}), flush=True)  # noqa: T201  # a command
        text = f"{made} {self._verb}, {skipped} skipped, {failed} failed"
        if self.counts["breaking"]:
            text += f", {self.counts['breaking']} breaking the preset's rules"
        self.say(f"{text}; {clock(seconds)}, {rate:.2f} images/s")
