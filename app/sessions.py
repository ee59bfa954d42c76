"""ONNX Runtime, and nothing else, behind one call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnxruntime
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]


class Session:
    """A loaded model. `run` may be called from several threads at once: the weights exist only once."""

    def __init__(self, data: bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
        providers = [name for name in wanted if name in onnxruntime.get_available_providers()]
        if "CUDAExecutionProvider" in providers:
            onnxruntime.preload_dlls()  # CUDA and cuDNN as installed by pip, where no loader looks for them
        # From bytes, so that a graph cannot refer to files beside it.
        self._session = onnxruntime.InferenceSession(data, options, providers=providers)
        self.provider: str = self._session.get_providers()[0]

    def run(self, rows: Arrays) -> NDArray[Any]:
        """Arrays with a leading batch dimension -> the graph's only output."""
        output: NDArray[Any] = self._session.run(None, dict(rows))[0]
        return output
