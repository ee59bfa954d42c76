"""The request path of `/restyle`: an upload in another style, at its own size."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import numpy as np

from app.answers import Answer, Encoded
from app.catalogue import Catalogue, Loaded
from app.composing import LARGEST, PLAIN_QUALITY, Compliance, enlarged, fitted, merged, opaque, placed, scene_of
from app.errors import InvalidOptions, UnknownCategory, UnknownStyle
from app.images import Floats, ImageFormat, Picture, Pixels, resize
from app.pipeline import Identity, cut_out, enlarged_product, no_product
from app.presets import Preset
from app.provenance import Mark
from app.schemas import STYLES, ComposeOptions, RestyleOptions
from app.service import Call, Service
from app.tasks.colours import rgb_of
from app.tasks.compose import Box, laid_over, trimmed
from app.tasks.enhance import fill_hidden
from app.tasks.generate import drawn_label
from app.tasks.lines import Lines
from app.tasks.restyle import Colorway, Drawing, Relight, mixed, recoloured, relit

TASKS: Final = {"studio": "relight", "colorway": "colorway", "sketch": "sketch", "from-sketch": "from-sketch"}
"""The task of the model that answers for a style of ours."""
TRANSLATORS: Final = "restyle"
"""The task of models that are a style each, by their own name."""
PRODUCT_SIDE: Final = 512
"""What a drawing's own square becomes, in px."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What one request wants."""

    options: RestyleOptions
    image_format: ImageFormat
    preset: Preset | None
    seed: int
    identity: Identity

    @property
    def quality(self) -> int:
        return self.options.quality or PLAIN_QUALITY


def styles(catalogue: Catalogue) -> list[str]:
    """Ours whose models are there, and every model that is a style by itself."""
    ours = [style for style in STYLES if catalogue.names(TASKS[style]) and catalogue.names("cutout")]
    return ours + catalogue.names(TRANSLATORS)


def model_of(catalogue: Catalogue, options: RestyleOptions) -> Loaded:
    """The model that answers for a style.

    Raises:
        InvalidOptions: the style is a model's own, and an option is for another style.
        UnknownStyle: there is no such style, or its model is not there.
    """
    style = options.style
    if style not in styles(catalogue):
        raise UnknownStyle("There is no such style; GET /styles lists them.")
    if style in STYLES:
        return catalogue.find(TASKS[style])
    if alien := options.alien():
        raise InvalidOptions(
            [{"loc": ["body", name], "msg": said, "type": "value_error"} for name, said in alien.items()]
        )
    return catalogue.find(TRANSLATORS, style)


async def restyle(service: Service, call: Call, data: bytes, asked: Asked) -> tuple[Answer, Picture]:
    """One upload in another style; also gives the upload as it was read.

    Raises:
        InvalidOptions: it shows no product, or no drawing.
        UnknownCategory: the model has no such class.
        UnknownStyle: there is no such style.
    """
    style = asked.options.style
    model = model_of(call.catalogue, asked.options)
    picture = await service.decode(call, data)
    area = picture.width * picture.height
    compliance: Compliance = None
    with service.admission.holding(8 * area):
        if style == "from-sketch":
            file = await from_sketch(service, call, model, picture, asked)
        elif style == "studio":
            file, compliance = await studio(service, call, model, picture, asked)
        elif style == "colorway":
            file = await recolour(service, call, model, picture, asked)
        elif style == "sketch":
            file = await sketched(service, call, model, picture, asked)
        else:
            file = await translated(service, call, model, picture, asked)
    return Answer([file], asked.image_format, model.label, model.digest, call.ms, compliance), picture


def mark_of(asked: Asked, model: Loaded, picture: Picture) -> Mark:
    """What goes into the answer's file."""
    invented = asked.options.style == "from-sketch"
    source = "trainedAlgorithmicMedia" if invented else "compositeWithTrainedAlgorithmicMedia"
    return asked.identity.mark(model, source, credits=picture.credits)


async def with_alpha(service: Service, call: Call, picture: Picture) -> Picture:
    """The upload with its own alpha, or cut out.

    Raises:
        InvalidOptions: there is no product on it.
    """
    if picture.alpha is None:
        return await cut_out(service, call, picture, ["body", "image"])
    if not picture.alpha.any():
        raise no_product(["body", "image"])
    return picture


async def studio(
    service: Service, call: Call, model: Loaded, picture: Picture, asked: Asked
) -> tuple[Encoded, Compliance]:
    """A snapshot as a catalogue shot: cut out, in a studio's light, on white; where it was, or as a preset wants it."""
    cut = await with_alpha(service, call, picture)
    assert cut.alpha is not None  # noqa: S101  # which `with_alpha` is for
    work = await service.timed("decode", call, Relight, picture.rgb, cut.alpha, model.model.manifest.size)
    await service.infer(call, model, work, lambda: None)
    rgba = await service.timed("infer", call, in_studio, cut.rgb, cut.alpha, work.light, asked.options.strength)
    mark = mark_of(asked, model, picture)
    if asked.preset is None:
        return await service.timed("encode", call, on_white, rgba, asked, mark), None
    scene = scene_of(ComposeOptions(shadow=asked.options.shadow, harmonize=0), None, asked.preset)
    product = await service.timed("decode", call, trimmed, rgba)
    canvas = await placed(service, call, [product], scene, partial(enlarged, service, call))
    quality, image_format = asked.options.quality, asked.image_format
    return await service.timed("encode", call, fitted, canvas, image_format, quality, mark, asked.preset)


def in_studio(rgb: Pixels, alpha: Pixels, light: Floats, strength: float) -> Pixels:
    """As `relit`, with alpha: (H, W, 4)."""
    return np.dstack([relit(rgb, alpha, light, strength), alpha])


def on_white(rgba: Pixels, asked: Asked, mark: Mark) -> Encoded:
    """A product (H, W, 4) on white where it was, with the shadow that was asked for."""
    height, width = rgba.shape[:2]
    white = np.full((height, width, 3), 255, np.uint8)
    shadow, opacity = asked.options.shadow or "none", ComposeOptions().shadow_opacity
    pixels = merged(white, [rgba], [Box(0, 0, width, height)], shadow, opacity, lying=False).pixels
    return Encoded(mark.file(pixels, asked.image_format, asked.quality), width, height)


async def recolour(service: Service, call: Call, model: Loaded, picture: Picture, asked: Asked) -> Encoded:
    """A photo whose product has another colour; all around it stays as it is."""
    cut, mark = await with_alpha(service, call, picture), mark_of(asked, model, picture)
    alpha, wish = cut.alpha, rgb_of(str(asked.options.color))
    assert alpha is not None  # noqa: S101  # which `with_alpha` is for
    work = await service.timed("decode", call, Colorway, picture.rgb, alpha, model.model.manifest.size, wish)
    await service.infer(call, model, work, lambda: None)

    def finished() -> Encoded:
        pixels = recoloured(picture.rgb, alpha, work.balanced(), work.box, asked.options.strength)
        if picture.alpha is not None:
            pixels = np.dstack([pixels, picture.alpha])
        return Encoded(mark.file(pixels, asked.image_format, asked.quality), picture.width, picture.height)

    return await service.timed("encode", call, finished)


async def sketched(service: Service, call: Call, model: Loaded, picture: Picture, asked: Asked) -> Encoded:
    """A photo's product as a line drawing; of a photo that shows none, all of it."""
    try:
        cut = await with_alpha(service, call, picture)
    except InvalidOptions:
        if picture.alpha is not None:
            raise
        cut = replace(picture, alpha=np.full(picture.rgb.shape[:2], 255, np.uint8))
    assert cut.alpha is not None  # noqa: S101  # which `with_alpha` is for
    work = await service.timed("decode", call, Lines, picture.rgb, cut.alpha, model.model.manifest.size)
    await service.infer(call, model, work, lambda: None)
    mark = mark_of(asked, model, picture)

    def finished() -> Encoded:
        pixels = work.drawn(asked.options.strength)
        return Encoded(mark.file(pixels, asked.image_format, asked.quality), picture.width, picture.height)

    return await service.timed("encode", call, finished)


async def translated(service: Service, call: Call, model: Loaded, picture: Picture, asked: Asked) -> Encoded:
    """A picture in a model's own style; alpha stays as it is."""
    rgb, mark = picture.rgb, mark_of(asked, model, picture)
    if picture.alpha is not None:
        rgb = await service.timed("decode", call, fill_hidden, rgb, picture.alpha)

    def finished(styled: Pixels) -> Encoded:
        pixels = mixed(rgb, styled, asked.options.strength)
        if picture.alpha is not None:
            pixels = np.dstack([pixels, picture.alpha])
        return Encoded(mark.file(pixels, asked.image_format, asked.quality), picture.width, picture.height)

    return await service.translate(call, model, rgb, finished)


async def from_sketch(service: Service, call: Call, model: Loaded, picture: Picture, asked: Asked) -> Encoded:
    """A line drawing as a product on white, where it was drawn; colours and material by the seed.

    The square around the drawing becomes PRODUCT_SIDE px, the rest of the paper goes along, up to 4096 px.

    Raises:
        InvalidOptions: nothing is drawn.
        UnknownCategory: the model has no such class.
    """
    options, manifest = asked.options, model.model.manifest
    if options.category is not None and options.category not in manifest.classes:
        raise UnknownCategory("The model has no such category; GET /styles lists them.")
    label = len(manifest.classes) if options.category is None else manifest.classes.index(options.category)
    paper = opaque(picture)
    draw = drawn_label(asked.seed, 2**31 - 1)
    work = await service.timed("decode", call, Drawing, paper, manifest.size, label, draw, options.strength)
    if work.is_blank:
        error: dict[str, Any] = {"loc": ["body", "image"], "msg": "nothing is drawn there", "type": "no_drawing"}
        raise InvalidOptions([error])
    await service.infer(call, model, work, lambda: None)
    mark = mark_of(asked, model, picture)
    side = min(PRODUCT_SIDE, max(1, LARGEST * work.box.width // max(picture.width, picture.height)))
    scale = side / work.box.width

    def finished(rgba: Pixels) -> Encoded:
        rgba = resize(rgba, side, side)
        width, height = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
        pixels = np.full((height, width, 3), 255, np.uint8)
        lay_partly(pixels, rgba, round(work.box.left * scale), round(work.box.top * scale))
        return Encoded(mark.file(pixels, asked.image_format, asked.quality), width, height, asked.seed)

    return await enlarged_product(service, call, work.product, side, finished)


def lay_partly(ground: Pixels, rgba: Pixels, left: int, top: int) -> None:
    """Put a product (h, w, 4) onto a ground (H, W, 3) in place, beyond whose edges it may reach."""
    (height, width), (high, wide) = ground.shape[:2], rgba.shape[:2]
    x, y = max(0, left), max(0, top)
    right, bottom = min(width, left + wide), min(height, top + high)
    if right > x and bottom > y:
        laid_over(ground, rgba[y - top : bottom - top, x - left : right - left], Box(x, y, right - x, bottom - y))
