"""What worker processes make ahead is what would have been made in the step itself."""

import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from training.ahead import Ahead
from training.loop import seed_of
from training.patches import Photos
from training.recipes import RECIPES, quick
from training.restoration import RestorationTrainer

# From Python 3.12 on a warning that forks of threads may hang; these have no threads of their own.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def numbers(random):
    return torch.rand(3, generator=random), torch.tensor(os.getpid())


def test_each_step_gets_the_batch_of_its_own_generator_wherever_a_run_begins():
    ahead = Ahead(numbers, seed=1, steps=9, workers=2)
    expected = [numbers(seed_of(1, step))[0] for step in range(9)]

    in_order = [ahead.batch(step)[0] for step in range(5)]
    elsewhere = [ahead.batch(step)[0] for step in (7, 8, 2)]

    assert all(torch.equal(a, b) for a, b in zip(in_order, expected, strict=False))
    assert all(torch.equal(a, expected[step]) for a, step in zip(elsewhere, (7, 8, 2), strict=True))


def test_batches_are_made_by_as_many_processes_as_told():
    ahead = Ahead(numbers, seed=0, steps=8, workers=2)
    makers = {int(ahead.batch(step)[1]) for step in range(8)}

    assert len(makers) == 2
    assert os.getpid() not in makers


def test_a_training_that_has_its_batches_made_ahead_gives_the_same_weights():
    photo = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    recipe = replace(quick(RECIPES["enhance-x2"]()), steps=3)
    here, ahead = (RestorationTrainer(recipe, Photos([[photo]])) for _ in range(2))
    ahead.ahead = Ahead(ahead.pairs, recipe.seed, recipe.steps, workers=2)
    for trainer in (here, ahead):
        for step in range(3):
            trainer.step(step, seed_of(recipe.seed, step))

    for one, other in zip(here.averaged.ema.parameters(), ahead.averaged.ema.parameters(), strict=True):
        assert torch.equal(one, other)
