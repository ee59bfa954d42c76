"""The process in front: it holds the listening socket, and keeps so many serving processes alive behind it.

Because the socket outlives them, a request that comes while a dead process is replaced waits instead of being refused.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from typing import Final

log = logging.getLogger("vitrine.supervisor")
SIGNALS: Final = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
GRACE_S: Final = 10.0
"""What a process may take to end after its drain time."""
SHORT_S: Final = 2.0
"""A process that lived no longer than this has failed to start."""
MAX_FAILURES: Final = 5
PAUSE_S: Final = 0.2
Serve = Callable[[int], int]


def bound(host: str, port: int) -> socket.socket:
    """A listening TCP socket that never blocks.

    Whether it does is one flag for all processes and duplicates: a duplicate of a blocking one, made in a new process,
    would have the loops of the others wait in `accept` for a connection that one of them has taken.

    Raises:
        OSError: the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=2048)
    listener.setblocking(False)
    return listener


class Supervisor:
    """Forks serving processes, replaces those that die, passes signals on."""

    def __init__(self, serve: Serve, count: int, drain_s: float, forgotten: Callable[[int], None]) -> None:
        """`serve` runs in a new process, with a pipe that closes when this one is gone, and gives its exit code. It
        begins with all our signals blocked, and unblocks them when it can handle them.

        `forgotten` is told of every process that has ended.
        """
        self._serve, self._count, self._drain_s, self._forgotten = serve, count, drain_s, forgotten
        self._born: dict[int, float] = {}
        self._failures, self._code = 0, 0
        self._alive_end, self._own_end = os.pipe()

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT; gives 0 when every process ended well."""
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        for _ in range(self._count):
            self._fork()
        while self._born:
            number = signal.sigwait(SIGNALS)
            if number == signal.SIGHUP:
                self._tell(signal.SIGHUP)
            elif number == signal.SIGCHLD:
                self._replace(self._reap())
            else:
                return self._stop()
        return self._code

    def _fork(self) -> None:
        pid = os.fork()
        if pid:
            self._born[pid] = time.monotonic()
            return
        code = 70
        try:
            os.close(self._own_end)
            code = self._serve(self._alive_end)
        except BaseException:
            log.critical("the process failed", exc_info=True)
        finally:
            logging.shutdown()
            os._exit(code)

    def _tell(self, number: int) -> None:
        for pid in self._born:
            os.kill(pid, number)  # not reaped yet, so the number is still its own

    def _reap(self) -> list[tuple[int, int, float]]:
        """The processes that have ended: number, exit code, seconds of life."""
        ended = []
        while self._born:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            if pid in self._born:
                ended.append((pid, os.waitstatus_to_exitcode(status), time.monotonic() - self._born.pop(pid)))
                self._forgotten(pid)
        return ended

    def _replace(self, ended: list[tuple[int, int, float]]) -> None:
        for pid, code, lived in ended:
            self._failures = self._failures + 1 if lived < SHORT_S else 0
            log.error("process %d ended with %d after %.1f s", pid, code, lived)
            if self._failures >= MAX_FAILURES:
                log.error("giving up after %d failures in a row", self._failures)
                self._code = code or 1
                self._tell(signal.SIGTERM)
                self._count = 0
            if len(self._born) < self._count:
                time.sleep(PAUSE_S if self._failures else 0)
                self._fork()

    def _stop(self) -> int:
        """Have all processes drain and end; those that do not are killed."""
        until = time.monotonic() + self._drain_s + GRACE_S
        self._tell(signal.SIGTERM)
        codes: list[int] = []
        while self._born:
            codes += [code for _, code, _ in self._reap()]
            left = until - time.monotonic()
            if not self._born:
                break
            if left <= 0:
                log.error("killing %d processes that do not end", len(self._born))
                self._tell(signal.SIGKILL)
                left = GRACE_S
            signal.sigtimedwait((signal.SIGCHLD,), min(left, 1.0))
        return next((abs(code) for code in codes if code), 0)
