"""Backdrops that are drawn at any size: seamless paper, or a surface before a wall or before a place out of focus."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

import numpy as np

from app.images import Floats, ImageLimits, Pixels, blurred, covering, decode, projected, resize
from app.tasks.colours import rgb_of
from app.tasks.compose import STRIP, strips

FOLDER: Final = files("app") / "backdrops"
HORIZON: Final = 0.6
"""Where the far edge of a surface lies, as a share of the height."""
VANISHING: Final = 0.3
"""How far above that edge the surface's lines would meet, as a share of the height."""
FOCAL: Final = 1.3
"""Focal length as a share of the width."""
MOST_PIXELS: Final = 512 * 512


@dataclass(frozen=True, slots=True)
class Backdrop:
    """What one looks like; `wall` is a colour, #rrggbb, and `place` and `surface` name pictures beside the list."""

    name: str
    title: str
    wall: str = ""
    place: str = ""
    surface: str = ""
    repeats: float = 1.0


@cache
def backdrops() -> dict[str, Backdrop]:
    """All that ship, by name, in the list's order."""
    listed = tomllib.loads((FOLDER / "backdrops.toml").read_text())
    return {name: Backdrop(name, **facts) for name, facts in listed.items()}


@cache
def shipped(name: str) -> Pixels:
    """One of the pictures beside the list, (H, W, 3) uint8."""
    return decode((FOLDER / f"{name}.webp").read_bytes(), ImageLimits(MOST_PIXELS)).rgb


def rgb_floats(colour: str) -> Floats:
    """#rrggbb -> (3,) float32, 0 to 255."""
    return np.array(rgb_of(colour), np.float32)


def gradient(above: str, below: str, width: int, height: int) -> Pixels:
    """From one colour, #rrggbb, at the top to another at the bottom: (height, width, 3) uint8."""
    share = axes(width, height)[1][..., None]
    colours: Floats = rgb_floats(above) * (1 - share) + rgb_floats(below) * share
    return lit(lambda rows: colours[rows], np.ones((height, width), np.float32))


def lit(colours: Callable[[slice], Floats], light: Floats) -> Pixels:
    """A picture under so much light (H, W): (H, W, 3) uint8; what is over white is white.

    `colours` gives those of some rows, 0 to 255. Fixed noise of less than a step hides the bands of what changes
    slowly; whole numbers stay as they are.
    """
    height, width = light.shape
    noise = np.random.Generator(np.random.Philox(0)).random((STRIP, 64, 1), np.float32) * 0.998 - 0.499
    grain = np.tile(noise, (1, -(-width // 64), 1))[:, :width]
    found = np.empty((height, width, 3), np.uint8)
    for rows in strips(height):
        picture = np.minimum(colours(rows) * light[rows][..., None], 255) + grain[: rows.stop - rows.start]
        found[rows] = np.rint(np.clip(picture, 0, 255))
    return found


def drawn(backdrop: Backdrop, width: int, height: int) -> Pixels:
    """A backdrop at a size, (height, width, 3) uint8."""
    if not backdrop.surface:
        return paper(backdrop.wall, width, height)
    edge = min(height - 1, round(HORIZON * height))
    front = surface(backdrop, width, height - edge, height)
    return np.concatenate([behind(backdrop, width, edge, height), front]) if edge else front


def paper(colour: str, width: int, height: int) -> Pixels:
    """Paper that hangs down and bends forward: light on the floor, less towards the bend and the corners."""
    x, y = axes(width, height)
    pool = np.exp(-(((x - 0.5) / 0.55) ** 2) - ((y - 0.78) / 0.3) ** 2)
    wall = np.exp(-(((x - 0.5) / 0.7) ** 2) - ((y - 0.25) / 0.45) ** 2)
    bend = np.exp(-(((y - 0.62) / 0.09) ** 2))
    return lit(lambda _: rgb_floats(colour), 0.93 + 0.07 * pool + 0.05 * wall - 0.025 * bend)


def axes(width: int, height: int) -> tuple[Floats, Floats]:
    """The pixels' centres as shares of the width, (1, W), and of the height, (H, 1)."""
    across, down = (
        (np.arange(side, dtype=np.float32) + np.float32(0.5)) / np.float32(side) for side in (width, height)
    )
    return across[None, :], down[:, None]


def behind(backdrop: Backdrop, width: int, edge: int, height: int) -> Pixels:
    """What is behind the surface: the wall, or the place, far out of focus."""
    x, y = axes(width, edge)
    if backdrop.place:
        # Small, since all that is sharp in it goes: the blur is a share of the picture.
        scale = 256 / max(width, height)
        small = covering(shipped(backdrop.place), max(1, round(scale * width)), max(1, round(scale * edge)))
        return resize(blurred(small, 5.0), width, edge)
    light = 0.94 + 0.1 * np.exp(-(((x - 0.35) / 0.5) ** 2) - ((y - 0.55) / 0.6) ** 2)
    return lit(lambda _: rgb_floats(backdrop.wall), light - 0.1 * np.exp(-(1 - y) / 0.06))


def surface(backdrop: Backdrop, width: int, depth: int, height: int) -> Pixels:
    """The surface from its far edge to the camera, `depth` px of the picture, seen in perspective.

    A pinhole's camera sees the distance D = m / (y + m) of the far edge's, y px below it, where m is how far above it
    the lines meet. Nearby a fine texture is taken and far away a coarse one, which does not flicker.
    """
    m, focal = VANISHING * height, FOCAL * width
    tile = width / backdrop.repeats
    levels = []
    for fineness in (0.6, 1.8):
        side = max(1, round(min(fineness * tile, 2048)))
        texture = resize(shipped(backdrop.surface), side, side)
        texture = np.tile(texture, (1 + int(focal / tile), 2 + int(backdrop.repeats), 1))
        scale, middle = side / tile, texture.shape[1] / 2
        # Source x = middle + scale * (x - width / 2) * D, source y = scale * focal * D, with D = 1 / (1 + y / m).
        c = middle - scale * width / 2
        levels.append(projected(texture, width, depth, (scale, middle / m, c, 0, 0, scale * focal, 0, 1 / m)))
    near = np.clip(2 * (np.arange(depth, dtype=np.float32) + 0.5) / depth, 0, 1)[:, None, None]

    def mixed(rows: slice) -> Floats:
        far, fine = (level[rows].astype(np.float32) for level in levels)
        return np.asarray(far + (fine - far) * near[rows], np.float32)

    x, v = axes(width, depth)
    pool = np.exp(-(((x - 0.45) / 0.6) ** 2) - ((v - 0.45) / 0.7) ** 2)
    return lit(mixed, 0.82 + 0.22 * pool + 0.06 * np.exp(-v / 0.02))
