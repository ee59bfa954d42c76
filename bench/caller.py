"""A caller with all bad manners: slow, chunked without end, gone in the middle. One connection a request."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from typing import Final

from bench.traffic import CHUNK, GONE, Case

PATIENCE_S: Final = 150
SLICES: Final = 10


def status(host: str, port: int, case: Case) -> int:
    """Send a case, read the whole answer, and give its status; `GONE` if there was none."""
    with socket.create_connection((host, port), timeout=PATIENCE_S) as connection:
        # A server that refuses in the middle of a body stops reading: its answer is there all the same.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for part in parts(case):
                connection.sendall(part)
        if case.leave_in_the_body:
            return GONE
        return answer(connection, case.leave_after_s)


def parts(case: Case) -> Iterator[bytes]:
    if case.raw:
        yield case.raw
        return
    fields = {"Host": "127.0.0.1", "Connection": "close", **case.headers}
    fields |= {"Transfer-Encoding": "chunked"} if case.chunked else {"Content-Length": str(len(case.body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    yield f"POST {case.path} HTTP/1.1\r\n{head}\r\n".encode()
    if case.leave_in_the_body:
        yield case.body[: len(case.body) // 2]
    elif case.chunked:
        for at in range(0, len(case.body), CHUNK):
            piece = case.body[at : at + CHUNK]
            yield f"{len(piece):x}\r\n".encode() + piece + b"\r\n"
        yield b"0\r\n\r\n"
    else:
        size = max(1, -(-len(case.body) // SLICES)) if case.pause_s else max(1, len(case.body))
        for at in range(0, len(case.body), size):
            yield case.body[at : at + size]
            time.sleep(case.pause_s)


def answer(connection: socket.socket, leave_after_s: float | None) -> int:
    connection.settimeout(leave_after_s or PATIENCE_S)
    seen = b""
    try:
        while piece := connection.recv(1 << 16):
            seen = seen[:12] + piece if len(seen) < 12 else seen[:12]
    except TimeoutError:
        if leave_after_s is None:
            raise
    except ConnectionResetError:
        pass
    return int(seen[9:12]) if seen[:5] == b"HTTP/" and seen[9:12].isdigit() else GONE
