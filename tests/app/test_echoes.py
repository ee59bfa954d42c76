"""What is like a request that was refused a moment ago is refused without a parser, and nothing else is."""

import itertools

import pytest

from app.echoes import SAME_S, Echoes, Like
from app.errors import Overloaded, Unauthorized
from fuzz.heads import plain
from tests.load import generate

NOW = 100.0
ADDRESS = "192.0.2.1"
ASKED = {"X-API-Key": "mine", "Request-Timeout": "3"}


def like(**changes):
    facts = {"address": ADDRESS, "path": "/generate", "key": b"mine", "authorization": b"", "timeout": b"3"}
    return Like(**{**facts, **changes})


@pytest.fixture
def echoes():
    made = Echoes()
    made.add(like(), Overloaded(7), NOW)
    return made


def test_what_asks_for_the_same_is_told_the_same(echoes):
    path, name, error = echoes.find(generate({**ASKED, "X-Request-ID": "own"}, seed=1), ADDRESS, NOW + SAME_S / 2)

    assert (path, name) == ("/generate", "own")
    assert error.headers == {"Retry-After": "7"}


@pytest.mark.parametrize("given", [None, "", "a b", "x" * 65, "<script>"])
def test_an_id_that_is_not_sane_is_replaced(echoes, given):
    headers = ASKED if given is None else {**ASKED, "X-Request-ID": given}
    _, name, _ = echoes.find(generate(headers), ADDRESS, NOW)

    assert len(name) == 32
    assert name != echoes.find(generate(headers), ADDRESS, NOW)[1]


@pytest.mark.parametrize(
    "other",
    [
        {"X-API-Key": "another"},
        {"Request-Timeout": "60"},
        {"Authorization": "Bearer mine"},
        {"Connection": "close"},
        {"Connection": "Upgrade"},
        {"Expect": "100-continue"},
        {"Origin": "https://shop.example"},
        {"X-Forwarded-For": "192.0.2.2"},
        {"Forwarded": "for=192.0.2.2"},
        {"Transfer-Encoding": "chunked"},
        {"X-Odd": "caf\u00e9"},
        {"X-Odd": "tab\tbed"},
    ],
)
def test_what_asks_for_something_else_goes_the_ordinary_way(echoes, other):
    request = generate(ASKED)
    fields = "".join(f"{name}: {value}\r\n" for name, value in other.items()).encode("latin-1")
    for name in other:
        line = f"{name}: {ASKED.get(name)}\r\n".encode()
        request = request.replace(line, b"")
    request = request.replace(b"\r\n\r\n", b"\r\n" + fields + b"\r\n", 1)

    assert echoes.find(request, ADDRESS, NOW) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda whole: whole[:-1],
        lambda whole: whole + whole,
        lambda whole: whole[:30],
        lambda whole: b"\r\n" + whole,
        lambda whole: whole.replace(b"HTTP/1.1", b"HTTP/1.0"),
        lambda whole: whole.replace(b"POST", b"PUT"),
        lambda whole: whole.replace(b"/generate", b"/enhance"),
        lambda whole: whole.replace(b"X-API-Key", b"X-API-Key: mine\r\nX-API-Key"),
        lambda whole: whole.replace(b"Content-Length", b"Content-Length: 2\r\nContent-Length"),
        lambda whole: whole.replace(b"Content-Length", b" Content-Length"),
        lambda whole: whole.replace(b"Content-Length: ", b"Content-Length: +"),
        lambda whole: whole.replace(b"Content-Length: ", b"Content-Length: " + b"9" * 5000),
    ],
)
def test_only_one_whole_and_plain_request_is_an_echo(echoes, change):
    whole = generate(ASKED)
    assert echoes.find(whole, ADDRESS, NOW)

    assert echoes.find(change(whole), ADDRESS, NOW) is None


STARTS = (b"POST /generate HTTP/1.1", b"POST /generate?seed=1 HTTP/1.1", b"POST //generate HTTP/1.1")
LINES = (
    *(b"Host: a", b"Accept: */*", b"X-Request-ID: a-b", b"X-API-Key:", b"X-API-Key : mine", b"X-API-Key: mine, mine"),
    *(b"Connection: keep-alive", b"connection:close", b"Transfer-Encoding: chunked", b"Upgrade: h2c", b" folded: yes"),
    *(b"Content-Length: 2", b"Content-Length: 1", b"Content-Length: 02", b"Content-Length: 2, 2", b"X: \r"),
)


def test_an_echo_is_what_a_parser_reads_too(echoes):
    """Whatever is refused from its bytes, httptools reads as one whole request that asks for the same."""
    found = []
    few = [lines for number in range(3) for lines in itertools.permutations(LINES, number)]
    for start, lines, end in itertools.product(STARTS, few, (b"\r\n", b"\n")):
        fields = [b"X-API-Key: mine", b"Request-Timeout: 3", *lines]
        fields += [] if any(line.startswith(b"Content-Length") for line in lines) else [b"Content-Length: 2"]
        data = end.join([start, *fields, b"", b"{}"])
        if echo := echoes.find(data, ADDRESS, NOW):
            found.append(data)
            assert plain(data) == (echo[0], (b"mine", b"", b"3")), data

    assert len(found) > 20
    assert any(b"?seed=1" in data for data in found)


def test_others_and_later_ones_are_asked_anew(echoes):
    assert echoes.find(generate(ASKED), "192.0.2.2", NOW) is None
    assert echoes.find(generate(ASKED), ADDRESS, NOW + 1.1 * SAME_S) is None


def test_what_time_does_not_cure_has_no_echo():
    echoes = Echoes()
    echoes.add(like(), Unauthorized("no"), NOW)

    assert echoes.find(generate(ASKED), ADDRESS, NOW) is None


def test_no_more_is_remembered_than_came_within_the_time(echoes):
    for number in range(100):
        echoes.add(like(key=str(number).encode()), Overloaded(1), NOW + 2 * SAME_S * number)

    assert echoes.find(generate(ASKED), ADDRESS, NOW) is None
    assert len(echoes._refused) == 1
