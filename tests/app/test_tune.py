"""The command that measures settings, on the shipped models."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.settings import Settings
from app.tune import chosen, together, worthwhile
from tests.conftest import only

ROOT = Path(__file__).parents[2]
QUICK = "restoration-level"
"""Of the models that it measures the one that takes the least time."""


def test_what_tune_writes_is_what_the_settings_read(tmp_path, monkeypatch):
    command = [sys.executable, "-c", "from app.cli import main; main()", "tune", "--seconds", "0.001"]
    environment = {**os.environ, "VITRINE_MODELS_DIR": str(only(QUICK)), "PYTHONPATH": str(ROOT)}  # noqa: TID251
    told = subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True)  # noqa: S603
    written = dict(line.split("=") for line in (tmp_path / "vitrine.env").read_text().splitlines()[1:])

    assert written.keys() == {f"VITRINE_{n}" for n in ("THREADS", "LONE_THREADS", "SPIN_US", "BATCH_S", "ARENA")}
    assert all(f"{name}={value}" in told.stdout for name, value in written.items())
    assert ", (workers, batch) " in told.stderr
    monkeypatch.chdir(tmp_path)
    settings = Settings()
    assert (settings.threads, settings.lone_threads) == (
        int(written["VITRINE_THREADS"]),
        int(written["VITRINE_LONE_THREADS"]),
    )
    assert settings.batch_s == float(written["VITRINE_BATCH_S"])
    monkeypatch.setenv("VITRINE_THREADS", "7")
    assert Settings().threads == 7  # the environment wins


def test_a_default_gives_way_only_to_what_is_clearly_better():
    assert chosen({"default": 1.02, "other": 1.0}, "default") == "default"
    assert chosen({"default": 1.10, "other": 1.0}, "default") == "other"


def test_a_fast_model_counts_as_much_as_a_slow_one():
    fast, slow = {"a": 0.001, "b": 0.002}, {"a": 20.0, "b": 11.0}

    assert together([fast, slow])["a"] == pytest.approx(0.1414, abs=1e-4)
    assert chosen(together([fast, slow]), "b") == "a"


def test_the_smallest_batch_that_is_hardly_slower_than_the_best_is_worth_it():
    costs = {(2, 1): 0.0050, (2, 2): 0.0045, (2, 4): 0.0041, (2, 8): 0.0040, (1, 8): 0.0080}

    assert worthwhile(costs, 2) == pytest.approx(1.1 * 4 * 2 * 0.0041)
