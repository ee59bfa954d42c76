"""The real server as a subprocess, for the tests that talk HTTP, and pictures to send it."""

import io
import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def serving(**settings):
    """A client of `vitrine serve` with the shipped models; `settings` without their prefix, in capitals."""
    port = free_port()
    named = {f"VITRINE_{name}": str(value) for name, value in settings.items()}
    defaults = {"VITRINE_PORT": str(port), "VITRINE_MODELS_DIR": str(ROOT / "models")}
    command = [sys.executable, "-c", "from app.cli import main; main()", "serve"]
    process = subprocess.Popen(command, env={**os.environ, **defaults, **named}, cwd=ROOT)  # noqa: S603, TID251
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as made:
            wait_until_ready(made, process)
            yield made
    finally:
        process.terminate()
        assert process.wait(30) in (0, -15)


def wait_until_ready(client, process):
    for _ in range(300):
        assert process.poll() is None, "the server stopped"
        try:
            if client.get("/readyz").status_code == 200:
                return
        except httpx.ConnectError:
            pass
        time.sleep(0.1)
    raise AssertionError("the server is not ready after 30 s")


@pytest.fixture(scope="session")
def client():
    with serving() as made:
        yield made


def photo(mode="RGB", size=(150, 97), **save):
    """A smooth, noisy picture as bytes, JPEG unless told otherwise."""
    random = np.random.default_rng(1)
    ramp = np.linspace(40, 200, size[0])[None, :, None] + random.normal(0, 6, (size[1], size[0], 3))
    image = Image.fromarray(np.clip(ramp, 0, 255).astype(np.uint8)).convert(mode)
    file = io.BytesIO()
    image.save(file, **{"format": "JPEG", **save})
    return file.getvalue()


def picture(response):
    """The picture of a 200 answer."""
    assert response.status_code == 200, response.text
    return Image.open(io.BytesIO(response.content))
