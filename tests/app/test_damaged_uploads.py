"""Hundreds of damaged files, made from good ones: each is decoded or refused with a 4xx, quickly, and nothing else."""

import io
import time

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from app.errors import AppError
from app.images import ImageLimits, decode

LIMITS = ImageLimits(1_000_000)
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF")


def saved(image_format, mode="RGB", size=(40, 30), **options):
    ramp = np.linspace(0, 255, size[0] * size[1] * 3).reshape(size[1], size[0], 3)
    file = io.BytesIO()
    Image.fromarray(ramp.astype(np.uint8)).convert(mode).save(file, image_format, **options)
    return file.getvalue()


def outcome(data):
    """`decoded`, or the status of the refusal; anything else is a bug of ours."""
    begun = time.monotonic()
    try:
        picture = decode(data, LIMITS)
    except AppError as error:
        result = error.status
    else:
        assert picture.rgb.dtype == np.uint8
        assert picture.rgb.shape == (picture.height, picture.width, 3)
        result = "decoded"
    assert time.monotonic() - begun < 5
    return result


def exif_jpeg():
    exif = Image.Exif()
    exif[0x0112], exif[0x8298] = 6, "c" * 60_000
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return saved("JPEG", exif=exif, icc_profile=profile, progressive=True, comment=b"x" * 1000)


def full_png():
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Comment", "y" * 1000, zip=True)
    return saved("PNG", "RGBA", pnginfo=notes, icc_profile=b"no profile at all" * 10)


GOOD = {name.lower(): saved(name) for name in FORMATS} | {
    "jpeg-full": exif_jpeg(),
    "jpeg-cmyk": saved("JPEG", "CMYK"),
    "png-full": full_png(),
    "png-16": saved("PNG", "I;16"),
    "png-1": saved("PNG", "1"),
    "gif-palette": saved("GIF", "P"),
    "webp-lossless": saved("WEBP", "RGBA", lossless=True),
    "tiff-lzw": saved("TIFF", compression="tiff_lzw"),
    "tiff-jpeg": saved("TIFF", compression="jpeg"),
}


@pytest.mark.parametrize("name", GOOD)
def test_the_good_ones_are_decoded(name):
    assert outcome(GOOD[name]) == "decoded"


@pytest.mark.parametrize("name", GOOD)
def test_truncated_files_are_refused(name):
    data = GOOD[name]
    places = np.unique(np.linspace(0, len(data) - 1, 60).astype(int))
    found = {int(place): outcome(data[:place]) for place in places[:-1]}

    assert {status for status in found.values() if status != "decoded"} <= {400, 413}
    early = [status for place, status in found.items() if place < 0.9 * len(data)]
    assert "decoded" not in early


@pytest.mark.parametrize("name", GOOD)
def test_flipped_bits_do_no_harm(name):
    random = np.random.default_rng(len(name))
    for _ in range(150):
        data = bytearray(GOOD[name])
        for place in random.integers(0, len(data), random.integers(1, 6)):
            data[place] ^= 1 << int(random.integers(0, 8))
        assert outcome(bytes(data)) in ("decoded", 400, 413)


@pytest.mark.parametrize("name", [name for name in GOOD if not name.startswith("tiff")])  # a TIFF has no end
def test_heads_with_foreign_tails_are_refused(name):
    other = GOOD["png" if name.startswith("jpeg") else "jpeg"]
    for tail in (b"PK\3\4" + b"z" * 50, b"<html><script>", other):
        assert outcome(GOOD[name] + tail) == 400


@pytest.mark.parametrize("name", GOOD)
def test_padding_behind_a_picture_is_accepted(name):
    assert outcome(GOOD[name] + b"\0" * 100) == "decoded"


@pytest.mark.parametrize("seed", range(20))
def test_noise_behind_a_good_head_does_no_harm(seed):
    random = np.random.default_rng(seed)
    for data in GOOD.values():
        cut = int(random.integers(4, max(5, min(200, len(data)))))
        assert outcome(data[:cut] + random.bytes(500)) in ("decoded", 400, 413)


@pytest.mark.parametrize("image_format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_several_frames_are_refused(image_format):
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "green", "blue")]
    file = io.BytesIO()
    frames[0].save(file, image_format, save_all=True, append_images=frames[1:])

    assert outcome(file.getvalue()) == 400
