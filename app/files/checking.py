"""`vitrine preset check`: whether finished pictures keep a marketplace's rules."""

from __future__ import annotations

import argparse
import asyncio
import math
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from app.admission import Ticket
from app.batching import NOBODY
from app.errors import AppError, BodyTooLarge, InvalidOptions
from app.files.command import at_once, reason_of
from app.files.inputs import Item, found
from app.files.making import is_of_the_command
from app.files.options import UsageError
from app.files.telling import Teller
from app.files.working import Room, opened, started, worked
from app.images import Pixels, format_of
from app.pipeline import cut_out
from app.presets import Finding, Preset
from app.service import Call, Service
from app.settings import Settings

DOUBT: Final = 5 / 256
"""How far a cut-out's edge may be from the product's, of the longer side: five pixels of what the network sees."""


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Check the files; gives the exit code.

    Raises:
        RepositoryError, PresetError, KeyFileError: the service cannot be started.
    """
    try:
        items = [Item(str(path), path) for path, _ in found(arguments.inputs)]
        with opened(settings) as service, Teller(len(items), "checked", as_json=arguments.json) as teller:
            asyncio.run(checked(items, service.presets.find(arguments.preset), service, teller))
            return 0 if teller.well else 1
    except (UsageError, AppError) as error:
        sys.stderr.write(f"vitrine preset check: {error}\n")
        return 2


async def checked(items: list[Item], preset: Preset, service: Service, teller: Teller) -> None:
    """Check every file.

    Raises:
        AppError: every file would meet it.
    """
    count = at_once(None, service.settings)
    room = Room(count)

    async def one(item: Item) -> None:
        try:
            findings = await room.make(lambda: findings_of(Path(item.name), preset, service))
            teller.file("checked", {"file": item.name, **told(findings)})
        except (AppError, OSError) as error:
            teller.file("failed", {"file": item.name, "reason": reason_of(error)})

    await worked(items, one, count, partial(started, service), teller)


def told(findings: list[Finding]) -> dict[str, Any]:
    """The findings as JSON, and those that are broken in words."""
    broken = [f"{one.rule} is {one.measured}, must be {one.required}" for one in findings if not one.ok]
    facts: dict[str, Any] = {
        "compliance": "fail" if broken else "pass",
        "findings": [one._asdict() for one in findings],
    }
    return facts | ({"reason": "; ".join(broken)} if broken else {})


async def findings_of(path: Path, preset: Preset, service: Service) -> list[Finding]:
    """Every rule, measured on a file. The product is found by the file's own alpha, or cut out.

    Raises:
        AppError: the file is no usable picture.
        OSError: it cannot be read.
    """
    if path.stat().st_size > service.settings.max_body_bytes:
        raise BodyTooLarge(f"The file is over {service.settings.max_body_bytes} bytes (VITRINE_MAX_BODY_BYTES).")
    data = await asyncio.to_thread(path.read_bytes)
    call = Call(service.catalogue, Ticket(NOBODY, math.inf))
    picture = await service.decode(call, data)
    with service.admission.holding(8 * picture.width * picture.height):
        cut = picture.alpha is None
        if cut:
            try:
                picture = await cut_out(service, call, picture, ["image"])
            except InvalidOptions as error:
                if is_of_the_command(error):
                    raise
                return [Finding("product", "one", "none was found", False)]
        assert picture.alpha is not None  # noqa: S101  # which `cut_out` is for
        if cut:
            picture = replace(picture, alpha=await service.timed("decode", call, with_doubt, picture.alpha))
        return await service.timed("decode", call, preset.findings, data, format_of(data), picture.alpha)


def with_doubt(alpha: Pixels) -> Pixels:
    """A cut-out's alpha (H, W) uint8, slightly over 0 also where the product's true edge may lie: that is no ground."""
    reach = math.ceil(DOUBT * max(alpha.shape))
    near = alpha > 0
    for axis in (0, 1):
        padding = [(reach + 1, reach) if one == axis else (0, 0) for one in (0, 1)]
        total = np.cumsum(np.pad(near, padding), axis, dtype=np.int32)
        length = alpha.shape[axis]
        upper = np.take(total, range(2 * reach + 1, 2 * reach + 1 + length), axis)
        near = upper > np.take(total, range(length), axis)
    return np.where(near, np.maximum(alpha, 1), alpha)
