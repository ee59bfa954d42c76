"""The convolutions of an enhancer and nothing else: what a processor could do at most with a picture of some size."""

from __future__ import annotations

import time
from typing import Final

import numpy as np
import onnx
import onnxruntime
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


def seconds(data: bytes, side: int, cores: int) -> float:
    """The best time of a picture of side x side px through an enhancer's convolutions, on all cores at once."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores
    graph = convolutions(data)
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    channels = session.get_inputs()[0].shape[1]
    picture = np.random.default_rng(0).random((1, channels, side, side), np.float32)
    times = []
    for _ in range(RUNS):
        begun = time.monotonic()
        session.run(None, {"x0": picture})
        times.append(time.monotonic() - begun)
    return min(times)
