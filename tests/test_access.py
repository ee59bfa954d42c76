"""Keys, limits, other origins and pages over HTTP, with a real server."""

import re
import subprocess
import sys
import time

import pytest

from tests.app.test_keys import digest
from tests.conftest import ROOT, only, photo, running

KEYS = f"""
[shop]
digests = ["{digest("shop")}"]
[enhancer]
digests = ["{digest("enhancer")}"]
routes = ["enhance", "inspect"]
[slow]
digests = ["{digest("slow")}"]
rate = "2/hour"
"""
ORIGIN = "https://shop.example"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    path = tmp_path_factory.mktemp("keys") / "keys.toml"
    path.write_text(KEYS)
    models = only("garments-128", "enhance-x2-fast", "restoration-level")
    with running(MODELS_DIR=models, KEYS_FILE=path, CORS_ORIGINS=f'["{ORIGIN}"]') as made:
        yield made, path


def post(server, route="/generate", key=None, **headers):
    client = server[0].client
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if key:
        named["Authorization"] = f"Bearer {key}"
    if route == "/generate":
        return client.post(route, json={"seed": 1, "category": "shirt"}, headers=named)
    return client.post(route, files={"image": photo()}, headers=named)


def test_work_needs_a_key_and_reading_does_not(server):
    for route in ("/generate", "/enhance", "/restyle", "/compose", "/inspect"):
        refused = post(server, route)
        assert refused.status_code == 401
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.headers["www-authenticate"].startswith("Bearer")
        assert refused.headers["x-content-type-options"] == "nosniff"
        assert refused.json()["type"] == "urn:vitrine:problem:unauthorized"
    for path in ("/healthz", "/readyz", "/metrics", "/models", "/categories", "/openapi.json", "/", "/docs"):
        assert server[0].client.get(path).status_code == 200


def test_a_key_opens_its_routes(server):
    assert post(server, key="shop").status_code == 200
    assert post(server, "/enhance", key="enhancer").status_code == 200
    assert post(server, key="enhancer").status_code == 403
    assert post(server, key="nobody").status_code == 401


def test_a_wrong_key_is_refused_before_its_body_is_read(server):
    """Otherwise anybody could fill the memory."""
    begun = time.monotonic()
    refused = server[0].client.post("/enhance", content=b"x" * 15_000_000, headers={"Content-Type": "image/png"})
    assert refused.status_code == 401
    assert time.monotonic() - begun < 5


def test_a_rate_is_told_and_kept(server):
    first, second, third = (post(server, key="slow") for _ in range(3))

    assert first.headers["ratelimit-policy"] == '"default";q=2;w=3600'
    assert first.headers["ratelimit"].startswith('"default";r=1;')
    assert second.status_code == 200
    assert third.status_code == 429
    assert int(third.headers["retry-after"]) > 0
    assert third.json()["type"] == "urn:vitrine:problem:rate-limited"
    assert server[0].value("vitrine_refusals_total", code="rate-limited") == 1


def test_keys_change_without_a_restart(server):
    made, path = server
    path.write_text(KEYS + f'[late]\ndigests = ["{digest("late")}"]\n')
    assert post(server, key="late").status_code == 401
    made.process.send_signal(1)
    until = time.monotonic() + 20
    while post(server, key="late").status_code != 200:
        assert time.monotonic() < until
        time.sleep(0.1)
    path.write_text("nonsense")
    made.process.send_signal(1)
    time.sleep(1)
    assert post(server, key="shop").status_code == 200


def test_pages_of_the_origins_named_may_call_and_no_others(server):
    client = server[0].client
    asked = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    allowed = client.options("/generate", headers=asked)
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == ORIGIN
    assert client.options("/generate", headers=asked | {"Origin": "https://evil.example"}).status_code == 400
    for origin, told in ((ORIGIN, ORIGIN), ("https://evil.example", None)):
        for key in ("shop", None):
            answer = post(server, key=key, Origin=origin)
            assert answer.headers.get("access-control-allow-origin") == told
    assert "X-Seed" in post(server, key="shop", Origin=ORIGIN).headers["access-control-expose-headers"]


def test_without_the_setting_no_origin_may_call(client):
    answer = client.post("/generate", json={"seed": 1}, headers={"Origin": ORIGIN})
    assert answer.status_code == 200
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_the_page_of_the_api_needs_nothing_from_elsewhere(client):
    page = client.get("/docs")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for address in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        asset = client.get(address)
        assert asset.status_code == 200
        assert asset.headers["x-content-type-options"] == "nosniff"
    assert client.get("/docs/..%2f..%2fpyproject.toml").status_code == 404


def test_nothing_of_the_caller_comes_back_unescaped(client):
    """What is not JSON of ours is a picture; and a name that a caller made up cannot end a header or a log line."""
    evil = "<script>alert(1)</script>"
    for answer in (
        client.post("/generate", json={"category": evil}),
        client.post("/generate", json={evil: 1}),
        client.get(f"/models/{evil}"),
        client.get(f"/{evil}"),
        client.post("/enhance", files={"image": (evil, b"x", "image/png")}),
    ):
        assert answer.status_code in (400, 404, 422)
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["x-content-type-options"] == "nosniff"
    answer = client.get("/healthz", headers={"X-Request-ID": "a b\t<script>"})
    assert "script" not in str(answer.headers)


def test_a_key_is_made_and_kept_nowhere(tmp_path):
    made = subprocess.run(
        [sys.executable, "-c", "from app.cli import main; main()", "keys", "new", "shop.front"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    key = re.search(r"vk_[\w-]{43}", made.stdout)
    assert key is not None
    assert digest(key[0]) in made.stdout
    assert '["shop.front"]' in made.stdout


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"VITRINE_KEYS_FILE": "missing.toml"}, "missing.toml"),
        ({"VITRINE_CHINA_LABEL": "1"}, "VITRINE_PRODUCER"),
        ({"VITRINE_C2PA_CERTIFICATE": "x.pem"}, "VITRINE_C2PA_KEY"),
        ({"VITRINE_C2PA_CERTIFICATE": "x.pem", "VITRINE_C2PA_KEY": "y.pem"}, "signer"),
        ({"VITRINE_REDIS_URL": "http://x"}, "VITRINE_REDIS_URL"),
    ],
)
def test_settings_that_are_wrong_stop_the_start(settings, told, tmp_path):
    command = [sys.executable, "-c", "from app.cli import main; main()", "serve"]
    run = subprocess.run(command, cwd=ROOT, env=settings, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    assert run.returncode == 2
    assert told in run.stderr
    assert "Traceback" not in run.stderr
