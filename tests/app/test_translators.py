"""Models that are a style by themselves: what they must do before they are served."""

import numpy as np
import pytest

from app.contracts import prove
from app.repository import RepositoryError, read_model
from app.sessions import Session
from app.tasks.colours import pixels, planes
from app.tasks.restyle import mixed
from tests.translators import global_mean, negative, of_bytes, put, softening


def proved(root, data, **changes):
    model = read_model(put(root, changes.pop("name", "style"), data, **changes))
    return prove(model, Session(model.data).run)


@pytest.mark.parametrize(("data", "margin"), [(negative(), 0), (softening(), 4), (softening(), 8)])
def test_a_good_translator_is_proved(tmp_path, data, margin):
    assert proved(tmp_path, data, margin=margin) in (True, False)


@pytest.mark.parametrize(
    ("data", "changes", "reason"),
    [
        (softening(), {"margin": 0}, "tiles would be seen"),
        (global_mean(), {}, "tiles would be seen"),
        (of_bytes(), {}, r"not in \[0, 1\]"),
        (negative(), {"tile": 0}, "tile 0 is missing"),
        (negative(), {"margin": 32}, "margin 32"),
        (negative(), {"scale": 2}, "scale 2"),
        (negative(), {"name": "sketch"}, "name 'sketch'"),
        (negative().replace(b"image", b"photo"), {}, "a run of 1 failed"),
    ],
)
def test_a_translator_that_would_do_harm_is_refused_with_a_reason(tmp_path, data, changes, reason):
    with pytest.raises(RepositoryError, match=reason):
        proved(tmp_path, data, **changes)


def test_planes_and_pixels_are_each_others_reverse():
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)

    assert planes(image).shape == (3, 5, 7)
    assert planes(image).dtype == np.float32
    assert np.array_equal(pixels(planes(image)), image)
    assert pixels(np.array([[[-0.5]], [[2.0]], [[0.5]]])).ravel().tolist() == [0, 255, 128]


def test_strength_mixes_two_pictures():
    before, after = np.full((300, 4, 3), 100, np.uint8), np.full((300, 4, 3), 201, np.uint8)

    assert [int(mixed(before, after, s)[299, 0, 0]) for s in (0, 0.5, 1)] == [100, 150, 201]
