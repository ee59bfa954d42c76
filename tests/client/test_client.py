"""The client: its methods are the API's, it waits as it is told, and it tells what is wrong."""

import asyncio
import inspect
import io
import json

import httpx
import numpy as np
import pytest
from PIL import Image

import vitrine_client
from tests.conftest import photo
from vitrine_client import AsyncClient, Client, Retries, calls
from vitrine_client.client import GRACE_S

LATER = {"type": "urn:vitrine:problem:overloaded", "title": "Overloaded", "detail": "Later.", "request_id": "r"}


@pytest.fixture(scope="module")
def openapi(client):
    return client.get("/openapi.json").json()


def method_name(path):
    return {"/models/{name}": "model"}.get(path, path.removeprefix("/"))


def fields(operation):
    """Every parameter and field of a request."""
    names = {one["name"] for one in operation.get("parameters", [])}
    for content in operation.get("requestBody", {}).get("content", {}).values():
        names |= set(content["schema"].get("properties", {}))
    return names or ({"image"} if "requestBody" in operation else set())


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_its_methods_are_the_apis(openapi, kind):
    known = {}
    for path, operations in openapi["paths"].items():
        assert len(operations) == 1
        known[method_name(path)] = fields(next(iter(operations.values())))
    methods = {name: set(inspect.signature(getattr(kind, name)).parameters) - {"self"} for name in known}

    assert methods == known
    assert len(known) == 14
    others = {name for name in vars(kind) if not name.startswith("_")} - known.keys()
    assert others == {"send", "close"}


@pytest.mark.parametrize("path", ["/generate", "/enhance", "/restyle", "/compose"])
def test_choices_are_the_apis(openapi, path):
    """Where the API lists what may be said, so does the argument's type."""
    content = openapi["paths"][path]["post"]["requestBody"]["content"]
    properties = next(iter(content.values()))["schema"]["properties"]
    hints = inspect.get_annotations(getattr(calls, path[1:]), eval_str=True)
    every = [(name, one) for name, schema in properties.items() for one in schema.get("anyOf", [schema])]
    listed = {name: one["enum"] for name, one in every if "enum" in one}

    assert listed
    for name, values in listed.items():
        assert all(repr(value) in str(hints[name]) for value in values), name


def scripted(*answers):
    """A client of a service that gives these answers, one after the other; what was asked, and how long was waited."""
    asked, waited, rest = [], [], list(answers)

    def answer(request):
        asked.append(request)
        one = rest.pop(0)
        if isinstance(one, Exception):
            raise one
        return one

    retries = Retries(random=lambda: 0.5)
    made = Client(key="vk_1", retries=retries, timeout_s=60, transport=httpx.MockTransport(answer), sleep=waited.append)
    return made, asked, waited


def refusal(status=503, retry_after=None):
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return httpx.Response(status, json={**LATER, "status": status}, headers=headers)


GOOD = httpx.Response(200, json={"categories": ["hat"]})


def test_it_comes_back_when_it_is_told_to_and_not_earlier():
    client, asked, waited = scripted(refusal(retry_after=3), refusal(429, retry_after=8), GOOD)

    assert client.categories() == ["hat"]
    assert len(asked) == 3
    assert waited == [3 * 1.125, 8 * 1.125]


def test_it_waits_longer_each_time_where_nothing_is_said():
    client, _, waited = scripted(refusal(), httpx.ConnectError("no"), httpx.ReadError("gone"), GOOD)

    assert client.categories() == ["hat"]
    assert waited == [0.5625, 1.125, 2.25]


@pytest.mark.parametrize(
    ("answers", "error", "times"),
    [
        ([refusal() for _ in range(9)], vitrine_client.Overloaded, 4),
        ([refusal(429, retry_after=31)], vitrine_client.RateLimited, 1),
        ([refusal(retry_after=29) for _ in range(9)], vitrine_client.Overloaded, 4),
        ([httpx.ConnectError("no") for _ in range(9)], vitrine_client.Unreachable, 4),
        ([refusal(504)], vitrine_client.DeadlineExceeded, 1),
        ([refusal(422)], vitrine_client.InvalidOptions, 1),
        ([httpx.Response(502, text="<html>")], vitrine_client.Problem, 1),
        ([httpx.Response(418, json=["tea"])], vitrine_client.Problem, 1),
    ],
)
def test_it_gives_up(answers, error, times):
    client, asked, _ = scripted(*answers)

    with pytest.raises(error):
        client.generate(seed=1)
    assert len(asked) == times


def test_repetitions_end_with_the_callers_patience():
    client = Client(timeout_s=2, transport=httpx.MockTransport(lambda _: refusal(retry_after=2)), sleep=None)

    with pytest.raises(vitrine_client.Overloaded) as raised:
        client.generate()
    assert (raised.value.retry_after, raised.value.code, raised.value.request_id) == (2, "overloaded", "r")


def test_probes_are_not_repeated():
    client, asked, _ = scripted(refusal(retry_after=1))

    with pytest.raises(vitrine_client.Overloaded):
        client.readyz()
    assert len(asked) == 1


def test_the_service_is_told_how_long_it_has():
    body = {"images": [], "model": "m", "model_digest": "d", "request_id": "r", "timings_ms": {}}
    client, asked, _ = scripted(httpx.Response(200, json=body))
    client.generate(category="hat", mix={"seed": 1, "amount": 0.5})
    (request,) = asked

    assert 59 < float(request.headers["Request-Timeout"]) <= 60
    assert request.extensions["timeout"]["read"] == pytest.approx(60 + GRACE_S, abs=1)
    assert request.headers["Authorization"] == "Bearer vk_1"
    assert json.loads(request.content) == {"category": "hat", "mix": {"seed": 1, "amount": 0.5}}


def test_a_real_service_from_end_to_end(client, tmp_path):
    file = tmp_path / "photo.jpg"
    file.write_bytes(photo(size=(60, 40)))
    cover = Image.new("RGBA", (64, 64))
    cover.paste((200, 40, 40, 255), (16, 16, 48, 48))
    product = io.BytesIO()
    cover.save(product, "PNG")
    with Client(str(client.base_url)) as vitrine:
        assert vitrine.readyz() == {"status": "ready"}
        new = vitrine.generate(category=vitrine.categories()[0], count=2, seed=7)
        large = vitrine.enhance(file, scale=2, format="png")
        studio = vitrine.restyle(product.getvalue(), style="studio")
        main = vitrine.compose([product.getvalue(), io.BytesIO(product.getvalue())], preset="ebay")
        behind = vitrine.compose(product.getvalue(), backdrop=file, width=80, height=60)
        marks = vitrine.inspect(large.image.data)
        with pytest.raises(vitrine_client.InvalidOptions) as wrong:
            vitrine.enhance(file, scale=3)
        with pytest.raises(vitrine_client.NotFound):
            vitrine.model("no/such?")
        with pytest.raises(vitrine_client.UnusableImage):
            vitrine.enhance(b"no picture")
        assert {one["name"] for one in vitrine.models()} >= {vitrine.model("cutout")["name"], "garments-128"}
        assert vitrine.styles().styles[0] == "studio"
        assert {"name", "title"} == set(vitrine.backdrops()[0])
        assert "vitrine_ready 1.0" in vitrine.metrics()
        assert len(vitrine.presets()) == 8
        assert vitrine.healthz() == {"status": "alive"}

    assert [one.seed for one in new.images] == [7, 8]
    large.image.save(tmp_path / "large.png")
    with Image.open(tmp_path / "large.png") as image:
        assert np.asarray(image).shape == (80, 120, 3)
    assert (large.image.width, large.native_size) == (120, (60, 40))
    assert studio.model.startswith("relight@")
    assert main.complies
    assert len(main.compliance) > 3
    assert (behind.image.width, behind.image.height) == (80, 60)
    assert marks.marks["xmp"]["found"]
    assert wrong.value.errors[0]["loc"] == ["body", "scale"]


def test_many_at_once_with_asyncio(client):
    async def crowd():
        async with AsyncClient(str(client.base_url)) as vitrine:
            return await asyncio.gather(*(vitrine.generate(seed=seed) for seed in range(12)))

    answers = asyncio.run(crowd())

    assert [one.image.seed for one in answers] == list(range(12))
    assert len({one.image.data for one in answers}) == 12
