"""The XMP that says how a picture was made (IPTC Photo Metadata Standard, DigitalSourceType)."""

from __future__ import annotations

from xml.sax.saxutils import escape

SOURCES = "http://cv.iptc.org/newscodes/digitalsourcetype/"

PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/" xmlns:vitrine="urn:vitrine:ns:1.0">
<Iptc4xmpExt:DigitalSourceType>{source}</Iptc4xmpExt:DigitalSourceType>
<xmp:CreatorTool>{tool}</xmp:CreatorTool><xmp:CreateDate>{day}</xmp:CreateDate>
<xmpMM:InstanceID>{identifier}</xmpMM:InstanceID>
<vitrine:Model>{model}</vitrine:Model><vitrine:ModelDigest>{digest}</vitrine:ModelDigest>
</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="r"?>"""


def xmp_packet(*, source: str, tool: str, day: str, identifier: str, model: str, digest: str) -> bytes:
    """The packet for one picture, UTF-8. `source` is the last part of an IPTC DigitalSourceType.

    `day` has no clock time, since the same request must give the same bytes.
    """
    fields = {"tool": tool, "day": day, "identifier": identifier, "model": model, "digest": digest}
    return PACKET.format(source=SOURCES + source, **{name: escape(value) for name, value in fields.items()}).encode()
