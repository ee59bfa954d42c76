"""`vitrine.jsonl` in an output folder: what was made there, of what and how, so that it need not be made again.

A line is written between a finished temporary file and its renaming. Whenever the process is killed, the folder holds
whole pictures only, and what has no line that fits is made again.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

from app.files.options import UsageError

LEDGER: Final = "vitrine.jsonl"
KEYS: Final = frozenset(("file", "made", "of", "stamp"))


class NotOurs(Exception):
    """A file is in the way that this command has not made."""


def stamp(path: str | Path) -> list[int]:
    """Size in bytes and time of the last change in ns: what tells whether a file is still the same.

    Raises:
        OSError: it is not there.
    """
    told = os.stat(path)
    return [told.st_size, told.st_mtime_ns]


class Ledger:
    """The lines of one folder, which belongs to one command at a time."""

    def __init__(self, out: Path, *, overwrite: bool = False) -> None:
        """`overwrite` forgets what is there: everything is made again, whoever made it.

        Raises:
            UsageError: the folder cannot be written, or another command writes there.
        """
        self._out, self._overwrite = out, overwrite
        self._lines: dict[str, dict[str, Any]] = {}
        self._folders: set[str] = {""}
        self._lock = threading.Lock()
        try:
            out.mkdir(parents=True, exist_ok=True)
            self._file: IO[str] = (out / LEDGER).open("a+", encoding="utf-8")
        except OSError as error:
            raise UsageError(f"--out {out}: {error.strerror}") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise UsageError(f"another command is writing to {out}") from None
        self._read()

    def _read(self) -> None:
        self._file.seek(0)
        text = self._file.read()
        for line in text.splitlines():
            try:
                one = json.loads(line)
            except ValueError:  # cut off when the machine went down
                continue
            if isinstance(one, dict) and one.keys() >= KEYS:
                self._lines[str(one["file"])] = one
        if text and not text.endswith("\n"):
            self._file.write("\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def done(self, name: str, source: Path | None, made: str) -> dict[str, Any] | None:
        """The line of a file that is there as it was written, of a source as it is now, `made` in this way.

        Raises:
            NotOurs: there is a file of that name, and no line.
        """
        path, line = os.path.join(self._out, name), self._lines.get(name)
        if self._overwrite or not os.path.exists(path):
            return None
        if line is None:
            raise NotOurs("is there already, and was not made by this command; --overwrite replaces it")
        now = None if source is None else stamp(source)
        return line if (line["made"], line["of"], line["stamp"]) == (made, now, stamp(path)) else None

    def put(self, name: str, data: bytes, source: list[int] | None, made: str, facts: dict[str, Any]) -> None:
        """Write a file as a whole, or not at all; `source` is the stamp that its source had before it was read.

        Raises:
            OSError: it cannot be written.
        """
        folder, _, own = name.rpartition("/")
        if folder not in self._folders:
            (self._out / folder).mkdir(parents=True, exist_ok=True)
            self._folders.add(folder)
        partial = os.path.join(self._out, folder, f".{own}.part")
        try:
            new = written(partial, data)
            line = {"file": name, **facts, "made": made, "of": source, "stamp": new}
            with self._lock:
                self._file.write(json.dumps(line) + "\n")
                self._file.flush()
            os.replace(partial, os.path.join(self._out, name))
        except OSError:
            Path(partial).unlink(missing_ok=True)
            raise
        self._lines[name] = line


def written(path: str, data: bytes) -> list[int]:
    """Write a new file; gives its stamp. Without a buffer and a `Path`, which would take half of the time.

    Raises:
        OSError: it cannot be written.
    """
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(file, rest) :]
        told = os.fstat(file)
    finally:
        os.close(file)
    return [told.st_size, told.st_mtime_ns]
