"""One page that compares enhancers, of one scale or several, on the same held-out pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.evaluate import EvaluationError, evaluate
from training.figures import Report
from training.pictures import write_picture

PUBLISHED: Mapping[int, Mapping[str, float]] = {
    2: {"ESPCN": 36.83, "VDSR": 37.53, "ECBSR": 37.90, "EDSR-baseline": 37.99, "SPAN": 38.08},
    4: {"ESPCN": 30.52, "VDSR": 31.35, "ECBSR": 31.92, "EDSR-baseline": 32.09, "SPAN": 32.20},
}
"""PSNR (Y) on Set5 as the papers have it, trained on large sets of sharp photos."""
COMMAND = "vitrine-train report {folders} --data {data}"


def is_enhancer(folder: Path) -> bool:
    """Whether a folder is that of a published enhancer."""
    manifest = folder / "manifest.json"
    return manifest.is_file() and json.loads(manifest.read_text())["task"] in ("enhance", "upscale")


def report_enhancers(folders: list[Path], data: list[Path], out: Path) -> list[Path]:
    """Measure published enhancers and write `enhancer.md` with a sheet of pictures each; gives what was written.

    Raises:
        EvaluationError: a folder holds no enhancer.
        DataError: the data holds nothing to measure one on.
    """
    if not all(map(is_enhancer, folders)):
        raise EvaluationError("a page compares enhancers with enhancers only")
    found = [(json.loads((folder / "manifest.json").read_text()), evaluate(folder, data)) for folder in folders]
    written = [out / "enhancer.md"]
    lines = ["# Enhancers", "", f"Made by `{command(folders, data)}`.", ""]
    for scale in sorted({manifest["scale"] for manifest, _ in found}):
        lines += [f"## {scale} times the size", "", *table([one for one in found if one[0]["scale"] == scale])]
        if any("set5" in record["data"] for _, report in found for record in report.records):
            published = ", ".join(f"{name} {value:.2f}" for name, value in PUBLISHED[scale].items())
            lines += ["", f"PSNR (Y) on Set5 as published, in dB: {published}."]
        lines.append("")
    lines += ["## Pictures", "", "The first held-out photos: degraded, bicubic, the model, the truth.", ""]
    for manifest, report in found:
        if report.picture is not None:
            path = out / f"enhancer-{manifest['name']}-{manifest['version']}.webp"
            write_picture(path, report.picture, quality=85)
            written.append(path)
            lines += [f"![{title(manifest)}]({path.name})", "", title(manifest), ""]
    out.mkdir(parents=True, exist_ok=True)
    written[0].write_text("\n".join(lines).rstrip() + "\n")
    return written


def command(folders: list[Path], data: list[Path]) -> str:
    """What makes the page again; the data by the names of its folders alone."""
    return COMMAND.format(folders=" ".join(map(str, folders)), data=" ".join(one.name.upper() for one in data))


def title(manifest: Mapping[str, Any]) -> str:
    """A model's name and version, and the size of its file."""
    return f"{manifest['name']}, version {manifest['version']} ({manifest['bytes'] / 1e6:.2f} MB)"


def table(found: list[tuple[dict[str, Any], Report]]) -> list[str]:
    """A row a measure, a column a model."""
    lines = [
        f"| measure | data | {' | '.join(title(manifest) for manifest, _ in found)} |",
        f"| --- | --- |{' ---: |' * len(found)}",
    ]
    figures = [
        {
            (record["measure"], record["data"]): f"{record['value']:g} {record['unit']}".rstrip()
            for record in report.records
        }
        for _, report in found
    ]
    for measure, data in figures[0]:
        row = " | ".join(one.get((measure, data), "") for one in figures)
        lines.append(f"| {measure} | {data} | {row} |")
    return lines
