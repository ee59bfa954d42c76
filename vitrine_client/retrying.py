"""When to ask again, and after how long."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from vitrine_client.errors import Overloaded, Problem, RateLimited, Unreachable, VitrineError


@dataclass(frozen=True, slots=True)
class Retries:
    """After 429, 503 and lost connections: the service computes and keeps nothing, so asking twice does no harm."""

    attempts: int = 4
    """How often a request is sent at most."""
    base_s: float = 0.5
    """The first wait where the service names none; each further one is twice as long (exponential backoff)."""
    cap_s: float = 30.0
    """The longest wait. A service that wants a longer one is not asked again."""
    random: Callable[[], float] = field(default=random.random, repr=False)
    """In [0, 1): up to a quarter is added to every wait, so that clients do not all come back at once."""

    def wait(self, error: VitrineError, sent: int, left_s: float) -> float | None:
        """Seconds until it is sent again, after so many times and with so much time left; None for not at all."""
        if sent >= self.attempts or not isinstance(error, Overloaded | RateLimited | Unreachable):
            return None
        named = error.retry_after if isinstance(error, Problem) else None
        least = self.base_s * 2 ** (sent - 1) if named is None else named
        if least > self.cap_s:
            if named is not None:
                return None
            least = self.cap_s
        wait = least * (1 + self.random() / 4)  # never earlier than the service asked for
        return wait if wait < left_s else None


@dataclass(slots=True)
class Attempts:
    """One call with all its repetitions, which share its time."""

    retries: Retries
    timeout_s: float
    sent: int = 0
    begun: float = field(default_factory=time.monotonic)

    @property
    def left_s(self) -> float:
        """Seconds until the caller's patience ends."""
        return max(0.001, self.begun + self.timeout_s - time.monotonic())

    def wait(self, error: VitrineError) -> float:
        """Seconds until it is sent again.

        Raises:
            VitrineError: `error`, since it is not.
        """
        seconds = self.retries.wait(error, self.sent, self.left_s)
        if seconds is None:
            raise error
        return seconds
