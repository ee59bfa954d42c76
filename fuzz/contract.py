"""Every check of schemathesis, on every route that /openapi.json names, against a server of its own.

python -m fuzz.contract [--examples 100] [--seed 1]

Uploads are files from the tests' corpus (fuzz/contract_hooks.py), and what may be refused is in fuzz/schemathesis.toml.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT, running

CONFIG = Path(__file__).with_name("schemathesis.toml")


def checked(*options: str) -> int:
    """Run schemathesis with these options; gives its exit code, which is 0 when nothing was found."""
    with running(THREADS=2, LOG_LEVEL="error") as server:
        command = [
            sys.executable,
            "-c",
            "from schemathesis.cli import schemathesis; schemathesis()",
            "--config-file",
            str(CONFIG),
            "run",
        ]
        command += [
            f"http://127.0.0.1:{server.port}/openapi.json",
            "--continue-on-failure",
            "--request-timeout",
            "60",
            *options,
        ]
        environment = {**os.environ, "SCHEMATHESIS_HOOKS": "fuzz.contract_hooks"}  # noqa: TID251  # to be passed on
        return subprocess.run(command, env=environment, cwd=ROOT, check=False).returncode  # noqa: S603


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m fuzz.contract", description=__doc__)
    parser.add_argument("--examples", type=int, default=100, help="of each route and phase (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    # Not the document's own examples, which name files: tests/app/test_openapi.py sends them.
    words = ["--phases", "coverage,fuzzing,stateful", "--generation-database", "none"]
    sys.exit(checked("-n", str(arguments.examples), "--seed", str(arguments.seed), *words))


if __name__ == "__main__":
    main()
