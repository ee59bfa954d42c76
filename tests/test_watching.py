"""What watches the service: its alerts, its dashboard and its log, with the real Prometheus."""

import json
import re
import shutil
import subprocess
import time
from contextlib import contextmanager
from copy import deepcopy
from importlib import import_module

import httpx
import pytest

from tests.conftest import ROOT, free_port, only, photo, running, wait_for

PROMETHEUS = ROOT / "deploy/prometheus"
DASHBOARD = json.loads((ROOT / "deploy/grafana/dashboards/vitrine.json").read_text())
ALERTS = (PROMETHEUS / "alerts.yml").read_text()
NAMES = re.findall(r"- alert: (\w+)", ALERTS)
needs_prometheus = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool (Debian package prometheus) is not installed"
)


@needs_prometheus
@pytest.mark.parametrize(
    "words",
    [("check", "config", "prometheus.yml"), ("check", "rules", "alerts.yml"), ("test", "rules", "alerts.test.yml")],
)
def test_promtool_accepts(words):
    checked = subprocess.run(["promtool", *words], cwd=PROMETHEUS, capture_output=True, check=False)  # noqa: S603, S607

    assert checked.returncode == 0, checked.stdout.decode() + checked.stderr.decode()


def test_every_alert_is_tested_both_ways_and_explained():
    tests = (PROMETHEUS / "alerts.test.yml").read_text()
    manual = (ROOT / "docs/operating.md").read_text()

    assert len(set(NAMES)) == len(NAMES) > 10
    for name in NAMES:
        assert f"name: {name} fires" in tests
        assert f"name: {name} stays silent" in tests
        assert f"`{name}`" in manual


def lost(told, kept, place=""):
    """What is in one JSON value and not, or otherwise, in another."""
    if isinstance(told, dict) and isinstance(kept, dict):
        for name, value in told.items():
            yield from lost(value, kept[name], f"{place}.{name}") if name in kept else (f"{place}.{name}",)
    elif isinstance(told, list) and isinstance(kept, list) and len(told) == len(kept):
        for number, pair in enumerate(zip(told, kept, strict=True)):
            yield from lost(*pair, f"{place}[{number}]")
    elif told != kept:
        yield place


def test_grafanas_own_schema_knows_every_field_of_the_dashboard():
    """Its types read and write the dashboard; whatever they do not know, misspelt options among it, gets lost."""
    sdk = pytest.importorskip("grafana_foundation_sdk", reason="grafana-foundation-sdk (extra dev) is not installed")
    for module in ("cog.encoder", "cog.plugins", "cog.runtime", "models.dashboard"):
        import_module(f"{sdk.__name__}.{module}")
    sdk.cog.plugins.register_default_plugins()

    def kept(dashboard):
        read = sdk.models.dashboard.Dashboard.from_json(dashboard)
        return list(lost(dashboard, json.loads(sdk.cog.encoder.JSONEncoder().encode(read))))

    assert kept(DASHBOARD) == []
    assert {panel["type"] for panel in DASHBOARD["panels"]} <= {"row", *sdk.cog.runtime.Runtime().panelcfg_variants}
    panel = next(i for i, one in enumerate(DASHBOARD["panels"]) if one["type"] == "timeseries")
    wrong = deepcopy(DASHBOARD)
    wrong["panels"][panel]["options"]["tooltip"]["modes"] = "multi"
    assert kept(wrong) == [f".panels[{panel}].options.tooltip.modes"]


def expressions():
    """Every query of the dashboard, with its variables filled in."""
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            yield re.sub(r"\$instance|\$route", ".*", target["expr"]).replace("$__rate_interval", "1m")


@contextmanager
def scraping(port, folder):
    """The shipped configuration, but for the target's address and the pace; gives a client of Prometheus."""
    config = (PROMETHEUS / "prometheus.yml").read_text().replace("vitrine:8000", f"127.0.0.1:{port}")
    config = re.sub(r"(_interval): \w+", r"\1: 1s", config)
    (folder / "prometheus.yml").write_text(config)
    shutil.copy(PROMETHEUS / "alerts.yml", folder)
    own = free_port()
    words = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    process = subprocess.Popen(  # noqa: S603
        ["prometheus", *words, f"--web.listen-address=127.0.0.1:{own}"],  # noqa: S607
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{own}/api/v1", timeout=10) as client:
            yield client
    finally:
        process.kill()
        process.wait()


def result(prometheus, query):
    """What a query gives."""
    try:
        answer = prometheus.get("/query", params={"query": query})
    except httpx.ConnectError:
        return []
    assert answer.status_code in (200, 503), answer.text
    return answer.json()["data"]["result"] if answer.status_code == 200 else []


@needs_prometheus
def test_every_panel_and_alert_has_data(client, tmp_path):
    """All but the GPUs', which are not there; those exist by name."""
    client.post("/generate", json={"seed": 1})
    client.post("/enhance", files={"image": photo(size=(20, 20))}, data={"denoise": "0.5"})
    client.post("/enhance", files={"image": b"nothing"})
    metrics = client.get("/metrics").text
    with scraping(client.base_url.port, tmp_path) as prometheus:
        wait_for(lambda: result(prometheus, "count_over_time(vitrine_ready[1m]) > 2"))
        queries = list(expressions())
        silent = [query for query in queries if not result(prometheus, query)]
        rules = prometheus.get("/rules").json()["data"]["groups"][0]["rules"]
        known = {name for name in re.findall(r"vitrine_\w+", ALERTS) if result(prometheus, f"count({name})")}

    assert len(queries) > 25
    assert all("vitrine_gpu_memory" in query for query in silent), silent
    assert [rule["name"] for rule in rules] == NAMES
    assert {rule["health"] for rule in rules} <= {"ok", "unknown"}
    for name in set(re.findall(r"vitrine_\w+", ALERTS + " ".join(queries))) - known:
        assert f"# TYPE {re.sub(r'_(bucket|sum|count)$', '', name)} " in metrics, name


def test_the_log_is_json_with_request_ids(capfd):
    with running(MODELS_DIR=only("enhance-x2-fast"), LOG_FORMAT="json", ACCESS_LOG="true") as server:
        server.client.get("/models/no%0Asuch", headers={"X-Request-ID": "abc-1"})
        server.client.post("/enhance", content=b"\xff\xd8", headers={"Content-Type": "image/jpeg"})
        time.sleep(0.1)
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]

    asked = {line["path"]: line for line in lines if line["event"] == "request"}
    assert asked["/models/no%0Asuch"]["request_id"] == "abc-1"
    assert asked["/models/no%0Asuch"]["status"] == 404
    assert len(asked["/enhance"]["request_id"]) == 32
    assert {line["level"] for line in lines} == {"info"}
