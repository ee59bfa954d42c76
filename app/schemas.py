"""What clients send, checked strictly."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from app.images import ImageFormat


class Mix(BaseModel):
    """Interpolate towards another seed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    seed: int = Field(ge=0, lt=2**63)
    amount: float = Field(ge=0, le=1)


class GenerateRequest(BaseModel):
    """The body of `POST /generate`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    category: str | None = None
    count: int = Field(1, ge=1, le=16)
    seed: int | None = Field(None, ge=0, lt=2**63)
    truncation: float = Field(0.8, ge=0, le=1)
    mix: Mix | None = None
    size: int | None = Field(None, ge=16, le=1024)
    background: str = Field("white", pattern=r"^(white|transparent|#[0-9a-fA-F]{6})$")
    model: str | None = None
    format: Literal["png", "jpeg", "webp", "avif"] | None = None
    quality: int = Field(90, ge=1, le=100)

    @property
    def image_format(self) -> ImageFormat:
        return ImageFormat(self.format or "webp")
