"""The mark that is not seen: the first bits of a model's digest, hidden in a picture of any size, and found again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.batching import Row
from app.contracts import BITS
from app.images import Floats, Pixels, over, resample, shrunk
from app.tasks.compose import strips

PLACES: Final = (
    (0.0, 0.0),
    (0.0, 1.0),
    (1.0, 0.0),
    (1.0, 1.0),
    (0.5, 0.5),
    (0.0, 0.5),
    (0.5, 0.0),
    (0.5, 1.0),
    (1.0, 0.5),
)
ALIGNMENTS: Final = ((1.0, 0.0, 0.0), *((scale, *place) for scale in (0.95, 0.9) for place in PLACES))
"""What a picture may be of the one that was marked: how large a part, and where in it."""
WRONG: Final = 2
"""So many bits may be read wrongly: with ten models known and every alignment tried, a picture without a mark is taken
for a marked one once in 40,000."""
Run = Callable[[Mapping[str, NDArray[Any]]], NDArray[Any]]


def bits_of(digest: str) -> Floats:
    """(BITS,) float32 of 0 and 1: the first bits of a digest, "sha256:HEX"."""
    head = bytes.fromhex(digest.removeprefix("sha256:")[: BITS // 4])
    return np.unpackbits(np.frombuffer(head, np.uint8)).astype(np.float32)


def hidden(pixels: Pixels, digest: str, side: int, run: Run) -> Pixels:
    """(H, W, 3) RGB or (H, W, 4) straight RGBA uint8 -> the same with a digest's first bits in its colours.

    What is quite white stays so, and so does what cannot be seen. `run` is the network, which looks at `side` px.
    """
    height, width = pixels.shape[:2]
    rgb = over(pixels, (255, 255, 255)) if pixels.shape[2] == 4 else pixels
    change = run({"image": shrunk(rgb, side, side)[None], "bits": bits_of(digest)[None]})[0]
    marked = pixels.copy()
    planes = [resample(np.ascontiguousarray(change[..., channel]), width, side) for channel in range(3)]
    if height <= side:
        planes = [resample(plane, width, height) for plane in planes]
    for rows in strips(height):
        part = pixels[rows]
        room = (part[..., :3].min(2) < 255) if part.shape[2] == 3 else (part[..., :3].min(2) < 255) & (part[..., 3] > 0)
        for channel, plane in enumerate(planes):
            added = plane[rows] if height <= side else lines(plane, rows, height)
            changed = np.rint(part[..., channel] + added * room)
            # 254 at most: what is not white must not become so, or the reader's picture would have other room.
            marked[rows, :, channel] = np.where(room, np.clip(changed, 0, 254.0 + (part[..., channel] == 255)), 255)
        if not room.all():
            marked[rows][~room] = part[~room]
    return marked


def lines(plane: Floats, rows: slice, height: int) -> Floats:
    """Some rows of a plane (S, W) enlarged to `height` rows, linear in between, the outermost repeated."""
    side = len(plane)
    at = ((np.arange(rows.start, rows.stop) + 0.5) * side / height - 0.5).clip(0, side - 1)
    low = at.astype(np.intp)
    high, share = np.minimum(low + 1, side - 1), (at - low).astype(np.float32)[:, None]
    return np.asarray(plane[low] * (1 - share) + plane[high] * share, np.float32)


class Reading:
    """The reader's work on one picture, (H, W, 3) uint8: as it is, and as the part of a larger one that it may be.

    `logits` are (rows, BITS) float32 when it is done.
    """

    rows: Final = len(ALIGNMENTS)

    def __init__(self, rgb: Pixels, side: int) -> None:
        self._side = side
        sizes = {scale: round(scale * side) for scale, _, _ in ALIGNMENTS}
        self._parts = {scale: shrunk(rgb, size, size) for scale, size in sizes.items()}
        self.logits: Floats = np.zeros((self.rows, BITS), np.float32)

    def row(self, index: int) -> Row:
        scale, down, across = ALIGNMENTS[index]
        return {"image": surrounded(self._parts[scale], self._side, down, across)}

    def put(self, index: int, output: NDArray[Any]) -> None:
        self.logits[index] = output


def surrounded(part: Pixels, side: int, down: float, across: float) -> Pixels:
    """(S, S, 3) -> (side, side, 3): as a part of a whole, so far down and across as there is room.

    What is missing around it repeats its edges.
    """
    room = side - len(part)
    top, left = round(down * room), round(across * room)
    return np.pad(part, ((top, room - top), (left, room - left), (0, 0)), mode="edge")


def recognised(logits: Floats, known: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Which of the models known, pairs of name@version and digest, hid its digest in a picture; if any did."""
    read = logits > 0
    wrong = {label: int((read != (bits_of(digest) > 0)).sum(1).min()) for label, digest in known}
    label = min(wrong, key=wrong.__getitem__, default=None)
    if label is None or wrong[label] > WRONG:
        return {"found": False}
    return {"found": True, "model": label, "wrong_bits": wrong[label], "bits": BITS}
