"""What Prometheus scrapes: the only module that knows its client. Base units; labels from closed sets only."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from app.errors import AppError
from app.gpus import GpuMemory

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
STAGES = ("decode", "queue", "infer", "encode")
CONTENT_TYPE = CONTENT_TYPE_LATEST


def codes(kind: type[AppError] = AppError) -> Iterator[str]:
    """The code of every error that there is."""
    yield kind.code
    for child in kind.__subclasses__():
        yield from codes(child)


class Metrics:
    """All metrics of one application, in a registry of its own."""

    def __init__(self) -> None:
        r = self.registry = CollectorRegistry()
        ProcessCollector(registry=r)
        self.requests = Counter("vitrine_requests", "Finished requests.", ["route", "status"], registry=r)
        self.request_seconds = Histogram(
            "vitrine_request_seconds", "From the head of a request to the end of its answer.", ["route"],
            buckets=SECONDS, registry=r,
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
        self.ready = Gauge("vitrine_ready", "1 while all models are loaded and warm, else 0.", registry=r)
        self.info = Gauge(
            "vitrine_model_info", "The models in use; always 1.", ["model", "version", "task", "digest", "provider"],
            registry=r,
        )  # fmt: skip
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
        self.queue_rows = Gauge("vitrine_queue_rows", "Rows that wait.", ["model"], registry=r)
        self.queue_age_seconds = Gauge(
            "vitrine_queue_age_seconds", "How long the oldest waiting work has waited.", ["model"], registry=r
        )

    def watch_gpus(self, memory: Callable[[], list[GpuMemory]]) -> None:
        """Have the GPUs' memory asked at every scrape."""
        self.registry.register(GpuCollector(memory))

    def model(self, name: str) -> ModelMetrics:
        """The metrics of one model's batcher."""
        return ModelMetrics(self, name)

    def finished(self, route: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        self.requests.labels(route, str(status)).inc()
        self.request_seconds.labels(route).observe(seconds)

    def answered(self, route: str, images: int, seconds: dict[str, float]) -> None:
        """Count pictures and the time of each of their stages."""
        self.images.labels(route).inc(images)
        for stage in STAGES:
            if stage in seconds:
                self.stage_seconds.labels(route, stage).observe(seconds[stage])

    def exposition(self) -> bytes:
        """The text that a scrape gets."""
        return generate_latest(self.registry)


class ModelMetrics:
    """What one model's batcher reports."""

    def __init__(self, metrics: Metrics, name: str) -> None:
        self._all, self._name = metrics, name
        metrics.batch_rows.labels(name)
        metrics.batch_seconds.labels(name)
        for reason in ("abandoned", "expired"):
            metrics.dropped_rows.labels(name, reason)

    def watch_queue(self, depth: Callable[[], int], age: Callable[[], float]) -> None:
        """Have both asked at every scrape."""
        self._all.queue_rows.labels(self._name).set_function(depth)
        self._all.queue_age_seconds.labels(self._name).set_function(age)

    def batch(self, rows: int, seconds: float) -> None:
        """Count a batch that ran."""
        self._all.batch_rows.labels(self._name).observe(rows)
        self._all.batch_seconds.labels(self._name).observe(seconds)

    def dropped(self, reason: str, rows: int) -> None:
        """Count rows that were never run: `abandoned` or `expired`."""
        self._all.dropped_rows.labels(self._name, reason).inc(rows)


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
