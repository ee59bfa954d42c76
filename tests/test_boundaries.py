"""One library, one home; the service and the training never import each other."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HOMES = {
    "PIL": "app/images.py",
    "onnxruntime": "app/sessions.py",
    "opentelemetry": "app/traces.py",
    "prometheus_client": "app/metrics.py",
    "structlog": "app/logs.py",
    "pydantic_settings": "app/settings.py",
    "torch": "training",
    "training": "training",
    "bench": "bench",
}


def imported(path):
    """The top-level names that a module imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("path", sorted((ROOT / "app").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_library_is_imported_only_at_home(path):
    for library in set(imported(path)) & HOMES.keys():
        assert path.is_relative_to(ROOT / HOMES[library]), library


@pytest.mark.parametrize(
    "path", sorted((ROOT / "training").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT))
)
def test_the_training_imports_neither_the_service_nor_the_measurements(path):
    assert {"app", "bench"}.isdisjoint(imported(path))


@pytest.mark.parametrize("path", sorted((ROOT / "vitrine_client").glob("*.py")), ids=lambda path: path.name)
def test_the_client_needs_httpx_and_nothing_else(path):
    assert set(imported(path)) <= {"httpx", "vitrine_client", "__future__"} | set(sys.stdlib_module_names)


def test_the_command_line_leaves_the_metrics_alone_until_their_folder_is_known():
    """Prometheus's client asks for it once, when it is imported: later, several processes would not add up."""
    told = "import sys, app.cli; sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", told], cwd=ROOT, check=False).returncode == 0  # noqa: S603


EVALUATIONS = {"evaluate.py", "evaluate_generator.py", "report.py", "__main__.py"}


def modules(path):
    """The full names of the modules that a module imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
            yield node.module


@pytest.mark.parametrize(
    "path", sorted((ROOT / "training").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT))
)
def test_what_evaluations_look_through_is_used_by_no_training(path):
    """Else a network could learn to please its judges."""
    frozen = {"training.evaluators.frozen", "training.evaluators.taught"}
    if not frozen.isdisjoint(modules(path)):
        inside = path.relative_to(ROOT / "training")
        assert inside.name in EVALUATIONS or inside.parts[0] == "evaluators"
        assert inside.name != "learning.py"
