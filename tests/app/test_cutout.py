"""What the network sees small becomes alpha and clean colours at the photo's own size."""

import asyncio

import numpy as np
import pytest

from app.errors import InvalidOptions
from app.images import Credits, Picture, resample
from app.pipeline import cut_out
from app.tasks.cutout import SNAP, Whole, mean_around, parts, without_crumbs


def disc(side, radius=0.3):
    """Alpha of a disc, (S, S) float32, smooth over one pixel."""
    at = (np.arange(side) + 0.5) / side - 0.5
    distance = np.hypot(at[:, None], at[None, :])
    return np.clip((radius - distance) * side + 0.5, 0, 1).astype(np.float32)


def seen(alpha, colour):
    """What a perfect network would give."""
    return np.dstack([np.full((*alpha.shape, 3), colour, np.uint8), np.rint(255 * alpha).astype(np.uint8)])


def refined(photo, cutout):
    """A photo with what the network made of it at 64 px."""
    work = Whole(photo, 64)
    work.put(0, cutout)
    return work.refined()


RED, GREEN = (200, 40, 30), (40, 150, 60)


@pytest.mark.parametrize("side", [64, 256, 1000])
def test_the_edge_is_the_photos_and_has_no_colour_of_the_ground(side):
    alpha, small = disc(side), disc(64)
    photo = np.rint(np.array(GREEN) + (np.array(RED) - GREEN) * alpha[..., None]).astype(np.uint8)
    rgba = refined(photo, seen(small, RED))
    found = rgba[..., 3] / 255
    blurred = resample(small, side, side)

    assert np.abs(found - alpha).max() <= SNAP[0]  # faint alpha is taken for none
    assert np.abs(found - alpha).mean() <= max(0.003, 0.6 * np.abs(blurred - alpha).mean())
    edge = (found > 0.1) & (found < 1)
    assert np.abs(rgba[edge][:, :3].astype(int) - RED).mean() < 12


def test_sure_pixels_are_exact():
    photo = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    rgba = refined(photo, seen(disc(64), RED))

    centre, corner = rgba[140:160, 190:210], rgba[:20, :20]
    assert (centre[..., 3] == 255).all()
    assert (centre[..., :3] == photo[140:160, 190:210]).all()
    assert (corner[..., 3] == 0).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (257, 3), (255, 513)])
@pytest.mark.parametrize("cover", [0, 128, 255])
def test_any_size_and_any_answer_of_the_network(size, cover):
    photo = np.full((*size, 3), 90, np.uint8)
    rgba = refined(photo, np.full((64, 64, 4), cover, np.uint8))

    assert rgba.shape == (*size, 4)
    if cover != 128:
        assert (rgba[..., 3] == cover).all()
        assert cover == 0 or (rgba[..., :3] == photo).all()


def test_a_mean_over_squares():
    plane = np.random.default_rng(0).random((7, 9), np.float32)
    padded = np.pad(plane, 2, mode="edge")
    expected = [[padded[y : y + 5, x : x + 5].mean() for x in range(9)] for y in range(7)]

    assert np.allclose(mean_around(plane, 2), expected, atol=1e-6)


def test_the_network_sees_the_whole_photo():
    row = Whole(np.full((30, 500, 3), 7, np.uint8), 64).row(0)

    assert row["image"].shape == (64, 64, 3)
    assert (row["image"] == 7).all()


class Blind:
    """A service whose network finds nothing."""

    async def timed(self, stage, call, function, *arguments):
        return function(*arguments)

    async def infer(self, call, model, work, finish):
        work.put(0, np.zeros((64, 64, 4), np.uint8))
        return finish()


class Catalogue:
    """What `find` gives leads to a size, and stands for the call too."""

    size = 64

    def find(self, task):
        return self

    model = manifest = catalogue = property(lambda self: self)


def test_a_photo_without_a_product_is_refused():
    picture = Picture(np.full((20, 30, 3), 9, np.uint8), None, Credits())
    with pytest.raises(InvalidOptions) as refused:
        asyncio.run(cut_out(Blind(), Catalogue(), picture, ["background"]))

    assert refused.value.errors[0]["loc"] == ["background"]


def test_crumbs_go_and_pairs_stay():
    alpha = np.zeros((64, 64), np.float32)
    alpha[8:56, 4:24] = alpha[8:56, 40:60] = 1  # a pair of shoes
    alpha[2:4, 30:33] = 0.9
    found = without_crumbs(alpha)

    assert not found[:6, 28:36].any()
    assert np.array_equal(found[:, :28], alpha[:, :28])
    assert np.array_equal(found[:, 36:], alpha[:, 36:])
    assert not without_crumbs(np.zeros((64, 64), np.float32)).any()


def test_parts_hang_together_however_they_wind():
    spiral = np.zeros((33, 33), bool)
    top, left, bottom, right = 0, 0, 32, 32
    while top < bottom:
        spiral[top, left : right + 1] = spiral[top : bottom + 1, right] = True
        spiral[bottom, left + 2 : right + 1] = spiral[top + 2 : bottom + 1, left + 2] = True
        spiral[top + 2, left + 2 : left + 3] = True
        top, left, bottom, right = top + 2, left + 2, bottom - 2, right - 2
    spiral[1, 0] = False
    apart = np.eye(33, dtype=bool)

    assert len(np.unique(parts(spiral))) == 2  # itself and what is outside
    assert len(np.unique(parts(apart))) == 2
    assert len(np.unique(parts(apart & (np.arange(33) % 2 == 0)))) == 18
