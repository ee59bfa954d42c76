"""Which enhancers a picture goes through."""

import math
import time
from types import SimpleNamespace

import pytest

from app.catalogue import Catalogue, OnDemand, seconds_per_row
from app.errors import UnknownModel
from app.sessions import CPU


def named(name, task, scale):
    model = SimpleNamespace(manifest=SimpleNamespace(task=task, scale=scale), label=f"{name}@1", digest=name)
    return SimpleNamespace(name=name, digest=name, model=model)


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


def test_a_clean_picture_is_only_enlarged_where_there_is_a_model_for_that():
    pure = {name: named(name, "upscale", scale) for name, scale in (("up2", 2), ("up4", 4))}
    both = Catalogue({"x2": named("x2", "enhance", 2), **pure})

    assert [one.name for one in both.enhancers(2, clean=True)] == ["up2"]
    assert [one.name for one in both.enhancers(4, clean=True)] == ["up4"]
    assert [one.name for one in both.enhancers(2)] == ["x2"]
    assert [one.name for one in both.enhancers(2, "x2", clean=True)] == ["x2"]
    assert [one.name for one in catalogue(x2=2).enhancers(2, clean=True)] == ["x2"]
    with pytest.raises(UnknownModel):
        both.enhancers(2, "up2")  # an upload may need restoring, which it cannot


def test_on_demand_nothing_is_loaded_that_is_not_asked_for():
    models = {name: named(name, "enhance", scale).model for name, scale in (("x2", 2), ("x4", 4))}
    loaded = []

    def load(model):
        loaded.append(model.label)
        return SimpleNamespace(name=model.label[:-2], model=model)

    found = OnDemand(models | {"level": named("level", "level", 0).model}, load)
    assert (found.digests, loaded, list(found)) == ("x2 x4 level", [], [])
    assert [one.name for one in found.enhancers(2)] == ["x2"]
    assert found.first("enhance") is found.named("x2")
    assert found.named("nobody") is None
    assert loaded == ["x2@1"]
    assert [one.name for one in found] == ["x2"]


@pytest.mark.parametrize(("provider", "least", "most"), [(CPU, 0, 0.04), ("CUDAExecutionProvider", 0.05, math.inf)])
def test_what_a_row_costs_is_not_more_because_other_programs_had_the_processor(provider, least, most):
    """Or tiles would be small for good where a server starts beside them. A thread that sleeps is one that waits."""
    engine = SimpleNamespace(provider=provider, run=lambda rows: time.sleep(0.05))

    assert least <= seconds_per_row(engine, {"seed": 1}) < most
