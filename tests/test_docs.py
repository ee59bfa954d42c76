"""The documentation: every block of code in it runs, or says why not; every link of the site leads somewhere."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from functools import cache
from importlib.util import find_spec

import pytest
import yaml

from app.cli import make_parser as service_parser
from app.settings import Settings
from tests.conftest import ROOT
from tests.documents import ADDRESS, GAP, blocks, environment, missing, pages, script, words, workplace
from training.__main__ import make_parser as training_parser

BLOCKS = [block for page in pages() for block in blocks(page)]
RUN = [block for block in BLOCKS if block.skipped is None]
MARKED = [block for block in BLOCKS if block.skipped is not None]
LANGUAGES = {"console", "python", "json", "toml", "yaml", "text"}
ONLY_SHOWN = {"bash"}
"""Scripts; they need a reason."""
MOST_MARKED = 20
PARSERS = {"vitrine": service_parser, "vitrine-train": training_parser}


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """A folder for each page, so that none finds what another has made."""

    @cache
    def place(page):
        folder = tmp_path_factory.mktemp(page.stem)
        workplace(folder)
        return folder

    return place


def run(arguments, folder, port):
    """A program in a page's folder; what it prints."""
    return subprocess.run(  # noqa: S603
        arguments, cwd=folder, env=environment(port, os.environ), check=False, timeout=120,  # noqa: TID251
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


@pytest.mark.parametrize("block", [one for one in RUN if one.language == "console"], ids=str)
def test_commands_print_what_the_page_says(block, client, places):
    if "promtool" in block.text and shutil.which("promtool") is None:
        pytest.skip("promtool (Debian package prometheus) is not installed")
    port = client.base_url.port
    printed = run(["bash", "-c", script(block, port)], places(block.page), port).stdout
    *answers, rest = re.split(rf"\n{GAP} (\d+)\n", printed)

    assert not rest
    for (command, told), text, code in zip(block.commands(), answers[::2], answers[1::2], strict=True):
        failing = any("failed" in line and "0 failed" not in line for line in told) or "breaks" in str(told)
        assert int(code) in ((0, 1) if failing else (0,)), f"{command}\n{text}"
        assert not missing("\n".join(told), text), f"{command}\n{text}"


@pytest.mark.parametrize("block", [one for one in RUN if one.language == "python"], ids=str)
def test_python_prints_what_the_page_says(block, client, places):
    port = client.base_url.port
    code = block.text.replace(ADDRESS, f"127.0.0.1:{port}")
    done = run([sys.executable, "-W", "error", "-c", code], places(block.page), port)

    assert done.returncode == 0, done.stdout
    assert not missing(block.output or "", done.stdout), done.stdout


@pytest.mark.parametrize("block", [one for one in RUN if one.language in ("json", "toml", "yaml")], ids=str)
def test_data_can_be_read(block):
    if block.language == "toml":
        assert tomllib.loads(block.text)
    elif block.language == "yaml":
        assert yaml.safe_load(block.text)
    else:
        try:
            assert json.loads(block.text)
        except json.JSONDecodeError:
            assert all(json.loads(line) for line in block.text.splitlines())


def test_every_block_has_a_language_that_is_tested():
    assert not [str(one) for one in RUN if one.language not in LANGUAGES]
    assert {block.language for block in MARKED} <= LANGUAGES | ONLY_SHOWN
    assert not [str(one) for one in RUN if one.language == "console" and not one.commands()]


def test_blocks_that_are_not_run_say_why(capsys):
    with capsys.disabled():
        print(f"\n{len(RUN)} blocks of {len(BLOCKS)} run; {len(MARKED)} do not:")  # noqa: T201
        for block in MARKED:
            print(f"  {block}: {block.skipped}")  # noqa: T201
    assert all(len(block.skipped) > 10 for block in MARKED)
    assert len(MARKED) <= MOST_MARKED


@pytest.mark.parametrize("block", [one for one in MARKED if one.language in ("console", "bash")], ids=str)
def test_commands_that_are_not_run_are_understood(block):
    for command, _ in block.commands():
        said = words(command)
        if said and said[0] in PARSERS:
            PARSERS[said[0]]().parse_args(said[1:])


def test_every_setting_that_is_named_exists():
    known = {f"VITRINE_{name.upper()}" for name in Settings.model_fields}
    for page in pages():
        named = set(re.findall(r"\bVITRINE_[A-Z][A-Z0-9_]*[A-Z0-9]", page.read_text()))
        assert named <= known, f"{page}: {named - known}"


def test_every_metric_that_is_named_exists(client):
    known = set(re.findall(r"# TYPE (\w+)", client.get("/metrics").text)) | {"vitrine_client"}
    for page in pages():
        named = set(re.findall(r"`(vitrine_\w+?)(?:_bucket|_sum|_count)?[`{]", page.read_text()))
        assert {name for name in named if name not in known and name.removesuffix("_total") not in known} == set(), page


def test_every_picture_of_a_request_is_shown_and_made():
    """`python -m tests.api_pictures URL` makes them of these very requests."""
    for page in sorted({*(ROOT / "docs/api").glob("*.md")} - {ROOT / "docs/api/index.md"}):
        for block in blocks(page):
            for name in re.findall(r"-o ([\w-]+\.\w+)", block.text):
                picture = f"{name.rpartition('.')[0]}.webp"
                assert f"(../images/api/{picture})" in page.read_text(), f"{page}: {name}"
                assert (ROOT / "docs/images/api" / picture).stat().st_size < 60_000


needs_mkdocs = pytest.mark.skipif(find_spec("material") is None, reason="the extra docs is not installed")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site; a link that leads nowhere, or a page that is in no menu, fails it."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}  # noqa: TID251  # to be passed on
    built = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True, check=False)  # noqa: S603
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


@needs_mkdocs
def test_the_site_is_built_and_all_its_links_lead_somewhere(site):
    for path in site.rglob("*.html"):
        for link in re.findall(r'(?:href|src)="(?!\w+:|//|#)([^"#?]+)', path.read_text()):
            assert (path.parent / link).exists() or path.name == "404.html", f"{path.relative_to(site)}: {link}"
    cards = sorted(str(path.parent.relative_to(ROOT)) for path in ROOT.glob("models/*/*/card.md"))
    assert all((site / card / "card.html").exists() for card in cards)
    assert len(cards) >= 9


@needs_mkdocs
def test_the_site_loads_nothing_from_other_hosts(site):
    for path in site.rglob("*.html"):
        found = re.findall(
            r'<(?:script|img|iframe|link)\b[^>]*?(?:src|href)="(?:https?:)?//[^"]+"[^>]*>', path.read_text()
        )
        assert not [tag for tag in found if 'rel="canonical"' not in tag], path
    for path in site.rglob("*.css"):
        assert not re.findall(r"url\(['\"]?(?:https?:)?//", path.read_text()), path


@needs_mkdocs
def test_the_site_tells_every_setting(site):
    text = (site / "settings.html").read_text()

    assert all(f"VITRINE_{name.upper()}" in text for name in Settings.model_fields)
