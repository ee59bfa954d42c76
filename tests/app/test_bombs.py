"""Small or plain files that would cost far more than they look: refused before the decoder pays."""

import io
import struct
import subprocess
import sys
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from app.errors import BadImage
from app.images import ImageLimits, decode
from tests.conftest import ROOT

LIMITS = ImageLimits(40_000_000)
BODY = 20_000_000  # what an upload may have


def saved(image_format, mode="RGB", size=(16, 16), **options):
    file = io.BytesIO()
    Image.new(mode, size).save(file, image_format, **options)
    return file.getvalue()


def filled(head, part, tail):
    """As many parts as an upload may hold."""
    return head + part * ((BODY - len(head) - len(tail)) // len(part)) + tail


def scans():
    """240 kB, 360 passes over 36 million pixels: the decoder does not give way to anybody meanwhile."""
    good = saved("JPEG", "L", (6000, 6000), progressive=True)
    last = good[good.rindex(b"\xff\xc4", 0, good.rindex(b"\xff\xda")) : -2]
    return good[:-2] + last * 350 + good[-2:]


def segments():
    good = saved("JPEG")
    return filled(good[:2], b"\xff\xfe\0\2", good[2:])


def pictures():
    """A JPEG that says that others follow, and they do."""
    good = saved("JPEG", size=(1, 1))
    listed = b"MPF\0II*\0\x08\0\0\0\0\0\0\0\0\0"
    return filled(good[:2] + b"\xff\xe2" + struct.pack(">H", len(listed) + 2) + listed + good[2:], good, b"")


def chunks(kind):
    good = saved("PNG")
    return filled(good[:33], bytes(4) + kind + struct.pack(">I", zlib.crc32(kind)), good[33:])


def comments():
    good = saved("GIF", "L", (1, 1))
    start = 13 + (3 << (good[10] & 7) + 1)
    return filled(good[:start] + b"!\xfe", b"\1x", b"\0" + good[start:])


def frames():
    good = saved("GIF", "L", (1, 1))
    start = 13 + (3 << (good[10] & 7) + 1)
    return filled(good[:start], good[start:-1], b";")


def boxes():
    return filled(saved("AVIF"), b"\0\0\0\x08free", b"")


def directory(tags):
    """A TIFF's first directory, little-endian, from (tag, type, count, value)."""
    return struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)


def resolution():
    """A TIFF whose resolution is two million fractions."""
    good = bytearray(saved("TIFF", dpi=(72, 72)))
    at = good.index(struct.pack("<HH", 0x011A, 5))
    good[at + 4 : at + 12] = struct.pack("<II", 2_000_000, len(good))
    return bytes(good) + b"\1\0\0\0" * 4_000_000


def exif(kind):
    """Orientation 6 and two million fractions, which turning the picture would write again."""
    tags = directory([(0x0112, 3, 1, 6), (0x9999, 5, 2_000_000, 38)])
    data = b"II*\0\x08\0\0\0" + tags + b"\1\0\0\0" * 4_000_000
    if kind != "JPEG":
        return saved(kind, exif=b"Exif\0\0" + data)
    parts = [b"Exif\0\0" + data[at : at + 60_000] for at in range(0, len(data), 60_000)]
    good = saved(kind)
    return good[:2] + b"".join(b"\xff\xe1" + struct.pack(">H", len(one) + 2) + one for one in parts) + good[2:]


def tile(side=20_000):
    """390 kB: one tile of 400 million pixels for a picture of 256."""
    data = zlib.compress(bytes(side * side), 9)
    tags = [(256, 3, 1, 16), (257, 3, 1, 16), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1), (277, 3, 1, 1)]
    tags += [(322, 4, 1, side), (323, 4, 1, side), (324, 4, 1, 8 + 6 + 12 * 10), (325, 4, 1, len(data))]
    return b"II*\0\x08\0\0\0" + directory(tags) + data


@pytest.mark.parametrize(
    "make",
    [scans, segments, pictures, lambda: chunks(b"zzZz"), lambda: chunks(b"IDAT"), comments, frames, boxes, resolution,
     lambda: exif("JPEG"), lambda: exif("PNG"), lambda: exif("WEBP"), tile],
    ids=["scans", "segments", "pictures", "chunks", "data-chunks", "comments", "frames", "boxes", "resolution",
         "exif-jpeg", "exif-png", "exif-webp", "tile"],
)  # fmt: skip
def test_a_file_of_too_many_parts_is_refused_at_once(make):
    data = make()
    assert len(data) <= BODY
    begun = time.process_time()

    with pytest.raises(BadImage):
        decode(data, LIMITS)

    assert time.process_time() - begun < 1


def test_a_picture_with_broken_exif_data_is_still_a_picture():
    for data in (b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0"):
        for kind in ("JPEG", "PNG", "WEBP"):
            assert decode(saved(kind, exif=data), LIMITS).width == 16


def test_exif_that_points_at_itself_turns_the_picture_all_the_same():
    loop = b"Exif\0\0II*\0\x08\0\0\0" + directory([(0x0112, 3, 1, 6), (0x8769, 4, 1, 8), (0x8825, 4, 1, 8)])

    assert decode(saved("JPEG", size=(16, 8), exif=loop), LIMITS).width == 8


PEAK = """
from app.images import ImageLimits, decode
def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
data = open(0, "rb").read()
before = peak()
decode(data, ImageLimits(40_000_000))
print((peak() - before) / 1024)
"""


@pytest.mark.parametrize(("dtype", "kind"), [(np.uint16, "PNG"), (np.float32, "TIFF")])
def test_deep_pictures_take_little_more_memory_than_others(dtype, kind):
    """16 bits and floats are counted in doubles, but never all of them at once."""
    file = io.BytesIO()
    options = {"compression": "tiff_adobe_deflate"} if kind == "TIFF" else {}
    Image.fromarray(np.zeros((4000, 4000), dtype)).save(file, kind, **options)
    command = [sys.executable, "-c", PEAK]
    told = subprocess.run(command, input=file.getvalue(), capture_output=True, check=True, cwd=ROOT).stdout  # noqa: S603

    assert float(told) < 16 * 18  # MB, for 16 million pixels; doubles would be 8 bytes each, several times
