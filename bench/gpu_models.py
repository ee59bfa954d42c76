"""The shipped models on a GPU, without a server: how fast they are, and whether they answer as on the CPU."""

from __future__ import annotations

import io
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.contracts import ENLARGING, smoke_row
from app.repository import Model
from app.sessions import Arrays, Session, SessionOptions
from app.tasks.enhance import fixed_shape
from app.tasks.generate import latent
from bench.pictures import photo

SIDE: Final = 512
"""Of the photos, in px."""
BATCHES: Final = (1, 4, 16, 64)
IN_TURN: Final = 0
"""Instead of a batch size: the smaller ones one after the other, in one session."""
SAME_BATCHES: Final = (1, 3, 16)
"""A row must give the same bytes in each of these."""
COMPARED: Final = 3
"""Rows that the CPU computes, too."""
TF32: Final = " tf32"
"""Added to a way to run a model."""


@dataclass(frozen=True, slots=True)
class Speed:
    """Rows a second of one model and way to run it; nothing where it cannot be run so."""

    model: str
    mode: str
    batch: int
    per_second: float | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Parity:
    """A model's output beside the CPU's: in steps of 255, or as it is where it is no picture."""

    model: str
    mode: str
    provider: str
    picture: bool
    largest: float
    differing: float
    """Share of values."""
    same_in_batches: float
    """Share of the rows of the smaller batches whose bytes are those of the largest one."""
    load_s: float
    """To open the session and run the largest batch for the first time."""


def options(mode: str) -> SessionOptions:
    return SessionOptions(tf32=mode.endswith(TF32))


@cache
def picture(height: int, width: int, channels: int) -> NDArray[np.uint8]:
    """(H, W, C) uint8 with the detail of a photo; a fourth channel is what a product covers."""
    with Image.open(io.BytesIO(photo(width, height, "PNG", "RGBA"))) as image:
        return np.ascontiguousarray(np.asarray(image)[..., :channels])


def shape_of(model: Model) -> tuple[int, ...]:
    """The shape of a picture that goes in: as the service cuts a photo on a GPU."""
    m, shape = model.manifest, np.shape(smoke_row(model)["image"])
    if m.task in ENLARGING:
        return *fixed_shape(m.margin), 3
    return tuple(int(side) for side in shape)


def rows(model: Model, count: int) -> dict[str, NDArray[Any]]:
    """So many different rows."""
    made = {name: np.stack([np.asarray(value)] * count) for name, value in smoke_row(model).items()}
    if "label" in made:
        made["label"] = np.arange(count) % len(model.manifest.classes)
    if "z" in made:
        made["z"] = np.stack([latent(seed) for seed in range(count)])
    if "image" in made:
        whole = picture(*shape_of(model)[:2], shape_of(model)[2])
        made["image"] = np.stack([np.roll(whole, 7 * index, 1) for index in range(count)])
    return made


def parities(model: Model, modes: Iterable[str], cpu: bool) -> Iterator[Parity]:
    """Compare with the CPU, and the batches with each other, in each way."""
    *fewer, most = SAME_BATCHES
    many = rows(model, most)
    right = Session(model.data, SessionOptions(threads=0), cpu=True).run(first(many, COMPARED))
    for mode in modes:
        begun = time.perf_counter()
        session = Session(model.data, options(mode), cpu=cpu)
        outputs = session.run(many)
        loaded = time.perf_counter() - begun
        apart = np.abs(outputs[:COMPARED].astype(np.float64) - right)
        parts = [(session.run(first(many, batch)), batch) for batch in fewer]
        same = [part[i].tobytes() == outputs[i].tobytes() for part, batch in parts for i in range(batch)]
        is_picture = right.dtype == np.uint8
        differing = float((apart > (0 if is_picture else 1e-6)).mean())
        worst, stable = float(apart.max()), sum(same) / len(same)
        yield Parity(model.label, mode, session.provider, is_picture, worst, differing, stable, loaded)


def first(inputs: Arrays, count: int) -> Arrays:
    """The first so many rows."""
    return {name: values[:count] for name, values in inputs.items()}


def speeds(model: Model, mode: str, seconds: float, cpu: bool) -> Iterator[Speed]:
    """One model in one way, over the batch sizes."""
    session = Session(model.data, options(mode), cpu=cpu)
    for batch in BATCHES:
        try:
            yield Speed(model.label, mode, batch, rate(session, [rows(model, batch)], seconds))
        except Exception as error:
            yield Speed(model.label, mode, batch, None, f"{type(error).__name__}: {error}"[:200])


def in_turn(model: Model, seconds: float, cpu: bool) -> Speed:
    """Rows a second while the batch size changes with every run."""
    session, inputs = Session(model.data, options("plain"), cpu=cpu), [rows(model, batch) for batch in BATCHES[:3]]
    return Speed(model.label, "plain", IN_TURN, rate(session, inputs, seconds))


def rate(session: Session, inputs: list[dict[str, NDArray[Any]]], seconds: float) -> float:
    """Rows a second of these batches, one after the other and again; each has run before."""
    counts = [len(session.run(some)) for some in inputs for _ in range(2)]
    begun, done = time.perf_counter(), 0
    while (spent := time.perf_counter() - begun) < seconds or not done:
        for some in inputs:
            session.run(some)
        done += sum(counts) // 2
    return done / spent
