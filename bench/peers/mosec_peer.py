"""mosec with its dynamic batching; its workers see the body only, so a photo's format stands before its bytes."""

from __future__ import annotations

import json

from mosec import Runtime, Server, Worker

from bench.peers.options import BATCH_WAIT_MS, MAX_BATCH, PHOTO_BATCH, REQUEST_TIMEOUT_S, WORKERS, worker
from bench.work import Order, Photo


class Pictures(Worker):
    """What both tasks have in common: the answer is the file."""

    resp_mime_type = "application/octet-stream"

    def __init__(self) -> None:
        self.work = worker()

    def serialize(self, data: bytes) -> bytes:
        return data


class Generate(Pictures):
    """Orders to pictures."""

    def deserialize(self, data: bytes) -> Order:
        return Order(**json.loads(data))

    def forward(self, data: list[Order]) -> list[bytes]:
        return self.work.generate(data)


class Enhance(Pictures):
    """Photos to larger ones."""

    def deserialize(self, data: bytes) -> Photo:
        return Photo(data[4:], data[:4].decode())

    def forward(self, data: list[Photo] | Photo) -> list[bytes] | bytes:
        if isinstance(data, Photo):  # without batches there is no list
            return self.work.enhance([data])[0]
        return self.work.enhance(data)


def runtime(task: type[Worker], batch: int) -> Runtime:
    return Runtime(task, WORKERS, batch, BATCH_WAIT_MS if batch > 1 else 0, timeout=REQUEST_TIMEOUT_S)


if __name__ == "__main__":
    server = Server()
    server.register_runtime({"/generate": [runtime(Generate, MAX_BATCH)], "/enhance": [runtime(Enhance, PHOTO_BATCH)]})
    server.run()
