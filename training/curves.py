"""Loss curves of a run as a picture."""

from __future__ import annotations

import json
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

COUNTERS = {"step", "images", "seconds"}


def plot_curves(log: Path, picture: Path) -> None:
    """Plot every logged term of a `log.jsonl` against the images seen; does nothing while the log is empty."""
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    terms = sorted({name for entry in entries for name in entry} - COUNTERS)
    if not terms:
        return
    figure = Figure(figsize=(10, 2.2 * len(terms)), layout="constrained")
    FigureCanvasAgg(figure)
    for index, term in enumerate(terms):
        axes = figure.add_subplot(len(terms), 1, index + 1)
        points = [(entry["images"], entry[term]) for entry in entries if term in entry]
        axes.plot(*zip(*points, strict=True), linewidth=1)
        axes.set_ylabel(term)
        axes.grid(alpha=0.3)
    axes.set_xlabel("images seen")
    figure.savefig(picture, dpi=80)
