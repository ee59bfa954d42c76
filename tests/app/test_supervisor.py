"""The process in front, with serving processes that only wait, die or will not end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.supervisor import bound
from bench.processes import tree
from tests.conftest import ROOT, alive, wait_for

PROGRAM = """
import os, signal, sys, time
from pathlib import Path
from app import supervisor
from app.supervisor import Supervisor

notes = Path(sys.argv[1])

def note(text):
    with notes.open("a") as file:
        print(text, file=file, flush=True)

def up():
    'Signals come blocked, so that none is lost before its handler is there.'
    signal.pthread_sigmask(signal.SIG_UNBLOCK, supervisor.SIGNALS)
    note(f"up {os.getpid()}")

def waits(parent):
    'Ends at SIGTERM, or when the process in front has gone.'
    signal.signal(signal.SIGTERM, lambda *_: sys.exit_now(0))
    signal.signal(signal.SIGHUP, lambda *_: note(f"hangup {os.getpid()}"))
    up()
    os.read(parent, 1)
    note("orphan")
    return 0

def dies(parent):
    up()
    return 3

def raises(parent):
    up()
    raise RuntimeError("cannot start")

def stubborn(parent):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    up()
    while True:
        time.sleep(1)

def ends_badly(parent):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit_now(1))
    up()
    os.read(parent, 1)
    return 0

sys.exit_now = os._exit
run = Supervisor(globals()[sys.argv[2]], int(sys.argv[3]), float(sys.argv[4]), lambda pid: note(f"forgotten {pid}"))
sys.exit(run.run())
"""


class Front:
    """A supervisor in a process of its own, and what its children noted."""

    def __init__(self, path, kind, count, drain_s):
        self.path, self.seen = path, set()
        path.touch()
        command = [sys.executable, "-c", PROGRAM, str(path), kind, str(count), str(drain_s)]
        self.process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)  # noqa: S603

    def noted(self, what):
        return [line for line in self.path.read_text().splitlines() if line.startswith(what)]

    def up(self, count):
        """Wait for so many starts; gives the children of this moment."""
        wait_for(lambda: len(self.noted("up")) >= count)
        self.seen |= set(self.children())
        return self.children()

    def children(self):
        return [pid for pid in tree(self.process.pid) if pid != self.process.pid]

    def end(self):
        """Its exit code, and what it said."""
        said = self.process.communicate(timeout=20)[1]
        return self.process.returncode, said


@pytest.fixture
def front(tmp_path):
    made = []

    def start(kind, count=1, drain_s=1.0):
        made.append(Front(Path(tmp_path / "notes"), kind, count, drain_s))
        return made[-1]

    yield start
    for one in made:
        one.process.kill()
        for pid in filter(alive, one.seen):
            os.kill(pid, signal.SIGKILL)
        one.process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_processes_and_then_the_one_in_front(front, number):
    one = front("waits", 3)
    children = one.up(3)
    one.process.send_signal(number)

    assert one.end()[0] == 0
    assert len(children) == 3
    assert not any(alive(pid) for pid in children)
    assert {f"forgotten {pid}" for pid in children} == set(one.noted("forgotten"))


def test_a_process_that_is_killed_is_replaced_and_the_others_are_left_alone(front):
    one = front("waits", 2)
    dead, other = one.up(2)
    os.kill(dead, signal.SIGKILL)
    killed = time.monotonic()
    children = one.up(3)

    assert time.monotonic() - killed < 5
    assert len(children) == 2
    assert other in children
    assert dead not in children
    assert one.noted("forgotten") == [f"forgotten {dead}"]
    one.process.terminate()
    assert one.end()[0] == 0


def test_all_processes_killed_at_once_are_all_replaced(front):
    one = front("waits", 4)
    for pid in one.up(4):
        os.kill(pid, signal.SIGKILL)

    assert len(one.up(8)) == 4
    one.process.terminate()
    assert one.end()[0] == 0


@pytest.mark.parametrize(("kind", "code"), [("dies", 3), ("raises", 70)])
def test_processes_that_cannot_start_are_given_up_after_five(front, kind, code):
    one = front(kind)
    ended, said = one.end()

    assert ended == code
    assert len(one.noted("up")) == 5
    assert ("cannot start" in said) == (kind == "raises")


def test_a_hangup_goes_to_every_process_and_ends_none(front):
    one = front("waits", 2)
    children = one.up(2)
    one.process.send_signal(signal.SIGHUP)
    wait_for(lambda: len(one.noted("hangup")) == 2)

    assert {f"hangup {pid}" for pid in children} == set(one.noted("hangup"))
    assert set(one.children()) == set(children)
    one.process.terminate()
    assert one.end()[0] == 0


def test_a_process_that_will_not_end_is_killed_after_its_time(front):
    one = front("stubborn", 1, drain_s=-9.0)  # of which one second is left of the grace
    (child,) = one.up(1)
    one.process.terminate()
    begun = time.monotonic()
    code, _ = one.end()

    assert code != 0
    assert 0.5 < time.monotonic() - begun < 5
    assert not alive(child)


def test_the_exit_code_tells_of_a_process_that_ended_badly(front):
    one = front("ends_badly", 2)
    one.up(2)
    one.process.terminate()

    assert one.end()[0] == 1


def test_processes_notice_that_the_one_in_front_has_gone(front):
    one = front("waits", 2)
    children = one.up(2)
    one.process.kill()
    one.process.wait()
    wait_for(lambda: not any(alive(pid) for pid in children))

    assert len(one.noted("orphan")) == 2


def test_a_duplicate_of_the_listening_socket_does_not_make_it_block():
    """The flag is one for all: another process would wait in `accept` for a connection that was taken from it."""
    with bound("127.0.0.1", 0) as listener, listener.dup() as another:
        assert not os.get_blocking(listener.fileno())
        assert not os.get_blocking(another.fileno())
