"""How large the pictures in an AVIF are: its boxes may say anything, and the decoder allots what the codec says.

ISO/IEC 14496-12 (iloc, iinf) and the sequence header of the AV1 specification, 5.5. Only still pictures are known.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

MOST_BOXES: Final = 10_000
MOST_LOCATIONS: Final = 16384
"""Bytes of the list of places; a picture has a few hundred."""
HEADER: Final = 64
"""Bytes of an item in which its sequence header must lie."""


class Bits:
    """A bitstream, most significant bit first; zeros behind its end."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data), 8 * len(data)

    def take(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            return 0
        return self._value >> self._left & ((1 << count) - 1)


def boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(kind, start, end) of what is in each box.

    Raises:
        ValueError: there are more than any picture needs.
    """
    for _ in range(MOST_BOXES):
        if start + 8 > end:
            return
        size, kind, head = int.from_bytes(data[start : start + 4]), data[start + 4 : start + 8], 8
        if size == 1:
            size, head = int.from_bytes(data[start + 8 : start + 16]), 16
        if size == 0:
            size = end - start
        if size < head or start + size > end:
            return
        yield kind, start + head, start + size
        start += size
    raise ValueError("there are too many boxes")


def largest(data: bytes) -> tuple[int, int]:
    """Width and height of the coded picture that has most pixels.

    Raises:
        ValueError: there is none, or one that cannot be read, or a film.
    """
    found = []
    for kind, start, end in boxes(data, 0, len(data)):
        if kind == b"moov":
            raise ValueError("it is a film")
        if kind == b"meta":
            inside = {name: (begin, stop) for name, begin, stop in boxes(data, start + 4, end)}
            coded = _coded_items(data, *inside.get(b"iinf", (0, 0)))
            stored = inside.get(b"idat", (0, 0))[0]
            items = _places(data, *inside.get(b"iloc", (0, 0)), stored)
            found += [_sequence_size(data[at : at + HEADER]) for item, at in items if item in coded]
    return max(found, key=lambda size: size[0] * size[1])


def _coded_items(data: bytes, start: int, end: int) -> set[int]:
    """The items that are AV1."""
    if start == end:
        return set()
    found = set()
    for kind, at, _ in boxes(data, start + (6 if data[start] == 0 else 8), end):
        wide = 2 if data[at] < 3 else 4
        if kind == b"infe" and data[at + 6 + wide : at + 10 + wide] == b"av01":
            found.add(int.from_bytes(data[at + 4 : at + 4 + wide]))
    return found


def _places(data: bytes, start: int, end: int, stored: int) -> Iterator[tuple[int, int]]:
    """(item, where its data begin); `stored` is where those begin that lie in the meta box itself."""
    if end - start > MOST_LOCATIONS:
        raise ValueError("there are too many places")
    bits, version = Bits(data[start:end]), data[start] if start < end else 0
    bits.take(32)
    sizes = [8 * bits.take(4) for _ in range(4)]  # of offsets, lengths, base offsets and indices
    wide = 16 if version < 2 else 32
    for _ in range(min(bits.take(wide), end - start)):
        item = bits.take(wide)
        inside = bits.take(16) & 15 == 1 if version else False
        bits.take(16)
        base = bits.take(sizes[2])
        for number in range(min(bits.take(16), end - start)):
            if version:
                bits.take(sizes[3])
            offset = base + bits.take(sizes[0])
            bits.take(sizes[1])
            if number == 0:
                yield item, offset + (stored if inside else 0)


def _sequence_size(data: bytes) -> tuple[int, int]:
    """Width and height that the sequence header tells, which comes first or behind a temporal delimiter.

    Raises:
        ValueError: there is none.
    """
    at = 0
    while at < len(data):
        kind, extended, sized = data[at] >> 3 & 15, data[at] >> 2 & 1, data[at] >> 1 & 1
        at += 1 + extended
        size = shift = 0
        while sized and at < len(data):
            size |= (data[at] & 127) << shift
            at, shift = at + 1, shift + 7
            if data[at - 1] < 128:
                break
        if kind == 1:
            return _sequence_header(Bits(data[at:]))
        at += size
        if not sized:
            break
    raise ValueError("there is no sequence header")


def _sequence_header(bits: Bits) -> tuple[int, int]:
    bits.take(4)  # profile, still picture
    if bits.take(1):  # reduced header
        bits.take(5)
    else:
        _skip_operating_points(bits)
    wide, high = bits.take(4) + 1, bits.take(4) + 1
    return bits.take(wide) + 1, bits.take(high) + 1


def _skip_operating_points(bits: Bits) -> None:
    delays = 0
    model = False
    if bits.take(1):  # timing info
        bits.take(64)
        if bits.take(1):  # equal intervals, in as many bits as there are zeros before the first one
            zeros = 0
            while zeros < 32 and not bits.take(1):
                zeros += 1
            bits.take(zeros)
        model = bool(bits.take(1))
        if model:
            delays = bits.take(5) + 1
            bits.take(32 + 5 + 5)
    delayed = bits.take(1)
    for _ in range(bits.take(5) + 1):
        bits.take(12)
        if bits.take(5) > 7:
            bits.take(1)
        if model and bits.take(1):
            bits.take(2 * delays + 1)
        if delayed and bits.take(1):
            bits.take(4)
