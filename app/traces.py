"""OpenTelemetry: a span for each request that computes, one for each of its stages, and one for each batch it was in.

Nothing that makes or sends spans is imported unless `OTEL_EXPORTER_OTLP_ENDPOINT`, or its like, says where traces go.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from app import __version__
from app.scopes import header, request_id
from app.settings import wants_traces

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, SpanContext
    from starlette.types import Scope

    from app.batching import Batch, Done, Work

log = logging.getLogger("vitrine")
CARRIED: Final = ("traceparent", "tracestate")
"""Fields by which a caller says of which trace its request is (W3C Trace Context)."""


def nanoseconds(moment: float) -> int:
    """A moment of time.monotonic() on the wall clock."""
    return time.time_ns() - round(1e9 * (time.monotonic() - moment))


def from_environment() -> Traces | None:
    """Traces as OpenTelemetry's own settings want them; None where they want none, or where the extra is missing."""
    if not wants_traces():
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        log.warning("OTEL_EXPORTER_OTLP_ENDPOINT is set, but the extra otel is not installed: there are no traces")
        return None
    found = Resource.create()
    if str(found.attributes[SERVICE_NAME]).startswith("unknown_service"):
        found = found.merge(Resource({SERVICE_NAME: "vitrine"}))
    provider = TracerProvider(resource=found)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Traces(provider)


@dataclass(frozen=True, slots=True)
class Waiting:
    """Work in the worker: whose it is, by which model it is done, and the batches that it was in so far."""

    trace: Trace
    model: str
    batches: list[SpanContext] = field(default_factory=list)


class Trace:
    """One request's spans. A part of it that is over is told afterwards, by when it began and ended."""

    def __init__(self, traces: Traces, span: Span) -> None:
        self._traces, self.span = traces, span

    @property
    def name(self) -> str:
        """The trace's id, as OpenTelemetry writes it."""
        return f"{self.span.get_span_context().trace_id:032x}"

    def stage(self, name: str, begun: float, ended: float, batches: Iterable[SpanContext] = ()) -> None:
        """Something that was done for the request."""
        self._traces.told(name, self.span, begun, ended, batches)

    def waits(self, work: Work, model: str) -> None:
        """Work is on its way to the worker."""
        self._traces.waiting[id(work)] = Waiting(self, model)

    def left(self, work: Work, begun: float, done: Done[Any] | None) -> None:
        """Work has left the worker, `done` or not."""
        batches = self._traces.waiting.pop(id(work)).batches
        if done is None:
            self.stage("queue", begun, time.monotonic(), batches)
            return
        started, finishing = begun + done.queue, begun + done.queue + done.infer
        self.stage("queue", begun, started)
        self.stage("infer", started, finishing, batches)
        self.stage("encode", finishing, finishing + done.finish)

    def end(self, status: int) -> None:
        """The request is over."""
        from opentelemetry.trace import StatusCode

        self.span.set_attribute("http.response.status_code", status)
        if status >= 500:
            self.span.set_status(StatusCode.ERROR)
        self.span.end()


class Traces:
    """Where this process's spans go."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("vitrine", __version__)
        self.waiting: dict[int, Waiting] = {}
        """By the identity of the work."""

    def begin(self, scope: Scope) -> Trace:
        """The trace of a request, which may go on from its caller's."""
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        path, method = scope["path"], scope["method"]
        carried = {name: header(scope, name.encode()).decode("latin-1") for name in CARRIED}
        span = self._tracer.start_span(
            f"{method} {path}",
            TraceContextTextMapPropagator().extract({name: value for name, value in carried.items() if value}),
            SpanKind.SERVER,
            {"http.request.method": method, "http.route": path, "url.path": path, "request.id": request_id(scope)},
        )
        trace = scope["vitrine.trace"] = Trace(self, span)
        return trace

    def told(
        self,
        name: str,
        parent: Span,
        begun: float,
        ended: float,
        linked: Iterable[SpanContext] = (),
        **facts: str | int,
    ) -> Span:
        """A span that is over."""
        from opentelemetry.trace import Link, set_span_in_context

        links = [Link(one) for one in linked]
        context = set_span_in_context(parent)
        span = self._tracer.start_span(name, context, attributes=facts, links=links, start_time=nanoseconds(begun))
        span.end(nanoseconds(ended))
        return span

    def batch(self, batch: Batch, begun: float) -> None:
        """A batch has run: a span in the trace of the first request that is recorded, linked to all of them.

        In a worker's thread, and the requests may be given up meanwhile.
        """
        works = dict.fromkeys(id(job.work) for job, _ in batch)
        found = [one for work in works if (one := self.waiting.get(work)) and one.trace.span.is_recording()]
        if found:
            parent, linked = found[0].trace.span, [one.trace.span.get_span_context() for one in found]
            facts: dict[str, str | int] = {"model": found[0].model, "rows": len(batch), "requests": len(works)}
            span = self.told("batch", parent, begun, time.monotonic(), linked, **facts)
            for one in found:
                one.batches.append(span.get_span_context())

    def close(self) -> None:
        """Send what has not been sent."""
        self._provider.shutdown()
