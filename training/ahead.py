"""Batches that worker processes make ahead of a GPU's steps, each from its step's own random generator."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator

import cv2
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from training.loop import seed_of

Batch = tuple[Tensor, ...]
PREFETCHED = 4
"""Batches that each worker has ready."""


class Batches(Dataset[Batch]):
    """The batch of each step, by its number."""

    def __init__(self, make: Callable[[torch.Generator], Batch], seed: int) -> None:
        self._make, self._seed = make, seed

    def __getitem__(self, step: int) -> Batch:
        return self._make(seed_of(self._seed, step))


class Ahead:
    """What `make` gives for the random generator of each step, made by `workers` processes."""

    def __init__(self, make: Callable[[torch.Generator], Batch], seed: int, steps: int, workers: int) -> None:
        self._batches, self._steps, self._workers = Batches(make, seed), steps, workers
        self._next = -1  # the step whose batch comes next, once anything is under way
        self._coming: Iterator[Batch] = iter(())

    def batch(self, step: int) -> Batch:
        """The batch of a step. Those that follow it are under way afterwards."""
        if step != self._next:
            self._coming = iter(self._begin(step))
        self._next = step + 1
        return next(self._coming)

    def _begin(self, step: int) -> DataLoader[Batch]:
        return DataLoader(
            self._batches,
            batch_size=None,
            sampler=range(step, self._steps),
            num_workers=self._workers,
            prefetch_factor=PREFETCHED,
            worker_init_fn=alone,
            # The photos are there for all processes; spawned ones would get a copy each.
            multiprocessing_context="fork",
        )


def alone(worker: int) -> None:
    """One thread a process; signals are the parent's business."""
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
