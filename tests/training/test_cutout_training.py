"""Composites have an exact truth; splits share no object; the losses and scores know good from bad."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from training import checkpoint
from training.__main__ import main
from training.composites import (
    Material,
    Shares,
    composite,
    object_of,
    pierced,
    read_material,
    sample,
    with_rods,
)
from training.curate import split_of
from training.evaluate_cutout import score
from training.export import CutoutGraph, weights_of
from training.matting import batch, matting_terms
from training.networks.matting import MattingNet
from training.recipes import RECIPES, quick


def product(seed, side=64):
    """An ellipse of one colour with a soft edge; (S, S, 4) uint8."""
    random = np.random.default_rng(seed)
    alpha = np.zeros((side, side), np.uint8)
    cv2.ellipse(alpha, (side // 2, side // 2), (side // 3, side // 4), 20, 0, 360, 255, -1, cv2.LINE_AA)
    return np.dstack([np.full((side, side, 3), random.integers(30, 226, 3), np.uint8), alpha])


def material():
    rng = np.random.default_rng(0)
    products = [product(seed) for seed in range(4)]
    grounds = [rng.integers(0, 256, (200, 200, 3), dtype=np.uint8) for _ in range(2)]
    surfaces = [rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)]
    return Material(products, products, products, grounds, surfaces)


def test_where_a_composite_is_all_product_it_is_the_products_own_colour_and_shadows_are_no_product():
    for seed in range(20):
        made = composite(material(), 64, Shares(shadow=1.0), np.random.default_rng(seed))
        inside = made.alpha > 0.999
        assert np.abs(made.residual[inside]).max(initial=0) < 0.01
        assert made.alpha.max() <= 1
        assert (made.residual[made.alpha < 0.01] == 0).all()
        lit = composite(material(), 64, Shares(shadow=0.0), np.random.default_rng(seed))
        assert np.array_equal(made.alpha, lit.alpha)
        assert (made.rgb <= lit.rgb + 1e-6).all()
        assert (made.rgb < lit.rgb - 0.01).any()
        assert (made.alpha > 0.5).mean() < 0.9


def test_holes_take_away_and_rods_add_and_both_leave_the_rest_as_it_is():
    picture = product(3, 128).astype(np.float32) / 255
    colour, alpha = picture[..., :3], picture[..., 3]
    for seed in range(20):
        holed = pierced(alpha, np.random.default_rng(seed))
        assert (holed <= alpha).all()
        assert 0.001 < (alpha - holed).mean() < 0.9 * alpha.mean()
        painted, longer = with_rods(colour, alpha, np.random.default_rng(seed))
        assert (longer >= alpha - 1e-6).all()
        assert longer.max() <= 1
        assert 0 <= painted.min() <= painted.max() <= 1
        untouched = np.abs(painted - colour).max(-1) < 1e-6
        assert untouched.mean() > 0.6  # they are thin
        assert ((longer - alpha)[untouched] < 1e-6).all()
    added = [(with_rods(colour, alpha, np.random.default_rng(seed))[1] - alpha).sum() for seed in range(20)]
    assert np.median(added) > 50


def test_what_has_no_product_can_be_pierced_and_have_rods():
    nothing = np.zeros((32, 32), np.float32)

    assert (pierced(nothing, np.random.default_rng(0)) == 0).all()
    _, alpha = with_rods(np.zeros((32, 32, 3), np.float32), nothing, np.random.default_rng(0))
    assert np.isfinite(alpha).all()


def test_pictures_with_alpha_are_products_and_the_others_grounds(tmp_path):
    for number in range(40):
        cv2.imwrite(str(tmp_path / f"cut{number}.png"), product(number))
    opaque = product(1)
    opaque[..., 3] = 255
    cv2.imwrite(str(tmp_path / "opaque.png"), opaque)
    cv2.imwrite(str(tmp_path / "deep.png"), product(2).astype(np.uint16) * 257)
    cv2.imwrite(str(tmp_path / "photo.jpg"), np.full((200, 200, 3), 90, np.uint8))
    found = {split: read_material([tmp_path], split) for split in ("train", "validation", "test")}

    assert sum(len(one.products) for one in found.values()) == 40
    assert all(one.products for one in found.values())
    for one in found.values():
        assert [len(one.places), len(one.surfaces)] == [1, 2]  # grounds are in every split
    cut = found["train"].products[0]
    assert cut.shape[2] == 4
    assert cut.shape[0] < 64  # trimmed
    assert (cut[cut.shape[0] // 2, cut.shape[1] // 2, :3] >= 30).all()


def test_samples_are_in_range_and_the_same_for_the_same_numbers():
    for seed in range(12):
        first, again = (sample(material(), 64, Shares(), np.random.default_rng(seed)) for _ in range(2))
        for one, other in zip(first, again, strict=True):
            assert one.dtype == np.float32
            assert np.array_equal(one, other)
        assert first.rgb.shape == (64, 64, 3)
        assert 0 <= first.alpha.min() <= first.alpha.max() <= 1


def test_a_batch_has_its_channels_first():
    shapes = [tuple(part.shape) for part in batch(material(), 32, 3, Shares(), torch.Generator().manual_seed(0))]

    assert shapes == [(3, 3, 32, 32), (3, 1, 32, 32), (3, 3, 32, 32), (3, 1, 32, 32)]


def test_scenes_are_split_by_object(tmp_path):
    (tmp_path / "scenes.csv").write_text("key\n")
    keys = [f"thing{number}_{view:02d}" for number in range(60) for view in range(2)]
    for key in keys:
        cv2.imwrite(str(tmp_path / f"{key}_studio.webp"), product(1, 16), [cv2.IMWRITE_WEBP_QUALITY, 101])
        cv2.imwrite(str(tmp_path / f"{key}_scene.webp"), product(1, 16)[..., :3], [cv2.IMWRITE_WEBP_QUALITY, 101])
    counts = {split: len(read_material([tmp_path], split).scenes) for split in ("train", "validation", "test")}

    assert sum(counts.values()) == len(keys)
    assert counts["train"] == sum(split_of(object_of(key)) == "train" for key in keys)
    assert all(count % 2 == 0 for count in counts.values())


def test_losses_are_least_for_the_truth():
    alpha = torch.from_numpy(product(0)[None, None, ..., 3].astype(np.float32) / 255)
    nothing, everywhere = torch.zeros(1, 3, 64, 64), torch.ones_like(alpha)
    right = matting_terms(torch.logit(alpha, 1e-4), nothing, alpha, nothing, everywhere)
    shifted = matting_terms(torch.logit(alpha.roll(5, -1), 1e-4), nothing + 0.1, alpha, nothing, everywhere)

    assert all(right[name] < 0.5 * shifted[name] for name in ("l1", "overlap", "edges", "residual"))
    assert right["cross_entropy"] < shifted["cross_entropy"]
    assert right["l1"] < 1e-3


def test_a_mirrored_picture_is_cut_out_alike():
    """The published graph is the mean over both."""
    torch.manual_seed(0)
    graph = CutoutGraph(MattingNet(quick(RECIPES["cutout"]()).network).eval(), 64)
    picture = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    with torch.no_grad():
        found, mirrored = graph(picture), graph(picture.flip(2))
        alone = torch.cat([graph(one[None]) for one in picture])
    assert (found.int() - mirrored.flip(2).int()).abs().max() <= 1
    assert (found.int() - alone.int()).abs().max() <= 1
    assert found[..., 3].float().std() > 1


def test_a_perfect_cut_scores_one_and_a_shifted_one_does_not():
    alpha = product(0)[..., 3].astype(np.float32) / 255

    assert score(alpha, alpha, 0.01) == (1, 0, 0, 10)
    worse = score(np.roll(alpha, 6, 1), alpha, 0)
    assert worse.iou < 0.8
    assert worse.mae > 0.01
    assert worse.gradient > 0


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Pairs of views of sixty objects, as a folder."""
    folder = tmp_path_factory.mktemp("scenes")
    (folder / "scenes.csv").write_text("key\n")
    for number in range(60):
        for name, picture in (("studio", product(number)), ("scene", product(number)[..., :3])):
            cv2.imwrite(str(folder / f"thing{number}_00_{name}.webp"), picture, [cv2.IMWRITE_WEBP_QUALITY, 101])
    return folder


def test_a_published_network_is_trained_on_from_its_very_weights(scenes, tmp_path, capsys):
    facts = ["--training-data", "ellipses", "--data-licence", "CC0-1.0", "--weights-licence", "Apache-2.0"]
    common = ["--quick", "--data", str(scenes), "--device", "cpu", "--threads", "1"]
    main(["cutout", *common, "--out", str(tmp_path / "first")])
    main(["export", str(tmp_path / "first"), "--models", str(tmp_path), *facts, "--limits", "Ellipses only."])
    first = tmp_path / "cutout" / "1"
    digest = json.loads((first / "manifest.json").read_text())["sha256"]
    weights, found = weights_of(first, MattingNet(quick(RECIPES["cutout"]()).network))
    trained = checkpoint.unflatten(checkpoint.load(tmp_path / "first" / "checkpoint")[0])["ema"]

    assert found == digest
    for name, tensor in trained.items():  # as the file holds them: those of many numbers as float16
        assert torch.equal(weights[name], tensor.half().float() if tensor.numel() >= 64 else tensor)
    main(["cutout-tune", *common, "--out", str(tmp_path / "second"), "--start", str(first)])
    assert json.loads((tmp_path / "second" / "recipe.json").read_text())["start"] == digest
    with pytest.raises(SystemExit):  # without its start it is another run
        main(["cutout-tune", *common, "--out", str(tmp_path / "second")])
    assert "another recipe" in capsys.readouterr().err
    main(["export", str(tmp_path / "second"), "--models", str(tmp_path), *facts, "--limits", "Ellipses only."])
    assert (tmp_path / "cutout" / "2" / "model.onnx").is_file()


@pytest.mark.parametrize("content", [None, b"no graph", "another network"])
def test_what_is_no_such_network_cannot_be_begun_with(scenes, tmp_path, capsys, content):
    if isinstance(content, bytes):
        (tmp_path / "model.onnx").write_bytes(content)
    folder = Path("models/restoration-level/3") if isinstance(content, str) else tmp_path
    with pytest.raises(SystemExit) as stopped:
        main(["cutout", "--quick", "--data", str(scenes), "--out", str(tmp_path / "run"), "--start", str(folder)])

    assert stopped.value.code == 2
    message = "another network" if isinstance(content, str) else "no published model"
    assert message in capsys.readouterr().err


def test_photos_can_be_curated_by_a_published_network(catalogue, tmp_path, capsys):
    main(["curate", str(catalogue), "--out", str(tmp_path / "out"), "--processes", "1", "--cutout", "models/cutout/5"])
    assert int(capsys.readouterr().out.split()[0]) >= 30
    for folder, message in (("models/harmonize/2", "not for cut-outs"), (str(tmp_path), "manifest.json")):
        with pytest.raises(SystemExit):
            main(["curate", str(catalogue), "--out", str(tmp_path / "none"), "--cutout", folder])
        assert message in capsys.readouterr().err
