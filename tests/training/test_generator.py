"""The generator's own promises, whatever its weights are."""

import pytest
import torch

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
