"""Fuzz what reads metadata: XMP packets and IPTC records in, fields of moderate length out, and nothing else.

python -m fuzz.metadata --seconds 600 --corpus fuzz/corpus/metadata
"""

from __future__ import annotations

import io
from collections.abc import Iterable

import atheris

with atheris.instrument_imports(include=["app", "PIL"]):
    from app.images import ImageLimits, decode
    from app.metadata import LONGEST, Metadata, read_xmp

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from fuzz.engine import run

LIMITS = ImageLimits(4_000_000)
MOST_SEGMENT = 65_000
PACKET = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" '
    b'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    b'xmlns:TC260="http://www.tc260.org.cn/ns/AIGC/1.0/">%s</rdf:Description></rdf:RDF></x:xmpmeta>'
)
PROPERTIES = (
    b"<dc:rights><rdf:Alt><rdf:li xml:lang='x-default'>(c) A Shop</rdf:li></rdf:Alt></dc:rights>"
    b"<dc:creator><rdf:Seq><rdf:li>Ann</rdf:li><rdf:li>Ben</rdf:li></rdf:Seq></dc:creator>"
    b"<Iptc4xmpExt:DigitalSourceType>http://cv.iptc.org/x</Iptc4xmpExt:DigitalSourceType>"
    b"<TC260:AIGC>{&quot;Label&quot;: &quot;1&quot;}</TC260:AIGC>"
)
RECORDS = b"\x1c\x02\x50\x00\x03Ann\x1c\x02\x74\x00\x08(c) Shop\x1c\x02\x19\x00\x03one\x1c\x02\x19\x00\x03two"
"""Creator, copyright and two keywords as IPTC-IIM data sets."""


def picture(image_format: str, **options: object) -> bytes:
    """A file of 2x2 pixels."""
    file = io.BytesIO()
    Image.new("RGB", (2, 2)).save(file, image_format, **options)
    return file.getvalue()


JPEG = picture("JPEG")


def with_iptc(records: bytes) -> bytes:
    """A JPEG with these records in Photoshop's resource for them."""
    resource = b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0" + len(records).to_bytes(4, "big") + records
    return JPEG[:2] + b"\xff\xed" + (len(resource) + 2).to_bytes(2, "big") + resource + JPEG[2:]


def target(data: bytes) -> str:
    """The first byte chooses where the rest stands."""
    if not data:
        return "nothing"
    body = data[1 : 1 + MOST_SEGMENT]
    match data[0] % 5:
        case 0:
            return checked("packet", read_xmp(body))
        case 1:
            return checked("properties", read_xmp(PACKET % body))
        case 2:
            return checked("IPTC in JPEG", decode(with_iptc(body), LIMITS).metadata)
        case 3:
            return checked("XMP in WebP", decode(picture("WEBP", xmp=body), LIMITS).metadata)
        case _:
            text = PngInfo()
            text.add_itxt("XML:com.adobe.xmp", (PACKET % body).decode("utf-8", "replace"))
            return checked("XMP in PNG", decode(picture("PNG", pnginfo=text), LIMITS).metadata)


def checked(where: str, found: Metadata) -> str:
    values = [found.credits.copyright, found.credits.creator, *found.origin.values()]
    told = [value for value in values if value is not None]
    assert all(0 < len(value) <= LONGEST and value.isprintable() for value in told)  # noqa: S101  # what is looked for
    return f"{where}: {'something' if told else 'nothing'}"


def seeds() -> Iterable[bytes]:
    yield from (bytes([kind]) + PROPERTIES for kind in (1, 4))
    yield from (bytes([kind]) + PACKET % PROPERTIES for kind in (0, 3))
    yield b"\0" + (PACKET % PROPERTIES).decode().encode("utf-16")
    yield b"\2" + RECORDS


if __name__ == "__main__":
    run("metadata", target, seeds)
