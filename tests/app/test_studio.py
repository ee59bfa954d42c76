"""The studio page as it is served: its files, their heads, and that it needs nothing from elsewhere."""

import re
from pathlib import Path

import pytest

from app.studio import PAGE, POLICY, assets

ASSETS = assets()
TEXTS = {name: asset.data.decode() for name, asset in ASSETS.items()}
NAMESPACES = {"http://www.w3.org/2000/svg"}
"""Names that look like addresses; nothing fetches them."""


def test_the_page_is_served_with_a_strict_policy(client):
    response = client.get("/")

    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["content-security-policy"] == POLICY
    assert {"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"} <= set(POLICY.split("; "))
    assert "unsafe" not in POLICY
    assert "Vitrine" in response.text


@pytest.mark.parametrize("name", sorted(ASSETS))
def test_a_file_is_served_as_what_it_is_and_asked_for_again_by_its_tag(client, name):
    response = client.get(f"/studio/{name}")
    again = client.get(f"/studio/{name}", headers={"If-None-Match": response.headers["etag"]})

    assert response.content == ASSETS[name].data
    assert response.headers["content-type"] == ASSETS[name].media_type
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cache-control"] == "no-cache"
    assert response.headers["x-request-id"]
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("path", ["/", "/studio/style.css"])
def test_head_has_the_head_alone(client, path):
    got, head = client.get(path), client.head(path)

    assert (head.status_code, head.content) == (200, b"")
    for name in ("content-length", "content-type", "etag", "content-security-policy"):
        assert head.headers[name] == got.headers[name], name


@pytest.mark.parametrize(
    "name",
    ["nothing.js", "", "__init__.py", "../main.py", "%2e%2e/main.py", "..%2fmain.py", "vendor", "vendor/..%2fmain.js",
     "style.css/", "//etc/passwd", "style.css%00"],
)  # fmt: skip
def test_nothing_else_can_be_read(client, name):
    response = client.get(f"/studio/{name}")

    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"


def test_the_page_takes_no_posts(client):
    assert client.post("/", json={}).status_code == 405


def references(name):
    """The files that one refers to, by their paths below `/studio/`."""
    text, folder = TEXTS[name], Path(name).parent
    if name.endswith(".html"):
        for path in re.findall(r'(?:src|href)="([^"#]+)"', text):
            if path != "docs":
                yield path.removeprefix("studio/")
    for path in re.findall(r'(?:\bfrom|^import) "([^"]+)"|url\("([^"]+)"\)', text, re.MULTILINE):
        yield str(folder / (path[0] or path[1]))


@pytest.mark.parametrize("name", sorted(ASSETS))
def test_every_file_that_is_referred_to_exists(name):
    assert set(references(name)) <= set(ASSETS)


def test_every_file_is_referred_to():
    used = {path for name in ASSETS for path in references(name)}

    assert {name for name in ASSETS if not name.endswith("LICENSE.txt")} == used | {PAGE}


@pytest.mark.parametrize("name", sorted(name for name in ASSETS if not name.endswith(".txt")))
def test_no_file_names_an_address_elsewhere(name):
    assert set(re.findall(r"""(?:https?:)?//[\w.-]+\.[a-z]{2,}[^\s"'`)>]*""", TEXTS[name])) <= NAMESPACES


def test_the_page_has_no_code_or_style_in_line():
    page = TEXTS[PAGE]

    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", page)
    assert re.findall(r"<script[^>]*>", page) == ['<script type="module" src="studio/main.js">']
    for name, text in TEXTS.items():
        assert not re.search(r"\beval\(|new Function", text), name


def test_what_others_made_comes_with_its_licence():
    folders = {str(Path(name).parent) for name in ASSETS if name.startswith("vendor/")}

    for folder in folders:
        assert "Copyright" in TEXTS[f"{folder}/LICENSE.txt"]


def test_nothing_is_stored_in_the_browser():
    for name, text in TEXTS.items():
        assert not re.search(r"localStorage|sessionStorage|indexedDB|document\.cookie", text), name
