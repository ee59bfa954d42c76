"""The command line's options, made from what the API validates, so that the two cannot drift apart."""

from __future__ import annotations

import argparse
import json
from collections.abc import Collection
from typing import Any, Final

from pydantic import BaseModel, ValidationError

PREFIX: Final = "option_"


class UsageError(Exception):
    """The command is wrong. The message says how."""


def add_options(parser: argparse.ArgumentParser, model: type[BaseModel], besides: Collection[str] = ()) -> None:
    """An option for every field of a request, but for those in `besides`; `--shadow-opacity` or `--shadow_opacity`."""
    schema = model.model_json_schema()
    group = parser.add_argument_group("options, as the API has them")
    for name, field in model.model_fields.items():
        if name not in besides:
            names = dict.fromkeys((f"--{name.replace('_', '-')}", f"--{name}"))
            group.add_argument(
                *names, dest=PREFIX + name, metavar="JSON" if "$defs" in schema and name == "mix" else "VALUE",
                required=field.is_required(), help=allowed(schema["properties"][name]),
            )  # fmt: skip


def allowed(schema: dict[str, Any]) -> str:
    """What a field takes, in words, for `--help`."""
    parts = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    words: list[str] = [schema["description"].rstrip(".")] if "description" in schema else []
    for part in parts:
        if "enum" in part:
            words.append(", ".join(map(str, part["enum"])))
        elif "$ref" in part:
            words.append(str(part["$ref"]).rpartition("/")[2].lower() + " as JSON")
        elif "minimum" in part:
            most = part.get("maximum", part.get("exclusiveMaximum"))
            words.append(f"{part['minimum']:g} to {most if isinstance(most, int) and most < 10**6 else f'{most:.3g}'}")
        elif "pattern" in part:
            words.append(part["pattern"].strip("^$"))
    if schema.get("default") is not None:
        words.append(f"default {schema['default']}")
    return "; ".join(words).replace("%", "%%")


def options_of(arguments: argparse.Namespace, model: type[BaseModel], **fixed: str) -> BaseModel:
    """The validated options of a command; those that were not given stay unset. `fixed` are set as if they were given.

    Raises:
        UsageError: one of them is wrong.
    """
    given = {name: getattr(arguments, PREFIX + name, None) for name in model.model_fields}
    texts: dict[str, Any] = {name: value for name, value in given.items() if value is not None} | fixed
    try:
        return model.model_validate_strings({name: nested(model, name, value) for name, value in texts.items()})
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        said = [(".".join(map(str, one["loc"])), one["msg"].removeprefix("Value error, ")) for one in found]
        raise UsageError("; ".join(f"--{name}: {text}" if name else text for name, text in said)) from None


def nested(model: type[BaseModel], name: str, text: str) -> Any:  # noqa: ANN401  # what pydantic takes
    """A text as it is, or JSON with every value as text, where the field is an object.

    Raises:
        UsageError: it is no JSON object.
    """
    schema = model.model_json_schema()["properties"][name]
    if not any("$ref" in one for one in schema.get("anyOf", [schema])):
        return text
    try:
        return {key: str(value) for key, value in json.loads(text).items()}
    except (ValueError, AttributeError):
        raise UsageError(f'--{name}: must be a JSON object, such as {{"seed": 7, "amount": 0.5}}') from None
