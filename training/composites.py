"""Pictures with known cut-outs, made as they are needed: products over grounds, shadows, light, a camera's faults.

A sample is (rgb, alpha, residual, weight): rgb (S, S, 3) and alpha (S, S) float32 in [0, 1], residual (S, S, 3) what
the product's own colour differs from the clean picture's, weight (S, S) how much the truth can be trusted there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from training.curate import PHOTO_SUFFIXES, split_of
from training.cutout import bleed, bounds
from training.data import DataError
from training.pictures import Pixels, find_rgba, read_rgb, read_rgba

Floats = NDArray[np.float32]
Random = np.random.Generator
T = TypeVar("T")
TILED_SIDE = 160
"""Pictures up to this side are surfaces, to be tiled."""
FINER = 4
"""How many times finer than pixels the grid is on which shapes are drawn."""


class Sample(NamedTuple):
    """See the module."""

    rgb: Floats
    alpha: Floats
    residual: Floats
    weight: Floats


def floats(array: Any) -> Floats:  # noqa: ANN401  # whatever NumPy and OpenCV give
    """As float32."""
    return np.asarray(array, np.float32)


def unit(pixels: Any) -> Floats:  # noqa: ANN401  # whatever OpenCV gives
    """uint8 as float32 in [0, 1]."""
    return floats(np.multiply(pixels, np.float32(1 / 255), dtype=np.float32))


@dataclass(frozen=True, kw_only=True)
class Shares:
    """How a sample is made: of a real photo, a rendered scene, or else a composite; and what befalls composites."""

    photo: float = 0.25
    scene: float = 0.35
    plain: float = 0.35  # of the composites: grounds of one colour
    alike: float = 0.35  # of those: about the product's own colour
    second: float = 0.15  # of the composites: two products
    pierced: float = 0.15  # of the composites: with holes
    rods: float = 0.2  # of the composites: with thin parts
    shadow: float = 0.7


@dataclass(slots=True)
class Material:
    """What samples are made of, in memory. Pictures with alpha are straight RGBA, (H, W, 4) uint8."""

    photos: list[Pixels] = field(default_factory=list)
    """Whole photos with a mask as alpha, which GrabCut drew."""
    scenes: list[Pixels] = field(default_factory=list)
    """Whole rendered pictures with exact alpha."""
    products: list[Pixels] = field(default_factory=list)
    """Products alone; the colours outside alpha mean nothing."""
    places: list[Pixels] = field(default_factory=list)
    surfaces: list[Pixels] = field(default_factory=list)


def read_material(folders: list[Path], split: str) -> Material:
    """What the folders hold of one split: what `curate` wrote, scenes with their `scenes.csv`, pictures: those with
    alpha are products, the others grounds.

    Split by object; grounds are in every split.

    Raises:
        DataError: there is no product in them.
    """
    found = Material()
    for folder in folders:
        if (folder / "index.csv").is_file():
            read_curated(folder, split, found)
        elif (folder / "scenes.csv").is_file():
            read_scenes(folder, split, found)
        else:
            read_pictures(folder, split, found)
    if not found.products:
        raise DataError(f"no product of the {split} split in {', '.join(map(str, folders))}")
    return found


def read_curated(folder: Path, split: str, found: Material) -> None:
    """Photos with masks, and their products."""
    for path in sorted((folder / "photos").glob("*.png")):
        if split_of(path.stem) == split:
            rgba = read_rgba(path)
            found.photos.append(rgba)
            alpha = cv2.GaussianBlur(rgba[..., 3], (0, 0), 0.8).astype(np.uint8)
            found.products.append(trimmed(np.dstack([bleed(rgba[..., :3], rgba[..., 3]), alpha])))


def object_of(key: str) -> str:
    """A view's object: its key without the number of the view."""
    return key.rpartition("_")[0]


def read_scenes(folder: Path, split: str, found: Material) -> None:
    """Scenes with the alpha of their studio's view, and the products of those."""
    for scene, studio in read_views(folder, split):
        found.scenes.append(np.dstack([scene, studio[..., 3]]))
        found.products.append(trimmed(studio))


def read_views(folder: Path, split: str) -> Iterator[tuple[Pixels, Pixels]]:
    """Pairs of views of one split, `KEY_scene.webp` (H, W, 3) and `KEY_studio.webp` (H, W, 4); split by object.

    Raises:
        DataError: a view has no scene.
    """
    for path in sorted(folder.glob("*_studio.webp")):
        key = path.stem.removesuffix("_studio")
        if split_of(object_of(key)) == split:
            scene = read_rgb(folder / f"{key}_scene.webp")
            if scene is None:
                raise DataError(f"{folder} has no scene for {key}")
            yield scene, read_rgba(path)


def read_pictures(folder: Path, split: str, found: Material) -> None:
    """Places, and surfaces; of pictures with alpha, the products, which are split by name."""
    for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in PHOTO_SUFFIXES):
        rgba = find_rgba(path)
        if rgba is not None and rgba[..., 3].min() < 128:
            if split_of(str(path.relative_to(folder))) == split:
                found.products.append(trimmed(rgba))
            continue
        rgb = read_rgb(path)
        if rgb is not None:
            (found.surfaces if max(rgb.shape[:2]) <= TILED_SIDE else found.places).append(rgb)


def trimmed(rgba: Pixels) -> Pixels:
    """A product without what is empty around it."""
    height, width = rgba.shape[:2]
    top, left, bottom, right = bounds(rgba[..., 3] > 8) or (0, 0, height, width)
    return np.ascontiguousarray(rgba[top:bottom, left:right])


def sample(material: Material, side: int, shares: Shares, random: Random) -> Sample:
    """One picture with its truth."""
    kind = random.random()
    if material.photos and kind < shares.photo:
        made = framed(pick(material.photos, random), side, random, trusted=False)
    elif material.scenes and kind < shares.photo + shares.scene:
        made = framed(pick(material.scenes, random), side, random, trusted=True)
    else:
        made = composite(material, side, shares, random)
    return taken(recoloured(made, random), random)


def pick(things: list[T], random: Random) -> T:
    return things[int(random.integers(len(things)))]


def framed(rgba: Pixels, side: int, random: Random, *, trusted: bool) -> Sample:
    """A part of a picture with its alpha: any part that shows the product, stretched to the square, mirrored, turned.

    Where the mask is not `trusted`, its edge is not either.
    """
    height, width = rgba.shape[:2]
    box = bounds(rgba[..., 3] > 127) or (0, 0, height, width)
    tight = 1 - 1.15 * random.beta(1.2, 1.2) if random.random() < 0.7 else 1.0  # 1: the whole picture; 0: the box
    top, left, bottom, right = (
        tight * whole + (1 - tight) * edge for whole, edge in zip((0, 0, height, width), box, strict=True)
    )
    matrix = square_of(top, left, bottom, right, side, random)
    shrunk = smoothed(rgba, max(bottom - top, right - left) / side)
    moved = cv2.warpAffine(shrunk, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    inside = cv2.warpAffine(
        np.ones((height, width), np.float32), matrix, (side, side), flags=cv2.INTER_LINEAR, borderValue=0
    )
    rgb, alpha = unit(moved[..., :3]), unit(moved[..., 3])
    weight = floats(inside > 0.99)
    if not trusted:
        sure = (alpha > 0.5).astype(np.uint8)
        band = cv2.dilate(sure, np.ones((5, 5), np.uint8)) - cv2.erode(sure, np.ones((5, 5), np.uint8))
        weight = floats(np.where(band > 0, 0.3 * weight, weight))
        alpha = floats(cv2.GaussianBlur(alpha, (0, 0), 0.7))
    return Sample(rgb, alpha, np.zeros_like(rgb), weight)


def smoothed(picture: Pixels, reduction: float) -> Pixels:
    """Filtered for a reduction by that factor."""
    return cv2.GaussianBlur(picture, (0, 0), 0.45 * (reduction - 1)).astype(np.uint8) if reduction > 1.2 else picture


def square_of(top: float, left: float, bottom: float, right: float, side: int, random: Random) -> NDArray[np.float64]:
    """The affine map of a rectangle to the square, mirrored and turned a little at random."""
    angle = np.deg2rad(random.normal(0, 4)) if random.random() < 0.5 else 0.0
    mirror = -1.0 if random.random() < 0.5 else 1.0
    centre = np.array([(left + right) / 2, (top + bottom) / 2])
    linear = np.diag([mirror * side / (right - left), side / (bottom - top)]) @ turn(angle)
    return np.column_stack([linear, np.array([side / 2, side / 2]) - linear @ centre])


def turn(angle: float) -> NDArray[np.float64]:
    """The matrix of a turn by so many radians."""
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def composite(material: Material, side: int, shares: Shares, random: Random) -> Sample:
    """Products over a ground, with their shadows, which are no part of alpha."""
    count = 2 if random.random() < shares.second else 1
    layers = [placed(pick(material.products, random), side, random, count) for _ in range(count)]
    colour, alpha = layers[0]
    for other, cover in layers[1:]:
        colour, alpha = laid_over(colour, alpha, other, cover)
    if random.random() < shares.pierced:
        alpha = pierced(alpha, random)
    if random.random() < shares.rods:
        colour, alpha = with_rods(colour, alpha, random)
    ground = floor(material, side, shares, colour, alpha, random)
    if random.random() < shares.shadow:
        ground = floats(ground * (1 - shadow(alpha, random)[..., None]))
    rgb = ground + (colour - ground) * alpha[..., None]
    residual = floats(np.where(alpha[..., None] > 0.02, colour - rgb, 0))
    return Sample(floats(rgb), alpha, residual, np.ones_like(alpha))


def laid_over(colour: Floats, alpha: Floats, other: Floats, cover: Floats) -> tuple[Floats, Floats]:
    """Straight colours (S, S, 3) and alphas (S, S): the second over the first (Porter & Duff 1984)."""
    both = cover + alpha * (1 - cover)
    share = (cover / np.maximum(both, 1e-6))[..., None]
    return floats(colour + (other - colour) * share), floats(both)


def pierced(alpha: Floats, random: Random) -> Floats:
    """A shape (S, S) with up to three holes through which the ground is seen, as those of handles and of chairs."""
    side = FINER * len(alpha)
    holes = np.zeros((side, side), np.uint8)
    for _ in range(int(random.integers(1, 4))):
        axes = (side * random.uniform(0.02, 0.15, 2)).astype(int).tolist()
        cv2.ellipse(holes, point_of(alpha, random), axes, random.uniform(0, 180), 0, 360, 255, -1)
    return floats(alpha * (1 - reduced(holes)))


def with_rods(colour: Floats, alpha: Floats, random: Random) -> tuple[Floats, Floats]:
    """A product, colour (S, S, 3) and alpha (S, S), with up to three thin parts, some lit along their middle."""
    mean = (colour * alpha[..., None]).sum((0, 1)) / max(float(alpha.sum()), 1)
    for _ in range(int(random.integers(1, 4))):
        cover, middle = rod(point_of(alpha, random), len(alpha), random)
        tone = [mean, np.full(3, random.random()), random.random(3)][int(random.integers(3))]
        lit = random.choice([0, random.uniform(0.1, 0.6)]) * middle[..., None]
        colour, alpha = laid_over(colour, alpha, floats(tone + (1 - tone) * lit), cover)
    return colour, alpha


def rod(start: tuple[int, int], side: int, random: Random) -> tuple[Floats, Floats]:
    """A thin part that is straight, a bow or a ring, beginning at or going around a place; and its middle: (S, S)."""
    fine = FINER * side
    width, angle, begin = fine * random.uniform(0.006, 0.03), random.uniform(0, 360), random.uniform(0, 360)
    length = fine * random.uniform(0.15, 0.6)
    end = np.array(start) + length * np.array([np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))])
    axes = (fine * random.uniform(0.05, 0.3, 2)).astype(int).tolist()
    bow, until = random.random() < 0.5, begin + random.choice([360, random.uniform(90, 300)])
    masks = np.zeros((2, fine, fine), np.uint8)
    for mask, share in zip(masks, (1, 0.35), strict=True):
        thick = max(1, round(share * width))
        if bow:
            cv2.ellipse(mask, start, axes, angle, begin, until, 255, thick)
        else:
            cv2.line(mask, start, end.astype(int).tolist(), 255, thick)
    return reduced(masks[0]), reduced(masks[1])


def point_of(alpha: Floats, random: Random) -> tuple[int, int]:
    """(x, y) of any place of a shape, or of the square where there is none, in a grid that is FINER."""
    places = np.argwhere(alpha > 0.5) if (alpha > 0.5).any() else np.argwhere(alpha >= 0)
    row, column = FINER * places[int(random.integers(len(places)))]
    return int(column), int(row)


def reduced(mask: Pixels) -> Floats:
    """A mask (FINER * S, FINER * S) uint8 as shares of pixels (S, S)."""
    side = len(mask) // FINER
    return unit(cv2.resize(mask, (side, side), interpolation=cv2.INTER_AREA))


def placed(
    rgba: Pixels, side: int, random: Random, count: int, light: float = 1.0, fill: tuple[float, float] | None = None
) -> tuple[Floats, Floats]:
    """A product somewhere in the square: colour (S, S, 3), its own also where alpha (S, S) is 0 nearby.

    Its light is changed by chance, as much as `light` says; its longer side is `fill` of the square's, from to.
    """
    height, width = rgba.shape[:2]
    share = random.uniform(*(fill or (0.25, 1.1 if random.random() < 0.2 else 0.92))) * (0.7 if count > 1 else 1)
    reach = share * side / max(height, width)
    stretch = np.exp(random.normal(0, 0.12))
    size = np.array([width * reach * stretch, height * reach / stretch])
    room = np.maximum(side - size, 0.15 * side)
    centre = side / 2 + random.uniform(-0.5, 0.5, 2) * room
    angle = np.deg2rad(random.normal(0, 8))
    mirror = -1.0 if random.random() < 0.5 else 1.0
    linear = turn(angle) @ np.diag([mirror * size[0] / width, size[1] / height])
    matrix = np.column_stack([linear, centre - linear @ np.array([width / 2, height / 2])])
    picture = premultiplied(rgba)
    if reach < 0.83:
        picture = cv2.GaussianBlur(picture, (0, 0), 0.45 * (1 / reach - 1)).astype(np.float32)
    moved = cv2.warpAffine(picture, matrix, (side, side), flags=cv2.INTER_LINEAR, borderValue=0)
    alpha = floats(np.clip(moved[..., 3], 0, 1))
    colour = moved[..., :3] / np.maximum(alpha, 1e-3)[..., None]
    gain, lift = np.exp(light * random.normal(0, 0.2)), light * random.normal(0, 0.04)
    return floats(np.clip(colour * gain + lift, 0, 1)), alpha


def premultiplied(rgba: Pixels) -> Floats:
    """Straight RGBA uint8 -> premultiplied float32 in [0, 1]."""
    picture = unit(rgba)
    picture[..., :3] *= picture[..., 3:]
    return picture


def floor(material: Material, side: int, shares: Shares, colour: Floats, alpha: Floats, random: Random) -> Floats:
    """A ground (S, S, 3): of one colour, a place, a surface, or a surface before a place."""
    if random.random() < shares.plain or not (material.places or material.surfaces):
        return plain(side, shares, colour, alpha, random)
    kind = random.random()
    if material.surfaces and (kind < 0.45 or not material.places):
        return surface(pick(material.surfaces, random), side, random, flat=random.random() < 0.6)
    back = crop(pick(material.places, random), side, random)
    if kind < 0.6 or not material.surfaces:
        return back
    front = surface(pick(material.surfaces, random), side, random, flat=False)
    horizon = random.uniform(0.15, 0.75) * side
    rows = np.arange(side, dtype=np.float32)[:, None, None] + random.normal(0, 0.15) * np.arange(side)[None, :, None]
    share = np.clip((rows - horizon) / random.uniform(1, 4) + 0.5, 0, 1)
    return floats(back + (front - back) * share)


def plain(side: int, shares: Shares, colour: Floats, alpha: Floats, random: Random) -> Floats:
    """One colour with a gentle change over the square: white, grey, any, or about the product's own."""
    if random.random() < shares.alike and alpha.sum() > 1:
        base = (colour * alpha[..., None]).sum((0, 1)) / alpha.sum() + random.normal(0, 0.06, 3)
    elif random.random() < 0.5:
        base = np.full(3, random.choice([1.0, 0.97, 0.9, 0.5, 0.06]))
    else:
        base = random.random(3)
    steps = np.linspace(-1, 1, side, dtype=np.float32)
    across, down = random.normal(0, 0.06, 2)
    light = 1 + across * steps[None, :] + down * steps[:, None]
    return floats(np.clip(base * light[..., None], 0, 1))


def crop(rgb: Pixels, side: int, random: Random) -> Floats:
    """A part of a picture, at least 0.4 of its side, enlarged to the square; sometimes out of focus."""
    height, width = rgb.shape[:2]
    part = random.uniform(0.4, 1) * min(height, width)
    top, left = random.uniform(0, height - part), random.uniform(0, width - part)
    cut = rgb[int(top) : int(top + part), int(left) : int(left + part)]
    large = unit(cv2.resize(cut, (side, side), interpolation=cv2.INTER_LINEAR))
    if random.random() < 0.3:
        large = floats(cv2.GaussianBlur(large, (0, 0), random.uniform(0.5, 3)))
    return large[:, ::-1] if random.random() < 0.5 else large


def surface(rgb: Pixels, side: int, random: Random, *, flat: bool) -> Floats:
    """A tiled surface, seen from above or lying before the camera."""
    repeats = 4
    tiled = np.tile(rgb, (repeats, repeats, 1))
    height, width = tiled.shape[:2]
    scale = random.uniform(0.3, 1)
    corners = np.array([[0.0, 0], [width, 0], [width, height], [0, height]])
    corners = (corners - [width / 2, height / 2]) * scale + [width / 2, height / 2]
    if flat:
        target = np.array([[0.0, 0], [side, 0], [side, side], [0, side]])
        target = target + random.normal(0, 0.05 * side, (4, 2))
        target = (target - side / 2) * 1.5 + side / 2
    else:
        near = random.uniform(0.3, 1.5) * side
        target = np.array([[0.0, 0], [side, 0], [side + near, side], [-near, side]])
    matrix = cv2.getPerspectiveTransform(floats(corners), floats(target))
    warped = cv2.warpPerspective(tiled, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return unit(warped)


def shadow(alpha: Floats, random: Random) -> Floats:
    """How much light (S, S) a product takes from its ground: its shape, flattened, slanted, moved and blurred."""
    side = len(alpha)
    rows = np.flatnonzero((alpha > 0.5).any(1))
    foot = float(rows[-1] + 1) if rows.size else float(side)
    if random.random() < 0.6:  # it stands: the shadow lies on the floor at its foot
        squash, slant = random.uniform(0.05, 0.5), random.normal(0, 0.6)
        matrix = np.array([[1, -slant, slant * foot], [0, squash, foot * (1 - squash) + random.uniform(-2, 2)]])
    else:  # it lies: the shadow looks out from under it
        matrix = np.array([[1.0, 0, random.normal(0, 0.03 * side)], [0, 1, random.normal(0.01 * side, 0.03 * side)]])
    shape = cv2.warpAffine(alpha, matrix, (side, side), flags=cv2.INTER_LINEAR, borderValue=0)
    soft = cv2.GaussianBlur(shape, (0, 0), side * random.uniform(0.004, 0.06))
    return floats(random.uniform(0.1, 0.75) * soft)


def recoloured(made: Sample, random: Random) -> Sample:
    """Sometimes with its channels exchanged, sometimes paler or stronger: there are fewer products than colours."""
    rgb, residual = made.rgb, made.residual
    if random.random() < 0.2:
        order = random.permutation(3)
        rgb, residual = rgb[..., order], residual[..., order]
    if random.random() < 0.2:
        amount = random.uniform(0, 1.5)
        rgb, residual = (grey + amount * (one - grey) for one in (rgb, residual) for grey in [one.mean(-1)[..., None]])
    return Sample(floats(rgb), made.alpha, floats(residual), made.weight)


def taken(made: Sample, random: Random, light: float = 1.0) -> Sample:
    """As a camera takes it: light and its colour, focus, noise, JPEG. The residual is in the camera's light.

    The light is changed as much as `light` says.
    """
    gains = floats(np.exp(light * (random.normal(0, 0.08, 3) + random.normal(0, 0.15))))
    rgb, residual = floats(made.rgb * gains), floats(made.residual * gains)
    if random.random() < 0.3:
        rgb = floats(cv2.GaussianBlur(rgb, (0, 0), random.uniform(0.3, 1.0)))
    if random.random() < 0.6:
        rgb = floats(rgb + random.uniform(0, 0.03) * random.standard_normal(rgb.shape, np.float32))
    pixels = (np.clip(rgb, 0, 1) * 255).round().astype(np.uint8)
    if random.random() < 0.6:
        quality = int(random.integers(45, 96))
        _, data = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        pixels = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)[..., ::-1]
    return Sample(unit(pixels), made.alpha, residual, made.weight)
