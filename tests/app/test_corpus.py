"""Every file of the corpus is decoded or refused as it should be, quickly and in bounded memory, and nothing else."""

import subprocess
import sys
import time

import numpy as np
import pytest

from app.errors import BadImage, ImageTooLarge
from app.images import ImageLimits, decode
from tests.conftest import ROOT
from tests.corpus import EITHER, MAX_PIXELS, OK, REFUSED, corpus

LIMITS = ImageLimits(MAX_PIXELS)
PEAK_MB = 450
"""What the whole corpus may add to a process at most: its largest picture has 36 million pixels of 4 bytes."""


def outcome(data):
    """What became of a file, and the seconds of processor time that it took."""
    begun = time.process_time()
    try:
        picture = decode(data, LIMITS)
    except (BadImage, ImageTooLarge):  # anything else fails the test
        return REFUSED, time.process_time() - begun
    height, width = picture.height, picture.width
    assert 0 < width * height <= MAX_PIXELS
    assert (picture.rgb.shape, picture.rgb.dtype) == ((height, width, 3), np.uint8)
    assert picture.alpha is None or (picture.alpha.shape, picture.alpha.dtype) == ((height, width), np.uint8)
    assert all(text is None or len(text) <= 500 for text in (picture.credits.copyright, picture.credits.creator))
    return OK, time.process_time() - begun


def test_it_is_large_and_always_the_same():
    counts = {expected: sum(item.expected == expected for item in corpus()) for expected in (OK, REFUSED, EITHER)}

    assert len(corpus()) > 1000
    assert min(counts.values()) > 200
    assert all(len(item.data) < 20_000_000 for item in corpus())


def test_every_file_is_decoded_or_refused():
    wrong = []
    for item in corpus():
        found, seconds = outcome(item.data)
        if seconds > 2 or item.expected not in (found, EITHER):
            wrong.append((item.name, item.expected, found, round(seconds, 2)))

    assert wrong == []


PEAK = """
import sys
from app.errors import AppError
from app.images import ImageLimits, decode

def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))

read = sys.stdin.buffer.read
begun = peak()
while size := int.from_bytes(read(4)):
    before = peak()
    try:
        decode(read(size), ImageLimits(int(sys.argv[1])))
    except AppError:
        pass
    if peak() > before + 50_000:
        sys.stderr.write(f"{size} bytes took the peak from {before} to {peak()} kB\\n")
print((peak() - begun) / 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_file_takes_much_memory():
    files = b"".join(len(item.data).to_bytes(4) + item.data for item in corpus() if item.data)
    command = [sys.executable, "-c", PEAK, str(MAX_PIXELS)]
    told = subprocess.run(command, input=files + bytes(4), capture_output=True, check=True, cwd=ROOT)  # noqa: S603

    assert float(told.stdout) < PEAK_MB, told.stderr.decode()[-2000:]
