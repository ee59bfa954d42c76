"""The soak's arithmetic and its traffic."""

import math
from itertools import islice

import numpy as np
import pytest

from bench.caller import parts
from bench.soak import growth
from bench.traffic import MIX, cases


def test_growth_has_the_slope_of_the_line_and_an_error_that_covers_the_noise():
    times = np.arange(300.0, 1200.0)
    noise = np.random.default_rng(0).normal(0, 2, len(times))

    leaking = growth(times, 200 + times * 20 / 3600 + noise)

    assert leaking.value == pytest.approx(20, abs=3 * leaking.error)
    assert 0 < leaking.error < 5
    flat = growth(times, 200 + noise)
    assert abs(flat.value) < 3 * flat.error
    assert math.isnan(growth(times[:10], noise[:10]).value)


def test_traffic_is_the_same_for_the_same_seed_and_has_every_case():
    first, again = list(islice(cases(3), 600)), list(islice(cases(3), 600))

    assert first == again
    assert len({case.name for case in first}) == len(MIX)
    assert next(cases(4)) != first[0]


def test_a_case_goes_out_as_its_description_says():
    for case in islice(cases(1), 300):
        if case.raw or case.pause_s:
            continue
        head, _, body = b"".join(parts(case)).partition(b"\r\n\r\n")
        assert head.startswith(f"POST {case.path} HTTP/1.1".encode())
        if case.chunked:
            assert body.endswith(b"\r\n0\r\n\r\n")
        elif case.leave_in_the_body:
            assert 0 < len(body) < len(case.body)
        else:
            assert body == case.body
            assert f"Content-Length: {len(body)}".encode() in head
