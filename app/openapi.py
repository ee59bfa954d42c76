"""What `/openapi.json` says of requests and answers beyond what FastAPI can see for itself."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel

from app.images import ImageFormat

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
        "images": {"type": "array", "items": PICTURE},
        "model": TEXT,
        "model_digest": TEXT,
        "request_id": TEXT,
        "timings_ms": {"type": "object", "additionalProperties": {"type": "number"}},
        "compliance": {"type": "array", "items": FINDING},
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

OF_ALL: Final = (400, 401, 403, 408, 413, 422, 429, 500, 503, 504)
"""What every route that computes may answer."""

Responses = dict[int | str, dict[str, Any]]


def problems(*statuses: int) -> Responses:
    """The problem+json answers (RFC 9457) that a route may give."""
    content = {"application/problem+json": {"schema": PROBLEM}}
    return {status: {"description": MEANINGS[status], "content": content} for status in sorted(statuses)}


def pictures(*statuses: int) -> Responses:
    """Pictures in every envelope and format, 304, and the problems of every route that computes."""
    content: dict[str, Any] = {one.media_type: {"schema": BINARY} for one in ImageFormat}
    content |= {"application/json": {"schema": ANSWER}, "application/zip": {"schema": BINARY}}
    good: Responses = {200: {"description": "The picture, or the pictures", "content": content}}
    unchanged: Responses = {304: {"description": "The client has this very answer"}}
    return good | unchanged | problems(*OF_ALL, 404, 406, *statuses)


def marks() -> Responses:
    """What `/inspect` finds, and the problems of every route that computes."""
    good: Responses = {200: {"description": "The marks", "content": {"application/json": {"schema": MARKS}}}}
    return good | problems(*OF_ALL, 415)


def inlined(schema: Any, definitions: dict[str, Any]) -> Any:  # noqa: ANN401  # JSON
    """A JSON schema with every reference replaced by what it refers to."""
    if isinstance(schema, list):
        return [inlined(one, definitions) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return inlined(definitions[schema["$ref"].rsplit("/", 1)[1]], definitions)
    return {name: inlined(one, definitions) for name, one in schema.items()}


def json_body(model: type[BaseModel]) -> dict[str, Any]:
    """The request of a route with a JSON body."""
    schema = model.model_json_schema()
    schema = inlined(schema, schema.pop("$defs", {}))
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


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


def form(options: type[BaseModel], files: dict[str, Any]) -> dict[str, Any]:
    """The body of a route with uploads: `files`, of which the first is needed, and the options' fields."""
    required = ["image", *options.model_json_schema().get("required", [])]
    properties = {**text_fields(options), **files}
    schema = {"type": "object", "required": required, "properties": properties, "additionalProperties": False}
    return {"multipart/form-data": {"schema": schema}}


def upload(options: type[BaseModel]) -> dict[str, Any]:
    """The request of a route with one upload: a form, or a raw body with the options as query parameters."""
    content = {**form(options, {"image": BINARY}), "image/*": {"schema": BINARY}}
    fields = text_fields(options)
    parameters = [{"name": name, "in": "query", "schema": schema} for name, schema in fields.items()]
    return {"requestBody": {"required": True, "content": content}, "parameters": parameters}


def forms(options: type[BaseModel]) -> dict[str, Any]:
    """The request of `/compose`: a form with several files, one of which may be a text instead."""
    images = {"type": "array", "minItems": 1, "maxItems": 4, "items": BINARY}
    backdrop = {"anyOf": [BINARY, text_fields(options)["backdrop"]]}
    return {"requestBody": {"required": True, "content": form(options, {"image": images, "backdrop": backdrop})}}
