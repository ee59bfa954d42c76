"""The real server as a subprocess or with faulty engines in this process, and pictures to send it."""

import io
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import httpx
import numpy as np
import pytest
import uvicorn
from PIL import Image

from app.main import create_app
from app.metrics import Metrics
from app.service import Service
from app.settings import Settings
from bench.processes import tree

ROOT = Path(__file__).parents[1]


_places = tempfile.TemporaryDirectory(prefix="vitrine-tests-")


@cache
def only(*names):
    """A repository of these of the shipped models, which a server loads in a fraction of the time that all take."""
    folder = Path(_places.name, "+".join(names))
    folder.mkdir()
    for name in names:
        (folder / name).symlink_to(ROOT / "models" / name)
    return folder


_reserved = []


def free_port():
    """A port that nobody else is given while these tests run, whatever runs beside them; a server may listen on it."""
    free = socket.socket()
    free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    free.bind(("127.0.0.1", 0))
    _reserved.append(free)
    return free.getsockname()[1]


@dataclass(frozen=True)
class Served:
    """A running `vitrine serve`: the process in front, its port, and a client."""

    process: subprocess.Popen
    port: int
    client: httpx.Client

    def children(self):
        """The serving processes, without their decoders."""
        return [pid for pid in tree(self.process.pid) if parent(pid) == self.process.pid]

    def stop(self, seconds=60):
        """SIGTERM; gives the exit code."""
        self.process.terminate()
        return self.process.wait(seconds)

    def value(self, name, **labels):
        """The sum of all samples of a metric that have these labels."""
        return value(self.client.get("/metrics").text, name, **labels)


def value(text, name, **labels):
    """The sum of all samples of a metric in a scrape that have these labels."""
    wanted = {f'{label}="{text}"' for label, text in labels.items()}
    found = []
    for line in text.splitlines():
        series, _, number = line.rpartition(" ")
        if series.partition("{")[0] == name and wanted <= set(series.partition("{")[2].rstrip("}").split(",")):
            found.append(float(number))
    assert found, f"no sample of {name} with {labels}"
    return sum(found)


def parent(pid):
    """The process that made this one; 0 when it has gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def alive(pid):
    """Whether a process runs; one that has ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@contextmanager
def running(*arguments, code=0, **settings):
    """`vitrine serve` with the shipped models; `settings` without their prefix, in capitals.

    At the end, by itself or by SIGTERM, its exit code must be `code`, and no process may be left behind.
    """
    port = free_port()
    named = {f"VITRINE_{name}": str(value) for name, value in settings.items()}
    defaults = {"VITRINE_PORT": str(port), "VITRINE_MODELS_DIR": str(ROOT / "models")}
    command = [sys.executable, "-c", "from app.cli import main; main()", "serve", *arguments]
    process = subprocess.Popen(command, env={**os.environ, **defaults, **named}, cwd=ROOT)  # noqa: S603, TID251
    everyone = []
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as made:
            wait_until_ready(made, process)
            everyone = tree(process.pid)
            yield Served(process, port, made)
        everyone += tree(process.pid)
        process.terminate()
        assert process.wait(60) == code
        assert not [pid for pid in everyone if alive(pid)]
    finally:
        for pid in tree(process.pid) if process.poll() is None else []:
            os.kill(pid, signal.SIGKILL)
        process.wait()


@contextmanager
def serving(**settings):
    """A client of `vitrine serve`."""
    with running(**settings) as server:
        yield server.client


class Server(uvicorn.Server):
    """Uvicorn in a thread."""

    @contextmanager
    def capture_signals(self):
        yield


@contextmanager
def in_process(open_engine, *, models_dir=ROOT / "models", traces=None, **settings):
    """A client of the application in this process, whose engines `open_engine` makes of a graph's bytes."""
    service = Service(Settings(models_dir=models_dir, **settings), Metrics(), open_engine, traces)
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        server = Server(uvicorn.Config(create_app(service), log_level="warning", timeout_graceful_shutdown=5))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=60) as made:
                wait_until_ready(made)
                yield made
        finally:
            server.should_exit = True
            thread.join()


def wait_for(condition, seconds=30):
    """Ask again and again until it is so."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come true"
        time.sleep(0.02)


def wait_until_ready(client, process=None):
    for _ in range(600):
        assert process is None or process.poll() is None, "the server stopped"
        try:
            if client.get("/readyz").status_code == 200:
                return
        except httpx.ConnectError:
            pass
        time.sleep(0.05)
    raise AssertionError("the server is not ready after 30 s")


LONGEST = ("test_docs.py", "test_files.py")


def pytest_collection_modifyitems(items):
    """The longest files go first, so that neither of two processes has one left when the other is done."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


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
