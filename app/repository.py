"""The model repository: manifests are validated and hashes checked before any model is parsed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

MAX_MODEL_BYTES = 256_000_000


class RepositoryError(Exception):
    """A model folder cannot be served. The message says which and why."""


class Manifest(BaseModel):
    """What a model's folder says of itself; fields that the service does not use are passed on to `/models`."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str
    version: str
    task: str
    file: str
    sha256: str
    size: int = 0
    classes: tuple[str, ...] = ()
    tile: int = 0
    margin: int = 0
    scale: int = 1
    licence: dict[str, str]
    training_data: str
    quality: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Model:
    """A model whose bytes are what its manifest says."""

    manifest: Manifest
    data: bytes

    @property
    def label(self) -> str:
        """name@version"""
        return f"{self.manifest.name}@{self.manifest.version}"

    @property
    def digest(self) -> str:
        return f"sha256:{self.manifest.sha256}"


def read_model(folder: Path) -> Model:
    """Read one version's folder.

    Raises:
        RepositoryError: no valid manifest, a file outside the folder, too large, or with another hash.
    """
    try:
        manifest = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
    except (OSError, ValidationError) as error:
        raise RepositoryError(f"{folder}: the manifest is missing or not valid ({type(error).__name__})") from error
    path = folder / manifest.file
    if path.resolve().parent != folder.resolve() or not path.is_file():
        raise RepositoryError(f"{folder}: {manifest.file!r} is not a file in this folder")
    if path.stat().st_size > MAX_MODEL_BYTES:
        raise RepositoryError(f"{folder}: the model is over {MAX_MODEL_BYTES} bytes")
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != manifest.sha256:
        raise RepositoryError(f"{folder}: the file's hash is not the one in the manifest")
    return Model(manifest, data)


def read_models(root: Path) -> dict[str, Model]:
    """The highest version of every model below `root`, by name.

    Raises:
        RepositoryError: there is none, or one cannot be served.
    """
    models = {}
    for home in sorted(path for path in root.glob("*") if path.is_dir()):
        versions = [path for path in home.iterdir() if path.name.isdigit()]
        if versions:
            model = read_model(max(versions, key=lambda path: int(path.name)))
            models[model.manifest.name] = model
    if not models:
        raise RepositoryError(f"{root} holds no model")
    return models
