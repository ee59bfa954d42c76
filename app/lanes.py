"""Whose turn it is: work that waits, in a lane for every client.

The lane that had the least of the workers lately goes first, so a light client hardly notices a heavy one; what a
client had counts four times while it has much waiting, since one who waits for each answer feels every delay. Within a
lane brief work goes first for as long as it takes no more than four fifths; else small work passes large work that came
a little earlier, and nothing is passed for ever.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import Counter
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

MEMORY_S: Final = 5.0
"""Time in which use is forgotten to 1/e."""
MANY: Final = 4
"""Pieces of work above which what waits is a heap, of which no single answer is urgent."""
HEAP: Final = 4.0
"""How many times what a client had counts while it has a heap waiting: one who waits for each answer can have four
fifths beside it."""
BRIEF_S: Final = 0.1
"""Worker seconds up to which work is brief."""
SPARED: Final = 4.0
"""How many times what a client's other work had its brief work may have before it waits for it."""
STRETCH: Final = 4.0
"""How many times its own duration work lets later but smaller work pass."""
RIVALRY_S: Final = 1.0
"""How long after two clients took turns they count as rivals."""
FEW: Final = 4
"""Clients without a heap, up to which their work is favoured; more would take more than they gain."""
HURRY: Final = 1.5
"""Work becomes urgent when this many times its own duration is left until its deadline."""


class Client(NamedTuple):
    """Who asks: keys share what their address gets, so that inventing keys gains nothing."""

    address: str
    key: str = ""

    @property
    def shares(self) -> tuple[tuple[str | Client, str | None], ...]:
        """What it has a share by, and among whom: its address among all, None, and itself within its address."""
        return (self.address, None), (self, self.address)


class Waiting(Protocol):
    """What a lane holds."""

    @property
    def client(self) -> Client:
        """Whose work it is."""

    @property
    def kind(self) -> Hashable:
        """Work of one kind can share a batch."""

    @property
    def brief(self) -> bool:
        """Whether it takes at most BRIEF_S."""


class Due(NamedTuple):
    """When work is due, on time.monotonic's clock: the earliest goes first; from `last` on whatever its kind."""

    at: float
    last: float


def urgency(submitted: float, deadline: float, seconds: float) -> Due:
    """When work of this duration is due."""
    last = deadline - HURRY * seconds
    return Due(min(submitted + STRETCH * seconds, last), last)


class Usage:
    """Seconds of the workers' time that someone had, with exponential forgetting."""

    def __init__(self, seconds: float = 0.0, at: float = 0.0) -> None:
        self._seconds, self._at = seconds, at

    def at(self, now: float) -> float:
        """What is remembered."""
        return self._seconds * math.exp((self._at - now) / MEMORY_S)

    def add(self, seconds: float, now: float) -> None:
        self._seconds, self._at = self.at(now) + seconds, now

    def catch_up(self, seconds: float, now: float) -> None:
        """Have had at least so much."""
        self.add(max(0.0, seconds - self.at(now)), now)


W = TypeVar("W", bound=Waiting)


Entry = tuple[Due, int, W]


@dataclass(slots=True)
class Lane(Generic[W]):
    """The work of one client: heaps by kind, of what is brief and of what is not."""

    heaps: dict[bool, dict[Hashable, list[Entry[W]]]] = field(default_factory=lambda: {True: {}, False: {}})
    used: dict[bool, Usage] = field(default_factory=lambda: {True: Usage(), False: Usage()})

    def head(self, kind: Hashable | None, now: float) -> Entry[W] | None:
        """The work whose turn it is, of one kind or of any."""
        brief, other = self._first(True, kind), self._first(False, kind)
        if brief is None or other is None:
            return brief or other
        spared = self.used[True].at(now) <= SPARED * self.used[False].at(now)
        return brief if spared and now < other[0].last else other

    def _first(self, brief: bool, kind: Hashable | None) -> Entry[W] | None:
        """The most urgent one."""
        heaps = self.heaps[brief]
        return min((heap[0] for one, heap in heaps.items() if kind in (None, one)), default=None)

    def push(self, entry: Entry[W], now: float) -> None:
        """Add work. What is not brief has had its share when it comes: nothing is saved up."""
        work = entry[2]
        heaps = self.heaps[work.brief]
        if not work.brief and not heaps:
            self.used[False].catch_up(self.used[True].at(now) / SPARED, now)
        heapq.heappush(heaps.setdefault(work.kind, []), entry)

    def remove(self, work: W) -> None:
        """Take work out; it must be there."""
        heaps = self.heaps[work.brief]
        heap = heaps[work.kind]
        if heap[0][2] is work:
            heapq.heappop(heap)
        else:
            del heap[next(i for i, entry in enumerate(heap) if entry[2] is work)]
            heapq.heapify(heap)
        if not heap:
            del heaps[work.kind]

    def __bool__(self) -> bool:
        return any(self.heaps.values())

    def __iter__(self) -> Iterator[W]:
        return (work for heaps in self.heaps.values() for heap in heaps.values() for *_, work in heap)


class Lanes(Generic[W]):
    """All lanes. Not safe for threads: its owner locks."""

    def __init__(self) -> None:
        self._lanes: dict[Client, Lane[W]] = {}
        self._used: dict[str | Client, Usage] = {}
        self._level: dict[str | None, Usage] = {}  # what who had the last turn had before: of all, and in an address
        self._waiting = Counter[str | Client]()  # pieces of work, of an address and of each client of it
        self.heaps = 0
        """Clients who have a heap waiting; may be read without a lock."""
        self._number = itertools.count()
        self._latest: Client | None = None
        self._turned = -RIVALRY_S

    def add(self, work: W, due: Due, now: float) -> None:
        """Let work wait; `due` as from `urgency`."""
        self._catch_up(work.client, now)
        self._lanes.setdefault(work.client, Lane()).push((due, next(self._number), work), now)
        self._waiting.update((work.client.address, work.client))
        self.heaps += self._waiting[work.client] == MANY + 1

    def next(self, now: float, kind: Hashable | None = None) -> W | None:
        """The work whose turn it is, of any kind or of one; it goes on waiting."""
        best: tuple[float, float, Entry[W]] | None = None
        for client, lane in self._lanes.items():
            head = lane.head(kind, now)
            if head is None:
                continue
            candidate = (self._use(client.address, now), self._use(client, now), head)
            if best is None or candidate < best:
                best = candidate
        return best[2][2] if best else None

    def _catch_up(self, client: Client, now: float) -> None:
        """Who comes has had as much as who had the last turn: not to ask saves nothing up, or whoever was alone before
        would have to wait until others have had as much (start-time fair queueing, Goyal, Vin and Cheng 1996).
        """
        for who, among in client.shares:
            if among in self._level and not self._waiting[who]:
                self._used.setdefault(who, Usage()).catch_up(self._level[among].at(now), now)

    def _use(self, who: str | Client, now: float) -> float:
        """What somebody had of the workers, as it counts with what waits of theirs."""
        usage = self._used.get(who)
        return usage.at(now) * (HEAP if self._waiting[who] > MANY else 1.0) if usage else 0.0

    def charge(self, work: W, seconds: float, now: float) -> None:
        """Remember that a client had the workers for so long, with this work."""
        client = work.client
        if client in self._lanes:
            self._lanes[client].used[work.brief].add(seconds, now)
        if client != self._latest:
            self._turned = now if self._latest else self._turned
            self._latest = client
        for who, among in client.shares:
            self._level[among] = Usage(self._use(who, now), now)
            self._used.setdefault(who, Usage()).add(seconds, now)
        if len(self._used) > 4 * len(self._lanes) + 1000:  # whoever has not been here for long is forgotten
            self._used = {who: usage for who, usage in self._used.items() if usage.at(now) > 1e-6}
            self._level = {among: usage for among, usage in self._level.items() if usage.at(now) > 1e-6}

    def favoured(self, now: float) -> bool:
        """Whether it is the turn of one of a few clients who have little waiting, while another one has a heap."""
        if not self.heaps or not 0 < len(self._lanes) - self.heaps <= FEW:
            return False
        work = self.next(now)
        return work is not None and self._waiting[work.client] <= MANY

    def rivals(self, now: float) -> bool:
        """Whether several clients had the workers lately."""
        return now < self._turned + RIVALRY_S

    def remove(self, work: W) -> None:
        """Take work out of the queue; it must be there."""
        lane = self._lanes[work.client]
        lane.remove(work)
        if not lane:
            del self._lanes[work.client]
        self.heaps -= self._waiting[work.client] == MANY + 1
        for who in (work.client.address, work.client):
            self._waiting[who] -= 1
            if not self._waiting[who]:
                del self._waiting[who]

    def __bool__(self) -> bool:
        return bool(self._lanes)

    def __iter__(self) -> Iterator[W]:
        for lane in self._lanes.values():
            yield from lane
