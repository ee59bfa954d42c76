"""Drawn pictures: clean edges, curves, stripes and letters, which phone photos hardly have.

Shapes of all sizes that hide one another, as in the dead leaves model (Matheron 1968; Lee et al. 2001), from which
networks learn to restore photos nearly as well as from photos (Achddou et al. 2021).
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from PIL import Image

from training.pictures import Pixels

FINER = 3
"""How much larger a picture is drawn than it is kept, so that its edges fall anywhere between pixels."""
BLUR = (0.1, 0.7)
"""How soft the edges are: standard deviation in px, as of a lens."""
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789&%+-./"


def drawn(count: int, side: int, seed: int = 0) -> list[Pixels]:
    """`count` pictures (side, side, 3) uint8, the same for the same seed."""
    return [picture(side, np.random.default_rng((seed, index))) for index in range(count)]


def picture(side: int, random: np.random.Generator) -> Pixels:
    """One picture: a ground, then shapes, each over those before it."""
    large = FINER * side
    canvas = np.empty((large, large, 3), np.uint8)
    top, bottom = colour(random), colour(random)
    ramp = np.linspace(0, 1, large)[:, None, None] if random.random() < 0.5 else np.linspace(0, 1, large)[None, :, None]
    canvas[:] = np.asarray(top) * (1 - ramp) + np.asarray(bottom) * ramp
    for _ in range(random.integers(15, 90)):
        # Sizes by an inverse cube, as parts of natural pictures are: many small ones, few large ones.
        size = FINER * 3 / math.sqrt(random.uniform((3 / (0.4 * side)) ** 2, 1))
        center = tuple(int(at) for at in random.integers(0, large, 2))
        SHAPES[random.integers(len(SHAPES))](canvas, center, size, random)
    soft = cv2.GaussianBlur(canvas, (0, 0), FINER * random.uniform(*BLUR))
    return np.array(Image.fromarray(soft).resize((side, side), Image.Resampling.BICUBIC))


def colour(random: np.random.Generator) -> tuple[int, int, int]:
    """More or less grey."""
    grey, strength = random.uniform(0, 255), random.uniform(0, 1) ** 2
    mixed = np.clip(grey + strength * (random.uniform(0, 255, 3) - grey), 0, 255)
    return int(mixed[0]), int(mixed[1]), int(mixed[2])


def ellipse(canvas: Pixels, center: tuple[int, ...], size: float, random: np.random.Generator) -> None:
    """A disc, or a ring."""
    axes = (max(1, int(size)), max(1, int(size * random.uniform(0.2, 1))))
    width = -1 if random.random() < 0.7 else max(1, int(size * random.uniform(0.05, 0.4)))
    cv2.ellipse(canvas, center, axes, random.uniform(0, 180), 0, 360, colour(random), width)


def polygon(canvas: Pixels, center: tuple[int, ...], size: float, random: np.random.Generator) -> None:
    """Three to seven corners."""
    angles = np.sort(random.uniform(0, 2 * math.pi, random.integers(3, 8)))
    reach = size * random.uniform(0.5, 1.2, len(angles))
    corners = np.stack([center[0] + reach * np.cos(angles), center[1] + reach * np.sin(angles)], 1)
    cv2.fillPoly(canvas, [corners.round().astype(np.int32)], colour(random))


def stripes(canvas: Pixels, center: tuple[int, ...], size: float, random: np.random.Generator) -> None:
    """A patch of parallel or slowly fanning stripes."""
    ink, paper = colour(random), colour(random)
    angle, fan = random.uniform(0, math.pi), random.uniform(-0.1, 0.1)
    pitch = FINER * random.uniform(2, 12)
    along, across = np.array([math.cos(angle), math.sin(angle)]), np.array([-math.sin(angle), math.cos(angle)])
    half = max(size, 2 * pitch)
    corners = [center + half * (a * along + b * across) for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    cv2.fillPoly(canvas, [np.stack(corners).round().astype(np.int32)], paper)
    for at in np.arange(-half + pitch / 2, half, pitch):
        turned = along + fan * at / half * across
        ends = [(center + at * across + half * way * turned).round().astype(int).tolist() for way in (-1, 1)]
        cv2.line(canvas, ends[0], ends[1], ink, max(1, int(pitch * random.uniform(0.4, 0.6))))


def curve(canvas: Pixels, center: tuple[int, ...], size: float, random: np.random.Generator) -> None:
    """A thin bent line."""
    at = np.linspace(-1, 1, 24)[:, None]
    bend = random.normal(0, size, (3, 2))
    points = center + 2 * (bend[0] * at + bend[1] * at**2 + bend[2] * at**3)
    width = max(1, int(FINER * random.uniform(0.5, 4)))
    cv2.polylines(canvas, [points.round().astype(np.int32)], False, colour(random), width)


def letters(canvas: Pixels, center: tuple[int, ...], size: float, random: np.random.Generator) -> None:
    """A word in one of OpenCV's fonts, level or turned."""
    word = "".join(random.choice(list(LETTERS), random.integers(1, 9)))
    height = FINER * random.uniform(6, 30)
    font, scale = int(random.integers(0, 8)), height / 22
    weight = max(1, int(height * random.uniform(0.06, 0.2)))
    (width, tall), _ = cv2.getTextSize(word, font, scale, weight)
    mask = np.zeros((tall + 4 * weight, width + 2 * weight), np.uint8)
    cv2.putText(mask, word, (weight, tall + weight), font, scale, 255, weight)
    turn = random.uniform(-180, 180) if random.random() < 0.3 else random.normal(0, 5)
    matrix = cv2.getRotationMatrix2D((mask.shape[1] / 2, mask.shape[0] / 2), turn, 1)
    matrix[:, 2] += np.asarray(center) - np.array([mask.shape[1] / 2, mask.shape[0] / 2])
    inked = cv2.warpAffine(mask, matrix, canvas.shape[1::-1], flags=cv2.INTER_NEAREST)
    canvas[inked > 0] = colour(random)


SHAPES = (ellipse, ellipse, polygon, polygon, stripes, curve, letters)
