"""Checkpoints: safetensors plus JSON, never pickles; in shards under 16 MB, so that they travel easily."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

SHARD_BYTES = 15_000_000


class CheckpointError(Exception):
    """The folder holds no usable checkpoint for this run. The message says what does not fit."""


def shards(tensors: Mapping[str, Tensor], limit: int = SHARD_BYTES) -> list[dict[str, Tensor]]:
    """Split tensors, in their order, into groups of at most `limit` bytes (a larger tensor stands alone)."""
    groups: list[dict[str, Tensor]] = [{}]
    size = 0
    for name, tensor in tensors.items():
        count = tensor.numel() * tensor.element_size()
        if groups[-1] and size + count > limit:
            groups.append({})
            size = 0
        groups[-1][name] = tensor.detach().cpu().contiguous()
        size += count
    return groups


def save(folder: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Replace the checkpoint in `folder` at once: a reader finds the old one or the new one, never a half."""
    partial, old = folder.with_name(folder.name + ".partial"), folder.with_name(folder.name + ".old")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    groups = shards(tensors)
    for index, group in enumerate(groups):
        save_file(group, partial / f"state-{index:03d}.safetensors")
    (partial / "checkpoint.json").write_text(json.dumps({**facts, "shards": len(groups)}, indent=1))
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    partial.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def load(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The tensors and facts of the checkpoint in `folder`, or None when there is none.

    Raises:
        CheckpointError: shards are missing or unreadable.
    """
    old = folder.with_name(folder.name + ".old")
    if not folder.exists() and old.exists():  # stopped between the two renames of `save`
        old.rename(folder)
    if not folder.exists():
        return None
    try:
        facts = json.loads((folder / "checkpoint.json").read_text())
        tensors: dict[str, Tensor] = {}
        for index in range(facts["shards"]):
            tensors |= load_file(folder / f"state-{index:03d}.safetensors")
    except Exception as error:
        raise CheckpointError(f"{folder} is damaged: {error}") from error
    return tensors, facts


def state_of(run: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """The newest state of a run folder, in groups, and its facts.

    Raises:
        CheckpointError: the run holds no checkpoint, or a damaged one.
    """
    found = load(run / "checkpoint")
    if found is None:
        raise CheckpointError(f"{run} holds no checkpoint")
    return unflatten(found[0]), found[1]


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An optimizer's state as flat tensors named INDEX.KEY."""
    state = optimizer.state_dict()["state"]
    return {f"{index}.{key}": value for index, entry in state.items() for key, value in entry.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` gave."""
    whole = optimizer.state_dict()
    whole["state"] = {}
    for name, tensor in tensors.items():
        index, key = name.split(".", 1)
        whole["state"].setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict(whole)
    for weights, entry in optimizer.state.items():  # laid out as the weights are, which fused steps ask for
        entry |= {key: torch.empty_like(weights).copy_(value) for key, value in entry.items() if value.dim()}


def flatten(groups: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """{"g": {"w": t}} -> {"g/w": t}."""
    return {f"{group}/{name}": tensor for group, tensors in groups.items() for name, tensor in tensors.items()}


def unflatten(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The reverse of `flatten`; groups without tensors are gone."""
    groups: dict[str, dict[str, Tensor]] = {}
    for path, tensor in tensors.items():
        group, name = path.split("/", 1)
        groups.setdefault(group, {})[name] = tensor
    return groups
