"""ONNX Runtime behind one call: the same bytes whichever way, and its failures by our names."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from app.contracts import smoke_row
from app.repository import read_models
from app.sessions import (
    CPU,
    CUDA,
    PROBE,
    DeviceLost,
    Engine,
    OutOfMemory,
    Session,
    SessionOptions,
    classified,
    cuda_is_built_in,
    cuda_works,
)

ROOT = Path(__file__).parents[2]
MODELS = read_models(ROOT / "models")
# Of the first run and of all that follow, each in a session of its own: what the process grows by, in MB.
GROWTH = """
import json, pathlib
import numpy as np
from app.repository import read_models
from app.sessions import Session

def resident():
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6

data = read_models(pathlib.Path("models"))["enhance-x2"].data
rows = {"image": np.zeros((2, 192, 192, 3), np.uint8), "strength": np.zeros(2, np.float32)}
sessions = [Session(data, cpu=True) for _ in range(4)]
grown = [resident()]
for session in sessions:
    session.run(rows)
    grown.append(resident())
print(json.dumps([grown[1] - grown[0], grown[-1] - grown[1]]))
"""


def rows(model, count):
    """So many different rows."""
    row = smoke_row(model, brief=True)
    made = {name: np.stack([np.asarray(value)] * count) for name, value in row.items()}
    if "z" in made:
        made["z"] = made["z"] * np.linspace(1, 0.5, count, dtype=np.float32)[:, None]
    else:
        made["image"] = made["image"] // np.arange(1, count + 1, dtype=np.uint8)[:, None, None, None]
    return made


@pytest.fixture(scope="module", params=sorted(MODELS))
def model(request):
    return MODELS[request.param]


@pytest.fixture(scope="module")
def engine(model):
    return Engine(model.data, cores=2)


def test_all_cores_and_one_give_the_same_bytes(engine, model):
    for count in (1, 3):
        one, all_of_them = (engine.run(rows(model, count), alone=alone) for alone in (False, True))
        assert one.tobytes() == all_of_them.tobytes()


def test_a_row_gives_the_same_bytes_in_every_batch(engine, model):
    many = engine.run(rows(model, 5))
    for i in range(5):
        single = {name: values[i : i + 1] for name, values in rows(model, 5).items()}
        assert engine.run(single)[0].tobytes() == many[i].tobytes()
    assert len({row.tobytes() for row in many}) > 3


def test_threads_may_run_one_session_at_once(engine, model):
    inputs = rows(model, 2)
    right = engine.run(inputs).tobytes()
    with ThreadPoolExecutor(4) as pool:
        outputs = list(pool.map(lambda worker: engine.run(inputs, worker).tobytes(), range(24)))

    assert set(outputs) == {right}


def test_sessions_share_the_memory_of_their_runs():
    """One at a time, four sessions keep hardly more than one: measured in a process that has done nothing else."""
    done = subprocess.run([sys.executable, "-c", GROWTH], capture_output=True, text=True, check=True, cwd=ROOT)  # noqa: S603
    first, later = json.loads(done.stdout)

    assert first > 40
    assert later < first / 2


def test_settings_change_the_time_and_not_the_bytes(model):
    inputs = rows(model, 2)
    outputs = {
        Session(model.data, SessionOptions(threads, spin, arena), cpu=True).run(inputs).tobytes()
        for threads, spin, arena in ((1, 0, True), (2, 0, False), (2, 1000, True), (3, 0, True))
    }

    assert len(outputs) == 1


def test_rows_that_do_not_fit_the_graph_are_the_callers_fault(engine, model):
    wrong = {name: values[:, None] for name, values in rows(model, 1).items()}
    with pytest.raises(Exception, match=r"(?i)invalid|rank|dimension") as failure:
        engine.run(wrong)

    assert not isinstance(failure.value, OutOfMemory | DeviceLost)
    assert len(engine.run(rows(model, 1))) == 1


def test_reopened_sessions_answer_as_before_and_are_opened_once_for_all_workers(model):
    engine = Engine(model.data, cores=2)
    right = engine.run(rows(model, 2)).tobytes()
    seen = engine.losses
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: engine.reopen(seen), range(8)))

    assert engine.losses == seen + 1
    assert engine.run(rows(model, 2)).tobytes() == right


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Failed to allocate memory for requested buffer of size 1073741824", OutOfMemory),
        ("CUDA failure 2: out of memory ; GPU=0 ; hostname=x ; file=cuda_call.cc", OutOfMemory),
        ("BFCArena::AllocateRawInternal Failed to allocate memory", OutOfMemory),
        ("CUDNN_STATUS_ALLOC_FAILED", OutOfMemory),
        ("CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0", OutOfMemory),
        ("CUDA failure 719: unspecified launch failure ; GPU=0", DeviceLost),
        ("CUDA error: device-side assert", DeviceLost),
        ("CUBLAS failure 13: CUBLAS_STATUS_EXECUTION_FAILED", DeviceLost),
        ("CUDNN failure 4: CUDNN_STATUS_INTERNAL_ERROR", DeviceLost),
        ("CUDNN_FE failure 11: CUDNN_BACKEND_API_FAILED ; GPU=0", DeviceLost),
        ("[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : Got invalid dimensions for input", None),
    ],
)
def test_failures_of_a_device_are_told_from_those_of_an_item(text, kind):
    error = RuntimeError(text)
    found = classified(error)

    assert found is error if kind is None else type(found) is kind


@pytest.mark.skipif(cuda_is_built_in(), reason="this build of ONNX Runtime can use GPUs")
def test_without_a_gpu_everything_runs_on_the_cpu(engine):
    assert engine.provider == CPU


@pytest.mark.parametrize("data", [b"", b"not a graph"])
def test_what_is_no_graph_cannot_be_opened(data):
    with pytest.raises(Exception, match=r"(?i)model|protobuf|graph"):
        Engine(data, cores=2)


def test_the_probe_is_a_convolution():
    picture = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    assert (Session(PROBE, cpu=True).run({"x": picture}) == 2 * picture).all()


@pytest.mark.skipif(cuda_is_built_in(), reason="this build of ONNX Runtime can use GPUs")
def test_without_a_gpu_cuda_does_not_work():
    assert not cuda_works()


class OnGpu(Engine):
    """Runs as on GPUs, on the CPU, and remembers the batches of its sessions."""

    def __init__(self, data, gpus):
        self.batches = []
        super().__init__(data, cores=1, gpus=gpus)
        self.provider = CUDA

    def _open_on(self, gpu):
        batches = []
        self.batches.append((gpu, batches))

        class Noting(Session):
            def run(self, rows):
                batches.append(len(next(iter(rows.values()))))
                return super().run(rows)

        return Noting(self._data, cpu=True)


def test_on_gpus_every_session_sees_one_batch_size(model):
    """ONNX Runtime plans every convolution anew when it changes."""
    engine, right = OnGpu(model.data, 2), Engine(model.data, cores=1)
    for worker, count in ((0, 1), (0, 3), (0, 5), (1, 1), (1, 2), (2, 4), (1, 5), (2, 1)):
        some = rows(model, count)
        assert engine.run(some, worker).tobytes() == right.run(some).tobytes()

    assert [(gpu, set(batches)) for gpu, batches in engine.batches] == [
        *[(0, {1}), (1, {1}), (0, {4}), (0, {16}), (1, {4}), (1, {16})]
    ]
