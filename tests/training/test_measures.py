"""The measures of a generator where the answer is known."""

import numpy as np
import pytest

from training.measures import (
    density_and_coverage,
    frechet,
    kid,
    nearest,
    nearest_pixels,
    share_nearer,
    shrunk_covariance,
    spread,
    standardised,
)


@pytest.fixture
def random():
    return np.random.default_rng(0)


def test_two_gaussians_have_the_closed_form_as_their_frechet_distance(random):
    """|m1 - m2|^2 + sum (s1 - s2)^2 for diagonal covariances."""
    means, first, second = np.array([1.0, -2.0, 0.5]), np.array([1.0, 2.0, 0.5]), np.array([2.0, 1.0, 0.5])
    x = random.standard_normal((40_000, 3)) * first
    y = random.standard_normal((40_000, 3)) * second + means

    assert frechet(x, y) == pytest.approx((means**2).sum() + ((first - second) ** 2).sum(), rel=0.03)
    assert frechet(x, x) == pytest.approx(0, abs=1e-6)


def test_turned_gaussians_are_apart_although_their_spreads_agree(random):
    """tr(A + B - 2 (A B)^0.5) of covariances diag(9, 1) and the same turned by 90 degrees: 2 (3 - 1)^2."""
    x = random.standard_normal((40_000, 2)) * (3, 1)

    assert frechet(x, x[:, ::-1]) == pytest.approx(8, rel=0.03)


def test_few_pictures_give_a_covariance_of_full_rank(random):
    found = shrunk_covariance(random.standard_normal((10, 30)))

    assert np.linalg.eigvalsh(found).min() > 0.3  # all are 1 in truth
    assert np.linalg.eigvalsh(found).max() < 3


def test_two_halves_of_one_set_have_no_kernel_distance_within_its_spread(random):
    found = kid(*np.split(random.standard_normal((400, 16)), 2))

    assert abs(found.value) < found.spread
    assert found.spread > 0


def test_the_kernel_distance_knows_a_shift_and_is_unbiased(random):
    x = random.standard_normal((200, 16))
    moved = kid(x, random.standard_normal((200, 16)) + 1)

    assert moved.value > 5 * moved.spread
    draws = [kid(*random.standard_normal((2, 20, 4)), subsets=1).value for _ in range(400)]
    assert abs(np.mean(draws)) < 3 * np.std(draws) / 20


def test_coverage_catches_what_is_collapsed_and_density_does_not(random):
    real, made = random.standard_normal((2, 300, 4))
    density, coverage = density_and_coverage(made, real)
    same_density, collapsed = density_and_coverage(made / 20, real)

    assert density == pytest.approx(1, abs=0.15)
    assert coverage == pytest.approx(1 - 2**-5, abs=0.04)
    assert same_density > 1
    assert collapsed < 0.2


def test_a_copy_is_nearer_than_held_out_pictures_are(random):
    train, held_out, honest = random.standard_normal((3, 200, 8))
    far, _ = nearest(held_out, train)
    copied, index = nearest(train[::-1] + 1e-3, train)

    assert share_nearer(copied, far) == 1
    assert index.tolist() == list(range(200))[::-1]
    assert share_nearer(nearest(honest, train)[0], far) < 0.12


def test_pixel_measures_see_mirrored_copies(random):
    reals = random.integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)

    assert spread(np.repeat(reals[:1], 4, 0)) == 0
    assert spread(np.stack([np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), 10, np.uint8)])) == 10
    assert nearest_pixels(reals[2:3], reals)[0].max() < 0.1
    distance, index = nearest_pixels(reals[2:3, :, ::-1], reals)
    assert (distance.max() < 0.1, index.tolist()) == (True, [2])
    assert nearest_pixels(255 - reals[:1], reals)[0].min() > 20


def test_features_without_spread_say_nothing():
    reference = np.array([[1.0, 5.0], [3.0, 5.0]])

    assert standardised(np.array([[3.0, 7.0]]), reference).tolist() == [[1.0, 0.0]]
