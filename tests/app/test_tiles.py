"""Tiles put together are the whole picture, through any network whose reach is within the margin."""

import numpy as np
import pytest

from app.tasks.enhance import LevelTiles, Tiles, fill_hidden, keep_mean, mirrored


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (108, 108), (109, 217), (250, 31)])
def test_a_blur_over_tiles_is_the_blur_of_the_whole(size):
    rgb = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    tiles = Tiles(rgb, 0.5, tile=128, margin=10, scale=2)

    def network(image):  # reaches 10 px to each side
        wide = np.pad(image.astype(int), ((10, 10), (10, 10), (0, 0)))
        mean = (wide[:-20, 10:-10] + wide[20:, 10:-10] + wide[10:-10, :-20] + wide[10:-10, 20:]) // 4
        return mean.astype(np.uint8).repeat(2, 0).repeat(2, 1)

    for index in reversed(range(tiles.rows)):
        tiles.put(index, network(tiles.row(index)["image"]))

    padded = rgb[mirrored(-10, size[0] + 20, size[0])[:, None], mirrored(-10, size[1] + 20, size[1])]
    assert (tiles.output == network(padded)[20:-20, 20:-20]).all()


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
