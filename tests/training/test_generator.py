"""The generator's own promises, whatever its weights are."""

import pytest
import torch

from training.export import centred
from training.networks.generator import Generator, GeneratorConfig

CONFIG = GeneratorConfig(
    classes=3, z_size=8, embedding=4, style_size=8, channels=(8, 6, 4), blocks=(1, 2, 1), textures=5
)


@pytest.fixture
def generator():
    torch.manual_seed(0)
    made = Generator(CONFIG)
    for picture in made.pictures:  # the later levels have no voice before training
        torch.nn.init.normal_(picture.weight, std=0.1)
    return made


@pytest.fixture
def asked():
    return torch.randn(4, 8), torch.tensor([0, 1, 2, 2])


def give_textures_a_voice(generator):
    for texture in generator.textures:
        torch.nn.init.normal_(texture.spread.weight)


def test_textures_start_without_a_voice_and_can_learn_one(generator, asked):
    before = generator(*asked)
    before.sum().backward()
    with torch.no_grad():
        for texture in generator.textures:
            texture.maps.normal_()

    assert torch.equal(generator(*asked), before)
    assert all(texture.spread.weight.grad.abs().sum() > 0 for texture in generator.textures)


@torch.no_grad()
def test_textures_have_places_and_a_strength_for_each_style(generator, asked):
    """Moved by a pixel they lie elsewhere: no convolution could tell that from the features alone."""
    give_textures_a_voice(generator)
    before = generator(*asked)
    generator.textures[-1].maps.copy_(generator.textures[-1].maps.roll(1, -1))
    moved = (generator(*asked) - before).abs().mean((1, 2, 3))

    assert (moved > 1e-3).all()
    assert moved.unique().numel() == 4


@torch.no_grad()
def test_without_truncation_left_a_class_has_one_picture(generator, asked):
    give_textures_a_voice(generator)
    generator.measure_style_mean(64)
    pictures = generator(*asked, truncation=torch.zeros(4))

    assert torch.equal(pictures[2], pictures[3])
    assert not torch.equal(pictures[1], pictures[2])


@torch.no_grad()
@pytest.mark.parametrize(("levels", "side"), [(1, 8), (2, 16), (3, 32)])
def test_fewer_levels_draw_smaller_pictures(generator, asked, levels, side):
    assert generator(*asked, levels=levels).shape == (4, 4, side, side)
    assert CONFIG.size == 32


WHITE = torch.tensor([255, 255, 255, 0], dtype=torch.uint8)


def test_products_are_put_into_the_middle_and_nothing_else_about_them_changes():
    torch.manual_seed(0)
    product = torch.randint(0, 255, (20, 13, 4), dtype=torch.uint8)
    product[..., 3] = 230
    places = [(0, 0), (44, 51), (22, 25), (3, 40)]
    pictures = WHITE.expand(6, 64, 64, 4).clone()
    for picture, (top, left) in zip(pictures, places, strict=False):
        picture[top : top + 20, left : left + 13] = product
    pictures[4] = 200  # to every edge
    found = centred(pictures)

    assert all(torch.equal(one, found[0]) for one in found[1:4])
    assert torch.equal(found[2], pictures[2])  # was there already: half a pixel is none
    assert torch.equal(found[4:], pictures[4:])  # what fills the picture, and what is nothing, stay


def test_what_is_hardly_there_does_not_say_where_the_middle_is():
    picture = WHITE.expand(1, 32, 32, 4).clone()
    picture[0, 10:20, 12:20, 3] = 255
    picture[0, 4, 4, 3] = 100
    found = centred(picture)

    assert (found[0, 11:21, 12:20, 3] == 255).all()
    assert (found[0, 5, 4] == picture[0, 4, 4]).all()  # and moves along
