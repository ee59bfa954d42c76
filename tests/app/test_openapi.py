"""The document tells clients what their requests may hold, no more and no less."""

import pytest

from app.openapi import forms, json_body, text_fields, upload
from app.schemas import ComposeOptions, EnhanceOptions, GenerateRequest, RestyleOptions


def body(document, kind):
    return document["requestBody"]["content"][kind]["schema"]


@pytest.mark.parametrize("options", [EnhanceOptions, ComposeOptions, RestyleOptions])
def test_a_text_may_be_left_out_but_is_never_null(options):
    fields = text_fields(options)

    assert set(fields) == set(options.model_fields)
    assert "null" not in str(fields)
    assert all("default" not in field or field["default"] is not None for field in fields.values())


@pytest.mark.parametrize("options", [EnhanceOptions, RestyleOptions])
def test_a_form_has_its_files_and_options_and_nothing_else(options):
    schema = body(upload(options), "multipart/form-data")

    assert set(schema["properties"]) == {"image", *options.model_fields}
    assert schema["additionalProperties"] is False
    assert schema["required"] == (["image", "style"] if options is RestyleOptions else ["image"])


def test_a_backdrop_is_a_file_or_a_text():
    schema = body(forms(ComposeOptions), "multipart/form-data")["properties"]["backdrop"]

    assert [one.get("format", "text") for one in schema["anyOf"]] == ["binary", "text"]


def test_numbers_tell_their_range():
    fields = text_fields(EnhanceOptions)
    seed = body(json_body(GenerateRequest), "application/json")["properties"]["seed"]["anyOf"][0]

    assert fields["scale"]["enum"] == [1, 2, 4]
    assert (fields["denoise"]["minimum"], fields["denoise"]["maximum"]) == (0, 1)
    assert (seed["minimum"], seed["exclusiveMaximum"], seed["format"]) == (0, 2**63, "int64")
