"""The document tells clients what their requests may hold, no more and no less."""

import io
from functools import cache
from urllib.parse import parse_qsl

import jsonschema_rs
import pytest
from PIL import Image

from app.examples import COMPOSE, ENHANCE, GENERATE, RESTYLE
from app.openapi import forms, json_body, text_fields, upload
from app.schemas import ComposeOptions, EnhanceOptions, GenerateRequest, RestyleOptions
from tests.samples import sample


def body(document, kind):
    return document["requestBody"]["content"][kind]["schema"]


@pytest.mark.parametrize("options", [EnhanceOptions, ComposeOptions, RestyleOptions])
def test_a_text_may_be_left_out_but_is_never_null(options):
    fields = text_fields(options)

    assert set(fields) == set(options.model_fields)
    assert "null" not in str(fields)
    assert all("default" not in field or field["default"] is not None for field in fields.values())


@pytest.mark.parametrize(("options", "found"), [(EnhanceOptions, ENHANCE), (RestyleOptions, RESTYLE)])
def test_a_form_has_its_files_and_options_and_nothing_else(options, found):
    schema = body(upload(options, found), "multipart/form-data")

    assert set(schema["properties"]) == {"image", *options.model_fields}
    assert schema["additionalProperties"] is False
    assert schema["required"] == (["image", "style"] if options is RestyleOptions else ["image"])


def test_a_backdrop_is_a_file_or_a_text():
    schema = body(forms(ComposeOptions, COMPOSE), "multipart/form-data")["properties"]["backdrop"]

    assert [one.get("format", "text") for one in schema["anyOf"]] == ["text", "binary"]


def test_numbers_tell_their_range():
    fields = text_fields(EnhanceOptions)
    seed = body(json_body(GenerateRequest, GENERATE), "application/json")["properties"]["seed"]["anyOf"][0]

    assert fields["scale"]["enum"] == [1, 2, 4]
    assert (fields["denoise"]["minimum"], fields["denoise"]["maximum"]) == (0, 1)
    assert (seed["minimum"], seed["exclusiveMaximum"], seed["format"]) == (0, 2**63, "int64")


@pytest.fixture(scope="module")
def document(client):
    return client.get("/openapi.json").json()


def operations(document):
    """Every operation, with its method and path."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def test_every_operation_has_a_name_a_summary_a_description_and_a_tag(document):
    told = {tag["name"]: tag["description"] for tag in document["tags"]}
    names = [operation["operationId"] for _, _, operation in operations(document)]

    for _, path, operation in operations(document):
        assert operation["summary"], path
        assert operation["description"], path
        assert len(operation["tags"]) == 1, path
        assert told[operation["tags"][0]], path
    assert len(names) == len(set(names)) == 14
    assert {"generate", "enhance", "restyle", "compose", "inspect", "list_models", "get_model"} < set(names)
    assert all(name.isidentifier() and name.islower() for name in names)


def test_every_option_says_what_it_is(document):
    for method, path, operation in operations(document):
        for content in operation.get("requestBody", {}).get("content", {}).values():
            for name, schema in content["schema"].get("properties", {}).items():
                assert name == "image" or schema["description"], f"{method} {path} {name}"


def requests(document):
    """Every example of a request: method, path, media type, name, body and query."""
    for _, path, operation in operations(document):
        for kind, content in operation.get("requestBody", {}).get("content", {}).items():
            assert content["examples"], f"{path} has no example as {kind}"
            for name, example in content["examples"].items():
                assert example["summary"]
                query = dict(parse_qsl(example["description"][1:])) if kind == "image/*" else {}
                yield path, kind, name, example["value"], query


@cache
def small(name):
    """A sample at half its size: what is sent is tried, and not how pictures come out."""
    with Image.open(io.BytesIO(sample(name))) as image:
        kind, half = image.format, image.reduce(2)
    file = io.BytesIO()
    half.save(file, kind)
    return file.getvalue()


def send(client, path, kind, value, query):
    """An example as a request; files are told by their names."""
    if kind == "application/json":
        return client.post(path, json=value, headers={"Accept": kind})
    head = {"Accept": "application/json"}
    if kind == "image/*":
        image = small(value)
        told = "image/png" if value.endswith("png") else "image/jpeg"
        return client.post(path, content=image, params=query, headers={**head, "Content-Type": told})
    images = value["image"] if isinstance(value["image"], list) else [value["image"]]
    files = [("image", (name, small(name))) for name in images]
    fields = {name: str(one) for name, one in value.items() if name != "image"}
    if fields.get("backdrop", "").endswith(".jpg"):
        files.append(("backdrop", ("backdrop.jpg", small(fields.pop("backdrop")))))
    return client.post(path, files=files, data=fields, headers=head)


def test_every_example_of_a_request_is_accepted(document, client):
    found = list(requests(document))

    for path, kind, name, value, query in found:
        response = send(client, path, kind, value, query)
        assert response.status_code == 200, f"{path} {kind} {name}: {response.text}"
        assert path == "/inspect" or response.json()["images"]
    assert {path for path, *_ in found} == {"/generate", "/enhance", "/restyle", "/compose", "/inspect"}


def test_a_form_and_a_raw_body_of_one_name_are_the_same_request(document):
    forms = {(path, name): value for path, kind, name, value, _ in requests(document) if kind.startswith("multipart")}

    for path, kind, name, value, query in requests(document):
        if kind == "image/*":
            assert {"image": value, **query} == {key: str(one) for key, one in forms[path, name].items()}


def test_a_page_that_fills_in_what_the_document_says_sends_no_option_twice(document):
    """Swagger UI sends a parameter's default or example even where the same option is in the form."""
    for _, path, operation in operations(document):
        for parameter in operation.get("parameters", []):
            assert not {"default", "example", "examples"} & (parameter["schema"].keys() | parameter.keys()), path
            assert parameter["in"] == "path" or parameter["description"], path


def test_every_option_is_in_an_example(document):
    shown = {}
    for path, _, _, value, _ in requests(document):
        shown.setdefault(path, set()).update(value if isinstance(value, dict) else ())
    for _, path, operation in operations(document):
        for content in operation.get("requestBody", {}).get("content", {}).values():
            assert set(content["schema"].get("properties", {})) <= shown[path]


def test_every_error_has_an_example_that_is_a_problem(document):
    validator = jsonschema_rs.validator_for(document["components"]["schemas"]["Problem"])
    seen = 0
    for _, path, operation in operations(document):
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                (kind, content), *others = response["content"].items()
                assert kind == "application/problem+json", f"{path} {status}"
                assert not others
                assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
                assert content["examples"], f"{path} {status}"
                for code, example in content["examples"].items():
                    value = example["value"]
                    validator.validate(value)
                    assert (value["status"], value["type"]) == (int(status), f"urn:vitrine:problem:{code}")
                    assert value["detail"]
                    assert ("errors" in value) == (status == "422")
                    seen += 1
        if path in ("/generate", "/enhance", "/restyle", "/compose", "/inspect"):
            assert {400, 401, 403, 408, 413, 422, 429, 500, 503, 504} <= {int(one) for one in operation["responses"]}
    assert seen > 80


@pytest.mark.parametrize(
    ("path", "body", "example"),
    [
        ("/generate", {"count": 17}, "invalid-options"),
        ("/generate", {"category": "spaceship"}, "unknown-category"),
        ("/generate", {"model": "nobody"}, "unknown-model"),
        ("/enhance", {"scale": 3}, "invalid-options"),
        ("/enhance", {"preset": "nobody"}, "unknown-preset"),
        ("/restyle", {"style": "nobody"}, "unknown-style"),
        ("/compose", {"backdrop": "nobody"}, "invalid-options"),
    ],
)
def test_the_service_says_what_the_example_says(document, client, path, body, example):
    if path == "/generate":
        response = client.post(path, json=body)
    else:
        response = client.post(path, files={"image": sample("photo.jpg")}, data=body)
    responses = document["paths"][path]["post"]["responses"]
    told = responses[str(response.status_code)]["content"]["application/problem+json"]["examples"][example]["value"]

    assert response.json() | {"request_id": told["request_id"]} == told
