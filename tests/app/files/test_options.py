"""The command line has the API's options, no more and no fewer."""

import argparse
import json

import pytest

from app.files.options import PREFIX, UsageError, options_of
from app.files.parsers import MODELS, add_parsers
from app.uploads import check


def parsed(*words):
    parser = argparse.ArgumentParser()
    add_parsers(parser.add_subparsers(dest="command"))
    return parser.parse_args(words)


def options(edit, *words):
    inputs = [] if edit == "generate" else ["a.jpg"]
    return options_of(parsed(edit, *inputs, "--out", "out", *words), MODELS[edit])


@pytest.mark.parametrize("edit", MODELS)
def test_every_field_of_the_api_is_an_option(edit):
    style = ["--style", "studio"] if edit == "restyle" else []
    arguments = parsed(edit, *([] if edit == "generate" else ["a.jpg"]), "--out", "out", *style)
    names = {name.removeprefix(PREFIX) for name in vars(arguments) if name.startswith(PREFIX)}

    assert names | ({"count"} if edit == "generate" else set()) == set(MODELS[edit].model_fields)
    assert options(edit, *style) == MODELS[edit](**({"style": "studio"} if style else {}))


def test_both_spellings_of_a_long_name_are_taken():
    assert options("compose", "--shadow-opacity", "0.3") == options("compose", "--shadow_opacity", "0.3")


def test_they_mean_what_a_form_means():
    given = {"scale": "4", "denoise": "0.25", "background": "#102030", "quality": "70"}
    words = [word for name, value in given.items() for word in (f"--{name}", value)]

    assert options("enhance", *words) == check(MODELS["enhance"], list(given.items()), "body")
    assert options("enhance", *words).model_fields_set == given.keys()


def test_an_object_is_written_as_json():
    mix = {"seed": 2**63 - 1, "amount": 0.5}

    assert options("generate", "--mix", json.dumps(mix)).mix.model_dump() == mix


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["enhance", "--scale", "3"], "--scale: must be 1, 2 or 4"),
        (["enhance", "--denoise", "nan"], "--denoise: "),
        (["compose", "--shadow", "long"], "--shadow: "),
        (["restyle", "--style", "colorway"], "the style colorway needs a color"),
        (["generate", "--mix", "7"], "--mix: must be a JSON object"),
        (["generate", "--mix", '{"seed": 1}'], "--mix.amount: Field required"),
        (["generate", "--seed", "-1"], "--seed: "),
    ],
)
def test_a_wrong_option_is_named(words, message):
    with pytest.raises(UsageError, match=f"^{message}"):
        options(*words)


@pytest.mark.parametrize(
    "words",
    [
        ["enhance", "--out", "out"],
        ["enhance", "a.jpg"],
        ["restyle", "a.jpg", "--out", "out"],
        ["enhance", "a.jpg", "--out", "out", "--sharpness", "1"],
        ["generate", "--out", "out", "--count", "0"],
        ["preset", "check", "a.jpg"],
    ],
)
def test_a_wrong_command_exits_with_2(words, capsys):
    with pytest.raises(SystemExit) as exit:
        parsed(*words)
    assert exit.value.code == 2
    assert "usage:" in capsys.readouterr().err
