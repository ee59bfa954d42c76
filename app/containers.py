"""Where an image file ends, so that bytes hidden behind it (a ZIP, a page of HTML) can be refused.

Only the container's own structure is read. TIFF is built of pointers and has no end. What takes a decoder long though
it is small, such as a JPEG of ten thousand scans or a GIF of ten million blocks, is refused as well.
"""

from __future__ import annotations

import re
from typing import Final, Literal

# After a marker's 0xFF, 0x00 is stuffing and 0xD0 to 0xD7 are restarts: both belong to the scan.
SCAN_END: Final = re.compile(rb"\xff+[\x01-\xcf\xd8-\xfe]")
MOST_SCANS: Final = 100
"""Of a JPEG: each may be a few bytes, and costs as much as a look at every pixel. Encoders write 10 or so."""
MOST_SEGMENTS: Final = 5_000
"""Of a JPEG. The 255 of a profile that takes all it may, and hundreds more, are still good."""
MOST_PICTURES: Final = 100
"""In one JPEG file."""
MOST_CHUNKS: Final = 50_000
"""Of a PNG or an AVIF."""
MOST_BLOCKS: Final = 400_000
"""Of a GIF, 255 bytes each where the encoder is a good one."""
MOST_TAGS: Final = 4096
"""Of a TIFF's directory."""
MOST_NUMBERS: Final = 200_000
"""In a TIFF's directory: two for every strip or tile."""
MOST_EXIF: Final = 1_000_000
"""Bytes of EXIF data, in which a number of 8 bytes becomes an object of 300. Cameras write up to 64 KiB."""


def end_of(data: bytes) -> int | None:
    """The offset behind the last byte of the image, None where the format does not tell.

    Raises:
        ValueError: the structure is broken, ends too early, or has more parts than any picture needs.
    """
    if data.startswith(b"\xff\xd8"):
        return _end_of_jpegs(data)
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _end_of_png(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        size = int.from_bytes(data[4:8], "little")
        return 8 + size + size % 2
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return _end_of_gif(data)
    if data[:2] == b"BM":
        return int.from_bytes(data[2:6], "little") or None  # some writers leave the field zero
    if data[4:8] == b"ftyp":
        return _end_of_boxes(data)
    if data[:2] in (b"II", b"MM"):
        _check_directory(data)
    return None


def few(count: int, most: int) -> None:
    """Raises:
    ValueError: there are more than any picture needs.
    """
    if count > most:
        raise ValueError("the file has too many parts")


def has_trailing_data(data: bytes) -> bool:
    """Whether anything but padding (zeros, white space) follows the image.

    Raises:
        ValueError: as `end_of`.
    """
    end = end_of(data)
    return end is not None and bool(data[end:].strip(b"\0 \t\r\n"))


def _end_of_jpegs(data: bytes) -> int:
    end, several = _end_of_jpeg(data, 0)
    # Phones append further pictures and list them in an MPF segment (CIPA DC-007): those belong to the file.
    pictures = 1
    while several and data[end : end + 3] == b"\xff\xd8\xff":
        few(pictures := pictures + 1, MOST_PICTURES)
        end, _ = _end_of_jpeg(data, end)
    return end


def _end_of_jpeg(data: bytes, start: int) -> tuple[int, bool]:
    position, several = start + 2, False
    segments = scans = exif = 0
    while True:
        if data[position : position + 1] != b"\xff":
            raise ValueError("a JPEG marker is missing")
        while data[position + 1 : position + 2] == b"\xff":
            position += 1
        marker = data[position + 1 : position + 2]
        if marker == b"\xd9":
            return position + 2, several
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        if not marker or length < 2:
            raise ValueError("a JPEG segment is broken")
        few(segments := segments + 1, MOST_SEGMENTS)
        several |= marker == b"\xe2" and data[position + 4 : position + 8] == b"MPF\0"
        if marker == b"\xe1" and data[position + 4 : position + 8] == b"Exif":
            few(exif := exif + length, MOST_EXIF)
        position += 2 + length
        if marker == b"\xda":
            few(scans := scans + 1, MOST_SCANS)
            found = SCAN_END.search(data, position)
            if found is None:
                raise ValueError("a JPEG scan does not end")
            position = found.end() - 2


def _end_of_png(data: bytes) -> int:
    position, chunks = 8, 0
    while position + 12 <= len(data):
        few(chunks := chunks + 1, MOST_CHUNKS)
        length, kind = int.from_bytes(data[position : position + 4], "big"), data[position + 4 : position + 8]
        position += 12 + length
        if kind == b"IEND":
            return position
    raise ValueError("a PNG has no end")


def _end_of_gif(data: bytes) -> int:
    if len(data) < 13:
        raise ValueError("a GIF is too short")
    position, blocks = 13 + (3 << ((data[10] & 7) + 1) if data[10] & 0x80 else 0), 0
    while position < len(data):
        few(blocks := blocks + 1, MOST_BLOCKS)
        kind = data[position]
        if kind == 0x3B:
            return position + 1
        if kind == 0x21:
            position += 2
        elif kind == 0x2C and position + 9 < len(data):
            flags = data[position + 9]
            position += 11 + (3 << ((flags & 7) + 1) if flags & 0x80 else 0)
        else:
            break
        while position < len(data) and data[position]:
            few(blocks := blocks + 1, MOST_BLOCKS)
            position += 1 + data[position]
        position += 1
    raise ValueError("a GIF has no end")


def _end_of_boxes(data: bytes) -> int:
    position, boxes = 0, 0
    while position + 8 <= len(data):
        few(boxes := boxes + 1, MOST_CHUNKS)
        size, kind = int.from_bytes(data[position : position + 4], "big"), data[position + 4 : position + 8]
        if size == 1:
            size = int.from_bytes(data[position + 8 : position + 16], "big")
        if size == 0 and kind == b"mdat":  # to the end of the file
            return len(data)
        if kind == b"ftyp" and position:  # another file begins
            return position
        if size < 8 or position + size > len(data) or not kind.isascii() or not kind.decode("ascii").isprintable():
            return position
        position += size
    return position


def _check_directory(data: bytes) -> None:
    """Raises:
    ValueError: a TIFF's first directory lists more tags, or more numbers, than any picture needs.
    """
    order: Literal["little", "big"] = "little" if data[:1] == b"I" else "big"
    wide = data[2:3] == b"+"  # BigTIFF, as Pillow tells it
    word, counted, entry = (8, 8, 20) if wide else (4, 2, 12)

    def number(position: int, size: int) -> int:
        return int.from_bytes(data[position : position + size], order)

    start = number(8 if wide else 4, word)
    tags = number(start, counted)
    few(tags, MOST_TAGS)
    numbers = 0
    for position in range(start + counted, start + counted + entry * tags, entry):
        if number(position + 2, 2) not in (1, 2, 7):  # bytes and text stay what they are
            few(numbers := numbers + number(position + 4, word), MOST_NUMBERS)
