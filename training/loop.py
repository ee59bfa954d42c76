"""The training loop: time-boxed, resumable, and the same for every network.

All randomness of step k comes from a generator seeded by (seed, k), so N + N steps give the weights of 2N.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import torch
from torch import Tensor
from tqdm import tqdm

from training import checkpoint
from training.curves import plot_curves
from training.pictures import Pixels, write_picture


class Trainer(Protocol):
    """A network (or a pair) that can be trained step by step."""

    @property
    def batch_size(self) -> int:
        """Images seen in one step."""

    @property
    def steps(self) -> int:
        """Steps of the whole training."""

    def step(self, index: int, random: torch.Generator) -> Mapping[str, Tensor | float]:
        """Do step `index` (from 0) and give its loss terms: detached scalars, which nobody has to wait for yet."""

    def state(self) -> dict[str, Mapping[str, Tensor]]:
        """All that a later `restore` needs to go on, as groups of tensors."""

    def restore(self, groups: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Put back what `state` gave."""

    def picture(self) -> Pixels:
        """A sample sheet with fixed seeds, (H, W, 3), to see progress by."""


class Interrupted:
    """Turns SIGTERM and SIGINT into a flag, so that a step is never cut in half."""

    def __init__(self) -> None:
        self.set = False

    def _note(self, signum: int, frame: FrameType | None) -> None:
        self.set = True

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Handle both signals inside the block; the former handlers come back after it."""
        before = {name: signal.signal(name, self._note) for name in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for name, handler in before.items():
                signal.signal(name, handler)


def seed_of(seed: int, step: int) -> torch.Generator:
    """The random generator of one step."""
    return torch.Generator().manual_seed(seed * 1_000_003 + step)


def train(
    trainer: Trainer,
    recipe: Mapping[str, Any],
    out: Path,
    *,
    max_minutes: float | None = None,
    save_minutes: float = 3.0,
    log_every: int = 50,
    hardware: str = "unknown",
) -> int:
    """Train until the recipe's last step, the time limit or SIGTERM; resumes what `out` holds. Gives the steps done.

    Writes `recipe.json`, `log.jsonl`, `checkpoint/`, `curves.png` and `samples/STEP.png` in `out`; `hardware` (its
    name) is noted in the checkpoint.

    Raises:
        CheckpointError: `out` holds another recipe's run, or a damaged checkpoint.
    """
    out.mkdir(parents=True, exist_ok=True)
    done, spent = resume(trainer, recipe, out)
    (out / "recipe.json").write_text(json.dumps(recipe, indent=1))
    interrupted = Interrupted()
    begun = saved = time.monotonic()
    sums: dict[str, list[Tensor | float]] = {}
    progress = tqdm(total=trainer.steps, initial=done, desc=str(recipe["name"]), unit="step")
    with interrupted.watching(), progress, (out / "log.jsonl").open("a") as log:
        while done < trainer.steps and not interrupted.set:
            for name, value in trainer.step(done, seed_of(int(recipe["seed"]), done)).items():
                sums.setdefault(name, []).append(value)
            done += 1
            progress.update()
            now = time.monotonic()
            if done % log_every == 0 or done == trainer.steps:
                means = {name: sum(map(float, values)) / len(values) for name, values in sums.items()}
                sums = {}
                rate = (done - progress.initial) * trainer.batch_size / (now - begun)
                entry = {"step": done, "images": done * trainer.batch_size, "seconds": spent + now - begun, **means}
                log.write(json.dumps({name: round(value, 5) for name, value in entry.items()}) + "\n")
                log.flush()
                progress.set_postfix(
                    {"images/s": f"{rate:.1f}", **{name: f"{value:.3f}" for name, value in means.items()}}
                )
            if max_minutes is not None and now - begun >= 60 * max_minutes:
                break
            if now - saved >= 60 * save_minutes:
                save(trainer, out, recipe, done, spent + now - begun, hardware)
                saved = time.monotonic()
    save(trainer, out, recipe, done, spent + time.monotonic() - begun, hardware)
    return done


def resume(trainer: Trainer, recipe: Mapping[str, Any], out: Path) -> tuple[int, float]:
    """Restore the checkpoint in `out`, if any; gives its steps and the seconds spent on them.

    Raises:
        CheckpointError: it belongs to another recipe, or is damaged.
    """
    found = checkpoint.load(out / "checkpoint")
    if found is None:
        return 0, 0.0
    tensors, facts = found
    if facts["recipe"] != without_news(json.loads(json.dumps(recipe)), facts["recipe"]):
        raise checkpoint.CheckpointError(f"{out} holds the run of another recipe; choose another folder with --out")
    trainer.restore(checkpoint.unflatten(tensors))
    return facts["step"], facts["seconds"]


def without_news(recipe: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe without the settings that recipes have gained since `before`, as long as they say nothing.

    So a run that began before a setting was there can go on. New settings are empty by default for that reason.
    """
    return {name: value for name, value in recipe.items() if name in before or value}


def save(trainer: Trainer, out: Path, recipe: Mapping[str, Any], step: int, seconds: float, hardware: str) -> None:
    """Write checkpoint, sample sheet and loss curves."""
    facts = {
        "recipe": recipe,
        "step": step,
        "images_seen": step * trainer.batch_size,
        "seconds": seconds,
        "hardware": hardware,
    }
    checkpoint.save(out / "checkpoint", checkpoint.flatten(trainer.state()), facts)
    write_picture(out / "samples" / f"{step:07d}.png", trainer.picture())
    plot_curves(out / "log.jsonl", out / "curves.png")
