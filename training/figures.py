"""Figures of an evaluation, as the manifest keeps them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from training.pictures import Pixels


@dataclass(slots=True)
class Report:
    """What an evaluation found, and a picture of it where there is something to see."""

    records: list[dict[str, Any]] = field(default_factory=list)
    picture: Pixels | None = None

    def add(self, measure: str, value: float, unit: str, data: str) -> None:
        """Note one figure, rounded to four digits."""
        self.records.append({"measure": measure, "value": float(f"{value:.4g}"), "unit": unit, "data": data})
