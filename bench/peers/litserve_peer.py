"""LitServe with its dynamic batching and its fast queue; photos come as base64 in JSON, as its manual shows."""

import base64
from typing import Any

import litserve
from fastapi import Request, Response

from bench.peers.options import BATCH_WAIT_MS, MAX_BATCH, PHOTO_BATCH, PORT, REQUEST_TIMEOUT_S, WORKERS, worker
from bench.work import Order, Photo


def parsed(request: Any) -> dict[str, Any]:  # noqa: ANN401
    """The annotation `Request` makes LitServe pass the parsed JSON, which is no Request."""
    return dict(request)


class Pictures(litserve.LitAPI):
    """What both tasks have in common."""

    def setup(self, device: str) -> None:
        self.work = worker()

    def batch(self, inputs: list[Any]) -> list[Any]:
        return inputs

    def unbatch(self, output: list[bytes]) -> list[bytes]:
        return output

    def encode_response(self, output: bytes) -> Response:
        return Response(output, media_type="application/octet-stream")


class Generate(Pictures):
    """Orders to pictures."""

    def decode_request(self, request: Request) -> Order:
        return Order(**parsed(request))

    def predict(self, orders: list[Order]) -> list[bytes]:
        return self.work.generate(orders)


class Enhance(Pictures):
    """Photos to larger ones."""

    def decode_request(self, request: Request) -> Photo:
        fields = parsed(request)
        return Photo(base64.b64decode(fields["image"]), fields["format"])

    def predict(self, photos: list[Photo] | Photo) -> list[bytes] | bytes:
        if isinstance(photos, Photo):  # without batches there is no list
            return self.work.enhance([photos])[0]
        return self.work.enhance(photos)


if __name__ == "__main__":
    wait_s = BATCH_WAIT_MS / 1000
    apis = [
        Generate(MAX_BATCH, wait_s, "/generate"),
        Enhance(PHOTO_BATCH, wait_s if PHOTO_BATCH > 1 else 0.0, "/enhance"),
    ]
    server = litserve.LitServer(
        apis, accelerator="cpu", devices=1, workers_per_device=WORKERS, timeout=REQUEST_TIMEOUT_S, fast_queue=True
    )
    server.run(host="127.0.0.1", port=PORT, generate_client_file=False, log_level="warning")
