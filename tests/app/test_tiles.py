"""Tiles put together are the whole picture, through any network whose reach is within the margin."""

import numpy as np
import pytest

from app.tasks.enhance import LevelTiles, Tiles, fill_hidden, keep_mean, mirrored, tile_shape


@pytest.mark.parametrize("shape", [(128, 128), (36, 276), (148, 52)])
@pytest.mark.parametrize("size", [(1, 1), (7, 300), (108, 108), (109, 217), (250, 31)])
def test_a_blur_over_tiles_is_the_blur_of_the_whole(size, shape):
    rgb = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    tiles = Tiles(rgb, 0.5, shape=shape, margin=10, scale=2)

    def network(image):  # reaches 10 px to each side
        wide = np.pad(image.astype(int), ((10, 10), (10, 10), (0, 0)))
        mean = (wide[:-20, 10:-10] + wide[20:, 10:-10] + wide[10:-10, :-20] + wide[10:-10, 20:]) // 4
        return mean.astype(np.uint8).repeat(2, 0).repeat(2, 1)

    for index in reversed(range(tiles.rows)):
        tiles.put(index, network(tiles.row(index)["image"]))

    padded = rgb[mirrored(-10, size[0] + 20, size[0])[:, None], mirrored(-10, size[1] + 20, size[1])]
    assert (tiles.output == network(padded)[20:-20, 20:-20]).all()


def computed(size, shape, margin=10):
    """Pixels of the tiles, with their margins."""
    down, across = (-(-length // (side - 2 * margin)) for length, side in zip(size, shape, strict=True))
    return down * across * shape[0] * shape[1]


@pytest.mark.parametrize("size", [(1, 1), (96, 96), (512, 512), (300, 1700), (2000, 3000), (6000, 5000)])
@pytest.mark.parametrize("most", [1, 128**2, 276**2, 1e9])
def test_tiles_are_within_their_limit_and_cost_no_more_than_fixed_ones(size, most):
    shape = tile_shape(*size, 10, most)

    assert shape[0] * shape[1] <= max(most, 80**2)
    if most >= 128**2:
        assert computed(size, shape) <= 1.05 * computed(size, (128, 128))
    if most >= 276**2 and min(size) >= 512:
        assert computed(size, shape) < 1.2 * size[0] * size[1]


@pytest.mark.parametrize("margin", [4, 10, 30])
def test_margins_are_never_most_of_the_work(margin):
    assert computed((512, 512), tile_shape(512, 512, margin, 1), margin) < 2 * 512 * 512


def test_tiles_of_a_photo_that_is_alone_come_out_even():
    shape = tile_shape(512, 512, 10, 276**2, 2)

    assert computed((512, 512), shape) // (shape[0] * shape[1]) % 2 == 0
    assert tile_shape(96, 96, 10, 276**2) == (116, 116)
    assert computed((96, 96), tile_shape(96, 96, 10, 276**2, 2)) > 116**2  # two smaller ones, side by side


def test_the_level_is_the_mean_over_at_most_sixteen_tiles():
    work = LevelTiles(np.zeros((2000, 900, 3), np.uint8), 128)
    for index in range(work.rows):
        assert work.row(index)["image"].shape == (128, 128, 3)
        work.put(index, np.float32(index % 2))

    assert (work.rows, work.level) == (16, 0.5)


def test_a_shifted_mean_is_brought_back():
    source = np.full((4, 4, 3), 100, np.uint8)

    assert (keep_mean(source + np.uint8(3), source) == source).all()


def test_hidden_colours_are_those_of_the_visible_neighbours():
    rgb = np.zeros((9, 5, 3), np.uint8)
    alpha = np.zeros((9, 5), np.uint8)
    rgb[4, 2], alpha[4, 2] = (10, 200, 30), 255

    assert (fill_hidden(rgb, alpha) == (10, 200, 30)).all()
