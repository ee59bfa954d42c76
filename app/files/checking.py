"""`vitrine preset check`: whether finished pictures keep a marketplace's rules."""

from __future__ import annotations

import argparse
import asyncio
import math
import sys
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.admission import Ticket
from app.batching import NOBODY
from app.errors import AppError, BodyTooLarge, InvalidOptions
from app.files.command import at_once, reason_of
from app.files.inputs import Item, found
from app.files.making import is_of_the_command
from app.files.options import UsageError
from app.files.telling import Teller
from app.files.working import Room, opened, started, worked
from app.files.working import run as run_loop
from app.images import Pixels, format_of
from app.pipeline import cut_out
from app.presets import NEARLY_WHITE, Finding, Preset
from app.service import Call, Service
from app.settings import Settings
from app.tasks.cutout import parts

DOUBT: Final = 2 / 256
"""How far the edge that is found may be from the product's, of the longer side: two pixels of what the network sees."""
SMALL: Final = 256
"""The longer side at which it is looked for what hangs together."""


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Check the files; gives the exit code.

    Raises:
        RepositoryError, PresetError, KeyFileError: the service cannot be started.
    """
    try:
        items = [Item(str(path), path) for path, _ in found(arguments.inputs)]
        with opened(settings) as service, Teller(len(items), "checked", as_json=arguments.json) as teller:
            run_loop(checked(items, service.presets.find(arguments.preset), service, teller))
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
        except (AppError, OSError) as error:
            return teller.file("failed", {"file": item.name, "reason": reason_of(error)})
        return teller.file("checked", {"file": item.name, **told(findings)})

    await worked(items, one, count, partial(started, service, lambda models: models.find("cutout")), teller)


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
        alpha = picture.alpha
        if alpha is None:
            try:
                found = await cut_out(service, call, picture, ["image"])
            except InvalidOptions as error:
                if is_of_the_command(error):
                    raise
                return [Finding("product", "one", "none was found", False)]
            alpha = await service.timed("decode", call, with_doubt, picture.rgb, found.alpha)
        return await service.timed("decode", call, preset.findings, data, format_of(data), alpha)


def with_doubt(rgb: Pixels, alpha: Pixels) -> Pixels:
    """A cut-out's alpha (H, W) uint8 with what hangs together with the product, and over 0 near its edge: no ground."""
    whole = np.where(belonging(rgb, alpha), 255, alpha)
    return np.where(grown(whole > 0, math.ceil(DOUBT * max(alpha.shape))), np.maximum(whole, 1), whole).astype(np.uint8)


def belonging(rgb: Pixels, alpha: Pixels) -> NDArray[np.bool_]:
    """(H, W): what is not white and touches the cut-out, which may have missed it; nothing if it leads to the edge.

    Then it is the ground itself that is not white.
    """
    dark, (height, width) = rgb.min(2) < NEARLY_WHITE, alpha.shape
    step = math.ceil(max(alpha.shape) / SMALL)
    seen, coloured = coarse(alpha > 0, step), coarse(dark, step)
    labels = parts(seen | coloured)
    mine = np.isin(labels, labels[seen])
    if at_edge(mine) and not at_edge(seen):
        return np.zeros_like(dark)
    return np.asarray(dark & mine.repeat(step, 0).repeat(step, 1)[:height, :width])


def coarse(mask: NDArray[np.bool_], step: int) -> NDArray[np.bool_]:
    """(H, W) -> a value for every square of side `step`: whether any in it is true."""
    down, across = (-side % step for side in mask.shape)
    padded = np.pad(mask, ((0, down), (0, across)))
    rows, columns = (side // step for side in padded.shape)
    return np.asarray(padded.reshape(rows, step, columns, step).max((1, 3)), np.bool_)


def at_edge(mask: NDArray[np.bool_]) -> bool:
    return bool(mask[[0, -1]].any() or mask[:, [0, -1]].any())


def grown(mask: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """(H, W): whether any is true in the square that reaches so far to all sides."""
    for axis in (0, 1):
        padding = [(reach + 1, reach) if one == axis else (0, 0) for one in (0, 1)]
        total, length = np.cumsum(np.pad(mask, padding), axis, dtype=np.int32), mask.shape[axis]
        upper = np.take(total, range(2 * reach + 1, 2 * reach + 1 + length), axis)
        mask = np.asarray(upper - np.take(total, range(length), axis), np.bool_)
    return mask
