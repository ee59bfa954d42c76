"""The XMP that says how a picture was made (IPTC Photo Metadata Standard, DigitalSourceType)."""

from __future__ import annotations

from xml.sax.saxutils import escape

from app import __version__
from app.images import Credits

SOURCES = "http://cv.iptc.org/newscodes/digitalsourcetype/"

NO_CREDITS = Credits()

PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/" xmlns:vitrine="urn:vitrine:ns:1.0">
<Iptc4xmpExt:DigitalSourceType>{source}</Iptc4xmpExt:DigitalSourceType>
<Iptc4xmpExt:AISystemUsed>Vitrine</Iptc4xmpExt:AISystemUsed>
<Iptc4xmpExt:AISystemVersionUsed>{version}</Iptc4xmpExt:AISystemVersionUsed>
<xmp:CreatorTool>Vitrine {version}</xmp:CreatorTool><xmp:CreateDate>{day}</xmp:CreateDate>
<xmpMM:InstanceID>{identifier}</xmpMM:InstanceID>
<vitrine:Model>{model}</vitrine:Model><vitrine:ModelDigest>{digest}</vitrine:ModelDigest>{kept}
</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="r"?>"""


def xmp_packet(*, source: str, day: str, identifier: str, model: str, digest: str, kept: Credits = NO_CREDITS) -> bytes:
    """The packet for one picture, UTF-8. `source` is the last part of an IPTC DigitalSourceType.

    `day` has no clock time, since the same request must give the same bytes.
    """
    fields = {"version": __version__, "day": day, "identifier": identifier, "model": model, "digest": digest}
    credit = ""
    if kept.copyright:
        item = f'<rdf:li xml:lang="x-default">{escape(kept.copyright)}</rdf:li>'
        credit += f"\n<dc:rights><rdf:Alt>{item}</rdf:Alt></dc:rights>"
    if kept.creator:
        credit += f"\n<dc:creator><rdf:Seq><rdf:li>{escape(kept.creator)}</rdf:li></rdf:Seq></dc:creator>"
    escaped = {name: escape(value) for name, value in fields.items()}
    return PACKET.format(source=SOURCES + source, kept=credit, **escaped).encode()
