"""How near files come to the raw limit: `vitrine enhance|generate` and the bare loop in turn, on the same machine.

python -m bench.files --rounds 3 --photos 24 --products 1500
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from bench.pictures import photo
from bench.processes import OtherLoad
from bench.raw import CORES, Setup, throughput
from bench.work import MODELS, ROOT

RAW: Final = {
    # The best of the search in bench/results.
    "generate": Setup(2 * CORES, 1, False, 16),
    "enhance": Setup(CORES, 1, False, 1, -1, own=True),
}
RAW_S: Final = {"generate": 4.0, "enhance": 8.0}


def through_files(words: list[str]) -> float:
    """Images a second, models loaded, as the command's own summary says."""
    command = [sys.executable, "-m", "app.cli", *words, "--json", "--overwrite"]
    told = subprocess.run(command, check=True, capture_output=True, cwd=ROOT, env={"VITRINE_MODELS_DIR": str(MODELS)})  # noqa: S603
    summary: dict[str, Any] = json.loads(told.stdout.splitlines()[-1])["summary"]
    return float(summary["images_per_second"])


def main() -> None:
    """Measure in turn, and print each task's shares."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--photos", type=int, default=24)
    parser.add_argument("--products", type=int, default=1500)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        photos, out = Path(folder, "photos"), str(Path(folder, "out"))
        photos.mkdir()
        for number in range(arguments.photos):
            (photos / f"{number}.jpg").write_bytes(photo())
        generate = ["generate", "--category", "t-shirt", "--seed", "1", "--count", str(arguments.products)]
        commands = {"generate": [*generate, "--out", out], "enhance": ["enhance", str(photos), "--out", out]}
        for task, words in commands.items():
            shares = []
            for _ in range(arguments.rounds):
                load = OtherLoad()
                before = throughput(task, RAW[task], "webp", RAW_S[task])
                files = through_files(words)
                raw = statistics.fmean([before, throughput(task, RAW[task], "webp", RAW_S[task])])
                shares.append(files / raw)
                print(f"{task}: {files:.4g} files/s, raw {raw:.4g}/s, others took {load.cores():.2f} cores")  # noqa: T201
            print(f"{task}: {statistics.median(shares):.3f} of the raw limit (median of {len(shares)})")  # noqa: T201


if __name__ == "__main__":
    main()
