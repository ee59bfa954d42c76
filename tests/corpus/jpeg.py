"""JPEG: wrong segments, frames and scans."""

from __future__ import annotations

import struct

from tests.corpus.drawing import EITHER, OK, REFUSED, Items, directory, seeds, segment, with_segments


def segments(data: bytes) -> list[tuple[int, int, bytes]]:
    """(marker, offset, payload) up to the scan."""
    found, at = [], 2
    while data[at + 1] != 0xDA:
        length = struct.unpack(">H", data[at + 2 : at + 4])[0]
        found.append((data[at + 1], at, data[at + 4 : at + 2 + length]))
        at += 2 + length
    return [*found, (0xDA, at, b"")]


def jpegs() -> Items:
    base, progressive = seeds()["jpeg"], seeds()["jpeg-progressive"]
    at = {marker: offset for marker, offset, _ in segments(base)}
    for marker, offset, payload in segments(progressive):
        name = f"{marker:02x}-{offset}"
        yield f"jpeg/without-{name}", progressive[:offset] + progressive[offset + 4 + len(payload) :], EITHER
        for length in (0, 1, 2, 3, 65535):
            bad = progressive[: offset + 2] + struct.pack(">H", length) + progressive[offset + 4 :]
            yield f"jpeg/length-{name}-{length}", bad, REFUSED if length < 2 else EITHER
    frame = at[0xC0]

    def patched(where: int, value: bytes) -> bytes:
        return base[: frame + where] + value + base[frame + where + len(value) :]

    for width, height in ((0, 17), (24, 0), (0, 0), (65535, 65535), (65500, 65500), (8000, 8000)):
        yield f"jpeg/size-{width}x{height}", patched(5, struct.pack(">HH", height, width)), REFUSED
    yield "jpeg/size-6000x6000", patched(5, struct.pack(">HH", 6000, 6000)), EITHER
    yield "jpeg/smaller", patched(5, struct.pack(">HH", 8, 8)), EITHER
    yield "jpeg/larger", patched(5, struct.pack(">HH", 40, 40)), EITHER
    for depth in (0, 1, 12, 16, 255):
        yield f"jpeg/depth-{depth}", patched(4, bytes([depth])), REFUSED
    for count in (0, 1, 2, 4, 255):
        yield f"jpeg/components-{count}", patched(9, bytes([count])), EITHER
    for sampling in (0x00, 0x0F, 0xF1, 0x44, 0x41):
        yield f"jpeg/sampling-{sampling:02x}", patched(11, bytes([sampling])), EITHER
    yield "jpeg/table-unknown", patched(12, b"\3"), EITHER
    for marker in (0xC1, 0xC2, 0xC3, 0xC5, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCF, 0xF7):
        yield f"jpeg/frame-{marker:02x}", patched(1, bytes([marker])), EITHER


def jpeg_scans() -> Items:
    base, progressive = seeds()["jpeg"], seeds()["jpeg-progressive"]
    at = {marker: offset for marker, offset, _ in segments(base)}
    tables = base[at[0xC4] : at[0xDA]]
    yield "jpeg/no-tables", base[: at[0xC4]] + base[at[0xDA] :], EITHER
    yield "jpeg/tables-of-ones", base.replace(tables, tables[:5] + b"\xff" * 16 + tables[21:]), EITHER
    yield "jpeg/frame-twice", with_segments(base, segment(0xC0, base[at[0xC0] + 4 : at[0xC0] + 19])), EITHER
    yield "jpeg/scan-zeros", base[: at[0xDA] + 14] + bytes(400) + b"\xff\xd9", EITHER
    yield "jpeg/scan-empty", base[: at[0xDA] + 14] + b"\xff\xd9", EITHER
    yield "jpeg/no-end", base[:-2], REFUSED
    yield "jpeg/fill", with_segments(base, b"\xff" * 1000), OK
    yield "jpeg/junk-between", with_segments(base, b"junk"), REFUSED
    yield "jpeg/thumbnail-inside", with_segments(base, segment(0xE1, b"Exif\0\0" + base[:600])), OK
    yield (
        "jpeg/height-later",
        base[: at[0xC0] + 5] + b"\0\0" + base[at[0xC0] + 7 :][:-2] + segment(0xDC, struct.pack(">H", 17)) + b"\xff\xd9",
        REFUSED,
    )
    scan = progressive[progressive.rindex(b"\xff\xda") : -2]
    for count in (50, 120, 5000):
        yield f"jpeg/scans-{count}", progressive[:-2] + scan * count + b"\xff\xd9", REFUSED if count > 100 else EITHER
    yield "jpeg/segments-20000", with_segments(base, segment(0xFE, b"") * 20_000), REFUSED
    yield "jpeg/comments", with_segments(base, segment(0xFE, b"c" * 60_000) * 30), OK
    yield "jpeg/adobe-short", with_segments(base, segment(0xEE, b"Adobe")), EITHER
    for transform in (0, 1, 2, 99):
        adobe = segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([transform]))
        yield f"jpeg/adobe-{transform}", with_segments(base, adobe), OK
        yield f"jpeg/cmyk-adobe-{transform}", with_segments(seeds()["jpeg-cmyk"], adobe), OK
    for count in (0, 2, 2**31, 2**32 - 1):
        listed = b"MPF\0II*\0\x08\0\0\0" + directory([(0xB001, 4, 1, count)])
        yield f"jpeg/pictures-{count}", with_segments(base, segment(0xE2, listed)), EITHER
    yield (
        "jpeg/photoshop-garbage",
        with_segments(base, segment(0xED, b"Photoshop 3.0\0" + b"8BIM\3\xed\0\0\xff\xff\xff\xff")),
        OK,
    )
