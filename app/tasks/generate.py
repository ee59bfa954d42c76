"""Product pictures from seeds."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

Z_SIZE = 64
SEEDS = 2**63
ZEROS = np.zeros(4, np.uint64)


class Bits(threading.local):
    """A generator for each thread: a new one would ask the system for entropy that it does not need."""

    def __init__(self) -> None:
        self.philox = np.random.Philox()

    def raw(self, seed: int, stream: int, count: int) -> NDArray[np.uint64]:
        """(count,) uint64: the first outputs of `np.random.Philox(key=[seed, stream])`."""
        self.philox.state = {
            "bit_generator": "Philox",
            "state": {"counter": ZEROS, "key": np.array([seed, stream], np.uint64)},
            "buffer": ZEROS,
            "buffer_pos": len(ZEROS),  # nothing left over from before
            "has_uint32": 0,
            "uinteger": 0,
        }
        return self.philox.random_raw(count)


BITS = Bits()


def uniform(seed: int, stream: int, count: int) -> NDArray[np.float64]:
    """(count,) float64 in (0, 1] from Philox4x64 (Salmon et al. 2011), keyed by the seed and a stream number."""
    raw = BITS.raw(seed, stream, count)
    return ((raw >> np.uint64(11)).astype(np.float64) + 1) / 2.0**53


def latent(seed: int) -> NDArray[np.float32]:
    """(64,) float32 standard normal for a seed, by Box and Muller (1958); the same everywhere, for ever."""
    u = uniform(seed, 0, 2 * Z_SIZE)
    normal = np.sqrt(-2 * np.log(u[:Z_SIZE])) * np.cos(2 * np.pi * u[Z_SIZE:])
    return np.asarray(normal, np.float32)


def drawn_label(seed: int, classes: int) -> int:
    """The class for a seed whose request names none."""
    return min(classes - 1, int(uniform(seed, 1, 1)[0] * classes))


def mixed(a: NDArray[np.float32], b: NDArray[np.float32], amount: float) -> NDArray[np.float32]:
    """Spherical interpolation (Shoemake 1985) from latent `a` (amount 0) to `b` (amount 1), both (Z,) float32."""
    cosine = float(np.dot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b)))
    angle = np.arccos(np.clip(cosine, -1, 1))
    if angle < 1e-6:
        return a
    weights = np.sin([(1 - amount) * angle, amount * angle]) / np.sin(angle)
    return np.asarray(weights[0] * a + weights[1] * b, np.float32)
