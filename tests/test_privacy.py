"""What a shop makes stays on its machine: no library of ours reports anything to anybody."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

SERVE = """
import numpy as np
from app.repository import read_models
from app.sessions import Session
model = read_models(__import__("pathlib").Path("models"))["restoration-level"]
Session(model.data).run({"image": np.zeros((1, 128, 128, 3), np.uint8)})
"""
TRAIN = """
from pathlib import Path
from training.evaluate import load, newest
load(newest(Path("models"), "restoration-level"))
"""


@pytest.mark.parametrize("code", [SERVE, TRAIN], ids=["serving", "training"])
def test_onnx_runtime_keeps_no_telemetry(code, tmp_path):
    """With telemetry on, it begins by writing a device id and a queue of events below HOME."""
    quiet = ("CI", "ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS")  # it is silent where these are set, too
    environment = {name: value for name, value in os.environ.items() if name not in quiet}  # noqa: TID251
    environment |= {"HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, "-c", code], env=environment, cwd=ROOT, check=True)  # noqa: S603

    assert not list(tmp_path.rglob("*icrosoft*"))
