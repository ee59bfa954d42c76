"""Which files a command reads, and what becomes of their names."""

import pytest

from app.files.inputs import found, planned
from app.files.options import UsageError


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder with pictures, other files and folders; the current directory is the one above."""
    root = tmp_path / "photos"
    for name in ("b.JPG", "a.png", "sub/deep/c.tiff", "sub/a.webp", ".hidden.jpg", ".trash/d.jpg", "notes.txt"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    monkeypatch.chdir(tmp_path)
    return root


def names(patterns, out, suffix=".webp"):
    return [item.name for item in planned([str(one) for one in patterns], out, suffix)]


def test_a_folder_keeps_its_layout_and_hides_what_is_hidden(photos, tmp_path):
    assert names([photos], tmp_path / "out") == ["a.webp", "b.webp", "sub/a.webp", "sub/deep/c.webp"]


def test_globs_are_expanded_here_too_and_give_names_alone(photos, tmp_path):
    assert names(["photos/**/*.tiff", "photos/b.*"], tmp_path / "out", ".jpg") == ["c.jpg", "b.jpg"]


def test_a_named_file_is_read_whatever_its_name(photos, tmp_path):
    assert names([photos / "notes.txt"], tmp_path / "out") == ["notes.webp"]


def test_the_same_file_twice_is_made_once(photos, tmp_path):
    assert names([photos / "a.png", "photos/../photos/a.png", "photos/a.*"], tmp_path / "out") == ["a.webp"]


@pytest.mark.parametrize("other", ["a.jpg", "A.gif"])
def test_two_inputs_of_one_name_are_refused(photos, tmp_path, other):
    (photos / other).write_bytes(b"")

    with pytest.raises(UsageError, match=r"would both become .*; nothing was done"):
        names([photos], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("pattern", ["photos/none.jpg", "none/*.jpg", "none", "photos/.trash/e"])
def test_a_name_that_leads_to_nothing_is_refused(photos, tmp_path, pattern):
    with pytest.raises(UsageError, match="there is no picture at"):
        names([pattern], tmp_path / "out")


@pytest.mark.parametrize(
    ("patterns", "out"),
    [
        (["photos"], "photos"),
        (["photos"], "photos/sub/deep/../../../photos"),
        (["photos"], "photos/sub"),
        (["photos/a.png"], "photos"),
        (["photos/*.png"], "photos"),
        (["photos/a.png", "photos/sub"], "photos/sub"),
    ],
)
def test_an_inputs_own_folder_is_refused_as_output(photos, patterns, out):
    with pytest.raises(UsageError, match="--out"):
        names(patterns, photos.parent / out)


def test_an_output_folder_inside_the_input_is_never_an_input(photos):
    (photos / "out").mkdir()
    (photos / "out" / "a.webp").write_bytes(b"")
    (photos / "out" / "vitrine.jsonl").write_text("")

    assert "out/a.webp" not in names([photos], photos / "out")
    assert len(names([photos], photos / "out")) == 4


def test_without_an_output_folder_all_are_found(photos):
    assert [str(below) for _, below in found(["photos"])] == ["a.png", "b.JPG", "sub/a.webp", "sub/deep/c.tiff"]
