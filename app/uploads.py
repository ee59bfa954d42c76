"""An uploaded image and its options, from a form or a raw body, with the same outcome. Nothing touches the disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from app.errors import BadImage, BadRequest, BodyTooLarge, InvalidOptions, UnsupportedMediaType

Options = TypeVar("Options", bound=BaseModel)

MEDIA_TYPES: Final = frozenset(
    f"image/{name}" for name in ("jpeg", "jpg", "png", "webp", "avif", "gif", "bmp", "x-ms-bmp", "tiff", "*")
)
UNTOLD: Final = ("", "application/octet-stream")  # what clients send that do not know the type
MAX_FIELDS = 20
MAX_JSON_BYTES: Final = 65536
"""Of a JSON body; the longest sensible one has a few hundred."""
MAX_ERRORS: Final = 20
"""Told in one answer."""


class InMemoryParser(MultiPartParser):
    """Keeps files in memory: the body's limit bounds them."""

    spool_max_size = 0  # 0 is "never" to SpooledTemporaryFile


@dataclass(frozen=True, slots=True)
class Upload:
    """The bytes of the files, not yet looked at, by field, and the checked options."""

    files: Mapping[str, list[bytes]]
    options: Any

    @property
    def image(self) -> bytes:
        """The first file."""
        return self.files["image"][0]


FileCounts = Mapping[str, tuple[int, int]]
"""The fields that are files, and how many each may have."""
ONE_IMAGE: Final[FileCounts] = {"image": (1, 1)}


def media_type(header: str) -> str:
    return header.split(";")[0].strip().lower()


def refuse(field: str, message: str) -> InvalidOptions:
    """The 422 for one field."""
    return InvalidOptions([{"loc": ["body", field], "msg": message, "type": "value_error"}])


def check(model: type[Options], fields: list[tuple[str, str]], place: str) -> Options:
    """Validate text fields, each of which may come once.

    Raises:
        InvalidOptions: a field is unknown, twice there, or out of range.
    """
    for name, count in Counter(name for name, _ in fields).items():
        if count > 1:
            raise refuse(name, "is there more than once")
    try:
        return model.model_validate(dict(fields))
    except ValidationError as error:
        raise invalid(error, place) from None


def read_json(data: bytes, kind: str, model: type[Options]) -> Options:
    """The options in a JSON body; `kind` is its Content-Type, which may be missing.

    Raises:
        BodyTooLarge: it is far longer than any that makes sense, each wrong field of which would be told.
        BadRequest: the body is not UTF-8.
        InvalidOptions: it is not JSON, or not what `model` wants.
    """
    told = media_type(kind)
    if told and told != "application/json" and not told.endswith("+json"):
        raise InvalidOptions([{"loc": ["body"], "msg": "must be application/json", "type": "value_error"}])
    if len(data) > MAX_JSON_BYTES:
        raise BodyTooLarge(f"A JSON body may have {MAX_JSON_BYTES} bytes.")
    try:
        data.decode()
    except UnicodeDecodeError:
        raise BadRequest("The body is not UTF-8.") from None
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        raise invalid(error, "body") from None


def invalid(error: ValidationError, place: str) -> InvalidOptions:
    """The 422 for what pydantic found; the first few, where there is much."""
    found = error.errors(include_url=False, include_context=False, include_input=False)[:MAX_ERRORS]
    return InvalidOptions([{"loc": [place, *map(str, e["loc"])], "msg": e["msg"], "type": e["type"]} for e in found])


async def read_upload(request: Request, model: type[Options], counts: FileCounts = ONE_IMAGE) -> Upload:
    """The files and the options (`model`) of a request with uploads. A single image may be a raw body.

    Raises:
        UnsupportedMediaType: the body, or a file, has a type that is not listed.
        BadRequest: the form is malformed.
        InvalidOptions: too few or too many files; an option that is wrong.
        BadImage: no bytes at all.
    """
    kind = media_type(request.headers.get("content-type", ""))
    if kind == "multipart/form-data":
        upload = await _read_form(request, model, counts)
    elif kind in MEDIA_TYPES and counts is ONE_IMAGE:
        upload = Upload({"image": [await request.body()]}, check(model, request.query_params.multi_items(), "query"))
    else:
        raw = ", or a raw image/jpeg, png, webp, avif, gif, bmp or tiff" if counts is ONE_IMAGE else ""
        raise UnsupportedMediaType(f"Send multipart/form-data{raw}.")
    if not all(data for found in upload.files.values() for data in found):
        raise BadImage("The upload is empty.")
    return upload


async def _read_form(request: Request, model: type[Options], counts: FileCounts) -> Upload:
    try:
        most = 3 + sum(upper for _, upper in counts.values())  # a few more, so that it can be told which are too many
        form = await InMemoryParser(
            request.headers, request.stream(), max_files=most, max_fields=MAX_FIELDS, max_part_size=10_000
        ).parse()
    except (MultiPartException, ValueError):  # Python knows a charset "undefined", and none with a null in it
        raise BadRequest("The form is malformed, or has too many or too large fields.") from None
    files: dict[str, list[UploadFile]] = {name: [] for name in counts}
    fields: list[tuple[str, str]] = request.query_params.multi_items()
    for name, value in form.multi_items():
        if isinstance(value, str):
            if name == "image":
                raise refuse("image", "must be a file")
            fields.append((name, value))
        elif name in files:
            files[name].append(value)
        else:
            raise refuse(name, "must not be a file")
    for name, found in files.items():
        check_files(name, found, counts[name])
        if found and any(name == other for other, _ in fields):
            raise refuse(name, "is there more than once")
    read = {name: [await file.read() for file in found] for name, found in files.items()}
    await form.close()
    return Upload(read, check(model, fields, "body"))


def check_files(name: str, found: list[UploadFile], count: tuple[int, int]) -> None:
    """Whether a field has as many files as it may, of types that are listed.

    Raises:
        UnsupportedMediaType, InvalidOptions: it has not.
    """
    least, most = count
    if not least <= len(found) <= most:
        raise refuse(name, "one file is needed" if least == most else f"{least} to {most} files are needed")
    for file in found:
        told = media_type(file.content_type or "")
        if told not in MEDIA_TYPES and told not in UNTOLD:
            raise UnsupportedMediaType("A file must be image/jpeg, png, webp, avif, gif, bmp or tiff.")
