"""A network with its optimizer and the moving average of its weights, as every training without a rival needs them."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from training.checkpoint import optimizer_tensors, restore_optimizer

N = TypeVar("N", bound=nn.Module)


def early(decay: float, index: int) -> float:
    """The decay of an average in step `index`: early averages forget faster."""
    return min(decay, (1 + index) / (10 + index))


def annealed(rate: float, index: int, steps: int) -> float:
    """A learning rate in step `index` of `steps`: down half a cosine to a fiftieth (Loshchilov & Hutter 2017)."""
    return rate * (0.02 + 0.49 * (1 + math.cos(math.pi * index / steps)))


@torch.no_grad()
def follow(average: nn.Module, net: nn.Module, decay: float) -> None:
    """Move an average of a network's weights by one step."""
    for mean, current in zip(average.parameters(), net.parameters(), strict=True):
        mean.lerp_(current, 1 - decay)


class Averaged(Generic[N]):
    """`net` is trained with Adam, `ema` is its average, which is what gets published."""

    def __init__(self, net: N, device: torch.device, decay: float, *, most_gradient: float | None = None) -> None:
        """`decay` is of the average in one step; gradients are cut at a norm of `most_gradient`."""
        self.net: N = net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.ema: N = copy.deepcopy(self.net).requires_grad_(False)
        self._optimizer = torch.optim.Adam(self.net.parameters())
        self._decay, self._most_gradient = decay, most_gradient

    def begin(self, weights: Mapping[str, Tensor]) -> None:
        """Begin with these weights instead of random ones; they must fit exactly."""
        self.net.load_state_dict(weights)
        self.ema.load_state_dict(weights)

    def step(self, index: int, rate: float, terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> None:
        """One step down the weighted sum of loss terms."""
        self._optimizer.param_groups[0]["lr"] = rate
        total = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
        self._optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        if self._most_gradient is not None:
            nn.utils.clip_grad_norm_(self.net.parameters(), self._most_gradient)
        self._optimizer.step()
        follow(self.ema, self.net, early(self._decay, index))

    def state(self) -> dict[str, Mapping[str, Tensor]]:
        """As `loop.Trainer`."""
        return {
            "net": self.net.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizer": optimizer_tensors(self._optimizer),
        }

    def restore(self, groups: Mapping[str, Mapping[str, Tensor]]) -> None:
        """As `loop.Trainer`."""
        self.net.load_state_dict(groups["net"])
        self.ema.load_state_dict(groups["ema"])
        restore_optimizer(self._optimizer, groups.get("optimizer", {}))


class AveragedTrainer(Generic[N]):
    """What trainers of one averaged network share; see `loop.Trainer`."""

    averaged: Averaged[N]

    def state(self) -> dict[str, Mapping[str, Tensor]]:
        """As `loop.Trainer`."""
        return self.averaged.state()

    def restore(self, groups: Mapping[str, Mapping[str, Tensor]]) -> None:
        """As `loop.Trainer`."""
        self.averaged.restore(groups)
