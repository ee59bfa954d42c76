"""EXIF data and colour profiles that are damaged, huge, or point at themselves: the picture is good."""

from __future__ import annotations

import struct

import numpy as np

from tests.corpus.drawing import EITHER, OK, REFUSED, SEED, Items, exif_of, saved, seeds, segment, srgb, with_segments


def exifs() -> Items:
    turned = (0x0112, 3, 1, 6)
    cases = {
        "garbage": b"Exif\0\0" + bytes(range(200)),
        "empty": b"Exif\0\0",
        "cut": exif_of([turned])[:20],
        "orientation-0": exif_of([(0x0112, 3, 1, 0)]),
        "orientation-65535": exif_of([(0x0112, 3, 1, 65535)]),
        "orientation-text": exif_of([(0x0112, 2, 4, b"six\0")]),
        "orientation-many": exif_of([(0x0112, 3, 100, 8)]),
        "orientation-none": exif_of([(0x0112, 3, 0, 0)]),
        "orientation-fraction": exif_of([(0x0112, 5, 1, 8)]),
        "itself": exif_of([turned, (0x8769, 4, 1, 8), (0x8825, 4, 1, 8), (0xA005, 4, 1, 8)], after=8),
        "pointers-beyond": exif_of([turned, (0x8769, 4, 1, 10**9), (0x8825, 4, 1, 2**32 - 1)], after=10**9),
        "maker-note": exif_of([turned, (0x927C, 7, 60, 8), (0x010F, 2, 9, 8)]),
        "value-beyond": exif_of([turned, (0x013B, 2, 5000, 10**6)]),
        "large": exif_of([turned]) + b"x" * 60_000,
        "overlaps": exif_of([turned, *[(tag, 7, 60_000, 8) for tag in range(0x9000, 0x9F00)]]),
        "author-not-text": exif_of([turned, (0x013B, 2, 4, b"\xff\xfe\xfd\0"), (0x8298, 7, 4, b"\0\1\2\3")]),
    }  # fmt: skip
    for name, data in cases.items():
        for kind in ("JPEG", "PNG", "WEBP"):
            yield f"exif/{kind.lower()}-{name}", saved(kind, exif=data), OK
        plain = exif_of([(0x8298, 7, 4, b"here"), *[(tag, 7, 4, b"here") for tag in range(0x9000, 0x9010)]])[6:]
        held = saved("AVIF", speed=10, exif=plain)
        assert plain in held
        yield f"exif/avif-{name}", held.replace(plain, data[6:].ljust(len(plain), b"\0")[: len(plain)]), EITHER
    orientation = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    yield "exif/orientation-in-xmp", saved("JPEG", xmp=orientation), OK
    yield "exif/xmp-not-closed", saved("WEBP", xmp=b"<" * 100_000 + b'tiff:Orientation="'), OK
    huge = [segment(0xE1, b"Exif\0\0" + b"x" * 60_000)] * 20
    yield "exif/jpeg-1200-kB", with_segments(seeds()["jpeg"], *huge), REFUSED
    yield "exif/webp-1200-kB", saved("WEBP", exif=b"Exif\0\0" + bytes(1_200_000)), REFUSED


def profiles() -> Items:
    good_one = srgb()
    tag_count = struct.unpack(">I", good_one[128:132])[0]
    random = np.random.default_rng(SEED)

    def patched(at: int, value: bytes) -> bytes:
        return good_one[:at] + value + good_one[at + len(value) :]

    cases = {
        "garbage": b"no profile at all",
        "empty-of-size": struct.pack(">I", 132) + bytes(128),
        "cut": good_one[:300],
        "size-lies": patched(0, struct.pack(">I", 2**32 - 1)),
        "tags-many": patched(128, struct.pack(">I", 2**32 - 1)),
        "tags-100": patched(128, struct.pack(">I", 100)),
        "tags-beyond": patched(136, struct.pack(">II", 2**31, 2**31)),
        "tags-overlap": patched(132, good_one[132:144] * tag_count),
        "space-lab": patched(16, b"Lab "),
        "space-cmyk": patched(16, b"CMYK"),
        "space-grey": patched(16, b"GRAY"),
        "space-unknown": patched(16, b"????"),
        "class-link": patched(12, b"link"),
        "class-named": patched(12, b"nmcl"),
        "version-99": patched(8, b"\x63\0\0\0"),
        "nested": good_one + good_one,
        "large": good_one + bytes(3_000_000),
    }  # fmt: skip
    for number in range(8):
        flipped = bytearray(good_one)
        for at in random.integers(128, len(flipped), 4):
            flipped[at] = int(random.integers(256))
        cases[f"flipped-{number}"] = bytes(flipped)
    for name, data in cases.items():
        for kind, mode in (("JPEG", "RGB"), ("PNG", "RGBA"), ("JPEG", "CMYK"), ("TIFF", "L")):
            if len(data) < 1_000_000 or kind == "JPEG":
                yield f"profile/{kind.lower()}-{mode}-{name}", saved(kind, mode, icc_profile=data), OK
    base = seeds()["jpeg"]
    for name, number, count in (("twice", 1, 1), ("zero", 0, 0), ("missing", 5, 9)):
        part = segment(0xE2, b"ICC_PROFILE\0" + bytes([number, count]) + good_one[:500])
        yield f"profile/jpeg-part-{name}", with_segments(base, part, part), OK
    yield "profile/jpeg-part-short", with_segments(base, segment(0xE2, b"ICC_PROFILE\0")), EITHER
