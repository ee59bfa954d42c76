"""A generator of twice the size grows out of a finished run: nothing that was learned is lost."""

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from training.adversarial import GanTrainer, grown
from training.checkpoint import CheckpointError
from training.data import DataError, Labelled
from training.dcgan import DcganTrainer
from training.loop import train
from training.networks.blocks import upsample
from training.recipes import RECIPES, quick

CLASSES = tuple("abcdefghijklm")


def products(side):
    pictures = np.random.default_rng(0).integers(0, 256, (16, side, side, 4), dtype=np.uint8)
    return Labelled(pictures, np.arange(16) % 13, CLASSES)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run at 64 px."""
    folder = tmp_path_factory.mktemp("runs") / "garments-64"
    recipe = quick(RECIPES["garments-64"]())
    train(GanTrainer(recipe, products(64)), asdict(recipe), folder)
    return folder


def test_the_new_level_is_silent_and_the_others_know_what_they_knew(run):
    small = GanTrainer(quick(RECIPES["garments-64"]()), products(64))
    train(small, asdict(small.recipe), run)  # finished: what it had is put back
    recipe, trainer = grown(quick(RECIPES["garments-128"]()), products(128), "cpu", run)
    z, labels = torch.randn(3, 64), torch.tensor([0, 5, 12])

    assert recipe.stages == ((5, 4, 1.0),)
    assert recipe.start == "garments-64, 32 images"
    with torch.no_grad():
        before, after = small.ema(z, labels), trainer.ema(z, labels)
        assert torch.equal(trainer.ema(z, labels, levels=4), before)
    # Enlarged colour on enlarged alpha, which is not the same as enlarged over white where alpha changes.
    assert (after[:, 3:] - upsample(before[:, 3:])).abs().max() < 1e-5
    assert (after - upsample(before)).abs().mean() < 0.01
    for old, new in ((small.g_optimizer, trainer.g_optimizer), (small.d_optimizer, trainer.d_optimizer)):
        memory = {tuple(one.shape): state["exp_avg_sq"] for one, state in old.state.items()}
        kept = [one for one, state in new.state.items() if torch.equal(state["exp_avg_sq"], memory[tuple(one.shape)])]
        assert len(new.state) == len(old.state)
        assert kept


def test_it_trains_on_and_can_be_stopped_and_resumed(run, tmp_path):
    data = products(128)
    recipe, whole = grown(quick(RECIPES["garments-128"]()), data, "cpu", run)
    train(whole, asdict(recipe), tmp_path / "whole")
    for _ in range(4):
        _, part = grown(quick(RECIPES["garments-128"]()), data, "cpu", run)
        train(part, asdict(recipe), tmp_path / "part", max_minutes=0)

    for one, other in zip(whole.ema.parameters(), part.ema.parameters(), strict=True):
        assert torch.equal(one, other)
    assert whole.picture().shape[1] == 13 * 130 + 2


def test_it_grows_out_of_nothing_else(run, tmp_path):
    recipe = quick(RECIPES["garments-128"]())
    with pytest.raises(CheckpointError, match="no checkpoint"):
        grown(recipe, products(128), "cpu", tmp_path)
    wider = replace(recipe, network=replace(recipe.network, channels=(12,) * 5))
    with pytest.raises(DataError, match=r"cannot grow out of .*another size"):
        grown(wider, products(128), "cpu", run)
    textbook = quick(RECIPES["dcgan-64"]())
    train(DcganTrainer(textbook, products(64)), asdict(textbook), tmp_path / "dcgan")
    with pytest.raises(DataError, match="cannot grow out of"):
        grown(recipe, products(128), "cpu", tmp_path / "dcgan")
