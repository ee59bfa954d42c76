"""C2PA content credentials: signed manifests in answers, and what manifests in uploads say. Needs the extra `c2pa`.

The only module that knows the library. It never uses the network: no remote manifests, no OCSP, no time stamps.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import importlib
import io
import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from app import __version__
from app.errors import AppError
from app.images import ImageFormat

log = logging.getLogger("vitrine.credentials")
TITLES: Final = ("upload", "material")
SOURCES: Final = "http://cv.iptc.org/newscodes/digitalsourcetype/"
DAYS: Final = 90
"""How long a development certificate is good for."""


class CredentialsError(Exception):
    """Content credentials cannot be made. The message says why."""


class Signer:
    """Signs answers with the operator's certificate. `sign` may be called from several threads."""

    def __init__(
        self, certificate: Path, algorithm: str, *, key: Path | None = None, callback: str | None = None
    ) -> None:
        """`certificate` is a PEM chain, the signer's own first; either its private `key` (PEM) is there, or a
        `callback`, "module:function", which takes the bytes to be signed and gives the raw signature.

        Raises:
            CredentialsError: the library is not installed, or one of these is wrong.
        """
        self._c2pa = library()
        try:
            chain = certificate.read_text(encoding="ascii")
            made = self._signer(chain, algorithm, key, callback)
            trust = {"user_anchors": chain}  # so that what was just signed can be verified
            self._context = self._c2pa.Context.from_dict(settings(trust), signer=made)
        except (OSError, UnicodeDecodeError, ImportError, AttributeError, self._c2pa.C2paError) as error:
            raise CredentialsError(f"the signer cannot be used: {type(error).__name__}: {error}") from None
        self.digest = hashlib.sha256(chain.encode()).hexdigest()
        self._lock = threading.Lock()

    def _signer(self, chain: str, algorithm: str, key: Path | None, callback: str | None) -> Any:  # noqa: ANN401
        if callback is not None:
            module, _, name = callback.partition(":")
            function: Callable[[bytes], bytes] = getattr(importlib.import_module(module), name)
        elif key is not None:
            function = signature_with(key.read_bytes(), algorithm)
        else:
            raise CredentialsError("a certificate needs a private key, or a callback that signs")
        return self._c2pa.Signer.from_callback(function, self._c2pa.C2paSigningAlg[algorithm.upper()], chain)

    def sign(self, data: bytes, image_format: ImageFormat, source: str, uploads: Sequence[bytes], title: str) -> bytes:
        """A file with a manifest in it, verified; uploads are its ingredients, with the manifests that they had.

        The first of the uploads is what was edited; `source` is the last part of an IPTC DigitalSourceType.

        Raises:
            AppError: it cannot be signed; what is not signed is not given away.
        """
        try:
            with self._lock:  # the context belongs to one builder at a time
                return self._signed(data, image_format.media_type, source, uploads, title)
        except self._c2pa.C2paError as error:
            log.error("signing failed: %s", error)
            raise AppError("The picture could not be signed.") from None

    def _signed(self, data: bytes, kind: str, source: str, uploads: Sequence[bytes], title: str) -> bytes:
        generator = [{"name": "Vitrine", "version": __version__}]
        output = io.BytesIO()
        with self._c2pa.Builder({"claim_generator_info": generator, "title": title}, context=self._context) as builder:
            taken = [self._ingredient(builder, upload, at) for at, upload in enumerate(uploads)]
            if taken and taken[0]:
                builder.set_intent(self._c2pa.C2paBuilderIntent.EDIT)
                builder.add_action({"action": "c2pa.edited", "digitalSourceType": SOURCES + source})
            else:
                name = "".join(f"_{letter}" if letter.isupper() else letter for letter in source).upper()
                builder.set_intent(self._c2pa.C2paBuilderIntent.CREATE, self._c2pa.C2paDigitalSourceType[name])
            builder.sign(kind, io.BytesIO(data), output)
        return output.getvalue()

    def _ingredient(self, builder: Any, upload: bytes, at: int) -> bool:  # noqa: ANN401  # the library's
        """Add an upload; whether it could be: the library does not read every format that we do."""
        kind = sniffed(upload)
        if kind is None:
            return False
        told = {"title": TITLES[at > 0], "relationship": "componentOf" if at else "parentOf"}
        try:
            builder.add_ingredient(told, kind, io.BytesIO(upload))
        except self._c2pa.C2paError as error:
            log.info("an upload cannot be an ingredient: %s", type(error).__name__)
            return False
        return True


def signature_with(pem: bytes, algorithm: str) -> Callable[[bytes], bytes]:
    """What signs with a private key as COSE wants it (RFC 9053): ECDSA's two numbers side by side, PSS, or Ed25519.

    Raises:
        CredentialsError: it is no private key for the algorithm.
    """
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    try:
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError) as error:
        raise CredentialsError(f"the private key cannot be read ({type(error).__name__})") from None
    digest = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}.get(algorithm[2:])
    if isinstance(key, ec.EllipticCurvePrivateKey) and algorithm.startswith("es") and digest:
        elliptic, width = key, (key.key_size + 7) // 8

        def ecdsa(data: bytes) -> bytes:
            numbers = decode_dss_signature(elliptic.sign(data, ec.ECDSA(digest)))
            return b"".join(number.to_bytes(width) for number in numbers)

        return ecdsa
    if isinstance(key, rsa.RSAPrivateKey) and algorithm.startswith("ps") and digest:
        pss = padding.PSS(padding.MGF1(digest), digest.digest_size)
        return lambda data: key.sign(data, pss, digest)
    if isinstance(key, ed25519.Ed25519PrivateKey) and algorithm == "ed25519":
        return key.sign
    raise CredentialsError(f"the private key is not one for {algorithm}")


def library() -> Any:  # noqa: ANN401  # a module that may be missing
    """The library.

    Raises:
        CredentialsError: it is not installed.
    """
    try:
        return importlib.import_module("c2pa")
    except ImportError:
        raise CredentialsError("content credentials need the extra: pip install 'vitrine[c2pa]'") from None


def settings(trust: dict[str, str]) -> dict[str, Any]:
    """The library's, without the network, and without thumbnails, which would show what was cut away."""
    verify = {"verify_after_sign": True, "verify_trust": True, "remote_manifest_fetch": False, "ocsp_fetch": False}
    return {"version": 1, "builder": {"thumbnail": {"enabled": False}}, "verify": verify, "trust": trust}


def sniffed(data: bytes) -> str | None:
    """The media type that a file's first bytes show, of those that can hold a manifest."""
    if data[:3] == b"\xff\xd8\xff":
        return "image/jpeg"
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return "image/png"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    if data[4:12] in (b"ftypavif", b"ftypavis"):
        return "image/avif"
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return "image/gif"
    return "image/tiff" if data[:4] in (b"II*\0", b"MM\0*") else None


def read(data: bytes, anchors: Path | None) -> dict[str, Any]:
    """What a file's content credentials say, and whether they are valid; `anchors` is a PEM file of those to trust."""
    try:
        c2pa = library()
    except CredentialsError:
        return {"found": None, "reason": "content credentials are not read here: the extra c2pa is not installed"}
    kind = sniffed(data)
    if kind is None:
        return {"found": False}
    trust = {} if anchors is None else {"user_anchors": anchors.read_text(encoding="ascii")}
    try:
        context = c2pa.Context.from_dict(settings(trust))
        with c2pa.Reader(kind, io.BytesIO(data), context=context) as reader:
            return described(json.loads(reader.json()), str(reader.get_validation_state()))
    except c2pa.C2paError as error:
        if "ManifestNotFound" in type(error).__name__ + str(error):
            return {"found": False}
        return {"found": True, "valid": False, "state": "Unreadable"}


def described(store: dict[str, Any], state: str) -> dict[str, Any]:
    """The active manifest of a store, for people.

    Its state is Trusted (by an anchor given), Valid (whole, by a signer unknown here) or Invalid.
    """
    manifest = store["manifests"][store["active_manifest"]]
    actions = [
        action
        for assertion in manifest.get("assertions", [])
        if str(assertion.get("label", "")).startswith("c2pa.actions")
        for action in assertion["data"].get("actions", [])
    ]
    signature = manifest.get("signature_info", {})
    return {
        "found": True,
        "valid": state in ("Valid", "Trusted"),
        "state": state,
        "signer": signature.get("common_name") or signature.get("issuer"),
        "generator": [one.get("name") for one in manifest.get("claim_generator_info", [])],
        "actions": [{name: one[name] for name in ("action", "digitalSourceType") if name in one} for one in actions],
        "ingredients": len(manifest.get("ingredients", [])),
        "manifests": len(store["manifests"]),
    }


def add_parser(commands: Any) -> None:  # noqa: ANN401  # argparse's own, which has no public name
    """`vitrine credentials dev`."""
    parser: argparse.ArgumentParser = commands.add_parser("credentials", help="certificates for content credentials")
    actions = parser.add_subparsers(dest="action", required=True)
    dev = actions.add_parser("dev", help="make a certificate to try content credentials with; nobody trusts it")
    dev.add_argument("--out", type=Path, default=Path("credentials"), help="a new folder (default: %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Make a development certificate.

    Raises:
        CredentialsError: the folder is there already, cannot be written, or the extra is not installed.
    """
    folder: Path = arguments.out
    try:
        chain, key, authority = development_certificate()
        folder.mkdir(mode=0o700, parents=True)
        for name, text, mode in (("chain.pem", chain, 0o644), ("key.pem", key, 0o600), ("ca.pem", authority, 0o644)):
            with os.fdopen(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
                file.write(text)
    except ImportError:
        raise CredentialsError("content credentials need the extra: pip install 'vitrine[c2pa]'") from None
    except OSError as error:
        raise CredentialsError(f"{folder}: {error.strerror}") from None
    sys.stdout.write(
        f"For development only: nobody trusts this certificate, and it ends in {DAYS} days.\n"
        f"VITRINE_C2PA_CERTIFICATE={folder / 'chain.pem'}\nVITRINE_C2PA_KEY={folder / 'key.pem'}\n"
        f"VITRINE_C2PA_ANCHORS={folder / 'ca.pem'}\n"
    )
    return 0


def development_certificate() -> tuple[str, str, str]:
    """A signer's chain, its private key and its authority's certificate, PEM; ES256, as C2PA's profile wants them."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    now = datetime.datetime.now(datetime.UTC)
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    uses = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip

    def name(common: str) -> x509.Name:
        both = [(NameOID.ORGANIZATION_NAME, "Vitrine development"), (NameOID.COMMON_NAME, common)]
        return x509.Name([x509.NameAttribute(kind, text) for kind, text in both])

    def issued(common: str, own: ec.EllipticCurvePrivateKey, allowed: set[str], *, ca: bool) -> x509.Certificate:
        builder = x509.CertificateBuilder().subject_name(name(common)).issuer_name(name("Vitrine development CA"))
        builder = builder.public_key(own.public_key()).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(minutes=5))
        builder = builder.not_valid_after(now + datetime.timedelta(days=DAYS))
        builder = builder.add_extension(x509.BasicConstraints(ca, None), critical=True)
        builder = builder.add_extension(x509.KeyUsage(**{one: one in allowed for one in uses}), critical=True)
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
        builder = builder.add_extension(authority, critical=False)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(own.public_key()), critical=False)
        if not ca:
            purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
            builder = builder.add_extension(purpose, critical=False)
        return builder.sign(authority_key, hashes.SHA256())

    def pem(certificate: x509.Certificate) -> str:
        return certificate.public_bytes(serialization.Encoding.PEM).decode()

    authority = issued("Vitrine development CA", authority_key, {"key_cert_sign", "crl_sign"}, ca=True)
    own = issued("Vitrine development", key, {"digital_signature"}, ca=False)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pem(own) + pem(authority), private.decode(), pem(authority)
