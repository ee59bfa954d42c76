"""The request path: what happens between a checked request and a finished answer."""

from __future__ import annotations

import asyncio
import hashlib
import math
import uuid
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from app import __version__
from app.answers import Answer, Encoded
from app.batching import Row
from app.catalogue import Loaded
from app.errors import ImageTooLarge, InvalidOptions, UnknownCategory, UnknownModel
from app.images import ImageFormat, Picture, Pixels, blurred, check_side, over, resize
from app.metadata import Credits
from app.provenance import NO_CREDITS, Hide, Labels, Mark, Sign, xmp_packet
from app.schemas import EnhanceOptions, GenerateRequest
from app.service import Call, Service
from app.tasks.colours import rgb_of
from app.tasks.cutout import Whole
from app.tasks.enhance import LevelTiles, fill_hidden, keep_mean
from app.tasks.generate import SEEDS, drawn_label, latent, mixed
from app.tasks.watermark import hidden

T = TypeVar("T")
PRODUCT_DENOISE: Final = 0.3  # of generated products, which are enlarged
MESH_PX: Final = 0.6  # of the blur that takes the generator's mesh away, of which enlarging would make dashes
UNMEASURED_DENOISE: Final = 0.5  # when no model is there to estimate it
HARDLY: Final = 0.03  # a level up to which a picture is taken to be clean


class Products:
    """The generator's work for one request, a row each seed; `outputs` are the pictures, (S, S, 4) uint8."""

    def __init__(self, options: GenerateRequest, seeds: list[int], classes: tuple[str, ...]) -> None:
        """Raises:
        UnknownCategory: the model has no such class.
        """
        if options.category is not None and options.category not in classes:
            raise UnknownCategory("The model has no such category; GET /categories lists them.")
        self._options, self._seeds, self._classes, self.rows = options, seeds, classes, len(seeds)
        self.outputs: list[Pixels] = [np.empty(0, np.uint8)] * len(seeds)

    def row(self, index: int) -> Row:
        options, seed, classes = self._options, self._seeds[index], self._classes
        z = latent(seed)
        if options.mix is not None:
            z = mixed(z, latent(options.mix.seed), options.mix.amount)
        label = drawn_label(seed, len(classes)) if options.category is None else classes.index(options.category)
        return {"z": z, "label": np.int64(label), "truncation": np.float32(options.truncation)}

    def put(self, index: int, output: NDArray[Any]) -> None:
        self.outputs[index] = output


@dataclass(frozen=True, slots=True)
class Identity:
    """All that decides about an answer's bytes, the day (UTC, ISO 8601) that its label names, an entity tag."""

    basis: str
    day: str
    etag: str
    labels: Labels
    hider: Loaded | None
    """The network that hides a mark, where one is wanted."""
    uploads: tuple[bytes, ...] = ()

    @classmethod
    def of(cls, service: Service, call: Call, *parts: object, uploads: Sequence[bytes] = ()) -> Identity:
        """From the request's parts, the models, the labels that are wanted, this version of the service, and today.

        The tag is a strong one, unless answers are signed, since no two signatures are the same, or made on a GPU.
        """
        labels, day = service.labels, datetime.now(UTC).date().isoformat()
        said = (*parts, call.catalogue.digests, labels.digest, __version__, day)
        basis = " ".join(str(part) for part in said)
        etag = f'"{hashlib.sha256(basis.encode()).hexdigest()[:32]}"'
        hider = call.catalogue.find("watermark") if labels.watermark else None
        weak = labels.signer or not service.same_bytes
        return cls(basis, day, f"W/{etag}" if weak else etag, labels, hider, tuple(uploads))

    def mark(self, model: Loaded, source: str, index: int = 0, credits: Credits = NO_CREDITS) -> Mark:
        """What goes into the file of picture `index` of the answer; `source` as in `xmp_packet`."""
        identifier = uuid.uuid5(uuid.NAMESPACE_OID, f"{self.basis} {index}").urn
        xmp = xmp_packet(
            source=source, day=self.day, identifier=identifier, model=model.label, digest=model.digest, kept=credits,
            china_producer=self.labels.china_producer,
        )  # fmt: skip
        return Mark(xmp, self._hide(model), self._sign(source, f"{model.label} {identifier}"))

    def _hide(self, model: Loaded) -> Hide | None:
        hider = self.hider
        if hider is None:
            return None
        return lambda pixels: hidden(pixels, model.digest, hider.model.manifest.size, hider.engine.run)

    def _sign(self, source: str, title: str) -> Sign | None:
        signer, uploads = self.labels.signer, self.uploads
        if signer is None:
            return None
        return lambda data, image_format: signer.sign(data, image_format, source, uploads, title)


async def together(parts: list[Coroutine[Any, Any, T]]) -> list[T]:
    """All results in order; when one fails, the others are dropped."""
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


async def generate(
    service: Service, call: Call, options: GenerateRequest, image_format: ImageFormat, seed: int, identity: Identity
) -> Answer:
    """Product pictures by category and seed; picture i uses (seed + i) mod 2^63."""
    model = call.catalogue.find("generate", options.model)
    seeds = [(seed + i) % SEEDS for i in range(options.count)]
    native = model.model.manifest.size
    side = options.size or native
    work = Products(options, seeds, model.model.manifest.classes)

    def finished(index: int, rgba: Pixels) -> Encoded:
        mark = identity.mark(model, "trainedAlgorithmicMedia", index)
        return Encoded(finish(rgba, side, options, image_format, mark), side, side, seeds[index])

    if side <= native:
        files = await service.infer(
            call, model, work, lambda: [finished(index, rgba) for index, rgba in enumerate(work.outputs)]
        )
    else:
        call.catalogue.enhancers(1)  # refused before the work, not after it
        small = await service.infer(call, model, work, lambda: work.outputs)
        parts = [
            enlarged_product(service, call, rgba, side, partial(finished, i), soften=MESH_PX)
            for i, rgba in enumerate(small)
        ]
        files = await together(parts)
    return Answer(files, image_format, model.label, model.digest, call.ms)


async def enlarged_product(
    service: Service, call: Call, rgba: Pixels, side: int, finished: Callable[[Pixels], T], *, soften: float = 0
) -> T:
    """A square product through the enhancer until it is at least `side` px; gives what `finished` makes of it.

    Before, its colours are blurred by a Gaussian of `soften` px. Its edge gets less wide than all else gets large.
    """
    scale = -(-side // rgba.shape[0])
    # The colours of half-transparent edge pixels are guesses of the generator: take their inner neighbours' instead.
    rgb = blurred(fill_hidden(rgba[..., :3], (rgba[..., 3] == 255).astype(np.uint8)), soften)

    def finish_large(large: Pixels) -> T:
        alpha = resize(rgba[..., 3], large.shape[1], large.shape[0])
        return finished(np.dstack([large, steeper(alpha, math.sqrt(large.shape[0] / rgba.shape[0]))]))

    return await service.enlarge(call, rgb, call.catalogue.enhancers(scale), PRODUCT_DENOISE, finish_large)


def steeper(alpha: Pixels, times: float) -> Pixels:
    """(H, W) uint8 -> the same, `times` as far from half opaque, as far as there is room."""
    table = ((np.arange(256) - 127.5) * times + 127.5).round().clip(0, 255).astype(np.uint8)
    return table[alpha]


def finish(rgba: Pixels, side: int, options: GenerateRequest, image_format: ImageFormat, mark: Mark) -> bytes:
    """Size, background and encoding of one generated picture."""
    pixels = resize(rgba, side, side)
    if options.background != "transparent":
        pixels = over(pixels, rgb_of(options.background))
    return mark.file(pixels, image_format, options.quality)


async def enhance(
    service: Service, call: Call, data: bytes, options: EnhanceOptions, image_format: ImageFormat, identity: Identity
) -> tuple[Answer, Picture]:
    """One upload, sharper, cleaner, larger; also gives the upload as it was read."""
    picture = await service.decode(call, data)
    area = picture.width * picture.height
    if area * options.scale**2 > service.settings.max_output_pixels:
        raise ImageTooLarge(f"The answer would be over {service.settings.max_output_pixels} pixels.")
    check_side(max(picture.width, picture.height) * options.scale, image_format)  # before the work, not after it
    with service.admission.holding(area * (1 + max(4, options.scale**2))):
        if options.background != "keep" and picture.alpha is None:
            picture = await cut_out(service, call, picture, ["background"])
        rgb = picture.rgb
        if picture.alpha is not None and (options.scale, options.denoise) != (1, 0):
            rgb = await service.timed("decode", call, fill_hidden, rgb, picture.alpha)
        strength = await estimated_level(service, call, rgb) if options.denoise is None else options.denoise
        passes = call.catalogue.enhancers(options.scale, options.model, clean=strength == 0)
        mark = identity.mark(passes[0], "algorithmicallyEnhanced", credits=picture.credits)
        finished = partial(finish_enhanced, picture, options, image_format, mark)
        if options.scale == 1 and strength == 0:  # its very own pixels
            file = await service.timed("encode", call, finished, picture.rgb)
        else:
            file = await service.enlarge(
                call, rgb, passes, strength, lambda large: finished(at_scale(large, rgb, options.scale))
            )
    return Answer([file], image_format, passes[0].label, passes[0].digest, call.ms), picture


def no_product(where: list[str | int]) -> InvalidOptions:
    """The 422 for a photo on which there is nothing to cut out."""
    return InvalidOptions([{"loc": where, "msg": "no product was found in the photo", "type": "no_product"}])


async def cut_out(service: Service, call: Call, picture: Picture, where: list[str | int]) -> Picture:
    """A photo with alpha, at its own size and layout; where it is 255 the colours are the photo's own.

    Raises:
        UnknownModel: no model for that is in the repository.
        InvalidOptions: no product was found; it is said of the field `where`.
    """
    model = call.catalogue.find("cutout")
    work = await service.timed("decode", call, Whole, picture.rgb, model.model.manifest.size)
    await service.infer(call, model, work, lambda: None)

    def separated() -> tuple[Pixels, Pixels] | None:
        rgba = work.refined()
        return (np.ascontiguousarray(rgba[..., :3]), rgba[..., 3]) if rgba[..., 3].any() else None

    found = await service.timed("infer", call, separated)
    if found is None:
        raise no_product(where)
    return replace(picture, rgb=found[0], alpha=found[1])


def at_scale(large: Pixels, rgb: Pixels, scale: int) -> Pixels:
    """The enhancer's output at `scale` times the upload's size, with its mean colour."""
    return keep_mean(resize(large, scale * rgb.shape[1], scale * rgb.shape[0]), rgb)


async def estimated_level(service: Service, call: Call, rgb: Pixels) -> float:
    """How degraded a photo is, in [0, 1]; 0 where it is hardly degraded."""
    try:
        model = call.catalogue.find("level")
    except UnknownModel:
        return UNMEASURED_DENOISE
    tiles = LevelTiles(rgb, model.model.manifest.tile)
    level = await service.infer(call, model, tiles, lambda: tiles.level)
    return 0.0 if level <= HARDLY else level


def finish_enhanced(
    picture: Picture, options: EnhanceOptions, image_format: ImageFormat, mark: Mark, rgb: Pixels
) -> Encoded:
    """Alpha at the new size, background and encoding."""
    height, width = rgb.shape[:2]
    if picture.alpha is not None:
        rgb = np.dstack([rgb, resize(picture.alpha, width, height)])
        if options.background not in ("keep", "transparent"):
            rgb = over(rgb, rgb_of(options.background))
    return Encoded(mark.file(rgb, image_format, options.quality), width, height)
