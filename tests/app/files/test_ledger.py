"""What is remembered of an output folder."""

import os

import pytest

from app.files.ledger import LEDGER, Ledger, NotOurs, stamp
from app.files.options import UsageError


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source.jpg"
    path.write_bytes(b"source")
    return path


def put(out, source, data=b"picture", made="way"):
    with Ledger(out) as ledger:
        ledger.put("sub/a.webp", data, stamp(source), made, {"seed": "7"})


def done(out, source, made="way", **options):
    with Ledger(out, **options) as ledger:
        return ledger.done("sub/a.webp", source, made)


def test_what_was_made_is_known_again(tmp_path, source):
    put(tmp_path / "out", source)

    assert done(tmp_path / "out", source)["seed"] == "7"
    assert (tmp_path / "out/sub/a.webp").read_bytes() == b"picture"
    assert sorted(os.listdir(tmp_path / "out/sub")) == ["a.webp"]


def test_it_is_made_again_after_a_change(tmp_path, source):
    out = tmp_path / "out"
    put(out, source)
    assert done(out, source, made="another way") is None
    assert done(out, source, overwrite=True) is None

    (out / "sub/a.webp").write_bytes(b"cut off")
    assert done(out, source) is None
    put(out, source)
    os.utime(source, ns=(0, source.stat().st_mtime_ns + 1))
    assert done(out, source) is None
    put(out, source)
    (out / "sub/a.webp").unlink()
    assert done(out, source) is None


def test_a_line_of_which_a_crash_left_a_part_does_no_harm(tmp_path, source):
    out = tmp_path / "out"
    put(out, source)
    with (out / LEDGER).open("a") as file:
        file.write('null\n{"file": 3}\n{"file": "b.we')

    assert done(out, source)
    put(out, source, made="new")
    assert done(out, source, made="new")


def test_what_others_have_put_there_is_not_replaced(tmp_path, source):
    (tmp_path / "out/sub").mkdir(parents=True)
    (tmp_path / "out/sub/a.webp").write_bytes(b"mine")

    with pytest.raises(NotOurs, match="--overwrite"):
        done(tmp_path / "out", source)
    assert done(tmp_path / "out", source, overwrite=True) is None


def test_two_commands_do_not_write_to_one_folder(tmp_path):
    with Ledger(tmp_path), pytest.raises(UsageError, match="another command"):
        Ledger(tmp_path)
    Ledger(tmp_path).__exit__(None, None, None)


def test_an_output_folder_that_is_a_file_is_refused(source):
    with pytest.raises(UsageError, match="--out"):
        Ledger(source)


def test_what_cannot_be_written_leaves_nothing(tmp_path, source):
    with Ledger(tmp_path / "out") as ledger:
        (tmp_path / "out/a.webp").mkdir()
        with pytest.raises(OSError, match=r"a\.webp"):
            ledger.put("a.webp", b"picture", None, "way", {})

    assert sorted(os.listdir(tmp_path / "out")) == ["a.webp", LEDGER]
