"""The real server, as a subprocess, with the shipped models."""

import io
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def client():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "VITRINE_PORT": str(port), "VITRINE_MODELS_DIR": str(ROOT / "models")}  # noqa: TID251
    command = [sys.executable, "-c", "from app.cli import main; main()", "serve"]
    process = subprocess.Popen(command, env=environment, cwd=ROOT)  # noqa: S603
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as made:
        for _ in range(300):
            try:
                made.get("/readyz")
                break
            except httpx.ConnectError:
                time.sleep(0.1)
        yield made
    process.terminate()
    assert process.wait(30) in (0, -15)


def test_a_garment_is_generated(client):
    response = client.post("/generate", json={"category": "t-shirt", "seed": 3, "format": "png"})

    assert response.status_code == 200, response.text
    pixels = np.array(Image.open(io.BytesIO(response.content)))
    assert pixels.shape == (64, 64, 3)
    assert (pixels[0, 0] == 255).all()
    assert pixels.std() > 10
    assert response.headers["x-seed"] == "3"
    assert b"trainedAlgorithmicMedia" in response.content


def test_sixty_four_at_once_give_the_same_bytes_as_alone(client):
    def one(seed):
        return client.post("/generate", json={"seed": seed}).content

    alone = one(5)
    with ThreadPoolExecutor(64) as pool:
        crowd = list(pool.map(one, range(64)))

    assert crowd[5] == alone
    assert len(set(crowd)) == 64


def test_an_etag_saves_the_inference(client):
    first = client.post("/generate", json={"seed": 1})
    again = client.post("/generate", json={"seed": 1}, headers={"If-None-Match": first.headers["etag"]})

    assert (again.status_code, again.content) == (304, b"")


def test_several_images_come_as_json(client):
    body = client.post("/generate", json={"seed": 9, "count": 3}).json()

    assert [image["seed"] for image in body["images"]] == [9, 10, 11]
    assert client.post("/generate", json={"count": 3}, headers={"Accept": "image/png"}).status_code == 406


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"count": 17}, 422),
        ({"seed": -1}, 422),
        ({"seed": "1"}, 422),
        ({"colour": "red"}, 422),
        ({"background": "blue"}, 422),
        ({"background": "transparent", "format": "jpeg"}, 422),
        ({"category": "spaceship"}, 404),
        ({"model": "none"}, 404),
        ({"size": 512}, 404),
    ],
)
def test_bad_options_get_a_problem(client, body, status):
    response = client.post("/generate", json=body)

    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["status"] == status
    assert client.post("/generate", json={"seed": 1}).status_code == 200


def test_what_one_reads(client):
    assert client.get("/healthz").status_code == 200
    assert len(client.get("/categories").json()["categories"]) == 13
    assert client.get("/models/garments-64").json()["digest"].startswith("sha256:")
    assert client.get("/models/none").status_code == 404
    assert client.get("/nowhere").json()["type"] == "urn:vitrine:problem:not-found"


def test_a_body_over_the_limit_is_refused_while_it_streams(client):
    def endless():
        for _ in range(100):
            yield b" " * 1_000_000

    response = client.post("/generate", content=endless(), headers={"Content-Type": "application/json"})

    assert response.status_code == 413
    assert response.json()["type"] == "urn:vitrine:problem:body-too-large"
    assert client.post("/generate", json={"seed": 1}).status_code == 200
