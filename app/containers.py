"""Where an image file ends, so that bytes hidden behind it (a ZIP, a page of HTML) can be refused.

Only the container's own structure is read. TIFF is built of pointers and has no end; it is left alone.
"""

from __future__ import annotations

import re

# After a marker's 0xFF, 0x00 is stuffing and 0xD0 to 0xD7 are restarts: both belong to the scan.
SCAN_END = re.compile(rb"\xff+[\x01-\xcf\xd8-\xfe]")


def end_of(data: bytes) -> int | None:
    """The offset behind the last byte of the image, None where the format does not tell.

    Raises:
        ValueError: the structure is broken or ends too early.
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
    return None


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
    while several and data[end : end + 3] == b"\xff\xd8\xff":
        end, _ = _end_of_jpeg(data, end)
    return end


def _end_of_jpeg(data: bytes, start: int) -> tuple[int, bool]:
    position, several = start + 2, False
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
        several |= marker == b"\xe2" and data[position + 4 : position + 8] == b"MPF\0"
        position += 2 + length
        if marker == b"\xda":
            found = SCAN_END.search(data, position)
            if found is None:
                raise ValueError("a JPEG scan does not end")
            position = found.end() - 2


def _end_of_png(data: bytes) -> int:
    position = 8
    while position + 12 <= len(data):
        length, kind = int.from_bytes(data[position : position + 4], "big"), data[position + 4 : position + 8]
        position += 12 + length
        if kind == b"IEND":
            return position
    raise ValueError("a PNG has no end")


def _end_of_gif(data: bytes) -> int:
    if len(data) < 13:
        raise ValueError("a GIF is too short")
    position = 13 + (3 << ((data[10] & 7) + 1) if data[10] & 0x80 else 0)
    while position < len(data):
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
            position += 1 + data[position]
        position += 1
    raise ValueError("a GIF has no end")


def _end_of_boxes(data: bytes) -> int:
    position = 0
    while position + 8 <= len(data):
        size, kind = int.from_bytes(data[position : position + 4], "big"), data[position + 4 : position + 8]
        if size == 1:
            size = int.from_bytes(data[position + 8 : position + 16], "big")
        if size == 0 and kind == b"mdat":  # to the end of the file
            return len(data)
        if size < 8 or position + size > len(data) or not kind.isascii() or not kind.decode("ascii").isprintable():
            return position
        position += size
    return position
