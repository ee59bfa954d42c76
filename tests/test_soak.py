"""The short twin of `python -m bench.soak`: mixed and hostile traffic, after which everything is as before."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from bench.pictures import photo
from bench.soak import soak
from tests.conftest import running

CALLERS = 6
SECONDS, WARM_UP_S = 36, 6
MOST_GROWTH_MB = 80


def see_the_largest(client):
    """What takes the most memory, by as many callers as the soak has: what grows after it is a leak."""

    def ask(scale):
        headers = {"Content-Type": "image/jpeg"}
        assert client.post("/enhance", params={"scale": scale}, content=photo(512, 512), headers=headers).is_success
        assert client.post("/generate", json={"count": 4, "size": 256}).is_success

    with ThreadPoolExecutor(CALLERS) as threads:
        list(threads.map(ask, [4] * CALLERS + [2] * CALLERS))


@pytest.mark.alone
@pytest.mark.slow
def test_mixed_and_hostile_traffic_leaves_no_trace():
    """Half of the requests are such as nobody should send. Counts are of all processes together."""
    with running(LOG_LEVEL="warning") as server:
        see_the_largest(server.client)
        pids = [server.process.pid]
        result = soak(
            str(server.client.base_url), pids, SECONDS, concurrency=CALLERS, warm_up_s=WARM_UP_S, check_every_s=8
        )
        assert server.client.get("/readyz").status_code == 200
        idle = server.client.get("/metrics").text
    warm = [sample for sample in result.samples if sample.at >= WARM_UP_S]
    last = result.samples[-1]
    print(  # noqa: T201
        f"\n{result.answers.total()} requests, {result.overloads} overloads, {result.server_errors} server errors; PSS "
        f"{warm[0].pss_mb:.0f} to {last.pss_mb:.0f} MB, threads {warm[0].threads} to {last.threads}, "
        f"descriptors {min(sample.files for sample in warm)} to {last.files}"
    )

    assert result.answers.total() > 100
    assert not result.wrong
    assert result.server_errors == 0
    assert result.checks >= 4
    assert result.failed_checks == 0
    assert last.threads <= max(sample.threads for sample in warm[:3])
    assert last.files <= min(sample.files for sample in warm) + 2
    assert last.pss_mb - warm[0].pss_mb < MOST_GROWTH_MB
    assert 'vitrine_queue_rows{model="enhance-x2"} 0.0' in idle
