"""Which enhancers a picture goes through."""

from types import SimpleNamespace

import pytest

from app.catalogue import Catalogue
from app.errors import UnknownModel


def named(name, task, scale):
    manifest = SimpleNamespace(task=task, scale=scale)
    return SimpleNamespace(name=name, label=f"{name}@1", digest=name, model=SimpleNamespace(manifest=manifest))


def catalogue(**scales):
    """Enhancers by name and scale, and a model that is none."""
    models = {name: named(name, "enhance", scale) for name, scale in scales.items()}
    return Catalogue(models | {"level": named("level", "level", 0)})


@pytest.mark.parametrize(
    ("scales", "scale", "passes"),
    [
        ({"x2": 2, "x2fast": 2, "x4": 4}, 1, ["x2"]),
        ({"x2": 2, "x2fast": 2, "x4": 4}, 2, ["x2"]),
        ({"x2": 2, "x2fast": 2, "x4": 4}, 3, ["x2", "x2"]),
        ({"x2": 2, "x2fast": 2, "x4": 4}, 4, ["x4"]),
        ({"x2": 2, "x2fast": 2, "x4": 4}, 8, ["x4", "x2"]),
        ({"x2": 2, "x2fast": 2, "x4": 4}, 16, ["x4", "x4"]),
        ({"x2": 2}, 4, ["x2", "x2"]),
        ({"x4": 4}, 2, ["x4"]),
    ],
)
def test_the_fewest_passes_by_the_first_model_of_a_scale(scales, scale, passes):
    assert [one.name for one in catalogue(**scales).enhancers(scale)] == passes


@pytest.mark.parametrize(
    ("wanted", "scale", "passes"), [("x2fast", 4, ["x2fast"] * 2), ("x2fast@1", 1, ["x2fast"]), ("x4", 2, ["x4"])]
)
def test_the_model_that_is_wanted_does_every_pass(wanted, scale, passes):
    models = catalogue(x2=2, x2fast=2, x4=4)

    assert [one.name for one in models.enhancers(scale, wanted)] == passes


@pytest.mark.parametrize("wanted", ["level", "x2@9", ""])
def test_what_is_no_enhancer_is_not_found(wanted):
    with pytest.raises(UnknownModel):
        catalogue(x2=2).enhancers(2, wanted)
    with pytest.raises(UnknownModel):
        catalogue().enhancers(2)
