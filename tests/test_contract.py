"""The finer print of the HTTP contract: negotiation, labels, and clients that leave or dawdle."""

import io
import json
import shutil
import socket
import subprocess
import time

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.conftest import only, photo, picture, serving

FORMATS = ("png", "jpeg", "webp", "avif")


@pytest.mark.parametrize("wanted", FORMATS)
def test_every_format_comes_back_as_itself_and_labelled(client, wanted):
    asked = client.post("/generate", json={"seed": 2, "format": wanted})
    accepted = client.post("/generate", json={"seed": 2}, headers={"Accept": f"image/{wanted}"})

    assert picture(asked).format.lower() == wanted
    assert asked.headers["content-type"] == f"image/{wanted}"
    assert picture(accepted).format.lower() == wanted
    assert b"DigitalSourceType" in asked.content
    assert b"trainedAlgorithmicMedia" in asked.content


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "image/webp"),
        ("image/png;q=0.5, image/jpeg;q=0.9", "image/jpeg"),
        ("image/*;q=0.8, application/json", "application/json"),
        ("image/png, */*;q=0.1", "image/png"),
        ("text/html, application/xhtml+xml, image/avif, image/webp, */*;q=0.8", "image/avif"),
        ("text/html", "application/problem+json"),
        ("image/jxl", "application/problem+json"),
    ],
)
def test_accept_picks_what_comes_back(client, accept, kind):
    response = client.post("/generate", json={"seed": 2}, headers={"Accept": accept})

    assert response.headers["content-type"] == kind
    assert response.status_code == (406 if "problem" in kind else 200)


def test_an_explicit_format_wins_over_accept(client):
    response = client.post("/generate", json={"seed": 2, "format": "png"}, headers={"Accept": "image/webp"})

    assert picture(response).format == "PNG"


@pytest.mark.parametrize("body", [b"{", b"[]", b'"t-shirt"', b"null", b'{"seed": NaN}', b""])
def test_wrong_json_gets_a_problem(client, body):
    response = client.post("/generate", content=body, headers={"Content-Type": "application/json"})

    assert response.status_code == 422
    assert response.json()["errors"]


def test_bytes_that_are_no_text_get_a_problem(client):
    response = client.post("/generate", content=b"\xff", headers={"Content-Type": "application/json"})

    assert response.status_code == 400
    assert response.headers["content-type"] == "application/problem+json"


def test_another_method_is_told_which_ones_there_are(client):
    response = client.get("/generate")

    assert response.status_code == 405
    assert "POST" in response.headers["allow"]
    assert response.headers["content-type"] == "application/problem+json"


def test_a_sane_request_id_is_kept_and_another_is_replaced(client):
    kept = client.get("/nowhere", headers={"X-Request-ID": "order-17.a"})
    replaced = client.get("/nowhere", headers={"X-Request-ID": "<script>"})

    assert kept.headers["x-request-id"] == kept.json()["request_id"] == "order-17.a"
    assert replaced.headers["x-request-id"] == replaced.json()["request_id"] != "<script>"


def credited():
    """A photo whose EXIF names its maker, and where it was taken."""
    exif = Image.Exif()
    exif[0x013B], exif[0x8298], exif[0x0110] = "Ada Example", "(c) Example & Co", "SpyPhone"
    exif.get_ifd(0x8825)[1] = "N"
    exif.get_ifd(0x8825)[2] = (48.0, 8.0, 30.0)
    return photo(exif=exif)


@pytest.mark.parametrize("wanted", FORMATS)
def test_credits_stay_and_everything_else_goes(client, wanted):
    response = client.post("/enhance", files={"image": credited()}, data={"format": wanted})

    assert b"Ada Example" in response.content
    assert b"(c) Example &amp; Co" in response.content
    assert b"SpyPhone" not in response.content
    assert not picture(response).getexif().get_ifd(0x8825)


@pytest.mark.skipif(
    shutil.which("exiftool") is None, reason="exiftool (Debian package libimage-exiftool-perl) is not installed"
)
@pytest.mark.parametrize("wanted", FORMATS)
def test_exiftool_reads_the_label(client, wanted, tmp_path):
    path = tmp_path / f"answer.{wanted}"
    path.write_bytes(client.post("/enhance", files={"image": credited()}, data={"format": wanted}).content)
    command = ["exiftool", "-j", "-n", str(path)]
    tags = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)[0]  # noqa: S603

    assert tags["DigitalSourceType"].endswith("/algorithmicallyEnhanced")
    assert tags["Creator"] in ("Ada Example", ["Ada Example"])
    assert tags["Rights"] == "(c) Example & Co"
    assert "Warning" not in tags
    assert "GPSLatitude" not in tags


def test_a_large_photo_comes_back_at_twice_its_size(client):
    options = {"format": "jpeg", "model": "enhance-x2-fast"}
    response = client.post("/enhance", files={"image": photo(size=(3000, 2000))}, data=options)

    assert picture(response).size == (6000, 4000)
    assert response.headers["x-native-size"] == "3000x2000"


def metric(client, name):
    """The value of one line of /metrics."""
    lines = (line.rsplit(" ", 1) for line in client.get("/metrics").text.splitlines() if line.startswith(name))
    return float(next(value for found, value in lines if found == name))


def test_the_work_of_a_client_who_left_is_dropped(client):
    name = 'vitrine_dropped_rows_total{model="enhance-x4",reason="abandoned"}'
    before = metric(client, name)
    with pytest.raises(httpx.ReadTimeout):
        client.post("/enhance", files={"image": photo(size=(3000, 2000))}, data={"scale": "4"}, timeout=1.5)

    for _ in range(100):
        if metric(client, 'vitrine_queue_rows{model="enhance-x4"}') == 0 and metric(client, name) > before:
            break
        time.sleep(0.1)
    assert metric(client, name) > before
    assert client.post("/enhance", files={"image": photo(size=(9, 9))}).status_code == 200


@pytest.mark.parametrize(("timeout", "status"), [("soon", 422), ("0", 422), ("-1", 422), ("nan", 422), ("0.0001", 504)])
def test_a_deadline_is_checked_and_kept(client, timeout, status):
    response = client.post("/generate", json={"seed": 2}, headers={"Request-Timeout": timeout})

    assert response.status_code in ({503, 504} if status == 504 else {status})
    assert response.headers["content-type"] == "application/problem+json"


def test_a_body_that_does_not_come_is_not_waited_for_long():
    with (
        serving(MODELS_DIR=only("enhance-x2"), BODY_TIMEOUT_S=1) as client,
        socket.create_connection(("127.0.0.1", client.base_url.port)) as slow,
    ):
        slow.settimeout(20)
        slow.sendall(b"POST /enhance HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 1000\r\n\r\nabc")
        answer = slow.recv(4096)

        assert answer.startswith(b"HTTP/1.1 408 ")
        assert client.get("/healthz").status_code == 200


def test_work_that_was_accepted_is_finished_before_the_server_stops():
    data = photo(size=(900, 600))
    with serving(MODELS_DIR=only("enhance-x2", "restoration-level")) as client:
        port = client.base_url.port
        waiting = socket.create_connection(("127.0.0.1", port))
        waiting.settimeout(60)
        head = (
            f"POST /enhance?format=png HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}"
        )
        waiting.sendall(head.encode() + b"\r\nConnection: close\r\n\r\n" + data)
        time.sleep(0.4)
    answer = b""
    while part := waiting.recv(1 << 20):  # the server has been told to stop, and has stopped
        answer += part
    waiting.close()

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert Image.open(io.BytesIO(answer.split(b"\r\n\r\n", 1)[1])).size == (1800, 1200)


def test_sixteen_seeds_of_a_category_give_sixteen_pictures(client):
    body = {"category": "trousers", "seed": 100, "count": 16, "format": "png"}
    answer = client.post("/generate", json=body)
    assert answer.status_code == 200
    seeds = [image["seed"] for image in answer.json()["images"]]
    pictures = [client.post("/generate", json={**body, "seed": seed, "count": 1}) for seed in seeds]
    flat = np.stack([np.array(picture(one)).astype(float).ravel() for one in pictures])
    distances = [np.abs(a - b).mean() for i, a in enumerate(flat) for b in flat[:i]]

    assert min(distances) > 1
    assert np.mean(distances) > 10


def test_openapi_tells_what_really_comes_back(client):
    """Every route's answers, good and bad, are among those that the document names for it."""
    paths = client.get("/openapi.json").json()["paths"]
    tries = [
        ("post", "/generate", {"json": {"seed": 1}}),
        ("post", "/generate", {"json": {"seed": 1, "count": 2}}),
        ("post", "/generate", {"json": {"seed": 1}, "headers": {"Accept": "application/zip"}}),
        ("post", "/generate", {"json": {"seed": 1}, "headers": {"Accept": "text/html"}}),
        ("post", "/generate", {"json": {"seed": -1}}),
        ("post", "/generate", {"json": {"category": "spaceship"}}),
        ("post", "/enhance", {"files": {"image": photo(size=(9, 9))}}),
        ("post", "/enhance", {"content": b"x", "headers": {"Content-Type": "text/plain"}}),
        ("post", "/enhance", {"content": b"x", "headers": {"Content-Type": "image/png"}}),
        ("post", "/compose", {"files": {"image": photo(size=(30, 20))}, "data": {"cutout": "none", "width": "40"}}),
        ("post", "/compose", {"files": {"image": photo()}, "data": {"preset": "corner-shop"}}),
        ("post", "/compose", {"content": b"x", "headers": {"Content-Type": "image/png"}}),
        ("get", "/presets", {}),
        ("get", "/backdrops", {}),
        ("get", "/models/{name}", {}),
        ("get", "/metrics", {}),
        ("get", "/readyz", {}),
        ("get", "/categories", {}),
    ]
    for method, path, arguments in tries:
        response = client.request(method, path, **arguments)
        documented = paths[path][method]["responses"]
        assert str(response.status_code) in documented, (path, response.status_code)
        kind = response.headers["content-type"].split(";")[0]
        assert kind in documented[str(response.status_code)]["content"], (path, kind)


@pytest.mark.parametrize(
    ("path", "kind", "words"),
    [
        ("/healthz", "application/json", "alive"),
        ("/readyz", "application/json", "ready"),
        ("/models", "application/json", "garments-128"),
        ("/categories", "application/json", "t-shirt"),
        ("/presets", "application/json", "amazon-main"),
        ("/backdrops", "application/json", "marble"),
        ("/openapi.json", "application/json", "/enhance"),
        ("/docs", "text/html", "Vitrine"),
        ("/", "text/html", "Vitrine"),
        ("/metrics", "text/plain", "vitrine_ready"),
    ],
)
def test_every_page_can_be_read(client, path, kind, words):
    response = client.get(path, follow_redirects=True)

    assert response.status_code == 200
    assert response.headers["content-type"].startswith(kind)
    assert words in response.text
