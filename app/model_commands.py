"""`vitrine models`: list, verify, activate and roll back what the repository holds."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from app.contracts import prove, reason
from app.repository import (
    RepositoryError,
    activate,
    active_version,
    home_of,
    homes,
    read_active,
    read_manifest,
    rollback,
    rollback_target,
    version_folder,
    versions,
)
from app.sessions import Session
from app.signatures import read_signed, sign

Label = tuple[str, str | None]
Line = tuple[str, bool]  # the text, and whether it is good news


def add_parsers(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `models` with its own commands; `run` executes what they parse."""
    parser = subparsers.add_parser("models", help="list, verify and choose what is served")
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("list", help="every version, and which are served")
    some = actions.add_parser("verify", help="check manifests and hashes, and run every graph")
    some.add_argument("labels", nargs="*", type=label, metavar="NAME[@VERSION]", help="default: everything")
    signing = actions.add_parser("sign", help="sign a version's manifest and graph with a private key")
    signing.add_argument("label", type=full_label, metavar="NAME@VERSION")
    signing.add_argument("--key", type=Path, required=True, metavar="PEM", help="elliptic curve, as OpenSSL makes it")
    one = actions.add_parser("activate", help="verify a version and let it be served")
    one.add_argument("label", type=full_label, metavar="NAME@VERSION")
    back = actions.add_parser("rollback", help="verify the version that was served before and let it be served again")
    back.add_argument("name", metavar="NAME")


def label(text: str) -> Label:
    """NAME or NAME@VERSION, for argparse."""
    name, at, version = text.partition("@")
    if not name or (at and not version):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME or NAME@VERSION")
    return name, version or None


def full_label(text: str) -> Label:
    """NAME@VERSION, for argparse."""
    name, version = label(text)
    if version is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME@VERSION")
    return name, version


def run(arguments: argparse.Namespace, root: Path, key: Path | None = None) -> int:
    """Execute one of the commands on the repository `root`, whose models must be signed for `key`; the exit code."""
    try:
        if arguments.action == "list":
            return report(line for home in occupied(root) for line in listed(home))
        if arguments.action == "verify":
            labels: list[Label] = arguments.labels or [(home.name, None) for home in occupied(root)]
            return report(line for name, version in labels for line in verified(root, name, version, key))
        if arguments.action == "rollback":
            return report([rolled_back(root, arguments.name, key)])
        name, version = arguments.label
        if arguments.action == "sign":
            return report([signed(root, name, version, arguments.key)])
        return report([activated(root, name, version, key)])
    except RepositoryError as error:
        sys.stderr.write(f"vitrine: {error}\n")
        return 1


def report(lines: Iterable[Line]) -> int:
    """Write lines as they come; gives 1 if one of them is bad news."""
    code = 0
    for text, good in lines:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
        code = code if good else 1
    return code


def occupied(root: Path) -> list[Path]:
    """The folders of all models.

    Raises:
        RepositoryError: there are none.
    """
    found = homes(root)
    if not found:
        raise RepositoryError(f"{root} holds no model")
    return found


def listed(home: Path) -> Iterator[Line]:
    """Every version of a model with its task, and which one is served and which one was before."""
    states: dict[str | None, str] = {}
    try:
        record = read_active(home)
        states = {record.previous if record else None: ", previous", active_version(home): ", active"}
    except RepositoryError as error:
        yield wrong(home.name, error)
    for version in versions(home):
        name = f"{home.name}@{version}"
        try:
            yield f"{name}: {read_manifest(home / version).task}{states.get(version, '')}", True
        except RepositoryError as error:
            yield wrong(name, error)


def verified(root: Path, name: str, version: str | None, key: Path | None) -> Iterator[Line]:
    """One version of a model; without a version its `active.json`, if that is wrong, and every version."""
    wanted = [version] if version else []
    if version is None:
        try:
            home = home_of(root, name)
            wanted = versions(home)
            active_version(home)
        except RepositoryError as error:
            yield wrong(name, error)
    for one in wanted:
        try:
            verify(root, name, one, key)
            yield f"{name}@{one}: ok", True
        except RepositoryError as error:
            yield wrong(f"{name}@{one}", error)


def verify(root: Path, name: str, version: str, key: Path | None = None) -> None:
    """Check a version's manifest, hash and signature, load its graph and prove that it does its task.

    Raises:
        RepositoryError: something is wrong.
    """
    model = read_signed(version_folder(root, name, version), key)
    try:
        session = Session(model.data)
    except Exception as error:
        raise RepositoryError(f"{model.label}: the graph cannot be loaded ({reason(error)})") from error
    prove(model, session.run)


def wrong(subject: str, error: RepositoryError) -> Line:
    """A line that says what is wrong with something."""
    return f"{subject}: {str(error).removeprefix(f'{subject}: ')}", False


def signed(root: Path, name: str, version: str, key: Path) -> Line:
    """Sign a version.

    Raises:
        RepositoryError: it cannot be signed.
    """
    sign(version_folder(root, name, version), key)
    return f"{name}@{version} is signed", True


def activated(root: Path, name: str, version: str, key: Path | None = None) -> Line:
    """Let a version be served once it is verified.

    Raises:
        RepositoryError: it is not good; nothing was changed.
    """
    verify(root, name, version, key)
    activate(root, name, version)
    return f"{name}@{version} is active; a running server takes it over at SIGHUP", True


def rolled_back(root: Path, name: str, key: Path | None = None) -> Line:
    """Let the version be served that was before, once it is verified.

    Raises:
        RepositoryError: it is not good, or there is none; nothing was changed.
    """
    verify(root, name, rollback_target(root, name).version, key)
    return f"{name}@{rollback(root, name)} is active again; a running server takes it over at SIGHUP", True
