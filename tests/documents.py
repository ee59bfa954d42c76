"""The code in the documentation: what is in its pages, where it runs, and how its output is compared."""

import re
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT

ADDRESS = "127.0.0.1:8000"
FENCE = re.compile(r"^```(\w*)$")
MARKER = re.compile(r"^<!-- not run: ?(.*?) ?-->$")
GAP = "@@ command"
PATHS = (
    (re.compile(r"\w{3}, \d+ \w{3} \d+ [\d:]+ GMT"), "DATE"),
    (re.compile(r"\bvk_[\w…-]+"), "KEY"),
    (re.compile(r"\b[0-9a-f]{16,}\b"), "HEX"),
    (re.compile(r"\d+(?:[.,:]\d+)*"), "N"),
)
"""What differs from run to run."""


@dataclass(frozen=True)
class Block:
    """A fenced block; `skipped` is the reason of its marker, `output` what the page says that Python prints."""

    page: Path
    line: int
    language: str
    text: str
    skipped: str | None
    output: str | None

    def __str__(self):
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    def commands(self):
        """The commands of a console block, each with the lines that it prints; or those of a script."""
        if self.language == "bash":
            return [(line.strip(), []) for line in self.text.replace("\\\n", " ").splitlines()]
        found = []
        for line in self.text.splitlines():
            if found and found[-1][0].endswith("\\"):
                found[-1] = (f"{found[-1][0]}\n{line}", found[-1][1])
            elif line.startswith("$ "):
                found.append((line[2:], []))
            elif found:
                found[-1][1].append(line)
        return found


def pages():
    """README.md, SECURITY.md and everything in docs/."""
    return [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page):
    """The fenced blocks of a page. One without a language that follows another at once is what that one prints."""
    found, lines, at = [], page.read_text().splitlines(), 0
    while at < len(lines):
        begin = FENCE.match(lines[at].strip())
        if not begin:
            at += 1
            continue
        end = next(i for i in range(at + 1, len(lines)) if lines[i].strip() == "```")
        indent = len(lines[at]) - len(lines[at].lstrip())
        text = "\n".join(line[indent:] for line in lines[at + 1 : end])
        marker = MARKER.match(lines[at - 1].strip()) if at else None
        if not begin[1] and at and lines[at - 1].strip() == "```" and found:
            found[-1] = Block(**{**vars(found[-1]), "output": text})
        else:
            found.append(Block(page, at + 1, begin[1], text, marker[1] if marker else None, None))
        at = end + 1
    return found


def workplace(folder):
    """`examples/`, where readers type the commands, with what pages look into beside."""
    shutil.copytree(ROOT / "examples", folder, dirs_exist_ok=True)
    for name in ("models", "deploy"):
        (folder / name).symlink_to(ROOT / name)


def script(block, port):
    """A console block for bash: every command, and after each a line with its exit code."""
    said = [f"{command}\nprintf '\\n{GAP} %d\\n' $?" for command, _ in block.commands()]
    return "\n".join(said).replace(ADDRESS, f"127.0.0.1:{port}")


def alike(text):
    """Lines without what differs from run to run."""
    lines = [" ".join(line.split()) for line in text.replace("\r", "\n").splitlines() if line.strip()]
    for pattern, word in PATHS:
        lines = [pattern.sub(word, line) for line in lines]
    return lines


def missing(told, printed):
    """Lines that the page tells and that were not printed; "..." stands for more lines, "…" for anything in one."""
    rest, lost = alike(printed), []
    for line in alike(told):
        if line == "...":
            continue
        pattern = re.compile(".*".join(map(re.escape, line.split("…"))))
        at = next((i for i, one in enumerate(rest) if pattern.fullmatch(one)), None)
        if at is None:
            lost.append(line)
        else:
            del rest[at]
    return lost


def words(command):
    """A command of ours as its words, without settings before it and without what the shell does after it."""
    found = shlex.split(command.replace("\\\n", " "), comments=True)
    while found and re.fullmatch(r"\w+=.*", found[0]):
        found.pop(0)
    stops = [i for i, word in enumerate(found) if word in ("&", "|", ">", "&&")]
    found = found[: stops[0]] if stops else found
    return [Path(found[0]).name, *found[1:]] if found else []


def environment(port, inherited):
    """For commands: our own programs first."""
    path = f"{Path(sys.executable).parent}:{inherited.get('PATH', '')}"
    kept = {name: value for name, value in inherited.items() if not name.startswith("VITRINE_")}
    python = f"{ROOT}:{inherited.get('PYTHONPATH', '')}".rstrip(":")
    return {**kept, "PATH": path, "PYTHONPATH": python, "VITRINE_PORT": str(port)}
