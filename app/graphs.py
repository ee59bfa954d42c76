"""What an ONNX file refers to, read from its bytes before any runtime parses it: nothing but itself is allowed.

A walk through the protocol buffers' wire format along the few fields of onnx.proto that can hold tensors and nodes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

DOMAINS: Final = frozenset({"", "ai.onnx"})
"""Whose operators are allowed: ONNX's own."""
MOST_DEPTH: Final = 32
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types

# Fields that lead on, by message: its number in onnx.proto, and the message that it holds.
FIELDS: Final[Mapping[str, Mapping[int, str]]] = {
    "Model": {7: "Graph", 8: "OperatorSet", 25: "Function"},
    "OperatorSet": {},
    "Function": {7: "Node", 9: "OperatorSet"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "SparseTensor", 23: "SparseTensor"},
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
    "Tensor": {},
}
DOMAIN_FIELD: Final = {"OperatorSet": 1, "Node": 7, "Function": 10}
EXTERNAL_DATA, DATA_LOCATION = 13, 14  # of a tensor


class GraphError(Exception):
    """The bytes are no ONNX graph, or one that refers to something outside. The message says what."""


def check_graph(data: bytes) -> None:
    """Refuse a graph that wants files beside it, or operators that ONNX does not define.

    Raises:
        GraphError: it does, or the bytes are no protocol buffer.
    """
    try:
        _check(memoryview(data), "Model", 0)
    except (IndexError, RecursionError, UnicodeDecodeError):
        raise GraphError("the bytes are no ONNX graph") from None


def _check(view: memoryview, kind: str, depth: int) -> None:
    if depth > MOST_DEPTH:
        raise GraphError("the graph is nested too deeply")
    for number, value in _fields(view):
        if kind == "Tensor" and (number == EXTERNAL_DATA or (number == DATA_LOCATION and value == 1)):
            raise GraphError("weights in a file of their own are not allowed")
        if not isinstance(value, memoryview):
            continue
        if number == DOMAIN_FIELD.get(kind) and bytes(value).decode() not in DOMAINS:
            raise GraphError(f"operators of {bytes(value).decode()[:60]!r} are not allowed")
        if number in FIELDS[kind]:
            _check(value, FIELDS[kind][number], depth + 1)


def _fields(view: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """Field numbers and values of a message: bytes as they are, varints as numbers, others as 0."""
    at = 0
    while at < len(view):
        tag, at = _varint(view, at)
        number, wire = tag >> 3, tag & 7
        if wire == VARINT:
            value, at = _varint(view, at)
            yield number, value
        elif wire == BYTES:
            length, at = _varint(view, at)
            if at + length > len(view):
                raise GraphError("the bytes are no ONNX graph")
            yield number, view[at : at + length]
            at += length
        elif wire in (FIXED64, FIXED32):
            at += 8 if wire == FIXED64 else 4
            yield number, 0
        else:
            raise GraphError("the bytes are no ONNX graph")


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    """A number of variable length, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        byte = view[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise GraphError("the bytes are no ONNX graph")
