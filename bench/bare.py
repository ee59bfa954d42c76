"""The convolutions of an enhancer and nothing else: what a processor could do at most with a picture of some size."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper
from onnx.numpy_helper import from_array, to_array

RUNS: Final = 5


def convolutions(data: bytes) -> bytes:
    """A graph of the same 3x3 convolutions, one after the other, without activations, sums or bytes.

    It takes (1, C, H, W) float32 of any size, C as the first convolution has it.
    """
    stored = onnx.load_from_string(data).graph.initializer
    weights = [to_array(one).astype(np.float32) for one in stored if len(one.dims) == 4 and one.dims[2:] == [3, 3]]
    nodes = [
        helper.make_node("Conv", [f"x{index}", f"w{index}"], [f"x{index + 1}"], pads=[1, 1, 1, 1])
        for index in range(len(weights))
    ]
    shape = [1, weights[0].shape[1], "height", "width"]
    graph = helper.make_graph(
        nodes,
        "convolutions",
        [helper.make_tensor_value_info("x0", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(f"x{len(weights)}", TensorProto.FLOAT, [1, None, None, None])],
        [from_array(one, f"w{index}") for index, one in enumerate(weights)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return bytes(model.SerializeToString())


class Seconds(NamedTuple):
    """Best times of one picture."""

    graph: float
    convolutions: float


def seconds(data: bytes, side: int, cores: int) -> Seconds:
    """An enhancer and its convolutions alone, in turn, on a picture of side x side px, on all cores at once."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores
    random, graphs = np.random.default_rng(0), (data, convolutions(data))
    whole, bare = (onnxruntime.InferenceSession(one, options, providers=["CPUExecutionProvider"]) for one in graphs)
    picture = {"image": random.integers(0, 256, (1, side, side, 3), np.uint8), "strength": np.full(1, 0.5, np.float32)}
    inputs = {one.name: picture[one.name] for one in whole.get_inputs()}
    planes = {"x0": random.random((1, bare.get_inputs()[0].shape[1], side, side), np.float32)}
    times = [(timed(whole, inputs), timed(bare, planes)) for _ in range(RUNS)]
    return Seconds(*(min(each) for each in zip(*times, strict=True)))


def timed(session: onnxruntime.InferenceSession, inputs: Mapping[str, NDArray[Any]]) -> float:
    begun = time.monotonic()
    session.run(None, dict(inputs))
    return time.monotonic() - begun
