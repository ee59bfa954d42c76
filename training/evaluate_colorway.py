"""How well products change their colour: against the truth where there is one, and against the wish."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import torch

from training.colours import ciede2000, in_lab
from training.composites import Floats, floats, read_material, unit
from training.figures import Report
from training.networks.colorway import SURE, mean_inside
from training.networks.grid import affine
from training.pictures import Pixels, over, sheet
from training.recolouring import Dyed, dyed, fine, mean_of, sample

WISHES = ("b03a2e", "1f6fb2", "2e8b57", "e0b13a", "7a4ea3", "8a8a8a", "1c1c1c", "f2f2f2")
MIDDLE = 6
"""How many of them are mid-tones; the last two are black and white."""
SHOWN = 8
MARGIN = 1.1
"""Side of the square around a product, as a share of its longer side."""
Change = Callable[[Floats, Floats, Floats], Floats]
"""What makes of a picture (S, S, 3), its alpha (S, S) and a wish (3,), in [0, 1], one in that colour."""


def evaluate_colorway(session: onnxruntime.InferenceSession, side: int, folders: list[Path]) -> Report:
    """Held-out products in made-up colours, to be turned into their own; and as they are, in eight colours each.

    Beside the network all of a product in the wished colour, by a shift in CIE Lab. Means are what the network alone
    reaches: the service sets them right.

    Raises:
        DataError: the folders hold no product of the splits that no training sees.
    """
    products = [one for split in ("test", "validation") for one in read_material(folders, split).products]

    def by_network(rgb: Floats, alpha: Floats, wish: Floats) -> Floats:
        image = to_bytes(np.dstack([rgb, alpha]))
        change = session.run(None, {"image": image[None], "color": to_bytes(wish)[None]})[0]
        picture = torch.from_numpy(unit(image[..., :3])).permute(2, 0, 1)[None]
        found = affine(picture, torch.from_numpy(change).permute(0, 3, 1, 2)).clamp(0, 1)
        return floats(found[0].permute(1, 2, 0).numpy())

    def shifted(rgb: Floats, alpha: Floats, wish: Floats) -> Floats:
        return dyed(rgb, alpha, wish, (1.0, 0.25), only_cloth=False)

    report = Report()
    note_truth(report, products, side, {"network": by_network, "shifted in Lab": shifted})
    report.picture = note_wishes(report, products, side, by_network)
    return report


def note_truth(report: Report, products: list[Pixels], side: int, ways: dict[str, Change]) -> None:
    """How far products in made-up colours, told their own mean, are from themselves."""
    random, means = np.random.default_rng(0), np.stack([mean_of(one) for one in products])
    cases = [sample([product], means, side, random) for product in products]
    said = f"{len(cases)} held-out products in made-up colours, {side} px, CIEDE2000 of their pixels"
    for name, way in ways.items():
        gaps = [gap(way(case.source, case.alpha, told(case)), case) for case in cases]
        report.add(f"distance from the truth, {name}", float(np.mean(gaps)), "", said)
        report.add(f"the worst tenth, {name}", float(np.quantile(gaps, 0.9)), "", said)


def note_wishes(report: Report, products: list[Pixels], side: int, way: Change) -> Pixels:
    """How near the wish the mean colour comes, and whether folds stay; gives a sheet, a product a row."""
    shown = set(np.linspace(0, len(products) - 1, SHOWN).astype(int))
    off, like, rows = [], [], []
    for index, product in enumerate(products):
        rgb, alpha = squared(product, side)
        pictures = [rgb]
        for digits in WISHES:
            wish = floats(np.array([int(digits[at : at + 2], 16) for at in (0, 2, 4)]) / 255)
            pictures.append(way(rgb, alpha, wish))
            mean = mean_inside(tensor(pictures[-1]), torch.from_numpy(alpha)[None, None])[0].numpy()
            off.append(float(ciede2000(in_lab(mean), in_lab(wish))))
            before, after = (fine(tensor(one), torch.from_numpy(alpha)[None, None]) for one in (rgb, pictures[-1]))
            like.append(float(torch.cosine_similarity(before.flatten(), after.flatten(), 0)))
        if index in shown:
            rows += [cv2.resize(over(to_bytes(one), alpha, (255,) * 3), (128, 128)) for one in pictures]
    away, alike = np.reshape(off, (-1, len(WISHES))), np.reshape(like, (-1, len(WISHES)))
    said = f"{len(products)} held-out products, {len(WISHES)} wishes"
    report.add("distance of the mean colour from the wish, mid-tones", float(away[:, :MIDDLE].mean()), "", said)
    report.add("the same, nine of ten within", float(np.quantile(away[:, :MIDDLE], 0.9)), "", said)
    report.add("likeness of fine shades to the photo's", float(alike.mean()), "of 1", said)
    return sheet([np.asarray(one, np.uint8) for one in rows], columns=1 + len(WISHES))


def squared(rgba: Pixels, side: int) -> tuple[Floats, Floats]:
    """A product (H, W, 4) in the middle of a square as the service cuts it: (S, S, 3) and alpha (S, S), in [0, 1]."""
    reach = round(MARGIN * max(rgba.shape[:2]))
    top, left = (reach - rgba.shape[0]) // 2, (reach - rgba.shape[1]) // 2
    square = np.zeros((reach, reach, 4), np.uint8)
    square[top : top + rgba.shape[0], left : left + rgba.shape[1]] = rgba
    small = unit(cv2.resize(square, (side, side), interpolation=cv2.INTER_AREA))
    return small[..., :3], small[..., 3]


def told(case: Dyed) -> Floats:
    """The mean colour of the truth (3,)."""
    return floats(mean_inside(tensor(case.target), torch.from_numpy(case.alpha)[None, None])[0].numpy())


def gap(found: Floats, case: Dyed) -> float:
    """The mean CIEDE2000 between a picture (S, S, 3) and the truth, where alpha is sure."""
    inside = case.alpha > SURE
    return float(ciede2000(in_lab(found[inside]), in_lab(case.target[inside])).mean()) if inside.any() else 0.0


def tensor(picture: Floats) -> torch.Tensor:
    """(S, S, 3) -> (1, 3, S, S)."""
    return torch.from_numpy(floats(picture)).permute(2, 0, 1)[None]


def to_bytes(picture: Floats) -> Pixels:
    """[0, 1] -> uint8, clipped and rounded."""
    return (np.clip(picture, 0, 1) * 255).round().astype(np.uint8)
