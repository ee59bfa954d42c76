"""The far side of `app.decoders`: processes in which foreign bytes meet the image libraries, and nothing else is.

A template process has imported the libraries and forks a decoder when told to, which takes a millisecond. A decoder has
no environment, no files of the service, a limit of memory, and one socket.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import resource
import signal
import socket
import struct
import sys
from typing import Final

import numpy as np

from app.errors import AppError, ImageTooLarge
from app.images import ImageLimits, Picture, decode, warm_up

ORDER: Final = struct.Struct("!QQ")
"""Bytes of the upload that follows, and the most pixels that it may have."""
REPLY: Final = struct.Struct("!I")
"""Bytes of JSON that follow."""
FILES: Final = 64


def main(control: int) -> None:
    """The template: forks a decoder for what comes over the socket `control`, until that closes.

    That is the decoder's memory limit and two descriptors: a socket, and memory for its pixels.
    """
    # Signals for the whole service are not for us: the sockets' ends say when it is over.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for decoders: let the kernel forget them
    warm_up()
    with socket.socket(fileno=control) as orders:
        while True:
            message, descriptors, _, _ = socket.recv_fds(orders, 8, 2)
            if not message:
                return
            (memory,) = struct.unpack("!Q", message)
            if os.fork() == 0:
                orders.close()
                run(descriptors[0], descriptors[1], memory)
            for descriptor in descriptors:
                os.close(descriptor)


def run(descriptor: int, pixels: int, memory: int) -> None:
    """A decoder's life, in at most `memory` bytes of address space beside those for its pixels; ends the process."""
    code = 1
    try:
        shared = mmap.mmap(pixels, os.fstat(pixels).st_size)
        os.close(pixels)
        confine(memory + len(shared))
        with socket.socket(fileno=descriptor) as orders:
            orders.sendall(struct.pack("!I", os.getpid()))
            while answer_one(orders, shared):
                pass
        code = 0
    except OSError:  # the other side has gone
        code = 0
    finally:
        os._exit(code)


def confine(memory: int) -> None:
    """Limit what a decoder that has been taken over, or runs away, can use up."""
    limits = {resource.RLIMIT_AS: memory, resource.RLIMIT_CORE: 0, resource.RLIMIT_NOFILE: FILES}
    for kind, most in limits.items():
        _, hard = resource.getrlimit(kind)
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (allowed, allowed))
    os.chdir("/")


def answer_one(orders: socket.socket, shared: mmap.mmap) -> bool:
    """Read an upload, decode it, put its planes into `shared` and tell; whether there was one."""
    head = received(orders, ORDER.size)
    if not head:
        return False
    length, max_pixels = ORDER.unpack(head)
    try:
        picture = decode(received(orders, length), ImageLimits(max_pixels))
        send(orders, put(picture, shared))
    except MemoryError:
        send(orders, {"error": ImageTooLarge.code, "detail": "The image takes too much memory to decode."})
    except AppError as error:
        send(orders, {"error": error.code, "detail": str(error)})
    return True


def received(orders: socket.socket, count: int) -> bytes:
    """So many bytes; fewer when the other side has gone."""
    data = bytearray(count)
    view, at = memoryview(data), 0
    while at < count:
        came = orders.recv_into(view[at:])
        if not came:
            return b""
        at += came
    return bytes(data)


def put(picture: Picture, shared: mmap.mmap) -> dict[str, object]:
    """Write a picture's planes one after the other, and give its facts."""
    area = picture.width * picture.height
    planes = np.frombuffer(shared, np.uint8)
    planes[: 3 * area].reshape(picture.rgb.shape)[:] = picture.rgb
    if picture.alpha is not None:
        planes[3 * area : 4 * area].reshape(picture.alpha.shape)[:] = picture.alpha
    kept = [picture.credits.copyright, picture.credits.creator]
    size, origin = [picture.width, picture.height], dict(picture.metadata.origin)
    return {"size": size, "alpha": picture.alpha is not None, "credits": kept, "origin": origin}


def send(orders: socket.socket, facts: dict[str, object]) -> None:
    """Send facts as JSON, with their length before them."""
    text = json.dumps(facts).encode()
    orders.sendall(REPLY.pack(len(text)) + text)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main(int(sys.argv[1]))
