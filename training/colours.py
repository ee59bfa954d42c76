"""Colours as the eye measures them, and how different two look."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Colours = NDArray[np.floating[Any]]


def ciede2000(one: Colours, other: Colours) -> NDArray[np.float64]:
    """The difference CIEDE2000 of Lab colours (..., 3), all weights 1: (...).

    In the form of Sharma, Wu and Dalal 2005, whose pairs the tests use.
    """
    (l1, a1, b1), (l2, a2, b2) = (np.moveaxis(np.asarray(colours, np.float64), -1, 0) for colours in (one, other))
    c7 = ((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2) ** 7
    stretch = 1.5 - 0.5 * np.sqrt(c7 / (c7 + 25.0**7))
    c1, c2 = np.hypot(stretch * a1, b1), np.hypot(stretch * a2, b2)
    h1, h2 = np.arctan2(b1, stretch * a1) % (2 * np.pi), np.arctan2(b2, stretch * a2) % (2 * np.pi)
    grey = c1 * c2 == 0
    turn = np.where(grey, 0, (h2 - h1 + np.pi) % (2 * np.pi) - np.pi)
    lightness, chroma, hue = l2 - l1, c2 - c1, 2 * np.sqrt(c1 * c2) * np.sin(turn / 2)
    middle = np.where(grey, h1 + h2, (h1 + h2) / 2 + np.where(np.abs(h1 - h2) > np.pi, np.pi, 0))
    light, colour = (l1 + l2) / 2, (c1 + c2) / 2
    waves = ((-0.17, 1, -np.pi / 6), (0.24, 2, 0), (0.32, 3, np.pi / 30), (-0.20, 4, -63 * np.pi / 180))
    t = 1 + sum(weight * np.cos(times * middle + shift) for weight, times, shift in waves)
    bend = np.deg2rad(30) * np.exp(-(((np.rad2deg(middle) % 360 - 275) / 25) ** 2))
    turned = -2 * np.sqrt(colour**7 / (colour**7 + 25.0**7)) * np.sin(2 * bend)
    lightness = lightness / (1 + 0.015 * (light - 50) ** 2 / np.sqrt(20 + (light - 50) ** 2))
    chroma, hue = chroma / (1 + 0.045 * colour), hue / (1 + 0.015 * colour * t)
    return np.asarray(np.sqrt(lightness**2 + chroma**2 + hue**2 + turned * chroma * hue))


def in_lab(colours: Colours) -> NDArray[np.float32]:
    """sRGB (..., 3) in [0, 1], clipped to that -> CIE 1976 Lab."""
    flat = np.asarray(np.clip(colours, 0, 1), np.float32).reshape(1, -1, 3)
    return np.asarray(cv2.cvtColor(flat, cv2.COLOR_RGB2LAB), np.float32).reshape(colours.shape)
