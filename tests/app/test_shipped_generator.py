"""The shipped generator, through the worker: deterministic in any company, and not collapsed."""

import asyncio
import time
from pathlib import Path

import numpy as np
import pytest

from app.batching import Batcher, Line
from app.metrics import Metrics
from app.pipeline import Products
from app.repository import RepositoryError, read_model, read_models
from app.schemas import GenerateRequest
from app.sessions import Engine
from app.tasks.generate import latent, mixed, uniform

MODELS = Path(__file__).parents[2] / "models"


@pytest.fixture(scope="module")
def model():
    return read_models(MODELS)["garments-128"]


@pytest.fixture(scope="module")
def generate(model):
    """Seeds -> pictures, by whatever batches they make."""
    engine = Engine(model.data, cores=2)
    line = Line(engine, Metrics().model("garments-128"), seconds_per_row=0.004, max_batch=16, batch_s=1)
    batcher = Batcher(workers=2)

    def made(seeds):
        work = Products(GenerateRequest(), list(seeds), model.manifest.classes)
        return asyncio.run(batcher.submit(line, work, time.monotonic() + 60, lambda: work.outputs)).value

    yield made
    batcher.close()


def test_a_seed_gives_the_same_bytes_alone_and_in_a_crowd(generate):
    alone = generate([7])[0]
    crowd = generate(range(16))

    assert alone.shape == (128, 128, 4)
    assert alone.tobytes() == crowd[7].tobytes()


def test_sixteen_seeds_give_sixteen_pictures(generate):
    pictures = np.stack(generate(range(16))).astype(float)
    distances = np.abs(pictures[:, None] - pictures[None]).mean((2, 3, 4))[np.triu_indices(16, 1)]

    assert distances.min() > 3
    assert distances.mean() > 20


def test_products_stand_on_nothing(generate):
    pictures = np.stack(generate(range(16)))

    assert (pictures[:, [0, 0, -1, -1], [0, -1, 0, -1], 3] == 0).all()
    assert (pictures[..., 3] == 255).mean() > 0.15


@pytest.mark.parametrize("seed", [0, 7, 2**63 - 1])
def test_latents_come_from_philox_as_numpy_has_it(seed):
    for stream, count in ((0, 128), (1, 1), (0, 5)):
        raw = np.random.Philox(key=np.array([seed, stream], np.uint64)).random_raw(count)
        assert (uniform(seed, stream, count) == ((raw >> np.uint64(11)).astype(float) + 1) / 2.0**53).all()


def test_mixing_moves_from_one_latent_to_the_other():
    a, b = latent(1), latent(2)

    assert np.allclose(mixed(a, b, 0), a)
    assert np.allclose(mixed(a, b, 1), b, atol=1e-5)
    assert abs(np.linalg.norm(mixed(a, b, 0.5)) / np.linalg.norm(a) - 1) < 0.3


def test_a_changed_model_file_is_refused(model, tmp_path):
    source = MODELS / "garments-128" / model.manifest.version
    (tmp_path / "manifest.json").write_bytes((source / "manifest.json").read_bytes())
    (tmp_path / "model.onnx").write_bytes(model.data[:-1] + b"x")

    with pytest.raises(RepositoryError, match="hash"):
        read_model(tmp_path)
