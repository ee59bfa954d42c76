"""BentoML with its adaptive batching; a batchable API takes and gives lists in JSON, so pictures are base64."""

from __future__ import annotations

import base64

import bentoml
from pydantic import BaseModel

from bench.peers.options import MAX_BATCH, PHOTO_BATCH, REQUEST_TIMEOUT_S, WORKERS, worker
from bench.work import Order, Photo


class Generate(BaseModel):
    """A picture to generate."""

    category: str
    seed: int
    format: str


class Enhance(BaseModel):
    """A photo to enlarge."""

    image: str
    format: str


@bentoml.service(workers=WORKERS, traffic={"timeout": REQUEST_TIMEOUT_S}, logging={"access": {"enabled": False}})
class Pictures:
    """Both tasks in one service."""

    def __init__(self) -> None:
        self.work = worker()

    # The latency limit only refuses requests; at its default, a minute, it refuses none of ours.
    @bentoml.api(batchable=True, max_batch_size=MAX_BATCH, max_latency_ms=1000 * REQUEST_TIMEOUT_S)
    def generate(self, items: list[Generate]) -> list[str]:
        files = self.work.generate([Order(one.category, one.seed, one.format) for one in items])
        return [base64.b64encode(data).decode() for data in files]

    @bentoml.api(batchable=True, max_batch_size=max(2, PHOTO_BATCH), max_latency_ms=1000 * REQUEST_TIMEOUT_S)
    def enhance(self, items: list[Enhance]) -> list[str]:
        files = self.work.enhance([Photo(base64.b64decode(one.image), one.format) for one in items])
        return [base64.b64encode(data).decode() for data in files]
