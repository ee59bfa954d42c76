"""Many files at once, so that their tiles and rows share batches, until all are over or somebody says stop."""

from __future__ import annotations

import asyncio
import signal
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeVar

import uvloop

from app.catalogue import Catalogue
from app.errors import AppError, Overloaded
from app.files.inputs import Item
from app.files.telling import Teller
from app.metrics import Metrics
from app.pipeline import together
from app.service import Service, settle
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
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def make(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do `work` once there is room, again where there was none.

        Raises:
            Overloaded: there was no room although nothing else was in hand.
        """
        while True:
            while self._in_hand >= int(self._limit):
                self._waiting.append(asyncio.get_running_loop().create_future())
                await self._waiting[-1]
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
                while self._waiting:
                    waiting = self._waiting.popleft()
                    if not waiting.done():
                        waiting.set_result(None)


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


def run(work: Coroutine[Any, Any, T]) -> T:
    """As `asyncio.run`, on the loop that the service has."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def started(service: Service, load: Callable[[Catalogue], object]) -> None:
    """Begin, unless it has begun, and `load` the models that every file needs.

    Raises:
        RepositoryError: one cannot be served.
    """
    if not service.is_ready():
        service.start()
    with suppress(AppError):  # which the first file will meet, and tell
        load(service.catalogue)
    settle()


@contextmanager
def opened(settings: Settings) -> Iterator[Service]:
    """A service that is not started yet, and its end.

    Raises:
        PresetError, KeyFileError: as `Service`.
    """
    unhurried = settings.model_copy(update={"batch_s": max(settings.batch_s, UNHURRIED_S)})
    service = Service(unhurried, Metrics(), on_demand=True)
    try:
        yield service
    finally:
        service.stop()
