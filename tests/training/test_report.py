"""`vitrine-train report` and the evaluators' own commands, on a shop's catalogue."""

import json

import pytest

from training.__main__ import main
from training.evaluators.frozen import EvaluatorError, load_evaluators

QUICK = ["--quick", "--device", "cpu", "--threads", "1"]


def test_a_run_is_compared_on_one_page_with_pictures(curated, tmp_path, capsys):
    run = tmp_path / "dcgan"
    main(["dcgan-64", *QUICK, "--data", str(curated), "--out", str(run)])
    main(["report", str(run), "--data", str(curated), "--out", str(tmp_path / "page")])

    page = (tmp_path / "page" / "generator.md").read_text()
    for row in ("held-out products", "training products", "the same, blurred", "dcgan-64, a run (64 images seen)"):
        assert f"| {row} |" in page
    assert "**missed**" in page
    assert "class told |" in page  # by class; nobody could tell overall: the shipped classifier knows other classes
    for name in ("generator-classes.svg", "samples-dcgan-64-a-run.webp", "closest-dcgan-64-a-run.webp"):
        assert (tmp_path / "page" / name).stat().st_size > 0
        assert name in page
        assert str(tmp_path / "page" / name) in capsys.readouterr().out or name != "generator-classes.svg"


def test_a_shop_can_train_an_evaluator_of_its_own_classes(curated, tmp_path):
    home = tmp_path / "weights"
    for name in ("evaluator-classifier", "evaluator-selfsupervised"):
        main([name, *QUICK, "--data", str(curated), "--out", str(tmp_path / name)])
        facts = ["--data", str(curated), "--training-data", "drawn shapes", "--out", str(home)]
        main(["publish-evaluator", str(tmp_path / name), *facts])

    found = {one.name: one.classes for one in load_evaluators(home)}
    assert found["evaluator-classifier"] == ("cup", "sign")
    assert found["evaluator-selfsupervised"] == found["evaluator-random"] == ()
    manifest = json.loads((home / "manifest.json").read_text())
    assert [entry["training"]["images_seen"] for entry in manifest["evaluators"] if "file" in entry] == [64, 64]


def test_a_run_of_something_else_is_no_evaluator(curated, tmp_path, capsys):
    run = tmp_path / "dcgan"
    main(["dcgan-64", *QUICK, "--data", str(curated), "--out", str(run), "--max-minutes", "0"])

    with pytest.raises(SystemExit):
        main(["publish-evaluator", str(run), "--data", str(curated), "--training-data", "none", "--out", str(tmp_path)])
    assert "which is no evaluator" in capsys.readouterr().err
    with pytest.raises(EvaluatorError):
        load_evaluators(tmp_path)
