import numpy as np

from training.drawings import drawn


def test_the_same_seed_draws_the_same_pictures_and_more_of_them_are_no_others():
    few, many = drawn(2, 48, seed=3), drawn(3, 48, seed=3)

    assert [one.shape for one in many] == [(48, 48, 3)] * 3
    assert all(np.array_equal(a, b) for a, b in zip(few, many, strict=False))
    assert not np.array_equal(many[0], many[1])
    assert not np.array_equal(few[0], drawn(1, 48, seed=4)[0])


def test_pictures_have_flat_parts_and_clean_edges():
    steps = np.abs(np.diff(np.stack(drawn(8, 192)).astype(int), axis=2)).max(-1)

    assert (steps <= 2).mean() > 0.6
    assert (steps >= 40).mean() > 0.01
