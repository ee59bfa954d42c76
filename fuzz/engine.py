"""What the targets share: their arguments, their corpus, the report at the end."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import atheris

MOST_BYTES = 8192
"""Of a seed from the tests' corpus: small ones are tried more often in the same time."""
SLOW_S = 2.0
"""An input that takes longer is a finding, as a crash is."""


INNER = "--inner"


def itself(name: str) -> str:
    """A program that runs a target as libFuzzer wants it: with its own options, not with ours."""
    with tempfile.NamedTemporaryFile("w", prefix=f"fuzz-{name}-", suffix=".sh", delete=False) as script:
        script.write(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m fuzz.{name} {INNER} "$@"\n')
    Path(script.name).chmod(0o700)
    return script.name


def run(name: str, target: Callable[[bytes], str], seeds: Callable[[], Iterable[bytes]]) -> None:
    """Fuzz `target`, which gives an input's outcome; whatever it raises is a finding, and ends the run.

    Inputs come from the folder `--corpus`, and from `seeds` with `--seed-from-tests`, which writes them there first.
    """
    if sys.argv[1:2] == [INNER]:  # libFuzzer's own process, which it starts to minimise
        atheris.Setup([sys.argv[0], *sys.argv[2:]], lambda data: target(data) and None)
        atheris.Fuzz()
    parser = argparse.ArgumentParser(prog=f"python -m fuzz.{name}", description=sys.modules["__main__"].__doc__)
    parser.add_argument("--seconds", type=int, default=600, help="how long (default %(default)s)")
    parser.add_argument("--corpus", type=Path, default=Path("fuzz/corpus") / name, help="folder of inputs, which grows")
    parser.add_argument("--also", type=Path, help="folder of further inputs, which stays as it is")
    parser.add_argument("--seed-from-tests", action="store_true", help="put what the tests know into the folder first")
    parser.add_argument(
        "--minimise", type=Path, metavar="FOLDER", help="copy into FOLDER what reaches all that CORPUS does"
    )
    parser.add_argument("--input", type=Path, help="try this one file, say what comes of it, and stop")
    parser.add_argument("--max-bytes", type=int, default=MOST_BYTES, help="longest input (default %(default)s)")
    arguments = parser.parse_args()
    if arguments.input:
        sys.stdout.write(target(arguments.input.read_bytes()) + "\n")
        return
    arguments.corpus.mkdir(parents=True, exist_ok=True)
    if arguments.seed_from_tests:
        for number, data in enumerate(one for one in seeds() if len(one) <= arguments.max_bytes):
            (arguments.corpus / f"seed-{number:04d}").write_bytes(data)
    outcomes, begun = Counter[str](), time.monotonic()
    report = Path(f"fuzz-{name}.json")

    def once(data: bytes) -> None:
        started = time.process_time()
        outcomes[target(data)] += 1
        if time.process_time() - started > SLOW_S:
            raise TimeoutError(f"this took {time.process_time() - started:.1f} s")
        if outcomes.total() % 1000 == 0:
            facts = {"executions": outcomes.total(), "seconds": round(time.monotonic() - begun), "outcomes": outcomes}
            report.write_text(json.dumps(facts, indent=1) + "\n")

    options = [sys.argv[0], f"-max_len={arguments.max_bytes}", "-rss_limit_mb=4096", "-print_final_stats=1"]
    if arguments.minimise:
        arguments.minimise.mkdir(parents=True, exist_ok=True)
        options = [itself(name), *options[1:], "-merge=1", str(arguments.minimise), str(arguments.corpus)]
    else:
        options += [f"-max_total_time={arguments.seconds}", f"-artifact_prefix=fuzz-{name}-", str(arguments.corpus)]
        options += [str(arguments.also)] if arguments.also else []
    atheris.Setup(options, once)
    atheris.Fuzz()
