"""What schemathesis needs to know of uploads: that they are pictures, and that options come once."""

from __future__ import annotations

import schemathesis
from hypothesis import strategies as st

from app.schemas import STYLES
from tests.corpus import EITHER, corpus

SMALL = 20_000
PICTURES = [item.data for item in corpus() if item.expected != EITHER and 0 < len(item.data) < SMALL]

schemathesis.openapi.format("binary", st.sampled_from(PICTURES))
schemathesis.openapi.media_type("image/*", st.sampled_from(PICTURES))


@schemathesis.hook
def map_case(context, case):  # noqa: ANN001, ANN201  # schemathesis's own types
    """What the schema cannot say.

    The options of a form are its fields, those in the query are for raw bodies: both at once are refused, and a raw
    body without its style is. In JSON 14.0 is an integer to the schema's language, and none to this service. Styles
    that are there are asked for more often than others.
    """
    if case.media_type == "multipart/form-data":
        case.query = {}
        if case.path == "/restyle" and isinstance(case.body, dict) and isinstance(case.body.get("style"), str):
            case.body["style"] = STYLES[len(case.body["style"]) % len(STYLES)]
    elif case.path == "/restyle":
        case.query = {"style": "sketch", **(case.query or {})}
    elif isinstance(case.body, dict):
        case.body = {name: whole(value) for name, value in case.body.items()}
    return case


def whole(value: object) -> object:
    if isinstance(value, dict):
        return {name: whole(one) for name, one in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value
