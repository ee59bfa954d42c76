"""The request path: what happens between a checked request and a finished answer."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
import uuid
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from app import __version__
from app.answers import Answer, Encoded
from app.batching import Batcher, Row, Work
from app.errors import ImageTooLarge, Overloaded, UnknownCategory, UnknownModel
from app.gpus import gpu_memory, load_nvml
from app.images import Credits, ImageFormat, ImageLimits, Picture, Pixels, decode, encode, over, resize
from app.metrics import Metrics
from app.provenance import NO_CREDITS, xmp_packet
from app.repository import Model
from app.schemas import EnhanceOptions, GenerateRequest, rgb_of
from app.sessions import Session
from app.settings import Settings
from app.tasks.enhance import LevelTiles, Tiles, fill_hidden, keep_mean
from app.tasks.generate import SEEDS, Z_SIZE, drawn_label, latent, mixed

T = TypeVar("T")
log = logging.getLogger("vitrine")
UNMEASURED_DENOISE: Final = 0.5  # when no model is there to estimate it


class Clock:
    """Milliseconds that one request spends in each stage."""

    def __init__(self) -> None:
        self.ms: dict[str, float] = dict.fromkeys(("decode", "queue", "infer", "encode"), 0.0)

    def add(self, stage: str, seconds: float) -> None:
        self.ms[stage] += 1000 * seconds


class Rows:
    """Work whose rows are there already, one for each picture; `outputs` are the pictures."""

    def __init__(self, rows: list[Row]) -> None:
        self._rows, self.rows = rows, len(rows)
        self.outputs: list[NDArray[Any]] = [np.empty(0, np.uint8)] * len(rows)

    def row(self, index: int) -> Row:
        return self._rows[index]

    def put(self, index: int, output: NDArray[Any]) -> None:
        self.outputs[index] = output


class Service:
    """The models with their queues, the threads that decode and encode, and what is held in memory."""

    def __init__(self, settings: Settings, models: dict[str, Model], metrics: Metrics) -> None:
        self.settings, self.models, self.metrics = settings, models, metrics
        self.limits = ImageLimits(settings.max_pixels)
        self.ready = False
        self._held = 0
        self._batchers: dict[str, Batcher] = {}
        self.providers: dict[str, str] = {}
        self._threads = ThreadPoolExecutor(settings.workers, "codec")

    def start(self) -> None:
        """Load every model and run it once, then be ready."""
        for name, model in self.models.items():
            session = Session(model.data)
            session.run({key: np.asarray(value)[None] for key, value in smoke_row(model).items()})
            self.providers[name] = session.provider
            log.info("%s is ready on %s", model.label, session.provider)
            manifest = model.manifest
            facts = (manifest.name, manifest.version, manifest.task, model.digest, session.provider)
            self.metrics.info.labels(*facts).set(1)
            self._batchers[name] = Batcher(
                session.run, self.metrics.model(name), workers=self.settings.workers, max_batch=self.settings.max_batch
            )
        self.metrics.watch_gpus(partial(gpu_memory, load_nvml()))
        self.metrics.ready.set_function(lambda: float(self.is_ready()))
        self.ready = True

    def is_ready(self) -> bool:
        """Whether every model is loaded, warm, and taking work."""
        return self.ready and all(batcher.alive() for batcher in self._batchers.values())

    def stop(self) -> None:
        """Finish what was accepted."""
        self.ready = False
        for batcher in self._batchers.values():
            batcher.close()
        self._threads.shutdown()

    def find(self, task: str, wanted: str | None = None) -> Model:
        """The model for a task, by name or name@version; the first one by default.

        Raises:
            UnknownModel: there is none.
        """
        for model in self.models.values():
            if model.manifest.task == task and wanted in (None, model.manifest.name, model.label):
                return model
        raise UnknownModel(f"No such model for {task!r} is in the repository.")

    async def infer(self, model: Model, work: Work, deadline: float, clock: Clock) -> None:
        """Run work on a model."""
        spent = await self._batchers[model.manifest.name].submit(work, deadline)
        clock.add("queue", spent.queue)
        clock.add("infer", spent.infer)

    async def timed(self, stage: str, clock: Clock, function: Callable[..., T], *args: object) -> T:
        """Run a function in one of the codec threads."""
        begun = time.monotonic()
        result = await asyncio.get_running_loop().run_in_executor(self._threads, function, *args)
        clock.add(stage, time.monotonic() - begun)
        return result

    @asynccontextmanager
    async def holding(self, pixels: int) -> AsyncIterator[None]:
        """Account for pixels in memory.

        Raises:
            Overloaded: there are too many already.
        """
        if self._held and self._held + pixels > self.settings.max_held_pixels:
            raise Overloaded(5)
        self._held += pixels
        try:
            yield
        finally:
            self._held -= pixels

    async def enlarge(self, rgb: Pixels, scale: int, strength: float, deadline: float, clock: Clock) -> Pixels:
        """(H, W, 3) uint8 -> (scale*H, scale*W, 3), restored with `strength` on the way."""
        model = self.find("enhance")
        m, done = model.manifest, 1
        while done < scale:
            tiles = Tiles(rgb, strength, tile=m.tile, margin=m.margin, scale=m.scale)
            await self.infer(model, tiles, deadline, clock)
            # Later passes see a restored picture: there is nothing left to restore.
            rgb, done, strength = tiles.output, done * m.scale, 0.0
        return rgb


def smoke_row(model: Model) -> dict[str, Any]:
    """Inputs that every model of a task must be able to run."""
    tile = np.zeros((model.manifest.tile, model.manifest.tile, 3), np.uint8)
    rows: dict[str, dict[str, Any]] = {
        "generate": {"z": np.zeros(Z_SIZE, np.float32), "label": np.int64(0), "truncation": np.float32(1)},
        "enhance": {"image": tile, "strength": np.float32(0)},
        "level": {"image": tile},
    }
    return rows[model.manifest.task]


@dataclass(frozen=True, slots=True)
class Identity:
    """All that decides about an answer's bytes, and the day (UTC, ISO 8601) that its label names."""

    basis: str
    day: str

    @classmethod
    def of(cls, *parts: object) -> Identity:
        """From the request's parts, this version of the service, and today."""
        day = datetime.now(UTC).date().isoformat()
        return cls(" ".join(str(part) for part in (*parts, __version__, day)), day)

    @property
    def etag(self) -> str:
        """A strong entity tag."""
        return f'"{hashlib.sha256(self.basis.encode()).hexdigest()[:32]}"'

    def mark(self, model: Model, source: str, index: int = 0, credits: Credits = NO_CREDITS) -> bytes:
        """The XMP of picture `index` of the answer; `source` as in `xmp_packet`."""
        identifier = uuid.uuid5(uuid.NAMESPACE_OID, f"{self.basis} {index}").urn
        return xmp_packet(
            source=source, day=self.day, identifier=identifier, model=model.label, digest=model.digest, kept=credits
        )


def latent_rows(options: GenerateRequest, seeds: list[int], model: Model) -> list[Row]:
    """The generator's inputs, a row each picture.

    Raises:
        UnknownCategory: the model has no such class.
    """
    classes = model.manifest.classes
    if options.category is not None and options.category not in classes:
        raise UnknownCategory("The model has no such category; GET /categories lists them.")
    rows: list[Row] = []
    for seed in seeds:
        z = latent(seed)
        if options.mix is not None:
            z = mixed(z, latent(options.mix.seed), options.mix.amount)
        label = drawn_label(seed, len(classes)) if options.category is None else classes.index(options.category)
        rows.append({"z": z, "label": np.int64(label), "truncation": np.float32(options.truncation)})
    return rows


async def generate(
    service: Service,
    options: GenerateRequest,
    image_format: ImageFormat,
    seed: int,
    deadline: float,
    identity: Identity,
) -> Answer:
    """Product pictures by category and seed; picture i uses (seed + i) mod 2^63."""
    clock, model = Clock(), service.find("generate", options.model)
    seeds = [(seed + i) % SEEDS for i in range(options.count)]
    work = Rows(latent_rows(options, seeds, model))
    side = options.size or model.manifest.size
    if side > model.manifest.size:
        service.find("enhance")
    await service.infer(model, work, deadline, clock)
    files = []
    for index, (rgba, one) in enumerate(zip(work.outputs, seeds, strict=True)):
        product = rgba
        if side > model.manifest.size:
            product = await enlarge_rgba(service, rgba, side, deadline, clock)
        xmp = identity.mark(model, "trainedAlgorithmicMedia", index)
        data = await service.timed("encode", clock, finish, product, side, options, image_format, xmp)
        files.append(Encoded(data, side, side, one))
    return Answer(files, image_format, model.label, model.digest, clock.ms)


async def enlarge_rgba(service: Service, rgba: Pixels, side: int, deadline: float, clock: Clock) -> Pixels:
    """A square product through the enhancer until it is at least `side` px.

    With full restoration, which takes the generator's mottle for the noise that it looks like.
    """
    scale = 1
    while rgba.shape[0] * scale < side:
        scale *= 2
    # The colours of half-transparent edge pixels are guesses of the generator: take their inner neighbours' instead.
    rgb = fill_hidden(rgba[..., :3], (rgba[..., 3] == 255).astype(np.uint8))
    large = await service.enlarge(rgb, scale, 1.0, deadline, clock)
    alpha = resize(rgba[..., 3], large.shape[1], large.shape[0])
    return np.dstack([large, alpha])


def finish(rgba: Pixels, side: int, options: GenerateRequest, image_format: ImageFormat, xmp: bytes) -> bytes:
    """Size, background and encoding of one generated picture."""
    pixels = resize(rgba, side, side)
    if options.background != "transparent":
        pixels = over(pixels, rgb_of(options.background))
    return encode(pixels, image_format, options.quality, xmp)


async def enhance(
    service: Service,
    data: bytes,
    options: EnhanceOptions,
    image_format: ImageFormat,
    deadline: float,
    identity: Identity,
) -> tuple[Answer, Picture]:
    """One upload, sharper, cleaner, larger; also gives the upload as it was read."""
    clock, model = Clock(), service.find("enhance")
    picture = await service.timed("decode", clock, decode, data, service.limits)
    area = picture.width * picture.height
    if area * options.scale**2 > service.settings.max_output_pixels:
        raise ImageTooLarge(f"The answer would be over {service.settings.max_output_pixels} pixels.")
    if options.background != "keep" and picture.alpha is None:
        raise UnknownModel("Another background needs a cut-out, and no model for that is in the repository.")
    async with service.holding(area * (1 + max(4, options.scale**2))):
        rgb = await restored(service, picture, options, deadline, clock)
        xmp = identity.mark(model, "algorithmicallyEnhanced", credits=picture.credits)
        args = (rgb, picture.alpha, options, image_format, xmp)
        encoded = await service.timed("encode", clock, finish_enhanced, *args)
    file = Encoded(encoded, rgb.shape[1], rgb.shape[0])
    return Answer([file], image_format, model.label, model.digest, clock.ms), picture


async def restored(
    service: Service, picture: Picture, options: EnhanceOptions, deadline: float, clock: Clock
) -> Pixels:
    """The upload's colours at the size asked for; its very own pixels for scale 1 without restoration."""
    if options.scale == 1 and options.denoise == 0:
        return picture.rgb
    rgb = picture.rgb
    if picture.alpha is not None:
        rgb = await service.timed("decode", clock, fill_hidden, rgb, picture.alpha)
    strength = options.denoise
    if strength is None:
        strength = await estimated_level(service, rgb, deadline, clock)
    large = await service.enlarge(rgb, max(2, options.scale), strength, deadline, clock)
    if options.scale == 1:
        large = await service.timed("encode", clock, resize, large, picture.width, picture.height)
    return await service.timed("encode", clock, keep_mean, large, rgb)


async def estimated_level(service: Service, rgb: Pixels, deadline: float, clock: Clock) -> float:
    """How degraded a photo is, in [0, 1]."""
    try:
        model = service.find("level")
    except UnknownModel:
        return UNMEASURED_DENOISE
    tiles = LevelTiles(rgb, model.manifest.tile)
    await service.infer(model, tiles, deadline, clock)
    return tiles.level


def finish_enhanced(
    rgb: Pixels, alpha: Pixels | None, options: EnhanceOptions, image_format: ImageFormat, xmp: bytes
) -> bytes:
    """Alpha at the new size, background and encoding."""
    if alpha is not None:
        rgb = np.dstack([rgb, resize(alpha, rgb.shape[1], rgb.shape[0])])
        if options.background not in ("keep", "transparent"):
            rgb = over(rgb, rgb_of(options.background))
    return encode(rgb, image_format, options.quality, xmp)
