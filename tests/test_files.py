"""The commands on files, as processes, with the shipped models."""

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest
from PIL import Image

from app.files import checking, command, parsers
from app.files.ledger import LEDGER
from app.metrics import Metrics
from app.service import Service
from app.settings import Settings
from tests.conftest import ROOT, photo, wait_for
from tests.test_end_to_end import ball

COMMAND = [sys.executable, "-m", "app.cli"]


def environment():
    return {**os.environ, "VITRINE_MODELS_DIR": str(ROOT / "models")}  # noqa: TID251


def answers(text):
    """The JSON lines but the last, and the summary."""
    lines = [json.loads(line) for line in text.splitlines()]
    return lines[:-1], lines[-1]["summary"]


@pytest.fixture(scope="module")
def service():
    """Started once, as a command starts it. Little fits into its memory at once."""
    settings = Settings(models_dir=ROOT / "models", max_held_pixels=2_000_000, batch_s=10)
    service = Service(settings, Metrics(), on_demand=True)
    service.start()
    yield service
    service.stop()


@pytest.fixture
def vitrine(service, capsys, monkeypatch):
    """Run a command in this process; gives its JSON lines, and the summary, or what it said was wrong."""

    @contextmanager
    def opened(settings):
        yield service

    for module in (command, checking):
        monkeypatch.setattr(module, "opened", opened)

    def run(*words, code=0):
        words = [*map(str, words), "--json"]
        parser = argparse.ArgumentParser()
        parsers.add_parsers(parser.add_subparsers(dest="command"))
        arguments = parser.parse_args(words)
        arguments.words = words
        module = checking if words[0] == "preset" else command
        assert module.run(arguments, service.settings) == code
        told = capsys.readouterr()
        return answers(told.out) if told.out else told.err

    return run


@pytest.fixture
def photos(tmp_path):
    """A folder with three photos and one file that is none."""
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    for number, name in enumerate(["a.jpg", "b.jpg", "sub/c.png"]):
        kind = "PNG" if name.endswith("png") else "JPEG"
        (folder / name).write_bytes(photo(size=(60 + number, 50), format=kind))
    (folder / "broken.jpg").write_bytes(photo()[:-400])
    return folder


def product(path):
    """An orange ball, which can be cut out."""
    Image.fromarray(ball(700, 650)[0]).save(path)
    return path


def size_of(path):
    with Image.open(path) as image:
        image.load()
        return image.size


def statuses(lines):
    return {os.path.basename(line["file"]): line["status"] for line in lines}


def test_a_folder_is_enhanced_and_goes_on_where_it_was(photos, tmp_path, vitrine, client):
    out = tmp_path / "out"
    words = ["enhance", str(photos), "--out", str(out), "--scale", "2", "--json"]
    done = subprocess.run([*COMMAND, *words], cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)  # noqa: S603
    lines, summary = answers(done.stdout)

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("3 made, 0 skipped, 1 failed; ")
    assert statuses(lines) == {"a.webp": "made", "b.webp": "made", "c.webp": "made", "broken.webp": "failed"}
    assert (summary["made"], summary["failed"]) == (3, 1)
    failed = next(line for line in lines if line["status"] == "failed")
    assert failed["reason"] == "The bytes are not a complete image of a supported format."
    assert failed["input"] == str(photos / "broken.jpg")
    assert sorted(str(path.relative_to(out)) for path in out.rglob("*.*")) == [
        "a.webp", "b.webp", "sub/c.webp", LEDGER,
    ]  # fmt: skip
    head = {"Accept": "image/*", "Content-Type": "image/jpeg"}
    answer = client.post("/enhance?scale=2", content=(photos / "a.jpg").read_bytes(), headers=head)
    assert (out / "a.webp").read_bytes() == answer.content

    (photos / "broken.jpg").unlink()
    (photos / "b.jpg").write_bytes(photo(size=(90, 50)))
    lines, summary = vitrine("enhance", photos, "--out", out, "--scale", 2)
    assert statuses(lines) == {"a.webp": "skipped", "b.webp": "made", "c.webp": "skipped"}
    assert size_of(out / "b.webp") == (180, 100)

    lines, _ = vitrine("enhance", photos, "--out", out, "--scale", 1)
    assert set(statuses(lines).values()) == {"made"}


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        ("compose", ["--backdrop", "oak", "--width", "160", "--shadow-opacity", "0.4"]),
        ("restyle", ["--style", "colorway", "--color", "#204080", "--format", "png"]),
    ],
)
def test_files_get_what_requests_get(tmp_path, vitrine, client, edit, words):
    source = product(tmp_path / "ball.png")
    vitrine(edit, source, "--out", tmp_path / "out", *words)
    names = [word.removeprefix("--").replace("-", "_") for word in words[::2]]
    fields = dict(zip(names, words[1::2], strict=True))
    answer = client.post(f"/{edit}", files={"image": source.read_bytes()}, data=fields, headers={"Accept": "image/*"})

    assert answer.status_code == 200
    assert (tmp_path / "out" / f"ball.{fields.get('format', 'webp')}").read_bytes() == answer.content


def test_a_backdrop_may_be_a_file_and_a_preset_can_be_checked(tmp_path, vitrine):
    source, behind = product(tmp_path / "ball.png"), tmp_path / "behind.jpg"
    behind.write_bytes(photo(size=(240, 200)))
    vitrine("compose", source, "--backdrop", behind, "--out", tmp_path / "on-photo")
    assert size_of(tmp_path / "on-photo/ball.webp") == (240, 200)

    lines, summary = vitrine("compose", source, "--preset", "amazon-main", "--out", tmp_path / "main")
    assert lines[0]["compliance"] == "pass"
    assert (summary["made"], summary["breaking"]) == (1, 0)

    lines, summary = vitrine("preset", "check", tmp_path / "main", source, "--preset", "amazon-main", code=1)
    checked = {os.path.basename(line["file"]): line for line in lines}
    assert checked["ball.jpg"]["compliance"] == "pass"
    assert all(finding["ok"] for finding in checked["ball.jpg"]["findings"])
    assert checked["ball.png"]["compliance"] == "fail"
    assert "longest side is 700 px" in checked["ball.png"]["reason"]
    assert (summary["checked"], summary["breaking"]) == (2, 1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_what_was_stopped_goes_on(tmp_path, vitrine, number):
    """However it ends, the folder holds whole pictures only."""
    out = tmp_path / "out"
    words = ["generate", "--category", "shirt", "--count", "80", "--size", "128", "--out", str(out)]
    if number == signal.SIGKILL:
        words += ["--seed", "5"]
    process = subprocess.Popen([*COMMAND, *words], cwd=ROOT, env=environment(), stderr=subprocess.PIPE, text=True)  # noqa: S603
    wait_for(lambda: len(list(out.glob("*.webp"))) > 3)
    process.send_signal(number)
    told = process.communicate(timeout=60)[1]

    assert process.returncode == (-9 if number == signal.SIGKILL else 1)
    there = list(out.glob("shirt-*.webp"))
    assert len(there) < 80
    for path in there:
        assert size_of(path) == (128, 128)
    if number != signal.SIGKILL:
        assert not list(out.rglob("*.part"))
        last = told.splitlines()[-1]
        assert last.startswith("stopped; to go on: vitrine generate")
        words = shlex.split(last.partition("vitrine ")[2])
    lines, summary = vitrine(*words)
    assert summary["made"] + summary["skipped"] == 80
    assert summary["skipped"] >= len(there) - (number == signal.SIGKILL)
    assert len(list(out.glob("shirt-*.webp"))) == 80
    assert len({line["file"] for line in lines}) == 80


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["generate", "--category", "spaceship"], "no such category"),
        (["generate", "--background", "transparent", "--format", "jpeg"], "JPEG cannot be transparent"),
        (["restyle", "PHOTOS", "--style", "cubist"], "no such style"),
        (["enhance", "PHOTOS", "--preset", "corner-shop"], "no such preset"),
        (["enhance", "PHOTOS", "--scale", "3"], "--scale: must be 1, 2 or 4"),
    ],
)
def test_a_wrong_command_does_nothing(photos, tmp_path, vitrine, words, message):
    words = [str(photos) if word == "PHOTOS" else word for word in words]
    told = vitrine(*words, "--out", tmp_path / "out", code=2)

    assert message in told
    assert not list((tmp_path / "out").rglob("*.webp"))


def test_files_share_batches_and_find_room(tmp_path, vitrine, service):
    """Of twenty photos of which few fit into memory at once all are made; of sixty products many share a batch."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(20):
        (folder / f"{number}.jpg").write_bytes(photo(size=(300, 300)))
    sample = service.metrics.registry.get_sample_value

    def batches(what):
        return sample(f"vitrine_batch_rows_{what}", {"model": "garments-128"}) or 0

    vitrine("enhance", folder, "--out", tmp_path / "large", "--denoise", "0.5")
    before = batches("sum"), batches("count")
    vitrine("generate", "--count", "60", "--seed", 2**63 - 30, "--out", tmp_path / "new")

    rows, count = batches("sum") - before[0], batches("count") - before[1]
    assert rows == 60
    assert rows / count > 4
    assert (tmp_path / "new/product-0.webp").exists()  # seeds go round
