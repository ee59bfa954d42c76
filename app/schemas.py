"""What clients send, checked strictly."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Format = Literal["png", "jpeg", "webp", "avif"]
STYLES = ("studio", "colorway", "sketch", "from-sketch")
COLOUR = r"#[0-9a-fA-F]{6}"
Seed = Annotated[int, Field(ge=0, lt=2**63, json_schema_extra={"format": "int64"})]


class Mix(BaseModel):
    """Interpolate towards another seed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    seed: Seed
    amount: float = Field(ge=0, le=1)


class GenerateRequest(BaseModel):
    """The body of `POST /generate`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    category: str | None = None
    count: int = Field(1, ge=1, le=16)
    seed: Seed | None = None
    truncation: float = Field(0.8, ge=0, le=1)
    mix: Mix | None = None
    size: int | None = Field(None, ge=16, le=1024)
    background: str = Field("white", pattern=rf"^(white|transparent|{COLOUR})$")
    model: str | None = None
    format: Format | None = None
    quality: int = Field(90, ge=1, le=100)


def _offered(scale: int) -> int:
    if scale not in (1, 2, 4):
        raise ValueError("must be 1, 2 or 4")
    return scale


class EnhanceOptions(BaseModel):
    """The options of `POST /enhance`; they come as text, so numbers are read from it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scale: Annotated[int, AfterValidator(_offered), Field(json_schema_extra={"enum": [1, 2, 4]})] = 2
    denoise: float | None = Field(None, ge=0, le=1)
    background: str = Field("keep", pattern=rf"^(keep|white|transparent|{COLOUR})$")
    preset: str | None = None
    model: str | None = None
    format: Format | None = None
    quality: int = Field(90, ge=1, le=100)


class ComposeOptions(BaseModel):
    """The options of `POST /compose`; `backdrop` is a file or one of these texts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    backdrop: str | None = Field(None, pattern=rf"^({COLOUR}|gradient:{COLOUR}-{COLOUR}|[a-z][a-z0-9-]*)$")
    cutout: Literal["auto", "none"] = "auto"
    shadow: Literal["none", "contact", "soft"] | None = None
    shadow_opacity: float = Field(0.6, ge=0, le=1)
    fill: float | None = Field(None, ge=0.1, le=1)
    anchor: Literal["center", "bottom"] = "center"
    harmonize: float = Field(0.5, ge=0, le=1)
    width: int | None = Field(None, ge=16, le=4096)
    height: int | None = Field(None, ge=16, le=4096)
    preset: str | None = None
    format: Format | None = None
    quality: int | None = Field(None, ge=1, le=100)


class InspectOptions(BaseModel):
    """`POST /inspect` has no options."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RestyleOptions(BaseModel):
    """The options of `POST /restyle`; those of one style only are refused with the others."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    style: str
    color: str | None = Field(None, pattern=rf"^{COLOUR}$")
    category: str | None = None
    seed: Seed | None = None
    strength: float = Field(1.0, ge=0, le=1)
    shadow: Literal["none", "contact", "soft"] | None = None
    preset: str | None = None
    format: Format | None = None
    quality: int | None = Field(None, ge=1, le=100)

    @model_validator(mode="after")
    def _go_together(self) -> RestyleOptions:
        of_one_style = {"color": "colorway", "category": "from-sketch", "seed": "from-sketch"}
        of_one_style |= {"shadow": "studio", "preset": "studio"}
        for name, style in of_one_style.items():
            if getattr(self, name) is not None and self.style != style and self.style in STYLES:
                raise ValueError(f"{name} goes with the style {style} only")
        if self.style == "colorway" and self.color is None:
            raise ValueError("the style colorway needs a color")
        return self
