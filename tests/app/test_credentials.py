"""Content credentials: keys in files, keys behind callbacks, and what goes wrong with either."""

import argparse
import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from app import credentials
from app.credentials import CredentialsError, Signer, read, signature_with
from app.errors import AppError
from app.images import ImageFormat, encode

c2pa = pytest.importorskip("c2pa")
DATA = encode(np.zeros((32, 32, 3), np.uint8), ImageFormat.PNG, 90, b"<x/>")
KEYS = {}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("home") / "credentials"
    credentials.run(argparse.Namespace(out=made))
    KEYS["own"] = (made / "key.pem").read_bytes()
    return made


def key_store(data):
    """What an operator's module does: here with the key in memory."""
    return signature_with(KEYS["own"], "es256")(data)


def broken_store(data):
    raise OSError("the key store is not there")


def sign(signer, source="trainedAlgorithmicMedia", uploads=()):
    return signer.sign(DATA, ImageFormat.PNG, source, uploads, "t")


def test_a_callback_signs_without_a_key_in_a_file(folder):
    signer = Signer(folder / "chain.pem", "es256", callback=f"{__name__}:key_store")
    told = read(sign(signer), folder / "ca.pem")
    assert told["state"] == "Trusted"


def test_what_a_callback_cannot_sign_is_not_given_away(folder, monkeypatch):
    signer = Signer(folder / "chain.pem", "es256", callback=f"{__name__}:key_store")
    monkeypatch.setitem(KEYS, "own", b"no key any more")
    with pytest.raises(AppError, match="could not be signed"):
        sign(signer)


def test_several_threads_sign_at_once(folder):
    signer = Signer(folder / "chain.pem", "es256", key=folder / "key.pem")
    with ThreadPoolExecutor(8) as pool:
        files = list(pool.map(lambda _: sign(signer, "algorithmicallyEnhanced", (DATA,)), range(32)))
    assert {read(data, folder / "ca.pem")["state"] for data in files} == {"Trusted"}


def test_an_unknown_authority_is_not_trusted_and_the_file_still_whole(folder):
    data = sign(Signer(folder / "chain.pem", "es256", key=folder / "key.pem"))
    told = read(data, None)
    assert (told["valid"], told["state"]) == (True, "Valid")


def test_several_uploads_are_one_parent_and_components(folder):
    signer = Signer(folder / "chain.pem", "es256", key=folder / "key.pem")
    with c2pa.Reader("image/png", io.BytesIO(sign(signer, "compositeCapture", (DATA, DATA)))) as reader:
        told = reader.get_active_manifest()
    assert [one["relationship"] for one in told["ingredients"]] == ["parentOf", "componentOf"]


def test_hostile_uploads_do_not_keep_an_answer_from_being_signed(folder):
    signer = Signer(folder / "chain.pem", "es256", key=folder / "key.pem")
    for upload in (b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n" + b"\0" * 40, b"RIFF\xff\xff\xff\xffWEBP", DATA[:-20]):
        told = read(sign(signer, "algorithmicallyEnhanced", (upload,)), folder / "ca.pem")
        assert told["state"] == "Trusted"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"certificate": "missing.pem"}, "signer"),
        ({"certificate": "key.pem"}, "signer|go together"),
        ({"certificate": "ca.pem"}, "signer|go together"),
        ({"key": None, "callback": f"{__name__}:broken_store"}, "go together"),
        ({"key": "missing.pem"}, "signer"),
        ({"key": "chain.pem"}, "private key"),
        ({"algorithm": "ps256"}, "not one for ps256"),
        ({"key": None}, "private key, or a callback"),
        ({"key": None, "callback": "no.such.module:sign"}, "signer"),
        ({"key": None, "callback": f"{__name__}:missing"}, "signer"),
    ],
)
def test_a_signer_that_cannot_sign_is_refused_at_the_start(folder, changes, told):
    names = {"certificate": "chain.pem", "key": "key.pem"} | changes
    key = None if names["key"] is None else folder / names["key"]
    with pytest.raises(CredentialsError, match=told):
        Signer(folder / names["certificate"], names.get("algorithm", "es256"), key=key, callback=names.get("callback"))


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"\xff\xd8\xff\xe0", DATA, DATA[:30], b"BM" + b"\0" * 60])
def test_files_without_credentials_have_none(data):
    assert read(data, None)["found"] in (False, True)
    assert not read(data, None).get("valid")
