"""What requests share: the models with their worker, the threads that decode, and what was let in."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import TypeVar

import numpy as np

from app.admission import Admission, Ticket
from app.batching import Batcher, Done, Line, Work
from app.catalogue import Catalogue, Loaded, Loader, OpenEngine
from app.decoders import Decoders
from app.gpus import gpu_memory, load_nvml
from app.images import ImageLimits, Picture, Pixels, warm_up
from app.keys import KeyFileError, Keys, read_keys
from app.lanes import MANY
from app.metrics import Metrics
from app.presets import Presets
from app.provenance import Labels
from app.rates import Rates
from app.repository import RepositoryError, manifests
from app.sessions import Engine, SessionOptions, cuda_is_built_in, cuda_works
from app.settings import Settings
from app.tasks.enhance import Tiles, fixed_shape, tile_shape
from app.tasks.restyle import StyleTiles
from app.traces import Trace, Traces

T = TypeVar("T")
STAGES = ("decode", "queue", "infer", "encode")
ROOMY = 3
"""How many times as large as others the tiles of a photo may be that nobody waits for."""
GC_EVERY = 5000
"""Objects between two looks for garbage: under overload thousands of requests wait, and each look goes through them."""
log = logging.getLogger("vitrine")


class Call:
    """One request on its way: what it may use until when, and the milliseconds that it spends in each stage."""

    def __init__(self, catalogue: Catalogue, ticket: Ticket, trace: Trace | None = None) -> None:
        self.catalogue, self.ticket, self.trace = catalogue, ticket, trace
        self.ms: dict[str, float] = dict.fromkeys(STAGES, 0.0)

    def add(self, stage: str, seconds: float) -> None:
        self.ms[stage] += 1000 * seconds


class Service:
    """One process's half of the work behind the routes."""

    def __init__(
        self, settings: Settings, metrics: Metrics, open_engine: OpenEngine | None = None, traces: Traces | None = None,
        *, on_demand: bool = False,
    ) -> None:  # fmt: skip
        """`open_engine` makes an engine of a graph's bytes; by default as the settings say. `on_demand` leaves models
        alone until they are needed.

        Raises:
            PresetError: a preset is wrong.
            KeyFileError: the file of keys is.
            CredentialsError: answers cannot be signed.
        """
        self.settings, self.metrics, self.traces, self._on_demand = settings, metrics, traces, on_demand
        self.presets = Presets(settings.presets_dir)
        self.keys: Keys | None = None if settings.keys_file is None else read_keys(settings.keys_file)
        self.labels = Labels(settings)
        self.rates = Rates(settings.redis_url)
        nvml = load_nvml()
        metrics.watch_gpus(partial(gpu_memory, nvml))
        self._gpus = gpus = usable_gpus(settings, len(gpu_memory(nvml)))
        self.same_bytes = not gpus
        """Whether a request always gives the same bytes: a GPU's kernels change with the size of a batch."""
        self._codecs = ThreadPoolExecutor(settings.threads, "codec")
        self._decoders = Decoders(
            ImageLimits(settings.max_pixels), timeout_s=settings.decode_timeout_s,
            memory_bytes=settings.decode_memory_bytes, ended=lambda why: metrics.decoders.labels(why).inc(),
        )  # fmt: skip
        self._batcher = Batcher(
            workers=gpus or settings.threads, express=not gpus, restarted=metrics.restarts.inc,
            finisher=self._codecs if gpus else None, ran=traces.batch if traces else None,
        )  # fmt: skip
        self.admission = Admission(settings, self._batcher)
        options = SessionOptions(spin_us=settings.spin_us, arena=settings.arena, tensorrt=settings.tensorrt)
        engine = partial(Engine, cores=settings.lone_threads, gpus=gpus, options=options)
        batch_s = 10.0 if gpus else settings.batch_s
        self._loader = Loader(
            settings.models_dir, open_engine or engine, metrics, settings.max_batch, batch_s, settings.models_key
        )
        self.catalogue = Catalogue({})
        self._known: dict[str, str] = {}
        metrics.watch(self._watch)

    def start(self) -> None:
        """Load every model, prove and warm it, or see that it is there, and be ready.

        Raises:
            RepositoryError: a model cannot be served.
        """
        warm_up()
        self._decoders.start()
        self._show(first := self._loader.on_demand() if self._on_demand else self._loader.first())
        if self.labels.watermark and first.first("watermark") is None:
            raise RepositoryError("VITRINE_WATERMARK needs a model for the task 'watermark' in the repository")

    def reload(self) -> None:
        """Take over what has changed in the repository and among the keys; what is wrong is refused."""
        self._reload_keys()

        def refused(error: RepositoryError) -> None:
            log.error("refused: %s", error)
            self.metrics.reloads.labels("refused").inc()

        try:
            new = self._loader.again(self.catalogue, refused)
        except RepositoryError as error:
            refused(error)
            return
        taken = [one.label for one in new if one is not self.catalogue.named(one.name)]
        self._show(new)
        self.metrics.reloads.labels("taken").inc(len(taken))
        log.info("reloaded: %s", ", ".join(taken) or "nothing has changed")

    def _reload_keys(self) -> None:
        if self.settings.keys_file is not None:
            try:
                self.keys = read_keys(self.settings.keys_file)
            except KeyFileError as error:
                log.error("refused: %s", error)

    @property
    def known_models(self) -> list[tuple[str, str]]:
        """name@version and digest of every model that is, or was, in the repository since the start."""
        return list(self._known.items())

    def _show(self, new: Catalogue) -> None:
        self._known |= {
            f"{one.name}@{one.version}": f"sha256:{one.sha256}" for one in manifests(self.settings.models_dir)
        }
        for catalogue, value in ((self.catalogue, 0), (new, 1)):
            for one in catalogue:
                manifest = one.model.manifest
                facts = (manifest.name, manifest.version, manifest.task, one.digest, one.engine.provider)
                self.metrics.info.labels(*facts).set(value)
        self.catalogue = new

    def _watch(self) -> None:
        self.metrics.ready.set(self.is_ready())
        for one in self.catalogue:
            one.line.metrics.queue(*self._batcher.queue(one.lines))

    def is_ready(self) -> bool:
        """Whether every model is loaded and warm, or can be, and work is taken."""
        return bool(self.catalogue.digests) and not self.admission.draining and self._batcher.alive()

    def stop(self) -> None:
        """Finish what was accepted."""
        self._batcher.close()
        self._codecs.shutdown()
        self._decoders.close()
        if self.traces is not None:
            self.traces.close()

    async def infer(self, call: Call, model: Loaded, work: Work, finish: Callable[[], T]) -> T:
        """Run work on a model and then `finish`, both in the worker's threads; gives what `finish` gives."""
        return await self._submit(call, model, model.line, work, finish)

    async def _submit(self, call: Call, model: Loaded, line: Line, work: Work, finish: Callable[[], T]) -> T:
        self.admission.spend(call.ticket, work.rows * line.seconds_per_row)
        if call.trace is None:
            done = await self._batcher.submit(line, work, call.ticket.deadline, finish, call.ticket.client)
        else:
            done = await self._followed(call.trace, call, model, line, work, finish)
        call.add("queue", done.queue)
        call.add("infer", done.infer)
        call.add("encode", done.finish)
        return done.value

    async def _followed(
        self, trace: Trace, call: Call, model: Loaded, line: Line, work: Work, finish: Callable[[], T]
    ) -> Done[T]:
        """Submit work, and tell the request's trace."""
        begun, done = time.monotonic(), None
        trace.waits(work, model.label)
        try:
            done = await self._batcher.submit(line, work, call.ticket.deadline, finish, call.ticket.client)
        finally:
            trace.left(work, begun, done)
        return done

    async def decode(self, call: Call, data: bytes) -> Picture:
        """An upload as a picture, decoded in a process of its own.

        Raises:
            BadImage, ImageTooLarge: as `Decoders.decode`.
        """
        return await self.timed("decode", call, self._decoders.decode, data)

    async def timed(self, stage: str, call: Call, function: Callable[..., T], *args: object) -> T:
        """Run a function in one of the codec threads."""

        def run() -> tuple[T, float]:
            begun = time.monotonic()
            return function(*args), time.monotonic() - begun

        begun = time.monotonic()
        context = copy_context()  # so that what is logged there knows its request
        try:
            result, seconds = await asyncio.get_running_loop().run_in_executor(self._codecs, context.run, run)
        finally:
            if call.trace is not None:
                call.trace.stage(stage, begun, time.monotonic())
        self.admission.spend(call.ticket, seconds)
        call.add(stage, time.monotonic() - begun)
        return result

    async def enlarge(
        self, call: Call, rgb: Pixels, passes: list[Loaded], strength: float, finish: Callable[[Pixels], T]
    ) -> T:
        """(H, W, 3) uint8 through every pass, restored with `strength`; gives what `finish` makes of the large one."""
        *earlier, last = passes
        for model in earlier:
            line, tiles = self._tiles(call, model, rgb, strength)
            rgb = await self._submit(call, model, line, tiles, partial(np.asarray, tiles.output))
            strength = 0.0  # later passes see a restored picture: there is nothing left to restore
        line, tiles = self._tiles(call, last, rgb, strength)
        return await self._submit(call, last, line, tiles, partial(finish, tiles.output))

    async def translate(self, call: Call, model: Loaded, rgb: Pixels, finish: Callable[[Pixels], T]) -> T:
        """(H, W, 3) uint8 through a model of the task restyle; gives what `finish` makes of the picture."""
        shape = self._tile_shape(call, model, rgb)
        tiles = StyleTiles(rgb, shape=shape, margin=model.model.manifest.margin)
        return await self._submit(call, model, model.line_for(shape), tiles, partial(finish, tiles.output))

    def _tiles(self, call: Call, model: Loaded, rgb: Pixels, strength: float) -> tuple[Line, Tiles]:
        m, shape = model.model.manifest, self._tile_shape(call, model, rgb)
        told = strength if m.task == "enhance" else None
        return model.line_for(shape), Tiles(rgb, told, shape=shape, margin=m.margin, scale=m.scale)

    def _tile_shape(self, call: Call, model: Loaded, rgb: Pixels) -> tuple[int, int]:
        """Large tiles, larger ones where nobody may have to wait for them; a picture alone is shared out evenly.

        Brief work and who is favoured never wait for a tile: the express worker passes it.

        Where the size of a tile is to be seen in the bytes it depends on nothing but the picture's.
        """
        m, (height, width) = model.model.manifest, rgb.shape[:2]
        if self._gpus:
            return fixed_shape(m.margin)
        if not model.steady:
            return tile_shape(height, width, m.margin, m.tile**2)
        pixels, idle = self.settings.tile_s / model.seconds_per_pixel, self._batcher.idle()
        if idle or self._batcher.owed(call.ticket.client) > MANY * height * width * model.seconds_per_pixel:
            pixels *= ROOMY  # nobody is there, or it waits for its own photos
        return tile_shape(height, width, m.margin, pixels, self.settings.threads if idle else 1)


def settle() -> None:
    """Now that models and modules are there for good: no need to look through them for garbage again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_EVERY, *gc.get_threshold()[1:])


def usable_gpus(settings: Settings, there: int) -> int:
    """How many GPUs to use."""
    wanted = there if settings.gpus is None else min(settings.gpus, there)
    return wanted if wanted and cuda_is_built_in() and cuda_works() else 0
