"""The servers of the comparison: how each is started, found ready and stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.processes import Usage, tree, usage
from bench.work import MODELS, ROOT

READY_S: Final = 60
STOP_S: Final = 15


@dataclass(frozen=True, slots=True)
class Server:
    """A command line in which {port} is replaced; `variant` says what of its settings is meant."""

    name: str
    command: tuple[str, ...]
    ready: str
    envelope: str = "plain"
    variant: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Running:
    """A server that answers."""

    port: int
    pid: int
    started_s: float

    def usage(self) -> Usage:
        return usage(tree(self.pid))


def stop_on_sigterm() -> None:
    """Have SIGTERM end this program as an exception does, so that the server is stopped too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def path_with(folder: Path) -> str:
    """Where Python looks for modules here, after `folder`."""
    return os.pathsep.join([str(folder), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]).rstrip(os.pathsep)  # noqa: TID251


@contextlib.contextmanager
def serving(server: Server, log: Path) -> Iterator[Running]:
    """Start a server, give it once it is ready, and stop it with all its processes."""
    port, begun = free_port(), time.monotonic()
    command = [part.format(port=port) for part in server.command]
    settings = {name: value.format(port=port) for name, value in server.settings.items()}
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": path_with(ROOT), **settings},  # noqa: TID251
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        _wait_until_ready(f"http://127.0.0.1:{port}{server.ready}", process)
        yield Running(port, process.pid, time.monotonic() - begun)
    finally:
        _stop(process)


def _wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + READY_S
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"the server stopped with {process.returncode}")
        with contextlib.suppress(OSError, urllib.error.URLError), urllib.request.urlopen(url, timeout=5):  # noqa: S310
            return
        time.sleep(0.1)
    raise RuntimeError(f"{url} is not ready after {READY_S} s")


def _stop(process: subprocess.Popen[bytes]) -> None:
    everyone = tree(process.pid)
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_S)
    # Some of the frameworks leave workers behind, in sessions of their own.
    for pid in everyone:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def vitrine() -> Server:
    """This service, as `vitrine serve` starts it."""
    command = (sys.executable, "-c", "from app.cli import main; main()", "serve")
    settings = {"VITRINE_PORT": "{port}", "VITRINE_MODELS_DIR": str(MODELS), "VITRINE_LOG_LEVEL": "warning"}
    return Server("Vitrine", command, "/readyz", settings=settings)


def peers(task: str, tile: int, rows: int) -> dict[str, list[Server]]:
    """The others by name, with the variants of which the best one is measured.

    `rows` are those of one run of the enhancer, `tile` is its tile as in `Worker`.
    """
    cores = len(os.sched_getaffinity(0))
    shared = (1, 0, 16, f"1 process, ONNX Runtime's default threads ({cores})")
    pooled = (1, 1, 16, "1 process, 1 thread a request")
    single = (cores, 1, 16, f"{cores} processes, 1 thread each")
    # A photo's tiles keep a core busy, so a batch of photos gains nothing but the wait for the slowest, and of two
    # processes one takes what both could share: one by one is the better setting. (BentoML's smallest batch is 2.)
    unbatched = (cores, 1, 1, f"{cores} processes, 1 thread each, photos one by one")
    common = {"BENCH_PORT": "{port}", "BENCH_TILE": str(tile), "BENCH_ROWS": str(rows)}
    python, address = (sys.executable, "-m"), ("127.0.0.1", "--port", "{port}")
    app = ("bench.peers.fastapi_plain:app", "--no-access-log", "--workers", "{workers}", "--host", *address)
    commands = {
        "FastAPI": ((*python, "uvicorn", *app), "/healthz", "plain"),
        "LitServe": ((*python, "bench.peers.litserve_peer"), "/health", "json"),
        "BentoML": (
            (*python, "bentoml", "serve", "bench.peers.bentoml_peer:Pictures", "--host", *address),
            "/readyz",
            "bentoml",
        ),
        # Its default of 3 s would refuse photos that wait behind a full batch.
        "mosec": (
            (*python, "bench.peers.mosec_peer", "--timeout", "180000", "--address", *address),
            "/",
            "mosec",
        ),
    }
    return {
        name: [
            Server(
                name,
                tuple(part.replace("{workers}", str(workers)) for part in command),
                ready,
                envelope,
                variant,
                {
                    **common,
                    "BENCH_WORKERS": str(workers),
                    "BENCH_INTRA": str(intra),
                    "BENCH_PHOTOS": str(photos),
                },
            )
            for workers, intra, photos, variant in (
                (shared, pooled, single) if name == "FastAPI" else (shared, single if task == "generate" else unbatched)
            )
        ]
        for name, (command, ready, envelope) in commands.items()
    }
