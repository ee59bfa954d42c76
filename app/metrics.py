"""What Prometheus scrapes: the only module that knows its client. Base units; labels from closed sets only."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
    multiprocess,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from app.errors import AppError
from app.gpus import GpuMemory

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
STAGES = ("decode", "queue", "infer", "encode")
CONTENT_TYPE = CONTENT_TYPE_LATEST
DECODER_ENDS = ("recycled", "crashed", "timeout")


def codes(kind: type[AppError] = AppError) -> Iterator[str]:
    """The code of every error that there is."""
    yield kind.code
    for child in kind.__subclasses__():
        yield from codes(child)


def forget_process(pid: int, folder: Path | None) -> None:
    """Take a dead process's gauges out of what the others expose; its counters stay."""
    if folder:
        multiprocess.mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]


M = TypeVar("M", Counter, Histogram)


class Metrics:
    """All metrics of one application, in a registry of its own; with `folder`, added up over processes that share it.

    For the latter PROMETHEUS_MULTIPROC_DIR must have been set to `folder` before this module was imported.
    """

    def __init__(self, folder: Path | None = None) -> None:
        r = self.registry = CollectorRegistry()
        self._shown = CollectorRegistry() if folder else r
        if folder:
            multiprocess.MultiProcessCollector(self._shown, str(folder))  # type: ignore[no-untyped-call]
        ProcessCollector(registry=self._shown)
        self._children: dict[tuple[Any, ...], Any] = {}
        self._watches: list[Callable[[], None]] = [self._watch_memory, self._watch_heads]
        self._away: dict[tuple[str, str, int], int] = {}
        self._told: dict[tuple[str, str, int], int] = {}
        self._telling = threading.Lock()
        self.requests = Counter("vitrine_requests", "Finished requests.", ["route", "status"], registry=r)
        self.request_seconds = Histogram(
            "vitrine_request_seconds",
            "From the head of a request to the end of its answer; without those that were refused at their head.",
            ["route"], buckets=SECONDS, registry=r,
        )  # fmt: skip
        self.stage_seconds = Histogram(
            "vitrine_stage_seconds",
            "Time of a request in a stage.",
            ["route", "stage"],
            buckets=SECONDS,
            registry=r,
        )
        self.images = Counter("vitrine_images", "Pictures answered.", ["route"], registry=r)
        self.refusals = Counter("vitrine_refusals", "Requests answered with a problem.", ["code"], registry=r)
        for code in set(codes()):
            self.refusals.labels(code)
        self.ready = Gauge(
            "vitrine_ready", "1 while every process takes work, else 0.", multiprocess_mode="livemin", registry=r
        )
        self.processes = Gauge("vitrine_processes", "Processes.", multiprocess_mode="livesum", registry=r)
        self.resident_bytes = Gauge(
            "vitrine_process_resident_bytes", "Memory of each process.", multiprocess_mode="liveall", registry=r
        )
        self.info = Gauge(
            "vitrine_model_info", "1 for a model in use, 0 for one that was.",
            ["model", "version", "task", "digest", "provider"], multiprocess_mode="livemax", registry=r,
        )  # fmt: skip
        self.reloads = Counter("vitrine_reloads", "Models taken over, or refused, at SIGHUP.", ["outcome"], registry=r)
        for outcome in ("taken", "refused"):
            self.reloads.labels(outcome)
        self.restarts = Counter("vitrine_worker_restarts", "Worker threads that died and were replaced.", registry=r)
        self.decoders = Counter(
            "vitrine_decoder_ends", "Decoder processes that were replaced, by cause.", ["reason"], registry=r
        )
        for reason in DECODER_ENDS:
            self.decoders.labels(reason)
        self.faults = Counter("vitrine_provider_faults", "Failures of a device.", ["model", "fault"], registry=r)
        self.batch_rows = Histogram(
            "vitrine_batch_rows", "Rows (pictures or tiles) in a batch.", ["model"],
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256), registry=r,
        )  # fmt: skip
        self.batch_seconds = Histogram(
            "vitrine_batch_seconds", "Time of one batch in the model.", ["model"], buckets=SECONDS, registry=r
        )
        self.dropped_rows = Counter(
            "vitrine_dropped_rows", "Rows that were queued and never run.", ["model", "reason"], registry=r
        )
        self.queue_rows = Gauge(
            "vitrine_queue_rows", "Rows that wait.", ["model"], multiprocess_mode="livesum", registry=r
        )
        self.queue_age_seconds = Gauge(
            "vitrine_queue_age_seconds", "How long the oldest waiting work has waited.", ["model"],
            multiprocess_mode="livemax", registry=r,
        )  # fmt: skip
        self.processes.set(1)

    def _watch_memory(self) -> None:
        with Path("/proc/self/statm").open() as file:
            self.resident_bytes.set(int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE"))

    def watch_gpus(self, memory: Callable[[], list[GpuMemory]]) -> None:
        """Have the GPUs' memory asked at every scrape."""
        self._shown.register(GpuCollector(memory))

    def watch(self, look: Callable[[], None]) -> None:
        """Have gauges set by `look`, at every scrape of this process and every `refresh`."""
        self._watches.append(look)

    def refresh(self) -> None:
        """Set the gauges that nobody sets as things happen; other processes' scrapes show what was set last."""
        for look in self._watches:
            look()

    def model(self, name: str) -> ModelMetrics:
        """The metrics of one model's batcher."""
        return ModelMetrics(self, name)

    def finished(self, route: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        self._once(self.requests, route, str(status)).inc()
        self._once(self.request_seconds, route).observe(seconds)

    def refused(self, code: str) -> None:
        """Count a problem by its code."""
        self._once(self.refusals, code).inc()

    def turned_away(self, route: str, error: AppError) -> None:
        """Count a request that was refused at its head. Only for the event loop's thread.

        Under overload these are most, so they are added up here and told to the client library now and then.
        """
        key = route, error.code, error.status
        self._away[key] = self._away.get(key, 0) + 1

    def _watch_heads(self) -> None:
        with self._telling:
            for (route, code, status), count in list(self._away.items()):
                new = count - self._told.get((route, code, status), 0)
                self._told[route, code, status] = count
                self._once(self.requests, route, str(status)).inc(new)
                self._once(self.refusals, code).inc(new)

    def answered(self, route: str, images: int, seconds: dict[str, float]) -> None:
        """Count pictures and the time of each of their stages."""
        self._once(self.images, route).inc(images)
        for stage in STAGES:
            self._once(self.stage_seconds, route, stage).observe(seconds[stage])

    def _once(self, metric: M, *values: str) -> M:
        """`metric.labels(*values)`, remembered: the client library's own way takes a lock and builds strings."""
        key = (metric, *values)
        child: M | None = self._children.get(key)
        if child is None:
            child = self._children[key] = metric.labels(*values)
        return child

    def exposition(self) -> bytes:
        """The text that a scrape gets."""
        self.refresh()
        return generate_latest(self._shown)


class ModelMetrics:
    """What the worker reports of one model."""

    def __init__(self, metrics: Metrics, name: str) -> None:
        self._rows, self._seconds = metrics.batch_rows.labels(name), metrics.batch_seconds.labels(name)
        self._depth, self._age = metrics.queue_rows.labels(name), metrics.queue_age_seconds.labels(name)
        self._dropped = {why: metrics.dropped_rows.labels(name, why) for why in ("abandoned", "expired", "failed")}
        self._faults = {kind: metrics.faults.labels(name, kind) for kind in ("out_of_memory", "device_lost")}

    def queue(self, rows: int, age: float) -> None:
        """Set the rows that wait, and the seconds that the oldest work has."""
        self._depth.set(rows)
        self._age.set(age)

    def batch(self, rows: int, seconds: float) -> None:
        """Count a batch that ran."""
        self._rows.observe(rows)
        self._seconds.observe(seconds)

    def dropped(self, reason: str, rows: int) -> None:
        """Count rows that were never run: `abandoned`, `expired`, or of work that has `failed` already."""
        self._dropped[reason].inc(rows)

    def fault(self, kind: str) -> None:
        """Count a failure of the device: `out_of_memory` or `device_lost`."""
        self._faults[kind].inc()


class GpuCollector(Collector):
    """Asks for the GPUs' memory while a scrape waits."""

    def __init__(self, memory: Callable[[], list[GpuMemory]]) -> None:
        self._memory = memory

    def collect(self) -> Iterator[GaugeMetricFamily]:
        used = GaugeMetricFamily("vitrine_gpu_memory_used_bytes", "Memory in use, by any process.", labels=["gpu"])
        total = GaugeMetricFamily("vitrine_gpu_memory_total_bytes", "Memory that there is.", labels=["gpu"])
        for one in self._memory():
            used.add_metric([one.gpu], one.used)
            total.add_metric([one.gpu], one.total)
        yield used
        yield total
