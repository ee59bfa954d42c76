"""`python -m bench.trust`: what isolation and labels cost at peak throughput; writes bench/results/trust.md.

Servers are started in turn, so that what else the machine does falls on all of them alike.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from bench.facts import machine
from bench.servers import Server, serving, stop_on_sigterm, vitrine
from bench.work import ROOT
from bench.wrk import wrk

CONCURRENCY: Final = 32
BEFORE: Final = """
import app.decoders, app.images
app.decoders.Decoders.decode = lambda self, data: app.images.decode(data, self._limits)
from app.cli import main
main()
"""
"""The service as it was without decoder processes."""
Rates = dict[str, dict[str, list[float]]]


def variants(credentials: Path) -> dict[str, Server]:
    """The servers that are compared, by what is different about them."""
    plain = vitrine()
    signed = {
        f"VITRINE_C2PA_{use}": str(credentials / file)
        for use, file in (("CERTIFICATE", "chain.pem"), ("KEY", "key.pem"))
    }
    return {
        "decoded in the serving process": replace(plain, command=(sys.executable, "-c", BEFORE, "serve")),
        "as it is": plain,
        "with a hidden mark": replace(plain, settings={**plain.settings, "VITRINE_WATERMARK": "1"}),
        "with content credentials": replace(plain, settings={**plain.settings, **signed}),
    }


def measure(servers: Mapping[str, Server], rounds: int, seconds: int, log: Path) -> Rates:
    """Answers a second of every server, for both routes, `rounds` times in turn.

    Raises:
        RuntimeError: requests failed.
    """
    rates: Rates = {name: {"generate": [], "enhance": []} for name in servers}
    for _ in range(rounds):
        for name, server in servers.items():
            with serving(server, log) as running:
                for task, found in rates[name].items():
                    wrk(running.port, task, "webp", "plain", CONCURRENCY, 2)
                    closed = wrk(running.port, task, "webp", "plain", CONCURRENCY, seconds)
                    if closed.errors:
                        raise RuntimeError(f"{name}: {closed.errors} of {closed.answers} failed")
                    found.append(closed.per_second)
    return rates


def markdown(facts: Mapping[str, str], rates: Rates, rounds: int, seconds: int) -> str:
    """The table."""
    told = ", ".join(f"{name} {facts[name]}" for name in ("processor", "cores", "commit", "Python", "onnxruntime"))
    lines = ["# What isolation and labels cost", "", f"{told}: `python -m bench.trust`.", ""]
    lines += [
        f"{CONCURRENCY} requests at once for {seconds} s, {rounds} times in turn; the median of answers a second, the "
        "milliseconds of a processor that one more of them takes, and the share of throughput that it costs.",
        "",
    ]
    lines += [
        "| service | /generate, WebP, 128 px | | | /enhance, JPEG to WebP, 512 px | | |",
        "| --- |" + " ---: |" * 6,
    ]
    base = {task: statistics.median(found) for task, found in rates["as it is"].items()}
    for name, routes in rates.items():
        cells = []
        for task, found in routes.items():
            rate = statistics.median(found)
            more = int(facts["cores"]) * 1000 * (1 / rate - 1 / base[task])
            cells += [f"{rate:.4g}/s", f"{more:+.2f} ms", f"{100 * (1 - rate / base[task]):+.1f} %"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, then write the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.trust", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results" / "trust.md")
    options = parser.parse_args()
    stop_on_sigterm()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        credentials = Path(folder) / "credentials"
        make = [
            sys.executable,
            "-c",
            "from app.cli import main; main()",
            "credentials",
            "dev",
            "--out",
            str(credentials),
        ]
        subprocess.run(make, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)  # noqa: S603
        rates = measure(variants(credentials), options.rounds, options.seconds, options.out.with_suffix(".log"))
    options.out.write_text(markdown(machine(), rates, options.rounds, options.seconds))


if __name__ == "__main__":
    main()
