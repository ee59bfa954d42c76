"""How an answer's file says how it was made: XMP always; a signed manifest and a hidden mark where they are wanted."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from xml.sax.saxutils import escape

from app import __version__
from app.credentials import SOURCES, Signer
from app.images import ImageFormat, Pixels, encode
from app.metadata import Credits
from app.settings import Settings

NO_CREDITS = Credits()

PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/" xmlns:vitrine="urn:vitrine:ns:1.0"
 xmlns:TC260="http://www.tc260.org.cn/ns/AIGC/1.0/">
<Iptc4xmpExt:DigitalSourceType>{source}</Iptc4xmpExt:DigitalSourceType>
<Iptc4xmpExt:AISystemUsed>Vitrine</Iptc4xmpExt:AISystemUsed>
<Iptc4xmpExt:AISystemVersionUsed>{version}</Iptc4xmpExt:AISystemVersionUsed>
<xmp:CreatorTool>Vitrine {version}</xmp:CreatorTool><xmp:CreateDate>{day}</xmp:CreateDate>
<xmpMM:InstanceID>{identifier}</xmpMM:InstanceID>
<vitrine:Model>{model}</vitrine:Model><vitrine:ModelDigest>{digest}</vitrine:ModelDigest>{kept}
</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="r"?>"""


Sign = Callable[[bytes, ImageFormat], bytes]
"""A file -> the same with a signed manifest in it."""
Hide = Callable[[Pixels], Pixels]
"""A picture -> the same with a mark that is not seen."""


class Labels:
    """What answers are marked with beside XMP, as the settings say."""

    def __init__(self, settings: Settings) -> None:
        """Raises:
        CredentialsError: answers cannot be signed with what the settings name.
        """
        self.china_producer = settings.producer if settings.china_label else None
        self.watermark = settings.watermark
        self.signer: Signer | None = None
        if settings.c2pa_certificate is not None:
            callback, key = settings.c2pa_callback, settings.c2pa_key
            self.signer = Signer(settings.c2pa_certificate, settings.c2pa_algorithm, key=key, callback=callback)
        self.digest = f"{self.china_producer} {self.watermark} {self.signer and self.signer.digest}"
        """Decides about the bytes of answers."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What goes into one picture's file beside the picture."""

    xmp: bytes
    hide: Hide | None = None
    sign: Sign | None = None

    def file(self, pixels: Pixels, image_format: ImageFormat, quality: int) -> bytes:
        """A marked picture's file; as `encode`."""
        return self.written(self.hidden(pixels), image_format, quality)

    def hidden(self, pixels: Pixels) -> Pixels:
        """The picture with its hidden mark, if it gets one."""
        return pixels if self.hide is None else self.hide(pixels)

    def written(self, pixels: Pixels, image_format: ImageFormat, quality: int) -> bytes:
        """The file of a picture that has its hidden mark; signing is the last step."""
        data = encode(pixels, image_format, quality, self.xmp)
        return data if self.sign is None else self.sign(data, image_format)


def china_label(producer: str, identifier: str) -> str:
    """The implicit label of GB 45438-2025, annex E: made by AI (1), by whom, and which picture it is.

    What a propagator adds, and the two reserved fields, are empty.
    """
    fields = {"Label": "1", "ContentProducer": producer, "ProduceID": identifier, "ReservedCode1": ""}
    fields |= {"ContentPropagator": "", "PropagateID": "", "ReservedCode2": ""}
    return json.dumps(fields, ensure_ascii=False)


def xmp_packet(
    *, source: str, day: str, identifier: str, model: str, digest: str, kept: Credits = NO_CREDITS,
    china_producer: str | None = None,
) -> bytes:  # fmt: skip
    """The packet for one picture, UTF-8. `source` is the last part of an IPTC DigitalSourceType.

    `day` has no clock time, since the same request must give the same bytes. With `china_producer` it has China's
    label.
    """
    fields = {"version": __version__, "day": day, "identifier": identifier, "model": model, "digest": digest}
    credit = ""
    if kept.copyright:
        item = f'<rdf:li xml:lang="x-default">{escape(kept.copyright)}</rdf:li>'
        credit += f"\n<dc:rights><rdf:Alt>{item}</rdf:Alt></dc:rights>"
    if kept.creator:
        credit += f"\n<dc:creator><rdf:Seq><rdf:li>{escape(kept.creator)}</rdf:li></rdf:Seq></dc:creator>"
    if china_producer is not None:
        credit += f"\n<TC260:AIGC>{escape(china_label(china_producer, identifier))}</TC260:AIGC>"
    escaped = {name: escape(value) for name, value in fields.items()}
    return PACKET.format(source=SOURCES + source, kept=credit, **escaped).encode()
