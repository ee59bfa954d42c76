"""N steps, a stop and N more give the same weights as 2N; nobody resumes another recipe's run."""

import shutil
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from training import checkpoint
from training.adversarial import PARTS, GanTrainer
from training.composites import Material
from training.data import Labelled
from training.dcgan import DcganTrainer
from training.evaluators.learning import EvaluatorTrainer
from training.harmonization import HarmonizeTrainer, View
from training.lining import Lining, of_view
from training.loop import train
from training.matting import MattingTrainer
from training.networks.generator import Generator
from training.patches import Photos
from training.recipes import RECIPES, quick
from training.recolouring import Colouring
from training.relighting import Relighting
from training.restoration import RestorationTrainer
from training.sketching import Sketching
from training.translation import AdversarialSettings, TranslationTrainer
from training.upsampling import Upsampling
from training.watermarking import WatermarkTrainer

CLASSES = tuple("abcdefghijklm")


def make(name, **changes):
    recipe = replace(quick(RECIPES[name]()), **changes)
    random = np.random.default_rng(0)
    if isinstance(recipe, AdversarialSettings):
        return recipe, TranslationTrainer(recipe, translation(name, recipe, random))
    if name.startswith(("garments", "evaluator", "dcgan-64")):
        trainer = {"garments": GanTrainer, "evaluator": EvaluatorTrainer, "dcgan": DcganTrainer}[name.split("-")[0]]
        return recipe, trainer(recipe, products(128 if name == "garments-128" else 64, random))
    if name == "dcgan-28":
        pictures = random.integers(0, 256, (20, 28, 28, 1), dtype=np.uint8)
        return recipe, DcganTrainer(recipe, Labelled(pictures, np.arange(20) % 10, CLASSES[:10]))
    if name.startswith("cutout"):
        photos = [random.integers(0, 256, (40, 30, 4), dtype=np.uint8)]
        return recipe, MattingTrainer(recipe, Material(photos, photos, photos, [], []))
    if name == "harmonize":
        return recipe, HarmonizeTrainer(recipe, [View(*view(random))])
    photos = [random.integers(0, 256, (300, 300, 3), dtype=np.uint8)]
    if name == "watermark":
        return recipe, WatermarkTrainer(recipe, photos, products(128, random))
    return recipe, RestorationTrainer(recipe, Photos([photos]))


def translation(name, recipe, random):
    """The task of a recipe that is trained against a patch discriminator."""
    if name == "cascade-128":
        torch.manual_seed(0)
        return Upsampling(recipe, products(128, random), Generator(recipe.network), torch.device("cpu"))
    if name == "from-sketch":
        return Sketching(recipe, products(128, random))
    if name == "colorway":
        return Colouring(recipe, [random.integers(0, 256, (40, 30, 4), dtype=np.uint8) for _ in range(3)])
    scene, studio = view(random)
    if name == "relight":
        return Relighting(recipe, [View(scene, studio)], Material(products=[studio]))
    return Lining(recipe, [of_view(scene, studio)])


def products(side, random):
    return Labelled(random.integers(0, 256, (20, side, side, 4), dtype=np.uint8), np.arange(20) % 13, CLASSES)


def view(random):
    """A scene, and the same in a studio."""
    return [random.integers(0, 256, (40, 30, depth), dtype=np.uint8) for depth in (3, 4)]


def weights(trainer):
    return checkpoint.flatten(trainer.state())


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_a_stopped_and_resumed_run_gives_the_weights_of_one_run(name, tmp_path):
    recipe, whole = make(name)
    assert train(whole, asdict(recipe), tmp_path / "whole") == 8

    for _ in range(8):  # every call stops after one step, as a time limit would
        _, part = make(name)
        done = train(part, asdict(recipe), tmp_path / "part", max_minutes=0)

    assert done == 8
    expected, resumed = weights(whole), weights(part)
    assert expected.keys() == resumed.keys()
    assert all(torch.equal(expected[key], resumed[key]) for key in expected)
    _, untrained = make(name)
    assert any(not torch.equal(t, expected[key]) for key, t in weights(untrained).items())


def test_what_an_optimizer_remembers_comes_back_laid_out_as_its_weights(tmp_path):
    """Checkpoints keep numbers, not strides; a fused Adam on a GPU refuses memory that is laid out otherwise."""
    trainer, again = (make("garments-64")[1] for _ in range(2))
    for index in range(2):
        trainer.step(index, torch.Generator().manual_seed(index))
    checkpoint.save(tmp_path / "checkpoint", weights(trainer), {})
    again.restore(checkpoint.unflatten(checkpoint.load(tmp_path / "checkpoint")[0]))

    learned = again.g_optimizer.state  # of the levels that are in use
    kernels = [one for one in again.g.parameters() if one in learned and not one.is_contiguous()]
    assert kernels
    assert all(learned[kernel]["exp_avg"].stride() == kernel.stride() for kernel in kernels)


def test_pieces_on_machines_that_forget_all_but_the_checkpoint_are_one_run(tmp_path):
    recipe, whole = make("enhance-x2")
    train(whole, asdict(recipe), tmp_path / "whole")
    for piece in range(8):
        here, before = tmp_path / f"machine-{piece}", tmp_path / f"machine-{piece - 1}"
        if piece:
            shutil.copytree(before / "checkpoint", here / "checkpoint")
            shutil.rmtree(before)
        _, part = make("enhance-x2")
        done = train(part, asdict(recipe), here, max_minutes=0)

    assert done == 8
    assert all(torch.equal(tensor, weights(part)[name]) for name, tensor in weights(whole).items())
    assert all(path.stat().st_size < 16_000_000 for path in (here / "checkpoint").iterdir())


def test_another_recipes_run_is_not_resumed(tmp_path):
    recipe, trainer = make("dcgan-28")
    train(trainer, asdict(recipe), tmp_path, max_minutes=0)
    other, trainer = make("dcgan-28", lr=1e-3)

    with pytest.raises(checkpoint.CheckpointError, match="another recipe"):
        train(trainer, asdict(other), tmp_path)


def test_a_run_goes_on_although_its_recipe_has_gained_a_setting_since(tmp_path):
    """As long as the setting says nothing: runs take hours, and a new version may come between."""
    recipe, trainer = make("garments-64")
    before = {name: value for name, value in asdict(recipe).items() if name != "without"}
    train(trainer, before, tmp_path, max_minutes=0)

    _, trainer = make("garments-64")
    assert train(trainer, asdict(recipe), tmp_path, max_minutes=0) == 2
    other, trainer = make("garments-64", without=("r2",))
    (tmp_path / "other").mkdir()
    train(make("garments-64")[1], before, tmp_path / "other", max_minutes=0)
    with pytest.raises(checkpoint.CheckpointError, match="another recipe"):
        train(trainer, asdict(other), tmp_path / "other")


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_is_left_out_changes_the_training(part, tmp_path):
    states = []
    for without in ((), (part,)):
        recipe, trainer = make("garments-32", without=without)
        train(trainer, asdict(recipe), tmp_path / str(len(without)))
        states.append(weights(trainer))

    changed = {name.split("/")[0] for name, tensor in states[0].items() if not torch.equal(tensor, states[1][name])}
    assert changed >= ({"ema"} if part == "averaging" else {"g", "d", "ema"})
    assert ("g" in changed) == (part != "averaging")


def test_a_damaged_checkpoint_is_named(tmp_path):
    recipe, trainer = make("dcgan-28")
    train(trainer, asdict(recipe), tmp_path, max_minutes=0)
    (tmp_path / "checkpoint" / "state-000.safetensors").write_bytes(b"no")

    with pytest.raises(checkpoint.CheckpointError, match="damaged"):
        train(trainer, asdict(recipe), tmp_path)


def test_a_run_leaves_pictures_and_a_log(tmp_path):
    recipe, trainer = make("garments-64")
    train(trainer, asdict(recipe), tmp_path, log_every=2)

    assert (tmp_path / "curves.png").stat().st_size > 1000
    assert (tmp_path / "samples" / "0000008.png").is_file()
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 4


def test_shards_stay_under_the_limit():
    groups = checkpoint.shards({f"w{i}": torch.zeros(1000) for i in range(10)}, limit=9000)

    assert [len(group) for group in groups] == [2, 2, 2, 2, 2]
