"""The picture of the benchmark."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import matplotlib as mpl
from matplotlib import pyplot, ticker
from matplotlib.axes import Axes

from bench.compare import Result
from bench.raw import Limit
from bench.report import number

COLOURS: Final = {"webp": "#35618f", "jpeg": "#d98c3f"}
NAMES: Final = {"webp": "WebP", "jpeg": "JPEG"}
WIDTH: Final = 0.38


def bars(axes: Axes, formats: Iterable[str], results: Sequence[Result], value: Callable[[Result, str], float]) -> None:
    for at, name in enumerate(formats):
        heights = [value(result, name) for result in results]
        places = [index + 0.4 * at - 0.2 for index in range(len(results))]
        drawn = axes.bar(places, heights, WIDTH, color=COLOURS[name], label=NAMES[name])
        plain = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}  # so that no line crosses a number
        axes.bar_label(drawn, [number(height) for height in heights], fontsize=9, padding=3, bbox=plain)
    axes.set_xticks(range(len(results)), [result.server for result in results], fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)


def lines(axes: Axes, what: str, heights: dict[str, float]) -> None:
    for name, height in heights.items():
        label = f"{what}, {NAMES[name]}: {number(height)}"
        axes.axhline(height, color=COLOURS[name], linestyle="--", linewidth=1.3, label=label)


def late(result: Result, name: str) -> float:
    run = result.run(name, share=0.8)
    return run.p99 if run else math.nan


def draw(limits: dict[str, dict[str, Limit]], results: dict[str, list[Result]], path: Path) -> None:
    """Peaks with the raw limit as a line, and p99 at 80 % with the time of one item."""
    mpl.use("Agg")
    figure, grid = pyplot.subplots(len(results), 2, figsize=(13, 4.8 * len(results)), squeeze=False)
    for (left, right), (task, all_of) in zip(grid, results.items(), strict=True):
        bars(left, limits[task], all_of, lambda result, name: result.peak(name))
        lines(left, "raw limit", {name: limit.best.mean for name, limit in limits[task].items()})
        left.set_title(f"/{task}: highest throughput (more is better)", fontsize=11)
        left.set_ylabel("answers per second")
        bars(right, limits[task], all_of, late)
        lines(right, "one item in-process", {name: limit.one_item.mean for name, limit in limits[task].items()})
        right.set_title(f"/{task}: p99 latency at 80 % of the own peak (less is better)", fontsize=11)
        right.set_ylabel("milliseconds, logarithmic")
        right.set_yscale("log")
        right.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        for axes in (left, right):
            axes.margins(y=0.1)
            axes.yaxis.set_major_formatter(ticker.StrMethodFormatter("{x:g}"))
            axes.yaxis.set_minor_formatter(ticker.NullFormatter())
            axes.legend(frameon=False, fontsize=9, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.08))
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
