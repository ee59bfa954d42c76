"""The size of an AVIF is what its codec says, whatever its boxes do."""

import struct

import pytest

from app.av1 import Bits, largest
from app.errors import BadImage, ImageTooLarge
from app.images import ImageLimits, decode
from tests.corpus.drawing import box, frames, saved

CROWD = box(b"iinf", bytes(6) + box(b"free", b"") * 20_000)


@pytest.mark.parametrize("size", [(1, 1), (24, 17), (500, 3), (640, 480)])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_it_is_found(size, mode):
    assert largest(saved("AVIF", mode, size, speed=10)) == size


@pytest.mark.parametrize(
    "options", [{"quality": 100}, {"subsampling": "4:4:4"}, {"tile_rows": 2}, {"range": "limited"}]
)
def test_it_is_found_in_every_profile(options):
    assert largest(saved("AVIF", size=(200, 100), speed=10, **options)) == (200, 100)


def test_a_picture_that_is_larger_than_its_boxes_say_is_refused_before_it_is_decoded():
    data = saved("AVIF", size=(600, 400), speed=10)
    at = data.index(b"ispe") + 8
    lying = data[:at] + struct.pack(">II", 10, 10) + data[at + 8 :]

    with pytest.raises(ImageTooLarge, match="600x400"):
        decode(lying, ImageLimits(100_000))


@pytest.mark.parametrize("broken", [
    lambda data: data.replace(b"av01", b"zzzz"),
    lambda data: data.replace(b"iloc", b"zzzz"),
    lambda data: data.replace(b"infe", b"zzzz"),
    lambda data: data[: data.index(b"mdat") + 4] + b"\0" * 60 + data[data.index(b"mdat") + 64 :],
    lambda data: box(b"ftyp", b"avif\0\0\0\0mif1") + box(b"meta", bytes(4) + box(b"iloc", bytes(100_000))),
    lambda data: box(b"ftyp", b"avif\0\0\0\0mif1") + box(b"meta", bytes(4) + CROWD),
    lambda data: frames("AVIF", speed=10),
], ids=["type", "places", "items", "pixels", "many-places", "many-boxes", "film"])  # fmt: skip
def test_what_cannot_be_found_is_refused(broken):
    with pytest.raises(BadImage):
        decode(broken(saved("AVIF", size=(64, 64), speed=10)), ImageLimits(100_000))


def test_the_full_header_of_a_film_is_read():
    """Timing, a decoder model, two operating points: not what still pictures have, but what the decoder would read."""
    fields = [
        (0, 3), (0, 1), (0, 1), (1, 1), (1, 64), (1, 1), (0b00101, 5), (1, 1), (9, 5), (7, 42), (1, 1), (1, 5),
        (5, 12), (9, 5), (1, 1), (1, 1), (3, 21), (1, 1), (15, 4), (5, 12), (3, 5), (0, 1), (0, 1),
        (9, 4), (9, 4), (999, 10), (499, 10),
    ]  # fmt: skip
    value = size = 0
    for number, count in fields:
        value, size = value << count | number, size + count
    header = (value << -size % 8).to_bytes(-(-size // 8))
    base = saved("AVIF", size=(8, 8), speed=10)
    at = base.index(b"mdat") + 4
    data = base[:at] + bytes([0x0A, len(header)]) + header + base[at + 2 + len(header) :]

    assert largest(data) == (1000, 500)


def test_bits_behind_the_end_are_zeros():
    bits = Bits(b"\xa5")

    assert [bits.take(4), bits.take(3), bits.take(4), bits.take(9)] == [10, 2, 0, 0]
