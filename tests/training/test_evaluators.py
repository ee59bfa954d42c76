"""What evaluations look through, and what they find in samples whose faults are known."""

import hashlib
import json
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from training.data import Labelled
from training.evaluate_generator import Sample, Yardstick, blurred, fitted
from training.evaluators.frozen import HOME, EvaluatorError, load_evaluators, random_evaluator
from training.evaluators.learning import ORDERS, puzzles
from training.evaluators.taught import taught
from training.report import aims

EYE = "evaluator-selfsupervised"
SHAPES = ("disc", "box", "bar")


def product(label, random):
    """A shape of random colour, place and size on white, (64, 64, 4): the picture, and its alpha."""
    alpha = np.zeros((64, 64), np.uint8)
    x, y, half = (int(n) for n in random.integers((26, 26, 10), (38, 38, 22)))
    if label == 0:
        cv2.circle(alpha, (x, y), half, 255, -1)
    else:
        across = half if label == 1 else half // 3
        cv2.rectangle(alpha, (x - across, y - half), (x + across, y + half), 255, -1)
    cloth = random.integers(20, 220, 3) + random.normal(0, 12, (64, 64, 3))
    picture = np.where(alpha[..., None] > 0, cloth.clip(0, 255), 255)
    return np.dstack([picture, alpha]).astype(np.uint8)


def products(count, seed):
    """`count` of each of three classes."""
    random, labels = np.random.default_rng(seed), np.repeat(np.arange(3), count)
    return Labelled(np.stack([product(label, random) for label in labels]), labels, SHAPES)


@pytest.fixture(scope="module")
def yardstick():
    return Yardstick(products(60, 0), products(40, 1), load_evaluators(), per_class=40)


@pytest.fixture(scope="module")
def honest(yardstick):
    """Figures of products that are as real as the others, and new."""
    return yardstick.measure(Sample("new", products(40, 2))).overall


@pytest.fixture(scope="module")
def copies(yardstick):
    """Figures of a generator that has learned its training products by heart, mirrored."""
    mirrored = replace(yardstick.train, pictures=yardstick.train.pictures[:, :, ::-1])
    return yardstick.measure(Sample("copies", mirrored))


def test_new_reals_reach_the_floor(yardstick, honest):
    floor = yardstick.measure(next(yardstick.references())).overall

    for look in ("evaluator-classifier", EYE, "evaluator-random"):
        assert abs(honest[f"kid {look}"]) < 3 * honest[f"spread {look}"]
        assert honest[f"frechet {look}"] < 2 * floor[f"frechet {look}"]
        assert honest[f"coverage {look}"] > 0.85
    assert honest["near"] < 0.2
    assert honest["near pixels"] < 0.2
    assert honest["taught"] > 0.5


def test_copies_of_the_training_products_are_caught_although_mirrored(yardstick, copies):
    train = yardstick.train

    assert copies.overall["near"] == 1
    assert copies.overall["near pixels"] == 1
    assert copies.overall["pixels"] < 1
    generated, copied = copies.closest[:20].reshape(2, 10, 64, 64, 3)
    assert all(np.array_equal(a[:, ::-1], b) for a, b in zip(generated, copied, strict=True))
    assert all((b == train.pictures[..., :3]).all((1, 2, 3)).any() for b in copied)


def test_one_picture_a_class_is_caught_by_coverage(yardstick, honest):
    new = products(40, 2)
    collapsed = replace(new, pictures=np.repeat(new.pictures[::40], 40, 0))
    found = yardstick.measure(Sample("collapsed", collapsed)).overall

    assert found[f"coverage {EYE}"] < 0.3 < honest[f"coverage {EYE}"]
    assert found["variety"] == 0


def test_blur_is_caught_by_the_frechet_distance(yardstick, honest):
    new = products(40, 2)
    found = yardstick.measure(Sample("blurred", replace(new, pictures=blurred(new.pictures)))).overall

    for look, times in (("evaluator-classifier", 1.5), (EYE, 1.5), ("evaluator-random", 1.2)):
        assert found[f"frechet {look}"] > times * honest[f"frechet {look}"]


def test_the_kernel_distance_looks_at_four_times_as_many_products_as_are_held_out():
    few = Yardstick(products(60, 0), products(10, 1), load_evaluators(), per_class=10)
    new = products(40, 2)
    spoiled = replace(new, pictures=new.pictures.copy())
    later = np.arange(len(new.labels)) % 40 >= 10  # than the first of each class, as many as are held out
    spoiled.pictures[later] = blurred(new.pictures[later], 4)
    fine, worse = (few.measure(Sample("made", data)).overall for data in (new, spoiled))

    assert few.count == 40
    for look in ("evaluator-classifier", EYE, "evaluator-random"):
        assert worse[f"kid {look}"] > fine[f"kid {look}"] + fine[f"spread {look}"]
        assert worse[f"frechet {look}"] == fine[f"frechet {look}"]


def test_puzzles_have_their_answers():
    pictures = torch.arange(2 * 16.0).reshape(2, 1, 4, 4).repeat(200, 1, 1, 1)
    mixed, answer = puzzles(pictures, torch.Generator().manual_seed(0))

    assert all(torch.equal(mixed[i], pictures[i].rot90(int(answer[i]), (1, 2))) for i in range(200))
    whole = [i for i in range(200, 400) if answer[i] == ORDERS.index((0, 1, 2, 3))]
    assert whole
    assert all(torch.equal(mixed[i], pictures[i]) == (i in whole) for i in range(200, 400))


def test_products_under_the_wrong_name_teach_nothing(yardstick):
    train, test = products(40, 3), products(40, 4)
    wrong = replace(train, labels=(train.labels + 1) % 3)

    right, misled = (taught(data, passes=60).labels(test.pictures[..., :3]) for data in (train, wrong))
    assert (right == test.labels).mean() > 0.6
    assert (misled == test.labels).mean() < 0.3


def test_products_of_another_size_are_fitted():
    assert fitted(np.full((32, 32, 4), 7, np.uint8)).shape == (64, 64, 4)
    assert fitted(np.full((128, 128, 4), 7, np.uint8)).shape == (64, 64, 4)


def test_the_shipped_evaluators_are_small_and_their_hashes_right():
    entries = {entry["name"]: entry for entry in json.loads((HOME / "manifest.json").read_text())["evaluators"]}

    assert set(entries) == {"evaluator-classifier", EYE, "evaluator-random"}
    assert sum(path.stat().st_size for path in HOME.iterdir()) < 1_000_000
    for entry in entries.values():
        assert entry["quality"]["value"] > 0
        if "file" in entry:
            assert hashlib.sha256((HOME / entry["file"]).read_bytes()).hexdigest() == entry["sha256"]
    assert [one.name for one in load_evaluators()][-1] == "evaluator-random"


def test_changed_weights_are_refused(tmp_path):
    home = tmp_path / "weights"
    shutil.copytree(HOME, home)
    path = home / "evaluator-classifier.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")

    with pytest.raises(EvaluatorError, match="not the file"):
        load_evaluators(home)
    with pytest.raises(EvaluatorError, match="random weights"):
        random_evaluator("0" * 64)
    with pytest.raises(EvaluatorError, match="no readable evaluators"):
        load_evaluators(tmp_path)


def test_a_missed_aim_is_called_missed(yardstick, copies):
    lines = aims(yardstick.held_out_figures(), copies, None, 120)

    assert next(line for line in lines if "near, features" in line).endswith("| **missed** |")
    assert next(line for line in lines if "coverage" in line).endswith("| reached |")
