import codecs

import pytest

from app.metadata import LONGEST, read_xmp

PACKET = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:rights>{}</dc:rights></rdf:Description>'
    "</rdf:RDF></x:xmpmeta>"
)
DTD = '<!DOCTYPE a [<!ENTITY b "boom">]>'


@pytest.mark.parametrize("packet", [PACKET.format("(c) Shop"), PACKET.format("(c) Shop").encode() + b"\0\n"])
def test_a_packet_is_read_as_text_or_bytes(packet):
    assert read_xmp(packet).credits.copyright == "(c) Shop"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be", "utf-32", "utf-7"])
@pytest.mark.parametrize("declared", ["utf-8", "utf-16", "utf-7"])
def test_no_encoding_hides_a_document_type(encoding, declared):
    text = f'<?xml version="1.0" encoding="{declared}"?>{DTD}{PACKET.format("&b;")}'
    for mark in (b"", codecs.BOM_UTF16_BE, codecs.BOM_UTF16_LE):
        assert read_xmp(mark + text.encode(encoding)).credits.copyright is None
    assert read_xmp(text).credits.copyright is None


@pytest.mark.parametrize("packet", [None, 3, b"", b"\xff\xfe", "\ud800", "<a>", "<a/>" * 60_000, PACKET.format("&#0;")])
def test_what_is_no_packet_says_nothing(packet):
    assert read_xmp(packet).credits.copyright is None


def test_a_field_is_one_line_of_moderate_length():
    told = read_xmp(PACKET.format("a\nb&#13;" + "c" * 10_000)).credits.copyright
    assert told is not None
    assert len(told) <= LONGEST
    assert "\n" not in told
