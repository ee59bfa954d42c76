"""Tiny models of the task restyle, as somebody who has trained one would put them into the repository."""

import hashlib
import json

import onnx
from onnx import TensorProto, helper

SIDES = ["N", 3, "H", "W"]


def node(kind, inputs, output, **attributes):
    return helper.make_node(kind, inputs, [output], **attributes)


def graph(nodes, values=()):
    """A graph from `image` to `styled`, both (N, 3, H, W) float32; `values` are its constants by name."""
    sides = [helper.make_tensor_value_info(name, TensorProto.FLOAT, SIDES) for name in ("image", "styled")]
    constants = [helper.make_tensor(name, TensorProto.FLOAT, shape, numbers) for name, shape, numbers in values]
    made = helper.make_graph(nodes, "style", sides[:1], sides[1:], constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def negative():
    """1 - x."""
    return graph([node("Sub", ["one", "image"], "styled")], [("one", [1], [1.0])])


def softening(radius=4):
    """The mean of a square around every pixel, channel by channel; mirrored by the tiles, not by the graph."""
    side = 2 * radius + 1
    weights = ("weights", [3, 1, side, side], [1 / side**2] * (3 * side**2))
    return graph([node("Conv", ["image", "weights"], "styled", pads=[radius] * 4, group=3)], [weights])


def of_bytes():
    """x times 255: not what the task wants."""
    return graph([node("Mul", ["image", "much"], "styled")], [("much", [1], [255.0])])


def global_mean():
    """A tile's mean colour: depends on all of the tile."""
    return graph(
        [
            node("ReduceMean", ["image"], "mean", axes=[2, 3], keepdims=1),
            node("Mul", ["image", "none"], "nothing"),
            node("Add", ["nothing", "mean"], "styled"),
        ],
        [("none", [1], [0.0])],
    )


def put(root, name, data, **changes):
    """A version of a translator in a repository; `changes` to its manifest."""
    folder = root / name / "1"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(data)
    manifest = {
        "name": name,
        "version": "1",
        "task": "restyle",
        "file": "model.onnx",
        "sha256": hashlib.sha256(data).hexdigest(),
        "tile": 64,
        "margin": 8,
        "licence": {"weights": "CC0-1.0", "data": "none"},
        "training_data": "none",
        **changes,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder
