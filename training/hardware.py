"""What a run runs on, in words, for logs, manifests and cards."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import torch


def describe(device: str) -> str:
    """The GPU's name for a CUDA device, otherwise the number of usable cores and the processor's name."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(torch.device(device))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return f"{cores} cores of {processor()}"


def processor() -> str:
    """The processor's model name where the system tells it, otherwise its architecture."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def has_fast_bf16(device: torch.device) -> bool:
    """Whether bfloat16 is faster than float32 here; on processors without it, it is ten times slower."""
    if device.type == "cpu":
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return True
