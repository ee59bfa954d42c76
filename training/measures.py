"""Measures of a generator: pure functions of pictures or of features, with known answers in the tests.

Features are (N, D) float64, one row a picture; pictures are (N, H, W, C) uint8.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.float64]


def standardised(features: Features, reference: Features) -> Features:
    """(N, D) with the mean and spread of the reference (M, D) taken off; dimensions without spread become 0."""
    spread = reference.std(0)
    moved: Features = (features - reference.mean(0)) / np.where(spread > 1e-9, spread, np.inf)
    return moved


def squares(x: Features, y: Features) -> Features:
    """(N, D) and (M, D) -> (N, M) squared Euclidean distances."""
    found: Features = np.maximum((x**2).sum(1)[:, None] + (y**2).sum(1) - 2 * x @ y.T, 0)
    return found


def shrunk_covariance(x: Features) -> Features:
    """(N, D) -> (D, D), drawn towards a multiple of the identity as far as N is small.

    Oracle approximating shrinkage (Chen et al. 2010, eq. 23): the plain one of a few hundred pictures has eigenvalues
    that are too small and too large, and of fewer than D none of full rank.
    """
    count, size = x.shape
    plain = np.cov(x, rowvar=False, bias=True).reshape(size, size)
    trace, square = float(np.trace(plain)), float((plain**2).sum())
    below = (count + 1 - 2 / size) * (square - trace**2 / size)
    share = min(1.0, ((1 - 2 / size) * square + trace**2) / below) if below > 0 else 1.0
    shrunk: Features = (1 - share) * plain + share * trace / size * np.eye(size)
    return shrunk


def frechet(x: Features, y: Features) -> float:
    """Squared Fréchet distance (Heusel et al. 2017) of Gaussians fitted to (N, D) and (M, D), covariances shrunk."""
    first, second = shrunk_covariance(x), shrunk_covariance(y)
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ second @ root), 0)).sum()
    gap = ((x.mean(0) - y.mean(0)) ** 2).sum()
    return float(gap + np.trace(first) + np.trace(second) - 2 * cross)


def cubic(x: Features, y: Features) -> Features:
    """The kernel (x . y / D + 1)^3 of KID: (N, D), (M, D) -> (N, M)."""
    found: Features = (x @ y.T / x.shape[1] + 1) ** 3
    return found


def discrepancy(xx: Features, yy: Features, xy: Features) -> float:
    """Unbiased squared maximum mean discrepancy (Gretton et al. 2012) from kernels (N, N), (M, M), (N, M)."""
    n, m = xy.shape
    within = (xx.sum() - np.trace(xx)) / (n * (n - 1)) + (yy.sum() - np.trace(yy)) / (m * (m - 1))
    return float(within - 2 * xy.mean())


@dataclass(frozen=True, slots=True)
class Kid:
    """Of all pictures, and the standard deviation over random subsets, which is larger than that of `value`."""

    value: float
    spread: float


def kid(x: Features, y: Features, subsets: int = 100, most: int = 100, seed: int = 0) -> Kid:
    """Kernel inception distance (Binkowski et al. 2018) of (N, D) and (M, D), at least two rows each.

    A subset has half of the smaller set, `most` at the most.
    """
    xx, yy, xy = cubic(x, x), cubic(y, y), cubic(x, y)
    size, random = min(max(2, min(xy.shape) // 2), most), np.random.default_rng(seed)
    found = []
    for _ in range(subsets):
        i, j = (random.choice(count, size, replace=False) for count in xy.shape)
        found.append(discrepancy(xx[np.ix_(i, i)], yy[np.ix_(j, j)], xy[np.ix_(i, j)]))
    return Kid(discrepancy(xx, yy, xy), float(np.std(found)))


def density_and_coverage(made: Features, real: Features, neighbours: int = 5) -> tuple[float, float]:
    """Of made (M, D) in the neighbourhoods of real (N, D) (Naeem et al. 2020), N at least 2.

    Density: how many of these balls hold a made picture, over what is expected. Coverage: the share of balls that
    hold any; for M = N and equal distributions about 1 - 2^-neighbours.
    """
    neighbours = min(neighbours, len(real) - 1)
    radii = np.sort(squares(real, real), 1)[:, neighbours]
    inside = squares(made, real) < radii
    return float(inside.sum() / (neighbours * len(made))), float(inside.any(0).mean())


def nearest(x: Features, reference: Features) -> tuple[Features, NDArray[np.int64]]:
    """Of each of (N, D) the distance to the nearest of (M, D), and which that is."""
    found = squares(x, reference)
    index = found.argmin(1)
    distance: Features = np.sqrt(found[np.arange(len(x)), index])
    return distance, index.astype(np.int64)


def share_nearer(made: Features, held_out: Features, quantile: float = 0.05) -> float:
    """The share of distances (N,) below a quantile of those (M,) of pictures that cannot be copies.

    About `quantile` for a generator that copies no more than chance does, 1 for one that only copies.
    """
    return float((made < np.quantile(held_out, quantile)).mean())


def spread(pictures: NDArray[np.uint8]) -> float:
    """Mean RMS distance of every two of (N, H, W, C) uint8 pictures, of 255."""
    flat = pictures.reshape(len(pictures), -1).astype(np.float64)
    first, second = np.triu_indices(len(flat), 1)
    return float(np.sqrt(((flat[first] - flat[second]) ** 2).mean(1)).mean())


def nearest_pixels(
    pictures: NDArray[np.uint8], reals: NDArray[np.uint8]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """RMS distance (N,), of 255, of each (N, H, W, C) picture to the nearest real, mirrored or not; and which."""
    flat = pictures.reshape(len(pictures), -1).astype(np.float32)
    power, best, index = (flat**2).sum(1)[:, None], np.full(len(flat), np.inf), np.zeros(len(flat), np.int64)
    for other in (reals, reals[:, :, ::-1]):
        real = other.reshape(len(other), -1).astype(np.float32)
        found = power + (real**2).sum(1) - 2 * flat @ real.T
        nearer = found.min(1) < best
        index = np.where(nearer, found.argmin(1), index)
        best = np.where(nearer, found.min(1), best)
    return np.asarray(np.sqrt(np.maximum(best, 0) / flat.shape[1]), np.float64), index
