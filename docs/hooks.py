"""What the site has beside docs/: model cards and other pages of the repository, and every file that a page links to.

Pages are read where they lie and link as they do on a code host; here links are turned to where the site has things.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any, Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT: Final = Path(__file__).parents[1]
PAGES: Final = ("ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", *(
    str(path.relative_to(ROOT)) for path in sorted(ROOT.glob("bench/results/**/*.md"))
))  # fmt: skip
"""Beside the cards."""
LINK: Final = re.compile(r"(?<=\]\()(?!\w+:|#)([^)\s#]+)")
FENCES: Final = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
SETTINGS: Final = "<!-- every setting -->"
FOUND: Final = {"cores": "the cores", "shipped_models": "`models`"}
"""Defaults that depend on where the service runs, by what finds them."""


def cards() -> list[str]:
    """The model cards, by path."""
    return [str(path.relative_to(ROOT)) for path in sorted(ROOT.glob("models/*/*/card.md"))]


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the cards into the navigation, before the project's own pages."""
    listed = [{Path(card).parts[1]: card} for card in cards()]
    config.nav.insert(-1, {"Model cards": listed})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie elsewhere, and what any page links to outside docs/."""
    pages = {page: (ROOT / page).read_text() for page in (*PAGES, *cards())}
    own = {f"docs/{file.src_uri}": file.content_string for file in files.documentation_pages()}
    named = {target(place, link) for place, text in (pages | own).items() for link in links(text)}
    elsewhere = {path for path in named if not path.startswith("docs/") and (ROOT / path).is_file()}
    for path in sorted(elsewhere | pages.keys()):
        files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
    return files


def links(text: str) -> list[str]:
    """Where the links of a page lead, but for other hosts and the page itself."""
    return [link for part in FENCES.split(text)[::2] for link in LINK.findall(part)]


def target(place: str, link: str) -> str:
    """The path in the repository of what a page there links to."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(place), link))


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links, and write what is made from the code."""
    uri = page.file.src_uri
    place = uri if page.file.generated_by else f"docs/{uri}"

    def turned(link: re.Match[str]) -> str:
        path = target(place, link[1])
        return posixpath.relpath(path.removeprefix("docs/"), posixpath.dirname(uri) or ".")

    parts = FENCES.split(markdown)
    parts[::2] = [LINK.sub(turned, part) for part in parts[::2]]
    return "".join(parts).replace(SETTINGS, settings() if SETTINGS in markdown else "")


def settings() -> str:
    """Every setting as a table, from `app/settings.py`."""
    from app.settings import Settings

    rows = ["| setting | default | what it is |", "| --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        manual = " ".join((field.description or "").split()).replace("|", "\\|")
        rows.append(f"| `VITRINE_{name.upper()}` | {default(field)} | {manual} |")
    return "\n".join(rows)


def default(field: Any) -> str:  # noqa: ANN401  # pydantic's
    """A setting's default, in words."""
    if field.default_factory is not None:
        return FOUND[field.default_factory.__name__]
    return "none" if field.default in (None, ()) else f"`{field.default}`"
