"""The real server under hostile requests: refused in one way, at once, with nothing said that helps, nothing kept."""

import contextlib
import json
import re
import socket
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import running
from tests.corpus import EITHER, OK, REFUSED, corpus
from tests.corpus.drawing import saved

DEADLINE_S = 10
"""Of every answer; the largest picture of the corpus has 36 million pixels, and is encoded again."""
GROWTH_MB = 48
"""What the serving process may grow by while the corpus comes for the second time."""
REFUSALS = {400: ("bad-image",), 413: ("image-too-large", "body-too-large"), 415: ("unsupported-media-type",)}
TOLD = re.compile(
    r"Traceback|\.py\b|site-packages|PIL|[Pp]illow|libjpeg|libtiff|numpy|Error\b|/(?:usr|home|tmp|root|app)\b"
)
"""What no answer may say: paths, and the names of libraries and of their exceptions."""
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


@pytest.fixture(scope="module")
def server():
    """A server of two threads, whatever machine this is, so that its memory is the same everywhere.

    What it frees of large pictures goes back to the kernel at once, so that what it keeps can be seen.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MALLOC_MMAP_THRESHOLD_", "1000000")
        with running(THREADS=2, LOG_LEVEL="error") as made:
            yield made


def checked(response, begun, expected):
    """What became of a file, as far as it is as it should be; what is wrong otherwise."""
    if time.monotonic() - begun > DEADLINE_S:
        return "too late"
    if response.status_code == 200:
        return OK if expected in (OK, EITHER) else "answered"
    kind, body = response.headers["content-type"], response.json()
    if kind != "application/problem+json" or TOLD.search(response.text):
        return f"said {response.text}"
    if body["request_id"] != response.headers["x-request-id"] or body["status"] != response.status_code:
        return f"is not a problem: {body}"
    if body["type"].removeprefix("urn:vitrine:problem:") not in REFUSALS.get(response.status_code, ()):
        return f"{response.status_code} {body['detail']}"
    return REFUSED if expected in (REFUSED, EITHER) else body["detail"]


def sent_whole(server):
    """The whole corpus to /enhance, as forms and raw by turns; how often each outcome was, and what was wrong."""
    outcomes, wrong = Counter(), []
    plain = {"scale": "1", "denoise": "0", "format": "jpeg"}
    for number, item in enumerate(corpus()):
        begun = time.monotonic()
        if number % 2:
            response = server.client.post("/enhance", files={"image": ("x", item.data, "image/png")}, data=plain)
        else:
            head = {"Content-Type": "image/*"}
            response = server.client.post("/enhance", content=item.data, headers=head, params=plain)
        found = checked(response, begun, item.expected)
        outcomes[found] += 1
        if found not in (OK, REFUSED):
            wrong.append((item.name, item.expected, found))
    return outcomes, wrong


def own_mb(pid):
    """Memory of the process's own. What it shares with its decoders is bounded, and kept for the next large picture."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


def test_the_corpus_is_enhanced_or_refused_and_nothing_is_left_of_it(server):
    (pid,) = server.children() or [server.process.pid]
    first, wrong = sent_whole(server)
    assert wrong == []
    before = own_mb(pid)
    second, wrong = sent_whole(server)

    assert wrong == []
    assert first == second
    assert own_mb(pid) - before < GROWTH_MB
    assert server.children() in ([pid], [])
    assert server.client.get("/readyz").status_code == 200
    assert server.value("vitrine_requests_total", route="/enhance") == 2 * len(corpus())


@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("/compose", {"cutout": "none", "width": "64", "height": "64", "format": "jpeg"}),
        ("/compose", {"width": "64", "height": "64", "format": "png", "backdrop": "transparent"}),
        ("/restyle", {"style": "studio", "format": "jpeg"}),
        ("/restyle", {"style": "from-sketch", "format": "jpeg", "seed": "1"}),
    ],
    ids=["compose", "cutout", "studio", "sketch"],
)
def test_the_other_routes_refuse_the_same_files(server, path, options):
    """Every 30th file; those that are read may also show no product."""
    (pid,) = server.children() or [server.process.pid]
    wrong = []
    for item in corpus()[len(path) :: 30]:
        begun = time.monotonic()
        response = server.client.post(path, files={"image": item.data}, data=options)
        if response.status_code == 422 and response.json()["errors"][0]["type"] in ("no_product", "no_drawing"):
            found = checked_no_product(item)
        else:
            found = checked(response, begun, item.expected)
        if found not in (OK, REFUSED):
            wrong.append((item.name, item.expected, found))

    assert wrong == []
    assert server.children() in ([pid], [])


def checked_no_product(item):
    return OK if item.expected in (OK, EITHER) else "looked for a product"


@pytest.mark.parametrize("position", [0, 1])
def test_a_damaged_file_among_good_ones_is_refused(server, position):
    """As a second product, and as a backdrop."""
    good = next(item.data for item in corpus() if item.name == "good/png")
    for item in corpus()[::40]:
        files = [("image", good), ("image" if position else "backdrop", item.data)]
        begun = time.monotonic()
        response = server.client.post(
            "/compose", files=files, data={"cutout": "none", "width": "64", "height": "64", "format": "jpeg"}
        )
        found = checked(response, begun, item.expected)
        assert found in (OK, REFUSED), (item.name, found)


def test_an_answer_that_its_format_cannot_hold_is_refused_before_any_work(server):
    """16 384 px are too many for WebP."""
    options = {"scale": "2", "denoise": "0.5"}
    fine = server.client.post("/enhance", files={"image": saved("PNG", size=(9, 1))}, data=options)
    before = server.value("vitrine_batch_rows_count", model="enhance-x2")
    long = server.client.post("/enhance", files={"image": saved("PNG", size=(8192, 1))}, data=options)

    assert (fine.status_code, long.status_code) == (200, 413)
    assert long.json()["type"].endswith("image-too-large")
    assert server.value("vitrine_batch_rows_count", model="enhance-x2") == before
