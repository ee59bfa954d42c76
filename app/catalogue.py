"""The models in use: loaded, proved and warm, swapped as a whole."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from app.batching import Line
from app.contracts import prove, reason, smoke_row
from app.errors import UnknownModel
from app.metrics import Metrics
from app.repository import Model, RepositoryError, active_version, homes
from app.sessions import CPU, Engine
from app.signatures import read_signed

log = logging.getLogger("vitrine.models")
OpenEngine = Callable[[bytes], Engine]
MEASURED: Final = 3  # runs of a row, once a model has proved itself
ENOUGH_S: Final = 0.05  # of measuring: what lengthens a short run a lot lengthens a long one little


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model with its place in the worker."""

    model: Model
    engine: Engine
    line: Line
    """For rows of the manifest's size."""
    steady: bool
    """Whether a pixel's value depends on the picture alone, so that tiles may be as large as time allows."""
    new_line: Callable[[float], Line]
    """Makes a line, given the seconds of a row."""
    sized: dict[tuple[int, int], Line] = field(default_factory=dict)
    """For tiles of other sizes, since all rows of a batch have the same."""

    def line_for(self, shape: tuple[int, int]) -> Line:
        """The place of tiles of (height, width). Only for the event loop's thread."""
        if shape not in self.sized:
            self.sized[shape] = self.new_line(self.seconds_per_pixel * shape[0] * shape[1])
        return self.sized[shape]

    @property
    def lines(self) -> list[Line]:
        """All there are so far."""
        return [self.line, *self.sized.values()]

    @property
    def seconds_per_pixel(self) -> float:
        """Time of one worker, of a model that works on tiles."""
        return self.line.seconds_per_row / self.model.manifest.tile**2

    @property
    def name(self) -> str:
        return self.model.manifest.name

    @property
    def label(self) -> str:
        """name@version"""
        return self.model.label

    @property
    def digest(self) -> str:
        return self.model.digest


class Catalogue:
    """Every model in use at one moment. A request keeps the one that it began with, so its answer is never mixed."""

    def __init__(self, loaded: dict[str, Loaded]) -> None:
        self._loaded = loaded
        self._models = {name: one.model for name, one in loaded.items()}
        """Every model there is, by name."""
        self.digests = " ".join(one.digest for one in loaded.values())
        """All digests, for entity tags."""

    def __iter__(self) -> Iterator[Loaded]:
        return iter(self._loaded.values())

    def names(self, task: str, wanted: str | None = None) -> list[str]:
        """Of the models for a task, by name or name@version where one is wanted."""
        models = self._models.items()
        return [name for name, one in models if one.manifest.task == task and wanted in (None, name, one.label)]

    def named(self, name: str) -> Loaded | None:
        """A model by its name."""
        return self._loaded.get(name)

    def find(self, task: str, wanted: str | None = None) -> Loaded:
        """The model for a task, by name or name@version; the first one by default.

        Raises:
            UnknownModel: there is none.
        """
        found = self.first(task, wanted)
        if found is None:
            raise UnknownModel(f"No such model for {task!r} is in the repository.")
        return found

    def first(self, task: str, wanted: str | None = None) -> Loaded | None:
        """As `find`, or nothing."""
        names = self.names(task, wanted)
        return self.named(names[0]) if names else None

    def enhancers(self, scale: int, wanted: str | None = None, *, clean: bool = False) -> list[Loaded]:
        """The passes that make a picture at least `scale` times larger; one where it is no larger.

        All by the model that is `wanted`; else each by the first model of the largest scale that is not too large. A
        `clean` picture needs no restoration: where there are models that only enlarge, those do it.

        Raises:
            UnknownModel: there is no such model, or none at all.
        """
        task = "upscale" if clean and wanted is None and self.names("upscale") else "enhance"
        there = {name: self._models[name].manifest.scale for name in self.names(task, wanted)}
        smallest = min(there.values(), default=0)
        passes: list[Loaded] = []
        done = 1
        while not passes or done < scale:
            largest = max([each for each in there.values() if each * done <= scale], default=smallest)
            passes.append(self.find(task, next((name for name, each in there.items() if each == largest), wanted)))
            done *= largest
        return passes


class OnDemand(Catalogue):
    """Models that are brought into use when they are first asked for: for commands, which need few of them.

    Whoever asks waits until it is loaded, and gets a RepositoryError where it cannot be served.
    """

    def __init__(self, models: dict[str, Model], load: Callable[[Model], Loaded]) -> None:
        super().__init__({})
        self._models, self._load = models, load
        self.digests = " ".join(one.digest for one in models.values())

    def named(self, name: str) -> Loaded | None:
        if name in self._models and name not in self._loaded:
            self._loaded[name] = self._load(self._models[name])
        return super().named(name)


@dataclass(frozen=True, slots=True)
class Loader:
    """How models are brought into use."""

    root: Path
    open: OpenEngine
    metrics: Metrics
    max_batch: int
    batch_s: float
    key: Path | None = None
    """Whose signature every model must have."""

    def load(self, model: Model) -> Loaded:
        """Open a model's graph and prove that it does its task, which also warms it up.

        Raises:
            RepositoryError: it cannot be loaded, or does not do its task.
        """
        try:
            engine = self.open(model.data)
        except Exception as error:
            raise RepositoryError(f"{model.label}: the graph cannot be loaded ({reason(error)})") from error
        steady = prove(model, engine.run) & prove(model, lambda rows: engine.run(rows, alone=True))
        speed = seconds_per_row(engine, smoke_row(model))
        counters = self.metrics.model(model.manifest.name)

        def line(seconds: float) -> Line:
            return Line(engine, counters, seconds_per_row=seconds, max_batch=self.max_batch, batch_s=self.batch_s)

        log.info("%s is ready on %s, %.1f ms a row", model.label, engine.provider, 1000 * speed)
        return Loaded(model, engine, line(speed), steady, line)

    def first(self) -> Catalogue:
        """The active version of every model.

        Raises:
            RepositoryError: one of them cannot be served.
        """
        return self.again(Catalogue({}), self._refuse)

    def on_demand(self) -> Catalogue:
        """The same, none of them loaded yet.

        Raises:
            RepositoryError: one of them is not what its manifest says, or there is none.
        """
        models = {home.name: read_signed(home / active_version(home), self.key) for home in homes(self.root)}
        if not models:
            raise RepositoryError(f"{self.root} holds no model")
        return OnDemand(models, self.load)

    def _refuse(self, error: RepositoryError) -> None:
        raise error

    def again(self, old: Catalogue, refused: Callable[[RepositoryError], None]) -> Catalogue:
        """What the repository says now: what has changed is loaded; what is wrong is `refused`, its old version stays.

        Raises:
            RepositoryError: there would be no model at all.
        """
        new: dict[str, Loaded] = {}
        for home in homes(self.root):
            kept = old.named(home.name)
            try:
                model = read_signed(home / active_version(home), self.key)
                same = kept is not None and kept.digest == model.digest and kept.label == model.label
                new[home.name] = kept if kept and same else self.load(model)
            except RepositoryError as error:
                refused(error)
                if kept:
                    new[home.name] = kept
        if not new:
            raise RepositoryError(f"{self.root} holds no model")
        return Catalogue(new)


def seconds_per_row(engine: Engine, row: dict[str, Any]) -> float:
    """The best of some runs of one row, in seconds; on a CPU of its time, which no other program lengthens."""
    rows = {name: np.asarray(value)[None] for name, value in row.items()}
    clock = time.thread_time if engine.provider == CPU else time.monotonic
    times: list[float] = []
    while len(times) < MEASURED and sum(times) < ENOUGH_S:
        begun = clock()
        engine.run(rows)
        times.append(clock() - begun)
    return max(min(times), 1e-5)
