"""What is measured on GPUs, on the CPU: the same path, and the page that comes of it."""

import json
from pathlib import Path

import pytest

from app.repository import read_models
from bench import gpu, gpu_models
from bench.gpu_models import IN_TURN, Speed

ROOT = Path(__file__).parents[2]
MODELS = read_models(ROOT / "models")


def bench(folder, found, *arguments):
    parser = gpu.make_parser()
    return gpu.Bench(parser.parse_args(["--out", str(folder / "gpu.md"), "--provider", "cpu", *arguments]), found)


@pytest.mark.parametrize("name", ["garments-128", "watermark-reader", "restoration-level"])
def test_the_cpu_gives_its_own_pictures(name):
    (found,) = gpu_models.parities(MODELS[name], ["plain"], cpu=True)

    assert (found.largest, found.differing, found.same_in_batches) == (0, 0, 1)
    assert found.provider == "CPUExecutionProvider"


def test_rows_are_different_ones():
    for model in MODELS.values():
        rows = gpu_models.rows(model, 4)
        assert len({tuple(values[index].tobytes() for values in rows.values()) for index in range(4)}) == 4


def test_every_batch_size_has_its_speed():
    model = MODELS["watermark-reader"]
    found = [*gpu_models.speeds(model, "plain", 0.01, cpu=True), gpu_models.in_turn(model, 0.01, cpu=True)]

    assert [one.batch for one in found] == [*gpu_models.BATCHES, IN_TURN]
    assert all(one.per_second > 0 for one in found)


def test_the_page_tells_what_was_found_and_what_was_not():
    found = gpu.Found({"cores": "2"}, failures=["speed of x, plain: RuntimeError: no"])
    found.speeds = [
        Speed("garments-128@2", "plain", 16, 400.0),
        Speed("garments-128@2", "plain", IN_TURN, 50.0),
        Speed("garments-128@2", "plain tf32", 16, 900.0),
        Speed("garments-128@2", "plain tf32", 1, None, "out of memory"),
    ]
    found.encoders = {"generate jpeg": 150.0}
    assert "Not measured under load." in gpu.markdown(found)
    assert "| generate | jpeg | 400 | 300 | not measured |" in gpu.markdown(found)

    found.loads = [gpu.Load("GPU", "generate", "jpeg", 8, 300.0, 1.0, 2.0, 0, 0.5, None, 1.5, 0.2)]
    page = gpu.markdown(found)

    assert "- speed of x, plain: RuntimeError: no" in page
    assert "| garments-128@2 | plain | 50 |  | 400 |" in page
    assert "| garments-128@2 | plain tf32 |  | out of memory | 900 |" in page
    assert "| GPU | generate | jpeg | 8 | 300 | 1 | 2 | 0 | 50% | - | 1.5 | 0.2 |" in page
    assert "| generate | jpeg | 400 | 300 | 300 |" in page


def test_what_a_run_found_is_added_to_by_the_next(tmp_path):
    first = bench(tmp_path, gpu.Found({"cores": "2"}))
    first.found.speeds = [Speed("a@1", "plain", 1, 2.0)]
    first.write()
    second = bench(tmp_path, gpu.Found({"cores": "2"}))
    second.add(tmp_path / "gpu.json")

    assert second.found.speeds == first.found.speeds


def test_what_fails_and_what_finds_no_time_is_told_and_the_rest_goes_on(tmp_path):
    def fails():
        raise ValueError("no")

    done = []
    hasty = bench(tmp_path, gpu.Found({"cores": "2"}))
    hasty.attempt("one", fails)
    hasty.attempt("two", lambda: done.append(2))
    late = bench(tmp_path, gpu.Found({"cores": "2"}), "--budget", "-1")
    late.attempt("three", lambda: done.append(3))

    assert hasty.found.failures == ["one: ValueError: no"]
    assert late.found.failures == ["three: TimeoutError: no time was left"]
    assert done == [2]


def test_the_page_in_the_repository_is_that_of_its_numbers(tmp_path):
    results = ROOT / "bench" / "results"
    kept = bench(tmp_path, gpu.Found(json.loads((results / "gpu.json").read_text())["facts"]))
    kept.add(results / "gpu.json")
    kept.write()

    assert (tmp_path / "gpu.json").read_text() == (results / "gpu.json").read_text()
    assert (tmp_path / "gpu.md").read_text() == (results / "gpu.md").read_text()
