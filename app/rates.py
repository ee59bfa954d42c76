"""How often, and how much at once: limits of a key, counted here or, where several processes share them, in Redis."""

from __future__ import annotations

import logging
import time
from collections import Counter
from typing import Any, Final

from limits import RateLimitItem
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import ConfigurationError, StorageError

from app.errors import RateLimited, TooManyAtOnce
from app.keys import Key, KeyFileError

log = logging.getLogger("vitrine.rates")
PATIENCE_S: Final = 0.25
"""What Redis may take; then this process counts for itself."""
COMPLAIN_S: Final = 60.0
LEASE_S: Final = 600
"""What a process that died had under way is forgotten after so long."""


class Rates:
    """The limits of all keys. Belongs to the event loop."""

    def __init__(self, redis: str | None = None) -> None:
        """`redis` is a URL, redis://HOST:PORT/DATABASE; without it every process counts for itself.

        Raises:
            KeyFileError: the library for Redis is not installed.
        """
        self._window = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._under_way: Counter[str] = Counter()
        self._redis: RedisStorage | None = None
        if redis is not None:
            options = {"socket_timeout": PATIENCE_S, "socket_connect_timeout": PATIENCE_S}
            try:
                self._redis = RedisStorage(
                    f"async+{redis}", wrap_exceptions=True, implementation="redispy", key_prefix="vitrine", **options
                )
            except ConfigurationError:
                raise KeyFileError("VITRINE_REDIS_URL needs the extra: pip install 'vitrine[redis]'") from None
            self._shared_window = SlidingWindowCounterRateLimiter(self._redis)
        self._complained = -COMPLAIN_S

    async def close(self) -> None:
        """Let Redis go."""
        if self._redis is not None:
            bridge: Any = self._redis.bridge  # of this implementation, which has more than the base that is declared
            await bridge.get_connection().aclose()

    async def enter(self, key: Key) -> dict[str, str]:
        """Count a request that begins; gives the fields of its answer that tell the limit. `leave` must follow.

        Raises:
            TooManyAtOnce: the key has as many requests under way as it may; `leave` must not follow.
            RateLimited: its rate is used up; the same.
        """
        if key.concurrency is not None:
            await self._begin(key.name, key.concurrency)
        try:
            return await self._hit(key)
        except RateLimited:
            await self.leave(key)
            raise

    async def _begin(self, name: str, most: int) -> None:
        refusal = TooManyAtOnce(f"At most {most} requests of this key at once.", Retry_After="1")
        # Those of this process alone can be too many already; and when Redis is gone they are all that is known.
        if self._under_way[name] >= most:
            raise refusal
        self._under_way[name] += 1
        if await self._shared(name, 1) > most:
            await self._end(name)
            raise refusal

    async def leave(self, key: Key) -> None:
        """A request is over."""
        if key.concurrency is not None:
            await self._end(key.name)

    async def _end(self, name: str) -> None:
        self._under_way[name] -= 1
        if await self._shared(name, -1) < 0:  # the lease had run out meanwhile
            await self._shared(name, 1)

    async def _shared(self, name: str, change: int) -> int:
        """Change the number of requests that all processes have under way, and give it; 0 where there is no Redis."""
        if self._redis is None:
            return 0
        try:
            return await self._redis.incr(f"under-way/{name}", LEASE_S, change)
        except StorageError as error:
            self._complain(error)
            return 0

    async def _hit(self, key: Key) -> dict[str, str]:
        limit = key.limit
        if limit is None:
            return {}
        if self._redis is not None:
            try:
                return await told(self._shared_window, limit, key.name)
            except StorageError as error:
                self._complain(error)
        return await told(self._window, limit, key.name)

    def _complain(self, error: StorageError) -> None:
        now = time.monotonic()
        if now - self._complained >= COMPLAIN_S:
            self._complained = now
            log.error("Redis does not answer (%s): this process counts for itself", type(error.storage_error).__name__)


async def told(window: SlidingWindowCounterRateLimiter, limit: RateLimitItem, name: str) -> dict[str, str]:
    """Count a request; gives the fields that tell a caller its limit (draft-ietf-httpapi-ratelimit-headers-10).

    Raises:
        RateLimited: it is used up.
    """
    allowed = await window.hit(limit, name)
    state = await window.get_window_stats(limit, name)
    wait = max(1, round(state.reset_time - time.time()))
    fields = {
        "RateLimit-Policy": f'"default";q={limit.amount};w={limit.get_expiry()}',
        "RateLimit": f'"default";r={max(0, state.remaining) if allowed else 0};t={wait}',
    }
    if not allowed:
        raise RateLimited("The rate of this key is used up; retry later.", **fields, Retry_After=str(wait))
    return fields
