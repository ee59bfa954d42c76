"""Many files at once, so that their tiles and rows share batches, until all are over or somebody says stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from app.errors import Overloaded
from app.files.inputs import Item
from app.files.telling import Teller
from app.metrics import Metrics
from app.pipeline import together
from app.service import Service
from app.settings import Settings

T = TypeVar("T")
UNHURRIED_S: Final = 1.0
"""Most seconds of a batch, instead of VITRINE_BATCH_S: nobody waits for a picture, and larger batches cost less."""
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Room:
    """How many files may be in hand at once: fewer after the service had no room for more, more again as all goes well.

    Additive increase, multiplicative decrease (Chiu and Jain 1989). Belongs to the event loop.
    """

    def __init__(self, most: int) -> None:
        self._most, self._limit, self._in_hand = most, float(most), 0
        self._changed = asyncio.Condition()

    async def make(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do `work` once there is room, again where there was none.

        Raises:
            Overloaded: there was no room although nothing else was in hand.
        """
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self._in_hand < int(self._limit))
                self._in_hand += 1
            try:
                result = await work()
            except Overloaded:
                if self._in_hand == 1:
                    raise
                self._limit = max(1.0, min(self._limit, self._in_hand) / 2)
            else:
                self._limit = min(self._most, self._limit + 1 / self._limit)
                return result
            finally:
                self._in_hand -= 1
                async with self._changed:
                    self._changed.notify_all()


class Stop:
    """Ctrl-C and SIGTERM: the first lets what is in hand be finished, the second ends it."""

    def __init__(self, teller: Teller) -> None:
        self._teller, self.asked = teller, False

    def heed(self, work: asyncio.Task[None]) -> None:
        """From now on, for this work."""

        def on_signal() -> None:
            if self.asked:
                work.cancel()
            self.asked = True
            self._teller.say("finishing what is in hand; once more to drop it")

        for number in SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, on_signal)


async def worked(
    items: Iterable[Item],
    one: Callable[[Item], Awaitable[None]],
    at_once: int,
    first: Callable[[], None],
    teller: Teller,
) -> bool:
    """`first` in a thread, then `one` for every item, so many at once; gives whether a signal ended it early.

    An error that `one` raises ends everything.
    """
    rest, stop = iter(items), Stop(teller)

    async def hand() -> None:
        for item in rest:
            await one(item)
            if stop.asked:
                return

    async def everything() -> None:
        await asyncio.to_thread(first)
        teller.begin()
        if not stop.asked:
            await together([hand() for _ in range(at_once)])

    work = asyncio.ensure_future(everything())
    stop.heed(work)
    try:
        await work
    except asyncio.CancelledError:
        if not stop.asked:
            raise
    teller.summary(stopped=stop.asked)
    return stop.asked


def started(service: Service) -> None:
    """Load the models, unless they are loaded.

    Raises:
        RepositoryError: one cannot be served.
    """
    if not service.is_ready():
        service.start()


@contextmanager
def opened(settings: Settings) -> Iterator[Service]:
    """A service that is not started yet, and its end.

    Raises:
        PresetError, KeyFileError: as `Service`.
    """
    unhurried = settings.model_copy(update={"batch_s": max(settings.batch_s, UNHURRIED_S)})
    service = Service(unhurried, Metrics())
    try:
        yield service
    finally:
        service.stop()
