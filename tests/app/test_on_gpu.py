"""The models on a GPU: the CPU's pictures, work of several threads, memory that runs out."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from app.contracts import prove
from app.gpus import gpu_memory, load_nvml
from app.repository import read_models
from app.sessions import CUDA, Engine, OutOfMemory, Session, SessionOptions, cuda_is_built_in, cuda_works
from bench.gpu_models import rows

MODELS = read_models(Path(__file__).parents[2] / "models")
SOME = ("garments-128", "cutout")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not cuda_is_built_in() or not gpu_memory(load_nvml()), reason="needs a GPU"),
]


@pytest.fixture(scope="module", params=sorted(MODELS))
def model(request):
    return MODELS[request.param]


def assert_close(found, right):
    """To within a step of a picture."""
    apart = np.abs(found.astype(float) - right.astype(float))
    assert (found.shape, found.dtype) == (right.shape, right.dtype)
    assert apart.max() <= (1 if found.dtype == np.uint8 else 1e-3 * max(1.0, np.abs(right).max()))


def test_cuda_works():
    assert cuda_works()


def test_pictures_are_those_of_the_cpu_in_every_batch(model):
    engine, many = Engine(model.data, cores=1, gpus=1), rows(model, 5)
    right = Session(model.data, SessionOptions(threads=0), cpu=True).run(many)

    assert engine.provider == CUDA
    assert_close(engine.run(many), right)
    for i in range(5):
        assert_close(engine.run({name: values[i : i + 1] for name, values in many.items()}), right[i : i + 1])


def test_a_model_does_its_task(model):
    prove(model, Engine(model.data, cores=1, gpus=1).run)


def test_workers_and_loaders_may_use_a_gpu_at_once():
    engines = [Engine(MODELS[name].data, cores=1, gpus=1) for name in SOME]
    work = [(engine, rows(MODELS[name], count)) for engine, name in zip(engines, SOME, strict=True) for count in (1, 2)]
    right = [engine.run(some).tobytes() for engine, some in work]

    def use(_):
        return [[engine.run(some).tobytes() for _ in range(20)] for engine, some in work]

    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(use, range(4)):
            assert [set(one) for one in found] == [{one} for one in right]


def test_a_batch_that_is_too_large_is_told_from_other_faults_and_smaller_ones_go_on():
    session = Session(MODELS["enhance-x2"].data)
    huge = {"image": np.zeros((160, 2048, 2048, 3), np.uint8), "strength": np.zeros(160, np.float32)}
    with pytest.raises(OutOfMemory):
        session.run(huge)

    small = {"image": huge["image"][:1, :64, :64], "strength": huge["strength"][:1]}
    assert session.run(small).shape == (1, 128, 128, 3)
    assert session.provider == CUDA
