"""The request path of `/compose`, and of everything that is made for a marketplace: products onto a canvas."""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import numpy as np

from app.answers import Answer, Encoded
from app.errors import ImageTooLarge, InvalidOptions
from app.images import ImageFormat, Picture, Pixels, covering, over, resize
from app.pipeline import Identity, at_scale, cut_out, estimated_level, no_product, together
from app.presets import Finding, Preset
from app.provenance import Mark
from app.schemas import ComposeOptions, EnhanceOptions
from app.service import Call, Service
from app.tasks import backdrops
from app.tasks.colours import rgb_of
from app.tasks.compose import Box, arranged, darkened, laid_over, shadows, trimmed
from app.tasks.enhance import fill_hidden
from app.tasks.harmonize import Harmony, harmonized

SIDE: Final = 1024
"""Of a canvas that nobody chose, in px."""
LARGEST: Final = 4096
PLAIN_QUALITY: Final = 90
PRESET_QUALITY: Final = 98
SMALLER: Final = (90, 80, 70, 60, 45, 30)
"""Qualities for a file that is over its preset's limit."""
ENLARGED: Final = 1.3
"""By how much a product may be enlarged without the network, also after it."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What is made of products: the canvas and how they lie on it."""

    width: int
    height: int
    backdrop: str
    """`#rrggbb`, `gradient:#rrggbb-#rrggbb`, `transparent`, or a shipped one's name."""
    photo: Pixels | None
    """A backdrop that came as a file."""
    fill: float
    anchor: str
    shadow: str
    opacity: float
    harmonize: float

    @property
    def plain(self) -> bool:
        """Whether nothing is behind the products but colour."""
        return self.photo is None and self.backdrop not in backdrops.backdrops()


@dataclass(frozen=True, slots=True)
class Canvas:
    """A finished picture, RGB or straight RGBA, and the products' own alpha (H, W)."""

    pixels: Pixels
    alpha: Pixels


def wrong(field: str, message: str) -> InvalidOptions:
    """The 422 for an option that does not go with others."""
    return InvalidOptions([{"loc": ["body", field], "msg": message, "type": "value_error"}])


def scene_of(options: ComposeOptions, photo: Picture | None, preset: Preset | None) -> Scene:
    """The options with everything filled in that was left open.

    Raises:
        InvalidOptions: there is no such backdrop, or an option is against the preset's rules.
    """
    size = preset.canvas if preset else (SIDE, SIDE)
    if photo is not None and preset is None:
        shrink = min(1.0, LARGEST / max(photo.width, photo.height))
        size = (max(16, round(photo.width * shrink)), max(16, round(photo.height * shrink)))
    width, height = options.width or size[0], options.height or size[1]
    backdrop = "#ffffff" if options.backdrop in (None, "white") else str(options.backdrop)
    if backdrop not in ("transparent", *backdrops.backdrops()) and not backdrop.startswith(("#", "gradient:")):
        raise wrong("backdrop", "is no colour, and no backdrop that ships; GET /backdrops lists them")
    scene = Scene(
        width, height, backdrop, None if photo is None else opaque(photo),
        fill=options.fill or (preset.fill[1] if preset else 0.85),
        anchor=options.anchor, shadow="none", opacity=options.shadow_opacity, harmonize=options.harmonize,
    )  # fmt: skip
    if options.shadow is not None:
        shadow = options.shadow
    else:
        shadow = "none" if scene.plain or (preset and not preset.shadow) else "contact"
    scene = replace(scene, shadow=shadow)
    if preset:
        check_rules(scene, preset)
    return scene


def opaque(picture: Picture) -> Pixels:
    """(H, W, 3) uint8; what can be seen through is over white."""
    return picture.rgb if picture.alpha is None else over(np.dstack([picture.rgb, picture.alpha]), (255, 255, 255))


def check_rules(scene: Scene, preset: Preset) -> None:
    """Refuse what was asked for against a preset's rules.

    Raises:
        InvalidOptions: which it is.
    """
    for finding in preset.size_findings(scene.width, scene.height):
        if not finding.ok:
            raise wrong("width", f"the preset wants {finding.rule} {finding.required}; this is {finding.measured}")
    if not preset.fill[0] <= scene.fill <= preset.fill[2]:
        raise wrong("fill", f"the preset wants {preset.fill[0]:g} to {preset.fill[2]:g}")
    clear = preset.transparent and scene.backdrop == "transparent"
    if preset.white and not clear and (scene.photo is not None or scene.backdrop != "#ffffff"):
        raise wrong("backdrop", "the preset wants white" + (" or transparent" if preset.transparent else ""))
    if scene.shadow != "none" and not preset.shadow:
        raise wrong("shadow", "the preset wants none")


async def compose(
    service: Service, call: Call, images: list[bytes], photo: bytes | None, options: ComposeOptions,
    image_format: ImageFormat, preset: Preset | None, identity: Identity,
) -> Answer:  # fmt: skip
    """Products out of photos onto a canvas.

    Raises:
        InvalidOptions: a photo shows no product, or as `scene_of`.
        ImageTooLarge: the canvas is over the limit.
        UnknownModel: there is no model to cut them out.
    """
    model = call.catalogue.find("cutout")
    pictures = [await service.decode(call, data) for data in images]
    behind = None if photo is None else await service.decode(call, photo)
    scene = scene_of(options, behind, preset)
    check_transparency(scene, image_format)
    if scene.width * scene.height > service.settings.max_output_pixels:
        raise ImageTooLarge(f"The answer would be over {service.settings.max_output_pixels} pixels.")
    areas = sum(one.width * one.height for one in [*pictures, *([behind] if behind else [])])
    with service.admission.holding(3 * areas + 4 * scene.width * scene.height):
        products = await together([product_of(service, call, one, options.cutout, i) for i, one in enumerate(pictures)])
        canvas = await placed(service, call, products, scene, partial(enlarged, service, call))
        drawn = scene.photo is None and not scene.plain
        source = "compositeSynthetic" if drawn else "compositeCapture"
        mark = identity.mark(model, source, credits=pictures[0].credits)
        quality = options.quality
        file, compliance = await service.timed("encode", call, fitted, canvas, image_format, quality, mark, preset)
    return Answer([file], image_format, model.label, model.digest, call.ms, compliance)


def check_transparency(scene: Scene, image_format: ImageFormat) -> None:
    """Refuse a transparent backdrop that the format cannot hold.

    Raises:
        InvalidOptions: it is JPEG.
    """
    if scene.backdrop == "transparent" and scene.photo is None and image_format is ImageFormat.JPEG:
        raise wrong("backdrop", "JPEG cannot be transparent")


async def for_marketplace(
    service: Service, call: Call, data: bytes, options: EnhanceOptions, image_format: ImageFormat, preset: Preset,
    identity: Identity,
) -> tuple[Answer, Picture]:  # fmt: skip
    """One upload restored, cut out and laid on the canvas that a preset wants; also gives the upload as it was read."""
    model = call.catalogue.enhancers(options.scale, options.model)[0]
    picture = await service.decode(call, data)
    backdrop = "#ffffff" if options.background in ("keep", "white") else options.background
    quality = options.quality if "quality" in options.model_fields_set else None
    scene = scene_of(ComposeOptions(backdrop=backdrop, harmonize=0), None, preset)
    check_transparency(scene, image_format)
    area = picture.width * picture.height
    with service.admission.holding(6 * area + 4 * scene.width * scene.height):
        product = await product_of(service, call, picture, "auto", None)
        sized = partial(restored, service, call, options.denoise, model.name)
        canvas = await placed(service, call, [product], scene, sized)
        mark = identity.mark(model, "algorithmicallyEnhanced", credits=picture.credits)
        file, compliance = await service.timed("encode", call, fitted, canvas, image_format, quality, mark, preset)
    return Answer([file], image_format, model.label, model.digest, call.ms, compliance), picture


async def product_of(service: Service, call: Call, picture: Picture, cutout: str, index: int | None) -> Pixels:
    """A photo's product alone, straight RGBA (h, w, 4) uint8: by the upload's own alpha where it has one.

    Raises:
        InvalidOptions: there is none; it is said of the photo with that index.
    """
    where: list[str | int] = ["body", "image"] if index is None else ["body", "image", index]
    if picture.alpha is None and cutout == "auto":
        picture = await cut_out(service, call, picture, where)
    rgb, alpha = picture.rgb, picture.alpha

    def alone() -> Pixels | None:
        cover = np.full(rgb.shape[:2], 255, np.uint8) if alpha is None else alpha
        return trimmed(np.dstack([rgb, cover])) if (cover > 8).any() else None

    product = await service.timed("decode", call, alone)
    if product is None:
        raise no_product(where)
    return product


Compliance = list[dict[str, Any]] | None
"""Every rule of a preset, as `Answer` has it."""
Sizing = Callable[[Pixels, Box], Coroutine[Any, Any, Pixels]]


async def enlarged(service: Service, call: Call, rgba: Pixels, box: Box) -> Pixels:
    """A product at the size of its box: as it is where that is no larger, by the enhancer where it is much larger."""
    if box.height <= ENLARGED * rgba.shape[0]:
        return await service.timed("decode", call, resize, rgba, box.width, box.height)
    return await restored(service, call, None, None, rgba, box)


async def restored(
    service: Service, call: Call, denoise: float | None, wanted: str | None, rgba: Pixels, box: Box
) -> Pixels:
    """A product restored and at the size of its box; by the enhancer that is `wanted`, if any."""
    factor = box.height / rgba.shape[0]
    if factor < 0.5 or (denoise == 0 and factor <= 1):  # what is shrunk that far is clean already
        return await service.timed("decode", call, resize, rgba, box.width, box.height)
    rgb = await service.timed("decode", call, fill_hidden, rgba[..., :3], rgba[..., 3])
    strength = await estimated_level(service, call, rgb) if denoise is None else denoise
    scale = min(4, 2 ** max(0, math.ceil(math.log2(factor / ENLARGED))))

    def finish(large: Pixels) -> Pixels:
        large = resize(at_scale(large, rgb, scale), box.width, box.height)
        return np.dstack([large, resize(rgba[..., 3], box.width, box.height)])

    passes = call.catalogue.enhancers(scale, wanted, clean=strength == 0)
    return await service.enlarge(call, rgb, passes, strength, finish)


async def placed(service: Service, call: Call, products: list[Pixels], scene: Scene, sized: Sizing) -> Canvas:
    """Products on their backdrop; `sized` brings each to the size of its box."""
    shapes = [(int(one.shape[0]), int(one.shape[1])) for one in products]
    boxes = arranged(shapes, scene.width, scene.height, scene.fill, scene.anchor)
    layers = await together([sized(one, box) for one, box in zip(products, boxes, strict=True)])
    ground = await service.timed("decode", call, ground_of, scene)
    if scene.harmonize and not scene.plain and (model := call.catalogue.first("harmonize")):
        for index, box in enumerate(boxes):
            work = await service.timed("decode", call, Harmony, ground, layers[index], box, model.model.manifest.size)
            await service.infer(call, model, work, lambda: None)
            layers[index] = await service.timed("encode", call, harmonized, layers[index], work.change, scene.harmonize)
    lying = scene.anchor != "bottom"
    return await service.timed("encode", call, merged, ground, layers, boxes, scene.shadow, scene.opacity, lying)


def ground_of(scene: Scene) -> Pixels:
    """What is behind the products, (H, W, 3) uint8; where it is transparent, (H, W, 4) of nothing."""
    width, height, backdrop = scene.width, scene.height, scene.backdrop
    if scene.photo is not None:
        return covering(scene.photo, width, height)
    if backdrop == "transparent":
        return np.zeros((height, width, 4), np.uint8)
    if backdrop.startswith("gradient:"):
        return backdrops.gradient(backdrop[9:16], backdrop[17:], width, height)
    if backdrop.startswith("#"):
        return np.full((height, width, 3), rgb_of(backdrop), np.uint8)
    return backdrops.drawn(backdrops.backdrops()[backdrop], width, height)


def merged(ground: Pixels, layers: list[Pixels], boxes: list[Box], shadow: str, opacity: float, lying: bool) -> Canvas:
    """Shadows, then products, over the ground, which may be changed; what lies in front comes last."""
    height, width = ground.shape[:2]
    if shadow != "none" and opacity:
        alphas = [(box, np.ascontiguousarray(one[..., 3])) for box, one in zip(boxes, layers, strict=True)]
        ground = darkened(ground, shadows(alphas, width, height, shadow, lying), opacity)
    alpha = np.zeros((height, width), np.uint8)
    for box, one in zip(boxes, layers, strict=True):
        laid_over(ground, one, box)
        np.maximum(alpha[box.slices], one[..., 3], out=alpha[box.slices])
    return Canvas(ground, alpha)


def fitted(
    canvas: Canvas, image_format: ImageFormat, quality: int | None, mark: Mark, preset: Preset | None
) -> tuple[Encoded, Compliance]:
    """The file, and how it keeps a preset's rules; nothing without one.

    Where it is too large or too small for them, or not white enough, other qualities are tried; where none keeps all
    rules, it is the first of those that break fewest.
    """
    height, width = canvas.pixels.shape[:2]
    if preset is None:
        return Encoded(mark.file(canvas.pixels, image_format, quality or PLAIN_QUALITY), width, height), None
    pixels = mark.hidden(canvas.pixels)
    tries: list[tuple[int, Encoded, list[Finding]]] = []
    to_try = [quality or PRESET_QUALITY]
    while to_try:
        now = to_try.pop(0)
        data = mark.written(pixels, image_format, now)
        findings = preset.findings(data, image_format, canvas.alpha)
        broken = {finding.rule for finding in findings if not finding.ok}
        tries.append((len(broken), Encoded(data, width, height), findings))
        if not broken or image_format is ImageFormat.PNG:
            break
        if "bytes" in broken and len(data) > preset.file_bytes[1]:
            to_try = [one for one in SMALLER if one < now][:1]
        elif broken & {"bytes", "ground"} and len(tries) == 1 and now < 100:
            to_try = [100]
    _, file, findings = min(tries, key=lambda found: found[0])
    return file, [finding._asdict() for finding in findings]
