"""Products in other colours: what is learned from, that it is learned, and that it is measured honestly."""

import json
from dataclasses import replace

import cv2
import numpy as np
import onnxruntime
import pytest
import torch

from tests.training.test_translation import FACTS, garment, view
from training.__main__ import main
from training.colours import ciede2000, in_lab
from training.composites import unit
from training.evaluate_colorway import gap, note_truth
from training.figures import Report
from training.networks.colorway import ColorwayConfig, ColorwayNet, dye, mean_inside
from training.networks.grid import affine
from training.recipes import RECIPES, quick
from training.recolouring import Colouring, dyed, fine, most_frequent, sample
from training.translation import TranslationTrainer

RED, BLUE = np.array((0.7, 0.1, 0.1), np.float32), np.array((0.1, 0.2, 0.6), np.float32)


def shirt(side=64):
    """Red cloth with folds and a white print: rgb (S, S, 3) and alpha (S, S) in [0, 1], and where the print is."""
    x = np.arange(side)
    rgb = np.broadcast_to(RED * (1 + 0.2 * np.sin(x / 3))[None, :, None], (side, side, 3)).astype(np.float32).copy()
    printed = np.zeros((side, side), bool)
    printed[24:40, 24:40] = True
    rgb[printed] = 0.95
    return np.clip(rgb, 0, 1), np.ones((side, side), np.float32), printed


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, -1.3802, -84.2814), (50, 0, -82.7485), 1.0000),
        ((50, -1, 2), (50, 0, 0), 2.3669),
        ((50, 2.49, -0.001), (50, -2.49, 0.0009), 7.1792),
        ((50, 2.49, -0.001), (50, -2.49, 0.0011), 7.2195),
        ((50, 2.5, 0), (73, 25, -18), 27.1492),
        ((50, 2.5, 0), (56, -27, -3), 31.9030),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
        ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
        ((10, 20, 30), (10, 20, 30), 0),
    ],
)
def test_differences_of_colour_are_those_of_the_paper(one, other, expected):
    assert ciede2000(np.array(one), np.array(other)) == pytest.approx(expected, abs=5e-5)
    assert ciede2000(np.array(other), np.array(one)) == pytest.approx(expected, abs=5e-5)


def test_the_cloth_is_dyed_and_the_print_stays():
    rgb, alpha, printed = shirt()
    cloth, all_of_it = (dyed(rgb, alpha, BLUE, (1.0, 0.4), only_cloth=only) for only in (True, False))

    assert np.abs(most_frequent(in_lab(rgb)[~printed]) - in_lab(RED)).max() < 7
    assert np.abs(cloth[~printed].mean(0) - BLUE).max() < 0.1
    assert np.abs(cloth[30:34, 30:34] - 0.95).max() < 0.02
    assert np.abs(all_of_it[30:34, 30:34] - 0.95).max() > 0.1
    light = [in_lab(one)[10, :, 0] for one in (rgb, cloth)]
    assert np.corrcoef(*light)[0, 1] > 0.99


def test_a_sample_shows_the_same_product_twice_in_different_colours():
    random, means = np.random.default_rng(0), np.random.default_rng(1).random((6, 3))
    cases = [sample([garment(seed)], means, 64, random) for seed in range(12)]

    for case in cases:
        assert case.source.shape == case.target.shape == (64, 64, 3)
        assert 0 <= case.source.min() <= case.source.max() <= 1
        assert case.alpha.max() > 0.99
    assert np.mean([gap(case.source, case) for case in cases]) > 10
    assert max(gap(case.target, case) for case in cases) < 1e-6


def test_an_untrained_network_dyes_and_keeps_shades():
    torch.manual_seed(0)
    rgb, alpha, _ = shirt()
    picture = torch.from_numpy(rgb).permute(2, 0, 1)[None]
    cover, wish = torch.from_numpy(alpha)[None, None], torch.from_numpy(BLUE)[None]
    found = affine(picture, ColorwayNet(ColorwayConfig())(picture, cover, wish))

    assert (mean_inside(found, cover) - wish).abs().max() < 0.08
    before, after = fine(picture, cover), fine(found, cover)
    assert torch.cosine_similarity(before.flatten(), after.flatten(), 0) > 0.95
    assert torch.allclose(dye(wish, wish) @ wish[0], wish, atol=1e-6)


def test_a_map_does_to_colours_what_it_says():
    rgb = torch.rand(1, 3, 16, 16)
    change = torch.zeros(1, 12, 2, 2)
    change[:, 1] = change[:, 5] = change[:, 6] = 1  # red becomes green, green blue, blue red
    change[:, 11] = 0.5

    assert torch.allclose(affine(rgb, change), rgb[:, [1, 2, 0]] + torch.tensor([0, 0, 0.5])[:, None, None])


def test_strange_wishes_have_no_truth_but_a_mean():
    recipe = replace(quick(RECIPES["colorway"]()), strange=1.0)
    task = Colouring(recipe, [garment(seed) for seed in range(4)])
    batch = task.batch(64, 4, np.random.default_rng(0))
    terms = task.terms(batch.target, batch)

    assert not batch.paired.any()
    assert terms["l1"] == 0
    assert terms["told"] > 0.02
    paired = Colouring(replace(recipe, strange=0.0), task.products).batch(64, 4, np.random.default_rng(0))
    assert paired.paired.all()
    assert task.terms(paired.target, paired)["told"] < 0.01
    assert task.seen(paired).shape == (4, 1, 64, 64)  # not the made-up colours


def test_training_comes_nearer_to_the_truth():
    recipe = replace(quick(RECIPES["colorway"]()), stages=((32, 80),), strange=0.0, batch_size=4, lr=3e-3)
    trainer = TranslationTrainer(recipe, Colouring(recipe, [patched(seed) for seed in range(4)]))
    batch = trainer.task.batch(32, 32, np.random.default_rng(0))
    before = far_off(trainer, batch)
    for index in range(80):
        trainer.step(index, torch.Generator().manual_seed(index))

    assert far_off(trainer, batch) < 0.85 * before


@torch.no_grad()
def far_off(trainer, batch):
    return float(trainer.task.terms(trainer.task.translated(trainer.net, batch), batch)["l1"])


def patched(seed):
    """A garment with a white print, which a dye alone would tint."""
    product = garment(seed)
    product[45:85, 45:85, :3] = 250
    return product


def test_a_network_that_ignores_the_wish_is_found_out():
    report = Report()
    ways = {"truthful": lambda rgb, _, wish: rgb * 0 + wish, "stubborn": lambda rgb, *_: rgb}
    note_truth(report, [garment(seed) for seed in range(6)], 64, ways)
    found = {record["measure"]: record["value"] for record in report.records}

    assert found["distance from the truth, stubborn"] > 3 * found["distance from the truth, truthful"]


def test_it_is_trained_exported_and_measured(tmp_path):
    folder = tmp_path / "scenes"
    folder.mkdir()
    (folder / "scenes.csv").write_text("key\n")
    for number in range(40):
        for name, picture in zip(("scene", "studio"), view(number), strict=True):
            path = str(folder / f"thing{number}_00_{name}.webp")
            cv2.imwrite(path, picture[..., [2, 1, 0, 3][: picture.shape[2]]], [cv2.IMWRITE_WEBP_QUALITY, 101])
    main(["colorway", "--quick", "--data", str(folder), "--out", str(tmp_path / "run"), "--device", "cpu"])
    main(["export", str(tmp_path / "run"), "--models", str(tmp_path), *FACTS])
    published = tmp_path / "colorway" / "1"
    main(["evaluate", str(published), "--data", str(folder), "--save"])
    manifest = json.loads((published / "manifest.json").read_text())
    quality = {record["measure"]: record["value"] for record in manifest["quality"]}

    assert (manifest["task"], manifest["size"]) == ("colorway", 64)
    assert quality["distance of the mean colour from the wish, mid-tones"] < 12
    assert "eight colours" in (published / "card.md").read_text()
    assert (published / "samples.webp").is_file()
    session = onnxruntime.InferenceSession((published / "model.onnx").read_bytes())
    image = np.dstack([np.full((64, 64, 3), 90, np.uint8), np.full((64, 64), 255, np.uint8)])
    change = session.run(None, {"image": image[None], "color": np.array([[200, 40, 40]], np.uint8)})[0]
    picture = torch.from_numpy(unit(image[..., :3])).permute(2, 0, 1)[None]
    found = 255 * affine(picture, torch.from_numpy(change).permute(0, 3, 1, 2)).mean((2, 3))
    assert (found - torch.tensor([[200.0, 40, 40]])).abs().max() < 25
