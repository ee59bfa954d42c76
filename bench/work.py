"""The two pieces of work that every server in the comparison does, and that the raw limit is measured with."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from app.images import ImageFormat, ImageLimits, Picture, Pixels, decode, encode, over
from app.provenance import xmp_packet
from app.repository import Model, read_models
from app.tasks.enhance import LevelTiles, Tiles, keep_mean
from app.tasks.generate import latent

ROOT: Final = Path(__file__).parents[1]
MODELS: Final = ROOT / "models"
FORMATS: Final = ("webp", "jpeg")
TASKS: Final = ("generate", "enhance")
QUALITY: Final = 90
DAY: Final = "2026-01-01"
TRUNCATION: Final = np.float32(0.8)
LIMITS: Final = ImageLimits(40_000_000)
MAX_BATCH: Final = 16


@dataclass(frozen=True, slots=True)
class Order:
    """One `/generate` request."""

    category: str
    seed: int
    format: str


@dataclass(frozen=True, slots=True)
class Photo:
    """One `/enhance` request."""

    data: bytes
    format: str


class Rows(Protocol):
    """What `Tiles` and `LevelTiles` have in common."""

    rows: int

    def row(self, index: int) -> Any: ...  # noqa: ANN401  # whatever the service's tiles give

    def put(self, index: int, output: NDArray[Any]) -> None: ...


def load(model: Model, intra: int, spinning: bool) -> onnxruntime.InferenceSession:
    """One session of ONNX Runtime on the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = intra
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
    return onnxruntime.InferenceSession(model.data, options, providers=["CPUExecutionProvider"])


class Worker:
    """The shipped models with the code around them: no queue, no server. Threads may share one."""

    def __init__(self, intra: int = 1, spinning: bool = True, batch: int = MAX_BATCH, tile: int = 0) -> None:
        """`intra` 0 leaves the number of threads to ONNX Runtime; `tile` 0 is the manifest's, -1 a whole photo."""
        # Backwards, since the first model of a task is its default.
        self.models = {model.manifest.task: model for model in reversed(read_models(MODELS).values())}
        self._sessions = {task: load(model, intra, spinning) for task, model in self.models.items()}
        self._batch, self._tile = batch, tile

    def generate(self, orders: Sequence[Order]) -> list[bytes]:
        """One picture an order, all in one batch."""
        classes = self.models["generate"].manifest.classes
        inputs = {
            "z": np.stack([latent(order.seed) for order in orders]),
            "label": np.array([classes.index(order.category) for order in orders], np.int64),
            "truncation": np.full(len(orders), TRUNCATION),
        }
        outputs: NDArray[np.uint8] = self._sessions["generate"].run(None, inputs)[0]
        return [self._finish(rgba, order) for rgba, order in zip(outputs, orders, strict=True)]

    def _finish(self, rgba: Pixels, order: Order) -> bytes:
        mark = self._mark("generate", "trainedAlgorithmicMedia", str(order))
        return encode(over(rgba, (255, 255, 255)), ImageFormat(order.format), QUALITY, mark)

    def enhance(self, photos: Sequence[Photo], pool: Executor | None = None) -> list[bytes]:
        """Photos at twice their size; the tiles of all share batches, which `pool` may run side by side."""
        pictures = [decode(one.data, LIMITS) for one in photos]
        levels = [LevelTiles(picture.rgb, self.models["level"].manifest.tile) for picture in pictures]
        self._run("level", levels, pool)
        tiles = [self._tiles(picture, level.level) for picture, level in zip(pictures, levels, strict=True)]
        self._run("enhance", tiles, pool)
        work = zip(tiles, pictures, photos, strict=True)
        return [self._finish_photo(done.output, picture, one) for done, picture, one in work]

    def _tiles(self, picture: Picture, level: float) -> Tiles:
        m, (height, width) = self.models["enhance"].manifest, picture.rgb.shape[:2]
        side = self._tile or m.tile
        shape = (height + 2 * m.margin, width + 2 * m.margin) if side < 0 else (side, side)
        return Tiles(picture.rgb, level, shape=shape, margin=m.margin, scale=m.scale)

    def _finish_photo(self, large: Pixels, picture: Picture, one: Photo) -> bytes:
        mark = self._mark("enhance", "algorithmicallyEnhanced", str(len(one.data)))
        return encode(keep_mean(large, picture.rgb), ImageFormat(one.format), QUALITY, mark)

    def _run(self, task: str, works: Sequence[Rows], pool: Executor | None) -> None:
        rows = [(work, index) for work in works for index in range(work.rows)]
        batches = [rows[at : at + self._batch] for at in range(0, len(rows), self._batch)]
        run: Callable[[list[tuple[Rows, int]]], None] = lambda batch: self._run_batch(task, batch)  # noqa: E731
        list((pool.map if pool else map)(run, batches))

    def _run_batch(self, task: str, batch: list[tuple[Rows, int]]) -> None:
        cut = [work.row(index) for work, index in batch]
        inputs = {name: np.stack([row[name] for row in cut]) for name in cut[0]}
        for (work, index), output in zip(batch, self._sessions[task].run(None, inputs)[0], strict=True):
            work.put(index, output)

    def _mark(self, task: str, source: str, basis: str) -> bytes:
        model = self.models[task]
        identifier = uuid.uuid5(uuid.NAMESPACE_OID, basis).urn
        return xmp_packet(source=source, day=DAY, identifier=identifier, model=model.label, digest=model.digest)
