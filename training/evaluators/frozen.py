"""The evaluators as they are published: small, frozen, each with the hash of its weights.

Only evaluations may import this module.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load, save
from torch import Tensor

from training import checkpoint
from training.data import Labelled
from training.measures import squares, standardised
from training.networks.blocks import from_bytes
from training.networks.features import FeatureConfig, FeatureNet

HOME = Path(__file__).parent / "weights"
RANDOM = "evaluator-random"
"""The network that nobody has trained: made from its seed, but its hash is kept like the others'."""


class EvaluatorError(Exception):
    """An evaluator is missing, or its weights are not those of its manifest."""


@dataclass(frozen=True, slots=True)
class Evaluator:
    """A frozen network, and the classes that it can tell apart (none, unless it has learned them)."""

    name: str
    net: FeatureNet
    classes: tuple[str, ...] = ()

    @torch.no_grad()
    def features(self, pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
        """(N, S, S, 3) uint8 over white -> (N, D)."""
        parts = [self.net.features(part) for part in in_parts(pictures)]
        return torch.cat(parts).double().numpy()

    @torch.no_grad()
    def labels(self, pictures: NDArray[np.uint8]) -> NDArray[np.int64]:
        """(N, S, S, 3) uint8 over white -> (N,) the likeliest of `classes`."""
        return torch.cat([self.net(part).argmax(1) for part in in_parts(pictures)]).numpy()


def in_parts(pictures: NDArray[np.uint8], size: int = 128) -> list[Tensor]:
    """(N, S, S, 3) uint8 -> batches (at most `size`, 3, S, S) in [0, 1]."""
    return [from_bytes(part) for part in torch.split(torch.from_numpy(pictures), size)]


def load_evaluators(home: Path = HOME) -> list[Evaluator]:
    """All of `home`, in the order of their manifest, and the random one last.

    Raises:
        EvaluatorError: weights are missing, or are not those that the manifest names.
    """
    try:
        entries = json.loads((home / "manifest.json").read_text())["evaluators"]
        found = [opened(entry, (home / entry["file"]).read_bytes()) for entry in entries if entry["name"] != RANDOM]
    except (OSError, ValueError, KeyError) as error:
        raise EvaluatorError(f"{home} holds no readable evaluators: {error}") from error
    expected = {entry["name"]: entry["sha256"] for entry in entries}.get(RANDOM)
    return [*found, random_evaluator(expected)]


def opened(entry: Mapping[str, Any], data: bytes) -> Evaluator:
    """An evaluator from its weights, once their hash is right."""
    if hashlib.sha256(data).hexdigest() != entry["sha256"]:
        raise EvaluatorError(f"{entry['file']} is not the file that its manifest names")
    network = entry["recipe"]["network"]
    config = FeatureConfig(channels=tuple(network["channels"]), head=tuple(network["head"]))
    net = FeatureNet(config if entry["classes"] else replace(config, head=()))
    net.load_state_dict({name: tensor.float() for name, tensor in load(data).items()})
    return Evaluator(entry["name"], net.eval().requires_grad_(False), tuple(entry["classes"]))


def random_evaluator(expected: str | None = None, seed: int = 0) -> Evaluator:
    """The network with the weights that the seed draws, whose hash must be the `expected` one where that is known.

    He's initialisation (2015), drawn by NumPy: PyTorch's normal numbers depend on the processor.
    """
    net, random = FeatureNet(FeatureConfig()).eval().requires_grad_(False), np.random.default_rng(seed)
    for weight in net.parameters():
        fan = weight[0].numel() if weight.dim() > 1 else 0
        drawn = random.standard_normal(tuple(weight.shape)) * (2 / fan) ** 0.5 if fan else np.zeros(weight.shape)
        weight.copy_(torch.from_numpy(drawn))
    if expected not in (None, hashlib.sha256(packed(net)).hexdigest()):
        raise EvaluatorError("this NumPy draws other random weights than those that the manifest names")
    return Evaluator(RANDOM, net)


def packed(net: FeatureNet) -> bytes:
    """The weights as a safetensors file in float16."""
    return save({name: tensor.detach().half().contiguous() for name, tensor in net.state_dict().items()})


def accuracy(evaluator: Evaluator, train: Labelled, test: Labelled) -> float:
    """The share of test products whose class it tells; without classes, that of the five nearest training products."""
    if evaluator.classes:
        return float((evaluator.labels(test.pictures[..., :3]) == test.labels).mean())
    known, asked = (evaluator.features(split.pictures[..., :3]) for split in (train, test))
    known, asked = standardised(known, known), standardised(asked, known)
    chosen = train.labels[squares(asked, known).argsort(1)[:, :5]]
    votes = (chosen[..., None] == np.arange(len(train.classes))).sum(1)
    return float((votes.argmax(1) == test.labels).mean())


def keep(run: Path, train: Labelled, test: Labelled, training_data: str, home: Path = HOME) -> float:
    """Publish the averaged network of an evaluator's run into `home`, in place of the one before; gives its accuracy.

    Raises:
        CheckpointError: the run holds no checkpoint.
        EvaluatorError: the run is of another kind.
    """
    found = checkpoint.load(run / "checkpoint")
    if found is None:
        raise checkpoint.CheckpointError(f"{run} holds no checkpoint")
    tensors, state = found
    recipe = state["recipe"]
    if not recipe["name"].startswith("evaluator-"):
        raise EvaluatorError(f"{run} is a run of {recipe['name']}, which is no evaluator")
    labelled = "cross-entropy" in recipe["weights"]
    network = recipe["network"]
    net = FeatureNet(
        FeatureConfig(channels=tuple(network["channels"]), head=tuple(network["head"] if labelled else ()))
    )
    weights = checkpoint.unflatten(tensors)["ema"]
    net.load_state_dict({name: weights[name] for name in net.state_dict()})
    data = packed(net)
    classes = list(train.classes) if labelled else []
    entry = {
        "name": recipe["name"],
        "file": f"{recipe['name']}.safetensors",
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "classes": classes,
        "recipe": recipe,
        "training": {
            "minutes": round(state["seconds"] / 60, 1),
            "images_seen": state["images_seen"],
            "hardware": state["hardware"],
        },
        "training_data": training_data,
    }
    share = note(home, entry, data, train, test)
    note(home, {"name": RANDOM, "classes": [], "recipe": {"seed": 0}}, None, train, test)
    return share


def note(home: Path, entry: dict[str, Any], data: bytes | None, train: Labelled, test: Labelled) -> float:
    """Write an evaluator's weights, where it has any of its own, and its entry; gives its accuracy."""
    home.mkdir(parents=True, exist_ok=True)
    path = home / "manifest.json"
    if data is None:
        evaluator = random_evaluator()
        entry["sha256"] = hashlib.sha256(packed(evaluator.net)).hexdigest()
    else:
        (home / entry["file"]).write_bytes(data)
        evaluator = opened(entry, data)
    measure = "classes told" if entry["classes"] else "classes told by the five nearest training products"
    share = accuracy(evaluator, train, test)
    entry["quality"] = {"measure": measure, "value": round(share, 4), "data": f"{len(test.labels)} test products"}
    before = json.loads(path.read_text())["evaluators"] if path.is_file() else []
    entries = [*(one for one in before if one["name"] != entry["name"]), entry]
    entries.sort(key=lambda one: one["name"])
    path.write_text(json.dumps({"schema": 1, "evaluators": entries}, indent=1) + "\n")
    return share
