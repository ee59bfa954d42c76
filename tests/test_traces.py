"""Traces: one follows a request from HTTP to its batch; without settings nothing that makes them is even imported."""

import concurrent.futures
import http.server
import itertools
import json
import subprocess
import sys
import threading
from collections import Counter
from contextlib import contextmanager

import pytest

from tests.conftest import ROOT, in_process, only, photo, running, wait_for

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra otel is not installed")

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased

from app.traces import Traces

CALLERS = "0af7651916cd43dd8448eb211c80319c"
PARENT = {"traceparent": f"00-{CALLERS}-b7ad6b7169203331-01"}


@contextmanager
def traced(sampler=ALWAYS_ON, **settings):
    """A client of the application, and what it has exported."""
    exporter, provider = InMemorySpanExporter(), TracerProvider(sampler=sampler)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    models = only("garments-128", "enhance-x2")
    with in_process(None, models_dir=models, traces=Traces(provider), **settings) as client:
        yield client, exporter


def finished(exporter, count=1):
    """All spans, once so many requests are over: their spans end after their answers were sent."""

    def over():
        return sum(span.name.startswith("POST") for span in exporter.get_finished_spans()) == count

    wait_for(over)
    return exporter.get_finished_spans()


def test_a_trace_follows_a_photo_from_http_to_its_batches():
    with traced() as (client, exporter):
        response = client.post(
            "/enhance",
            files={"image": photo()},
            data={"denoise": "0.5"},
            headers={"X-Request-ID": "order-17", **PARENT},
        )
        spans = finished(exporter)
    root = next(span for span in spans if span.name == "POST /enhance")
    by_name = {span.name: span for span in spans}

    assert response.status_code == 200
    assert f"{root.context.trace_id:032x}" == CALLERS
    assert f"{root.parent.span_id:016x}" == "b7ad6b7169203331"
    assert root.attributes["request.id"] == "order-17"
    assert root.attributes["http.response.status_code"] == 200
    assert set(by_name) == {"POST /enhance", "decode", "queue", "infer", "encode", "batch"}
    assert {span.context.trace_id for span in spans} == {root.context.trace_id}
    for name, span in by_name.items():
        assert name == "POST /enhance" or span.parent.span_id == root.context.span_id
        assert root.start_time <= span.start_time <= span.end_time <= root.end_time
    order = [by_name[name] for name in ("decode", "queue", "infer", "encode")]
    assert all(one.end_time <= other.start_time + 1e6 for one, other in itertools.pairwise(order))
    assert by_name["batch"].attributes["model"].startswith("enhance-x2@")
    batches = [span for span in spans if span.name == "batch"]
    assert {link.context.span_id for link in by_name["infer"].links} == {span.context.span_id for span in batches}
    assert {link.context.span_id for span in batches for link in span.links} == {root.context.span_id}


def test_a_batch_is_linked_to_all_its_requests():
    with traced(threads=1, batch_s=1) as (client, exporter), concurrent.futures.ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda seed: client.post("/generate", json={"seed": seed}), range(24)))
        spans = finished(exporter, 24)
    roots = {span.context.span_id: span for span in spans if span.name.startswith("POST")}
    batches = {span.context.span_id: span for span in spans if span.name == "batch"}

    assert {answer.status_code for answer in answers} == {200}
    assert sum(span.attributes["rows"] for span in batches.values()) == 24
    assert max(span.attributes["requests"] for span in batches.values()) > 1
    for span in batches.values():
        linked = [link.context.span_id for link in span.links]
        assert len(linked) == span.attributes["requests"]
        assert set(linked) <= set(roots)
        assert span.parent.span_id == linked[0]
    members = Counter(link.context.span_id for span in spans if span.name == "infer" for link in span.links)
    assert {batch: batches[batch].attributes["requests"] for batch in batches} == members


def test_refusals_are_traced_and_what_only_reads_is_not():
    with traced() as (client, exporter):
        client.get("/categories")
        client.get("/readyz")
        client.post("/enhance", content=b"\xff\xd8", headers={"Content-Type": "image/jpeg"})
        spans = finished(exporter)

    assert [span.name for span in spans] == ["decode", "POST /enhance"]
    assert spans[-1].attributes["http.response.status_code"] == 400
    assert spans[-1].status.is_ok or spans[-1].status.is_unset


def test_a_caller_who_is_not_sampled_leaves_nothing():
    with traced(ParentBased(ALWAYS_ON)) as (client, exporter):
        answer = client.post("/generate", json={"seed": 1}, headers={"traceparent": PARENT["traceparent"][:-1] + "0"})
        client.post("/generate", json={"seed": 2})
        spans = finished(exporter)

    assert answer.status_code == 200
    assert CALLERS not in {f"{span.context.trace_id:032x}" for span in spans}


def test_nothing_is_kept_of_requests_that_are_over():
    provider = TracerProvider(sampler=ALWAYS_OFF)
    traces = Traces(provider)
    with in_process(None, models_dir=only("garments-128"), traces=traces, default_timeout_s=60) as client:
        assert client.post("/generate", json={"seed": 1}).status_code == 200
        assert client.post("/generate", json={"count": 17}).status_code == 422

    assert not traces.waiting


class Collector(http.server.ThreadingHTTPServer):
    """Takes what OpenTelemetry's exporter sends."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.spans, self.services, self.paths = [], set(), set()

    def take(self, path, data):
        message = ExportTraceServiceRequest.FromString(data)
        self.paths.add(path)
        for part in message.resource_spans:
            self.services |= {one.value.string_value for one in part.resource.attributes if one.key == "service.name"}
            self.spans += [span for scope in part.scope_spans for span in scope.spans]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.server.take(self.path, self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def collector(monkeypatch):
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        yield server
        server.shutdown()
        thread.join()


def test_a_collector_gets_them_as_otlp_also_the_last_ones(collector, capfd):
    """The real server, in two processes: what was not yet sent when it stops is sent then."""
    with running(MODELS_DIR=only("garments-128"), WORKERS=2, THREADS=1, LOG_FORMAT="json", ACCESS_LOG="true") as server:
        for seed in range(4):
            assert server.client.post("/generate", json={"seed": seed}, headers=PARENT).status_code == 200
    names = Counter(span.name for span in collector.spans)

    assert collector.paths == {"/v1/traces"}
    assert collector.services == {"vitrine"}
    assert names == {"POST /generate": 4, "queue": 4, "infer": 4, "encode": 4, "batch": 4}
    assert {span.trace_id.hex() for span in collector.spans} == {CALLERS}
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert [line["trace_id"] for line in lines if line.get("path") == "/generate"] == 4 * [CALLERS]
    assert not [line for line in lines if line.get("path") == "/readyz" and "trace_id" in line]


def test_a_collector_that_is_not_there_harms_nobody(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    with running(MODELS_DIR=only("garments-128"), THREADS=1) as server:
        assert server.client.post("/generate", json={"seed": 1}).status_code == 200


@pytest.mark.parametrize(
    "told", [{}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "true"}]
)
def test_off_it_is_not_even_imported(told, monkeypatch):
    """But for the interface without anything behind it, which FastAPI imports itself."""
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    code = (
        "import sys, app.server, app.traces; assert app.traces.from_environment() is None; "
        "sys.exit(any(name.startswith(('opentelemetry.sdk', 'opentelemetry.exporter')) for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0  # noqa: S603
