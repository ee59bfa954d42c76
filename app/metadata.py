"""What a picture's metadata says: whose it is, and how it was made. Foreign bytes are parsed in a decoder only.

Everything else in it (places, serial numbers, thumbnails, comments) is not read at all.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

LONGEST: Final = 500
"""Characters of a field that are kept."""
LONGEST_XMP: Final = 200_000
"""Characters of a packet that are looked at."""
RDF: Final = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
DC: Final = "{http://purl.org/dc/elements/1.1/}"
IPTC: Final = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
VITRINE: Final = "{urn:vitrine:ns:1.0}"
TC260: Final = "{http://www.tc260.org.cn/ns/AIGC/1.0/}"
ORIGIN: Final = {
    "digital_source_type": f"{IPTC}DigitalSourceType",
    "ai_system": f"{IPTC}AISystemUsed",
    "model": f"{VITRINE}Model",
    "model_digest": f"{VITRINE}ModelDigest",
    "china_label": f"{TC260}AIGC",
}


@dataclass(frozen=True, slots=True)
class Credits:
    """The two fields of an upload's metadata that are kept."""

    copyright: str | None = None
    creator: str | None = None


@dataclass(frozen=True, slots=True)
class Metadata:
    """What is read of a picture's metadata: `origin` has those of ORIGIN that are there."""

    credits: Credits = field(default_factory=Credits)
    origin: Mapping[str, str] = field(default_factory=dict)


NO_METADATA: Final = Metadata()


def cleaned(value: object) -> str | None:
    """A field of foreign metadata as one line of moderate length; None when there is nothing in it."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str):
        return None
    return "".join(c for c in value if c.isprintable())[:LONGEST].strip() or None


def read_xmp(packet: object) -> Metadata:
    """The fields of an XMP packet (ISO 16684-1), which may be elements or attributes; none where it is malformed.

    A packet in a picture is UTF-8, whatever its XML declaration says, so nothing hides from the search for a DTD.
    """
    try:
        text = packet.decode() if isinstance(packet, bytes) else packet
        if not isinstance(text, str) or len(text) > LONGEST_XMP or "<!" in text:  # no entities, no DTD
            return Metadata()
        root = ET.fromstring(text.strip("\0 \r\n\t"))  # noqa: S314  # no DTD, and not in the serving process
    except (ET.ParseError, ValueError):
        return Metadata()
    found: dict[str, str] = {}
    for element in root.iter(f"{RDF}Description"):
        pairs = [*element.attrib.items(), *((child.tag, words(child)) for child in element)]
        for name, value in pairs:
            text_of = cleaned(value)
            if text_of:
                found.setdefault(name, text_of)
    origin = {name: found[tag] for name, tag in ORIGIN.items() if tag in found}
    return Metadata(Credits(found.get(f"{DC}rights"), found.get(f"{DC}creator")), origin)


def words(element: ET.Element) -> str:
    """The text of a property; of several values, with commas between them."""
    items = [item.text or "" for item in element.iter(f"{RDF}li")]
    return ", ".join(items) if items else element.text or ""
