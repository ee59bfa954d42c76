"""What a graph must do for its task: proved by running it, before a request depends on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.repository import Manifest, Model, RepositoryError
from app.tasks.generate import latent

MAX_SIDE: Final = 2048
Row = dict[str, NDArray[Any] | np.generic]
Run = Callable[[Mapping[str, NDArray[Any]]], NDArray[Any]]


def prove(model: Model, run: Run) -> None:
    """Run one row, two equal rows and the last class; `run` takes arrays with a leading batch dimension.

    Raises:
        RepositoryError: the manifest lacks what its task needs, a run fails, or an output is not what the task wants.
    """
    row = smoke_row(model)
    check(model, run, row, 1)
    check(model, run, row, 2)
    if model.manifest.task == "generate":
        check(model, run, row | {"label": np.int64(len(model.manifest.classes) - 1)}, 1)


def smoke_row(model: Model) -> Row:
    """Inputs that every model of a task must be able to run. Not zeros, which hide what multiplies them.

    Raises:
        RepositoryError: the manifest lacks what its task needs.
    """
    m = model.manifest
    check_fields(model)
    if m.task == "generate":
        return {"z": latent(0), "label": np.int64(0), "truncation": np.float32(1)}
    image = np.resize(np.arange(256, dtype=np.uint8), (m.tile, m.tile, 3))
    return {"image": image, "strength": np.float32(0.5)} if m.task == "enhance" else {"image": image}


def check_fields(model: Model) -> None:
    """Whether the manifest has what its task needs.

    Raises:
        RepositoryError: it has not.
    """
    m = model.manifest
    needs = {
        "generate": {"size": 1 <= m.size <= MAX_SIDE, "classes": len(m.classes) > 0},
        "enhance": {"tile": 1 <= m.tile <= MAX_SIDE, "margin": 1 <= m.margin < m.tile / 2, "scale": m.scale == 2},
        "level": {"tile": 1 <= m.tile <= MAX_SIDE},
    }
    if m.task not in needs:
        raise RepositoryError(f"{model.label}: there is no task {m.task!r}")
    for field, good in needs[m.task].items():
        if not good:
            raise RepositoryError(f"{model.label}: {field} {getattr(m, field)!r} is missing or makes no sense")


def check(model: Model, run: Run, row: Row, count: int) -> None:
    """Run `count` equal rows.

    Raises:
        RepositoryError: the run fails; the output has another type, shape or range; or the rows' outputs differ.
    """
    try:
        output = run({name: np.stack([np.asarray(value)] * count) for name, value in row.items()})
    except Exception as error:
        raise RepositoryError(f"{model.label}: a run of {count} failed ({reason(error)})") from error
    check_kind(model, output, count)
    if model.manifest.task == "level" and not ((output >= 0) & (output <= 1)).all():
        raise RepositoryError(f"{model.label}: the level {output.tolist()} is not in [0, 1]")
    if (output != output[0]).any():
        raise RepositoryError(f"{model.label}: equal rows of a batch give different outputs")


def check_kind(model: Model, output: NDArray[Any], count: int) -> None:
    """Whether an output is of the type and shape that the task wants.

    Raises:
        RepositoryError: it is not.
    """
    if not isinstance(output, np.ndarray):
        raise RepositoryError(f"{model.label}: the output is no array but {type(output).__name__}")
    kind, shape = np.floating if model.manifest.task == "level" else np.uint8, (count, *row_shape(model.manifest))
    if not np.issubdtype(output.dtype, kind):
        raise RepositoryError(f"{model.label}: the output is {output.dtype}, not {kind.__name__}")
    if output.shape != shape:
        raise RepositoryError(f"{model.label}: the output's shape is {output.shape}, not {shape}")


def row_shape(m: Manifest) -> tuple[int, ...]:
    """The shape of one row's output."""
    if m.task == "generate":
        return (m.size, m.size, 4)
    return (m.scale * m.tile, m.scale * m.tile, 3) if m.task == "enhance" else ()


def reason(error: Exception) -> str:
    """An exception in one line of moderate length."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
