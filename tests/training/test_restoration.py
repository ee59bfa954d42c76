"""What an enhancer is taught by: the truth, and its own answers to a patch that is turned."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from training.networks.blocks import from_bytes
from training.patches import Photos
from training.recipes import RECIPES, quick
from training.restoration import RestorationTrainer, turned


def trainer(**changes):
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    photo = np.asarray(cv2.GaussianBlur(noise, (0, 0), 1.5), np.uint8)
    return RestorationTrainer(replace(quick(RECIPES["upscale-x2-deeper"]()), **changes), Photos([[photo]]))


def answers(made, count=8):
    """What the published average makes of patches in four orientations, turned back: (4, N, 3, S, S)."""
    small, _, levels = made.pairs(torch.Generator().manual_seed(5), count)
    with torch.no_grad():
        found = made.averaged.ema(turned(from_bytes(small), (2, 3)), levels).chunk(4)
    return torch.stack([one.rot90(-times, (2, 3)) for times, one in enumerate(found)])


def disagreement(made):
    return float(answers(made).std(0).mean())


def taught(agreed_steps, steps=100):
    made = trainer(steps=steps, batch_size=16, bf16=False, agreed_steps=agreed_steps)
    for index in range(steps):
        made.step(index, torch.Generator().manual_seed(index))
    return made


def test_a_patch_has_one_answer_in_its_four_orientations():
    made = trainer()
    square = torch.rand(3, 3, 24, 24)
    found = made.agreed(turned(square, (2, 3))).chunk(4)

    for times, one in enumerate(found):
        assert torch.equal(one, found[0].rot90(times, (2, 3)))
    with torch.no_grad():
        each = [made.averaged.ema(square.rot90(times, (2, 3))).rot90(-times, (2, 3)) for times in range(4)]
    assert (found[0] - torch.stack(each).mean(0)).abs().max() < 0.01  # bfloat16


def test_who_is_taught_by_its_own_mean_agrees_with_itself():
    alone, together = taught(agreed_steps=0), taught(agreed_steps=100)

    assert disagreement(together) < 0.6 * disagreement(alone)


@pytest.mark.parametrize("blocks", [1, 3])
def test_a_deeper_network_begins_as_the_one_that_it_goes_on_from(blocks):
    shallow = trainer(network=replace(quick(RECIPES["upscale-x2"]()).network, blocks=blocks))
    deep = trainer(network=replace(shallow.recipe.network, blocks=blocks + 2))
    deep.begin(shallow.averaged.ema.state_dict())
    square = torch.rand(2, 3, 24, 24)

    before = shallow.averaged.ema(square)
    assert torch.equal(deep.averaged.ema(square), before)
    deep.step(0, torch.Generator().manual_seed(0))
    assert not torch.equal(deep.averaged.ema(square), before)
