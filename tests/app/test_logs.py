"""The log: one line an event, whatever callers send."""

import io
import json
import logging

import pytest

from app.logs import REQUEST, TextFormatter, json_formatter

EVIL = 'nice\nERROR:vitrine:forged\r\n{"level": "error"}\x1b[2J\u2028end'


def logged(formatter, *, access=False):
    """The lines of three events: one with a caller's text, one with an exception, one of uvicorn's."""
    file = io.StringIO()
    handler = logging.StreamHandler(file)
    handler.setFormatter(formatter)
    log = logging.Logger("uvicorn.access" if access else "vitrine")
    log.addHandler(handler)
    if access:
        log.info('%s - "%s %s HTTP/%s" %d', "10.0.0.1:5", "GET", "/models/" + EVIL, "1.1", 404)
        return file.getvalue()
    log.warning("told: %s", EVIL)
    try:
        raise ValueError(EVIL)
    except ValueError:
        log.exception("failed")
    return file.getvalue()


@pytest.fixture
def request_seven():
    token = REQUEST.set({"vitrine.id": "seven"})
    yield
    REQUEST.reset(token)


def test_text_cannot_be_forged(request_seven):
    lines = logged(TextFormatter("%(levelname)s:%(name)s:%(message)s")).splitlines()

    assert [line for line in lines if not line.startswith("  ")] == [
        'WARNING:vitrine:told: nice\\nERROR:vitrine:forged\\r\\n{"level": "error"}\\x1b[2J\\u2028end [request seven]',
        "ERROR:vitrine:failed [request seven]",
    ]


def test_json_cannot_be_forged(request_seven):
    text = logged(json_formatter())
    first, second = (json.loads(line) for line in text.splitlines())

    assert text.isascii()
    assert first["event"] == "told: " + EVIL
    assert (first["level"], first["logger"], first["request_id"]) == ("warning", "vitrine", "seven")
    assert first["time"].endswith("Z")
    assert second["exception"].endswith(EVIL)


def test_a_line_about_a_request_has_its_parts():
    line = json.loads(logged(json_formatter(), access=True))

    assert (line["event"], line["method"], line["status"], line["client"]) == ("request", "GET", 404, "10.0.0.1:5")
    assert line["path"] == "/models/" + EVIL
    assert "request_id" not in line
