"""What the benchmark chooses for a peer, from the environment, since each framework starts its workers its own way."""

from __future__ import annotations

import os
from typing import Final

from bench.work import Worker

WORKERS: Final = int(os.environ.get("BENCH_WORKERS", "2"))  # noqa: TID251
PORT: Final = int(os.environ.get("BENCH_PORT", "8000"))  # noqa: TID251
PHOTO_BATCH: Final = int(os.environ.get("BENCH_PHOTOS", "16"))  # noqa: TID251
REQUEST_TIMEOUT_S: Final = 180
MAX_BATCH: Final = 16
BATCH_WAIT_MS: Final = 10


def worker() -> Worker:
    """The work, with the tiles that the search for the raw limit found best."""
    intra, tile, rows = (int(os.environ.get(f"BENCH_{name}", "0")) for name in ("INTRA", "TILE", "ROWS"))  # noqa: TID251
    return Worker(intra, batch=rows or MAX_BATCH, tile=tile)
