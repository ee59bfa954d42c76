"""Pictures of what a running service makes of inputs that no network has seen, beside the truth where there is one."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np

from training.composites import object_of, unit
from training.curate import split_of
from training.data import DataError
from training.pictures import MAGENTA, Pixels, on_white, over, png, read_rgb, read_rgba, sheet, write_picture

SIDE = 256
COLOURS = ("#b03a2e", "#1f6fb2", "#2e8b57", "#e0b13a", "#7a4ea3", "#8a8a8a", "#1c1c1c", "#ffffff")
SCENES = (
    {"backdrop": "marble", "anchor": "bottom", "fill": "0.65", "shadow": "soft"},
    {"backdrop": "oak", "anchor": "bottom", "fill": "0.65", "shadow": "soft"},
    {"backdrop": "studio-sand", "anchor": "bottom", "fill": "0.7", "shadow": "soft"},
    {"backdrop": "garden", "anchor": "bottom", "fill": "0.6", "shadow": "soft"},
    {"backdrop": "terrazzo", "anchor": "bottom", "fill": "0.65", "shadow": "contact"},
    {"backdrop": "apartment", "anchor": "bottom", "fill": "0.6", "shadow": "soft"},
)
"""How products are composed."""
SHIRT = ((95, 40), (125, 58), (175, 58), (205, 40), (268, 105), (236, 140), (208, 112), (210, 262), (90, 262),
         (92, 112), (64, 140), (32, 105), (95, 40))  # fmt: skip
"""A shirt, as a hand draws it."""


@dataclass(frozen=True, slots=True)
class Caller:
    """A running service."""

    client: httpx.Client

    def picture(self, route: str, files: list[Path | bytes], **options: str) -> Pixels:
        """What comes back, (H, W, 4) uint8.

        Raises:
            DataError: the service refuses; the message has its reason.
        """
        parts = [("image", one.read_bytes() if isinstance(one, Path) else one) for one in files]
        answer = self.client.post(route, files=parts, data={**options, "format": "png"})
        if answer.status_code != 200:
            raise DataError(f"{route} answered {answer.status_code}: {answer.text[:200]}")
        return decoded(answer.content)


def decoded(data: bytes) -> Pixels:
    """A file's picture, (H, W, 4) RGBA uint8."""
    bgr = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED), np.uint8)
    if bgr.shape[2] == 3:
        bgr = np.dstack([bgr, np.full(bgr.shape[:2], 255, np.uint8)])
    return np.ascontiguousarray(bgr[..., [2, 1, 0, 3]])


def tile(picture: Pixels, side: int = SIDE) -> Pixels:
    """(H, W, 3 or 4) on a grey square, alpha over magenta."""
    rgb = over(picture[..., :3], unit(picture[..., 3]), MAGENTA) if picture.shape[2] == 4 else picture
    scale = side / max(rgb.shape[:2])
    size = (max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale)))
    small = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC), np.uint8)
    square = np.full((side, side, 3), 236, np.uint8)
    top, left = (side - size[1]) // 2, (side - size[0]) // 2
    square[top : top + size[1], left : left + size[0]] = small
    return square


def held_out_scenes(folder: Path, skipped: list[str]) -> list[str]:
    """Keys of views that no training has seen, one an object, in an order that says nothing; not of `skipped` objects.

    Raises:
        DataError: there is none.
    """
    keys = [path.stem.removesuffix("_studio") for path in sorted(folder.glob("*_studio.webp"))]
    chosen: dict[str, str] = {}
    for key in keys:
        if split_of(object_of(key)) in ("test", "validation") and object_of(key) not in skipped:
            chosen.setdefault(object_of(key), key)
    if not chosen:
        raise DataError(f"no held-out scenes in {folder}")
    order = np.random.default_rng(0).permutation(len(chosen))
    return [list(chosen.values())[at] for at in order]


def held_out_photos(curated: Path, photos: Path, skipped: list[str]) -> list[tuple[Path, str, str]]:
    """Photos of the test split, with their class and number, in an order that says nothing; no `skipped` number."""
    with (curated / "index.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test" and row["id"] not in skipped]
    order = np.random.default_rng(0).permutation(len(rows))
    return [(photos / rows[at]["source"], rows[at]["label"], rows[at]["id"]) for at in order]


def gallery(url: str, scenes: Path, curated: Path, photos: Path, skipped: list[str], out: Path) -> list[Path]:
    """Write every sheet into `out`, without `skipped` objects of scenes and photos' numbers; gives their paths.

    Raises:
        DataError: there is nothing held out, or the service refuses.
        OSError: a sheet cannot be written, or a photo not be read.
    """
    with httpx.Client(base_url=url, timeout=120) as client:
        caller, keys = Caller(client), held_out_scenes(scenes, skipped)
        people = held_out_photos(curated, photos, skipped)
        sheets: dict[str, tuple[Iterator[Pixels], int]] = {
            "cutout": (cutouts(caller, scenes, keys, people), 6),
            "compose": (composed(caller, scenes, keys, people), 4),
            "studio": (studios(caller, scenes, keys), 6),
            "colorway": (colourways(caller, people), 9),
            "sketch": (sketches(caller, scenes, keys, people), 6),
            "from-sketch": (drawings(caller, people), 6),
        }
        written = []
        for name, (tiles, columns) in sheets.items():
            written.append(out / f"{name}.webp")
            write_picture(written[-1], sheet(list(tiles), columns), quality=82)
    return written


def scene_of(folder: Path, key: str) -> Path:
    """A view's picture in its place."""
    return folder / f"{key}_scene.webp"


def cutouts(caller: Caller, scenes: Path, keys: list[str], people: list[Any]) -> Iterator[Pixels]:
    """Scenes with the truth, then photos of garments: input, cut out, truth or the same over white."""
    options = {"scale": "1", "denoise": "0", "background": "transparent"}
    for key in keys[:8]:
        yield tile(read_rgb_or_fail(scene_of(scenes, key)))
        yield tile(caller.picture("/enhance", [scene_of(scenes, key)], **options))
        alpha = read_rgba(scenes / f"{key}_studio.webp")[..., 3]
        yield tile(np.dstack([read_rgb_or_fail(scene_of(scenes, key)), alpha]))
    for path, _, _ in people[:8]:
        yield tile(read_rgb_or_fail(path))
        yield tile(caller.picture("/enhance", [path], **options))
        yield tile(caller.picture("/enhance", [path], **{**options, "background": "white"}))


def composed(caller: Caller, scenes: Path, keys: list[str], people: list[Any]) -> Iterator[Pixels]:
    """Input and composition, of scenes' products; at last four garments together."""
    for key, options in zip(keys, SCENES, strict=False):
        yield tile(read_rgb_or_fail(scene_of(scenes, key)), 384)
        yield tile(caller.picture("/compose", [scene_of(scenes, key)], width="768", height="768", **options), 384)
    four = [path for path, _, _ in people[8:12]]
    for path in four[:1]:
        yield tile(read_rgb_or_fail(path), 384)
    yield tile(
        caller.picture("/compose", list(four), backdrop="#f0ece4", shadow="soft", width="768", height="768"), 384
    )
    yield tile(read_rgb_or_fail(people[12][0]), 384)
    yield tile(caller.picture("/compose", [people[12][0]], preset="amazon-main"), 384)


def studios(caller: Caller, scenes: Path, keys: list[str]) -> Iterator[Pixels]:
    """Snapshot, the style, the studio's view on white."""
    for key in keys[:12]:
        yield tile(read_rgb_or_fail(scene_of(scenes, key)))
        yield tile(caller.picture("/restyle", [scene_of(scenes, key)], style="studio"))
        studio = read_rgba(scenes / f"{key}_studio.webp")
        yield tile(on_white(studio))


def colourways(caller: Caller, people: list[Any]) -> Iterator[Pixels]:
    """Garments, each in eight colours."""
    for path, _, _ in islice((one for one in people if one[1] in ("t-shirt", "hoodie", "trousers", "dress")), 4):
        yield tile(read_rgb_or_fail(path), 192)
        for colour in COLOURS:
            yield tile(caller.picture("/restyle", [path], style="colorway", color=colour), 192)


def sketches(caller: Caller, scenes: Path, keys: list[str], people: list[Any]) -> Iterator[Pixels]:
    """Photos and their line drawings."""
    for path in [scene_of(scenes, key) for key in keys[:6]] + [path for path, _, _ in people[:6]]:
        yield tile(read_rgb_or_fail(path))
        yield tile(caller.picture("/restyle", [path], style="sketch"))


def drawings(caller: Caller, people: list[Any]) -> Iterator[Pixels]:
    """A hand-made shirt, then drawings that the service has made of held-out products: four seeds each."""
    shirt = np.full((300, 300, 3), 252, np.uint8)
    cv2.polylines(shirt, [np.array(SHIRT, np.int32)], False, (40, 40, 40), 3, cv2.LINE_AA)
    cv2.ellipse(shirt, (150, 58), (26, 14), 0, 0, 180, (40, 40, 40), 3, cv2.LINE_AA)
    inputs: list[tuple[Pixels, str]] = [(shirt, "t-shirt")]
    for path, label, _ in people[:7]:
        inputs.append((caller.picture("/restyle", [path], style="sketch")[..., :3], label))
    for lines, label in inputs:
        yield tile(lines)
        for seed in ("1", "2", "3", "4", "5"):
            yield tile(caller.picture("/restyle", [png(lines)], style="from-sketch", category=label, seed=seed))


def read_rgb_or_fail(path: Path) -> Pixels:
    """A photo, (H, W, 3).

    Raises:
        OSError: it cannot be read.
    """
    rgb = read_rgb(path)
    if rgb is None:
        raise OSError(f"cannot read {path}")
    return rgb
