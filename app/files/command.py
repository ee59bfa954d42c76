"""`vitrine enhance|restyle|compose|generate`: from the command line to files in a folder."""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import shlex
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from app.catalogue import Catalogue
from app.errors import AppError
from app.files import inputs
from app.files.inputs import Item
from app.files.ledger import Ledger, NotOurs, stamp
from app.files.making import Maker, is_of_the_command
from app.files.options import UsageError, options_of
from app.files.parsers import MODELS
from app.files.telling import Teller
from app.files.working import Room, opened, started, worked
from app.files.working import run as run_loop
from app.images import ImageFormat
from app.presets import Presets
from app.schemas import EnhanceOptions, GenerateRequest
from app.service import Service
from app.settings import Settings
from app.tasks.generate import SEEDS

KEPT: Final = frozenset(("seed", "compliance"))
"""What is told of a file that was made earlier."""
SUFFIXES: Final = {one.value: f".{one.value}" for one in ImageFormat} | {"jpeg": ".jpg"}
SMALL: Final = 65_536
"""Bytes that are written before a thread for it could have started."""
PRODUCTS_AHEAD: Final = 4
"""Batches of generated pictures in hand for every worker: one runs, one waits, and others are written."""
PHOTOS_AHEAD: Final = 4
"""Photos in hand for every worker."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A command that has been understood."""

    edit: str
    out: Path
    options: BaseModel
    items: list[Item]
    backdrop: bytes | None
    again: str
    """The command that goes on with it."""


def plan_of(arguments: argparse.Namespace, settings: Settings) -> Plan:
    """Everything that can be known to be wrong is found here, before anything is done.

    Raises:
        UsageError: the command is wrong.
        UnknownPreset: there is no such preset.
        PresetError: a preset's file is wrong.
    """
    edit, again = arguments.command, list(arguments.words)
    backdrop = None
    if edit == "generate":
        options = options_of(arguments, MODELS[edit], count="1")
        seed = getattr(options, "seed", None)
        if seed is None:
            seed = secrets.randbelow(SEEDS)
            again += ["--seed", str(seed)]
        items = products(getattr(options, "category", None), seed, arguments.count, suffix_of(options, settings))
    else:
        backdrop = backdrop_of(arguments)
        options = options_of(arguments, MODELS[edit])
        items = inputs.planned(arguments.inputs, arguments.out, suffix_of(options, settings))
    return Plan(edit, arguments.out, options, items, backdrop, shlex.join(["vitrine", *again]))


def products(category: str | None, seed: int, count: int, suffix: str) -> list[Item]:
    """Pictures of consecutive seeds, named by them."""
    seeds = [(seed + i) % SEEDS for i in range(count)]
    return [Item(f"{category or 'product'}-{one}{suffix}", seed=one) for one in seeds]


def suffix_of(options: BaseModel, settings: Settings) -> str:
    """What the names of the files end in: as the service chooses their format."""
    wanted, preset = getattr(options, "format", None), getattr(options, "preset", None)
    if wanted is None and preset is not None:
        wanted = Presets(settings.presets_dir).find(preset).default_format
    return SUFFIXES[wanted or "webp"]


def backdrop_of(arguments: argparse.Namespace) -> bytes | None:
    """The bytes of a backdrop that is a file, which is then no option any more.

    Raises:
        UsageError: it cannot be read.
    """
    path = getattr(arguments, "option_backdrop", None)
    if path is None or ("." not in path and "/" not in path):
        return None
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"--backdrop {path}: {error.strerror}") from None
    arguments.option_backdrop = None
    return data


def at_once(options: BaseModel | None, settings: Settings) -> int:
    """How many files to have in hand: of small generated pictures, several batches."""
    small = isinstance(options, GenerateRequest) and options.size is None
    return settings.threads * (PRODUCTS_AHEAD * settings.max_batch if small else PHOTOS_AHEAD)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Make the files; gives the exit code.

    Raises:
        RepositoryError, PresetError, KeyFileError: the service cannot be started.
    """
    try:
        plan = plan_of(arguments, settings)
        with (
            Ledger(plan.out, overwrite=arguments.overwrite) as ledger,
            opened(settings) as service,
            Teller(len(plan.items), "made", as_json=arguments.json) as teller,
        ):
            run_loop(made(plan, service, ledger, teller))
            return 0 if teller.well else 1
    except (UsageError, AppError) as error:
        sys.stderr.write(f"vitrine {arguments.command}: {error}\n")
        return 2


def load(options: BaseModel, models: Catalogue) -> None:
    """Load what every file needs.

    Raises:
        UnknownModel: it is not there.
        RepositoryError: it cannot be served.
    """
    if isinstance(options, GenerateRequest):
        models.find("generate", options.model)
    elif isinstance(options, EnhanceOptions):
        models.enhancers(options.scale, options.model)
        models.first("level")
    else:
        models.find("cutout")


async def made(plan: Plan, service: Service, ledger: Ledger, teller: Teller) -> None:
    """Make every file of a plan that is not there yet.

    Raises:
        AppError: the command itself is wrong, so that every file would meet it.
    """
    maker = Maker(service, plan.edit, plan.options, plan.backdrop)
    count = at_once(plan.options, service.settings)
    room, out = Room(count), "" if plan.out == Path() else str(plan.out)  # a `Path` for each file takes its time

    async def one(item: Item) -> None:
        facts: dict[str, Any] = {"file": os.path.join(out, item.name)}
        if item.source is not None:
            facts["input"] = str(item.source)
        try:
            line = ledger.done(item.name, item.source, maker.made)
            if line is not None:
                return teller.file("skipped", facts | {name: line[name] for name in KEPT & line.keys()})
            before = None if item.source is None else stamp(item.source)
            data, found = await room.make(lambda: maker.make(item))
            parts = (item.name, data, before, maker.made, found)
            if len(data) > SMALL:
                await asyncio.to_thread(ledger.put, *parts)
            else:
                ledger.put(*parts)
        except (AppError, NotOurs, OSError) as error:
            return teller.file("failed", facts | {"reason": reason_of(error)})
        return teller.file("made", facts | found | {"bytes": len(data)})

    if await worked(plan.items, one, count, partial(started, service, partial(load, plan.options)), teller):
        teller.say(f"stopped; to go on: {plan.again}")


def reason_of(error: Exception) -> str:
    """Why a file failed.

    Raises:
        AppError: every file would fail for it.
    """
    if isinstance(error, AppError) and is_of_the_command(error):
        raise error
    return error.strerror or "it cannot be read or written" if isinstance(error, OSError) else str(error)
