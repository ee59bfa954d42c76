"""The networks of /restyle: they learn from what is right, are exported as trained, and are measured honestly."""

import json
from dataclasses import replace

import cv2
import numpy as np
import onnxruntime
import pytest
import torch

from training.__main__ import main
from training.composites import Material
from training.data import Labelled
from training.evaluate_restyle import psnr, ssim
from training.export import ExportError, SketchGraph, halve, rounded
from training.harmonization import View
from training.networks.patches import PatchConfig, PatchDiscriminator
from training.networks.relight import RelightConfig, RelightNet, relit
from training.networks.sketch import SketchConfig, SketchNet, laid
from training.recipes import RECIPES, quick
from training.relighting import Relighting, light_field, on_paper, pictured
from training.sketching import Sketching, colours_of, drawing, folds_of, plainest
from training.translation import Batch, TranslationTrainer

FACTS = [
    "--training-data",
    "shapes",
    "--data-licence",
    "CC0-1.0",
    "--weights-licence",
    "Apache-2.0",
    "--limits",
    "Shapes.",
]


def garment(seed=0, side=128):
    """A coloured shape over white with its alpha, (S, S, 4) uint8."""
    random = np.random.default_rng(seed)
    alpha = np.zeros((side, side), np.uint8)
    corners = np.array([(30, 20), (100, 25), (110, 105), (24, 100)]) + random.integers(-8, 9, (4, 2))
    cv2.fillPoly(alpha, [corners.astype(np.int32)], 255)
    rgb = np.where(alpha[..., None] > 0, random.integers(20, 200, 3), 255)
    return np.dstack([rgb, alpha]).astype(np.uint8)


def view(seed=0):
    """A garment in white light, and at half the light on a dark floor."""
    studio = garment(seed)
    scene = np.where(studio[..., 3:] > 0, studio[..., :3] // 2, 40).astype(np.uint8)
    return View(scene, studio)


def test_a_pictured_sample_shows_the_same_part_of_both_views():
    for seed in range(12):
        rgb, alpha, target = pictured(view(seed), 64, np.random.default_rng(seed))
        inside = alpha > 0.99
        assert rgb.shape == target.shape == (64, 64, 3)
        if inside.any():
            assert np.abs(rgb[inside].mean(0) - 0.5 * target[inside].mean(0)).max() < 0.03


def test_a_batch_is_a_photo_and_alpha_and_the_product_on_white():
    recipe = quick(RECIPES["relight"]())
    task = Relighting(recipe, [view(seed) for seed in range(4)], Material(products=[garment(7)]))
    source, target, weight, *_ = task.batch(64, 6, np.random.default_rng(0))

    assert source.shape == (6, 4, 64, 64)
    assert torch.equal(source[:, 3:], weight)
    assert (target[(weight == 0).expand_as(target)] == 1).all()
    again = task.batch(64, 6, np.random.default_rng(0))
    assert all(torch.equal(one, other) for one, other in zip((source, target, weight), again, strict=False))


def test_drawn_light_varies_and_is_never_dark_or_blinding():
    fields = [light_field(64, np.random.default_rng(seed)) for seed in range(50)]

    assert min(field.min() for field in fields) >= 0.25
    assert max(field.max() for field in fields) <= 3
    assert np.std([field.mean() for field in fields]) > 0.15


def test_most_of_what_lies_on_white_paper_is_in_the_studios_light_and_the_rest_under_the_papers():
    samples = [on_paper(Material(products=[garment(seed)]), 64, np.random.default_rng(seed)) for seed in range(60)]
    gains, papers = [], []
    for rgb, alpha, target in samples:
        inside, outside = alpha > 0.99, alpha < 0.01
        gains.append(rgb[inside].mean() / target[inside].mean())
        papers.append(np.median(rgb[outside]))

    own = np.abs(np.array(gains) - 1) < 0.05
    assert 0.45 < own.mean() < 0.8
    assert min(np.array(papers)[own]) > 0.8
    assert np.corrcoef(gains, papers)[0, 1] > 0.8  # the paper tells it
    assert max(gains) < 1.05


def test_an_untrained_network_changes_nothing_much_and_a_map_does_what_it_says():
    torch.manual_seed(0)
    rgb, alpha = torch.rand(2, 3, 64, 64), torch.ones(2, 1, 64, 64)
    light = RelightNet(RelightConfig())(rgb, alpha)
    brighter = torch.zeros(2, 6, 8, 8)
    brighter[:, 0], brighter[:, 5] = np.log(2), 0.1

    assert light.shape == (2, 6, 8, 8)
    assert (relit(rgb, light) - rgb).abs().max() < 0.1
    found = relit(rgb, brighter)
    assert torch.allclose(found[:, 0], 2 * rgb[:, 0], atol=1e-6)
    assert torch.allclose(found[:, 2], rgb[:, 2] + 0.1, atol=1e-6)


def test_a_discriminator_judges_patches_at_two_scales():
    logits, features = PatchDiscriminator(PatchConfig(channels=(4, 8)), 5)(torch.rand(3, 5, 64, 64))

    assert [tuple(one.shape) for one in logits] == [(3, 1, 16, 16), (3, 1, 8, 8)]
    assert len(features) == 4


def test_a_drawing_has_the_outline_on_white_paper():
    for seed in range(20):
        product = garment(seed)
        lines = drawing(product, 64, np.random.default_rng(seed))
        inside = cv2.resize(product[..., 3], (64, 64), interpolation=cv2.INTER_AREA)
        near = cv2.dilate((inside > 127).astype(np.uint8), np.ones((9, 9))) > 0
        deep = cv2.erode((inside > 127).astype(np.uint8), np.ones((15, 15))) > 0
        assert lines.min() >= 0
        assert lines.max() <= 1
        assert lines[~near].min() > 0.9
        assert lines[near & ~deep].min() < 0.6
        assert np.array_equal(lines, drawing(product, 64, np.random.default_rng(seed)))


def test_the_colours_of_a_product_are_its_own():
    product = garment(3)
    told = colours_of(product)
    inside = product[..., :3][product[..., 3] > 0][0] / 255

    assert np.allclose(told.reshape(3, 3), inside, atol=0.01)
    assert (colours_of(np.zeros((8, 8, 4), np.uint8)) == 0.5).all()


def sketching(classes=3, **changes):
    pictures = np.stack([garment(seed) for seed in range(24)])
    recipe = replace(quick(RECIPES["from-sketch"]()), **changes)
    recipe = replace(recipe, network=replace(recipe.network, classes=classes, palette=4 * classes))
    recipe = replace(recipe, critic=replace(recipe.critic, classes=classes))
    return Sketching(recipe, Labelled(pictures, np.arange(24) % classes, tuple("abc")[:classes]))


def test_a_sketchs_draws_are_colours_and_folds_of_the_class_that_was_asked_for():
    torch.manual_seed(0)
    net = sketching().network()
    net.palette.copy_(torch.linspace(0, 1, 12)[:, None].expand(-1, 9))
    net.palette_folds.copy_((10 * torch.arange(12, dtype=torch.uint8))[:, None, None].expand(-1, 32, 32))
    graph = SketchGraph(net, 32)
    seen = []
    net.forward = lambda lines, colours, folds, label: (
        seen.append((colours, folds)) or torch.zeros(len(lines), 4, 32, 32)
    )
    draws, labels = torch.arange(400).repeat(4), torch.arange(4).repeat_interleave(400)
    graph(torch.zeros(1600, 32, 32, 1, dtype=torch.uint8), labels, draws, torch.ones(1600))
    colours, folds = seen[0]
    product = (colours[:, 0] * 11).round().long().reshape(4, 400)
    fold = ((255 * folds[:, 0, 0, 0] + 128) / 10).round().long().reshape(4, 400)

    for label in range(3):
        of_class = set(range(4 * label, 4 * label + 4))
        assert set(product[label].tolist()) == set(fold[label].tolist()) == of_class
        assert len(set(zip(product[label].tolist(), fold[label].tolist(), strict=True))) > 8
    assert set(product[3].tolist()) == set(range(12))
    assert (fold[3] // 4 == product[3] // 4).all()  # of an unknown class too: both of one
    graph(torch.zeros(2, 32, 32, 1, dtype=torch.uint8), labels[:2], draws[:2], torch.zeros(2))
    assert torch.allclose(seen[1][0][0], seen[1][0][1])  # no strength: everybody gets the mean
    assert (seen[1][1] == 0).all()  # and no folds


def test_a_palette_without_a_class_is_not_published():
    net = SketchNet(SketchConfig(channels=(4, 4, 4, 4), blocks=1, style=4, classes=2, palette=4))
    with pytest.raises(ExportError, match="too few"):
        SketchGraph(net, 32)


def test_folds_are_stretched_over_what_is_drawn():
    lines = torch.ones(2, 1, 64, 64)
    lines[0, :, 10, 20:40] = lines[0, :, 50, 20:40] = 0
    folds = torch.linspace(-0.5, 0.5, 32)[None, None, :, None].expand(2, 1, 32, 32).contiguous()
    shade, down, across = laid(folds, lines)

    assert shade.shape == down.shape == across.shape == (2, 1, 32, 32)
    assert (shade[0, 0, :5] == -0.5).all()  # above the drawing its first row goes on
    assert (shade[0, 0, 26:] == 0.5).all()
    assert (shade[0, 0, 5:26].diff(dim=0) >= 0).all()
    assert abs(float(shade[0, 0, 15, 15])) < 0.06
    assert shade.isfinite().all()  # also where nothing is drawn
    assert float(down[0, 0, 0, 0]) == -1
    assert float(across[0, 0, 0, -1]) == 1


def test_the_folds_of_a_product_are_what_differs_from_its_mean_within_its_box():
    product = np.zeros((128, 128, 4), np.uint8)
    product[..., :3] = 255
    product[40:104, 30:94] = (100, 100, 100, 255)
    product[40:72, 30:94, :3] = 151
    folds = folds_of(product)

    assert folds.shape == (32, 32)
    assert np.allclose(folds[2:14], 0.1, atol=0.01)
    assert np.allclose(folds[18:30], -0.1, atol=0.01)
    assert (folds_of(np.zeros((16, 16, 4), np.uint8)) == 0).all()


def test_plain_products_are_kept_for_the_palette():
    """Of plain products and printed ones of a class, plain ones are found."""
    pictures = np.stack([garment(seed) for seed in range(20)])
    for printed in pictures[10:]:
        printed[50:70, 50:80, :3] = np.random.default_rng(0).integers(0, 256, (20, 30, 3))
    kept = plainest(Labelled(pictures, np.zeros(20, np.int64), ("a",)), 0)

    assert kept
    assert max(kept) < 10
    assert plainest(Labelled(pictures, np.zeros(20, np.int64), ("a", "b")), 1) == []


def test_what_has_no_truth_is_not_compared_with_one():
    task = sketching(strange=1.0)
    batch = task.batch(64, 4, np.random.default_rng(0))
    terms = task.terms(batch.target, batch)

    assert not batch.paired.any()
    assert terms["l1"] == terms["alpha"] == 0
    assert terms["told"] > 0
    paired = sketching(strange=0.0).batch(64, 4, np.random.default_rng(0))
    assert paired.paired.all()
    assert task.terms(paired.target, paired)["told"] == 0


def test_training_comes_nearer_to_the_truth():
    """A network that may only change the light learns to double it."""
    recipe = replace(quick(RECIPES["relight"]()), stages=((32, 60),), made_up=0.0, paper=0.0, batch_size=4, lr=3e-3)
    trainer = TranslationTrainer(recipe, Relighting(recipe, [view(seed) for seed in range(6)], Material()))
    terms = [trainer.step(index, torch.Generator().manual_seed(index)) for index in range(60)]

    assert np.mean([one["l1"] for one in terms[-10:]]) < 0.6 * np.mean([one["l1"] for one in terms[:5]])
    assert all(np.isfinite(list(one.values())).all() for one in terms)


def test_what_does_not_count_is_not_judged():
    recipe = quick(RECIPES["relight"]())
    trainer = TranslationTrainer(recipe, Relighting(recipe, [view()], Material()))
    target, weight = torch.rand(1, 3, 8, 8), torch.zeros(1, 1, 8, 8)
    weight[..., :4] = 0.5
    seen = trainer._judged(
        Batch(torch.zeros(1, 4, 8, 8), target, weight, torch.zeros(1, 0), torch.ones(1)), torch.ones(1, 3, 8, 8)
    )

    assert (seen[:, 4:, :, :4] == 1).all()
    assert torch.equal(seen[:, 4:, :, 4:], target[..., 4:])


def test_halved_weights_are_half_the_file_and_the_same_function(tmp_path):
    net = rounded(torch.nn.Conv2d(3, 64, 3).eval())
    example = torch.rand(1, 3, 16, 16)
    torch.onnx.export(
        net, (example,), str(tmp_path / "a.onnx"), input_names=["x"], dynamo=True, external_data=False, verbose=False
    )
    before, expected = (tmp_path / "a.onnx").stat().st_size, net(example).detach().numpy()
    halve(tmp_path / "a.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx", providers=["CPUExecutionProvider"])

    assert (tmp_path / "a.onnx").stat().st_size < 0.75 * before
    assert np.abs(session.run(None, {"x": example.numpy()})[0] - expected).max() < 1e-5


def test_kernels_stored_in_bytes_are_a_quarter_of_the_file_and_within_half_a_step(tmp_path):
    torch.manual_seed(0)
    net = torch.nn.Conv2d(16, 64, 3).eval()
    weights, example = net.weight.detach().clone(), torch.rand(1, 16, 16, 16)
    net = rounded(net, in_bytes=True)
    torch.onnx.export(
        net, (example,), str(tmp_path / "a.onnx"), input_names=["x"], dynamo=True, external_data=False, verbose=False
    )
    before, expected = (tmp_path / "a.onnx").stat().st_size, net(example).detach().numpy()
    halve(tmp_path / "a.onnx", in_bytes=True)
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx", providers=["CPUExecutionProvider"])
    step = weights.abs().amax((1, 2, 3), keepdim=True) / 127

    assert (tmp_path / "a.onnx").stat().st_size < 0.4 * before
    assert np.abs(session.run(None, {"x": example.numpy()})[0] - expected).max() < 1e-5
    assert ((net.weight - weights).abs() <= 0.501 * step).all()
    assert not torch.equal(net.weight, weights)


def test_similarities_have_known_answers():
    random = np.random.default_rng(0)
    picture = random.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    brighter = np.clip(picture.astype(int) + 10, 0, 255).astype(np.uint8)

    assert ssim(picture, picture) == pytest.approx(1)
    assert ssim(picture, random.permutation(picture)) < 0.1
    assert psnr(np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)) == 0
    assert psnr(picture, brighter) == pytest.approx(28.1, abs=0.6)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    (folder / "scenes.csv").write_text("key\n")
    for number in range(60):
        for name, picture in zip(("scene", "studio"), view(number), strict=True):
            path = str(folder / f"thing{number}_00_{name}.webp")
            cv2.imwrite(path, picture[..., [2, 1, 0, 3][: picture.shape[2]]], [cv2.IMWRITE_WEBP_QUALITY, 101])
    return folder


def test_relight_is_trained_exported_and_measured(scenes, tmp_path):
    main(["relight", "--quick", "--data", str(scenes), "--out", str(tmp_path / "run"), "--device", "cpu"])
    main(["export", str(tmp_path / "run"), "--models", str(tmp_path), *FACTS])
    folder = tmp_path / "relight" / "1"
    main(["evaluate", str(folder), "--data", str(scenes), "--save"])
    manifest = json.loads((folder / "manifest.json").read_text())
    quality = {record["measure"]: record["value"] for record in manifest["quality"]}

    assert manifest["task"] == "relight"
    assert manifest["size"] == 64
    assert 5 < quality["PSNR, snapshot"] < 40
    assert quality["SSIM, relit"] <= 1
    assert 0 <= quality["distance of the product's mean colour, relit where it is the studio's already"] < 100
    assert "| PSNR, relit |" in (folder / "card.md").read_text()
    assert (folder / "samples.webp").is_file()


def test_from_sketch_is_trained_exported_and_measured(curated, tmp_path):
    main(["from-sketch", "--quick", "--data", str(curated), "--out", str(tmp_path / "run"), "--device", "cpu"])
    main(["export", str(tmp_path / "run"), "--models", str(tmp_path), *FACTS])
    folder = tmp_path / "from-sketch" / "1"
    main(["evaluate", str(folder), "--data", str(curated), "--save"])
    manifest = json.loads((folder / "manifest.json").read_text())

    assert manifest["classes"] == ["cup", "sign"]
    assert manifest["task"] == "from-sketch"
    assert {record["measure"] for record in manifest["quality"]} == {
        "IoU with the drawn product's shape",
        "RMS distance of two draws",
    }
