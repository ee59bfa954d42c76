"""Examples for `/openapi.json`: of every kind of request, and of every error. Tests send the ones and check the others.

A file is told by its name: photo.jpg is a product's photo, product.png one that is cut out already, drawing.png a line
drawing, backdrop.jpg any picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app import errors
from app.errors import AppError, InvalidOptions

Examples = Mapping[str, tuple[str, dict[str, Any]]]
"""By name: a summary and what is sent. Where one picture is uploaded, and none is named, it is `PHOTO`."""
REQUEST_ID: Final = "c6f244b615b9479ca3eda054c4089dc6"
PHOTO: Final = "photo.jpg"

GENERATE: Final[Examples] = {
    "one": ("One picture, the same again for this seed", {"category": "t-shirt", "seed": 7}),
    "grid": ("Sixteen to choose from", {"category": "dress", "count": 16, "seed": 1, "truncation": 1.0}),
    "variation": (
        "A design, brought a little towards another",
        {"category": "dress", "seed": 3, "mix": {"seed": 12, "amount": 0.3}},
    ),
    "large": (
        "Large, cut out, as PNG",
        {"category": "hat", "seed": 5, "size": 512, "background": "transparent", "format": "png"},
    ),
    "pinned": (
        "From one model, on a colour, as a small JPEG",
        {"seed": 5, "model": "garments-128", "background": "#f0ece4", "format": "jpeg", "quality": 80},
    ),
}
ENHANCE: Final[Examples] = {
    "twice": ("Twice as large, as clean as the photo needs", {"scale": 2}),
    "cut-out": ("The product alone, at its own size", {"scale": 1, "denoise": 0, "background": "transparent"}),
    "small-file": (
        "Four times as large, fully restored",
        {"scale": 4, "denoise": 1.0, "format": "avif", "quality": 60},
    ),
    "marketplace": ("A main image, with the check of its rules", {"preset": "amazon-main"}),
    "pinned": ("By one model, whatever others there are", {"scale": 2, "model": "enhance-x2"}),
}
COMPOSE: Final[Examples] = {
    "marble": (
        "On marble, standing, with a soft shadow",
        {"image": [PHOTO], "backdrop": "marble", "anchor": "bottom", "shadow": "soft", "shadow_opacity": 0.5},
    ),
    "several": (
        "Two products on a gradient",
        {
            "image": [PHOTO, "product.png"], "backdrop": "gradient:#f7f4ef-#d9cfc1", "fill": 0.9, "width": 1200,
            "height": 628, "format": "jpeg", "quality": 85,
        },
    ),
    "own-backdrop": (
        "A cut-out product in a photo of one's own, with the photo's light",
        {"image": ["product.png"], "backdrop": "backdrop.jpg", "cutout": "none", "harmonize": 0.8},
    ),
    "marketplace": ("A main image for a marketplace", {"image": [PHOTO], "preset": "ebay"}),
}  # fmt: skip
RESTYLE: Final[Examples] = {
    "studio": ("A snapshot as a catalogue shot on white", {"style": "studio", "shadow": "contact"}),
    "marketplace": ("The same, as a marketplace wants it", {"style": "studio", "preset": "zalando-packshot"}),
    "colorway": ("The product in another colour", {"style": "colorway", "color": "#b03a2e", "strength": 0.9}),
    "sketch": ("A line drawing of a photo", {"style": "sketch", "format": "png"}),
    "from-sketch": (
        "A product of a line drawing",
        {
            "image": "drawing.png", "style": "from-sketch", "category": "t-shirt", "seed": 3, "format": "jpeg",
            "quality": 95,
        },
    ),
}  # fmt: skip
INSPECT: Final[Examples] = {"marks": ("A picture that may carry marks", {})}

UPLOAD: Final = (
    errors.BadImage("The bytes are not a complete image of a supported format."),
    errors.ImageTooLarge("The image has 9000x7000 pixels; at most 40000000 are accepted."),
    errors.UnsupportedMediaType("Send multipart/form-data, or a raw image/jpeg, png, webp, avif, gif, bmp or tiff."),
)
"""What every upload may get."""
NOT_ACCEPTABLE: Final = errors.NotAcceptable(
    "The answer can be image/png, image/jpeg, image/webp, image/avif, application/json or application/zip."
)
UNKNOWN_MODEL: Final = errors.UnknownModel("No such model is in the repository.")
UNKNOWN_CATEGORY: Final = errors.UnknownCategory("The model has no such category; GET /categories lists them.")
UNKNOWN_STYLE: Final = errors.UnknownStyle("There is no such style; GET /styles lists them.")
UNKNOWN_PRESET: Final = errors.UnknownPreset("There is no such preset; GET /presets lists them.")
DRAINING: Final = errors.Draining()
INTERNAL: Final = errors.AppError("Something went wrong here; it is in the log.")
NOT_TEXT: Final = "The body is not UTF-8."
MALFORMED: Final = "The form is malformed, or has too many or too large fields."
EXHAUSTED: Final = {"RateLimit_Policy": '"default";q=600;w=60', "RateLimit": '"default";r=0;t=12'}


def computing(route: str, field: str, message: str, kind: str = "value_error") -> tuple[AppError, ...]:
    """What every route that computes may answer; `field` of this one is wrong as `message` and `kind` say."""
    return (
        errors.BadRequest(NOT_TEXT if route == "generate" else MALFORMED),
        errors.Unauthorized("This route needs an API key: Authorization: Bearer KEY."),
        errors.Forbidden(f"The API key is not for /{route}."),
        errors.BodyTimeout("The body did not arrive within 60 s."),
        errors.BodyTooLarge("The body is over 20000000 bytes."),
        InvalidOptions([{"loc": ["body", field], "msg": message, "type": kind}]),
        errors.RateLimited("The rate of this key is used up; retry later.", **EXHAUSTED, Retry_After="12"),
        errors.TooManyAtOnce("At most 8 requests of this key at once.", Retry_After="1"),
        errors.ModelFailed("The model failed on this item."),
        INTERNAL,
        errors.Overloaded(4),
        DRAINING,
        errors.DeadlineExceeded("The deadline passed while the work was queued."),
    )


def no_model(task: str) -> AppError:
    """No model for it, or not the one that was asked for."""
    return errors.UnknownModel(f"No such model for {task!r} is in the repository.")


OF_GENERATE: Final = (
    *computing("generate", "count", "Input should be less than or equal to 16", "less_than_equal"),
    no_model("generate"),
    UNKNOWN_CATEGORY,
    NOT_ACCEPTABLE,
)
OF_ENHANCE: Final = (
    *computing("enhance", "scale", "Value error, must be 1, 2 or 4"),
    *UPLOAD,
    no_model("enhance"),
    UNKNOWN_PRESET,
    NOT_ACCEPTABLE,
)
OF_COMPOSE: Final = (
    *computing("compose", "backdrop", "is no colour, and no backdrop that ships; GET /backdrops lists them"),
    *UPLOAD,
    no_model("cutout"),
    UNKNOWN_PRESET,
    NOT_ACCEPTABLE,
)
OF_RESTYLE: Final = (
    *computing("restyle", "image", "no product was found in the photo", "no_product"),
    *UPLOAD,
    UNKNOWN_STYLE,
    UNKNOWN_CATEGORY,
    UNKNOWN_PRESET,
    NOT_ACCEPTABLE,
)
OF_INSPECT: Final = (*computing("inspect", "image", "one file is needed"), *UPLOAD)
