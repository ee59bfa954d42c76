"""How `garments-64` is trained: a growing, class-conditional GAN with a relativistic loss and R1 + R2."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.augment import augment
from training.averaged import follow
from training.checkpoint import optimizer_tensors, restore_optimizer
from training.data import Labelled
from training.hardware import has_fast_bf16
from training.losses import gradient_penalty, relativistic
from training.networks.blocks import downsample
from training.networks.generator import Discriminator, Generator, GeneratorConfig
from training.pictures import Pixels, sheet

PARTS = ("augmentation", "averaging", "r2")


@dataclass(frozen=True, kw_only=True)
class GanRecipe:
    """Settings of an adversarial training. `stages` are (levels used, steps, weight of R1 and R2)."""

    name: str
    network: GeneratorConfig
    stages: tuple[tuple[int, int, float], ...]
    batch_size: int = 32
    lr: float = 1e-3
    final_lr: float = 2e-4
    penalty_every: int = 4
    ema_images: int = 10_000
    seed: int = 0
    bf16: bool = True
    without: tuple[str, ...] = ()
    """Parts left out, to see what each is worth: some of PARTS."""

    @property
    def steps(self) -> int:
        """Steps of all stages."""
        return sum(steps for _, steps, _ in self.stages)

    def stage(self, step: int) -> tuple[int, float]:
        """The levels and the penalty's weight at a step."""
        for levels, steps, weight in self.stages:
            if step < steps:
                return levels, weight
            step -= steps
        return self.stages[-1][0], self.stages[-1][2]


class GanTrainer:
    """Trains a generator and its discriminator on labelled RGBA products; see `loop.Trainer`."""

    def __init__(self, recipe: GanRecipe, data: Labelled, device: str = "cpu") -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.data, self.device = recipe, data, torch.device(device)
        layout = torch.channels_last
        self.g = Generator(recipe.network).to(self.device, memory_format=layout)  # type: ignore[call-overload]
        self.d = Discriminator(recipe.network).to(self.device, memory_format=layout)  # type: ignore[call-overload]
        self.ema = copy.deepcopy(self.g).requires_grad_(False)
        self.g_optimizer = torch.optim.Adam(self.g.parameters(), recipe.lr, betas=(0.0, 0.99))
        self.d_optimizer = torch.optim.Adam(self.d.parameters(), recipe.lr, betas=(0.0, 0.99))
        self._bf16 = recipe.bf16 and has_fast_bf16(self.device)
        self.batch_size, self.steps = recipe.batch_size, recipe.steps
        self.levels = recipe.stage(0)[0]

    def step(self, index: int, random: torch.Generator) -> dict[str, float]:
        recipe = self.recipe
        self.levels, weight = recipe.stage(index)
        lr = recipe.lr + (recipe.final_lr - recipe.lr) * index / recipe.steps
        for optimizer in (self.g_optimizer, self.d_optimizer):
            optimizer.param_groups[0]["lr"] = lr
        penalised = index % recipe.penalty_every == 0
        terms = self._train_discriminator(random, weight * recipe.penalty_every if penalised else 0.0)
        terms |= self._train_generator(random)
        self._average(index)
        return terms

    def _reals(self, random: torch.Generator) -> tuple[Tensor, Tensor]:
        pictures, labels = self.data.batch(self.batch_size, random)
        while pictures.shape[-1] > 8 * 2 ** (self.levels - 1):
            pictures = downsample(pictures)
        return self._augmented(pictures, random).to(self.device), labels.to(self.device)

    def _fakes(self, labels: Tensor, random: torch.Generator) -> Tensor:
        z = torch.randn(len(labels), self.recipe.network.z_size, generator=random).to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._bf16):
            pictures = self.g(z, labels, levels=self.levels)
        return self._augmented(pictures.float(), random)

    def _augmented(self, pictures: Tensor, random: torch.Generator) -> Tensor:
        return pictures if "augmentation" in self.recipe.without else augment(pictures, random)

    def _score(self, pictures: Tensor, labels: Tensor) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._bf16):
            return self.d(pictures, labels).float()  # type: ignore[no-any-return]

    def _train_discriminator(self, random: torch.Generator, weight: float) -> dict[str, float]:
        real, labels = self._reals(random)
        with torch.no_grad():
            fake = self._fakes(labels, random)
        real.requires_grad_(weight > 0)
        fake.requires_grad_(weight > 0)
        real_logits, fake_logits = self._score(real, labels), self._score(fake, labels)
        loss = relativistic(real_logits, fake_logits)
        terms = {"d": loss.item(), "margin": (real_logits - fake_logits).mean().item()}
        if weight > 0:
            penalties = {"r1": gradient_penalty(real_logits, real)}
            if "r2" not in self.recipe.without:
                penalties["r2"] = gradient_penalty(fake_logits, fake)
            terms |= {name: penalty.item() for name, penalty in penalties.items()}
            loss = loss + weight / 2 * torch.stack(list(penalties.values())).sum()
        self._update(self.d, self.d_optimizer, loss)
        return terms

    def _train_generator(self, random: torch.Generator) -> dict[str, float]:
        real, labels = self._reals(random)
        self.d.requires_grad_(False)
        with torch.no_grad():
            real_logits = self._score(real, labels)
        loss = relativistic(self._score(self._fakes(labels, random), labels), real_logits)
        self._update(self.g, self.g_optimizer, loss)
        self.d.requires_grad_(True)
        return {"g": loss.item()}

    @staticmethod
    def _update(network: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 10.0)
        optimizer.step()

    def _average(self, index: int) -> None:
        # The half-life grows with the run (Karras et al. 2020), so that early averages hold no untrained weights.
        half_life = min(self.recipe.ema_images, 0.05 * (index + 1) * self.batch_size)
        decay = 0.0 if "averaging" in self.recipe.without else 0.5 ** (self.batch_size / max(half_life, 1e-8))
        follow(self.ema, self.g, decay)

    def state(self) -> dict[str, Mapping[str, Tensor]]:
        return {
            "g": self.g.state_dict(),
            "d": self.d.state_dict(),
            "ema": self.ema.state_dict(),
            "g_optimizer": optimizer_tensors(self.g_optimizer),
            "d_optimizer": optimizer_tensors(self.d_optimizer),
        }

    def restore(self, groups: Mapping[str, Mapping[str, Tensor]]) -> None:
        self.g.load_state_dict(groups["g"])
        self.d.load_state_dict(groups["d"])
        self.ema.load_state_dict(groups["ema"])
        restore_optimizer(self.g_optimizer, groups.get("g_optimizer", {}))
        restore_optimizer(self.d_optimizer, groups.get("d_optimizer", {}))

    @torch.no_grad()
    def picture(self) -> Pixels:
        """Every class a column, eight fixed seeds a row each."""
        classes = self.recipe.network.classes
        z = torch.randn(8, self.recipe.network.z_size, generator=torch.Generator().manual_seed(0))
        labels = torch.arange(classes).repeat(8)
        pictures = self.ema(z.repeat_interleave(classes, 0).to(self.device), labels.to(self.device), levels=self.levels)
        rgb = (pictures[:, :3].clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        return sheet(list(rgb), columns=classes)
