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


def changing(device: torch.device) -> float | Tensor:
    """A number that `now` will set: on a GPU a tensor, so that a recorded graph reads what it is by then."""
    return torch.zeros((), device=device) if device.type == "cuda" else 0.0


def adam(net: nn.Module, device: torch.device, betas: tuple[float, float] = (0.9, 0.999)) -> torch.optim.Adam:
    """Adam whose learning rate is `changing`."""
    on_gpu = device.type == "cuda"
    return torch.optim.Adam(net.parameters(), changing(device), betas=betas, fused=on_gpu, capturable=on_gpu)


def now(kept: float | Tensor, value: float) -> float | Tensor:
    """`value`, in the same tensor where there is one."""
    return kept.fill_(value) if isinstance(kept, Tensor) else value


@torch.no_grad()
def follow(average: nn.Module, net: nn.Module, decay: float | Tensor) -> None:
    """Move an average of a network's weights by one step."""
    means: list[Tensor] = list(average.parameters())
    weights: list[Tensor] = list(net.parameters())
    if isinstance(decay, Tensor):
        steps = torch._foreach_sub(weights, means)
        torch._foreach_mul_(steps, 1 - decay)
        torch._foreach_add_(means, list(steps))
    else:
        torch._foreach_lerp_(means, weights, 1 - decay)


class Averaged(Generic[N]):
    """`net` is trained with Adam, `ema` is its average, which is what gets published.

    On a GPU, learning rate and decay are tensors there, so that `descend` can be recorded as a CUDA graph.
    """

    def __init__(self, net: N, device: torch.device, decay: float, *, most_gradient: float | None = None) -> None:
        """`decay` is of the average in one step; gradients are cut at a norm of `most_gradient`."""
        self.net: N = net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.ema: N = copy.deepcopy(self.net).requires_grad_(False)
        self._optimizer = adam(self.net, device)
        self._decay_now = changing(device)
        self._decay, self._most_gradient = decay, most_gradient

    def begin(self, weights: Mapping[str, Tensor]) -> None:
        """Begin with these weights instead of random ones; they must fit exactly."""
        self.net.load_state_dict(weights)
        self.ema.load_state_dict(weights)

    def step(self, index: int, rate: float, terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> None:
        """One step down the weighted sum of loss terms."""
        self.prepare(index, rate)
        self.descend(terms, weights)

    def prepare(self, index: int, rate: float) -> None:
        """Say what learning rate the next `descend` has, and which step it is."""
        group = self._optimizer.param_groups[0]
        group["lr"] = now(group["lr"], rate)
        self._decay_now = now(self._decay_now, early(self._decay, index))

    def descend(self, terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> None:
        """As `step`, after `prepare`."""
        total = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
        self._optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        if self._most_gradient is not None:
            nn.utils.clip_grad_norm_(self.net.parameters(), self._most_gradient)
        self._optimizer.step()
        follow(self.ema, self.net, self._decay_now)

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
