"""The targets' arithmetic."""

import math
from time import sleep

import pytest

from bench import raw
from bench.compare import Measured, Result, skipped
from bench.raw import Limit, Rate, Setup, throughput
from bench.verdict import verdicts

SETUP = Setup(2, 1, False, 8)


def measured(per_second=100.0, *, load=8.0, share=None, p50=10.0, p99=20.0, errors=0):
    times = {"p50": p50, "p95": p99, "p99": p99, "count": 100, "answers": 100, "errors": errors}
    costs = {"client_cpu": 0.0, "server_ms": 1.0, "others": 0.0}
    where = {"task": "generate", "format": "webp", "load": load, "share": share}
    return Measured(per_second=per_second, **where, **times, **costs)


def result(server, *runs):
    return Result(server, "", 1.0, runs=list(runs))


def limit(rate, item_ms):
    return Limit(Rate(SETUP, rate), Rate(SETUP, item_ms), {}, {})


def by_name(found):
    return {verdict.what: (pytest.approx(verdict.value), verdict.met) for verdict in found}


def test_all_targets_are_held_against_the_limit_and_the_peers():
    ours = result("Vitrine", measured(50, load=1, p50=4.8), measured(97), measured(80, share=0.8, p99=17, errors=1))
    peers = [result("a", measured(96), measured(share=0.8, p99=60)), result("b", measured(30))]

    found = by_name(verdicts("generate", "webp", limit(100, 4), ours, peers))

    assert found == {
        "peak / raw limit": (0.97, True),
        "p50 of one caller / one item": (1.2, True),
        "p99 at 80 % / one item": (4.25, False),
        "answers other than 200": (1, False),
        "peak / best peer's peak": (97 / 96, True),
        "p99 at 80 % / best peer's": (17 / 60, True),
    }


def test_the_limit_is_what_the_machine_could_do_around_our_own_runs():
    against = limit(120, 4)
    against.best.add(90, 0.3)
    against.best.add(110, 0.1)

    peak = verdicts("generate", "webp", against, result("Vitrine", measured(96)), [])[0]

    assert (peak.what, peak.value, peak.met) == ("peak / raw limit", pytest.approx(0.96), True)
    assert against.best.others == 0.3


def test_without_peers_nothing_is_said_of_them_and_a_missing_run_misses():
    found = verdicts("generate", "webp", limit(100, 4), result("Vitrine", measured(97)), [])

    assert not any("peer" in verdict.what for verdict in found)
    missing = next(verdict for verdict in found if "80 %" in verdict.what)
    assert math.isnan(missing.value)
    assert not missing.met


def test_only_closed_loops_make_a_peak():
    one = result("x", measured(50), measured(70, load=32), measured(90, share=0.8))

    assert one.peak("webp") == 70
    assert one.peak("jpeg") == 0
    assert one.run("webp", callers=32).per_second == 70
    assert one.run("webp", share=0.8).per_second == 90
    assert one.run("webp", callers=64) is None


@pytest.mark.parametrize(("load", "count", "expected"), [(1, 6, 0), (8, 20, 8), (64, 64, 0)])
def test_the_first_round_of_callers_does_not_count_where_there_is_another(load, count, expected):
    assert skipped(load, count) == expected


def test_raw_throughput_adds_up_the_threads(monkeypatch):
    def calls(*_):
        while True:
            yield lambda: sleep(0.01) or [b"", b""]

    monkeypatch.setattr(raw, "calls", calls)

    assert 300 < throughput("generate", Setup(3, 1, False, 2), "webp", 0.2) <= 600
