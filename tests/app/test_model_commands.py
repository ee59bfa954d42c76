"""`vitrine models`: what is not good is named, and is never activated."""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from app.contracts import prove, smoke_row
from app.model_commands import add_parsers, run
from app.repository import Model, RepositoryError, read_manifest, read_models

MODELS = Path(__file__).parents[2] / "models"
SHIPPED = {path.parent.name: path.name for path in sorted(MODELS.glob("*/*"))}
LEVEL = "restoration-level"


def add_version(root, name, version, data=None, **changes):
    """A version of a shipped model with other data or another manifest, whose hash is right in any case."""
    folder = root / name / version
    shutil.copytree(MODELS / name / SHIPPED[name], folder)
    if data is not None:
        (folder / "model.onnx").write_bytes(data)
        changes["sha256"] = hashlib.sha256(data).hexdigest()
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"version": version} | changes))
    return folder


@pytest.fixture
def root(tmp_path):
    """A repository with two good versions of the smallest model."""
    add_version(tmp_path, LEVEL, "1")
    add_version(tmp_path, LEVEL, "2")
    return tmp_path


@pytest.fixture
def vitrine(root, capsys):
    """`vitrine models ...` -> exit code, lines on stdout, stderr."""

    def command(*words, root=root):
        parser = argparse.ArgumentParser()
        add_parsers(parser.add_subparsers(dest="command", required=True))
        code = run(parser.parse_args(["models", *words]), root)
        said = capsys.readouterr()
        return code, said.out.splitlines(), said.err

    return command


def choice(root):
    path = root / LEVEL / "active.json"
    return path.read_text() if path.exists() else None


def test_the_shipped_models_are_good(vitrine):
    assert vitrine("verify", root=MODELS) == (0, [f"{name}@{version}: ok" for name, version in SHIPPED.items()], "")


def test_the_list_has_every_version_with_task_and_state(root, vitrine):
    add_version(root, LEVEL, "10")
    add_version(root, "enhance-x2", "1")
    expected = ["enhance-x2@1: enhance, active", f"{LEVEL}@1: level", f"{LEVEL}@2: level", f"{LEVEL}@10: level, active"]
    assert vitrine("list") == (0, expected, "")

    vitrine("activate", f"{LEVEL}@1")
    expected[1:] = [f"{LEVEL}@1: level, active", f"{LEVEL}@2: level", f"{LEVEL}@10: level, previous"]
    assert vitrine("list") == (0, expected, "")


def test_the_list_goes_on_after_what_is_wrong(root, vitrine):
    (root / LEVEL / "active.json").write_text("{")
    (root / LEVEL / "1" / "manifest.json").unlink()
    code, (choice, first, second), _ = vitrine("list")

    assert code == 1
    assert choice.startswith(f"{LEVEL}: ")
    assert "active.json" in choice
    assert first.startswith(f"{LEVEL}@1: ")
    assert "manifest is missing" in first
    assert second == f"{LEVEL}@2: level"


@pytest.mark.parametrize("words", [["list"], ["verify"]])
def test_an_empty_repository_is_an_error(vitrine, tmp_path, words):
    code, out, error = vitrine(*words, root=tmp_path / "none")

    assert (code, out) == (1, [])
    assert "holds no model" in error


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("garments-128", {"size": 32}, "shape is (1, 128, 128, 4), not (1, 32, 32, 4)"),
        ("garments-128", {"size": 0}, "size 0"),
        ("garments-128", {"classes": []}, "classes ()"),
        ("garments-128", {"classes": ["hat"] * 14}, "a run of 1 failed"),
        ("garments-128", {"task": "enhance"}, "tile 0"),
        ("enhance-x2", {"scale": 3}, "scale 3"),
        ("enhance-x2", {"scale": 1}, "scale 1"),
        ("enhance-x2", {"scale": 4}, "shape is (1, 96, 96, 3), not (1, 192, 192, 3)"),
        ("enhance-x2", {"margin": 64}, "margin 64"),
        ("enhance-x2", {"margin": 0}, "margin 0"),
        ("enhance-x2", {"task": "level"}, "a run of 1 failed"),
        (LEVEL, {"tile": -1}, "tile -1"),
        (LEVEL, {"tile": 1_000_000_000}, "tile 1000000000"),
        (LEVEL, {"task": "enhance", "margin": 10, "scale": 2}, "a run of 1 failed"),
        (LEVEL, {"task": "generate", "size": 64, "classes": ["hat"]}, "a run of 1 failed"),
        (LEVEL, {"task": "paint"}, "no task 'paint'"),
        (LEVEL, {"data": b"not a graph"}, "no ONNX graph"),
        (LEVEL, {"data": b""}, "cannot be loaded"),
    ],
)
def test_a_version_that_does_not_do_its_task_is_named_and_not_activated(root, vitrine, name, changes, message):
    add_version(root, name, "9", **changes)
    code, (line,), _ = vitrine("verify", f"{name}@9")
    assert code == 1
    assert line.startswith(f"{name}@9: ")
    assert message in line

    code, out, error = vitrine("activate", f"{name}@9")
    assert (code, out) == (1, [])
    assert message in error
    assert not (root / name / "active.json").exists()


def damage(folder):
    data = bytearray((folder / "model.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "model.onnx").write_bytes(data)


def truncate(folder):
    with (folder / "model.onnx").open("r+b") as file:
        file.truncate(1000)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (damage, "hash"),
        (truncate, "hash"),
        (lambda folder: (folder / "model.onnx").unlink(), "is not a file"),
        (lambda folder: (folder / "manifest.json").unlink(), "manifest is missing"),
        (lambda folder: (folder / "manifest.json").write_text("{}"), "not valid"),
    ],
)
def test_harm_to_one_version_is_found_and_the_others_are_good(root, vitrine, harm, message):
    vitrine("activate", f"{LEVEL}@1")
    before = choice(root)
    harm(root / LEVEL / "2")
    code, (first, second), _ = vitrine("verify")

    assert code == 1
    assert first == f"{LEVEL}@1: ok"
    assert second.startswith(f"{LEVEL}@2: ")
    assert message in second
    for words in (["activate", f"{LEVEL}@2"], ["rollback", LEVEL]):
        code, out, error = vitrine(*words)
        assert (code, out) == (1, [])
        assert message in error
        assert choice(root) == before


def test_verify_takes_names_and_versions(root, vitrine):
    add_version(root, LEVEL, "10", data=b"not a graph")
    add_version(root, "enhance-x2", "1")

    assert vitrine("verify", f"{LEVEL}@1", "enhance-x2") == (0, [f"{LEVEL}@1: ok", "enhance-x2@1: ok"], "")
    code, lines, _ = vitrine("verify", LEVEL)
    assert code == 1
    assert lines[:2] == [f"{LEVEL}@1: ok", f"{LEVEL}@2: ok"]


@pytest.mark.parametrize("text", ["{", '{"version": "9"}'])
def test_verify_finds_a_wrong_choice(root, vitrine, text):
    (root / LEVEL / "active.json").write_text(text)
    code, (line, *others), _ = vitrine("verify")

    assert code == 1
    assert "active.json" in line
    assert others == [f"{LEVEL}@1: ok", f"{LEVEL}@2: ok"]


@pytest.mark.parametrize(
    "label", ["other", "other@1", f"{LEVEL}@9", f"../x/{LEVEL}@1", f"{LEVEL}@../2", f"{LEVEL}@1@2"]
)
def test_what_is_not_there_is_neither_verified_nor_activated(root, vitrine, label):
    code, lines, _ = vitrine("verify", label)
    assert (code, len(lines)) == (1, 1)
    assert "holds no" in lines[0]

    if "@" in label:
        code, _, error = vitrine("activate", label)
        assert code == 1
        assert "holds no" in error
    assert choice(root) is None


@pytest.mark.parametrize(
    "words", [["activate", LEVEL], ["activate", f"{LEVEL}@"], ["activate", "@1"], ["verify", ""], ["rollback"], []]
)
def test_a_command_that_makes_no_sense_is_a_usage_error(vitrine, words, capsys):
    with pytest.raises(SystemExit) as stopped:
        vitrine(*words)

    assert stopped.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_activation_and_rollback_say_when_a_server_takes_them_over(root, vitrine):
    for words, version in ((["activate", f"{LEVEL}@1"], "1"), (["rollback", LEVEL], "2"), (["rollback", LEVEL], "1")):
        code, (line,), _ = vitrine(*words)

        assert code == 0
        assert line.startswith(f"{LEVEL}@{version} is active")
        assert "SIGHUP" in line
        assert read_models(root)[LEVEL].manifest.version == version


def test_with_nothing_to_go_back_to_a_rollback_fails(root, vitrine):
    code, out, error = vitrine("rollback", LEVEL)

    assert (code, out) == (1, [])
    assert "no version to go back to" in error
    assert choice(root) is None


def fake(task, **changes):
    """A model without a graph; what runs it is the test's."""
    name = {"generate": "garments-128", "enhance": "enhance-x2", "level": LEVEL}[task]
    manifest = read_manifest(MODELS / name / SHIPPED[name]).model_copy(update=changes)
    return Model(manifest, b"")


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (lambda n: np.full(n, np.nan, np.float32), r"not in \[0, 1\]"),
        (lambda n: np.full(n, np.inf, np.float32), r"not in \[0, 1\]"),
        (lambda n: np.full(n, -0.01, np.float32), r"not in \[0, 1\]"),
        (lambda n: np.full(n, 1.01, np.float32), r"not in \[0, 1\]"),
        (lambda n: np.zeros(n, np.uint8), "uint8, not floating"),
        (lambda n: np.zeros((n, 1), np.float32), r"shape is \(1, 1\), not \(1,\)"),
        (lambda n: np.zeros(1, np.float32), r"shape is \(1,\), not \(2,\)"),
        (lambda n: np.float32(0), "no array"),
        (lambda n: [0.5] * n, "no array but list"),
        (lambda n: np.linspace(0.1, 0.2, n), "equal rows"),
    ],
)
def test_a_level_is_one_number_in_0_1_a_row(outputs, message):
    with pytest.raises(RepositoryError, match=message) as refused:
        prove(fake("level"), lambda rows: outputs(len(rows["image"])))

    assert str(refused.value).startswith(f"{LEVEL}@{SHIPPED[LEVEL]}: ")


def test_rows_of_a_picture_batch_that_influence_each_other_are_refused():
    def leaking(rows):
        n = len(rows["z"])
        return np.broadcast_to(np.arange(n, dtype=np.uint8)[:, None, None, None], (n, 128, 128, 4))

    with pytest.raises(RepositoryError, match=f"garments-128@{SHIPPED['garments-128']}: equal rows"):
        prove(fake("generate"), leaking)


def test_pictures_are_bytes():
    with pytest.raises(RepositoryError, match="float32, not uint8"):
        prove(fake("enhance"), lambda rows: np.zeros((len(rows["image"]), 256, 256, 3), np.float32))


def enlarging(reach, rounding=0):
    """Repeats pixels, after the mean over so many to each side in a row; may be off by something in larger tiles."""

    def run(rows):
        image = rows["image"].astype(float)
        wide = np.pad(image, ((0, 0), (0, 0), (reach, reach), (0, 0)))
        width = image.shape[2]
        mean = np.mean([wide[:, :, at : at + width] for at in range(2 * reach + 1)], axis=0)
        bytes_ = np.clip(mean + (rounding if width > 128 else 0), 0, 255).astype(np.uint8)
        return bytes_.repeat(2, 1).repeat(2, 2)

    return run


def test_an_enhancer_that_reaches_further_than_its_margin_is_refused():
    assert prove(fake("enhance", margin=10), enlarging(10))
    with pytest.raises(RepositoryError, match="with a margin of 10 tiles would be seen, by"):
        prove(fake("enhance", margin=10), enlarging(14))


def test_a_pixel_that_depends_a_little_on_its_tile_is_noticed():
    assert not prove(fake("enhance"), enlarging(2, rounding=1))


def test_an_enhancer_for_tiles_of_one_size_is_refused():
    def fixed(rows):
        if rows["image"].shape[1:3] != (128, 128):
            raise ValueError("wrong shape")
        return rows["image"].repeat(2, 1).repeat(2, 2)

    with pytest.raises(RepositoryError, match="ValueError: wrong shape"):
        prove(fake("enhance"), fixed)


def test_a_long_reason_becomes_one_short_line():
    def failing(rows):
        raise ValueError("first\nsecond " + "x" * 10_000)

    with pytest.raises(RepositoryError, match=r"ValueError: first second x+") as refused:
        prove(fake("level"), failing)
    assert len(str(refused.value)) < 400


def test_one_and_two_rows_and_the_last_class_are_run():
    seen = []

    def noting(rows):
        seen.append(rows["label"].tolist())
        return np.zeros((len(rows["z"]), 128, 128, 4), np.uint8)

    prove(fake("generate"), noting)
    assert seen == [[0], [0, 0], [12]]


@pytest.mark.parametrize("task", ["generate", "enhance", "level"])
def test_the_inputs_are_the_same_every_time_and_not_blank(task):
    row, again = smoke_row(fake(task)), smoke_row(fake(task))

    assert all(np.array_equal(row[name], again[name]) for name in row)
    assert np.ptp(row["z" if task == "generate" else "image"]) > 1


def test_models_must_be_signed_when_a_key_is_named(root, tmp_path, capsys):
    serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")
    ec = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ec")
    pytest.importorskip("model_signing")
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    kind = serialization.PublicFormat.SubjectPublicKeyInfo
    (tmp_path / "private.pem").write_bytes(private)
    (tmp_path / "public.pem").write_bytes(key.public_key().public_bytes(serialization.Encoding.PEM, kind))

    def models(*words):
        parser = argparse.ArgumentParser()
        add_parsers(parser.add_subparsers())
        code = run(parser.parse_args(["models", *words]), root, tmp_path / "public.pem")
        return code, capsys.readouterr().out

    assert models("verify", f"{LEVEL}@2") == (
        1,
        f"{LEVEL}@2: {root / LEVEL / '2'}: there is no model.sig, and models must be signed\n",
    )
    assert models("activate", f"{LEVEL}@2")[0] == 1
    assert models("sign", f"{LEVEL}@2", "--key", str(tmp_path / "private.pem")) == (0, f"{LEVEL}@2 is signed\n")
    assert models("verify", f"{LEVEL}@2") == (0, f"{LEVEL}@2: ok\n")


def started(folder, **stdout):
    """`vitrine models list` in a folder of no importance, as a process: exit code, stdout, stderr."""
    environment = {name: value for name, value in os.environ.items() if name != "VITRINE_MODELS_DIR"}  # noqa: TID251
    process = subprocess.Popen(
        [sys.executable, "-m", "app.cli", "models", "list"], cwd=folder, stderr=subprocess.PIPE, text=True, **stdout,
        env=environment | {"PYTHONPATH": str(MODELS.parent)},
    )  # fmt: skip
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_the_shipped_models_are_found_from_any_folder_and_those_of_the_folder_win(tmp_path, root):
    code, out, _ = started(tmp_path / LEVEL, stdout=subprocess.PIPE)
    assert code == 0
    assert {line.partition("@")[0] for line in out.splitlines()} == set(SHIPPED)

    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "models").symlink_to(root)
    _, out, _ = started(tmp_path / "home", stdout=subprocess.PIPE)
    assert {line.partition("@")[0] for line in out.splitlines()} == {LEVEL}


def test_whoever_reads_the_output_may_leave(tmp_path):
    """As `head` does."""
    reading, writing = os.pipe()
    os.close(reading)
    code, _, err = started(tmp_path, stdout=writing)
    os.close(writing)

    assert (code, err) == (1, "")
