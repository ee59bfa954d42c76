"""`python -m bench.mixed`: one shop's products beside its own photos, and two shops' photos beside each other."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Final

from bench.arrivals import Latency, Summary, alone, callers, meanwhile
from bench.fairness import Case, patient
from bench.pictures import clean
from bench.processes import OtherLoad
from bench.requests import http
from bench.servers import Running, serving, stop_on_sigterm, vitrine

PRODUCTS: Final = Case("generate", 150, 0.02, 0)
UPLOADERS: Final = 4
PHOTOS: Final = 24
"""Photos of one run: they outlast the products."""


def photos(key: str) -> list[bytes]:
    """A photo without noise, which the network for clean pictures enlarges."""
    headers = {"X-API-Key": key, "Request-Timeout": "300"}
    return [http("/enhance?format=webp", clean(512, 512), "image/png", headers)]


def beside(running: Running) -> tuple[Summary, Latency, Summary, Latency]:
    """A shop's photos alone, its products alone, then both at once."""
    port, own = running.port, photos("patient")
    only_photos = alone(callers, port, own, UPLOADERS, PHOTOS)
    only_products = patient(port, PRODUCTS)
    with meanwhile(callers, port, own, UPLOADERS, PHOTOS) as load:
        products = patient(port, PRODUCTS)
        return only_photos, only_products, load.result(), products


def rivals(running: Running) -> tuple[Summary, list[Summary]]:
    """One caller's photos, then two shops' with a caller each."""
    anna, bob = ((running.port, photos(key), 1, PHOTOS // 2) for key in ("anna", "bob"))
    first = alone(callers, *anna)
    with meanwhile(callers, *anna) as load:
        second = alone(callers, *bob)
        return first, [load.result(), second]


def line(what: str, latency: Latency | None, per_second: str = "") -> str:
    waits = f"{latency.p50:.0f} / {latency.p95:.0f}" if latency else "none answered"
    return f"| {what} | {per_second} | {waits} |"


def line_of(what: str, summary: Summary) -> str:
    return line(what, summary.latency, f"{summary.ok_per_second:.2f}")


def main() -> None:
    """Print a table."""
    argparse.ArgumentParser(prog="python -m bench.mixed", description=__doc__).parse_args()
    stop_on_sigterm()
    others = OtherLoad()
    with tempfile.TemporaryDirectory() as folder, serving(vitrine(), Path(folder) / "log") as running:
        only_photos, only_products, photo, products = beside(running)
        one, two = rivals(running)
    rows = [
        line_of(f"photos, {UPLOADERS} callers", only_photos),
        line("products, one caller with pauses", only_products),
        line_of("the same photos, at first beside these products", photo),
        line("these products beside the photos", products),
        line_of("photos of one shop, one caller", one),
        *(line_of("photos of one of two shops, a caller each", each) for each in two),
    ]
    sys.stdout.write(
        f"On {os.cpu_count()} cores, of which others took {others.cores():.2f}; photos of 512 px, clean, to 1024.\n\n"
        "| what | a second | p50 / p95, ms |\n| --- | ---: | ---: |\n" + "\n".join(rows) + "\n"
    )


if __name__ == "__main__":
    main()
