"""Pictures of products to send: those of `examples/`, by name."""

from functools import cache

from tests.conftest import ROOT

EXAMPLES = ROOT / "examples"


@cache
def sample(name):
    """The bytes of a picture by its name; of the toy bus, where there is none of that name."""
    path = EXAMPLES / name
    return (path if path.is_file() else EXAMPLES / "bus.jpg").read_bytes()
