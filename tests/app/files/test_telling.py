"""What a command says."""

import io
import json
import re
import sys
import time

import pytest

from app.files.telling import Teller, clock


class Terminal(io.StringIO):
    def isatty(self):
        return True


def told(as_json, *files, total=3):
    with Teller(total, "made", as_json=as_json) as teller:
        for status, facts in files:
            teller.file(status, facts)
        teller.summary(stopped=False)
    return teller.well


def test_a_name_cannot_forge_a_line(capsys):
    evil = "a\n5 made, 0 failed\x1b[2J.jpg"
    assert not told(False, ("failed", {"file": "out/a.webp", "input": evil, "reason": "it is\rnone"}))
    lines = capsys.readouterr().err.splitlines()

    assert lines[0].replace("\N{REPLACEMENT CHARACTER}", "?") == "failed: a?5 made, 0 failed?[2J.jpg: it is?none"
    assert lines[1].startswith("0 made, 0 skipped, 1 failed; 0:00")
    assert len(lines) == 2


def test_json_goes_to_stdout_a_line_each(capsys):
    made, skipped = ("made", {"file": "a\n.webp", "bytes": 5}), ("skipped", {"file": "b.webp", "compliance": "fail"})
    assert not told(True, made, skipped, total=2)
    first, second, last = (json.loads(line) for line in capsys.readouterr().out.splitlines())

    assert first == {"status": "made", "file": "a\n.webp", "bytes": 5}
    assert second["status"] == "skipped"
    assert {**last["summary"], "seconds": 0, "images_per_second": 0} == {
        "made": 1, "skipped": 1, "failed": 0, "breaking": 1, "total": 2, "seconds": 0, "images_per_second": 0,
        "stopped": False,
    }  # fmt: skip


def test_a_terminal_sees_a_bar_while_there_is_something_to_wait_for(monkeypatch):
    """Also of slow work it tells images a second; in the end the summary is all that is left."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Teller(3, "made", as_json=False) as teller:
        teller.begin()
        time.sleep(0.15)  # longer than it waits between two looks
        teller.file("made", {"file": "a"})
        seen = terminal.getvalue()
        teller.summary()
    screen = [line.rpartition("\r")[2] for line in terminal.getvalue().split("\n") if line]

    assert "1/3" in seen
    assert re.search(r", +\d\.\d+ images/s\]", seen)
    assert len(screen) == 1
    assert screen[0].startswith("1 made, ")


def test_others_see_a_line_now_and_then(capsys, monkeypatch):
    monkeypatch.setattr("app.files.telling.EVERY_S", 0)
    told(False, *[("made", {"file": "a"})] * 3)
    lines = capsys.readouterr().err.splitlines()

    assert [line.split(",")[0] for line in lines] == ["1 of 3 images", "2 of 3 images", "3 made"]
    assert lines[0].endswith(" left")


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0:00"), (61, "1:01"), (3723, "1:02:03")])
def test_times_are_short(seconds, text):
    assert clock(seconds) == text
