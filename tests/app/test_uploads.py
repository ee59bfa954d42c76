"""Options that come as text or JSON are checked in no more time than their length is worth."""

import itertools
import string
import time

import pytest

from app.errors import InvalidOptions
from app.schemas import EnhanceOptions
from app.uploads import check

NAMES = ["".join(one) for one in itertools.product(string.ascii_lowercase, repeat=3)]


def test_thousands_of_options_are_refused_at_once():
    begun = time.process_time()
    with pytest.raises(InvalidOptions):
        check(EnhanceOptions, [(name, "") for name in NAMES], "query")

    assert time.process_time() - begun < 0.5


def test_an_option_that_comes_twice_is_refused():
    with pytest.raises(InvalidOptions, match="more than once"):
        check(EnhanceOptions, [("scale", "1"), ("quality", "3"), ("scale", "1")], "query")
