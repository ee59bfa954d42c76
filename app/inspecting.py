"""The request path of `/inspect`: which marks an upload carries, and what they are worth."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from app import credentials
from app.images import Picture, over
from app.service import Call, Service
from app.tasks.watermark import Reading, recognised


async def inspect(service: Service, call: Call, data: bytes) -> tuple[dict[str, Any], Picture]:
    """The marks found in one upload; also gives the upload as it was read."""
    picture = await service.decode(call, data)
    known = service.known_models
    with service.admission.holding(picture.width * picture.height):
        hidden = await hidden_mark(service, call, picture, known)
    signed = await service.timed("decode", call, credentials.read, data, service.settings.c2pa_anchors)
    origin = dict(picture.metadata.origin)
    label = origin.pop("china_label", None)
    digests = {digest for _, digest in known}
    marks = {
        "xmp": {"found": bool(origin), **origin, "known_model": origin.get("model_digest") in digests},
        "china_label": {"found": label is not None, **parsed(label)},
        "content_credentials": signed,
        "watermark": hidden,
    }
    return marks, picture


async def hidden_mark(service: Service, call: Call, picture: Picture, known: list[tuple[str, str]]) -> dict[str, Any]:
    """What `recognised` says of a picture, or why nothing can be said."""
    reader = call.catalogue.first("watermark-reader")
    if reader is None:
        return {"found": None, "reason": "no model that reads hidden marks is in the repository"}
    rgb = picture.rgb if picture.alpha is None else over(np.dstack([picture.rgb, picture.alpha]), (255, 255, 255))
    work = await service.timed("decode", call, Reading, rgb, reader.model.manifest.size)
    await service.infer(call, reader, work, lambda: None)
    return recognised(work.logits, known)


def parsed(label: str | None) -> dict[str, Any]:
    """The content of a label of GB 45438-2025, and whether it is one."""
    if label is None:
        return {}
    try:
        content = json.loads(label)
    except (ValueError, RecursionError):
        return {"valid": False}
    valid = isinstance(content, dict) and content.get("Label") in ("1", "2", "3") and "ContentProducer" in content
    fields = ("Label", "ContentProducer", "ProduceID", "ContentPropagator", "PropagateID")
    return {"valid": valid, **({name: str(content.get(name, "")) for name in fields} if valid else {})}
