"""Pictures in and out: the only module that knows Pillow.

Whatever comes in leaves as upright 8-bit sRGB; every failure of the library becomes a `BadImage` of ours.
"""

from __future__ import annotations

import codecs
import io
import os
import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageFile, ImageFilter, ImageOps, IptcImagePlugin, PngImagePlugin, TiffImagePlugin

from app.av1 import largest
from app.containers import MOST_EXIF, has_trailing_data
from app.errors import AppError, BadImage, ImageTooLarge
from app.metadata import NO_METADATA, Credits, Metadata, cleaned, read_xmp

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]

# Our own limit is checked on the header, with a message of ours.
Image.MAX_IMAGE_PIXELS = None
READABLE: Final = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF")
LONGEST_SIDE: Final = {"webp": 16383, "jpeg": 65500, "avif": 65535, "png": 2**31 - 1}
ARTIST, COPYRIGHT, ORIENTATION = 0x013B, 0x8298, 0x0112  # EXIF tags
XMP = 0x02BC  # in TIFF
IPTC_CREATOR, IPTC_COPYRIGHT = (2, 80), (2, 116)  # IIM data sets
TILE_WIDTH, TILE_LENGTH = 0x0142, 0x0143  # TIFF tags
SMALL_TILE: Final = 1024**2
"""Pixels of a TIFF's tile that are fine in any picture."""
TURNED: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What brings a picture upright, by its EXIF orientation."""
STRIP: Final = 256
"""Rows of a picture of 16 bits or floats that are converted at once."""
LONGEST_UPLOAD: Final = 65535
"""Longest side of an upload in px, which is JPEG's. A thread of 40 million pixels is no more work for a decoder than a
photo, but a minute's for the cut-out, and 3 GB for what shrinks it."""
SMALL: Final = 3 * 128 * 128  # bytes of pixels whose encoding is over before another thread could have started
VAST: Final = 16_000_000
"""Pixels above which WebP is encoded by its quicker method: the other one encodes a picture of 27 megapixels up to six
times, and one of 80 up to nine, until a part of the file that may have 512 kB fits."""


class ImageFormat(StrEnum):
    """Formats of an answer."""

    PNG = "png"
    JPEG = "jpeg"
    WEBP = "webp"
    AVIF = "avif"

    @property
    def media_type(self) -> str:
        return f"image/{self.value}"


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What may be decoded."""

    max_pixels: int


@dataclass(frozen=True, slots=True)
class Picture:
    """An upright sRGB picture within our limits. Only `decode` makes one, and `decoders` passes it on."""

    rgb: Pixels  # (H, W, 3)
    alpha: Pixels | None  # (H, W); None when all is opaque
    metadata: Metadata = NO_METADATA

    @property
    def credits(self) -> Credits:
        """Whose it is."""
        return self.metadata.credits

    @property
    def width(self) -> int:
        return int(self.rgb.shape[1])

    @property
    def height(self) -> int:
        return int(self.rgb.shape[0])


def decode(data: bytes, limits: ImageLimits) -> Picture:
    """Decode an upload of any listed format, mode, orientation and profile.

    Raises:
        BadImage: not an image, truncated, animated, or followed by other data.
        ImageTooLarge: over the pixel limit, found in the header.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _decode(data, limits)
    except AppError:
        raise
    except Exception:  # Pillow's plugins raise nearly anything on damaged files
        raise BadImage("The bytes are not a complete image of a supported format.") from None


def _decode(data: bytes, limits: ImageLimits) -> Picture:
    if data[:8] == b"\x89PNG\r\n\x1a\n" and data[12:16] == b"IHDR":  # Pillow wants the pixels' chunk before it tells
        _check_size(int.from_bytes(data[16:20]), int.from_bytes(data[20:24]), limits)
    if data[4:8] == b"ftyp":  # AVIF's boxes may tell of less than the decoder will allot
        _check_size(*largest(data), limits)
    followed = has_trailing_data(data)  # before Pillow sees it: files of too many parts end here
    with Image.open(io.BytesIO(data), formats=READABLE) as image:
        width, height = image.size
        if width < 1 or height < 1:
            raise BadImage("The image has no pixels.")
        _check_size(width, height, limits)
        if image.format != "MPO" and getattr(image, "is_animated", False):
            raise BadImage("The image has several frames; send one.")
        if followed:
            raise BadImage("The bytes go on after the end of the image.")
        _check_tiles(image)
        image.load()
        exif = _exif(image)
        profile = image.info.get("icc_profile")
        rgb, alpha = _to_srgb(_upright(image, exif), profile)
        metadata = _metadata(image, exif)
    if alpha is not None and alpha.min() == 255:
        alpha = None
    return Picture(rgb, alpha, metadata)


def format_of(data: bytes) -> str:
    """The format of a picture in lower case, by its head; empty for none that is read."""
    try:
        with Image.open(io.BytesIO(data), formats=READABLE) as image:
            return "jpeg" if image.format == "MPO" else str(image.format).lower()
    except Exception:  # as in `decode`
        return ""


def _check_size(width: int, height: int, limits: ImageLimits) -> None:
    if width * height > limits.max_pixels:
        raise ImageTooLarge(f"The image has {width}x{height} pixels; at most {limits.max_pixels} are accepted.")
    if max(width, height) > LONGEST_UPLOAD:
        raise ImageTooLarge(f"The image has {width}x{height} pixels; a side may have at most {LONGEST_UPLOAD}.")


def _check_tiles(image: Image.Image) -> None:
    """Refuse a TIFF of a few pixels that would be decoded in tiles of a gigabyte.

    Raises:
        BadImage: it is one.
    """
    tags = image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else {}
    if TILE_WIDTH in tags and TILE_LENGTH in tags:
        area = int(tags[TILE_WIDTH]) * int(tags[TILE_LENGTH])
        if area > max(SMALL_TILE, 4 * image.width * image.height):
            raise BadImage("The tiles are far larger than the image.")


def _exif(image: Image.Image) -> Image.Exif:
    """The picture's EXIF data; none where it cannot be read, which is no reason to refuse the picture.

    Raises:
        BadImage: there is more of it than any camera writes.
    """
    if len(image.info.get("exif") or b"") > MOST_EXIF:
        raise BadImage(f"The image has over {MOST_EXIF} bytes of EXIF data.")
    try:
        return image.getexif()
    except Exception:
        return Image.Exif()


def _upright(image: Image.Image, exif: Image.Exif) -> Image.Image:
    """Turned as EXIF says. Pillow's own `exif_transpose` would write all of the EXIF data again."""
    orientation = exif.get(ORIENTATION)
    turn = TURNED.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else image.transpose(turn)


def _metadata(image: Image.Image, exif: Image.Exif) -> Metadata:
    """EXIF's word before that of PNG's own fields, IPTC's and XMP's."""
    text = image.info if image.format == "PNG" else {}
    iptc: dict[tuple[int, int], Any] = {}
    if isinstance(image, ImageFile.ImageFile):
        with suppress(Exception):  # what cannot be read is no reason to refuse the picture
            iptc = dict(IptcImagePlugin.getiptcinfo(image) or {})
    told = read_xmp(image.info.get("xmp") or text.get("XML:com.adobe.xmp") or exif.get(XMP))
    rights = (exif.get(COPYRIGHT), text.get("Copyright"), iptc.get(IPTC_COPYRIGHT), told.credits.copyright)
    makers = (exif.get(ARTIST), text.get("Author"), iptc.get(IPTC_CREATOR), told.credits.creator)
    return Metadata(Credits(_first(rights), _first(makers)), told.origin)


def _first(values: Iterable[object]) -> str | None:
    """The first that says something; a field with several values counts as its first one."""
    singles = (value[0] if isinstance(value, list) and value else value for value in values)
    return next((text for text in map(cleaned, singles) if text), None)


def _to_srgb(image: Image.Image, profile: bytes | None) -> tuple[Pixels, Pixels | None]:
    """Any mode -> (H, W, 3) uint8 sRGB and (H, W) uint8 alpha, if the mode or a transparent colour has one."""
    if image.mode.startswith("I") or image.mode == "F":
        image = _to_8_bits(image)
    if image.mode in ("RGBA", "LA", "La", "RGBa", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
    alpha = np.array(image.getchannel("A")) if image.mode == "RGBA" else None
    if image.mode in ("P", "1", "RGBA", "HSV"):
        image = image.convert("RGB")
    converted = _apply_profile(image, profile) if profile else None
    image = converted or image
    return np.array(image if image.mode == "RGB" else image.convert("RGB")), alpha


def _apply_profile(image: Image.Image, profile: bytes) -> Image.Image | None:
    """The picture in sRGB by its own profile; None when the profile is broken or does not fit the mode."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = str(source.profile.xcolor_space).strip()
        if space == "GRAY" and image.mode == "RGB":  # a grey picture that had to be widened
            image = image.convert("L")
        return ImageCms.profileToProfile(
            image,
            source,
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


def _to_8_bits(image: Image.Image) -> Image.Image:
    """Modes I;16*, I and F -> L. Integers are taken as 16 bits; floats as 0 to 1, or 0 to 255 if any is over 1."""
    values = np.asarray(image)
    factor = 1 / 257
    if image.mode == "F":
        factor = 255 if np.fmax.reduce(values, axis=None, initial=0) <= 1 else 1  # fmax passes over NaN
    found = np.empty(values.shape, np.uint8)
    for top in range(0, len(values), STRIP):  # a few rows at a time, so that doubles take little memory
        rows = np.nan_to_num(values[top : top + STRIP].astype(np.float64))
        found[top : top + STRIP] = np.rint(np.clip(rows * factor, 0, 255))
    return Image.fromarray(found)


def check_side(side: int, image_format: ImageFormat) -> None:
    """Raises:
    ImageTooLarge: a side is longer than the format can hold.
    """
    if side > LONGEST_SIDE[image_format]:
        raise ImageTooLarge(f"{image_format.value} holds at most {LONGEST_SIDE[image_format]} px on a side.")


def encode(pixels: Pixels, image_format: ImageFormat, quality: int, xmp: bytes) -> bytes:
    """(H, W, 3) RGB or (H, W, 4) straight RGBA uint8 -> a file with `xmp` in it; JPEG puts alpha over white.

    The same input gives the same bytes. `quality` 1 to 100 has no effect on PNG.

    Raises:
        ImageTooLarge: a side is longer than the format can hold.
    """
    check_side(max(pixels.shape[:2]), image_format)
    if image_format is ImageFormat.JPEG and pixels.shape[2] == 4:
        pixels = over(pixels, (255, 255, 255))
    options: dict[ImageFormat, dict[str, Any]] = {
        ImageFormat.PNG: {"compress_level": 4},
        # 4:2:0 would smear saturated edges on white at the qualities that shops ask for.
        ImageFormat.JPEG: {"quality": quality, "subsampling": 0 if quality >= 90 else 2, "optimize": True},
        ImageFormat.WEBP: {"quality": quality, "method": 3 if pixels.shape[0] * pixels.shape[1] <= VAST else 2},
        ImageFormat.AVIF: {"quality": quality, "speed": 8, "max_threads": 1},
    }
    if image_format is ImageFormat.PNG:  # Pillow takes `xmp` for the others only
        chunks = PngImagePlugin.PngInfo()
        chunks.add_itxt("XML:com.adobe.xmp", xmp.decode())
        options[image_format]["pnginfo"] = chunks
    save = _saved_outside if image_format is ImageFormat.JPEG and pixels.size > SMALL else _saved
    image, chosen = Image.fromarray(pixels), {"xmp": xmp, **options[image_format]}
    try:
        return save(image, image_format, chosen)
    except OSError:
        if image_format is not ImageFormat.JPEG:
            raise
        # Noise takes more than the one or two bytes a pixel for which Pillow makes room where codes are fitted.
        return save(image, image_format, {**chosen, "optimize": False})


def _saved(image: Image.Image, image_format: ImageFormat, options: Mapping[str, Any]) -> bytes:
    file = io.BytesIO()
    image.save(file, image_format.value, **options)
    return file.getvalue()


def _saved_outside(image: Image.Image, image_format: ImageFormat, options: Mapping[str, Any]) -> bytes:
    """As `_saved`, through a file descriptor of memory: only then does Pillow's JPEG encoder let other threads run."""
    with open(os.memfd_create(image_format.value), "w+b") as file:
        image.save(file, image_format.value, **options)
        file.seek(0)
        return file.read()


def warm_up() -> None:
    """Load what Pillow loads at the first picture of each format, which takes as long as many pictures."""
    for image_format in ImageFormat:
        decode(encode(np.zeros((1, 1, 3), np.uint8), image_format, 90, b""), ImageLimits(1))


def load_everything() -> None:
    """As `warm_up`, and all that may ever be imported for a picture: what decodes it afterwards may open no file."""
    warm_up()
    Image.init()
    for name in ("ascii", "latin-1", "utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"):
        codecs.lookup(name)
    read_xmp(b'<?xml version="1.0" encoding="utf-8"?><a/>')


def resize(pixels: Pixels, width: int, height: int) -> Pixels:
    """(H, W), (H, W, 3) or straight RGBA (H, W, 4) uint8 -> the same at another size, Lanczos."""
    if pixels.shape[1] == width and pixels.shape[0] == height:
        return pixels
    image = Image.fromarray(pixels)
    if image.mode == "RGBA":  # so that hidden colours do not bleed in
        small = image.convert("RGBa").resize((width, height), Image.Resampling.LANCZOS)
        return np.array(small.convert("RGBA"))
    return np.array(image.resize((width, height), Image.Resampling.LANCZOS))


def shrunk(pixels: Pixels, width: int, height: int) -> Pixels:
    """(H, W, 3) uint8 at another size, bilinear, as networks that look at whole pictures have learned to see them."""
    return np.array(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR))


def resample(plane: Floats, width: int, height: int, box: tuple[float, float, float, float] | None = None) -> Floats:
    """(H, W) float32, or the part in `box` (left, top, right, bottom; px), at another size, bilinear."""
    image = Image.fromarray(np.ascontiguousarray(plane))
    return np.array(image.resize((width, height), Image.Resampling.BILINEAR, box))


def over(rgba: Pixels, colour: tuple[int, int, int]) -> Pixels:
    """Straight RGBA (H, W, 4) uint8 over a plain colour -> (H, W, 3) uint8, rounded to the nearest."""
    image = Image.fromarray(rgba)
    plain = Image.new("RGB", image.size, colour)
    plain.paste(image, None, image)
    return np.asarray(plain)


def blurred(pixels: Pixels, radius: float) -> Pixels:
    """(H, W, 3) uint8 out of focus: a Gaussian of that standard deviation in px, edges repeated."""
    return np.array(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))


def covering(pixels: Pixels, width: int, height: int) -> Pixels:
    """(H, W, 3) uint8 scaled so that it covers another size, and cut to it around its middle; Lanczos."""
    image = Image.fromarray(pixels)
    return np.array(ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS))


def projected(pixels: Pixels, width: int, height: int, coefficients: tuple[float, ...]) -> Pixels:
    """(H, W, 3) uint8 seen in perspective, bicubic: (x, y) shows what is at ((ax + by + c) / w, (dx + ey + f) / w).

    w = gx + hy + 1, and `coefficients` are a to h; beyond the picture's edges there is black.
    """
    image = Image.fromarray(pixels)
    size, kind = (width, height), Image.Transform.PERSPECTIVE
    return np.array(image.transform(size, kind, coefficients, Image.Resampling.BICUBIC))
