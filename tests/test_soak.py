"""The short twin of `python -m bench.soak`: mixed and hostile traffic, after which everything is as before."""

from itertools import islice

import pytest

from bench.soak import ask, sample, soak
from bench.traffic import cases
from tests.conftest import running

CALLERS = 6
SECONDS, WARM_UP_S = 30, 6
ROUNDS, REQUESTS = 4, 60
MOST_GROWTH_MB = 5  # in all rounds after the first: 28 kB a request


def memory_after(server, traffic):
    """The PSS in MB after so many requests, one at a time.

    What several callers need at once differs from second to second by a hundred megabytes, which ONNX Runtime and the
    allocator keep. One caller needs the same every time: what grows from round to round is a leak.
    """
    for case in traffic:
        assert ask("127.0.0.1", server.port, case) in case.right, case.name
    return sample([server.process.pid], 0).pss_mb


@pytest.mark.alone
@pytest.mark.slow
def test_mixed_and_hostile_traffic_leaves_no_trace():
    """Half of the requests are such as nobody should send. Counts are of all processes together."""
    traffic = list(islice((case for case in cases(CALLERS) if not case.pause_s), REQUESTS))
    with running(LOG_LEVEL="warning") as server:
        url, pids = str(server.client.base_url), [server.process.pid]
        result = soak(url, pids, SECONDS, concurrency=CALLERS, warm_up_s=WARM_UP_S, check_every_s=8)
        rounds = [memory_after(server, traffic) for _ in range(ROUNDS)]
        assert server.client.get("/readyz").status_code == 200
        idle = server.client.get("/metrics").text
    warm = [one for one in result.samples if one.at >= WARM_UP_S]
    last = result.samples[-1]
    print(  # noqa: T201
        f"\n{result.answers.total()} requests, {result.overloads} overloads, {result.server_errors} server errors; PSS "
        f"{warm[0].pss_mb:.0f} to {last.pss_mb:.0f} MB, one at a time {', '.join(f'{mb:.1f}' for mb in rounds)}; "
        f"threads {warm[0].threads} to {last.threads}, descriptors {min(one.files for one in warm)} to {last.files}"
    )

    assert result.answers.total() > 100
    assert not result.wrong
    assert result.server_errors == 0
    assert result.checks >= 3
    assert result.failed_checks == 0
    assert last.threads <= max(one.threads for one in warm[:3])
    assert last.files <= min(one.files for one in warm) + 2
    assert rounds[-1] - rounds[0] < MOST_GROWTH_MB
    assert 'vitrine_queue_rows{model="enhance-x2"} 0.0' in idle
