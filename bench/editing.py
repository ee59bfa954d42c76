"""`python -m bench.editing`: how long one caller waits for edits of a photo, and for products; writes editing.md."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from app.repository import read_models
from bench.bare import Seconds, seconds
from bench.facts import machine
from bench.pictures import photo
from bench.servers import serving, stop_on_sigterm, vitrine
from bench.work import ROOT

ENHANCED: Final = 512
"""The side of the photos that targets are set for when they are enhanced, in px."""
BOUNDARY: Final = "vitrine-editing"
SNAPSHOT: Final = "image/jpeg"


class Edit(NamedTuple):
    """One kind of request, and the seconds that were asked for, if any."""

    route: str
    options: Mapping[str, str]
    target_s: float | None = None
    side: int = 1024
    """Of the photo, in px; 0 for products, which need none."""


EDITS: Final = (
    Edit("/enhance", {"scale": "1", "denoise": "0", "background": "white"}),
    Edit("/enhance", {"scale": "2"}),
    Edit("/enhance", {"scale": "2"}, 2.5, ENHANCED),
    Edit("/enhance", {"scale": "2", "model": "enhance-x2-fast"}, 0.4, ENHANCED),
    Edit("/enhance", {"scale": "4"}, None, ENHANCED),
    Edit("/compose", {"backdrop": "#ffffff"}, 1.5),
    Edit("/compose", {"backdrop": "marble", "anchor": "bottom", "shadow": "soft"}, 1.5),
    Edit("/compose", {"preset": "amazon-main"}),
    Edit("/restyle", {"style": "studio"}, 1.0),
    Edit("/restyle", {"style": "colorway", "color": "#b03a2e"}),
    Edit("/restyle", {"style": "sketch"}),
    Edit("/restyle", {"style": "from-sketch", "seed": "1"}),
    Edit("/generate", {"count": "16", "size": "128"}, 1.0, 0),
)


class Waits(NamedTuple):
    """Seconds of all runs of one edit."""

    edit: Edit
    seconds: list[float]

    @property
    def p50(self) -> float:
        return statistics.median(self.seconds)

    @property
    def worst(self) -> float:
        return max(self.seconds)


def form(options: Mapping[str, str], data: bytes) -> bytes:
    """A multipart form of one image and some fields (RFC 7578)."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in options.items()
    ]
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="p.jpg"\r\n'
    head += f"Content-Type: {SNAPSHOT}\r\n\r\n"
    return "".join(parts).encode() + head.encode() + data + f"\r\n--{BOUNDARY}--\r\n".encode()


def asked(url: str, edit: Edit) -> urllib.request.Request:
    """The request."""
    if not edit.side:
        body = json.dumps({name: int(value) for name, value in edit.options.items()} | {"format": "jpeg"}).encode()
        headers = {"Content-Type": "application/json", "Accept": "application/zip"}
    else:
        body = form(edit.options, photo(edit.side, edit.side))
        headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}", "Accept": SNAPSHOT}
    return urllib.request.Request(url + edit.route, body, headers)  # noqa: S310


def wait(request: urllib.request.Request) -> float:
    """Seconds of one request, its whole answer read.

    Raises:
        urllib.error.HTTPError: it is refused.
    """
    begun = time.monotonic()
    with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
        answer.read()
    return time.monotonic() - begun


def measure(url: str, runs: int) -> list[Waits]:
    """Every edit, `runs` times in turn after one that does not count."""
    waits = [Waits(edit, []) for edit in EDITS]
    for number in range(runs + 1):
        for one in waits:
            seconds = wait(asked(url, one.edit))
            if number:
                one.seconds.append(seconds)
    return waits


class Share(NamedTuple):
    """An enhancer beside its bare convolutions: seconds for the same picture."""

    model: str
    request: float
    alone: Seconds

    def line(self) -> str:
        graph, bare = self.alone
        return (
            f"| {self.model} | {self.request:.3f} s | {graph:.3f} s | {bare:.3f} s "
            f"| {bare / graph:.2f} | {bare / self.request:.2f} |"
        )


def shares(waits: list[Waits]) -> list[Share]:
    """Of every enhancer that doubles the size, by the edits of the smaller photo."""
    models, found = read_models(ROOT / "models"), []
    for one in waits:
        if one.edit.side == ENHANCED and one.edit.options["scale"] == "2":
            name = one.edit.options.get("model", "enhance-x2")
            found.append(Share(name, one.p50, seconds(models[name].data, ENHANCED, os.cpu_count() or 1)))
    return found


def markdown(facts: Mapping[str, str], waits: list[Waits], bare: list[Share], runs: int) -> str:
    """The tables."""
    lines = ["# How long one caller waits for an edit", ""]
    lines += [
        f"A JPEG or an order, answered as JPEG, {runs} times each, in turn, nothing else running: `make editing`.",
        "",
    ]
    lines += [
        ", ".join(f"{name} {facts[name]}" for name in ("processor", "cores", "commit", "Python", "onnxruntime")),
        "",
    ]
    lines += ["| request | photo | p50 | worst | asked |", "| --- | ---: | ---: | ---: | ---: |"]
    for one in waits:
        options = " ".join(f"{name}={value}" for name, value in one.edit.options.items())
        asked = f"{one.edit.target_s:g} s" if one.edit.target_s else ""
        size = f"{one.edit.side}x{one.edit.side}" if one.edit.side else ""
        lines.append(f"| `{one.edit.route} {options}` | {size} | {one.p50:.2f} s | {one.worst:.2f} s | {asked} |")
    lines += [
        "",
        f"The whole request for {ENHANCED}x{ENHANCED} px, its model in this process on all cores, and nothing but the "
        "model's convolutions there; at least 0.75 of their rate is asked of the model:",
        "",
        "| model | request | model | convolutions | share of the model | of the request |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [one.line() for one in bare]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, then write the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.editing", description=__doc__)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results" / "editing.md")
    options = parser.parse_args()
    stop_on_sigterm()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with serving(vitrine(), options.out.with_suffix(".log")) as running:
        waits = measure(f"http://127.0.0.1:{running.port}", options.runs)
    options.out.write_text(markdown(machine(), waits, shares(waits), options.runs))


if __name__ == "__main__":
    main()
