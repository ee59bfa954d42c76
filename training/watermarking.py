"""How `watermark` is trained: bits hidden in pictures, and read from what is left of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from training.averaged import Averaged, AveragedTrainer, annealed
from training.data import Labelled
from training.hardware import has_fast_bf16
from training.networks.blocks import from_bytes, lightness
from training.networks.watermark import WatermarkConfig, WatermarkNet, room_of
from training.pictures import Pixels, sheet


@dataclass(frozen=True, kw_only=True)
class WatermarkRecipe:
    """Settings of the training. The mark begins `loud` times as strong as it ends, after `quiet` of the steps."""

    name: str
    network: WatermarkConfig
    steps: int
    batch_size: int = 16
    sides: tuple[int, ...] = (256, 256, 128)  # px of the pictures, drawn for each batch
    lr: float = 1e-3
    ema_decay: float = 0.998
    loud: float = 5.0
    quiet: float = 0.5
    weights: Mapping[str, float] = field(default_factory=lambda: {"bits": 1.0, "visible": 0.02})
    products: float = 0.4
    """Share of pictures that are products on a plain ground, half of those on white."""
    seed: int = 0
    bf16: bool = True

    def done(self, step: int) -> float:
        """How far the mark is on the way from loud to quiet, in [0, 1]."""
        return min(1.0, step / max(1, self.quiet * self.steps))

    def harm(self, step: int) -> float:
        """How much happens to pictures at a step, in [0, 1]: nothing until bits can be read at all."""
        return min(1.0, max(0.0, 2 * self.done(step) - 0.2))

    def strength(self, step: int) -> float:
        """How strong the mark is at a step, 1 at the end."""
        return float(self.loud ** (1 - self.done(step)))


class WatermarkTrainer(AveragedTrainer[WatermarkNet]):
    """Trains a `WatermarkNet` on photos and curated products; see `loop.Trainer`."""

    def __init__(self, recipe: WatermarkRecipe, photos: list[Pixels], products: Labelled, device: str = "cpu") -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.photos, self.products, self.device = recipe, photos, products, torch.device(device)
        self.averaged = Averaged(WatermarkNet(recipe.network), self.device, recipe.ema_decay, most_gradient=1.0)
        self._bf16 = recipe.bf16 and has_fast_bf16(self.device)
        self.batch_size, self.steps = recipe.batch_size, recipe.steps

    def step(self, index: int, random: torch.Generator) -> dict[str, float]:
        recipe = self.recipe
        rate = annealed(recipe.lr * min(1.0, (index + 1) / 200), index, recipe.steps)
        pictures = self.pictures(recipe.batch_size, random).to(self.device)
        bits = torch.randint(2, (len(pictures), recipe.network.bits), generator=random).float().to(self.device)
        net = self.averaged.net
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._bf16):
            change = net.hider(small(pictures, recipe.network.size), bits, recipe.strength(index))
        seen = harmed(marked(pictures, change), random, recipe.harm(index))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._bf16):
            logits = net.reader(torch.cat([small(one, recipe.network.size) for one in seen]))
        luma = lightness(change.float())[:, 0]
        terms = {
            "bits": F.binary_cross_entropy_with_logits(logits.float(), bits),
            # Not before something is read: until then Adam follows this term alone, into colours that nobody finds.
            "visible": max(0.0, 2 * recipe.done(index) - 1) * luma.square().mean() / recipe.strength(index) ** 2,
        }
        self.averaged.step(index, rate, terms, recipe.weights)
        right = ((logits > 0) == (bits > 0.5)).float()
        found = {name: term.item() for name, term in terms.items()}
        return found | {"right": right.mean().item(), "whole": (right.mean(1) == 1).float().mean().item()}

    def pictures(self, count: int, random: torch.Generator) -> Tensor:
        """(N, 3, S, S) in [0, 1]: parts of photos, and products on a plain ground, of a side that is drawn."""
        sides = self.recipe.sides
        return self._batch(count, sides[int(torch.randint(len(sides), (), generator=random))], random)

    def _batch(self, count: int, side: int, random: torch.Generator) -> Tensor:
        found = [
            self._product(side, random)
            if torch.rand((), generator=random) < self.recipe.products
            else self._photo(side, random)
            for _ in range(count)
        ]
        return from_bytes(torch.from_numpy(np.stack(found)))

    def _photo(self, side: int, random: torch.Generator) -> Pixels:
        photo = self.photos[int(torch.randint(len(self.photos), (), generator=random))]
        least = min(photo.shape[:2])
        size = int(least * (0.5 + 0.5 * float(torch.rand((), generator=random))))
        top, left = (int(torch.randint(n - size + 1, (), generator=random)) for n in photo.shape[:2])
        part = photo[top : top + size, left : left + size]
        part = part[:, ::-1] if torch.rand((), generator=random) < 0.5 else part
        shrinks = size > side
        resized = cv2.resize(part, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
        return np.asarray(resized, np.uint8)

    def _product(self, side: int, random: torch.Generator) -> Pixels:
        square = self.products.pictures[int(torch.randint(len(self.products.labels), (), generator=random))]
        large = np.asarray(cv2.resize(square, (side, side), interpolation=cv2.INTER_CUBIC), np.uint8)
        if torch.rand((), generator=random) < 0.5:
            return np.ascontiguousarray(large[..., :3])
        ground = (255 * torch.rand(3, generator=random) ** 0.5).numpy()
        # What is over white keeps its colour times its alpha when the white's share is taken away.
        share = (255 - large[..., 3:].astype(np.float32)) / 255
        return np.asarray(np.clip(large[..., :3] - share * (255 - ground), 0, 255).round(), np.uint8)

    @torch.no_grad()
    def picture(self) -> Pixels:
        """Fixed pictures, a row each: as they were, marked, and the change ten times as strong on grey."""
        random = torch.Generator().manual_seed(0)
        config = self.recipe.network
        pictures = self._batch(8, max(self.recipe.sides), random)
        bits = torch.randint(2, (len(pictures), config.bits), generator=random).float()
        change = self.averaged.ema.hider(small(pictures.to(self.device), config.size), bits.to(self.device)).cpu()
        after = marked(pictures, change)
        rows = torch.stack([pictures, after, 0.5 + 10 * (after - pictures)], 1).flatten(0, 1)
        pixels = (rows.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()
        return sheet(list(pixels), columns=6)


def small(pictures: Tensor, side: int) -> Tensor:
    """(N, 3, H, W) or (3, H, W) in [0, 1] -> (N, 3, side, side): what both networks look at."""
    batch = pictures if pictures.dim() == 4 else pictures[None]
    return F.interpolate(batch, size=(side, side), mode="bilinear", align_corners=False, antialias=True)


def marked(pictures: Tensor, change: Tensor) -> Tensor:
    """(N, 3, H, W) in [0, 1] with a change (N, 3, S, S) in steps of 255 where there is room, rounded to 8 bits."""
    large = F.interpolate(change.float(), size=pictures.shape[2:], mode="bilinear", align_corners=False)
    exact = (pictures + room_of(pictures) * large / 255).clamp(0, 1)
    return exact + ((exact * 255).round() / 255 - exact).detach()


def harmed(pictures: Tensor, random: torch.Generator, harm: float) -> list[Tensor]:
    """What happens to published pictures, each its own way: (N, 3, H, W) -> N of (3, h, w). `harm` in [0, 1] scales it.

    Gradients go through all of it; JPEG passes them as if it did nothing.
    """
    return [harmed_one(picture, random, harm) for picture in pictures]


def harmed_one(picture: Tensor, random: torch.Generator, harm: float) -> Tensor:
    """A part of a picture, at another size, with other light, noise and marks of JPEG."""

    def chance(share: float) -> bool:
        return bool(torch.rand((), generator=random) < share * harm)

    def amount(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=random))

    if chance(0.5):  # up to a tenth of each side, from any edge
        height, width = picture.shape[1:]
        high, wide = (round(n * (1 - amount(0, 0.12))) for n in (height, width))
        top, left = round(amount(0, height - high)), round(amount(0, width - wide))
        picture = picture[:, top : top + high, left : left + wide]
    if chance(0.5):
        factor = amount(0.4, 1.1)
        size = [max(32, round(n * factor)) for n in picture.shape[1:]]
        picture = F.interpolate(picture[None], size=size, mode="bilinear", align_corners=False, antialias=True)[0]
    if chance(0.3):
        gain = torch.tensor([amount(0.85, 1.15) for _ in range(3)]).to(picture)[:, None, None]
        picture = (picture * gain + amount(-0.05, 0.05)).clamp(0, 1)
    if chance(0.2):
        noise = torch.randn(picture.shape, generator=random).to(picture.device)
        picture = picture + amount(0, 4) / 255 * noise
    if chance(0.7):
        picture = picture + (compressed(picture, round(amount(45, 95))) - picture).detach()
    return picture


def compressed(picture: Tensor, quality: int) -> Tensor:
    """(3, H, W) in [0, 1] through JPEG, 4:2:0."""
    pixels = (picture.detach().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    data = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    decoded = np.ascontiguousarray(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)[..., ::-1])
    return torch.from_numpy(decoded).permute(2, 0, 1).to(picture) / 255
