"""What `/openapi.json` says of requests and answers beyond what FastAPI can see for itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import FastAPI
from pydantic import BaseModel

from app import examples
from app.errors import AppError
from app.examples import PHOTO, Examples
from app.images import ImageFormat


def ref(name: str) -> dict[str, str]:
    """A schema of `SCHEMAS`, by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


BINARY: Final = {"type": "string", "format": "binary"}
TEXT: Final = {"type": "string"}
PICTURE: Final = {
    "type": "object",
    "required": ["data", "media_type", "width", "height"],
    "properties": {
        "data": {"type": "string", "contentEncoding": "base64"},
        "media_type": TEXT,
        "width": {"type": "integer"},
        "height": {"type": "integer"},
        "seed": {"type": "integer"},
    },
}
MARKS: Final = {
    "type": "object",
    "required": ["width", "height", "marks", "request_id"],
    "properties": {
        "width": {"type": "integer"},
        "height": {"type": "integer"},
        "marks": {
            "type": "object",
            "properties": {
                name: {"type": "object", "required": ["found"], "properties": {"found": {"type": ["boolean", "null"]}}}
                for name in ("xmp", "china_label", "content_credentials", "watermark")
            },
        },
        "request_id": TEXT,
    },
}
FINDING: Final = {
    "type": "object",
    "required": ["rule", "required", "measured", "ok"],
    "properties": {"rule": TEXT, "required": TEXT, "measured": TEXT, "ok": {"type": "boolean"}},
}
ANSWER: Final = {
    "type": "object",
    "required": ["images", "model", "model_digest", "request_id", "timings_ms"],
    "properties": {
        "images": {"type": "array", "items": ref("Picture")},
        "model": TEXT,
        "model_digest": TEXT,
        "request_id": TEXT,
        "timings_ms": {"type": "object", "additionalProperties": {"type": "number"}},
        "compliance": {"type": "array", "items": ref("Finding")},
    },
}
PROBLEM: Final = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "request_id"],
    "properties": {
        "type": TEXT,
        "title": TEXT,
        "status": {"type": "integer"},
        "detail": TEXT,
        "request_id": TEXT,
        "errors": {"type": "array", "items": {"type": "object"}},
    },
}
MEANINGS: Final = {
    400: "The bytes cannot be read",
    401: "API keys are configured, and the request shows none that is known",
    403: "The API key is not for this route",
    404: "Unknown model, category or preset",
    406: "Nothing that Accept allows can be made",
    408: "The body came too slowly",
    413: "The body or the image is too large",
    415: "The upload has a type that is not listed",
    422: "A field fails validation",
    429: "The key's rate, or its number of requests at once, is used up",
    500: "The model failed on this image",
    503: "Overloaded or draining",
    504: "The deadline passed while the work was queued",
}

SCHEMAS: Final = {"Problem": PROBLEM, "Answer": ANSWER, "Picture": PICTURE, "Finding": FINDING, "Marks": MARKS}
ABOUT: Final = """Product images for shops, made on the shop's own machine.

Uploads are forms, or raw bodies with the options as query parameters, never both; the description of a raw body's
example is its query. In examples a file is told by its name. `Accept` picks bytes, JSON or ZIP; errors are RFC 9457
`application/problem+json`."""
TAGS: Final = [
    {"name": "pictures", "description": "Make pictures. These need a key, where there are keys."},
    {"name": "provenance", "description": "What is to be known of a picture's origin."},
    {"name": "catalogue", "description": "What this service has: models, and what the options may name."},
    {"name": "operation", "description": "For probes and for Prometheus."},
]

Responses = dict[int | str, dict[str, Any]]


def document(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """What makes the document of an application: FastAPI's own, with our schemas and without its idea of a 422."""
    made = app.openapi

    def ours() -> dict[str, Any]:
        described = made()
        described["components"] = {"schemas": SCHEMAS}
        for operations in described["paths"].values():
            for operation in operations.values():
                if "HTTPValidationError" in str(operation["responses"].get("422")):
                    del operation["responses"]["422"]
        return described

    return ours


def problems(*errors: AppError) -> Responses:
    """The problem+json answers (RFC 9457) that a route may give, each with its example."""
    answers: Responses = {}
    for error in sorted(errors, key=lambda one: one.status):
        content: dict[str, Any] = {"schema": ref("Problem"), "examples": {}}
        empty = {"description": MEANINGS[error.status], "content": {"application/problem+json": content}, "headers": {}}
        answer = answers.setdefault(error.status, empty)
        shown = {"summary": error.title, "value": error.problem(examples.REQUEST_ID)}
        answer["content"]["application/problem+json"]["examples"][error.code] = shown
        answer["headers"] |= {name: {"schema": TEXT, "example": value} for name, value in error.headers.items()}
    return answers


def pictures(*errors: AppError) -> Responses:
    """Pictures in every envelope and format, 304, and what may go wrong."""
    content: dict[str, Any] = {one.media_type: {"schema": BINARY} for one in ImageFormat}
    content |= {"application/json": {"schema": ref("Answer")}, "application/zip": {"schema": BINARY}}
    good: Responses = {200: {"description": "The picture, or the pictures", "content": content}}
    unchanged: Responses = {304: {"description": "The client has this very answer"}}
    return good | unchanged | problems(*errors)


def marks(*errors: AppError) -> Responses:
    """What `/inspect` finds, and what may go wrong."""
    good: Responses = {200: {"description": "The marks", "content": {"application/json": {"schema": ref("Marks")}}}}
    return good | problems(*errors)


def inlined(schema: Any, definitions: dict[str, Any]) -> Any:  # noqa: ANN401  # JSON
    """A JSON schema with every reference replaced by what it refers to."""
    if isinstance(schema, list):
        return [inlined(one, definitions) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return inlined(definitions[schema["$ref"].rsplit("/", 1)[1]], definitions)
    return {name: inlined(one, definitions) for name, one in schema.items()}


def shown(found: Examples, **more: Any) -> dict[str, Any]:  # noqa: ANN401  # whatever a field holds
    """Examples of a body, each with `more` fields."""
    return {name: {"summary": summary, "value": {**more, **sent}} for name, (summary, sent) in found.items()}


def raw(found: Examples) -> dict[str, Any]:
    """Examples of a raw body; their query is the description, since nothing else joins a body's to the parameters'."""
    bodies = {}
    for name, (summary, sent) in found.items():
        query = urlencode({key: value for key, value in sent.items() if key != "image"})
        bodies[name] = {"summary": summary, "description": f"?{query}", "value": sent.get("image", PHOTO)}
    return bodies


def in_query(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter that goes with a raw body. Its default is a word only: pages would send it beside the form's own."""
    kept = {key: value for key, value in schema.items() if key not in ("default", "description")}
    words = [schema["description"], f"Default: {schema['default']}." if "default" in schema else ""]
    return {"name": name, "in": "query", "description": " ".join(words).strip(), "schema": kept}


def json_body(model: type[BaseModel], found: Examples) -> dict[str, Any]:
    """The request of a route with a JSON body."""
    schema = model.model_json_schema()
    schema = inlined(schema, schema.pop("$defs", {}))
    content = {"application/json": {"schema": schema, "examples": shown(found)}}
    return {"requestBody": {"required": True, "content": content}}


def text_fields(options: type[BaseModel]) -> dict[str, Any]:
    """The schemas of options that come as text, by name: such a one may be left out, but never be null."""
    fields = {}
    for name, schema in options.model_json_schema().get("properties", {}).items():
        told = {
            key: value for key, value in schema.items() if key != "anyOf" and (key != "default" or value is not None)
        }
        several = [one for one in schema.get("anyOf", []) if one != {"type": "null"}]
        fields[name] = {**told, **(several[0] if len(several) == 1 else {"anyOf": several} if several else {})}
    return fields


def form(options: type[BaseModel], files: dict[str, Any], shown: dict[str, Any]) -> dict[str, Any]:
    """The body of a route with uploads: `files`, of which the first is needed, and the options' fields."""
    required = ["image", *options.model_json_schema().get("required", [])]
    properties = {**text_fields(options), **files}
    schema = {"type": "object", "required": required, "properties": properties, "additionalProperties": False}
    return {"multipart/form-data": {"schema": schema, "examples": shown}}


def upload(options: type[BaseModel], found: Examples) -> dict[str, Any]:
    """The request of a route with one upload: a form, or a raw body with the options as query parameters."""
    content = form(options, {"image": BINARY}, shown(found, image=PHOTO))
    content |= {"image/*": {"schema": BINARY, "examples": raw(found)}}
    parameters = [in_query(name, schema) for name, schema in text_fields(options).items()]
    return {"requestBody": {"required": True, "content": content}, "parameters": parameters}


def forms(options: type[BaseModel], found: Examples) -> dict[str, Any]:
    """The request of `/compose`: a form with several files, one of which may be a text instead."""
    images = {"type": "array", "minItems": 1, "maxItems": 4, "items": BINARY}
    text = text_fields(options)["backdrop"]
    backdrop = {"description": text.pop("description", ""), "anyOf": [text, BINARY]}
    content = form(options, {"image": images, "backdrop": backdrop}, shown(found))
    return {"requestBody": {"required": True, "content": content}}
