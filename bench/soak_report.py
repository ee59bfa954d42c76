"""The soak's page, numbers and picture."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot

from bench.facts import machine
from bench.report import table
from bench.soak import Result


def write(result: Result, out: Path) -> None:
    """All three files."""
    facts = machine()
    (out / "soak.json").write_text(json.dumps({"machine": facts, **as_json(result)}, indent=1) + "\n")
    (out / "soak.md").write_text(markdown(result, facts))
    draw(result, out / "soak.png")


def as_json(result: Result) -> dict[str, object]:
    known = asdict(result)
    for name in ("answers", "wrong"):
        counted = sorted(getattr(result, name).items())
        known[name] = [{"case": c, "route": r, "status": s, "count": n} for (c, r, s), n in counted]
    return known


def markdown(result: Result, facts: dict[str, str]) -> str:
    """The whole page."""
    warm = [sample for sample in result.samples if sample.at >= result.warm_up_s]
    peak, first, last = max(s.pss_mb for s in result.samples), warm[0], result.samples[-1]
    rows = [
        ("requests", sum(result.answers.values())),
        ("answers that were not right for their request", sum(result.wrong.values())),
        ("5xx other than 503 and 504, or no answer at all", result.server_errors),
        ("503 and 504", result.overloads),
        ("checks with a good request", f"{result.checks - result.failed_checks} of {result.checks} answered"),
        ("PSS after the warm-up / highest / at the end, idle, MB", sizes(first.pss_mb, peak, last.pss_mb)),
        ("RSS after the warm-up / at the end, MB", sizes(first.rss_mb, last.rss_mb)),
        ("slope of RSS after the warm-up, MB per hour", f"{result.rss} (standard error)"),
        ("slope of PSS after the warm-up, MB per hour", f"{result.pss} (standard error)"),
        ("threads after the warm-up / at the end", f"{first.threads} / {last.threads}"),
        ("open files after the warm-up / at the end, idle", f"{first.files} / {last.files}"),
    ]
    wrong = set(result.wrong)
    answers = [
        (route, case, status if status > 0 else "no answer", count, "wrong" if (case, route, status) in wrong else "")
        for (case, route, status), count in sorted(result.answers.items(), key=lambda item: (item[0][1], item[0]))
    ]
    parts = [
        f"# Soak: mixed and hostile traffic for {result.seconds / 60:.3g} min\n",
        f"Written by `python -m bench.soak`. The first {result.warm_up_s / 60:.3g} min are warm-up.\n",
        "![memory, threads and files](soak.png)\n",
        table(("what", ""), rows),
        table(("route", "case", "status", "count", ""), answers),
        table(("measured on", ""), facts.items()),
    ]
    return "\n".join(parts)


def sizes(*values: float) -> str:
    return " / ".join(f"{value:.0f}" for value in values)


def draw(result: Result, path: Path) -> None:
    """Memory with the fitted line, then threads and files."""
    mpl.use("Agg")
    figure, (upper, lower) = pyplot.subplots(2, 1, figsize=(10, 6), sharex=True)
    minutes = [sample.at / 60 for sample in result.samples]
    upper.plot(minutes, [sample.rss_mb for sample in result.samples], color="#b0b0b0", label="RSS")
    upper.plot(minutes, [sample.pss_mb for sample in result.samples], color="#35618f", label="PSS")
    warm = [sample for sample in result.samples[:-1] if sample.at >= result.warm_up_s]
    for slope, name, colour in ((result.rss, "rss_mb", "#8a8a8a"), (result.pss, "pss_mb", "#d98c3f")):
        sizes = [getattr(sample, name) for sample in warm]
        middle_s, middle_mb = sum(sample.at for sample in warm) / len(warm), sum(sizes) / len(warm)
        ends = (warm[0].at, warm[-1].at)
        fitted = [middle_mb + slope.value * (end - middle_s) / 3600 for end in ends]
        upper.plot([end / 60 for end in ends], fitted, "--", color=colour, label=f"{name[:3].upper()} {slope} MB/h")
    upper.set(ylabel="MB", ylim=(0, None), title="memory of all processes; dashed: growth after the warm-up")
    lower.plot(minutes, [sample.threads for sample in result.samples], color="#35618f", label="threads")
    lower.plot(minutes, [sample.files for sample in result.samples], color="#d98c3f", label="open files")
    lower.set(xlabel="minutes", ylabel="count", ylim=(0, None))
    for axes in (upper, lower):
        axes.legend(frameon=False, loc="lower right", ncols=2)
        axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
