"""Uploads of every kind come in upright and in sRGB, or are refused with an error of ours."""

import contextlib
import io
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from app.errors import AppError, BadImage, ImageTooLarge
from app.images import ImageFormat, ImageLimits, decode, encode, resize
from bench.pictures import photo

LIMITS = ImageLimits(max_pixels=1_000_000)
FORMATS = ["JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF"]


def picture(width=24, height=16):
    pixels = np.full((height, width, 3), (40, 60, 200), np.uint8)
    pixels[: height // 2, : width // 2] = (220, 30, 30)
    return Image.fromarray(pixels)


def saved(image, image_format, **options):
    file = io.BytesIO()
    image.save(file, image_format, **options)
    return file.getvalue()


@pytest.mark.parametrize("image_format", FORMATS)
def test_every_listed_format_is_read(image_format):
    decoded = decode(saved(picture(), image_format), LIMITS)

    assert decoded.rgb.shape == (16, 24, 3)
    assert decoded.alpha is None
    assert np.abs(decoded.rgb[2, 2].astype(int) - (220, 30, 30)).max() < 30


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_every_orientation_comes_upright(orientation, image_format):
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Image.Transpose that undoes what the viewer will do
    stored = picture() if orientation == 1 else picture().transpose(Image.Transpose(back[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation

    decoded = decode(saved(stored, image_format, exif=exif), LIMITS)

    assert decoded.rgb.shape == (16, 24, 3)
    assert decoded.rgb[2, 2, 0] > 180
    assert decoded.rgb[12, 20, 2] > 150


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F"])
def test_every_mode_becomes_rgb(mode):
    if mode == "I;16":
        image = Image.fromarray(np.full((16, 24), 32896, np.uint16))
    elif mode == "F":
        image = Image.fromarray(np.full((16, 24), 0.5, np.float32))
    else:
        image = Image.new("RGB", (24, 16), (128, 128, 128)).convert(mode)
    decoded = decode(saved(image, "PNG" if mode not in ("CMYK", "F") else "TIFF"), LIMITS)

    assert decoded.rgb.shape == (16, 24, 3)
    if mode not in ("1", "P"):  # both dither this grey
        assert np.abs(decoded.rgb.astype(int) - 128).max() <= 1


def test_a_huge_header_is_refused_before_a_pixel_is_decoded():
    data = bytearray(saved(picture(), "PNG"))
    data[16:24] = (50_000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")

    with pytest.raises(ImageTooLarge):
        decode(bytes(data), LIMITS)


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "GIF"])
def test_an_archive_behind_the_image_is_refused(image_format):
    with pytest.raises(BadImage, match="after the end"):
        decode(saved(picture(), image_format) + b"PK\x03\x04 more", LIMITS)


@pytest.mark.parametrize("image_format", FORMATS)
def test_damaged_files_raise_only_our_errors(image_format):
    good = saved(picture(64, 48), image_format)
    random = np.random.default_rng(0)
    for _ in range(60):
        bad = bytearray(good)
        for place in random.integers(0, len(bad), 4):
            bad[place] ^= 1 << random.integers(8)
        with contextlib.suppress(AppError):  # anything else fails the test
            decode(bytes(bad), LIMITS)


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_truncated_files_are_refused(image_format):
    good = saved(picture(64, 48), image_format)
    for cut in (0, 3, 20, len(good) // 2, len(good) - 3):
        with pytest.raises(AppError):
            decode(good[:cut], LIMITS)


def test_animations_are_refused():
    with pytest.raises(BadImage, match="frames"):
        decode(saved(picture(), "GIF", save_all=True, append_images=[Image.new("RGB", (24, 16))]), LIMITS)


@pytest.mark.parametrize("image_format", list(ImageFormat))
def test_private_metadata_does_not_come_through_and_credits_do(image_format):
    exif = Image.Exif()
    exif[0x8298], exif[0x013B], exif[0xA431] = "(c) Shop", "Ann", "SERIAL-123"
    decoded = decode(saved(picture(), "JPEG", exif=exif, comment=b"secret"), LIMITS)
    answer = encode(decoded.rgb, image_format, 90, b"<x:xmpmeta/>")

    assert (decoded.credits.copyright, decoded.credits.creator) == ("(c) Shop", "Ann")
    assert b"SERIAL-123" not in answer
    assert b"secret" not in answer
    assert b"x:xmpmeta" in answer


def test_flat_white_stays_white_in_jpeg():
    white = np.full((64, 64, 3), 255, np.uint8)

    assert decode(encode(white, ImageFormat.JPEG, 90, b""), LIMITS).rgb.min() == 255


@pytest.mark.parametrize("side", [100, 300], ids=["in memory", "through a descriptor"])
@pytest.mark.parametrize("quality", [90, 94, 95, 100])
def test_noise_can_be_jpeg(side, quality):
    """More bytes than the pixels for which Pillow makes room."""
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    answer = encode(noise, ImageFormat.JPEG, quality, b"<x:xmpmeta/>")

    again = decode(answer, LIMITS).rgb
    assert len(answer) > side * side
    assert b"x:xmpmeta" in answer
    assert again.shape == noise.shape
    assert np.abs(again.astype(int) - noise).mean() < 8


def test_resizing_does_not_mix_hidden_colours_in():
    rgba = np.zeros((16, 16, 4), np.uint8)
    rgba[:, :8] = (200, 0, 0, 255)
    rgba[:, 8:, 1] = 255  # hidden green

    small = resize(rgba, 4, 4)

    assert small[small[..., 3] > 0][:, 1].max() <= 1


def test_a_vast_webp_takes_no_longer_than_its_parts():
    """By the method of smaller ones it is encoded again and again, 2.9 times as long as four quarters of it."""
    with Image.open(io.BytesIO(photo(1024, 1024, "PNG"))) as image:
        part = np.tile(np.asarray(image), (2, 3, 1))
    taken = []
    for pixels in (part, np.tile(part, (2, 2, 1))):
        begun = time.thread_time()
        encode(pixels, ImageFormat.WEBP, 90, b"")
        taken.append(time.thread_time() - begun)

    assert taken[1] < 1.5 * 4 * taken[0]
