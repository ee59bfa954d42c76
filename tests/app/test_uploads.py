"""Options that come as text or JSON are checked in no more time than their length is worth."""

import asyncio
import itertools
import string
import time

import pytest
from fastapi import Request

from app.errors import BadRequest, BodyTooLarge, InvalidOptions
from app.schemas import EnhanceOptions, GenerateRequest
from app.uploads import MAX_ERRORS, check, read_json, read_upload

NAMES = ["".join(one) for one in itertools.product(string.ascii_lowercase, repeat=3)]


def test_thousands_of_options_are_refused_at_once():
    begun = time.process_time()
    with pytest.raises(InvalidOptions):
        check(EnhanceOptions, [(name, "") for name in NAMES], "query")

    assert time.process_time() - begun < 0.5


def test_an_option_that_comes_twice_is_refused():
    with pytest.raises(InvalidOptions, match="more than once"):
        check(EnhanceOptions, [("scale", "1"), ("quality", "3"), ("scale", "1")], "query")


def test_of_many_errors_the_first_are_told():
    body = ("{" + ",".join(f'"{name}":0' for name in NAMES[:5000]) + "}").encode()
    with pytest.raises(InvalidOptions) as caught:
        read_json(body, "application/json", GenerateRequest)

    assert len(caught.value.errors) == MAX_ERRORS


def test_a_json_body_of_many_megabytes_is_not_looked_at():
    with pytest.raises(BodyTooLarge):
        read_json(b"[" * 10_000_000, "application/json", GenerateRequest)


def test_a_charset_with_a_null_in_it_is_refused():
    """Our HTTP parser lets none through, a proxy's way of passing requests on may."""
    headers = [(b"content-type", b'multipart/form-data; boundary=x; charset="\0"')]
    with pytest.raises(BadRequest):
        asyncio.run(read_upload(Request({"type": "http", "query_string": b"", "headers": headers}), EnhanceOptions))
