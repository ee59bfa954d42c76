"""How the enhancers and `restoration-level` are trained: on pairs made by `degrade`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from training.averaged import Averaged, AveragedTrainer, annealed
from training.composites import read_views
from training.data import DataError, Photos, halve, read_photos
from training.degrade import Degradation, degraded_pairs
from training.hardware import has_fast_bf16
from training.networks.enhance import EnhanceConfig, EnhanceNet
from training.networks.level import LevelConfig, LevelNet
from training.pictures import Pixels, sheet


@dataclass(frozen=True, kw_only=True)
class RestorationRecipe:
    """Settings of a restoration training."""

    name: str
    network: EnhanceConfig | LevelConfig
    steps: int
    batch_size: int = 16
    patch: int = 96  # px of the clean picture
    lr: float = 1e-3
    ema_decay: float = 0.999
    degradation: Degradation = field(default_factory=Degradation)
    scale: int = 2
    most_gradient: float | None = None
    drawings: int = 0  # pictures that are drawn, beside the photos
    halvings: int = 1  # of photos, before they are taken to be clean
    start: str = ""  # SHA-256 of the published graph that it began with
    seed: int = 0
    bf16: bool = True


class RestorationTrainer(AveragedTrainer[EnhanceNet | LevelNet]):
    """Trains an `EnhanceNet` to undo a degradation, or a `LevelNet` to measure it; see `loop.Trainer`."""

    def __init__(self, recipe: RestorationRecipe, data: Photos, device: str = "cpu") -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.data, self.device = recipe, data, torch.device(device)
        config = recipe.network
        net = EnhanceNet(config) if isinstance(config, EnhanceConfig) else LevelNet(config)
        self.averaged = Averaged(net, self.device, recipe.ema_decay, most_gradient=recipe.most_gradient)
        self._bf16 = recipe.bf16 and has_fast_bf16(self.device)
        self.batch_size, self.steps = recipe.batch_size, recipe.steps

    def _terms(self, lr: Tensor, hr: Tensor, levels: Tensor) -> dict[str, Tensor]:
        net = self.averaged.net
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._bf16):
            output = net(lr, levels) if isinstance(net, EnhanceNet) else net(lr)
        return {"l1": F.l1_loss(output.float(), hr if isinstance(net, EnhanceNet) else levels)}

    def step(self, index: int, random: torch.Generator) -> dict[str, float]:
        recipe = self.recipe
        rate = annealed(recipe.lr, index, recipe.steps)
        clean = turned(self.data.patches(self.batch_size, recipe.patch, random), random)
        pairs = degraded_pairs(clean, recipe.scale, recipe.degradation, random)
        terms = self._terms(*(tensor.to(self.device) for tensor in pairs))
        self.averaged.step(index, rate, terms, {"l1": 1.0})
        return {name: term.item() for name, term in terms.items()}

    def begin(self, weights: Mapping[str, Tensor]) -> None:
        """Begin with these weights where there are any, and with random ones elsewhere."""
        self.averaged.begin({**self.averaged.net.state_dict(), **weights})

    @torch.no_grad()
    def picture(self) -> Pixels:
        """Fixed patches, a row each: degraded input, output (of an `EnhanceNet`), truth."""
        random = torch.Generator().manual_seed(0)
        clean = self.data.patches(6, self.recipe.patch, random)
        lr, hr, levels = degraded_pairs(clean, self.recipe.scale, self.recipe.degradation, random)
        columns = [F.interpolate(lr, scale_factor=float(self.recipe.scale), mode="nearest")]
        if isinstance(self.averaged.ema, EnhanceNet):
            columns.append(self.averaged.ema(lr.to(self.device), levels.to(self.device)).cpu())
        columns.append(hr)
        rows = torch.stack(columns, 1).flatten(0, 1)
        pixels = (rows.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()
        return sheet(list(pixels), columns=len(columns))


def read_clean(folder: Path, split: str, least: int, halvings: int = 1) -> list[Pixels]:
    """Clean targets of at least `least` px: photos halved so often, scenes once; pictures of a folder that has only
    smaller ones less often.

    Raises:
        DataError: the folder has no picture that is large enough.
    """
    if (folder / "scenes.csv").is_file():
        found = [halve(scene) for scene, _ in read_views(folder, split) if min(scene.shape[:2]) >= 2 * least]
        if not found:
            raise DataError(f"{folder} has no {split} picture of at least {2 * least} px")
        return found
    try:
        return read_photos(folder, split, least, halvings=halvings)
    except DataError:
        if halvings == 0:
            raise
        return read_clean(folder, split, least, halvings - 1)


def turned(patches: Pixels, random: torch.Generator) -> Pixels:
    """(N, S, S, 3), all turned upside down or on their side, by chance."""
    upside, side = (torch.rand(2, generator=random) < 0.5).tolist()
    patches = patches[:, ::-1] if upside else patches
    return np.ascontiguousarray(patches.transpose(0, 2, 1, 3) if side else patches)
