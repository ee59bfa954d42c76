"""Where products go, what shadow they throw, what lies behind them, and how far their colours may move."""

import numpy as np
import pytest

from app.images import resample
from app.tasks.backdrops import backdrops, drawn, gradient
from app.tasks.compose import Box, arranged, darkened, laid_over, shadows, trimmed
from app.tasks.harmonize import MOST_DRIFT, drift, harmonized


def extent(boxes):
    left, top = min(b.left for b in boxes), min(b.top for b in boxes)
    return left, top, max(b.left + b.width for b in boxes), max(b.top + b.height for b in boxes)


@pytest.mark.parametrize("anchor", ["center", "bottom"])
@pytest.mark.parametrize("fill", [0.1, 0.5, 0.85, 1.0])
@pytest.mark.parametrize(
    "shapes", [[(100, 40)], [(40, 100)], [(100, 40), (40, 100)], [(3, 500)] * 3, [(70, 50)] * 4, [(1, 1)]]
)
@pytest.mark.parametrize("canvas", [(400, 300), (90, 500)])
def test_products_take_the_share_that_was_asked_for_and_keep_their_shape(shapes, fill, anchor, canvas):
    width, height = canvas
    boxes = arranged(shapes, width, height, fill, anchor)
    left, top, right, bottom = extent(boxes)

    assert left >= 0
    assert top >= 0
    assert right <= width
    assert bottom <= height
    assert max((right - left) / width, (bottom - top) / height) == pytest.approx(fill, abs=2.1 / min(canvas))
    assert abs(left + right - width) <= 2
    for (high, wide), box in zip(shapes, boxes, strict=True):
        assert box.width == pytest.approx(box.height * wide / high, abs=1 + wide / high)
    if anchor == "center":
        assert abs(top + bottom - height) <= 2
    else:
        assert height - bottom <= 0.08 * height + 1
        assert max(b.top + b.height for b in boxes) - min(b.top + b.height for b in boxes) <= 1


def test_several_products_do_not_cover_each_other():
    boxes = arranged([(80, 50), (50, 80), (60, 60), (90, 30)], 500, 500, 0.9, "center")
    taken = np.zeros((500, 500), int)
    for box in boxes:
        taken[box.slices] += 1

    assert taken.max() == 1
    areas = [box.width * box.height for box in boxes]
    assert max(areas) < 1.1 * min(areas)


def standing(width=300, height=300):
    """A block that stands in the lower half, as a box with its alpha."""
    box = Box(width // 3, height // 2, width // 3, height // 3)
    return [(box, np.full((box.height, box.width), 255, np.uint8))]


@pytest.mark.parametrize("kind", ["contact", "soft"])
def test_a_standing_product_darkens_the_floor_at_its_foot_and_nothing_above_it(kind):
    ((box, _),) = standing()
    shadow = resample(shadows(standing(), 300, 300, kind, False), 300, 300)
    foot = box.top + box.height

    assert 0 <= shadow.min() <= shadow.max() < 1
    assert shadow[foot + 2, 150] > 0.15
    assert shadow[foot + 2, 150] > 2 * shadow[foot + 30, 150]
    assert shadow[: box.top - 30].max() < 0.02
    beside = shadow[foot - 15, box.left + box.width + 15 : box.left + box.width + 40]
    assert (beside.max() > 0.1) == (kind == "soft")  # cast to the right


def test_a_lying_products_shadow_looks_out_from_under_it_all_around_below():
    ((box, _),) = standing()
    shadow = resample(shadows(standing(), 300, 300, "soft", True), 300, 300)

    assert shadow[box.top + box.height + 2, 150] > 0.2
    assert shadow[box.top + box.height + 2, 150] > 1.5 * shadow[box.top - 3, 150]
    assert shadow[:30].max() < 0.01


def test_the_opacity_of_a_shadow_is_what_it_takes_away():
    ground = np.full((60, 60, 3), 200, np.uint8)
    shadow = np.full((30, 30), 0.5, np.float32)

    assert (darkened(ground, shadow, 0.0) == 200).all()
    assert (darkened(ground, shadow, 1.0) == 100).all()
    clear = darkened(np.zeros((60, 60, 4), np.uint8), shadow, 1.0)
    assert (clear[..., 3] == 128).all()  # half of the light is taken by half of black
    assert (clear[..., :3] == 0).all()


def test_a_product_over_nothing_is_itself_and_over_a_colour_is_mixed():
    rgba = np.full((4, 4, 4), (200, 100, 0, 128), np.uint8)
    rgba[0, 0, 3] = 255
    clear, white = np.zeros((6, 6, 4), np.uint8), np.full((6, 6, 3), 255, np.uint8)
    for ground in (clear, white):
        laid_over(ground, rgba, Box(1, 1, 4, 4))

    assert (clear[1:5, 1:5] == rgba).all()
    assert (clear[0] == 0).all()
    assert tuple(white[1, 1]) == (200, 100, 0)
    assert np.abs(white[2, 2].astype(int) - (227, 177, 127)).max() <= 1
    assert (white[0] == 255).all()


def test_trimming_leaves_what_is_seen():
    rgba = np.zeros((20, 30, 4), np.uint8)
    rgba[5:9, 7:20, 3] = 200

    assert trimmed(rgba).shape == (4, 13, 4)
    assert (trimmed(rgba)[..., 3] == 200).all()


@pytest.mark.parametrize("name", sorted(backdrops()))
def test_every_backdrop_is_drawn_at_any_size(name):
    for width, height in ((1, 1), (16, 400), (400, 16), (333, 250)):
        found = drawn(backdrops()[name], width, height)
        assert found.shape == (height, width, 3)
        assert found.dtype == np.uint8
    # The same picture, but for its grain, whatever its size: nothing black, no edge of a tile.
    large, small = (drawn(backdrops()[name], side, side).astype(float) for side in (512, 128))
    assert large.min() > 5
    assert (
        np.abs(large.reshape(16, 32, 16, 32, 3).mean((1, 3)) - small.reshape(16, 8, 16, 8, 3).mean((1, 3))).mean() < 6
    )
    assert (drawn(backdrops()[name], 64, 48) == drawn(backdrops()[name], 64, 48)).all()


def test_a_gradient_goes_from_one_colour_to_the_other_in_small_steps():
    found = gradient("#102030", "#f0e0d0", 40, 500).astype(int)

    assert np.abs(found[0] - (16, 32, 48)).max() <= 1
    assert np.abs(found[-1] - (240, 224, 208)).max() <= 1
    assert np.abs(np.diff(found.mean(1), axis=0)).max() < 2
    assert (gradient("#ffffff", "#ffffff", 10, 10) == 255).all()


def test_colours_move_with_the_strength_and_never_further_than_they_may():
    random = np.random.default_rng(0)
    rgba = np.dstack([random.integers(60, 180, (40, 40, 3)), np.full((40, 40), 255)]).astype(np.uint8)
    gentle = np.array([0.02, 0, -0.02, 0, 0], np.float32)
    strong = np.array([0.5, -0.5, 0.5, 0.5, 0.5], np.float32)

    assert (harmonized(rgba, strong, 0.0) == rgba).all()
    distances = [drift(rgba[..., :3], harmonized(rgba, gentle, s)[..., :3]) for s in (0.25, 0.5, 1.0)]
    assert distances[0] < distances[1] < distances[2] < MOST_DRIFT
    for strength in (0.3, 1.0):
        found = harmonized(rgba, strong, strength)
        assert 0.4 * MOST_DRIFT * strength < drift(rgba[..., :3], found[..., :3]) <= 1.1 * MOST_DRIFT * strength
        assert (found[..., 3] == 255).all()
