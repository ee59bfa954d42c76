"""API keys: the file, who is let in, and what limits count, here and in a real Redis."""

import asyncio
import hashlib
import shutil
import subprocess
import time

import pytest

from app.errors import Forbidden, RateLimited, TooManyAtOnce, Unauthorized
from app.keys import Key, KeyFileError, read_keys
from app.rates import Rates
from tests.conftest import free_port


def digest(text):
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def scope(**headers):
    return {"headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]}


@pytest.fixture
def keys(tmp_path):
    path = tmp_path / "keys.toml"
    path.write_text(
        f'[shop]\ndigests = ["{digest("old")}", "{digest("new")}"]\n'
        f'[enhancer]\ndigests = ["{digest("other")}"]\nroutes = ["enhance"]\nrate = "2/minute"\nconcurrency = 1\n'
    )
    return read_keys(path)


@pytest.mark.parametrize(
    "given", [{"x_api_key": "old"}, {"authorization": "Bearer new"}, {"authorization": "bearer  new "}]
)
def test_both_keys_of_a_caller_are_good_while_it_changes(keys, given):
    assert keys.admit(scope(**given), "generate").name == "shop"


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"x_api_key": "wrong"},
        {"authorization": "Basic old"},
        {"authorization": "Bearer "},
        {"x_api_key": digest("old")},
    ],
)
def test_no_key_and_unknown_keys_are_told_so(keys, given):
    with pytest.raises(Unauthorized) as refused:
        keys.admit(scope(**given), "generate")
    assert refused.value.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_key_is_good_for_its_routes_only(keys):
    assert keys.admit(scope(x_api_key="other"), "enhance").name == "enhancer"
    with pytest.raises(Forbidden):
        keys.admit(scope(x_api_key="other"), "generate")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[a]\n",
        "[a]\ndigests = []\n",
        '[a]\ndigests = ["secret"]\n',
        f'[a]\ndigests = ["{digest("1")}", "{digest("2")}", "{digest("3")}"]\n',
        f'[a]\ndigests = ["{digest("1")}"]\n[b]\ndigests = ["{digest("1")}"]\n',
        f'[a]\ndigests = ["{digest("1")}"]\nrate = "often"\n',
        f'[a]\ndigests = ["{digest("1")}"]\nroutes = ["paint"]\n',
        f'[a]\ndigests = ["{digest("1")}"]\nconcurrency = 0\n',
        f'[a]\ndigests = ["{digest("1")}"]\nrates = "1/minute"\n',
        f'["a b"]\ndigests = ["{digest("1")}"]\n',
        "a = 1\n",
        "not toml",
    ],
)
def test_a_file_that_is_wrong_is_refused(tmp_path, text):
    path = tmp_path / "keys.toml"
    path.write_text(text)
    with pytest.raises(KeyFileError, match=r"keys\.toml"):
        read_keys(path)


def test_no_file_is_refused(tmp_path):
    with pytest.raises(KeyFileError):
        read_keys(tmp_path / "missing.toml")


LIMITED = Key(name="a", digests=[digest("a")], rate="3/minute", concurrency=2)


async def use(rates, key=LIMITED):
    fields = await rates.enter(key)
    await rates.leave(key)
    return fields


async def used_up(rates):
    """Use a key to its end; the fields of each answer, then the refusal."""
    found = [await use(rates) for _ in range(3)]
    with pytest.raises(RateLimited) as refused:
        await use(rates)
    return found, refused.value


def test_a_rate_is_told_and_kept():
    found, refused = asyncio.run(used_up(Rates()))

    assert [fields["RateLimit-Policy"] for fields in found] == ['"default";q=3;w=60'] * 3
    assert [fields["RateLimit"].split(";")[1] for fields in found] == ["r=2", "r=1", "r=0"]
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert refused.headers["RateLimit"].startswith('"default";r=0;t=')


async def both_at_once(rates):
    await rates.enter(LIMITED)
    await rates.enter(LIMITED)
    with pytest.raises(TooManyAtOnce) as refused:
        await rates.enter(LIMITED)
    await rates.leave(LIMITED)
    await rates.enter(LIMITED)
    return refused.value


def test_no_more_at_once_than_allowed():
    assert asyncio.run(both_at_once(Rates())).headers["Retry-After"] == "1"


def test_what_the_rate_refuses_is_not_under_way():
    async def told():
        rates = Rates()
        await used_up(rates)
        for _ in range(5):
            with pytest.raises(RateLimited):
                await rates.enter(LIMITED)

    asyncio.run(told())


@pytest.fixture(scope="module")
def redis():
    server = shutil.which("redis-server")
    if not server:
        pytest.skip("no redis-server is installed")
    port = free_port()
    command = [server, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: S603
    time.sleep(0.5)
    yield process, f"redis://127.0.0.1:{port}/0"
    process.kill()
    process.wait()


def test_processes_share_their_limits_in_redis_and_go_on_without_it(redis, caplog):
    process, url = redis

    async def shared():
        first, second = Rates(url), Rates(url)
        one = LIMITED.model_copy(update={"name": "shared"})
        assert (await use(first, one))["RateLimit"].startswith('"default";r=2')
        assert (await use(second, one))["RateLimit"].startswith('"default";r=1')
        assert (await use(first, one))["RateLimit"].startswith('"default";r=0')
        with pytest.raises(RateLimited):
            await use(second, one)
        busy = Key(name="busy", digests=[digest("b")], concurrency=2)
        await first.enter(busy)
        await second.enter(busy)
        for rates in (first, second):
            with pytest.raises(TooManyAtOnce):
                await rates.enter(busy)
        await first.leave(busy)
        await second.enter(busy)
        process.kill()
        process.wait()
        other = LIMITED.model_copy(update={"name": "other"})
        begun = time.monotonic()
        assert (await use(first, other))["RateLimit"].startswith('"default";r=2')
        assert time.monotonic() - begun < 3
        for rates in (first, second):
            await rates.close()

    asyncio.run(shared())
    assert caplog.text.count("this process counts for itself") == 1
