"""Uploads are decoded in processes of their own, so that what breaks a decoder costs one request.

A decoder that dies, takes too long or too much memory is replaced; each is replaced after some hundred pictures anyway.
Pixels come back through shared memory.
"""

from __future__ import annotations

import fcntl
import json
import logging
import mmap
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import numpy as np

from app.decoder import BORN, ORDER, REPLY
from app.errors import AppError, BadImage, ImageTooLarge
from app.images import ImageLimits, Picture
from app.metadata import ORIGIN, Credits, Metadata, cleaned

log = logging.getLogger("vitrine.decoders")
LIFETIME: Final = 500
"""Pictures that a decoder decodes before another one takes its place."""
STARTUP_S: Final = 20.0
LONGEST_REPLY: Final = 65_536
KEPT_BYTES: Final = 48_000_000
"""Of a decoder's shared memory; what a larger picture used is given back."""
SEALS: Final = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
"""On that memory, which must not be gone when it is read."""
# With the paths of this process, since it may have been started from anywhere.
TEMPLATE: Final = "import sys; sys.path[:] = {path!r}; from app.decoder import main; main({control})"
# No variable of this process goes along: there may be secrets among them.
# Memory is kept from one picture to the next: to get it from the kernel takes longer than to decode a small one.
ENVIRONMENT: Final = {
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "MALLOC_MMAP_THRESHOLD_": "1000000000",
    "MALLOC_TRIM_THRESHOLD_": "128000000",
    "MALLOC_TOP_PAD_": "4000000",
}


class Lost(Exception):
    """A decoder has gone."""


class Decoder:
    """One decoder process."""

    def __init__(self, orders: socket.socket, shared: mmap.mmap, pid: int) -> None:
        self._orders, self._shared = orders, shared
        self._process = os.pidfd_open(pid)  # unlike its number, nobody else's once it has ended
        self.done = 0

    def decode(self, data: bytes, limits: ImageLimits, until: float) -> Picture:
        """As `images.decode`, before `until` on time.monotonic's clock.

        Raises:
            BadImage, ImageTooLarge: as `images.decode`.
            TimeoutError: it took too long.
            Lost: the process has gone.
        """
        try:
            self._orders.settimeout(max(0.001, until - time.monotonic()))
            self._orders.sendall(ORDER.pack(len(data), limits.max_pixels))
            self._orders.sendall(data)
            return self._reply(limits, until)
        except (TimeoutError, AppError):
            raise
        except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error):
            # A decoder that lies is a broken one.
            raise Lost from None

    def _reply(self, limits: ImageLimits, until: float) -> Picture:
        got = b""
        while len(got) < REPLY.size or len(got) < REPLY.size + REPLY.unpack_from(got)[0]:
            self._orders.settimeout(max(0.001, until - time.monotonic()))
            part = self._orders.recv(LONGEST_REPLY)
            got += part
            if not part or len(got) > LONGEST_REPLY:
                raise Lost
        facts = json.loads(got[REPLY.size :])
        if "error" in facts:
            kind = ImageTooLarge if facts["error"] == ImageTooLarge.code else BadImage
            raise kind(str(facts["detail"]))
        return copied(facts, self._shared, limits)

    def close(self) -> None:
        """Let it go: it ends when it finds its socket closed."""
        self._orders.close()
        os.close(self._process)

    def kill(self) -> None:
        """End it at once."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._process, signal.SIGKILL)
        self.close()


def copied(facts: dict[str, Any], shared: mmap.mmap, limits: ImageLimits) -> Picture:
    """The picture in a decoder's memory, which it could change: so its pixels are copied, and its words are checked.

    Raises:
        ValueError: the facts make no sense.
    """
    width, height = (int(side) for side in facts["size"])
    area, there = width * height, bool(facts["alpha"])
    if min(width, height) < 1 or area > limits.max_pixels:
        raise ValueError("not a size that was asked for")
    rgb = np.frombuffer(shared, np.uint8, 3 * area).reshape(height, width, 3).copy()
    alpha = np.frombuffer(shared, np.uint8, area, 3 * area).reshape(height, width).copy() if there else None
    if 4 * area > KEPT_BYTES:
        shared.madvise(mmap.MADV_REMOVE, KEPT_BYTES // mmap.PAGESIZE * mmap.PAGESIZE)
    copyright, creator = (cleaned(text) for text in facts["credits"])
    told = {name: cleaned(facts["origin"].get(name)) for name in ORIGIN}
    origin = {name: text for name, text in told.items() if text}
    return Picture(rgb, alpha, Metadata(Credits(copyright, creator), origin))


class Decoders:
    """As many decoders as are asked at once. `decode` may be called from several threads."""

    def __init__(
        self, limits: ImageLimits, *, timeout_s: float, memory_bytes: int,
        ended: Callable[[str], None] = lambda _: None, template: str = TEMPLATE,
    ) -> None:  # fmt: skip
        """`ended` is told why a decoder was replaced: `recycled`, `crashed` or `timeout`; `template` is what is run."""
        self._limits, self._timeout_s, self._memory, self._ended = limits, timeout_s, memory_bytes, ended
        self._code, self._told = template, False
        self._lock = threading.Lock()
        self._idle: list[Decoder] = []
        self._template: subprocess.Popen[bytes] | None = None
        self._orders: socket.socket | None = None

    def start(self) -> None:
        """Have the first decoder ready."""
        self._idle.append(self._fork())

    def decode(self, data: bytes) -> Picture:
        """As `images.decode`, in another process.

        Raises:
            BadImage: as there, or decoding breaks the decoder or takes too long.
            ImageTooLarge: as there, or decoding takes too much memory.
        """
        try:
            return self._decoded(data)
        except Lost:
            pass  # it may have been another upload's fault, or that of the machine's memory
        try:
            return self._decoded(data)
        except Lost:
            raise BadImage("The bytes are not a complete image of a supported format.") from None

    def _decoded(self, data: bytes) -> Picture:
        decoder = self._taken()
        try:
            picture = decoder.decode(data, self._limits, time.monotonic() + self._timeout_s)
        except AppError:
            self._give_back(decoder)
            raise
        except TimeoutError:
            self._replace(decoder, "timeout")
            raise BadImage(f"The image takes more than {self._timeout_s:g} s to decode.") from None
        except Lost:
            self._replace(decoder, "crashed")
            raise
        self._give_back(decoder)
        return picture

    def _taken(self) -> Decoder:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return self._fork()

    def _give_back(self, decoder: Decoder) -> None:
        decoder.done += 1
        if decoder.done >= LIFETIME:
            decoder.close()
            self._ended("recycled")
            return
        with self._lock:
            self._idle.append(decoder)

    def _replace(self, decoder: Decoder, why: str) -> None:
        log.warning("a decoder was replaced: %s", why)
        decoder.kill()
        self._ended(why)

    def _fork(self) -> Decoder:
        """A new decoder, from a new template where the old one has gone."""
        with self._lock:
            for _ in range(2):
                ours, theirs = socket.socketpair()
                descriptor = os.memfd_create("pixels", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
                try:
                    os.truncate(descriptor, max(1, 4 * self._limits.max_pixels))
                    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, SEALS)
                    ours.settimeout(STARTUP_S)
                    with theirs:
                        told = struct.pack("!Q", self._memory)
                        socket.send_fds(self._control(), [told], [theirs.fileno(), descriptor])
                    born = ours.recv(BORN.size, socket.MSG_WAITALL)
                    if len(born) == BORN.size:
                        pid, confined = BORN.unpack(born)
                        self._tell(confined)
                        return Decoder(ours, mmap.mmap(descriptor, os.fstat(descriptor).st_size), pid)
                except OSError:
                    pass
                finally:
                    os.close(descriptor)
                ours.close()
                self._end_template()
        raise AppError("No decoder could be started.")

    def _tell(self, confined: bool) -> None:
        if not (confined or self._told):
            log.warning("this kernel has no Landlock: decoders are confined by memory and time, not from files")
            self._told = True

    def _control(self) -> socket.socket:
        if self._orders is None:
            ours, theirs = socket.socketpair()
            with theirs:
                text = self._code.format(path=sys.path, control=theirs.fileno())
                # In a group of its own, so that a Ctrl-C which lets this process finish what it has does not end it.
                self._template = subprocess.Popen(  # noqa: S603  # our own interpreter and words
                    [sys.executable, "-c", text], pass_fds=[theirs.fileno()], env=ENVIRONMENT,
                    stdin=subprocess.DEVNULL, process_group=0,
                )  # fmt: skip
            self._orders = ours
        return self._orders

    def _end_template(self) -> None:
        if self._orders is not None:
            self._orders.close()
            self._orders = None
        if self._template is not None:
            self._template.kill()
            self._template.wait()
            self._template = None

    def close(self) -> None:
        """Let all go."""
        with self._lock:
            for decoder in self._idle:
                decoder.close()
            self._idle.clear()
            self._end_template()
