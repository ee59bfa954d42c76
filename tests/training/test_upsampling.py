"""A generator's second stage: it begins with the first one's picture, knows real ones made small, and goes with it."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from training.adversarial import GanTrainer
from training.checkpoint import CheckpointError
from training.data import DataError, Labelled
from training.dcgan import DcganTrainer
from training.loop import train
from training.networks import cascade
from training.networks.blocks import LUMA, smooth
from training.networks.cascade import Cascade, CascadeConfig, Upsampler, shade, strengthened
from training.networks.generator import Generator
from training.recipes import RECIPES, quick
from training.translation import TranslationTrainer
from training.upsampling import Upsampling, contrast_of, first_stage, grain, missing_contrast, small_of

CLASSES = tuple("abcdefghijklm")


def products(side):
    """A square of one colour over white each, (16, S, S, 4)."""
    random = np.random.default_rng(0)
    pictures = np.full((16, side, side, 4), (255, 255, 255, 0), np.uint8)
    low, high = side // 4, 3 * side // 4
    pictures[:, low:high, low:high, :3] = random.integers(0, 200, (16, 1, 1, 3))
    pictures[:, low:high, low:high, 3] = 255
    return Labelled(pictures, np.arange(16) % 13, CLASSES)


def checks(side):
    """A chequerboard of 1 and -1, (S, S)."""
    return 2.0 * ((torch.arange(side)[:, None] + torch.arange(side)) % 2) - 1


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run at 64 px."""
    folder = tmp_path_factory.mktemp("runs") / "garments-64"
    recipe = quick(RECIPES["garments-64"]())
    train(GanTrainer(recipe, products(64)), asdict(recipe), folder)
    (folder / "data.json").write_text(json.dumps({"classes": CLASSES}))
    return folder


def made(run):
    """Recipe, task and trainer of a second stage."""
    recipe, first, _ = first_stage(quick(RECIPES["cascade-128"]()), run)
    task = Upsampling(recipe, products(128), first, torch.device("cpu"))
    return recipe, task, TranslationTrainer(recipe, task)


def test_an_untrained_second_stage_enlarges_and_keeps_white_ground_white():
    torch.manual_seed(0)
    config = CascadeConfig()
    coarse = torch.from_numpy(products(32).pictures[:3]).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        found = Upsampler(config)(coarse, torch.tensor([0, 5, 12]), torch.randn(3, 64))

    assert (config.coarse, config.size) == (32, 128)
    assert found.shape == (3, 4, 128, 128)
    assert (F.avg_pool2d(found, 4) - coarse).abs().mean() < 0.1
    assert (found[:, :3, :16] - 1).abs().max() < 0.1  # what alpha is nearly 0 for


def test_the_first_stage_is_what_was_trained_and_stays_so(run, tmp_path):
    recipe, _, trainer = made(run)
    before = {name: one.clone() for name, one in trainer.net.first.state_dict().items()}
    second = {name: one.clone() for name, one in trainer.ema.second.state_dict().items()}
    train(trainer, asdict(recipe), tmp_path / "run")

    former = GanTrainer(quick(RECIPES["garments-64"]()), products(64))
    train(former, asdict(former.recipe), run)  # finished: what it had is put back
    assert recipe.start == "garments-64, 32 images"
    weights = former.ema.state_dict()
    for stage in (trainer.net.first, trainer.ema.first):
        assert all(torch.equal(one, before[name]) for name, one in stage.state_dict().items())
        assert all(torch.equal(one, weights[name]) for name, one in stage.state_dict().items() if name != "style_mean")
    assert any(not torch.equal(one, second[name]) for name, one in trainer.ema.second.state_dict().items())
    assert before["style_mean"].abs().max() > 0


def test_a_cascade_is_called_like_a_generator():
    torch.manual_seed(0)
    config = CascadeConfig(channels=(8, 8, 8, 8))
    net, z, label = Cascade(config), torch.randn(2, 64), torch.tensor([3, 3])
    net.measure_style_mean()
    with torch.no_grad():
        whole, mean = (net(z, label, torch.full((2,), amount)) for amount in (1.0, 0.0))
        plain = Generator(config)(z, label)

    assert plain.shape == (2, 4, 64, 64)
    assert whole.shape == (2, 4, 128, 128)
    assert torch.equal(mean[0], mean[1])  # truncation 0 is the class's mean, whatever the seed
    assert not torch.equal(whole[0], whole[1])


def test_light_of_the_first_stage_is_kept_rather_than_its_tint_and_only_inside(monkeypatch):
    torch.manual_seed(0)
    net, z, label = Cascade(CascadeConfig(channels=(8, 8, 8, 8))).eval(), torch.randn(4, 64), torch.arange(4)
    made = {}
    with torch.no_grad():
        first = net.first(z, label)
        for light, tint in ((0.0, 0.0), (0.5, 0.1), (1.0, 1.0)):
            monkeypatch.setattr(cascade, "KEPT_LIGHT", light)
            monkeypatch.setattr(cascade, "KEPT_TINT", tint)
            made[light] = net(z, label)
    far = {light: first[:, :3] - F.avg_pool2d(one[:, :3], 2) for light, one in made.items()}
    lightness = {light: (one * torch.tensor(LUMA)[None, :, None, None]).sum(1).abs() for light, one in far.items()}

    assert all(torch.equal(one[:, 3:], made[0.0][:, 3:]) for one in made.values())
    assert lightness[1.0].mean() < lightness[0.5].mean() < lightness[0.0].mean()
    outside = made[0.0][:, 3:] <= 0
    assert torch.equal(made[0.5][:, :3] * outside, made[0.0][:, :3] * outside)


def test_a_sample_is_a_real_product_made_small_or_a_generated_one(run):
    _, task, _ = made(run)
    batch = task.batch(128, 64, np.random.default_rng(3))
    small, paired = small_of(batch), batch.paired > 0
    truth = smooth(F.avg_pool2d(batch.target, 4))
    apart = (small - truth).abs().mean((1, 2, 3))

    assert batch.source.shape == batch.target.shape == (64, 4, 128, 128)
    assert small.shape == (64, 4, 32, 32)
    assert 16 < paired.sum() < 48
    assert apart[paired].max() < 0.05
    assert apart[~paired].min() > 0.05
    ground = truth[paired][:, 3:] == 0
    assert (small[paired][:, :3][ground.expand(-1, 3, -1, -1)] == 1).all()  # noise is for products alone
    again = task.batch(128, 64, np.random.default_rng(3))
    assert all(torch.equal(one, other) for one, other in zip(batch, again, strict=True))


def test_grain_is_what_is_fine_inside_and_no_more_of_it_than_a_print_has():
    plain = torch.from_numpy(products(32).pictures[:2]).permute(0, 3, 1, 2).float() / 255
    chequered = plain.clone()
    inside = plain[:, 3:] > 0
    chequered[:, :3] += 0.1 * inside * checks(32)
    faint = plain + 0.1 * (chequered - plain)

    assert grain(plain).abs().max() < 1e-6
    assert (grain(chequered)[~inside.expand(-1, 3, -1, -1)] == 0).all()
    middle = (slice(None), slice(None), slice(12, 20), slice(12, 20))
    assert 0.07 < grain(chequered)[middle].square().mean().sqrt() < 0.09
    assert torch.allclose(grain(faint)[middle], 0.01 * checks(32)[12:20, 12:20].expand(2, 3, 8, 8), atol=1e-3)


def test_terms_know_the_truth_where_there_is_one(run):
    _, task, _ = made(run)
    batch = task.batch(128, 8, np.random.default_rng(1))
    small = smooth(F.avg_pool2d(batch.target, 4))
    batch = batch._replace(source=F.interpolate(small, scale_factor=4.0), paired=torch.ones(8))
    right, enlarged, other = (task.terms(one, batch) for one in (batch.target, batch.source, batch.target.flip(0)))

    assert right["l1"] == 0 < enlarged["l1"] < other["l1"]
    assert right["coarse"] < 1e-6 < enlarged["coarse"] < 0.02 < other["coarse"]
    alone = task.terms(batch.target.flip(0), batch._replace(paired=torch.zeros(8)))
    assert alone["l1"] == 0
    assert alone["coarse"] == other["coarse"]


def test_what_has_a_truth_is_not_before_the_discriminator(run):
    _, task, trainer = made(run)
    batch = task.batch(128, 16, np.random.default_rng(2))
    paired, drawn = batch.paired > 0, torch.rand_like(batch.target)
    seen = trainer._judged(batch, drawn)

    assert torch.equal(seen[paired], batch.target[paired])
    assert torch.equal(seen[~paired], drawn[~paired])
    assert (batch.told[paired, 1:] == 0).all()
    assert (batch.told[~paired, 1:].std(1) > 0.5).all()


def test_what_cannot_be_finished_says_why(run, tmp_path):
    recipe = quick(RECIPES["cascade-128"]())
    with pytest.raises(CheckpointError, match="no checkpoint"):
        first_stage(recipe, tmp_path)
    textbook = quick(RECIPES["dcgan-64"]())
    train(DcganTrainer(textbook, products(64)), asdict(textbook), tmp_path / "dcgan")
    with pytest.raises(DataError, match="no generator that cascade-128 can finish"):
        first_stage(recipe, tmp_path / "dcgan")
    short = quick(RECIPES["garments-32"]())
    train(GanTrainer(short, products(32)), asdict(short), tmp_path / "garments-32")
    (tmp_path / "garments-32" / "data.json").write_text(json.dumps({"classes": CLASSES}))
    with pytest.raises(DataError, match=r"of as many or half of them, .* has 32"):
        first_stage(recipe, tmp_path / "garments-32")
    (tmp_path / "manifest.json").write_text(json.dumps({"task": "enhance", "recipe": {"network": {}}}))
    with pytest.raises(DataError, match="no generator that cascade-128 can finish: 'classes'"):
        first_stage(recipe, tmp_path)


def test_contrast_is_measured_well_inside_whatever_the_edge_is():
    plain = torch.from_numpy(products(64).pictures[:2]).permute(0, 3, 1, 2).float() / 255
    inside = plain[:, 3:] > 0
    printed, rimmed = plain.clone(), plain.clone()
    printed[:, :3] = torch.where(inside, 0.5 + 0.1 * checks(64), plain[:, :3])
    rimmed[:, :3, 16:18, 16:48] = 0.0

    assert contrast_of(plain).max() < 1e-6
    assert torch.equal(contrast_of(rimmed), contrast_of(plain))
    assert (contrast_of(printed) - 0.1).abs().max() < 1e-3
    assert contrast_of(torch.tensor([1.0, 1.0, 1.0, 0.0])[None, :, None, None].expand(1, 4, 64, 64)) == 0  # nothing


def test_what_is_too_flat_is_strengthened_as_far_as_real_products_go():
    recipe = RECIPES["cascade-128"]()
    config = replace(recipe.network, classes=3, channels=(8, 8, 8, 8))
    strong, weak = 0.1, 0.07

    class Flat(torch.nn.Module):
        """Products with light and shade of `weak`, of all classes."""

        def forward(self, z, label, truncation):
            return chequered(len(z), weak)

    def chequered(count, strength):
        picture = torch.from_numpy(products(64).pictures[:1]).permute(0, 3, 1, 2).float() / 255
        picture[:, :3] = torch.where(picture[:, 3:] > 0, 0.5 + strength * checks(64), picture[:, :3])
        return picture.expand(count, -1, -1, -1)

    pictures = torch.cat([chequered(3, strong), chequered(3, 0.03)])
    labels = np.array([0, 0, 0, 1, 1, 1])
    real = Labelled((pictures * 255).round().byte().permute(0, 2, 3, 1).numpy(), labels, ("a", "b", "c"))
    found = missing_contrast(config, Flat(), real)
    made = strengthened(chequered(2, weak), torch.tensor(found[:2]))

    assert found == (1.43, 1.0, 1.0)  # nothing is made flatter, and nothing is known of what is not there
    assert contrast_of(made).tolist() == pytest.approx([strong, weak], abs=1e-3)
    assert torch.equal(made[:, 3:], chequered(2, weak)[:, 3:])
    ground = made[:, 3:].expand(-1, 4, -1, -1)[:, :3] == 0
    assert (made[:, :3][ground] == 1).all()
    assert (shade(made).sum((1, 2, 3)).abs() < 1e-2).all()  # as light as it was
