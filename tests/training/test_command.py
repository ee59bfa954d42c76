"""`vitrine-train` on a shop's own folder: photos in, a model that the service can load out."""

import csv
import json

import numpy as np
import onnxruntime
import pytest
import torch

from app.repository import read_models
from training.__main__ import main, prepare
from training.export import ExportError, weights_of
from training.networks.enhance import EnhanceNet
from training.recipes import RECIPES, quick
from training.upsampling import first_stage

FACTS = ["--training-data", "drawn shapes", "--data-licence", "CC0-1.0", "--weights-licence", "Apache-2.0"]
FACTS += ["--limits", "Shapes only."]
SLOW = ["--device", "cpu", "--threads", "1"]
MADE = ("garments-64", "cascade-128", "enhance-x2", "enhance-x4", "restoration-level", "upscale-x2", "upscale-x4")


@pytest.fixture(scope="module")
def models(catalogue, curated, tmp_path_factory):
    """The models folder after training, exporting and evaluating everything that is served, quickly."""
    home = tmp_path_factory.mktemp("home")
    for name, data in (
        ("garments-64", curated),
        ("restoration-level", catalogue),
        ("enhance-x2", catalogue),
        ("upscale-x4", catalogue),
    ):
        run = home / "runs" / name
        main([name, "--quick", "--data", str(data), "--out", str(run), *SLOW])
        main(["export", str(run), "--models", str(home / "models"), *FACTS])
    run, start = home / "runs" / "cascade-128", home / "runs" / "garments-64"
    main(["cascade-128", "--quick", "--data", str(curated), "--out", str(run), "--start", str(start), *SLOW])
    main(["export", str(run), "--models", str(home / "models"), *FACTS])
    for name, other in (
        ("enhance-x4", "enhance-x2"),
        ("upscale-x2", "upscale-x4"),
        ("upscale-x2-tune", "upscale-x2"),
    ):
        run, start = home / "runs" / name, home / "models" / other / "1"
        main([name, "--quick", "--data", str(catalogue), "--out", str(run), "--start", str(start), *SLOW])
        main(["export", str(run), "--models", str(home / "models"), *FACTS])
    return home / "models"


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_curation_keeps_the_products_and_says_what_it_left_out(catalogue, curated):
    kept, rejected = rows(curated / "index.csv"), rows(curated / "rejected.csv")

    assert len(kept) >= 30
    assert len(kept) + len(rejected) == 40
    assert {row["label"] for row in kept} == {"cup", "sign"}
    assert all((curated / "64" / f"{row['id']}.png").is_file() for row in kept)
    assert "| cup |" in (curated / "report.md").read_text()
    assert (curated / "sheets" / "kept-cup.webp").is_file()


def test_a_photo_keeps_its_split_when_others_come_or_go(curated, catalogue, tmp_path):
    before = {row["source"]: row["split"] for row in rows(curated / "index.csv")}
    (tmp_path / "cup").mkdir()
    for path in sorted((catalogue / "cup").glob("*.png"))[::2]:
        (tmp_path / "cup" / path.name).write_bytes(path.read_bytes())
    main(["curate", str(tmp_path), "--out", str(tmp_path / "out"), "--processes", "1"])

    after = rows(tmp_path / "out" / "index.csv")
    assert after
    assert all(before.get(row["source"], row["split"]) == row["split"] for row in after)


def test_what_was_trained_can_be_served(models):
    served = read_models(models)  # checks manifests and hashes

    assert set(served) == set(MADE)
    inputs = {"z": np.zeros((2, 64), np.float32), "label": np.array([0, 1]), "truncation": np.ones(2, np.float32)}
    for name, side in (("garments-64", 64), ("cascade-128", 128)):
        assert served[name].manifest.classes == ("cup", "sign")
        session = onnxruntime.InferenceSession(served[name].data, providers=["CPUExecutionProvider"])
        assert session.run(None, inputs)[0].shape == (2, side, side, 4)


@pytest.mark.parametrize("name", MADE)
def test_the_export_agrees_with_pytorch_and_says_so(models, name):
    manifest = json.loads((models / name / "1" / "manifest.json").read_text())

    assert manifest["parity"] <= (1e-3 if name == "restoration-level" else 1)
    assert manifest["training"]["images_seen"] > 0
    assert "cores of" in manifest["training"]["hardware"]
    assert manifest["sha256"] in (models / name / "1" / "card.md").read_text()


@pytest.mark.parametrize(
    ("name", "measure"),
    [
        ("garments-64", "coverage"),
        ("cascade-128", "coverage"),
        ("enhance-x2", "PSNR (Y) above bicubic, mean"),
        ("enhance-x4", "PSNR (Y) above bicubic, worst"),
        ("upscale-x2", "PSNR (Y) above bicubic, mean"),
        ("restoration-level", "mean absolute error"),
    ],
)
def test_an_evaluation_reaches_the_manifest_and_the_card(models, curated, catalogue, name, measure):
    folder, data = models / name / "1", curated if name.startswith(("garments", "cascade")) else catalogue
    main(["evaluate", str(folder), "--data", str(data), "--save"])

    quality = {
        record["measure"]: record["value"] for record in json.loads((folder / "manifest.json").read_text())["quality"]
    }
    assert f"| {measure} | {quality[measure]:g} " in (folder / "card.md").read_text()


def test_a_page_compares_enhancers(models, catalogue, tmp_path, capsys):
    folders = [str(models / name / "1") for name in ("enhance-x2", "enhance-x4", "upscale-x2")]
    main(["report", *folders, "--data", str(catalogue), "--out", str(tmp_path)])
    page = (tmp_path / "enhancer.md").read_text()

    assert "## 2 times the size" in page
    assert "## 4 times the size" in page
    assert "| PSNR (Y) above bicubic, mean |" in page
    assert all((tmp_path / f"enhancer-{name}-1.webp").is_file() for name in ("enhance-x2", "enhance-x4"))
    with pytest.raises(SystemExit):
        main(["report", folders[0], str(models / "restoration-level" / "1"), "--data", str(catalogue)])
    assert "enhancers only" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "scale", "other"), [("enhance-x4", 4, "enhance-x2"), ("upscale-x2", 2, "upscale-x4")])
def test_an_enhancer_of_another_scale_says_what_it_began_with(models, name, scale, other):
    manifest, began = (json.loads((models / one / "1" / "manifest.json").read_text()) for one in (name, other))

    assert manifest["scale"] == scale
    assert manifest["recipe"]["start"] == began["sha256"]


def test_what_was_trained_on_is_the_next_version(models):
    first, second = (json.loads((models / "upscale-x2" / n / "manifest.json").read_text()) for n in "12")

    assert second["recipe"]["start"] == first["sha256"]
    assert "- Recipe: `vitrine-train upscale-x2-tune --start" in (models / "upscale-x2" / "2" / "card.md").read_text()


def test_an_enhancer_of_the_same_scale_is_trained_on_as_it_is(models, catalogue):
    start = models / "upscale-x2" / "1"
    recipe, trainer, _ = prepare(quick(RECIPES["upscale-x2-tune"]()), [catalogue], "cpu", start)
    published, digest = weights_of(start, EnhanceNet(recipe.network))

    assert recipe.start == digest
    for group in (trainer.averaged.net.state_dict(), trainer.averaged.ema.state_dict()):
        assert all(torch.equal(group[name], tensor) for name, tensor in published.items())


@pytest.mark.parametrize("name", ["garments-64", "cascade-128"])
def test_a_published_generator_is_gone_on_from_like_the_run_that_made_it(models, name):
    recipe = quick(RECIPES["cascade-128"]())
    expected, first, classes = first_stage(recipe, models.parent / "runs" / "garments-64")
    found, published, known = first_stage(recipe, models / name / "1")

    assert (found.start, known) == (expected.start, classes) == ("garments-64, 32 images", ["cup", "sign"])
    assert found.network.channels == expected.network.channels
    for one, other in zip(first.parameters(), published.parameters(), strict=True):
        assert (one - other).abs().max() <= other.abs().max() / 127  # stored in 8 or 16 bits


def test_what_holds_another_network_is_not_gone_on_from(models, tmp_path):
    manifest = json.loads((models / "garments-64" / "1" / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ExportError, match="holds no published model"):
        first_stage(quick(RECIPES["cascade-128"]()), tmp_path)
    (tmp_path / "model.onnx").write_bytes((models / "enhance-x2" / "1" / "model.onnx").read_bytes())
    with pytest.raises(ExportError, match="is of another network than Generator"):
        first_stage(quick(RECIPES["cascade-128"]()), tmp_path)


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("garments-64", "`vitrine-train garments-64`;"),
        ("cascade-128", "`vitrine-train cascade-128 --start GENERATOR`, which is garments-64, 32 images;"),
        ("enhance-x4", "`vitrine-train enhance-x4 --start VERSION`, the one with sha256 `"),
    ],
)
def test_a_card_says_what_to_run(models, name, command):
    assert f"- Recipe: {command}" in (models / name / "1" / "card.md").read_text()


def test_the_same_command_resumes_and_a_second_export_is_a_second_version(curated, tmp_path, capsys):
    command = ["garments-64", "--quick", "--data", str(curated), "--out", str(tmp_path / "run"), "--device", "cpu"]
    main([*command, "--max-minutes", "0"])
    assert "stopped at step 1 of 8" in capsys.readouterr().out
    main(command)
    assert "finished" in capsys.readouterr().out

    for version in ("1", "2"):
        main(["export", str(tmp_path / "run"), "--models", str(tmp_path), "--name", "shop-64", *FACTS])
        assert json.loads((tmp_path / "shop-64" / version / "manifest.json").read_text())["name"] == "shop-64"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["garments-64", "--data", "{tmp}/none", "--out", "{tmp}/run"], "index.csv"),
        (["enhance-x2", "--data", "{tmp}", "--out", "{tmp}/run"], "no train photo"),
        (["upscale-x2", "--data", "{tmp}", "--out", "{tmp}/run", "--start", "{tmp}"], "no published enhancer"),
        (["dcgan-28", "--data", "{tmp}", "--out", "{tmp}/run"], "idx3-ubyte"),
        (["curate", "{tmp}", "--out", "{tmp}/out"], "no photo"),
        (["export", "{tmp}", *FACTS], "no checkpoint"),
        (["export", "{run}", "--name", "../x", *FACTS], "no name for a model"),
        (["evaluate", "{tmp}", "--data", "{tmp}"], "manifest.json"),
        (["garments-64", "--quick", "--data", "{other}", "--out", "{run}"], "other data"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(curated, tmp_path, capsys, command, message):
    run = ["garments-64", "--quick", "--data", str(curated), "--out", str(tmp_path / "begun"), "--device", "cpu"]
    if "{run}" in command:
        main([*run, "--max-minutes", "0"])
    other = tmp_path / "other"
    if "{other}" in command:
        other.mkdir()
        kept = rows(curated / "index.csv")[1:]
        lines = [",".join(kept[0]), *(",".join(row.values()) for row in kept)]
        (other / "index.csv").write_text("\n".join(lines) + "\n")
        (other / "64").symlink_to(curated / "64")
    places = {"{tmp}": str(tmp_path), "{run}": str(tmp_path / "begun"), "{other}": str(other)}
    capsys.readouterr()

    with pytest.raises(SystemExit) as stopped:
        main([places.get(word, word.replace("{tmp}", str(tmp_path))) for word in command])

    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert stopped.value.code == 2
    assert error.startswith("vitrine-train: ")
    assert message in error
