"""Fuzz the decoder of uploads: bytes in, a picture or a refusal out, and nothing else.

python -m fuzz.decode --seconds 600 --corpus fuzz/corpus/decode

Coverage is that of Pillow's Python plugins and of our own; the C libraries below them are built without it.
"""

from __future__ import annotations

from collections.abc import Iterable

import atheris

with atheris.instrument_imports(include=["app", "PIL"]):
    from app.errors import BadImage, ImageTooLarge
    from app.images import ImageLimits, decode

from fuzz.engine import run

LIMITS = ImageLimits(4_000_000)


def target(data: bytes) -> str:
    try:
        picture = decode(data, LIMITS)
    except (BadImage, ImageTooLarge) as error:
        return type(error).__name__
    height, width, channels = picture.rgb.shape
    assert (picture.rgb.dtype, channels) == ("uint8", 3)  # noqa: S101  # what is looked for
    assert 0 < height * width <= LIMITS.max_pixels  # noqa: S101
    assert picture.alpha is None or picture.alpha.shape == (height, width)  # noqa: S101
    return "decoded"


def seeds() -> Iterable[bytes]:
    from tests.corpus import corpus

    return (item.data for item in corpus())


if __name__ == "__main__":
    run("decode", target, seeds)
