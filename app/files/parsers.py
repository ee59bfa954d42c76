"""The arguments of the commands on files. Nothing of the service is imported before one of them runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from app.files.options import add_options
from app.schemas import ComposeOptions, EnhanceOptions, GenerateRequest, RestyleOptions

MODELS: Final[dict[str, type[BaseModel]]] = {
    "enhance": EnhanceOptions,
    "restyle": RestyleOptions,
    "compose": ComposeOptions,
    "generate": GenerateRequest,
}
HELP: Final = {
    "enhance": "make photos sharper, cleaner, larger",
    "restyle": "photos in another style",
    "compose": "cut products out of photos and lay each on a backdrop",
    "generate": "product pictures from seeds",
}
INPUTS: Final = "files, folders (with all that is below them), or globs, also quoted ones"
CODES: Final = "Exit code: 0 when all went well, 1 when some files were not made, 2 when the command itself is wrong."


def add_parsers(commands: Any) -> None:  # noqa: ANN401  # argparse's own, which has no public name
    """The edits, and `preset check`."""
    for edit, model in MODELS.items():
        parser: argparse.ArgumentParser = commands.add_parser(edit, help=HELP[edit], epilog=CODES)
        if edit == "generate":
            parser.add_argument("--count", type=positive, default=1, metavar="N", help="how many; default 1")
        else:
            parser.add_argument("inputs", nargs="+", metavar="INPUT", help=INPUTS)
        parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where to write")
        parser.add_argument("--overwrite", action="store_true", help="make all again, and replace what is in the way")
        parser.add_argument("--json", action="store_true", help="print a JSON object a line for each file")
        add_options(parser, model, {"count"} if edit == "generate" else ())
    presets = commands.add_parser("preset", help="marketplaces' rules").add_subparsers(dest="action", required=True)
    check: argparse.ArgumentParser = presets.add_parser("check", help="whether pictures keep a preset", epilog=CODES)
    check.add_argument("inputs", nargs="+", metavar="INPUT", help=INPUTS)
    check.add_argument("--preset", required=True, metavar="NAME", help="such as amazon-main")
    check.add_argument("--json", action="store_true", help="print a JSON object a line for each file")


def positive(text: str) -> int:
    """A whole number from 1, for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("must be a whole number from 1")
    return int(text)
