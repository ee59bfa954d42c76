"""Generated products at more than their own size."""

import asyncio
import math
from types import SimpleNamespace

import numpy as np
import pytest

from app.pipeline import MESH_PX, PRODUCT_DENOISE, enlarged_product


class Repeating:
    """A service whose enhancer repeats pixels, and remembers how strongly it was asked to restore."""

    def __init__(self):
        self.strengths = []

    async def enlarge(self, call, rgb, passes, strength, finish):
        self.strengths.append(strength)
        scale = math.prod(passes)
        return finish(rgb.repeat(scale, 0).repeat(scale, 1))


def test_the_colours_of_half_transparent_edges_do_not_become_fringes():
    rgba = np.zeros((16, 16, 4), np.uint8)
    rgba[3:13, 3:13] = (0, 255, 0, 120)  # what a generator guesses where it is not sure
    rgba[4:12, 4:12] = (200, 0, 0, 255)
    service = Repeating()
    call = SimpleNamespace(catalogue=SimpleNamespace(enhancers=lambda scale: [scale]))
    large = asyncio.run(enlarged_product(service, call, rgba, 60, lambda finished: finished))

    assert large.shape == (64, 64, 4)
    assert service.strengths == [PRODUCT_DENOISE]
    assert (large[..., :3] == (200, 0, 0)).all()
    assert large[0, 0, 3] == 0
    assert large[32, 32, 3] == 255


def test_a_mesh_is_not_there_to_be_enlarged_and_nothing_from_outside_comes_in():
    rgba = np.zeros((16, 16, 4), np.uint8)
    rgba[..., :3] = 255  # hidden
    rgba[4:12, 4:12] = (100, 100, 100, 255)
    rgba[4:12:2, 5:12:2, :3] = rgba[5:12:2, 4:12:2, :3] = 130
    call = SimpleNamespace(catalogue=SimpleNamespace(enhancers=lambda scale: [scale]))

    def inside(soften):
        work = enlarged_product(Repeating(), call, rgba, 32, lambda finished: finished, soften=soften)
        return asyncio.run(work)[8:24, 8:24, :3]

    assert np.ptp(inside(0)) == 30
    assert np.ptp(inside(MESH_PX)[2:-2, 2:-2]) < 8
    assert inside(MESH_PX).max() <= 130


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_an_edge_is_enlarged_less_than_the_picture(scale):
    rgba = np.full((32, 32, 4), 128, np.uint8)
    rgba[..., 3] = np.linspace(-200, 455, 32).clip(0, 255).round()  # 13 px wide
    call = SimpleNamespace(catalogue=SimpleNamespace(enhancers=lambda scale: [scale]))
    work = enlarged_product(Repeating(), call, rgba, 32 * scale, lambda finished: finished)
    edge = asyncio.run(work)[16, :, 3].astype(int)

    assert (np.diff(edge) >= 0).all()  # and it does not swing
    assert ((edge > 0) & (edge < 255)).sum() == pytest.approx(12 * math.sqrt(scale), abs=2)
    assert abs(np.abs(edge - 127.5).argmin() / scale - 15.5) < 1  # and stays where it was
