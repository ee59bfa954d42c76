"""How `garments-64` is trained: a growing, class-conditional GAN with a relativistic loss and R1 + R2."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from training.augment import augment
from training.averaged import adam, changing, follow, now
from training.checkpoint import optimizer_tensors, restore_optimizer
from training.data import Labelled
from training.graphed import Graphed
from training.hardware import has_fast_bf16
from training.losses import gradient_norms, relativistic
from training.networks.blocks import downsample, from_bytes
from training.networks.generator import Discriminator, DiscriminatorConfig, Generator, GeneratorConfig
from training.pictures import Pixels, sheet

PARTS = ("augmentation", "averaging", "r2")


@dataclass(frozen=True, kw_only=True)
class GanRecipe:
    """Settings of an adversarial training. `stages` are (levels used, steps, weight of R1 and R2)."""

    name: str
    network: GeneratorConfig
    critic: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    stages: tuple[tuple[int, int, float], ...]
    batch_size: int = 32
    lr: float = 1e-3
    final_lr: float = 2e-4
    penalty_every: int = 4
    warped: float = 0.0
    """Share of what the discriminator sees that is turned and stretched, beside the rest of `augment`."""
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
    """Trains a generator and its discriminator on labelled RGBA products; see `loop.Trainer`.

    On a GPU a step is a recorded graph, of which there is one with and one without the penalty; what changes from step
    to step (learning rate, decay, the seed) is where the graph reads it.
    """

    def __init__(self, recipe: GanRecipe, data: Labelled, device: str = "cpu") -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.device = recipe, torch.device(device)
        self._pictures = torch.from_numpy(data.pictures).to(self.device)
        self._labels = torch.from_numpy(data.labels).to(self.device)
        self._random = torch.Generator(self.device)
        layout = torch.channels_last
        self.g = Generator(recipe.network).to(self.device, memory_format=layout)  # type: ignore[call-overload]
        self.d = Discriminator(recipe.critic).to(self.device, memory_format=layout)  # type: ignore[call-overload]
        self.ema = copy.deepcopy(self.g).requires_grad_(False)
        self.g_optimizer, self.d_optimizer = (
            adam(network, self.device, betas=(0.0, 0.99)) for network in (self.g, self.d)
        )
        self._decay = changing(self.device)
        self._bf16 = recipe.bf16 and has_fast_bf16(self.device)
        self.batch_size, self.steps = recipe.batch_size, recipe.steps
        self._begin_stage(*recipe.stage(0))

    def _begin_stage(self, levels: int, weight: float) -> None:
        self.levels, self._weight = levels, weight
        self._learn = [
            Graphed(lambda weight=weight: self._learn_once(weight), self.device, self._random)
            for weight in (0.0, weight * self.recipe.penalty_every)
        ]

    def step(self, index: int, random: torch.Generator) -> dict[str, Tensor]:
        recipe = self.recipe
        if recipe.stage(index) != (self.levels, self._weight):
            self._begin_stage(*recipe.stage(index))
        lr = recipe.lr + (recipe.final_lr - recipe.lr) * index / recipe.steps
        for optimizer in (self.g_optimizer, self.d_optimizer):
            group = optimizer.param_groups[0]
            group["lr"] = now(group["lr"], lr)
        # The half-life grows with the run (Karras et al. 2020), so that early averages hold no untrained weights.
        half_life = min(recipe.ema_images, 0.05 * (index + 1) * self.batch_size)
        averages = "averaging" not in recipe.without
        self._decay = now(self._decay, 0.5 ** (self.batch_size / max(half_life, 1e-8)) if averages else 0.0)
        self._random.manual_seed(int(torch.randint(2**62, (), generator=random)))
        return self._learn[index % recipe.penalty_every == 0]()

    def _learn_once(self, weight: float) -> dict[str, Tensor]:
        terms = self._train_discriminator(weight) | self._train_generator()
        follow(self.ema, self.g, self._decay)
        return terms

    def _reals(self) -> tuple[Tensor, Tensor]:
        index = torch.randint(len(self._labels), (self.batch_size,), generator=self._random, device=self.device)
        pictures = from_bytes(self._pictures[index])
        while pictures.shape[-1] > 8 * 2 ** (self.levels - 1):
            pictures = downsample(pictures)
        return self._augmented(pictures), self._labels[index]

    def _fakes(self, labels: Tensor) -> Tensor:
        z = torch.randn(len(labels), self.recipe.network.z_size, generator=self._random, device=self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._bf16):
            pictures = self.g(z, labels, levels=self.levels)
        return self._augmented(pictures.float())

    def _augmented(self, pictures: Tensor) -> Tensor:
        if "augmentation" in self.recipe.without:
            return pictures
        return augment(pictures, self._random, self.recipe.warped)

    def _score(self, pictures: Tensor, labels: Tensor) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._bf16):
            return self.d(pictures, labels).float()  # type: ignore[no-any-return]

    def _train_discriminator(self, weight: float) -> dict[str, Tensor]:
        real, labels = self._reals()
        with torch.no_grad():
            both = torch.cat([real, self._fakes(labels)])
        logits = self._score(both.requires_grad_(weight > 0), labels.repeat(2))
        real_logits, fake_logits = logits.chunk(2)
        loss = relativistic(real_logits, fake_logits)
        terms = {"d": loss.detach(), "margin": (real_logits - fake_logits).detach().mean()}
        if weight > 0:
            norms = zip(("r1", "r2"), gradient_norms(logits, both).chunk(2), strict=True)
            penalties = {name: part.mean() for name, part in norms if name not in self.recipe.without}
            terms |= {name: penalty.detach() for name, penalty in penalties.items()}
            loss = loss + weight / 2 * torch.stack(list(penalties.values())).sum()
        self._update(self.d, self.d_optimizer, loss)
        return terms

    def _train_generator(self) -> dict[str, Tensor]:
        real, labels = self._reals()
        self.d.requires_grad_(False)
        with torch.no_grad():
            real_logits = self._score(real, labels)
        loss = relativistic(self._score(self._fakes(labels), labels), real_logits)
        self._update(self.g, self.g_optimizer, loss)
        self.d.requires_grad_(True)
        return {"g": loss.detach()}

    @staticmethod
    def _update(network: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 10.0)
        optimizer.step()

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
        self._begin_stage(self.levels, self._weight)

    @torch.no_grad()
    def picture(self) -> Pixels:
        """Every class a column, eight fixed seeds a row each."""
        classes = self.recipe.network.classes
        z = torch.randn(8, self.recipe.network.z_size, generator=torch.Generator().manual_seed(0))
        labels = torch.arange(classes).repeat(8)
        pictures = self.ema(z.repeat_interleave(classes, 0).to(self.device), labels.to(self.device), levels=self.levels)
        rgb = (pictures[:, :3].clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        return sheet(list(rgb), columns=classes)
