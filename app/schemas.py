"""What clients send, checked strictly."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Format = Literal["png", "jpeg", "webp", "avif"]
STYLES = ("studio", "colorway", "sketch", "from-sketch")
OF_ONE_STYLE = {
    "color": "colorway",
    "category": "from-sketch",
    "seed": "from-sketch",
    "shadow": "studio",
    "preset": "studio",
}
"""Options of `/restyle`, and the style that they go with."""
COLOUR = r"#[0-9a-fA-F]{6}"
Seed = Annotated[int, Field(ge=0, lt=2**63, json_schema_extra={"format": "int64"})]


class Mix(BaseModel):
    """Interpolate towards another seed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)

    seed: Seed
    """The other seed."""
    amount: float = Field(ge=0, le=1)
    """0 is the request's own seed, 1 the other one."""


class GenerateRequest(BaseModel):
    """The body of `POST /generate`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)

    category: str | None = None
    """One of GET /categories; drawn from the seed by default."""
    count: int = Field(1, ge=1, le=16)
    """How many pictures; picture i uses seed + i."""
    seed: Seed | None = None
    """The same seed gives the same picture; drawn, and told, by default."""
    truncation: float = Field(0.8, ge=0, le=1)
    """0 is the category's average product, 1 the most varied ones."""
    mix: Mix | None = None
    """Interpolate towards another seed, for variations of one design."""
    size: int | None = Field(None, ge=16, le=1024)
    """Side in px; over the model's own size through the enhancer. The model's own by default."""
    background: str = Field("white", pattern=rf"^(white|transparent|{COLOUR})$")
    """white, transparent or #rrggbb."""
    model: str | None = None
    """A model of the task generate, NAME or NAME@VERSION; the first one by default."""
    format: Format | None = None
    """Of the picture; what Accept asks for by default, else WebP."""
    quality: int = Field(90, ge=1, le=100)
    """Of JPEG, WebP and AVIF."""


def _offered(scale: int) -> int:
    if scale not in (1, 2, 4):
        raise ValueError("must be 1, 2 or 4")
    return scale


class EnhanceOptions(BaseModel):
    """The options of `POST /enhance`; they come as text, so numbers are read from it."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    scale: Annotated[int, AfterValidator(_offered), Field(json_schema_extra={"enum": [1, 2, 4]})] = 2
    """How many times larger."""
    denoise: float | None = Field(None, ge=0, le=1)
    """Strength of restoration; estimated from the photo by default."""
    background: str = Field("keep", pattern=rf"^(keep|white|transparent|{COLOUR})$")
    """keep, or what the product that is cut out is laid on: white, transparent or #rrggbb."""
    preset: str | None = None
    """A marketplace's rules, one of GET /presets: cuts the product out and lays it on the preset's canvas."""
    model: str | None = None
    """A model of the task enhance, NAME or NAME@VERSION; the one for the scale by default."""
    format: Format | None = None
    """Of the picture; what Accept asks for by default, else WebP or what the preset wants."""
    quality: int = Field(90, ge=1, le=100)
    """Of JPEG, WebP and AVIF."""


class ComposeOptions(BaseModel):
    """The options of `POST /compose`; `backdrop` is a file or one of these texts."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    backdrop: str | None = Field(None, pattern=rf"^({COLOUR}|gradient:{COLOUR}-{COLOUR}|[a-z][a-z0-9-]*)$")
    """A file, #rrggbb, gradient:#rrggbb-#rrggbb, transparent, or one of GET /backdrops; white by default."""
    cutout: Literal["auto", "none"] = "auto"
    """none when the photos have an alpha channel of their own."""
    shadow: Literal["none", "contact", "soft"] | None = None
    """contact on pictured backdrops and none on plain ones by default."""
    shadow_opacity: float = Field(0.6, ge=0, le=1)
    """How dark it is."""
    fill: float | None = Field(None, ge=0.1, le=1)
    """How much of the canvas' limiting side the products take; 0.85, or what the preset wants, by default."""
    anchor: Literal["center", "bottom"] = "center"
    """Where on the canvas they are."""
    harmonize: float = Field(0.5, ge=0, le=1)
    """How far their light is brought to the backdrop's."""
    width: int | None = Field(None, ge=16, le=4096)
    """Of the canvas, in px; the backdrop's, the preset's, or 1024 by default."""
    height: int | None = Field(None, ge=16, le=4096)
    """As width."""
    preset: str | None = None
    """A marketplace's rules for a main image, one of GET /presets."""
    format: Format | None = None
    """Of the picture; what Accept asks for by default, else WebP or what the preset wants."""
    quality: int | None = Field(None, ge=1, le=100)
    """Of JPEG, WebP and AVIF."""


class InspectOptions(BaseModel):
    """`POST /inspect` has no options."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RestyleOptions(BaseModel):
    """The options of `POST /restyle`; those of one style only are refused with the others."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    style: str
    """One of GET /styles: studio (a snapshot as a catalogue shot), colorway, sketch, from-sketch, or a model's name."""
    color: str | None = Field(None, pattern=rf"^{COLOUR}$")
    """The product's new colour, for colorway."""
    category: str | None = None
    """What the drawing shows, for from-sketch; one of the categories of GET /styles."""
    seed: Seed | None = None
    """Decides colour and material, for from-sketch; drawn, and told, by default."""
    strength: float = Field(1.0, ge=0, le=1)
    """How much of the change is made."""
    shadow: Literal["none", "contact", "soft"] | None = None
    """Below the product, for studio; none by default."""
    preset: str | None = None
    """A marketplace's rules for a main image, for studio; one of GET /presets."""
    format: Format | None = None
    """Of the picture; what Accept asks for by default, else WebP or what the preset wants."""
    quality: int | None = Field(None, ge=1, le=100)
    """Of JPEG, WebP and AVIF."""

    def alien(self) -> dict[str, str]:
        """Options that go with another style, and what is to be said of each."""
        others = ((name, style) for name, style in OF_ONE_STYLE.items() if getattr(self, name) is not None)
        return {name: f"{name} goes with the style {style} only" for name, style in others if style != self.style}

    @model_validator(mode="after")
    def _go_together(self) -> RestyleOptions:
        for said in self.alien().values() if self.style in STYLES else ():
            raise ValueError(said)
        if self.style == "colorway" and self.color is None:
            raise ValueError("the style colorway needs a color")
        return self
