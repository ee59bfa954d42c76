"""Whose turn it is, by what clients had, how large their work is and how long it waits."""

import itertools
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pytest

from app.lanes import BRIEF_S, FEW, MANY, MEMORY_S, Client, Lanes, urgency

ANNA, BEN = Client("1.1.1.1"), Client("2.2.2.2")


@dataclass(eq=False)
class Work:
    client: Client
    name: str = ""
    kind: str = "generate"
    rows: int = 1
    brief: bool = True
    number: int = field(default_factory=itertools.count().__next__)


class Clock:
    """Lanes with one worker, which runs a row in `row_s`."""

    def __init__(self, row_s=0.01):
        self.lanes, self.now, self.row_s, self.ran = Lanes(), 1000.0, row_s, []

    def add(self, client, name="", kind="generate", rows=1, deadline=3600.0):
        work = Work(client, name, kind, rows, rows * self.row_s <= BRIEF_S)
        self.lanes.add(work, urgency(self.now, self.now + deadline, rows * self.row_s), self.now)
        return work

    def step(self, kind=None):
        """Run one row; gives the work that it was of."""
        work = self.lanes.next(self.now, kind)
        work.rows -= 1
        if not work.rows:
            self.lanes.remove(work)
        self.lanes.charge(work, self.row_s, self.now)
        self.now += self.row_s
        self.ran.append(work)
        return work

    def run(self, steps):
        return [self.step() for _ in range(steps)]


def test_who_asks_for_little_is_favoured_beside_a_heap_when_it_is_their_turn():
    clock = Clock()
    clock.add(BEN)
    assert not clock.lanes.favoured(clock.now)  # nobody has a heap

    for _ in range(20):
        clock.add(ANNA)
    assert clock.lanes.favoured(clock.now)
    assert clock.step().client == BEN
    assert not clock.lanes.favoured(clock.now)  # nobody else is there

    clock.add(BEN, rows=25)
    turns = [(clock.lanes.favoured(clock.now), clock.step().client) for _ in range(25)]
    assert all(favoured == (client == BEN) for favoured, client in turns)
    assert {client for _, client in turns} == {ANNA, BEN}


@pytest.mark.parametrize(("others", "favoured"), [(FEW, True), (FEW + 1, False)])
def test_only_a_few_are_favoured(others, favoured):
    clock = Clock()
    for number in range(others):
        clock.add(Client(f"3.3.3.{number}"))
    for _ in range(20):
        clock.add(ANNA)

    assert clock.lanes.favoured(clock.now) is favoured


def test_a_heap_is_one_for_as_long_as_it_is_high():
    clock = Clock()
    for number in range(MANY + 1):
        assert clock.lanes.heaps == 0
        clock.add(ANNA, name=str(number))
    assert clock.lanes.heaps == 1

    clock.add(BEN)
    clock.run(2)
    assert clock.lanes.heaps == 0
    assert not clock.lanes.favoured(clock.now)


def test_nothing_waits_in_the_beginning_and_in_the_end():
    clock = Clock()
    assert not clock.lanes
    assert clock.lanes.next(0.0) is None

    clock.add(ANNA)
    assert clock.lanes
    clock.step()
    assert not clock.lanes
    assert clock.lanes.next(clock.now) is None


def test_equal_work_of_one_client_goes_in_the_order_in_which_it_came():
    clock = Clock()
    works = [clock.add(ANNA) for _ in range(20)]

    assert clock.run(20) == works


def test_the_client_that_had_least_goes_first():
    clock = Clock()
    heavy = [clock.add(ANNA) for _ in range(100)]
    clock.run(50)
    light = clock.add(BEN)

    assert clock.step() is light
    assert clock.step() is heavy[50]


@pytest.mark.parametrize(("annas", "bens", "each"), [(200, 50, 50), (400, 100, 75)])
def test_two_clients_who_both_have_heaps_get_the_same_however_high_they_are(annas, bens, each):
    clock = Clock()
    for _ in range(annas):
        clock.add(ANNA)
    for _ in range(bens):
        clock.add(BEN)
    counts = [work.client for work in clock.run(2 * each)]

    assert counts.count(ANNA) == counts.count(BEN) == each


@pytest.mark.parametrize(("address", "key"), [("2.2.2.2", ""), (ANNA.address, "another")])
def test_who_waits_for_each_answer_gets_four_times_what_a_heap_gets(address, key):
    clock, patient = Clock(), Client(address, key)
    for _ in range(600):
        clock.add(ANNA)
    for _ in range(300):
        if patient not in clock.lanes._lanes:
            clock.add(patient, rows=25)
        clock.step()
    counts = [work.client for work in clock.ran[100:]]

    assert counts.count(patient) == pytest.approx(4 * counts.count(ANNA), rel=0.15)


@pytest.mark.parametrize("address", [ANNA.address, "2.2.2.2"])
def test_who_was_alone_for_long_does_not_wait_until_others_have_had_as_much(address):
    clock = Clock()
    for _ in range(300):
        clock.add(ANNA)
        clock.step()
    clients = (ANNA, *(Client(address, key) for key in ("b", "c")))
    for _ in range(60):
        for client in clients:
            if client not in clock.lanes._lanes:
                clock.add(client)
        clock.step()
    counts = Counter(work.client for work in clock.ran[300:])

    fair = [20, 20, 20] if address == ANNA.address else [30, 15, 15]  # every address gets the same, its keys share it
    assert [counts[client] for client in clients] == pytest.approx(fair, abs=2)


def test_what_somebody_had_is_forgotten():
    clock = Clock()
    for _ in range(100):
        clock.add(ANNA)
    clock.run(100)
    clock.now += 20 * MEMORY_S
    first, second = clock.add(ANNA), clock.add(BEN)

    # Ben had nothing at all and goes first; but Anna's past weighs less than one row of his.
    assert [clock.step(), clock.step()] == [second, first]
    more = [clock.add(BEN), clock.add(ANNA)]
    assert {clock.step(), clock.step()} == set(more)
    assert abs(clock.lanes._use(ANNA, clock.now) - clock.lanes._use(BEN, clock.now)) < 1e-3


def test_small_work_passes_large_work_of_the_same_client():
    clock = Clock()
    large = clock.add(ANNA, rows=1000)
    assert clock.step() is large
    small = clock.add(ANNA)

    assert clock.step() is small
    assert clock.step() is large


def test_large_work_is_not_passed_for_ever():
    """Small work comes at each step; the large one must still end within the stretch that it is allowed."""
    clock = Clock()
    large = clock.add(ANNA, rows=50)
    begun = clock.now
    while large.rows:
        clock.add(ANNA)
        clock.step()
        assert clock.now - begun < 60 * 50 * clock.row_s, "it starves"

    assert clock.ran.count(large) == 50


def test_brief_work_does_not_wait_for_photos_that_are_overdue():
    clock = Clock(row_s=0.1)
    for _ in range(8):
        clock.add(ANNA, kind="enhance", rows=15)
    clock.run(70)  # four times what each takes has passed
    brief = clock.add(ANNA)

    assert clock.step() is brief


def test_brief_work_leaves_a_fifth_to_what_is_not_brief():
    clock = Clock(row_s=0.05)
    large = clock.add(ANNA, kind="enhance", rows=1000)
    clock.add(ANNA)
    ran = 0
    for _ in range(1000):
        work = clock.step()
        ran += work is large
        if work is not large:
            clock.add(ANNA)

    assert ran == pytest.approx(200, rel=0.1)


def test_photos_have_no_claim_for_the_time_in_which_there_were_none():
    clock = Clock(row_s=0.05)
    for _ in range(200):
        clock.add(ANNA)
    clock.run(100)
    clock.add(ANNA, kind="enhance", rows=50)

    assert [work.kind for work in clock.run(12)].count("enhance") <= 3


def test_brief_work_lets_that_pass_whose_deadline_is_near():
    clock = Clock(row_s=0.05)
    large = clock.add(ANNA, kind="enhance", rows=10, deadline=0.9)
    clock.add(ANNA)

    assert clock.step() is not large
    clock.now += 0.15
    clock.add(ANNA)
    assert clock.step() is large


def test_work_whose_deadline_is_near_passes_work_that_came_earlier():
    clock = Clock()
    patient = clock.add(ANNA, rows=10)
    hurried = clock.add(ANNA, rows=10, deadline=0.2)

    assert clock.run(10) == [hurried] * 10
    assert clock.step() is patient


def test_many_keys_of_one_address_share_what_the_address_gets():
    clock = Clock()
    for i in range(50):
        for _ in range(10):
            clock.add(Client("6.6.6.6", f"key-{i}"))
    for _ in range(100):
        clock.add(ANNA)
    counts = [work.client.address for work in clock.run(100)]

    assert counts.count(ANNA.address) == 50


def test_keys_of_one_address_share_among_themselves():
    clock = Clock()
    greedy, modest = Client("6.6.6.6", "greedy"), Client("6.6.6.6", "modest")
    for _ in range(100):
        clock.add(greedy)
    clock.run(10)
    clock.add(modest)

    assert clock.step().client == modest


def test_with_many_clients_each_waits_for_one_turn_of_the_others_at_most():
    clock = Clock()
    clients = [Client(f"10.0.0.{i}") for i in range(40)]
    for client in clients:
        for _ in range(20):
            clock.add(client)
    turns = [work.client for work in clock.run(400)]

    for start in range(0, 400, 40):
        assert set(turns[start : start + 40]) == set(clients)


def test_a_batch_is_of_one_kind_and_the_others_keep_waiting():
    clock = Clock()
    tile = clock.add(ANNA, kind="enhance")
    product = clock.add(ANNA, kind="generate")

    assert clock.lanes.next(clock.now, "generate") is product
    assert clock.lanes.next(clock.now, "level") is None
    assert clock.step("generate") is product
    assert clock.step() is tile


def test_the_oldest_of_the_kinds_goes_first_when_any_will_do():
    clock = Clock()
    first = clock.add(ANNA, kind="enhance")
    clock.now += 0.001
    second = clock.add(ANNA, kind="generate")

    assert [clock.step(), clock.step()] == [first, second]


@pytest.mark.parametrize("index", range(7))
def test_work_can_be_taken_out_of_the_middle_and_the_order_stays(index):
    clock = Clock()
    works = [clock.add(ANNA, rows=1 + (3 * i) % 5) for i in range(7)]
    order = sorted(works, key=lambda work: (work.rows, work.number))
    clock.lanes.remove(works[index])
    order.remove(works[index])
    taken = []
    while clock.lanes:
        taken.append(clock.lanes.next(clock.now))
        clock.lanes.remove(taken[-1])

    assert taken == order
    assert works[index] not in taken


def test_what_counts_as_waiting_is_what_waits_whoever_comes_is_served_or_leaves():
    clock, random = Clock(), np.random.default_rng(0)
    clients = [Client(f"10.0.0.{i}", key) for i in range(3) for key in ("", "a", "b")]
    most = 0
    for _ in range(3000):
        works = list(clock.lanes)
        act = random.integers(4)
        if act == 0 and works:
            clock.step()
        elif act == 1 and works:
            clock.lanes.remove(works[random.integers(len(works))])
        elif act == 2 and random.random() < 0.1:  # everything of one client
            gone = clients[random.integers(len(clients))]
            for work in [work for work in works if work.client == gone]:
                clock.lanes.remove(work)
        else:
            kind = ("generate", "enhance")[random.integers(2)]
            clock.add(clients[random.integers(len(clients))], kind=kind, rows=int(random.integers(1, 4)))
        waiting = [work.client for work in clock.lanes]
        expected = Counter(waiting) + Counter(client.address for client in waiting)
        assert dict(clock.lanes._waiting) == dict(expected)  # and nobody who left is remembered
        most = max(most, len(waiting))

    assert most > 9 * MANY


def test_everything_that_waits_can_be_listed():
    clock = Clock()
    works = {clock.add(ANNA), clock.add(BEN), clock.add(ANNA, kind="enhance")}

    assert set(clock.lanes) == works


def test_clients_who_have_gone_are_not_remembered_for_ever():
    clock = Clock()
    for i in range(5000):
        clock.add(Client(f"10.{i // 250}.0.{i % 250}"))
        clock.step()
        clock.now += 1

    assert len(clock.lanes._used) < 1500
