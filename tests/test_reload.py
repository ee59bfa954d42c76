"""A new version of a model, taken over under load; a bad one refused while the old one serves on."""

import hashlib
import io
import itertools
import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from PIL import Image

from app.repository import activate
from tests.conftest import ROOT, running, wait_for

NAME = "garments-128"
OLD = max((home.name for home in (ROOT / "models" / NAME).iterdir() if home.is_dir()), key=int)
NEW = str(int(OLD) + 1)
SEEDS = range(24)
SHIPPED = {NAME, "enhance-x2-fast", "restoration-level"}
FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)


def add_version(root, version, harm=lambda data: data, **changes):
    """Another version of the generator, whose pictures differ from the shipped one's; gives its digest."""
    folder = root / NAME / version
    shutil.copytree(ROOT / "models" / NAME / OLD, folder)
    graph = onnx.load(folder / "model.onnx")
    weights = next(one for one in graph.graph.initializer if one.data_type in FLOATS and np.prod(one.dims) > 1000)
    values = numpy_helper.to_array(weights)
    weights.CopyFrom(numpy_helper.from_array((values / 2).astype(values.dtype), weights.name))
    data = graph.SerializeToString()
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest |= {"version": version, "sha256": hashlib.sha256(data).hexdigest(), **changes}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "model.onnx").write_bytes(harm(data))
    return f"sha256:{manifest['sha256']}"


def models(root, *words):
    """`vitrine models`"""
    command = [sys.executable, "-c", "from app.cli import main; main()", "models", *words]
    environment = {"VITRINE_MODELS_DIR": str(root), "PATH": "/usr/bin"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False).returncode  # noqa: S603


def repository(folder):
    """Some shipped models, of which the generator's version is chosen: without a choice the highest is served."""
    made = folder / "models"
    for name in SHIPPED:
        shutil.copytree(ROOT / "models" / name, made / name)
    (made / NAME / "active.json").write_text(json.dumps({"version": OLD}))
    return made


@pytest.fixture
def root(tmp_path):
    return repository(tmp_path)


@pytest.fixture(scope="module")
def lasting(tmp_path_factory):
    """A server that keeps its version whatever comes, with its repository."""
    root = repository(tmp_path_factory.mktemp("lasting"))
    with running(MODELS_DIR=root, LOG_LEVEL="error") as made:
        yield made, root


@pytest.fixture
def server(root):
    with running(MODELS_DIR=root, LOG_LEVEL="error") as made:
        yield made


def reload(server, outcome, count=1):
    """SIGHUP to the process in front, until `outcome` has been counted `count` times in all."""
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: server.value("vitrine_reloads_total", outcome=outcome) == count)


def pictures(server):
    """Seed -> (digest, bytes)."""
    answers = {seed: server.client.post("/generate", json={"seed": seed, "format": "png"}) for seed in SEEDS}
    return {seed: (answer.headers["x-model-digest"], answer.content) for seed, answer in answers.items()}


class Load:
    """Eight callers, from the beginning to the end of the block: what they got, as (seed, answer)."""

    def __init__(self, server):
        self.answers, self._over = [], threading.Event()
        self._url, self._pool = str(server.client.base_url), ThreadPoolExecutor(8)

    def _call(self, first):
        with httpx.Client(base_url=self._url, timeout=30) as client:
            for seed in itertools.islice(itertools.cycle(SEEDS), first, None):
                if self._over.is_set():
                    return
                self.answers.append((seed, client.post("/generate", json={"seed": seed, "format": "png"})))

    def __enter__(self):
        self._calls = [self._pool.submit(self._call, 3 * i) for i in range(8)]
        return self

    def __exit__(self, *_):
        self._over.set()
        for call in self._calls:
            call.result()
        self._pool.shutdown()


def test_a_new_version_is_taken_over_under_load_and_no_answer_fails_or_is_mixed(server, root):
    digest = add_version(root, NEW)
    old = pictures(server)
    with Load(server) as load:
        time.sleep(0.5)
        assert models(root, "activate", f"{NAME}@{NEW}") == 0
        reload(server, "taken")
        time.sleep(0.5)
    new = pictures(server)

    assert {digest for digest, _ in new.values()} == {digest}
    assert {digest for digest, _ in old.values()}.isdisjoint({digest})
    assert all(pixels_differ(old[seed][1], new[seed][1]) for seed in SEEDS)
    seen = set()
    for seed, answer in load.answers:
        assert answer.status_code == 200
        got = (answer.headers["x-model-digest"], answer.content)
        assert got in (old[seed], new[seed])
        assert answer.headers["x-model"] == f"{NAME}@{NEW if got == new[seed] else OLD}"
        seen.add(got == new[seed])
    assert seen == {True, False}
    print(f"\n{len(load.answers)} answers under the reload")  # noqa: T201


def pixels_differ(one, other):
    """Not only the labels."""
    a, b = (np.asarray(Image.open(io.BytesIO(data))).astype(int) for data in (one, other))
    return np.abs(a - b).mean() > 1


def test_a_rollback_brings_the_old_pictures_back(server, root):
    old = pictures(server)
    add_version(root, NEW)
    assert models(root, "activate", f"{NAME}@{NEW}") == 0
    reload(server, "taken", 1)
    assert pictures(server) != old
    assert models(root, "rollback", NAME) == 0
    reload(server, "taken", 2)

    assert pictures(server) == old
    info = {line for line in server.client.get("/metrics").text.splitlines() if line.startswith("vitrine_model_info{")}
    assert sum(line.endswith(" 1.0") for line in info) == len(SHIPPED)
    assert sum(f'version="{NEW}"' in line and line.endswith(" 0.0") for line in info) == 1


def flipped(data):
    return data[:1000] + bytes([data[1000] ^ 1]) + data[1001:]


@pytest.mark.parametrize(
    ("harm", "changes"),
    [
        (flipped, {}),
        (lambda data: data[:5000], {}),
        (lambda data: b"", {}),
        (lambda data: data, {"size": 32}),
        (lambda data: data, {"classes": [f"class {i}" for i in range(14)]}),
        (lambda data: data, {"name": "other"}),
    ],
    ids=["corrupt", "truncated", "empty", "wrong shape", "too many classes", "another name"],
)
def test_a_bad_version_is_refused_and_the_old_one_serves_on(lasting, harm, changes):
    server, root = lasting
    old, refused = pictures(server), server.value("vitrine_reloads_total", outcome="refused")
    shutil.rmtree(root / NAME / NEW, ignore_errors=True)
    add_version(root, NEW, harm, **changes)
    assert models(root, "activate", f"{NAME}@{NEW}") == 1
    activate(root, NAME, NEW)  # by hand, or it was damaged since
    with Load(server) as load:
        reload(server, "refused", refused + 1)
        time.sleep(0.2)

    assert {answer.status_code for _, answer in load.answers} == {200}
    assert all((answer.headers["x-model-digest"], answer.content) == old[seed] for seed, answer in load.answers)
    assert server.client.get("/readyz").status_code == 200
    assert server.value("vitrine_reloads_total", outcome="taken") == 0
    assert server.value("vitrine_model_info", model=NAME, version=OLD) == 1


def test_a_model_whose_bytes_are_a_graph_of_another_task_is_refused(server, root):
    other = next((ROOT / "models" / "restoration-level").glob("*/model.onnx")).read_bytes()
    add_version(root, NEW, lambda data: other, sha256=hashlib.sha256(other).hexdigest())
    activate(root, NAME, NEW)
    reload(server, "refused")

    assert server.client.post("/generate", json={"seed": 1}).headers["x-model"] == f"{NAME}@{OLD}"


def test_a_repository_that_has_gone_leaves_everything_as_it_was(server, root):
    old = pictures(server)
    root.rename(root.with_name("elsewhere"))
    reload(server, "refused")

    assert pictures(server) == old
    assert {model["name"] for model in server.client.get("/models").json()["models"]} == SHIPPED


def test_a_hangup_with_nothing_new_changes_nothing(server):
    old = pictures(server)
    for _ in range(3):
        server.process.send_signal(signal.SIGHUP)
        time.sleep(0.2)

    assert pictures(server) == old
    assert server.value("vitrine_reloads_total") == 0
    assert server.process.poll() is None


def test_every_process_takes_the_new_version_over(root):
    digest = add_version(root, NEW)
    with running("--workers", "2", MODELS_DIR=root, LOG_LEVEL="error") as server:
        wait_for(lambda: server.value("vitrine_processes") == 2)
        assert models(root, "activate", f"{NAME}@{NEW}") == 0
        reload(server, "taken", 2)
        for _ in range(20):  # each on a new connection
            answer = httpx.post(f"{server.client.base_url}/generate", json={"seed": 1})
            assert answer.headers["x-model-digest"] == digest


def test_a_server_does_not_start_with_a_corrupt_model_and_says_why(root):
    add_version(root, NEW, flipped)
    activate(root, NAME, NEW)
    environment = {"VITRINE_MODELS_DIR": str(root), "VITRINE_PORT": "1", "PATH": "/usr/bin"}
    command = [sys.executable, "-c", "from app.cli import main; main()", "serve"]
    told = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)  # noqa: S603

    assert told.returncode == 2
    assert "hash" in told.stderr
    assert "Traceback" not in told.stderr
