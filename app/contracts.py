"""What a graph must do for its task: proved by running it, before a request depends on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.repository import Manifest, Model, RepositoryError
from app.schemas import STYLES
from app.tasks.colours import pixels, planes
from app.tasks.generate import latent

MAX_SIDE: Final = 2048
MOST_CHANGE: Final = {"colorway": 16.0, "harmonize": 0.5, "relight": 1.5, "watermark": 16.0}
"""Of a photometric parameter: beyond, a product would not be itself. Of a colour, in steps of 255: it would be seen."""
PARAMETERS: Final = 5
"""Of a harmonized product: logarithms of the gains of red, green and blue, of an exponent, of the saturation."""
CELL: Final = 8
"""Pixels of the network's picture, each way, that share a light, or a change of colour."""
GRIDS: Final = {"relight": 6, "colorway": 12}
"""Numbers that a cell has."""
BITS: Final = 32
"""Of a model's digest, in a hidden mark."""
CHANNELS: Final = {"colorway": 4, "harmonize": 4, "relight": 4, "sketch": 4, "from-sketch": 1}
"""Of the picture that goes in, where it is not RGB."""
FINER: Final = 2
"""How many times as many pixels a side a drawing has as the picture that it is made of."""
ENLARGING: Final = ("enhance", "upscale")
"""Tasks whose pictures come out larger."""
TILED: Final = (*ENLARGING, "restyle")
"""Tasks whose pictures come in tiles of any size."""
BRIEF: Final = 16
"""Pixels inside the margins of a tile that proves them, and more of a larger one. Graphs may want multiples of it."""
OVERSHOOT: Final = 1.0
"""How far a style's colours may lie beyond [0, 1], which is cut off; a graph that means 0 to 255 goes farther."""
Row = dict[str, NDArray[Any] | np.generic]
Run = Callable[[Mapping[str, NDArray[Any]]], NDArray[Any]]


def prove(model: Model, run: Run) -> bool:
    """Run one row, two equal rows, the last class, and a tile beside a larger one that it is a part of.

    `run` takes arrays with a leading batch dimension. Gives whether a pixel's value depends on nothing but the picture:
    not on the tile that it is in.

    Raises:
        RepositoryError: the manifest lacks what its task needs, a run fails, an output is not what the task wants, or
            tiles would be seen.
    """
    row = smoke_row(model, brief=True)
    check(model, run, row, 1)
    check(model, run, row, 2)
    if model.manifest.task in ("generate", "from-sketch"):
        unknown = model.manifest.task == "from-sketch"  # which is the label after the last
        check(model, run, row | {"label": np.int64(len(model.manifest.classes) - 1 + unknown)}, 1)
    return model.manifest.task not in TILED or seam(model, run, row) == 0


def seam(model: Model, run: Run, row: Row) -> int:
    """How much of 255 a pixel differs between a tile and a larger one.

    Raises:
        RepositoryError: by more than 1, so that the margin is too small; or as `check`.
    """
    m, tile = model.manifest, brief_tile(model.manifest)
    side = max(m.tile, tile + BRIEF)
    image = np.random.default_rng(0).integers(0, 256, (side, side + BRIEF, 3), np.uint8)
    # Brighter to the right, so that what depends on a tile's mean is seen.
    image = image // 2 + np.linspace(0, 127, image.shape[1]).astype(np.uint8)[None, :, None]
    parts = (image, np.ascontiguousarray(image[:tile, :tile]))
    large, small = (picture_of(m, check(model, run, row | {"image": as_input(m, part)}, 1)[0]) for part in parts)
    known = m.scale * (tile - m.margin)
    difference = int(np.abs(large[:known, :known].astype(int) - small[:known, :known]).max())
    if difference > 1:
        raise RepositoryError(f"{model.label}: with a margin of {m.margin} tiles would be seen, by {difference} of 255")
    return difference


def as_input(m: Manifest, image: NDArray[np.uint8]) -> NDArray[Any]:
    """A picture (H, W, C) uint8 as the graph of a task takes it."""
    return planes(image) if m.task == "restyle" else image


def picture_of(m: Manifest, output: NDArray[Any]) -> NDArray[np.uint8]:
    """A tile's output as a picture, (H, W, 3) uint8."""
    return pixels(output) if m.task == "restyle" else output


def brief_tile(m: Manifest) -> int:
    """The side of the least tile that shows whether a margin is large enough: the manifest's, or a smaller one."""
    return min(m.tile, -(-(2 * m.margin + BRIEF) // BRIEF) * BRIEF)


def smoke_row(model: Model, *, brief: bool = False) -> Row:
    """Inputs that every model of a task must be able to run. Not zeros, which hide what multiplies them.

    `brief` makes tiles that can have any size as small as a proof allows.

    Raises:
        RepositoryError: the manifest lacks what its task needs.
    """
    m = model.manifest
    check_fields(model)
    if m.task == "generate":
        return {"z": latent(0), "label": np.int64(0), "truncation": np.float32(1)}
    side = m.tile if m.task in (*TILED, "level") else m.size
    if brief and m.task in TILED:
        side = brief_tile(m)
    image = np.resize(np.arange(256, dtype=np.uint8), (side, side, CHANNELS.get(m.task, 3)))
    if m.task == "from-sketch":
        return {"image": image, "label": np.int64(0), "draw": np.int64(1), "strength": np.float32(1)}
    if m.task == "colorway":
        return {"image": image, "color": np.array([30, 110, 180], np.uint8)}
    image = as_input(m, image)
    if m.task == "watermark":
        return {"image": image, "bits": np.arange(BITS, dtype=np.float32) % 2}
    return {"image": image, "strength": np.float32(0.5)} if m.task == "enhance" else {"image": image}


def check_fields(model: Model) -> None:
    """Whether the manifest has what its task needs.

    Raises:
        RepositoryError: it has not.
    """
    m = model.manifest
    tiles = {"tile": 1 <= m.tile <= MAX_SIDE, "margin": 1 <= m.margin < m.tile / 2}
    larger = tiles | {"scale": m.scale in (2, 4)}
    needs = {
        "generate": {"size": 1 <= m.size <= MAX_SIDE, "classes": len(m.classes) > 0},
        "enhance": larger,
        "upscale": larger,
        "cutout": {"size": 1 <= m.size <= MAX_SIDE},
        "level": {"tile": 1 <= m.tile <= MAX_SIDE},
        "harmonize": {"size": 1 <= m.size <= MAX_SIDE},
        "colorway": {"size": 8 <= m.size <= MAX_SIDE},
        "relight": {"size": 8 <= m.size <= MAX_SIDE},
        "watermark": {"size": 1 <= m.size <= MAX_SIDE},
        "watermark-reader": {"size": 1 <= m.size <= MAX_SIDE},
        "sketch": {"size": 32 <= m.size <= MAX_SIDE // FINER},
        "from-sketch": {"size": 1 <= m.size <= MAX_SIDE, "classes": len(m.classes) > 0},
        "restyle": {
            "name": m.name not in STYLES,
            "tile": 1 <= m.tile <= MAX_SIDE,
            "margin": 0 <= m.margin < m.tile / 2,
            "scale": m.scale == 1,
        },
    }
    if m.task not in needs:
        raise RepositoryError(f"{model.label}: there is no task {m.task!r}")
    for field, good in needs[m.task].items():
        if not good:
            raise RepositoryError(f"{model.label}: {field} {getattr(m, field)!r} is missing or makes no sense")


def check(model: Model, run: Run, row: Row, count: int) -> NDArray[Any]:
    """Run `count` equal rows and give their outputs.

    Raises:
        RepositoryError: the run fails; the output has another type, shape or range; or the rows' outputs differ.
    """
    try:
        output = run({name: np.stack([np.asarray(value)] * count) for name, value in row.items()})
    except Exception as error:
        raise RepositoryError(f"{model.label}: a run of {count} failed ({reason(error)})") from error
    check_kind(model, output, (count, *row_shape(model.manifest, row)))
    if model.manifest.task == "level" and not ((output >= 0) & (output <= 1)).all():
        raise RepositoryError(f"{model.label}: the level {output.tolist()} is not in [0, 1]")
    if model.manifest.task == "restyle" and not (np.abs(output - 0.5) <= 0.5 + OVERSHOOT).all():
        raise RepositoryError(f"{model.label}: colours from {output.min()} to {output.max()} are not in [0, 1]")
    most = MOST_CHANGE.get(model.manifest.task)
    if most and not (np.abs(output) <= most).all():
        raise RepositoryError(f"{model.label}: a change of {np.abs(output).max()} is not within {most}")
    if (output != output[0]).any():
        raise RepositoryError(f"{model.label}: equal rows of a batch give different outputs")
    return output


def check_kind(model: Model, output: NDArray[Any], shape: tuple[int, ...]) -> None:
    """Whether an output is of the type that the task wants, and of this shape.

    Raises:
        RepositoryError: it is not.
    """
    if not isinstance(output, np.ndarray):
        raise RepositoryError(f"{model.label}: the output is no array but {type(output).__name__}")
    kind = np.floating if model.manifest.task in ("level", "watermark-reader", "restyle", *MOST_CHANGE) else np.uint8
    if not np.issubdtype(output.dtype, kind):
        raise RepositoryError(f"{model.label}: the output is {output.dtype}, not {kind.__name__}")
    if output.shape != shape:
        raise RepositoryError(f"{model.label}: the output's shape is {output.shape}, not {shape}")


def row_shape(m: Manifest, row: Row) -> tuple[int, ...]:
    """The shape of the output for one row."""
    if m.task in ("generate", "cutout", "from-sketch"):
        return (m.size, m.size, 4)
    if m.task == "sketch":
        return (FINER * m.size, FINER * m.size, 1)
    if m.task in GRIDS:
        return (m.size // CELL, m.size // CELL, GRIDS[m.task])
    if m.task == "harmonize":
        return (PARAMETERS,)
    if m.task == "watermark":
        return (m.size, m.size, 3)
    if m.task == "watermark-reader":
        return (BITS,)
    if m.task == "restyle":
        return row["image"].shape
    height, width = row["image"].shape[:2]
    return (m.scale * height, m.scale * width, 3) if m.task in ENLARGING else ()


def reason(error: Exception) -> str:
    """An exception in one line of moderate length."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
