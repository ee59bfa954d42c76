"""What every answer says of how it was made, read by other people's tools; and what no answer may say."""

import io
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from tests.conftest import ROOT, photo, running
from tests.test_compose import snapshot
from tests.test_restyle import drawing

c2pa = pytest.importorskip("c2pa")
FORMATS = ("jpeg", "png", "webp", "avif")
PRODUCER = "Läden & Söhne <GmbH>"
SECRETS = {
    "gps": b"GPSNEEDLE",
    "serial": b"SERIALNEEDLE",
    "maker": b"MAKERNEEDLE",
    "comment": b"COMMENTNEEDLE",
    "xmp": b"XMPNEEDLE",
    "description": b"DESCRIPTIONNEEDLE",
    "name": b"NAMENEEDLE",
    "thumbnail": b"THUMBNAILNEEDLE",
}
FOREIGN_XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:a="urn:a" a:place="XMPNEEDLE">'
    b"<dc:rights><rdf:Alt><rdf:li xml:lang='x-default'>(c) Rights Ltd</rdf:li></rdf:Alt></dc:rights>"
    b"<dc:creator><rdf:Seq><rdf:li>Ann Author</rdf:li></rdf:Seq></dc:creator>"
    b"</rdf:Description></rdf:RDF></x:xmpmeta>"
)
SOURCES = {
    "generate": "trainedAlgorithmicMedia",
    "enhance": "algorithmicallyEnhanced",
    "studio": "compositeWithTrainedAlgorithmicMedia",
    "colorway": "compositeWithTrainedAlgorithmicMedia",
    "sketch": "compositeWithTrainedAlgorithmicMedia",
    "from-sketch": "trainedAlgorithmicMedia",
    "compose": "compositeCapture",
    "backdrop": "compositeSynthetic",
}


def upload(picture=None, exif_credits=True, image_format="JPEG"):
    """A photo whose metadata is full of what is nobody's business."""
    picture = picture or Image.open(io.BytesIO(snapshot()[0])).convert("RGB")
    exif = Image.Exif()
    exif[0x010E], exif[0x010F] = "DESCRIPTIONNEEDLE", "MAKERNEEDLE"
    if exif_credits:
        exif[0x8298], exif[0x013B] = "(c) Rights Ltd", "Ann Author"
    inside = exif.get_ifd(0x8769)
    inside[0xA431], inside[0x927C], inside[0x9286] = "SERIALNEEDLE", b"MAKERNEEDLE" * 20, b"COMMENTNEEDLE"
    gps = exif.get_ifd(0x8825)
    gps[1], gps[2] = (
        "N",
        (TiffImagePlugin.IFDRational(52), TiffImagePlugin.IFDRational(31), TiffImagePlugin.IFDRational(7)),
    )
    gps[27] = b"GPSNEEDLE"
    exif.get_ifd(0x014A)
    file = io.BytesIO()
    picture.save(
        file, image_format, exif=exif.tobytes() + b"THUMBNAILNEEDLE", comment=b"COMMENTNEEDLE", xmp=FOREIGN_XMP
    )
    return file.getvalue()


def ask(client, what, data, image_format="webp", **headers):
    """One answer of every kind; the file has a telling name."""
    form = {"format": image_format}
    files = {"image": ("NAMENEEDLE.jpg", data, "image/jpeg")}
    if what == "generate":
        return client.post("/generate", json={"seed": 3, "category": "shirt", "format": image_format}, headers=headers)
    if what == "enhance":
        return client.post("/enhance", files=files, data=form | {"scale": "1"}, headers=headers)
    if what in ("compose", "backdrop"):
        form |= {"width": "128", "height": "128", "harmonize": "0"} | (
            {"backdrop": "oak"} if what == "backdrop" else {}
        )
        return client.post("/compose", files=files, data=form, headers=headers)
    form |= {"style": what} | ({"color": "#aa3322"} if what == "colorway" else {})
    form |= {"seed": "1", "category": "shirt"} if what == "from-sketch" else {}
    return client.post("/restyle", files=files, data=form, headers=headers)


def data_for(what):
    return upload(Image.open(io.BytesIO(drawing())).convert("RGB")) if what == "from-sketch" else upload()


@pytest.fixture(scope="module")
def credentials(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home") / "credentials"
    command = [sys.executable, "-c", "from app.cli import main; main()", "credentials", "dev", "--out", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True)  # noqa: S603
    assert (folder / "key.pem").stat().st_mode & 0o77 == 0
    return folder


@pytest.fixture(scope="module")
def signing(credentials):
    """A server that does all that can be done about labels."""
    files = {name: credentials / f"{name}.pem" for name in ("chain", "key", "ca")}
    with running(
        C2PA_CERTIFICATE=files["chain"], C2PA_KEY=files["key"], C2PA_ANCHORS=files["ca"],
        CHINA_LABEL=1, PRODUCER=PRODUCER, WATERMARK=1,
    ) as server:  # fmt: skip
        yield server.client


def exif_of(data):
    """What exiftool says of a file: group:tag to value."""
    tool = shutil.which("exiftool")
    if not tool:
        pytest.skip("no exiftool is installed (Debian: libimage-exiftool-perl)")
    told = subprocess.run([tool, "-j", "-G1", "-a", "-struct", "-"], input=data, capture_output=True, check=True)  # noqa: S603
    return json.loads(told.stdout)[0]


@pytest.mark.parametrize("image_format", FORMATS)
@pytest.mark.parametrize("what", SOURCES)
def test_another_reader_finds_the_label(client, what, image_format):
    answer = ask(client, what, data_for(what), image_format)
    assert answer.status_code == 200, answer.text
    told = exif_of(answer.content)

    assert told["XMP-iptcExt:DigitalSourceType"].endswith("/" + SOURCES[what])
    assert told["XMP-iptcExt:AISystemUsed"] == "Vitrine"
    assert told["XMP-vitrine:Model"] == answer.headers["x-model"]
    assert told["XMP-vitrine:ModelDigest"] == answer.headers["x-model-digest"]
    assert told["XMP-xmpMM:InstanceID"].startswith("urn:uuid:")
    assert not [name for name in told if "aigc" in name.lower()]
    if what != "generate":
        assert told["XMP-dc:Rights"] == "(c) Rights Ltd"
        assert told["XMP-dc:Creator"] in ("Ann Author", ["Ann Author"])
    for name, needle in SECRETS.items():
        assert needle not in answer.content, name
    groups = {name.split(":")[0] for name in told} - {"SourceFile"}
    assert not groups & {"GPS", "IFD0", "ExifIFD", "IFD1", "MakerNotes", "IPTC", "Photoshop"}


@pytest.mark.parametrize("image_format", ["PNG", "WEBP", "AVIF", "TIFF"])
def test_nothing_private_comes_through_from_other_kinds_of_upload(client, image_format):
    answer = ask(client, "enhance", upload(image_format=image_format))
    assert answer.status_code == 200
    assert not [name for name, needle in SECRETS.items() if needle in answer.content]


def test_credits_that_are_only_in_xmp_are_kept(client):
    told = exif_of(ask(client, "enhance", upload(exif_credits=False)).content)
    assert told["XMP-dc:Rights"] == "(c) Rights Ltd"
    assert told["XMP-dc:Creator"] in ("Ann Author", ["Ann Author"])


def test_nothing_private_reaches_the_log_or_the_disk(tmp_path, capfd):
    with running(LOG_LEVEL="debug", ACCESS_LOG=1, TMPDIR=tmp_path) as server:
        for what in SOURCES:
            assert ask(server.client, what, data_for(what)).status_code == 200
        damaged = upload()[:-2000]
        assert ask(server.client, "enhance", damaged, **{"X-Request-ID": "NAMENEEDLE\\nforged"}).status_code == 400
    said = "".join(capfd.readouterr()).encode()
    assert b"POST /enhance" in said
    assert not [name for name, needle in SECRETS.items() if needle in said]
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("image_format", FORMATS)
def test_the_china_label_is_there_when_it_is_wanted(signing, image_format):
    told = exif_of(ask(signing, "generate", b"", image_format).content)
    label = json.loads(next(value for name, value in told.items() if name.lower().endswith(":aigc")))

    assert label["Label"] == "1"
    assert label["ContentProducer"] == PRODUCER
    assert label["ProduceID"] == told["XMP-xmpMM:InstanceID"]
    assert set(label) == {
        "Label", "ContentProducer", "ProduceID", "ReservedCode1", "ContentPropagator", "PropagateID", "ReservedCode2",
    }  # fmt: skip


def read(data, image_format, credentials):
    """What the C2PA reader says: the validation state, the active manifest, all of it."""
    trust = {"verify": {"verify_trust": True}, "trust": {"user_anchors": (credentials / "ca.pem").read_text()}}
    context = c2pa.Context.from_dict({"version": 1, **trust})
    with c2pa.Reader(f"image/{image_format}", io.BytesIO(data), context=context) as reader:
        store = json.loads(reader.json())
        return reader.get_validation_state(), store["manifests"][store["active_manifest"]], store


def actions(manifest):
    found = [one["data"]["actions"] for one in manifest["assertions"] if one["label"].startswith("c2pa.actions")]
    return [action for some in found for action in some]


@pytest.mark.parametrize("image_format", FORMATS)
@pytest.mark.parametrize("what", ["generate", "enhance", "backdrop"])
def test_credentials_are_signed_and_any_changed_byte_breaks_them(signing, credentials, what, image_format):
    answer = ask(signing, what, upload(), image_format)
    state, manifest, store = read(answer.content, image_format, credentials)

    assert state == "Trusted"
    assert manifest["claim_generator_info"][0]["name"] == "Vitrine"
    done = actions(manifest)
    assert done[0]["action"] == ("c2pa.created" if what == "generate" else "c2pa.opened")
    assert any(action.get("digitalSourceType", "").endswith(SOURCES[what]) for action in done)
    parents = [one for one in manifest.get("ingredients", []) if one["relationship"] == "parentOf"]
    assert len(parents) == (what != "generate")
    assert "thumbnail" not in json.dumps(store)
    changed = bytearray(answer.content)
    changed[-40] ^= 1  # among the pixels in every one of these formats but PNG, whose end has a check of its own
    if image_format == "png":
        at = answer.content.index(b"IDAT") + 20
        changed = bytearray(answer.content)
        changed[at] ^= 1
    assert read(bytes(changed), image_format, credentials)[0] == "Invalid"


def test_an_upload_keeps_its_own_credentials(signing, credentials):
    first = ask(signing, "generate", b"", "jpeg").content
    answer = signing.post("/enhance", files={"image": first}, data={"scale": "1", "format": "jpeg"})
    state, manifest, store = read(answer.content, "jpeg", credentials)

    assert state == "Trusted"
    assert len(store["manifests"]) == 2
    parent = store["manifests"][manifest["ingredients"][0]["active_manifest"]]
    assert actions(parent)[0]["digitalSourceType"].endswith("trainedAlgorithmicMedia")


def test_an_upload_that_cannot_be_an_ingredient_is_served_all_the_same(signing, credentials):
    answer = ask(signing, "enhance", upload_bmp(), "jpeg")
    assert read(answer.content, "jpeg", credentials)[0] == "Trusted"


def upload_bmp():
    file = io.BytesIO()
    Image.open(io.BytesIO(photo())).save(file, "BMP")
    return file.getvalue()


def test_signed_answers_have_weak_tags(signing):
    first = ask(signing, "generate", b"")
    assert first.headers["etag"].startswith('W/"')
    again = ask(signing, "generate", b"", **{"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304
    second = ask(signing, "generate", b"")
    pixels = [np.asarray(Image.open(io.BytesIO(answer.content))) for answer in (first, second)]
    np.testing.assert_array_equal(*pixels)


def inspected(client, data):
    answer = client.post("/inspect", files={"image": data})
    assert answer.status_code == 200, answer.text
    return answer.json()["marks"]


def test_every_mark_is_found_again(signing):
    answer = signing.post("/generate", json={"seed": 5, "category": "shirt", "size": 256, "format": "jpeg"})
    marks = inspected(signing, answer.content)

    assert marks["xmp"]["model_digest"] == answer.headers["x-model-digest"]
    assert marks["xmp"]["known_model"] is True
    assert marks["china_label"] == {
        "found": True, "valid": True, "Label": "1", "ContentProducer": PRODUCER, "ContentPropagator": "",
        "PropagateID": "", "ProduceID": marks["china_label"]["ProduceID"],
    }  # fmt: skip
    assert marks["content_credentials"]["state"] == "Trusted"
    assert marks["watermark"]["found"] is True
    assert marks["watermark"]["model"] == answer.headers["x-model"]


def test_the_hidden_mark_is_left_when_all_metadata_is_gone(signing):
    answer = signing.post("/generate", json={"seed": 5, "category": "shirt", "size": 512})
    image = Image.open(io.BytesIO(answer.content)).convert("RGB").resize((256, 256))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=75)
    marks = inspected(signing, file.getvalue())

    assert [marks[name]["found"] for name in ("xmp", "china_label", "content_credentials")] == [False] * 3
    assert marks["watermark"]["model"] == answer.headers["x-model"]


def test_a_picture_without_marks_has_none(client):
    marks = inspected(client, photo())
    assert [one["found"] for one in marks.values()] == [False] * 4


def test_a_credential_that_was_tampered_with_is_called_invalid(signing):
    data = bytearray(ask(signing, "generate", b"", "jpeg").content)
    data[-40] ^= 1
    marks = inspected(signing, bytes(data))
    assert marks["content_credentials"]["found"] is True
    assert marks["content_credentials"]["valid"] is False


def test_pure_white_stays_white_under_a_hidden_mark(signing):
    answer = signing.post("/generate", json={"seed": 5, "category": "shirt", "size": 256, "format": "png"})
    pixels = np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB"))
    assert (pixels[:4] == 255).all()


def test_inspect_has_no_options(client):
    assert client.post("/inspect", files={"image": photo()}, data={"deep": "1"}).status_code == 422
    assert client.post("/inspect", content=b"nothing", headers={"Content-Type": "image/png"}).status_code == 400


def test_a_certificate_is_never_overwritten(credentials):
    command = [sys.executable, "-c", "from app.cli import main; main()", "credentials", "dev"]
    run = subprocess.run([*command, "--out", credentials], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603
    assert run.returncode == 2
    assert "exists" in run.stderr.lower()
