"""Pictures that are drawn here, the small parts that files are made of, and good files to begin with."""

from __future__ import annotations

import functools
import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageCms, PngImagePlugin

MAX_PIXELS = 40_000_000
"""The service's own default, which the bombs are made for."""
SIZE = (24, 17)
SEED = 20

Items = Iterator[tuple[str, bytes, str]]
OK, REFUSED, EITHER = "ok", "refused", "either"


def drawn(mode: str = "RGB", size: tuple[int, int] = SIZE) -> Image.Image:
    """A ramp with some noise."""
    random = np.random.default_rng(SEED)
    ramp = np.linspace(20, 220, size[0])[None, :, None] + random.normal(0, 9, (size[1], size[0], 3))
    image = Image.fromarray(np.clip(ramp, 0, 255).astype(np.uint8))
    if mode == "I;16":
        return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    return image.convert(mode)


def saved(kind: str, mode: str = "RGB", size: tuple[int, int] = SIZE, **options: object) -> bytes:
    file = io.BytesIO()
    drawn(mode, size).save(file, kind, **options)
    return file.getvalue()


def frames(kind: str, **options: object) -> bytes:
    """Three different frames."""
    file = io.BytesIO()
    more = [drawn().rotate(90 * turn) for turn in (1, 2)]
    drawn().save(file, kind, save_all=True, append_images=more, **options)
    return file.getvalue()


@functools.cache
def srgb() -> bytes:
    """A profile whose date is not today's."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = struct.pack(">6H", 2025, 1, 1, 0, 0, 0)
    return bytes(profile)


def notes() -> PngImagePlugin.PngInfo:
    found = PngImagePlugin.PngInfo()
    found.add_text("Author", "Ada")
    found.add_text("Comment", "y" * 300, zip=True)
    found.add_itxt("XML:com.adobe.xmp", "<x:xmpmeta/>")
    return found


@functools.cache
def seeds() -> dict[str, bytes]:
    """One good file of every kind that a decoder has code of its own for."""
    return {
        "jpeg": saved("JPEG"),
        "jpeg-progressive": saved("JPEG", progressive=True, icc_profile=srgb()),
        "jpeg-cmyk": saved("JPEG", "CMYK"),
        "jpeg-exif": saved("JPEG", exif=exif_of([(0x0112, 3, 1, 6), (0x013B, 2, 4, b"Ada\0")]), comment=b"hello"),
        "png": saved("PNG", "RGBA", pnginfo=notes(), icc_profile=srgb()),
        "png-palette": saved("PNG", "P", transparency=3),
        "png-16": saved("PNG", "I;16"),
        "gif": saved("GIF", "P", comment=b"hello"),
        "webp": saved("WEBP"),
        "webp-lossless": saved("WEBP", "RGBA", lossless=True, exif=exif_of([(0x0112, 3, 1, 6)]), icc_profile=srgb()),
        "avif": saved("AVIF", speed=10),
        "avif-alpha": saved("AVIF", "RGBA", speed=10, icc_profile=srgb()),
        "bmp": saved("BMP"),
        "bmp-palette": saved("BMP", "P"),
        "tiff": saved("TIFF"),
        "tiff-lzw": saved("TIFF", compression="tiff_lzw"),
        "tiff-deflate": saved("TIFF", "RGBA", compression="tiff_adobe_deflate"),
        "tiff-jpeg": saved("TIFF", compression="jpeg"),
        "tiff-packbits": saved("TIFF", "CMYK", compression="packbits"),
    }


def chunk(kind: bytes, data: bytes, length: int | None = None, crc: int | None = None) -> bytes:
    size = len(data) if length is None else length
    return struct.pack(">I", size) + kind + data + struct.pack(">I", zlib.crc32(kind + data) if crc is None else crc)


SIGNATURE = b"\x89PNG\r\n\x1a\n"


def segment(marker: int, payload: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(payload) + 2) + payload


def with_segments(data: bytes, *parts: bytes) -> bytes:
    return data[:2] + b"".join(parts) + data[2:]


def box(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data) + 8) + kind + data


def directory(tags: list[tuple[int, int, int, int]], order: str = "<", after: int = 0) -> bytes:
    """A TIFF directory of (tag, type, count, value)."""
    entries = b"".join(struct.pack(order + "HHII", *tag) for tag in tags)
    return struct.pack(order + "H", len(tags)) + entries + struct.pack(order + "I", after)


def exif_of(tags: list[tuple[int, int, int, int | bytes]], after: int = 0) -> bytes:
    """EXIF data; values of up to four bytes."""
    entries = [
        (tag, kind, count, int.from_bytes(v, "little") if isinstance(v, bytes) else v) for tag, kind, count, v in tags
    ]
    return b"Exif\0\0II*\0\x08\0\0\0" + directory(entries, after=after)
