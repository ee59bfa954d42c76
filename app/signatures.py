"""Signatures on models, by OpenSSF Model Signing with a key pair of the operator's own. Needs the extra `signing`."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Final

from app.repository import Model, RepositoryError, read_model

SIGNATURE: Final = "model.sig"
SIGNED: Final = ("manifest.json", "model.onnx")
"""What the signature is about; cards and samples may be written again."""


def verify_signature(folder: Path, key: Path) -> None:
    """Check that a version's manifest and graph are what the holder of `key` (PEM, elliptic curve) has signed.

    Raises:
        RepositoryError: there is no signature, or it is not good; or the extra is not installed.
    """
    verifying = module("verifying")
    if not (folder / SIGNATURE).is_file():
        raise RepositoryError(f"{folder}: there is no {SIGNATURE}, and models must be signed")
    try:
        config = verifying.Config().use_elliptic_key_verifier(public_key=key)
        config.set_hashing_config(hashing_of(folder)).verify(folder, folder / SIGNATURE)
    except Exception as error:  # the library raises nearly anything
        raise RepositoryError(f"{folder}: the signature is not good ({type(error).__name__})") from error


def read_signed(folder: Path, key: Path | None) -> Model:
    """As `read_model`, of a version that must be signed where there is a `key`.

    Raises:
        RepositoryError: as `read_model` and `verify_signature`.
    """
    model = read_model(folder)
    if key is not None:
        verify_signature(folder, key)
    return model


def sign(folder: Path, key: Path) -> None:
    """Sign a version's manifest and graph with a private `key` (PEM, elliptic curve).

    Raises:
        RepositoryError: it cannot be signed.
    """
    signing = module("signing")
    try:
        config = signing.Config().use_elliptic_key_signer(private_key=key)
        config.set_hashing_config(hashing_of(folder)).sign(folder, folder / SIGNATURE)
    except Exception as error:  # the library raises nearly anything
        raise RepositoryError(f"{folder}: it cannot be signed ({type(error).__name__})") from error


def hashing_of(folder: Path) -> Any:  # noqa: ANN401  # the library's
    """What the library is to hash in a version's folder."""
    others = [path for path in folder.iterdir() if path.name not in SIGNED]
    return module("hashing").Config().set_ignored_paths(paths=[*others, folder / SIGNATURE])


def module(name: str) -> Any:  # noqa: ANN401  # a library that may be missing
    """A part of the library.

    Raises:
        RepositoryError: it is not installed.
    """
    try:
        return importlib.import_module(f"model_signing.{name}")
    except ImportError:
        raise RepositoryError("signatures need the extra: pip install 'vitrine[signing]'") from None
