"""Steps of small networks as CUDA graphs: a GPU does hundreds of short kernels faster than Python can ask for them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import Tensor

WARM_UP = 3
"""Calls before one is recorded: libraries choose their kernels in them, and the optimizer makes its state."""


class Graphed:
    """A function of tensors, of the same shapes in each call; on a GPU recorded once and replayed.

    It must do all its work on the device, and read nothing else that changes but tensors that stay where they are.
    """

    def __init__(
        self,
        function: Callable[..., dict[str, Tensor]],
        device: torch.device,
        random: torch.Generator | None = None,
    ) -> None:
        """`random` is the device's generator that the function draws from, if it does."""
        self._function, self._device, self._random = function, device, random
        self.forget()

    def forget(self) -> None:
        """Record anew: tensors that the function reads are others now."""
        self._calls = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: list[Tensor] = []
        self._outputs: dict[str, Tensor] = {}

    def __call__(self, *inputs: Tensor) -> dict[str, Tensor]:
        if self._device.type != "cuda":
            return self._function(*inputs)
        self._calls += 1
        if self._calls <= WARM_UP:
            return self._warm_up(*inputs)
        if self._graph is None:
            self._record(*inputs)
        for kept, new in zip(self._inputs, inputs, strict=True):
            kept.copy_(new, non_blocking=True)
        assert self._graph is not None  # noqa: S101 - recorded above
        self._graph.replay()
        return {name: output.clone() for name, output in self._outputs.items()}

    def _warm_up(self, *inputs: Tensor) -> dict[str, Tensor]:
        """A call beside the stream that is in use, as recording will be."""
        beside = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        beside.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(beside), fastest():
            found = self._function(*(one.to(self._device) for one in inputs))
        torch.cuda.current_stream(self._device).wait_stream(beside)
        return found

    def _record(self, *inputs: Tensor) -> None:
        self._inputs = [one.to(self._device, copy=True) for one in inputs]
        self._graph = torch.cuda.CUDAGraph()
        if self._random is not None:
            self._graph.register_generator_state(self._random)
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"), fastest():
            self._outputs = self._function(*self._inputs)


def fastest() -> AbstractContextManager[None]:
    """Convolutions try all their kernels in the first call of a shape, and take the fastest from then on."""
    return torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=True)
