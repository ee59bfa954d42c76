"""Marketplaces' rules for a main image: a TOML file each, and what a picture's file measures beside them."""

from __future__ import annotations

import datetime
import hashlib
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.errors import UnknownPreset
from app.images import ImageLimits, Pixels, decode

WHITE_SHARE = 0.995
"""How many of the pixels outside the product must be exactly 255 in the decoded file: a codec rings at edges."""
NEARLY_WHITE = 247
"""What none of them may be darker than."""
Range = tuple[int, int]


class PresetError(Exception):
    """A preset's file is wrong. The message says which and why."""


class Finding(NamedTuple):
    """One rule, what it asks for, what the file has, and whether that will do."""

    rule: str
    required: str
    measured: str
    ok: bool


class Preset(BaseModel):
    """One marketplace's rules. Sizes in px; ranges hold their ends."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    source: str
    """Where the rules stand."""
    read: datetime.date
    """When they were read there."""
    rules: str
    """What they say, in words."""
    canvas: Range
    """Width and height that are made when nothing else is asked for."""
    exact: bool = False
    """Whether no other size will do."""
    longest_side: Range | None = None
    shortest_side: Range | None = None
    aspect: Range | None = None
    """Width to height."""
    megapixels: float | None = None
    fill: tuple[float, float, float]
    """Least, usual and most of the limiting side of the canvas that the product takes."""
    white: bool = False
    """Whether the ground must be exactly white in the decoded file."""
    transparent: bool = False
    """Whether it may be transparent instead."""
    shadow: bool = True
    """Whether there may be a shadow."""
    formats: tuple[Literal["jpeg", "png", "webp", "avif"], ...] = Field(min_length=1)
    """What is taken; the first is made when nothing else is asked for."""
    file_bytes: Range
    """Least and most."""

    @property
    def default_format(self) -> str:
        return self.formats[0]

    def size_findings(self, width: int, height: int) -> list[Finding]:
        """The rules about a size."""
        sides = {"longest side": (self.longest_side, max), "shortest side": (self.shortest_side, min)}
        found = [
            Finding(
                name,
                f"{limits[0]} to {limits[1]} px",
                f"{pick(width, height)} px",
                limits[0] <= pick(width, height) <= limits[1],
            )
            for name, (limits, pick) in sides.items()
            if limits
        ]
        if self.exact:
            wanted = "{}x{}".format(*self.canvas)
            found.append(Finding("size", wanted, f"{width}x{height}", (width, height) == self.canvas))
        if self.aspect:
            across, down = self.aspect
            off = abs(width * down - height * across) / (height * across)
            found.append(Finding("aspect", f"{across}:{down}", f"{width}:{height}", off <= 1 / min(width, height)))
        if self.megapixels:
            area = width * height / 1e6
            found.append(Finding("megapixels", f"at most {self.megapixels:g}", f"{area:.2f}", area <= self.megapixels))
        return found

    def findings(self, data: bytes, image_format: str, alpha: Pixels) -> list[Finding]:
        """Every rule, measured on a finished file; alpha (H, W) uint8 is the product's own, without its shadow."""
        picture = decode(data, ImageLimits(alpha.size))
        height, width = alpha.shape
        found = self.size_findings(picture.width, picture.height)
        found.append(Finding("format", ", ".join(self.formats), str(image_format), image_format in self.formats))
        least, most = self.file_bytes
        found.append(Finding("bytes", f"{least} to {most}", str(len(data)), least <= len(data) <= most))
        seen = [np.flatnonzero((alpha > 127).any(axis)) for axis in (1, 0)]
        taken = max(
            (int(s[-1] - s[0]) + 1) / side if s.size else 0.0 for s, side in zip(seen, (height, width), strict=True)
        )
        least_fill, _, most_fill = self.fill
        step = 1 / max(height, width)  # the product's edge lies on whole pixels
        ok = least_fill - step <= taken <= most_fill + step
        found.append(Finding("fill", f"{least_fill:g} to {most_fill:g}", f"{taken:.3f}", ok))
        if self.white:
            found.append(self._ground(picture.rgb, picture.alpha, alpha == 0))
        return found

    def _ground(self, rgb: Pixels, opacity: Pixels | None, outside: Any) -> Finding:  # noqa: ANN401  # a mask
        """How white, or transparent, a decoded picture is outside the product."""
        if not outside.any():
            return Finding("ground", "white, 255", "none to be seen", True)
        if opacity is not None and self.transparent:
            clear = float((opacity[outside] == 0).mean())
            return Finding("ground", "transparent", f"{100 * clear:.2f} %", clear == 1)
        darkest = rgb[outside].min(1)
        share = float((darkest == 255).mean())
        required = f"255 on {100 * WHITE_SHARE:g} % of the pixels, none under {NEARLY_WHITE}"
        measured = f"255 on {100 * share:.3f} %, none under {int(darkest.min())}"
        return Finding("ground", required, measured, share >= WHITE_SHARE and int(darkest.min()) >= NEARLY_WHITE)


class Presets:
    """All presets: those that ship, and a shop's own, which may replace them."""

    def __init__(self, folder: Path | None = None) -> None:
        """Read every *.toml of the shipped folder and of `folder`.

        Raises:
            PresetError: a file cannot be read, or is wrong.
        """
        shipped = [(one.name, one.read_bytes()) for one in files("app.presets").iterdir() if one.name.endswith(".toml")]
        try:
            own = [(path.name, path.read_bytes()) for path in sorted(folder.glob("*.toml"))] if folder else []
        except OSError as error:
            raise PresetError(f"{folder}: {error}") from error
        if folder and not folder.is_dir():
            raise PresetError(f"{folder} is no folder")
        self._presets: dict[str, Preset] = {}
        self._digests: dict[str, str] = {}
        for name, data in sorted(shipped) + own:
            try:
                preset = Preset.model_validate(tomllib.loads(data.decode()))
            except (ValidationError, ValueError) as error:
                raise PresetError(f"preset {name}: {error}") from error
            self._presets[name.removesuffix(".toml")] = preset
            self._digests[name.removesuffix(".toml")] = hashlib.sha256(data).hexdigest()

    def find(self, name: str) -> Preset:
        """One by its name.

        Raises:
            UnknownPreset: there is none.
        """
        if name not in self._presets:
            raise UnknownPreset("There is no such preset; GET /presets lists them.")
        return self._presets[name]

    def digest(self, name: str | None) -> str:
        """The SHA-256 of a preset's file, for entity tags; empty for none."""
        return self._digests.get(name or "", "")

    def listed(self) -> list[dict[str, Any]]:
        """All of them for clients."""
        return [{"name": name, **preset.model_dump(mode="json")} for name, preset in self._presets.items()]
