"""The picture of the benchmark."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot
from matplotlib.axes import Axes

from bench.compare import Result
from bench.raw import Limit
from bench.work import FORMATS

COLOURS = {"webp": "#35618f", "jpeg": "#d98c3f"}


def bars(axes: Axes, results: Sequence[Result], value: Callable[[Result, str], float]) -> None:
    for at, name in enumerate(FORMATS):
        places = [index + 0.4 * at - 0.2 for index in range(len(results))]
        drawn = axes.bar(places, [value(result, name) for result in results], 0.38, color=COLOURS[name], label=name)
        axes.bar_label(drawn, fmt="%.3g", fontsize=7)
    axes.set_xticks(range(len(results)), [result.server for result in results])
    axes.spines[["top", "right"]].set_visible(False)


def late(result: Result, name: str) -> float:
    run = result.run(name, share=0.8)
    return run.p99 if run else float("nan")


def draw(limits: dict[str, dict[str, Limit]], results: dict[str, list[Result]], path: Path) -> None:
    """Peaks with the raw limit as a line, and p99 at 80 % with the time of one item."""
    mpl.use("Agg")
    figure, grid = pyplot.subplots(len(results), 2, figsize=(11, 3.4 * len(results)), squeeze=False)
    for row, (task, all_of) in zip(grid, results.items(), strict=True):
        bars(row[0], all_of, lambda result, name: result.peak(name))
        bars(row[1], all_of, late)
        for name in FORMATS:
            row[0].axhline(limits[task][name].mean, color=COLOURS[name], linestyle="--", linewidth=1)
            row[1].axhline(limits[task][name].one_item_ms, color=COLOURS[name], linestyle="--", linewidth=1)
        row[0].set_title(f"{task}: highest answers/s; dashed: raw limit", fontsize=9)
        row[1].set_title(f"{task}: p99 at 80 % of the peak, ms; dashed: one item in-process", fontsize=9)
    grid[0][0].legend(frameon=False, fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
