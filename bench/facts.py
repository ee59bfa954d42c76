"""What the numbers were measured on and with."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

PACKAGES: Final = (
    *("vitrine", "onnxruntime", "numpy", "pillow", "uvicorn", "uvloop", "httptools"),
    *("fastapi", "litserve", "bentoml", "mosec"),
)


def said(*command: str) -> str:
    """What a program prints; nothing where it is missing."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603
    except OSError:
        return ""


def machine() -> dict[str, str]:
    """Processor, memory, system, interpreter and packages."""
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
    wrk = said("wrk", "-v").split()
    commit = said("git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty")
    facts = {
        "processor": cpu[1] if cpu else platform.processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{int(memory[1]) / 1e6:.1f} GB" if memory else "unknown",
        "system": f"{platform.system()} {platform.release()}",
        "commit": commit.strip() or "unknown",
        "Python": platform.python_version(),
        "wrk": wrk[1] if len(wrk) > 1 else "unknown",
    }
    for package in PACKAGES:
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            facts[package] = "not installed"
    return facts
