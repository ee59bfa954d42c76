"""How the enhancers and `restoration-level` are trained: on pairs made by `degrade`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from training.ahead import Ahead
from training.averaged import Averaged, AveragedTrainer, annealed
from training.composites import read_views
from training.data import DataError, halve, photos_of, read_photos
from training.degrade import Degradation, degraded, reduced_patches
from training.graphed import Graphed
from training.hardware import has_fast_bf16
from training.networks.blocks import from_bytes
from training.networks.enhance import EnhanceConfig, EnhanceNet
from training.networks.level import LevelConfig, LevelNet
from training.patches import Photos, cut
from training.pictures import Pixels, sheet

LARGE = 1000
"""px of the short side from which on a photo is sharp enough at half of its size, too."""


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
        self.recipe, self.device = recipe, torch.device(device)
        config = recipe.network
        net = EnhanceNet(config) if isinstance(config, EnhanceConfig) else LevelNet(config)
        self.averaged = Averaged(net, self.device, recipe.ema_decay, most_gradient=recipe.most_gradient)
        self._bf16 = recipe.bf16 and has_fast_bf16(self.device)
        self.batch_size, self.steps = recipe.batch_size, recipe.steps
        self._clean = recipe.degradation.clean_share == 1
        self.data = data.to(self.device) if self._clean else data
        self._learn = Graphed(self._learn_clean if self._clean else self._learn_pairs, self.device)
        # JPEG is made by processors, so a GPU has as many of them to help it as there are threads.
        busy = self.device.type == "cuda" and not self._clean
        self.ahead = Ahead(self.pairs, recipe.seed, recipe.steps, torch.get_num_threads()) if busy else None

    def pairs(self, random: torch.Generator, count: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Degraded (N, S / scale, S / scale, 3) and clean (N, S, S, 3) patches, uint8, and the levels (N,)."""
        recipe = self.recipe
        clean = self.data.patches(count or self.batch_size, recipe.patch, random).cpu()
        small, levels = degraded(clean.numpy(), recipe.scale, recipe.degradation, random)
        return small, clean, levels

    def step(self, index: int, random: torch.Generator) -> dict[str, Tensor]:
        self.averaged.prepare(index, annealed(self.recipe.lr, index, self.recipe.steps))
        if self._clean:
            return self._learn(self.data.places(self.batch_size, self.recipe.patch, random))
        return self._learn(*(self.ahead.batch(index) if self.ahead else self.pairs(random)))

    def _learn_clean(self, places: Tensor) -> dict[str, Tensor]:
        clean = cut(self.data.pixels, places, self.recipe.patch)
        levels = torch.zeros(len(clean), device=clean.device)
        return self._learn_pairs(reduced_patches(clean, self.recipe.scale), clean, levels)

    def _learn_pairs(self, small: Tensor, clean: Tensor, levels: Tensor) -> dict[str, Tensor]:
        lr, hr, net = (
            from_bytes(small).contiguous(memory_format=torch.channels_last),
            from_bytes(clean),
            self.averaged.net,
        )
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._bf16):
            output = net(lr, levels) if isinstance(net, EnhanceNet) else net(lr)
        terms = {"l1": F.l1_loss(output.float(), hr if isinstance(net, EnhanceNet) else levels)}
        self.averaged.descend(terms, {"l1": 1.0})
        return {name: term.detach() for name, term in terms.items()}

    def restore(self, groups: Mapping[str, Mapping[str, Tensor]]) -> None:
        """As `loop.Trainer`."""
        super().restore(groups)
        self._learn.forget()

    def begin(self, weights: Mapping[str, Tensor]) -> None:
        """Begin with these weights where there are any, and with random ones elsewhere."""
        self.averaged.begin({**self.averaged.net.state_dict(), **weights})

    @torch.no_grad()
    def picture(self) -> Pixels:
        """Fixed patches, a row each: degraded input, output (of an `EnhanceNet`), truth."""
        small, clean, levels = self.pairs(torch.Generator().manual_seed(0), 6)
        lr, hr = from_bytes(small), from_bytes(clean)
        columns = [F.interpolate(lr, scale_factor=float(self.recipe.scale), mode="nearest")]
        if isinstance(self.averaged.ema, EnhanceNet):
            columns.append(self.averaged.ema(lr.to(self.device), levels.to(self.device)).cpu())
        columns.append(hr)
        rows = torch.stack(columns, 1).flatten(0, 1)
        pixels = (rows.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()
        return sheet(list(pixels), columns=len(columns))


def read_clean(folder: Path, split: str, least: int, halvings: int = 1) -> list[Pixels]:
    """Clean targets of at least `least` px: photos halved so often, or less often where they are smaller (not at all if
    nothing else is there), large ones also once less; scenes once.

    Raises:
        DataError: the folder has no picture that is large enough.
    """
    if (folder / "scenes.csv").is_file():
        found = [halve(scene) for scene, _ in read_views(folder, split) if min(scene.shape[:2]) >= 2 * least]
        if not found:
            raise DataError(f"{folder} has no {split} picture of at least {2 * least} px")
        return found
    halved = [halve(photo, n) for photo in photos_of(folder, split) for n in sharp(photo, least, halvings)]
    return halved or read_photos(folder, split, least, halvings=0)


def sharp(photo: Pixels, least: int, halvings: int) -> list[int]:
    """How often to halve a photo: as `read_clean` says."""
    short = min(photo.shape[:2])
    times = max((n for n in range(1, halvings + 1) if short >= least << n), default=0)
    if not times:
        return []
    return [times - 1, times] if short >= LARGE and times > 1 else [times]
