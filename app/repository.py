"""The model repository: manifests are validated and hashes checked before any model is parsed.

`NAME/VERSION/` holds one version of a model; an optional `NAME/active.json` says which one is served.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from app.graphs import GraphError, check_graph

MAX_MODEL_BYTES = 256_000_000
ACTIVE = "active.json"


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


class Active(BaseModel):
    """What `active.json` says: the version that is served, and the one that a rollback goes back to."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    version: str
    previous: str | None = None


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


def read_manifest(folder: Path) -> Manifest:
    """Read what one version's folder says of itself.

    Raises:
        RepositoryError: there is no valid manifest.
    """
    try:
        return Manifest.model_validate_json((folder / "manifest.json").read_bytes())
    except (OSError, ValidationError) as error:
        raise RepositoryError(f"{folder}: the manifest is missing or not valid ({type(error).__name__})") from error


def read_file(folder: Path, name: str) -> bytes:
    """Read the file that a manifest names.

    Raises:
        RepositoryError: it is not a file in this folder, cannot be read, or is too large.
    """
    path = folder / name
    try:
        if path.resolve().parent != folder.resolve() or not path.is_file():
            raise RepositoryError(f"{folder}: {name!r} is not a file in this folder")
        if path.stat().st_size > MAX_MODEL_BYTES:
            raise RepositoryError(f"{folder}: the model is over {MAX_MODEL_BYTES} bytes")
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise RepositoryError(f"{folder}: {name!r} cannot be read ({type(error).__name__})") from error


def read_model(folder: Path) -> Model:
    """Read one version's folder, NAME/VERSION.

    Raises:
        RepositoryError: no valid manifest, or one of another model or version; or a file that is outside the folder,
            too large, has another hash, or refers to something outside itself.
    """
    manifest = read_manifest(folder)
    data = read_file(folder, manifest.file)
    if hashlib.sha256(data).hexdigest() != manifest.sha256:
        raise RepositoryError(f"{folder}: the file's hash is not the one in the manifest")
    try:
        check_graph(data)
    except GraphError as error:
        raise RepositoryError(f"{folder}: {error}") from None
    model, place = Model(manifest, data), folder.absolute()
    if (manifest.name, manifest.version) != (place.parent.name, place.name):
        raise RepositoryError(f"{folder}: the manifest is that of {model.label}")
    return model


def read_models(root: Path) -> dict[str, Model]:
    """The active version of every model below `root`, by name.

    Raises:
        RepositoryError: there is none, one cannot be served, or an `active.json` is wrong.
    """
    models = {home.name: read_model(home / active_version(home)) for home in homes(root)}
    if not models:
        raise RepositoryError(f"{root} holds no model")
    return models


def homes(root: Path) -> list[Path]:
    """The folders of all models, by name.

    Raises:
        RepositoryError: one cannot be read.
    """
    folders = sorted(path for path in root.glob("*") if path.is_dir())
    return [home for home in folders if versions(home) or (home / ACTIVE).exists()]


def versions(home: Path) -> list[str]:
    """The versions of one model, lowest first.

    Raises:
        RepositoryError: the folder cannot be read.
    """
    try:
        names = [path.name for path in home.iterdir() if path.is_dir()]
    except OSError as error:
        raise RepositoryError(f"{home} cannot be read ({error.strerror})") from error
    # isdigit alone would take "²", which is no int.
    return sorted((name for name in names if name.isascii() and name.isdigit()), key=lambda name: (int(name), name))


def manifests(root: Path) -> list[Manifest]:
    """The manifests of all versions of all models; those that are not valid are left out."""
    found = []
    for home in homes(root):
        for version in versions(home):
            with suppress(RepositoryError):
                found.append(read_manifest(home / version))
    return found


def home_of(root: Path, name: str) -> Path:
    """The folder of a model. The name is looked up among what is there, so that none can lead out of `root`.

    Raises:
        RepositoryError: there is no such model.
    """
    for home in homes(root):
        if home.name == name:
            return home
    raise RepositoryError(f"{root} holds no model {name!r}")


def version_folder(root: Path, name: str, version: str) -> Path:
    """The folder of one version of a model, looked up in the same way.

    Raises:
        RepositoryError: there is no such model or version.
    """
    home = home_of(root, name)
    if version not in versions(home):
        raise RepositoryError(f"{home} holds no version {version!r}")
    return home / version


def read_active(home: Path) -> Active | None:
    """What a model's `active.json` says; None without one.

    Raises:
        RepositoryError: it cannot be read, or is not valid.
    """
    try:
        return Active.model_validate_json((home / ACTIVE).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise RepositoryError(f"{home / ACTIVE} cannot be read or is not valid ({type(error).__name__})") from error


def active_version(home: Path) -> str:
    """The version that is served: the one that `active.json` names, the highest without one.

    Raises:
        RepositoryError: there is no version; or `active.json` is not valid, or names one that is not there.
    """
    active, there = read_active(home), versions(home)
    if not there:
        raise RepositoryError(f"{home} holds no version")
    if active is None:
        return there[-1]
    if active.version not in there:
        raise RepositoryError(f"{home / ACTIVE} names version {active.version!r}, which is not there")
    return active.version


def activate(root: Path, name: str, version: str) -> None:
    """Let a version be served; changes nothing if it is already. Mends an `active.json` that is wrong.

    Raises:
        RepositoryError: there is no such model or version, or `active.json` cannot be written.
    """
    home = version_folder(root, name, version).parent
    try:
        previous = active_version(home)
    except RepositoryError:
        previous = None
    if previous != version:
        write_active(home, Active(version=version, previous=previous))


def rollback_target(root: Path, name: str) -> Active:
    """What `active.json` will say after a rollback.

    Raises:
        RepositoryError: there is no such model, nothing to go back to, or what was served before is not there.
    """
    home = home_of(root, name)
    active = read_active(home)
    if active is None or active.previous is None:
        raise RepositoryError(f"{home}: there is no version to go back to")
    version_folder(root, name, active.previous)
    return Active(version=active.previous, previous=active.version)


def rollback(root: Path, name: str) -> str:
    """Let the version be served that was before, and give it; a second rollback undoes the first.

    Raises:
        RepositoryError: as `rollback_target` does, or `active.json` cannot be written.
    """
    target = rollback_target(root, name)
    write_active(home_of(root, name), target)
    return target.version


def write_active(home: Path, active: Active) -> None:
    """Replace `active.json` in one step: a reader finds the old one or the new one, after a power cut, too.

    Raises:
        RepositoryError: it cannot be written.
    """
    partial = home / f".{ACTIVE}.{os.getpid()}"
    try:
        with partial.open("w", encoding="utf-8") as file:
            file.write(active.model_dump_json(indent=1) + "\n")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(home / ACTIVE)
        sync_folder(home)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise RepositoryError(f"{home / ACTIVE} cannot be written ({error.strerror})") from error


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk, not only the files' contents."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
