"""The closed loop for pictures that take milliseconds: `wrk`, which costs the least of the CPU that it shares."""

from __future__ import annotations

import json
import resource
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.requests import body

SCRIPT: Final = Path(__file__).with_name("wrk.lua")
TIMEOUT_S: Final = 60
SEED_MARK: Final = b"123456789012345"


@dataclass(frozen=True, slots=True)
class Closed:
    """Good answers and their rate, milliseconds, and the cores that wrk took itself.

    wrk 4.1 adds to the percentiles what it thinks was not asked during an answer that took over twice the mean, so its
    p95 and p99 are rather too high than too low; the same for every server.
    """

    answers: int
    per_second: float
    p50: float
    p95: float
    p99: float
    errors: int
    cpu_share: float


def wrk(port: int, task: str, image_format: str, envelope: str, concurrency: int, seconds: int) -> Closed:
    """Keep `concurrency` connections busy."""
    path, content, content_type = body(task, image_format, int(SEED_MARK), envelope)
    with tempfile.NamedTemporaryFile() as file:
        file.write(content.replace(SEED_MARK, b"@SEED@"))
        file.flush()
        command = ["wrk", "-t1", f"-c{concurrency}", f"-d{seconds}", f"--timeout={TIMEOUT_S}", f"-s{SCRIPT}"]
        command += [f"http://127.0.0.1:{port}", "--", path, content_type, file.name]
        before, begun = _cpu_of_children(), time.monotonic()
        output = subprocess.run(command, capture_output=True, check=True, text=True).stdout  # noqa: S603
        share = (_cpu_of_children() - before) / (time.monotonic() - begun)
    said = json.loads(output.strip().splitlines()[-1])
    errors = said["refused"] + said["broken"]
    answers = said["requests"] - said["refused"]
    return Closed(answers, answers / said["seconds"], said["p50"], said["p95"], said["p99"], errors, share)


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
