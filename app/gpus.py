"""The memory of NVIDIA GPUs, as their driver tells it (NVML); nothing where there is no GPU."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from types import ModuleType


@dataclass(frozen=True, slots=True)
class GpuMemory:
    """Bytes of one GPU, used by all processes together."""

    gpu: str
    used: int
    total: int


def load_nvml() -> ModuleType | None:
    """The driver's library (distribution nvidia-ml-py, extra `gpu`), ready to be asked; None without it or a driver."""
    try:
        nvml = importlib.import_module("pynvml")
        nvml.nvmlInit()
    except Exception:  # not installed, or no driver: to the service both mean that there is no GPU
        return None
    return nvml


def gpu_memory(nvml: ModuleType | None) -> list[GpuMemory]:
    """What each GPU's memory holds now; a GPU that cannot be asked is left out."""
    if nvml is None:
        return []
    found = []
    for index in range(nvml.nvmlDeviceGetCount()):
        try:
            memory = nvml.nvmlDeviceGetMemoryInfo(nvml.nvmlDeviceGetHandleByIndex(index))
        except Exception:  # noqa: S112  # a GPU that fell off the bus must not take the scrape with it
            continue
        found.append(GpuMemory(str(index), int(memory.used), int(memory.total)))
    return found
