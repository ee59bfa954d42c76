"""Products learn the light of a place; what is exported says the same, and its evaluation knows good from bad."""

import json

import cv2
import numpy as np
import onnxruntime
import pytest
import torch

from app.tasks.harmonize import changed as applied
from training.__main__ import main
from training.harmonization import View, harmonize_terms, pair, stacked
from training.networks.harmonize import changed

FACTS = [
    "--training-data",
    "discs",
    "--data-licence",
    "CC0-1.0",
    "--weights-licence",
    "Apache-2.0",
    "--limits",
    "Discs.",
]


def view(seed, side=48):
    """A disc in white light, and in a place where the light is orange."""
    random = np.random.default_rng(seed)
    colour, ground = random.integers(60, 200, 3), random.integers(60, 200, 3)
    light = np.array([1.2, 1.0, 0.7])
    y, x = np.mgrid[0:side, 0:side]
    inside = (x - side / 2) ** 2 + (y - side / 2) ** 2 < (side / 3) ** 2
    studio = np.zeros((side, side, 4), np.uint8)
    studio[inside] = (*colour, 255)
    scene = np.where(inside[..., None], colour * light, ground * light).clip(0, 255).astype(np.uint8)
    return View(scene, studio)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    (folder / "scenes.csv").write_text("key\n")
    for number in range(60):
        for name, picture in zip(("scene", "studio"), view(number), strict=True):
            order = [2, 1, 0, 3][: picture.shape[2]]
            path = str(folder / f"thing{number}_00_{name}.webp")
            cv2.imwrite(path, picture[..., order], [cv2.IMWRITE_WEBP_QUALITY, 101])
    return folder


def test_a_pair_is_the_place_with_the_studios_product_in_it():
    one = view(0)
    rgb, mask, target = pair(one, 48)
    inside = one.studio[..., 3] == 255

    assert np.array_equal(mask == 1, inside)
    assert np.abs(rgb[inside] * 255 - one.studio[inside][:, :3]).max() < 0.5
    assert np.array_equal(rgb[~inside], target[~inside])
    assert np.abs(target * 255 - one.scene).max() < 0.5
    for seed in range(10):
        again = [pair(one, 32, np.random.default_rng(seed)) for _ in range(2)]
        assert all(np.array_equal(a, b) for a, b in zip(*again, strict=True))
        assert again[0].mask.max() == 1


def test_the_service_changes_colours_as_the_training_does():
    random = np.random.default_rng(0)
    rgb = random.integers(0, 256, (20, 20, 3), dtype=np.uint8)
    for parameters in random.uniform(-0.4, 0.4, (5, 5)).astype(np.float32):
        ours = applied(rgb, parameters).astype(float)
        picture = torch.from_numpy(rgb / np.float32(255)).permute(2, 0, 1)[None]
        theirs = changed(picture, torch.from_numpy(parameters)[None]).clamp(0, 1)[0].permute(1, 2, 0).numpy() * 255
        assert np.abs(ours - theirs).max() <= 1


def test_the_loss_is_least_for_the_truth():
    rgb, mask, target = stacked([pair(view(0), 48)])
    still = torch.zeros(1, 5)
    right = harmonize_terms(target, target, mask, still)
    wrong = harmonize_terms(rgb, target, mask, still)

    assert all(value == 0 for value in right.values())
    assert wrong["colour"] > 0.05
    assert wrong["mean"] > 0.05


def test_it_is_trained_exported_and_measured(scenes, tmp_path, capsys):
    main(["harmonize", "--quick", "--data", str(scenes), "--out", str(tmp_path / "run"), "--device", "cpu"])
    main(["export", str(tmp_path / "run"), "--models", str(tmp_path), *FACTS])
    folder = tmp_path / "harmonize" / "1"
    main(["evaluate", str(folder), "--data", str(scenes), "--save"])
    manifest = json.loads((folder / "manifest.json").read_text())
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    image = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 4), dtype=np.uint8)
    found = session.run(None, {"image": image})[0]

    assert manifest["task"] == "harmonize"
    assert found.shape == (3, 5)
    assert np.abs(found).max() <= 0.4
    quality = {record["measure"]: record["value"] for record in manifest["quality"]}
    assert quality["distance of the mean colour, set in as it is"] > 5
    assert "the same, harmonized" in (folder / "card.md").read_text()
    with pytest.raises(SystemExit):
        main(["harmonize", "--data", str(tmp_path), "--out", str(tmp_path / "none")])
    assert "no scenes of the train split" in capsys.readouterr().err
