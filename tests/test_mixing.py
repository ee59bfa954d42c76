"""What `truncation` and `mix` do to the shipped generator, as a frozen evaluator that it never learned from sees it."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from app.repository import read_models
from app.tasks.generate import latent, mixed
from training.evaluate_generator import fitted
from training.evaluators.frozen import load_evaluators
from training.pictures import on_white

STEPS = 16


@pytest.fixture(scope="module")
def model():
    return read_models(Path(__file__).parents[1] / "models")["garments-128"]


@pytest.fixture(scope="module")
def draw(model):
    """Latents, class and truncation -> pictures (N, 128, 128, 3) over white."""
    session = onnxruntime.InferenceSession(model.data, providers=["CPUExecutionProvider"])

    def drawn(z, label, truncation):
        count = len(z)
        inputs = {"z": np.stack(z).astype(np.float32), "label": np.full(count, label)}
        rgba = session.run(None, inputs | {"truncation": np.full(count, truncation, np.float32)})[0]
        return np.stack([on_white(one) for one in rgba])

    return drawn


@pytest.fixture(scope="module")
def features():
    """A self-supervised evaluator's features of pictures."""
    return {one.name: one for one in load_evaluators()}["evaluator-selfsupervised"].features


def rms(a, b):
    return float(np.sqrt(np.mean((a.astype(float) - b) ** 2)))


def test_truncation_zero_is_one_picture_a_class_whatever_the_seed(model, draw):
    means = []
    for label in range(len(model.manifest.classes)):
        same = draw([latent(seed) for seed in range(4)], label, 0.0)
        assert max(rms(same[0], other) for other in same[1:]) < 0.5
        means.append(same[0])

    distances = [rms(a, b) for i, a in enumerate(means) for b in means[:i]]
    assert min(distances) > 5


def test_less_truncation_is_nearer_to_the_mean_of_the_class(model, draw):
    z = [latent(seed) for seed in range(8)]
    for label in range(len(model.manifest.classes)):
        mean = draw(z[:1], label, 0.0)[0]
        spread = [np.mean([rms(one, mean) for one in draw(z, label, psi)]) for psi in (0.25, 0.5, 0.75, 1.0)]
        assert spread == sorted(spread)


def test_mixing_goes_from_one_picture_to_the_other_without_a_jump(model, draw, features):
    jumps = []
    for label in range(len(model.manifest.classes)):
        a, b = latent(2 * label), latent(2 * label + 1)
        path = draw([mixed(a, b, step / STEPS) for step in range(STEPS + 1)], label, 0.8)
        ends = draw([a, b], label, 0.8)
        assert max(rms(path[0], ends[0]), rms(path[-1], ends[1])) < 1
        seen = features(np.stack([fitted(one) for one in path]))
        steps = np.linalg.norm(np.diff(seen, axis=0), axis=1)
        jumps.append(steps.max() / steps.sum())

    # A path that is one jump has 1, one in equal steps has 1/16.
    assert max(jumps) < 3 / STEPS
