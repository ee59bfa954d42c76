"""Which files a command reads, and what it will call those that it writes."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.files.ledger import LEDGER
from app.files.options import UsageError

SUFFIXES: Final = frozenset(
    f".{name}" for name in ("jpg", "jpeg", "jpe", "jfif", "png", "webp", "avif", "gif", "bmp", "tif", "tiff")
)
"""Of the pictures in a folder; a file that is named itself is read whatever its name."""


@dataclass(frozen=True, slots=True)
class Item:
    """One picture to make: of a file, or of a seed; `name` is its path below the output folder."""

    name: str
    source: Path | None = None
    seed: int | None = None


def found(patterns: list[str], out: Path | None = None) -> list[tuple[Path, Path]]:
    """Every input, in order and once, and its path without the folder that was named; `out` is never looked into.

    Raises:
        UsageError: a name leads to nothing.
    """
    each: dict[Path, Path] = {}
    for pattern in patterns:
        pairs = list(matches(pattern, out))
        if not pairs:
            raise UsageError(f"there is no picture at {pattern}")
        for path, below in pairs:
            each.setdefault(path, below)
    return list(each.items())


def matches(pattern: str, out: Path | None) -> Iterator[tuple[Path, Path]]:
    """What one name, or glob, leads to."""
    there = os.path.lexists(pattern)
    for path in [Path(pattern)] if there else sorted(map(Path, glob.glob(pattern, recursive=True))):
        if path.is_dir():
            yield from ((one, one.relative_to(path)) for one in pictures_in(path, out))
        else:
            yield path, Path(path.name)


def pictures_in(folder: Path, out: Path | None) -> Iterator[Path]:
    """The pictures below a folder; nothing hidden, and nothing of the output folder."""
    for parent, folders, names in os.walk(folder):
        here = Path(parent)
        folders[:] = sorted(one for one in folders if not one.startswith(".") and not same(here / one, out))
        for name in sorted(names):
            if Path(name).suffix.lower() in SUFFIXES and not name.startswith("."):
                yield here / name


def same(path: Path, other: Path | None) -> bool:
    return other is not None and path.resolve() == other.resolve()


def planned(patterns: list[str], out: Path, suffix: str) -> list[Item]:
    """What is to be made of the inputs, with names that end in `suffix`.

    Raises:
        UsageError: a name leads to nothing, two inputs would have the same output, or `out` is a folder of inputs.
    """
    inputs = found(patterns, out)
    forbidden = {path.resolve().parent for path, _ in inputs} | {
        Path(p).resolve() for p in patterns if Path(p).is_dir()
    }
    if out.resolve() in forbidden:
        raise UsageError(f"--out {out} is a folder of inputs; choose another one")
    refuse_foreign_folder(patterns, out)
    items: dict[str, Item] = {}
    for path, below in inputs:
        item = Item(below.with_suffix(suffix).as_posix(), path)
        other = items.setdefault(item.name.casefold(), item)  # some file systems take A and a for the same
        if other is not item and other.source and not path.samefile(other.source):
            raise UsageError(f"{other.source} and {path} would both become {out / item.name}; nothing was done")
    return list(items.values())


def refuse_foreign_folder(patterns: list[str], out: Path) -> None:
    """Refuse an output folder inside an input folder that holds pictures which no command of ours has put there.

    Raises:
        UsageError: it is one.
    """
    inside = any(Path(one).is_dir() and out.resolve().is_relative_to(Path(one).resolve()) for one in patterns)
    if inside and out.is_dir() and not (out / LEDGER).exists() and any(pictures_in(out, None)):
        raise UsageError(f"--out {out} is inside of an input folder and holds pictures; choose another one")
