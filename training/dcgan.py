"""How the `dcgan` recipes are trained: non-saturating binary cross-entropy, one update of each network in turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from training.checkpoint import optimizer_tensors, restore_optimizer
from training.data import Labelled
from training.hardware import has_fast_bf16
from training.losses import non_saturating
from training.networks.dcgan import DcganConfig, DcganDiscriminator, DcganGenerator
from training.pictures import Pixels, sheet


@dataclass(frozen=True, kw_only=True)
class DcganRecipe:
    """Settings of the textbook training (Adam as Radford et al. 2015)."""

    name: str
    network: DcganConfig
    steps: int
    batch_size: int = 64
    lr: float = 2e-4
    seed: int = 0
    bf16: bool = False


class DcganTrainer:
    """Trains the reference pair on grey pictures or on products; see `loop.Trainer`."""

    def __init__(self, recipe: DcganRecipe, data: Labelled, device: str = "cpu") -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.data, self.device = recipe, data, torch.device(device)
        self.g = DcganGenerator(recipe.network).to(self.device)
        self.d = DcganDiscriminator(recipe.network).to(self.device)
        self.g_optimizer = torch.optim.Adam(self.g.parameters(), recipe.lr, betas=(0.5, 0.999))
        self.d_optimizer = torch.optim.Adam(self.d.parameters(), recipe.lr, betas=(0.5, 0.999))
        self._bf16 = recipe.bf16 and has_fast_bf16(self.device)
        self.batch_size, self.steps = recipe.batch_size, recipe.steps

    def step(self, index: int, random: torch.Generator) -> dict[str, float]:
        # Dropout draws from the global generator, so it too is tied to the step.
        torch.manual_seed(int(torch.randint(2**31, (), generator=random)))
        pictures, labels = (one.to(self.device) for one in self.data.batch(self.batch_size, random))
        real = 2 * pictures - 1
        z = torch.randn(2, self.batch_size, self.recipe.network.z_size, generator=random).to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._bf16):
            real_logits, fake_logits = self.d(real, labels), self.d(self.g(z[0], labels).detach(), labels)
        d_loss = non_saturating(real_logits.float(), fake_logits.float())
        self.d_optimizer.zero_grad(set_to_none=True)
        d_loss.backward()  # type: ignore[no-untyped-call]
        self.d_optimizer.step()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._bf16):
            logits = self.d(self.g(z[1], labels), labels)
        g_loss = F.softplus(-logits.float()).mean()
        self.g_optimizer.zero_grad(set_to_none=True)
        g_loss.backward()  # type: ignore[no-untyped-call]
        self.g_optimizer.step()
        return {"d": d_loss.item(), "g": g_loss.item()}

    def state(self) -> dict[str, Mapping[str, Tensor]]:
        return {
            "g": self.g.state_dict(),
            "d": self.d.state_dict(),
            "g_optimizer": optimizer_tensors(self.g_optimizer),
            "d_optimizer": optimizer_tensors(self.d_optimizer),
        }

    def restore(self, groups: Mapping[str, Mapping[str, Tensor]]) -> None:
        self.g.load_state_dict(groups["g"])
        self.d.load_state_dict(groups["d"])
        restore_optimizer(self.g_optimizer, groups.get("g_optimizer", {}))
        restore_optimizer(self.d_optimizer, groups.get("d_optimizer", {}))

    @torch.no_grad()
    def picture(self) -> Pixels:
        """64 fixed seeds, or with classes eight seeds a row each, a class a column."""
        network = self.recipe.network
        columns = network.classes or 8
        z = torch.randn(8 * columns, network.z_size, generator=torch.Generator().manual_seed(0))
        self.g.eval()
        drawn = self.g(z.to(self.device), torch.arange(columns, device=self.device).repeat(8)).cpu()
        self.g.train()
        rgb = drawn[:, :3].expand(-1, 3, -1, -1)
        pixels = ((rgb.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
        return sheet(list(pixels), columns=columns)
