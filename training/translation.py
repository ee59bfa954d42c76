"""How the networks of `/restyle` are trained: on pairs, with a patch discriminator that says what still looks wrong."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from training.averaged import early, follow
from training.checkpoint import optimizer_tensors, restore_optimizer
from training.composites import Random
from training.hardware import has_fast_bf16
from training.losses import gradient_penalty, relativistic
from training.networks.patches import PatchConfig, PatchDiscriminator
from training.pictures import Pixels, sheet


class Batch(NamedTuple):
    """Float32 in [0, 1]."""

    source: Tensor  # (N, C, S, S), what is given
    target: Tensor  # (N, D, S, S), what should come of it
    weight: Tensor  # (N, 1, S, S), how much that counts
    told: Tensor  # (N, K), what else the network is told
    paired: Tensor  # (N,), 1 where the target is the truth, 0 where it is only an example of what is wanted


class Task(Protocol):
    """One kind of translation: its network, its data, and how the one is applied to the other."""

    @property
    def channels(self) -> int:
        """How many the discriminator sees: of what it is shown of the source, and of the target."""

    def network(self) -> nn.Module:
        """A network with random weights."""

    def batch(self, side: int, count: int, random: Random) -> Batch:
        """Pairs for one step."""

    def seen(self, batch: Batch) -> Tensor:
        """What the discriminator sees beside the picture: the source, or a part of it."""

    def label(self, batch: Batch) -> Tensor | None:
        """The classes (N,) that the discriminator is told, if any."""

    def translated(self, net: nn.Module, batch: Batch) -> Tensor:
        """What the network makes of a batch: like `target`, unclamped."""

    def terms(self, made: Tensor, batch: Batch) -> dict[str, Tensor]:
        """How far that is from the truth, unweighted."""


@dataclass(frozen=True, kw_only=True)
class AdversarialSettings:
    """What all these recipes share; `stages` are (side in px, steps), the last one at the side that is served."""

    stages: tuple[tuple[int, int], ...]
    batch_size: int = 8
    lr: float = 4e-4
    final_lr: float = 4e-5
    weights: Mapping[str, float] = field(
        default_factory=lambda: {"l1": 10.0, "adversarial": 0.5, "features": 2.0, "penalty": 1.0}
    )
    fine: Mapping[str, float] = field(default_factory=dict)
    """Weights that differ in the last stage."""
    penalty_every: int = 8
    penalise_made: bool = False
    """Whether the penalty is of the gradient at what the network makes too (R2), as in R3GAN (Huang et al. 2024)."""
    trust_pairs: bool = False
    """Whether what has a truth is held against that alone, and only the rest is judged by the discriminator."""
    ema_decay: float = 0.998
    critic: PatchConfig = field(default_factory=PatchConfig)

    def at(self, step: int) -> tuple[int, Mapping[str, float]]:
        """The side of the pictures and the weights in a step."""
        for side, steps in self.stages[:-1]:
            if step < steps:
                return side, self.weights
            step -= steps
        return self.stages[-1][0], {**self.weights, **self.fine}


class TranslationTrainer:
    """Trains a translation's network against a `PatchDiscriminator`; see `loop.Trainer`."""

    def __init__(self, settings: AdversarialSettings, task: Task, device: str = "cpu", seed: int = 0) -> None:
        torch.manual_seed(seed)
        cv2.setNumThreads(1)
        self.settings, self.task, self.device = settings, task, torch.device(device)
        layout = torch.channels_last
        self.net: nn.Module = task.network().to(self.device, memory_format=layout)  # type: ignore[call-overload]
        critic = PatchDiscriminator(settings.critic, task.channels)
        self.critic: nn.Module = critic.to(self.device, memory_format=layout)  # type: ignore[call-overload]
        self.ema = copy.deepcopy(self.net).requires_grad_(False)
        self._optimizers = [
            torch.optim.Adam(one.parameters(), settings.lr, betas=(0.5, 0.99)) for one in (self.net, self.critic)
        ]
        self._bf16 = has_fast_bf16(self.device)
        self._weights = settings.weights
        self.batch_size, self.steps = settings.batch_size, sum(steps for _, steps in settings.stages)

    def step(self, index: int, random: torch.Generator) -> dict[str, float]:
        settings = self.settings
        share = 0.5 * (1 + math.cos(math.pi * index / self.steps))
        for optimizer in self._optimizers:
            optimizer.param_groups[0]["lr"] = settings.final_lr + (settings.lr - settings.final_lr) * share
        side, self._weights = settings.at(index)
        numbers = np.random.default_rng(int(torch.randint(2**62, (), generator=random)))
        batch = Batch(*(part.to(self.device) for part in self.task.batch(side, self.batch_size, numbers)))
        with self._quick():
            made = self.task.translated(self.net, batch).float()
        penalised = index % settings.penalty_every == 0
        terms = self._train_critic(batch, made.detach(), penalised)
        terms |= self._train_net(batch, made)
        follow(self.ema, self.net, early(settings.ema_decay, index))
        return terms

    def _quick(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self._bf16)

    def _seen(self, batch: Batch, picture: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        with self._quick():
            logits, features = self.critic(self._judged(batch, picture), self.task.label(batch))
        return [one.float() for one in logits], [one.float() for one in features]

    def _judged(self, batch: Batch, picture: Tensor) -> Tensor:
        """What the discriminator sees: where the truth does not count, or is all that counts, it sees the truth."""
        shown = batch.weight > 0
        if self.settings.trust_pairs:
            shown = shown & (batch.paired == 0)[:, None, None, None]
        return torch.cat([self.task.seen(batch), batch.target + (picture - batch.target) * shown], 1)

    def _train_critic(self, batch: Batch, made: Tensor, penalised: bool) -> dict[str, float]:
        real, fake = self._judged(batch, batch.target), self._judged(batch, made)
        real.requires_grad_(penalised)
        fake.requires_grad_(penalised and self.settings.penalise_made)
        label = self.task.label(batch)
        with self._quick():
            scores = [[one.float() for one in self.critic(picture, label)[0]] for picture in (real, fake)]
        loss = torch.stack([relativistic(r, f) for r, f in zip(*scores, strict=True)]).mean()
        terms = {"critic": loss.item()}
        if penalised:
            penalty = torch.stack(
                [
                    gradient_penalty(torch.stack([one.mean((1, 2, 3)) for one in logits]).sum(0), picture)
                    for picture, logits in zip((real, fake), scores, strict=True)
                    if picture.requires_grad
                ]
            ).sum()
            loss = loss + self._weights["penalty"] * self.settings.penalty_every / 2 * penalty
            terms["penalty"] = penalty.item()
        self._update(1, loss)
        return terms

    def _train_net(self, batch: Batch, made: Tensor) -> dict[str, float]:
        self.critic.requires_grad_(False)
        with torch.no_grad():
            real_logits, real_features = self._seen(batch, batch.target)
        fake_logits, fake_features = self._seen(batch, made)
        adversarial = [relativistic(f, r) for f, r in zip(fake_logits, real_logits, strict=True)]
        features = [
            ((f - r).abs().mean((1, 2, 3)) * batch.paired).sum() / batch.paired.sum().clamp(min=1)
            for f, r in zip(fake_features, real_features, strict=True)
        ]
        terms = self.task.terms(made, batch) | {
            "adversarial": torch.stack(adversarial).mean(),
            "features": torch.stack(features).mean(),
        }
        self._update(0, torch.stack([self._weights[name] * term for name, term in terms.items()]).sum())
        self.critic.requires_grad_(True)
        return {name: term.item() for name, term in terms.items()}

    def _update(self, which: int, loss: Tensor) -> None:
        self._optimizers[which].zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_((self.net, self.critic)[which].parameters(), 5.0)
        self._optimizers[which].step()

    def state(self) -> dict[str, Mapping[str, Tensor]]:
        return {
            "net": self.net.state_dict(),
            "critic": self.critic.state_dict(),
            "ema": self.ema.state_dict(),
            "net_optimizer": optimizer_tensors(self._optimizers[0]),
            "critic_optimizer": optimizer_tensors(self._optimizers[1]),
        }

    def restore(self, groups: Mapping[str, Mapping[str, Tensor]]) -> None:
        self.net.load_state_dict(groups["net"])
        self.critic.load_state_dict(groups["critic"])
        self.ema.load_state_dict(groups["ema"])
        restore_optimizer(self._optimizers[0], groups.get("net_optimizer", {}))
        restore_optimizer(self._optimizers[1], groups.get("critic_optimizer", {}))

    @torch.no_grad()
    def picture(self) -> Pixels:
        """Fixed samples, three a row: source, what the average makes of it, target."""
        batch = self.task.batch(self.settings.stages[-1][0], 12, np.random.default_rng(0))
        batch = Batch(*(part.to(self.device) for part in batch))
        made = self.task.translated(self.ema, batch)
        shown = [
            coloured(one.cpu())
            for one in (batch.source, made * (batch.weight > 0) + (1 - 1.0 * (batch.weight > 0)), batch.target)
        ]
        rows = torch.stack(shown, 1).flatten(0, 1)
        return sheet(list((rows.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()), columns=9)


def coloured(picture: Tensor) -> Tensor:
    """(N, C, S, S) -> (N, 3, S, S): the first three channels, or the first one three times."""
    return picture[:, :3] if picture.shape[1] >= 3 else picture[:, :1].expand(-1, 3, -1, -1)
