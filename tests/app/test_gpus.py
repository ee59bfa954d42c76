"""GPU memory in /metrics: there with a driver, absent without one, no scrape fails on a lost GPU; tags of pictures."""

from types import SimpleNamespace

import pytest

from app.gpus import gpu_memory, load_nvml
from app.metrics import Metrics
from app.pipeline import Identity


def driver(*gpus):
    """A stand-in for NVML: one entry a GPU, (used, total) in bytes, or None for one that is lost."""

    def memory(handle):
        if gpus[handle] is None:
            raise RuntimeError("GPU is lost")
        return SimpleNamespace(used=gpus[handle][0], total=gpus[handle][1])

    return SimpleNamespace(
        nvmlDeviceGetCount=lambda: len(gpus),
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetMemoryInfo=memory,
    )


def scrape(nvml):
    metrics = Metrics()
    metrics.watch_gpus(lambda: gpu_memory(nvml))
    return metrics.exposition().decode()


def test_each_gpu_has_its_memory_in_bytes():
    text = scrape(driver((3_000, 80_000), (5, 10)))

    assert 'vitrine_gpu_memory_used_bytes{gpu="0"} 3000.0' in text
    assert 'vitrine_gpu_memory_total_bytes{gpu="1"} 10.0' in text


def test_a_lost_gpu_is_left_out():
    text = scrape(driver(None, (5, 10)))

    assert 'gpu="0"' not in text
    assert 'vitrine_gpu_memory_used_bytes{gpu="1"} 5.0' in text


def test_without_a_driver_there_is_no_gpu():
    assert gpu_memory(None) == []
    assert "vitrine_gpu_memory_used_bytes{" not in scrape(None)
    assert load_nvml() is None or gpu_memory(load_nvml())


@pytest.mark.parametrize("same_bytes", [True, False])
def test_a_tag_promises_bytes_only_where_they_are_the_same(same_bytes):
    """On a GPU they may depend on the batch."""
    labels = SimpleNamespace(signer=None, digest="", watermark=False)
    call = SimpleNamespace(catalogue=SimpleNamespace(digests=""))
    identity = Identity.of(SimpleNamespace(labels=labels, same_bytes=same_bytes), call, "a request")

    assert identity.etag.startswith('"' if same_bytes else 'W/"')
