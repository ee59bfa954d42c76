"""Uploads are decoded elsewhere: what breaks a decoder costs one request, and nothing else."""

import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.decoders import LIFETIME, TEMPLATE, Decoders
from app.errors import AppError, BadImage, ImageTooLarge
from app.images import ImageLimits, decode
from bench.processes import tree
from tests.conftest import ROOT, alive, only, serving


def file_of(mode="RGB", size=(40, 30), image_format="PNG", **options):
    random = np.random.default_rng(0)
    channels = {"RGB": 3, "RGBA": 4, "L": 1}[mode]
    image = Image.fromarray(random.integers(0, 256, (size[1], size[0], channels), dtype=np.uint8).squeeze())
    file = io.BytesIO()
    image.save(file, image_format, **options)
    return file.getvalue()


LIMITS = ImageLimits(1_000_000)
# A decoder that does what the upload says, beside decoding.
FAULTY = TEMPLATE.replace(
    "from app.decoder import main; ",
    """
import os, time, socket, app.decoder
PNG = @PNG@
real, real_put = app.decoder.decode, app.decoder.put
def decode(data, limits):
    if data == b'abort': os.abort()
    if data == b'sleep': time.sleep(60)
    if data == b'grow': bytearray(10**11)
    if data == b'exit': os._exit(0)
    if data[:4] == b'try ':
        try: exec(data[4:])
        except PermissionError: return real(PNG, limits)
        return 1
    return real(data, limits)
def put(picture, shared):
    return real_put(picture, shared) | ({{'size': [10**6, 10**6]}} if picture.width == 13 else {{}})
app.decoder.decode, app.decoder.put = decode, put
from app.decoder import main
""".replace("@PNG@", repr(file_of(size=(2, 2))).replace("{", "{{").replace("}", "}}")),
)


def has_landlock():
    """Whether a child of this process could be confined."""
    told = [sys.executable, "-c", "import sys; from app.sandbox import restrict; sys.exit(not restrict())"]
    return subprocess.run(told, cwd=ROOT, check=False).returncode == 0  # noqa: S603


@pytest.fixture
def ends():
    return []


@pytest.fixture
def decoders(ends):
    made = Decoders(LIMITS, timeout_s=2, memory_bytes=1_500_000_000, ended=ends.append, template=FAULTY)
    yield made
    made.close()


def processes():
    """The template of a test's decoders, then its decoders; a server of another test may have its own."""
    own = [pid for pid in tree(os.getpid()) if b"def decode(data, limits)" in command(pid)]
    return [pid for pid in own if alive(pid)]


def command(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_a_picture_comes_back_as_it_was_decoded(decoders, mode):
    exif = Image.Exif()
    exif[0x8298] = "(c) A & Co"
    data = file_of(mode, exif=exif)
    here, there = decode(data, LIMITS), decoders.decode(data)

    np.testing.assert_array_equal(there.rgb, here.rgb)
    assert (there.alpha is None) == (here.alpha is None)
    if here.alpha is not None:
        np.testing.assert_array_equal(there.alpha, here.alpha)
    assert there.credits == here.credits
    assert there.credits.copyright == "(c) A & Co"
    there.rgb[:] = 0  # it is ours, to change


def test_refusals_come_back_as_they_are(decoders, ends):
    with pytest.raises(BadImage, match="not a complete image"):
        decoders.decode(b"GIF89a")
    with pytest.raises(ImageTooLarge, match="2000x1000"):
        decoders.decode(file_of(size=(2000, 1000)))
    assert ends == []


@pytest.mark.parametrize(
    ("order", "why"), [(b"abort", ["crashed"] * 2), (b"exit", ["crashed"] * 2), (b"sleep", ["timeout"])]
)
def test_a_decoder_that_breaks_costs_one_upload(decoders, ends, order, why):
    begun = time.monotonic()
    with pytest.raises(BadImage):
        decoders.decode(order)
    assert time.monotonic() - begun < 4
    assert ends == why
    assert decoders.decode(file_of()).width == 40


def test_a_decoder_that_wants_too_much_memory_is_refused_it(decoders, ends):
    with pytest.raises(ImageTooLarge, match="memory"):
        decoders.decode(b"grow")
    assert decoders.decode(file_of()).width == 40
    assert ends == []


def test_a_decoder_that_lies_about_its_picture_is_ended(decoders, ends):
    """A decoder that has been taken over must not make this process read beyond its memory."""
    with pytest.raises(BadImage):
        decoders.decode(file_of(size=(13, 5)))
    assert ends == ["crashed"] * 2


def test_a_decoder_that_died_between_uploads_is_not_noticed(decoders, ends):
    decoders.decode(file_of())
    template, decoder = processes()
    os.kill(decoder, signal.SIGKILL)
    while alive(decoder):
        time.sleep(0.01)

    assert decoders.decode(file_of()).width == 40
    assert ends == ["crashed"]
    os.kill(template, signal.SIGKILL)
    with pytest.raises(BadImage):
        decoders.decode(b"abort")
    assert decoders.decode(file_of()).width == 40  # from a new template


def test_decoders_are_replaced_after_their_lifetime(decoders, ends):
    for _ in range(LIFETIME + 1):
        decoders.decode(file_of(size=(2, 2)))
    assert ends == ["recycled"]


def test_several_at_once_do_not_mix_their_pictures(decoders):
    files = [file_of(size=(20 + number, 20), image_format="JPEG") for number in range(8)]
    wrong = []

    def work(number):
        for _ in range(20):
            if decoders.decode(files[number]).width != 20 + number:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_decoder_knows_nothing_of_this_process(decoders, monkeypatch):
    monkeypatch.setenv("VITRINE_SECRET", "hunter2")
    decoders.decode(file_of())
    for process in processes():
        assert b"hunter2" not in Path(f"/proc/{process}/environ").read_bytes()
    decoder = Path(f"/proc/{processes()[1]}/limits").read_text()
    assert "Max core file size        0                    0" in decoder


@pytest.mark.parametrize(
    "order", ["open('/etc/passwd')", "open('/tmp/vitrine-was-here', 'w')", "socket.create_connection(('127.0.0.1', 9))"]
)
def test_a_decoder_that_was_taken_over_reaches_nothing(decoders, order):
    """The faulty decoder runs what it is sent, and gives a picture only where the kernel denied it."""
    if not has_landlock():
        pytest.skip("this kernel has no Landlock")
    assert decoders.decode(b"try " + order.encode()).width == 2


def test_closing_leaves_no_process():
    made = Decoders(LIMITS, timeout_s=2, memory_bytes=1_500_000_000, template=FAULTY)
    made.decode(file_of())
    there = processes()
    assert len(there) == 2
    made.close()
    until = time.monotonic() + 5
    while any(alive(process) for process in there) and time.monotonic() < until:
        time.sleep(0.01)
    assert not any(alive(process) for process in there)


def test_no_interpreter_no_decoder():
    made = Decoders(LIMITS, timeout_s=2, memory_bytes=1_500_000_000, template="raise SystemExit(1) # {path}{control}")
    with pytest.raises(AppError, match="No decoder"):
        made.decode(file_of())


def test_the_service_goes_on_when_its_decoders_are_killed():
    with serving(MODELS_DIR=only("enhance-x2-fast"), THREADS=2) as client:
        options = {"params": {"scale": 1, "denoise": 0}, "headers": {"Content-Type": "image/png"}}
        assert client.post("/enhance", content=file_of(), **options).status_code == 200
        there = [pid for pid in tree(os.getpid()) if b"from app.decoder import main" in command(pid)]
        assert len(there) > 1
        for process in there:
            os.kill(process, signal.SIGKILL)
        assert client.post("/enhance", content=file_of(size=(41, 30)), **options).status_code == 200
