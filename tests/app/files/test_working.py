"""How many files are in hand at once."""

import asyncio

import pytest

from app.errors import Overloaded
from app.files.working import Room


class Scarce:
    """Work that fits so many times at once."""

    def __init__(self, fits):
        self.fits, self.now, self.done, self.refused, self.most = fits, 0, 0, 0, 0

    async def work(self):
        if self.now >= self.fits:
            self.refused += 1
            raise Overloaded(1)
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.001)
        self.now -= 1
        self.done += 1


async def crowd(room, work, count):
    await asyncio.gather(*(room.make(work) for _ in range(count)))


@pytest.mark.parametrize("fits", [1, 3, 100])
def test_all_get_done_however_little_room_there_is(fits):
    scarce = Scarce(fits)
    asyncio.run(crowd(Room(16), scarce.work, 200))

    assert scarce.done == 200
    assert scarce.most == min(fits, 16)
    assert scarce.refused < 250


def test_what_never_fits_is_refused_once_it_is_alone():
    with pytest.raises(Overloaded):
        asyncio.run(Room(4).make(Scarce(0).work))
