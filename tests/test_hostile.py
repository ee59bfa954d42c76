"""The real server under hostile requests: refused in one way, at once, with nothing said that helps, nothing kept."""

import contextlib
import json
import socket

import pytest

FORM = b'--x\r\nContent-Disposition: form-data; name="\xff"\r\n\r\n\xff\r\n--x--\r\n'


@pytest.mark.parametrize("charset", ["undefined", "idna", "utf-7", "utf-16", "hex", "no such thing", "punycode"])
def test_a_form_in_any_charset_is_read_or_refused(client, charset):
    kind = f'multipart/form-data; boundary=x; charset="{charset}"'
    response = client.post("/enhance", content=FORM, headers={"Content-Type": kind})

    assert response.status_code in (400, 422)
    assert response.headers["content-type"] == "application/problem+json"


def sent(client, *parts):
    """What comes back on a connection of its own until it closes, or has brought an answer's head; b"" on a reset."""
    with socket.create_connection(("127.0.0.1", client.base_url.port), timeout=10) as connection:
        with contextlib.suppress(ConnectionError):
            for part in parts:
                connection.sendall(part)
        with contextlib.suppress(ConnectionError):
            return connection.recv(1 << 16)
    return b""


HEAD = b"POST /enhance HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"


@pytest.mark.parametrize(
    "parts",
    [
        [HEAD + b"X-Long: " + b"a" * 100_000, b"a" * 300_000],
        [HEAD, *[b"X-Short: 1\r\n" * 10_000] * 40],
        [b"GET /healthz?", b"a" * 60_000, b"a" * 300_000],
        [HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-Long: ", *[b"a" * 300_000] * 2],
        [HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n", *[b"X-Short: 1\r\n" * 10_000] * 40],
    ],
    ids=["long", "many", "path", "trailer", "trailers"],
)
def test_a_head_without_end_is_refused(client, parts):
    answer = sent(client, *parts)

    assert answer[:13] in (b"", b"HTTP/1.1 431 ", b"HTTP/1.1 400 ")
    assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    "text",
    [b"\0\1\2\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
     b"GET /\xff HTTP/1.1\r\n\r\n",
     HEAD + b"Content-Length: -1\r\n\r\n", HEAD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
     HEAD + b"Content-Length: " + b"0" * 5000 + b"1\r\n\r\nx"],
)  # fmt: skip
def test_what_is_no_http_gets_a_problem(client, text):
    answer = sent(client, text)
    head, _, body = answer.partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in head
    assert json.loads(body)["type"] == "urn:vitrine:problem:bad-request"
