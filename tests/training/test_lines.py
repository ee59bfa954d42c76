"""`sketch` learns to draw snapshots as a rule draws clean pictures; it is exported and measured as trained."""

import json
from dataclasses import replace

import cv2
import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto
from torch.nn import functional as F

from tests.training.test_translation import FACTS, view
from training.__main__ import main
from training.composites import unit
from training.curate import split_of
from training.data import DataError
from training.evaluate_lines import cleaned, counts, evaluate_lines, figures, overlap, specks
from training.export import LinesGraph, halve, rounded, write_onnx
from training.lines import line_drawing
from training.lining import (
    PHOTO_SCALES,
    Lining,
    as_taken,
    cast,
    drawn,
    lines_terms,
    of_photo,
    of_view,
    part,
    pattern,
    read_subjects,
)
from training.networks.lines import FINER, LinesConfig, LinesNet
from training.recipes import RECIPES, quick
from training.translation import TranslationTrainer


def shirt(side=300, noise=0.0, stripes=0.0):
    """A two-coloured square on grey, (S, S, 4) uint8, as clean or as noisy as asked for."""
    random = np.random.default_rng(0)
    rgb = np.full((side, side, 3), 180.0)
    rgb[:, side // 2 :] = 60
    rgb += stripes * (1 - 2 * (np.arange(side) // 4 % 2))[:, None, None]
    rgb += random.normal(0, noise, rgb.shape)
    alpha = np.zeros((side, side, 1))
    alpha[side // 6 : -side // 6, side // 6 : -side // 6] = 255
    return np.clip(np.dstack([rgb, alpha]), 0, 255).astype(np.uint8)


def ink_of(rgba):
    return line_drawing(np.ascontiguousarray(rgba[..., :3]), np.ascontiguousarray(rgba[..., 3]))


@pytest.mark.parametrize("noise", [0, 4])
def test_a_rule_draws_the_outline_and_edges_inside_and_nothing_else(noise):
    ink = ink_of(shirt(noise=noise))

    assert ink.shape == (300, 300)
    assert 0 <= ink.min() <= ink.max() <= 1
    assert ink[150, 45:56].max() > 0.9
    assert ink[150, 145:160].max() > 0.9
    assert (ink[:40] == 0).all()
    assert (ink[70:230, 65:135] == 0).all()


def test_a_fine_pattern_is_left_out():
    plain, striped = (ink_of(shirt(stripes=contrast)) > 0.5 for contrast in (0, 12))

    assert striped.sum() < 1.5 * plain.sum()


def test_where_a_picture_ends_there_is_no_line():
    whole = shirt()
    whole[..., 3] = 255
    ink = ink_of(whole)

    assert ink[:, [0, -1]].max() == 0
    assert ink[150, 145:160].max() > 0.9
    assert ink_of(np.zeros((40, 30, 4), np.uint8)).max() == 0


def test_a_drawing_is_kept_and_found_again_unless_the_picture_differs(tmp_path):
    rgba = shirt(80)
    rgb, alpha = np.ascontiguousarray(rgba[..., :3]), np.ascontiguousarray(rgba[..., 3])
    first = drawn(rgb, alpha, 2.0, tmp_path)
    again = drawn(rgb, alpha, 2.0, tmp_path)
    drawn(255 - rgb, alpha, 2.0, tmp_path)

    assert (first == again).all()
    assert len(list(tmp_path.iterdir())) == 2
    assert cv2.imdecode(first, cv2.IMREAD_GRAYSCALE).shape == (160, 160)


def subjects():
    return [of_view(*view(seed)) for seed in range(4)] + [of_photo(shirt(120), scale, False) for scale in PHOTO_SCALES]


def test_a_part_and_its_ink_lie_on_each_other():
    """The outline that is drawn is where alpha is half, for every scale, mirrored or not."""
    seen = 0
    for subject in subjects():
        for seed in range(6):
            picture, ink = part(subject, 64, np.random.default_rng(seed))
            alpha = cv2.resize(picture[..., 3], (64 * FINER, 64 * FINER), interpolation=cv2.INTER_LINEAR)
            edge = np.abs(alpha - 0.5) < 0.2
            near = cv2.dilate((ink > 0.5).astype(np.uint8), np.ones((9, 9))) > 0
            assert picture.shape == (64, 64, 4)
            assert ink.shape == (64 * FINER, 64 * FINER)
            if edge.sum() > 100:
                seen += 1
                assert near[edge].mean() > 0.85
    assert seen > 20


def test_a_photo_without_a_product_is_drawn_whole():
    product, whole = (of_photo(shirt(120), 2.0, all_of_it) for all_of_it in (False, True))

    assert (whole.alpha == 255).all()
    assert whole.drawing().shape == (240, 240)
    assert max(product.drawing().shape) < 200
    assert not (product.alpha == 255).all()


def test_light_is_never_more_than_there_was_and_its_edges_are_sharp():
    fields = [cast(64, np.random.default_rng(seed)) for seed in range(40)]

    assert min(field.min() for field in fields) > 0.3
    assert max(field.max() for field in fields) <= 1
    assert 0.2 < np.mean([field.min() == 1 for field in fields]) < 0.5
    assert max(np.abs(np.diff(field)).max() for field in fields) > 0.2


def test_a_pattern_is_fine_and_faint_and_changes_no_mean_by_much():
    patterns = [pattern(64, np.random.default_rng(seed)) for seed in range(30)]

    assert max(np.abs(one).max() for one in patterns) <= 0.2
    assert max(abs(one.mean()) for one in patterns) < 0.05
    for one in patterns:  # every square of 32 px has both sides of it
        blocks = one.reshape(2, 32, 2, 32)
        assert (blocks.max((1, 3)) > 0).all()
        assert (blocks.min((1, 3)) < 0).all()


def test_light_changes_the_picture_and_not_alpha():
    picture = unit(shirt(64))
    lit = [as_taken(picture, np.random.default_rng(seed), 1.0) for seed in range(20)]

    assert np.mean([np.abs(one[..., :3] - picture[..., :3]).mean() for one in lit]) > 0.05
    assert np.mean([np.abs(one[..., 3] - picture[..., 3]).max() == 0 for one in lit]) > 0.5


def test_white_paper_is_no_cheap_way_out():
    """Of little ink, all of it missing costs more than as much ink in the wrong place next to all of the right one."""
    target = torch.zeros(1, 4, 32, 32)
    target[..., 10, :] = 1
    blank, twice = torch.zeros_like(target), target.clone()
    twice[..., 20, :] = 1

    missing, too_much = lines_terms(blank, target), lines_terms(twice, target)
    assert all(missing[name] > 2 * too_much[name] for name in ("l1", "balanced"))
    assert all(value < 1e-3 for value in lines_terms(target, target).values())


def test_the_shipped_network_is_small_and_begins_with_white_paper():
    torch.manual_seed(0)
    net = LinesNet(LinesConfig())
    ink = net(torch.rand(2, 4, 64, 64))

    assert sum(weights.numel() for weights in net.parameters()) <= 350_000
    assert ink.shape == (2, 4, 64, 64)
    assert 0 < ink.min() <= ink.max() < 0.5


def test_training_comes_nearer_to_the_truth():
    recipe = replace(quick(RECIPES["sketch"]()), stages=((32, 80),), batch_size=4, lr=4e-3)
    recipe = replace(recipe, network=LinesConfig(channels=(12, 12, 12), blocks=(0, 1, 1), size=64))
    trainer = TranslationTrainer(recipe, Lining(recipe, subjects()))
    terms = [trainer.step(index, torch.Generator().manual_seed(index)) for index in range(80)]

    assert np.mean([one["l1"] for one in terms[-10:]]) < 0.75 * np.mean([one["l1"] for one in terms[:10]])
    assert all(np.isfinite(list(one.values())).all() for one in terms)


def test_lines_a_little_off_are_found_and_blank_paper_is_not_a_drawing():
    truth = np.zeros((100, 100), bool)
    truth[50:53, 10:90] = True
    moved = np.roll(truth, 3, 0)

    assert overlap(truth, truth, 0) == 1
    assert overlap(moved, truth, 4) == 1
    assert overlap(moved, truth, 1) < 0.6
    assert overlap(np.zeros_like(truth), truth, 4) == 0
    assert overlap(np.zeros_like(truth), np.zeros_like(truth), 4) == 1
    assert overlap(np.ones_like(truth), truth, 2) < 0.25


def test_specks_are_counted_and_lines_are_not():
    ink = np.zeros((100, 100), bool)
    ink[50:53, 10:90] = True
    ink[10:13, 10:13] = ink[80, 80] = True

    assert specks(ink) == 2
    drawing, inside = ink.astype(np.float32), np.zeros_like(ink)
    inside[:, 30:50] = True
    assert figures(drawing, drawing, inside) == [1, 1, 2, pytest.approx(2.5), 60, 60, 60, 60]
    assert counts(np.roll(ink, 20, 0), ink, inside) == [0, 60, 0, 60]
    assert (cleaned(drawing) > 0).sum() == 240


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Views of objects, of which some are held out."""
    folder = tmp_path_factory.mktemp("scenes")
    (folder / "scenes.csv").write_text("key\n")
    held = [f"thing{number}" for number in range(60)]
    for number, name in enumerate([one for one in held if split_of(one) != "train"] + held[:6]):
        for kind, picture in zip(("scene", "studio"), view(number), strict=True):
            path = str(folder / f"{name}_00_{kind}.webp")
            cv2.imwrite(path, picture[..., [2, 1, 0, 3][: picture.shape[2]]], [cv2.IMWRITE_WEBP_QUALITY, 101])
    return folder


class Blank:
    """A model that leaves the paper white."""

    def run(self, _, inputs):
        count, side = inputs["image"].shape[:2]
        return [np.zeros((count, FINER * side, FINER * side, 1), np.uint8)]


def test_a_blank_drawing_is_found_out(scenes):
    found = {one["measure"]: one["value"] for one in evaluate_lines(Blank(), 192, [scenes]).records}

    assert found["F of lines within 2 px, network"] == 0
    assert found["ink, network"] == 0
    assert found["F of lines within 2 px, rule on the snapshot"] > 0.8
    assert found["F of lines inside within 2 px, network"] == 0
    assert found["ink, truth"] > 1


def test_nothing_held_out_is_said(tmp_path):
    with pytest.raises(DataError, match="nothing to draw"):
        read_subjects([tmp_path], ("test",), 10)


def test_an_exported_graph_has_half_its_weights_bytes_and_gives_the_same_ink(tmp_path):
    torch.manual_seed(0)
    net = LinesNet(LinesConfig(channels=(8, 8, 8), blocks=(0, 1, 1), size=64))
    graph = rounded(LinesGraph(net).eval())
    assert write_onnx(graph, tmp_path / "a.onnx") == "ink"
    halve(tmp_path / "a.onnx")
    kinds = {one.data_type for one in onnx.load(tmp_path / "a.onnx").graph.initializer if np.prod(one.dims) >= 64}
    image = torch.randint(0, 256, (1, 64, 64, 4), dtype=torch.uint8)
    expected = F.pixel_shuffle(net(image.permute(0, 3, 1, 2).float() / 255), FINER)[0, 0]

    assert TensorProto.FLOAT not in kinds
    assert (graph(image)[0, ..., 0].float() / 255 - expected).abs().max() <= 0.5 / 255 + 1e-6


def test_sketch_is_trained_exported_and_measured(scenes, curated, tmp_path):
    data = ["--data", str(scenes), str(curated)]
    main(["sketch", "--quick", *data, "--out", str(tmp_path / "run"), "--device", "cpu"])
    main(["export", str(tmp_path / "run"), "--models", str(tmp_path), *FACTS])
    folder = tmp_path / "sketch" / "1"
    main(["evaluate", str(folder), *data, "--save"])
    manifest = json.loads((folder / "manifest.json").read_text())
    quality = [record["measure"] for record in manifest["quality"]]

    assert (manifest["task"], manifest["size"], manifest["output"]) == ("sketch", 64, "ink")
    assert manifest["parity"] <= 1
    assert quality.count("F of lines within 1 px, network") == 2  # views, and photos
    assert quality.count("specks, rule on the snapshot") == 2
    assert "| ink, truth |" in (folder / "card.md").read_text()
    assert (folder / "samples.webp").is_file()
    assert len(list((tmp_path / "run" / "truths").glob("*.png"))) > 6


def test_a_subject_is_what_was_drawn():
    subject = of_view(*view(1))

    assert subject.lit
    assert subject.drawing().shape == (320, 320)
    assert subject.drawing().max() == 255
