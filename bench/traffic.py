"""Mixed traffic for the soak: what shops send, and what nobody should."""

from __future__ import annotations

import json
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from bench.pictures import photo

OVER_THE_LIMIT: Final = 21_000_000
CHUNK: Final = 500_000
SIZES: Final = ((96, 96), (150, 97), (240, 320), (400, 300), (512, 512))
KINDS: Final = (("JPEG", "RGB"), ("PNG", "RGB"), ("PNG", "RGBA"), ("WEBP", "RGB"), ("BMP", "RGB"), ("GIF", "P"))
SERVED: Final = frozenset({200})
REFUSED: Final = frozenset(range(400, 500))
GONE: Final = 0  # the caller left, or the server closed the connection without an answer


@dataclass(frozen=True, slots=True)
class Case:
    """One request and the statuses that are right for it."""

    name: str
    path: str
    right: frozenset[int]
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    chunked: bool = False
    pause_s: float = 0.0  # between the tenths of a slow body
    leave_after_s: float | None = None
    leave_in_the_body: bool = False
    raw: bytes = b""  # sent as it is, instead of all of the above


Maker = Callable[[random.Random], Case]


def generated(rng: random.Random) -> Case:
    wanted: dict[str, object] = {
        "seed": rng.randrange(2**63),
        "format": rng.choice(("png", "jpeg", "webp", "avif")),
        "count": rng.choice((1, 1, 1, 2, 4)),
        "size": rng.choice((None, None, 32, 64, 128, 256)),
        "background": rng.choice(("white", "#204060")),
    }
    if rng.random() < 0.5:
        wanted["category"] = rng.choice(("t-shirt", "dress", "shoes"))
    accept = rng.choice(("*/*", "application/json", "application/zip"))
    headers = {"Content-Type": "application/json", "Accept": accept}
    return Case("generate", "/generate", SERVED, headers, json.dumps(wanted).encode())


def upload(rng: random.Random) -> tuple[bytes, str]:
    """A photo and its media type."""
    image_format, mode = rng.choice(KINDS)
    return photo(*rng.choice(SIZES), image_format, mode), f"image/{image_format.lower()}"


def enhanced(rng: random.Random) -> Case:
    data, kind = upload(rng)
    scale = rng.choice((1, 2, 2, 2, 4)) if len(data) < 40_000 else rng.choice((1, 2))
    path = f"/enhance?scale={scale}&format={rng.choice(('png', 'jpeg', 'webp', 'avif'))}"
    accept = rng.choice(("*/*", "application/json", "application/zip"))
    return Case("enhance", path, SERVED, {"Content-Type": kind, "Accept": accept}, data)


def form(rng: random.Random) -> Case:
    data, kind = upload(rng)
    head = f'--edge\r\nContent-Disposition: form-data; name="image"; filename="a"\r\nContent-Type: {kind}\r\n\r\n'
    tail = b'\r\n--edge\r\nContent-Disposition: form-data; name="denoise"\r\n\r\n0.5\r\n--edge--\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=edge"}
    return Case("enhance, form", "/enhance", SERVED, headers, head.encode() + data + tail)


def slow(rng: random.Random) -> Case:
    data, kind = upload(rng)
    return Case("slow body", "/enhance?scale=1", SERVED, {"Content-Type": kind}, data, pause_s=0.2)


def truncated(rng: random.Random) -> Case:
    data, kind = upload(rng)
    return Case("truncated", "/enhance", REFUSED, {"Content-Type": kind}, data[: rng.randrange(len(data) // 2)])


def flipped(rng: random.Random) -> Case:
    data, kind = upload(rng)
    damaged = bytearray(data)
    for _ in range(rng.randrange(1, 30)):
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    # Enough of them still decode, and a header may claim a size that takes long: the small scale bounds it.
    headers = {"Content-Type": kind, "Request-Timeout": "60"}
    return Case("flipped bits", "/enhance?scale=1&denoise=0", SERVED | REFUSED, headers, bytes(damaged))


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(rng: random.Random) -> Case:
    side = rng.choice((20_000, 60_000, 2**31 - 1))
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(3_000_000)))
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")
    return Case("bomb", "/enhance", REFUSED, {"Content-Type": "image/png"}, data)


def garbage(rng: random.Random) -> Case:
    kind = rng.choice(("image/jpeg", "image/png", "image/webp", "image/avif", "image/tiff"))
    starts = (b"", b"\xff\xd8\xff\xe0", b"RIFF\xff\xff\xff\xffWEBPVP8 ", b"II*\x00", b"\x00\x00\x00 ftypavif")
    return Case("garbage", "/enhance", REFUSED, {"Content-Type": kind}, rng.choice(starts) + rng.randbytes(5000))


def wrong_type(rng: random.Random) -> Case:
    kind = rng.choice(("text/plain", "application/json", "image/svg+xml", "multipart/form-data; boundary=none"))
    return Case("wrong type", "/enhance", REFUSED, {"Content-Type": kind}, photo(96, 96))


def bad_options(rng: random.Random) -> Case:
    bodies = (b"{", b"[]", b'{"seed": -1}', b'{"count": 999}', b'{"size": 1e9}', b'{"category": "spaceship"}', b"\xff")
    headers = {"Content-Type": "application/json"}
    return Case("bad options", "/generate", REFUSED, headers, rng.choice(bodies))


def endless(_: random.Random) -> Case:
    headers = {"Content-Type": "image/jpeg"}
    # A reset of the connection may overtake the answer, which TCP allows.
    return Case("endless chunks", "/enhance", REFUSED | {GONE}, headers, bytes(OVER_THE_LIMIT), chunked=True)


def huge_claim(_: random.Random) -> Case:
    head = b"POST /enhance HTTP/1.1\r\nHost: a\r\nContent-Type: image/jpeg\r\nContent-Length: 999999999999\r\n\r\n"
    return Case("huge claim", "/enhance", REFUSED | {GONE}, raw=head + bytes(1000), leave_after_s=0.5)


def no_http(rng: random.Random) -> Case:
    return Case("no HTTP", "-", REFUSED | {GONE}, raw=rng.randbytes(300) + b"\r\n\r\n", leave_after_s=0.5)


def leaver(rng: random.Random) -> Case:
    headers = {"Content-Type": "image/jpeg"}
    after = rng.uniform(0.01, 0.4)
    return Case("leaves", "/enhance?scale=4", SERVED | {GONE}, headers, photo(240, 320), leave_after_s=after)


def half_sent(_: random.Random) -> Case:
    headers = {"Content-Type": "image/jpeg"}
    return Case("leaves in the body", "/enhance", frozenset({GONE}), headers, photo(), leave_in_the_body=True)


MIX: Final[tuple[tuple[Maker, int], ...]] = (
    *((generated, 40), (enhanced, 12), (form, 4), (slow, 2)),
    *((truncated, 6), (flipped, 6), (bomb, 3), (garbage, 4), (wrong_type, 4), (bad_options, 6)),
    *((endless, 1), (huge_claim, 2), (no_http, 2), (leaver, 5), (half_sent, 3)),
)


def cases(seed: int) -> Iterator[Case]:
    """Endless, and the same for the same seed."""
    rng = random.Random(seed)  # noqa: S311
    makers, weights = zip(*MIX, strict=True)
    while True:
        yield rng.choices(makers, weights)[0](rng)
