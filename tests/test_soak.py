"""The short twin of `python -m bench.soak`: mixed and hostile traffic, after which everything is as before."""

from concurrent.futures import ThreadPoolExecutor
from itertools import islice, pairwise

import pytest

from app.settings import cores
from bench.pictures import photo
from bench.processes import tree
from bench.soak import ask, sample, soak
from bench.traffic import cases
from tests.conftest import running

CALLERS = 6
SECONDS, WARM_UP_S = 30, 6
ROUNDS, REQUESTS = 5, 50
TRIES = 10
UNDECODED = 3  # processes that are no decoders: supervisor, server, and the template that decoders are forked from
MOST_GROWTH_MB = 2  # a round: 40 kB a request


def see_the_largest(server):
    """What takes the most threads, by as many callers as the soak has: what comes after it is a leak.

    A second decoder comes only when two uploads are decoded at one moment, so they are asked until it has; its threads
    and descriptors would pass for a leak later.
    """

    def edit(scale):
        headers, data = {"Content-Type": "image/jpeg"}, photo(512, 512)
        assert server.client.post("/enhance", params={"scale": scale}, content=data, headers=headers).is_success
        assert server.client.post("/generate", json={"count": 4, "size": 256}).is_success

    with ThreadPoolExecutor(CALLERS) as threads:
        for _ in range(TRIES):
            list(threads.map(edit, [4] * CALLERS + [2] * CALLERS))
            if len(tree(server.process.pid)) >= UNDECODED + cores():
                break
    return sample([server.process.pid], 0)


def after(server, traffic):
    """What the server uses after so many requests, one at a time.

    What several callers need at once differs from second to second by a hundred megabytes, which ONNX Runtime and the
    allocator keep. One caller needs the same every time.
    """
    for case in traffic:
        assert ask("127.0.0.1", server.port, case) in case.right, case.name
    return sample([server.process.pid], 0)


def growth(values):
    """From round to round, at least: a leak is in every round, a second decoder that comes or goes in one or two."""
    return min(later - earlier for earlier, later in pairwise(values))


@pytest.mark.alone
@pytest.mark.slow
def test_mixed_and_hostile_traffic_leaves_no_trace():
    """Half of the requests are such as nobody should send. Counts are of all processes together."""
    traffic = list(islice((case for case in cases(CALLERS) if not case.pause_s), REQUESTS))
    with running(LOG_LEVEL="warning") as server:
        largest = see_the_largest(server)
        url, pids = str(server.client.base_url), [server.process.pid]
        result = soak(url, pids, SECONDS, concurrency=CALLERS, warm_up_s=WARM_UP_S, check_every_s=8)
        rounds = [after(server, traffic) for _ in range(ROUNDS)]
        assert server.client.get("/readyz").status_code == 200
        idle = server.client.get("/metrics").text
    warm, last = [one for one in result.samples if one.at >= WARM_UP_S], result.samples[-1]
    print(  # noqa: T201
        f"\n{result.answers.total()} requests, {result.overloads} overloads, {result.server_errors} server errors; "
        + ", ".join(f"{one.pss_mb:.1f} MB, {one.threads} threads, {one.files} descriptors" for one in rounds)
    )

    assert result.answers.total() > 100
    assert not result.wrong
    assert result.server_errors == 0
    assert result.checks >= 4
    assert result.failed_checks == 0
    assert last.threads <= max(one.threads for one in (largest, *warm[:3]))
    assert last.files <= min(one.files for one in warm) + 2
    assert growth([one.pss_mb for one in rounds]) < MOST_GROWTH_MB
    assert growth([one.threads for one in rounds]) <= 0
    assert growth([one.files for one in rounds]) <= 0
    assert 'vitrine_queue_rows{model="enhance-x2"} 0.0' in idle
