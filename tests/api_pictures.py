"""The pictures of docs/api: sends the requests of its pages to a running service. `python -m tests.api_pictures [URL]`.

What a request writes with `-o` becomes docs/images/api/NAME.webp, small enough for a page; so do the photos that it
sends. Those lie in `examples/`.
"""

import io
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from tests.conftest import ROOT
from tests.documents import ADDRESS, blocks, workplace
from tests.samples import sample

OUT = ROOT / "docs/images/api"
LARGEST = 512
SENT = ("bus.jpg", "tablecloth.jpg", "blouse.jpg", "shirt.jpg", "top.jpg", "drawing.png")


def small(data):
    """A picture for a page, as WebP."""
    with Image.open(io.BytesIO(data)) as opened:
        picture = opened.convert("RGBA" if opened.has_transparency_data else "RGB")
    picture.thumbnail((LARGEST, LARGEST))
    file = io.BytesIO()
    picture.save(file, "WEBP", quality=82, method=6)
    return file.getvalue()


def main(url):
    shown = set(
        re.findall(r"images/api/([\w-]+)\.webp", "".join(page.read_text() for page in ROOT.glob("docs/**/*.md")))
    )
    OUT.mkdir(parents=True, exist_ok=True)
    for name in SENT:
        (OUT / f"{Path(name).stem}.webp").write_bytes(small(sample(name)))
    for page in sorted({*(ROOT / "docs/api").glob("*.md")} - {ROOT / "docs/api/index.md"}):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            workplace(folder)
            for block in blocks(page):
                for command, _ in block.commands() if block.language == "console" else []:
                    told = command.replace(ADDRESS, url)
                    subprocess.run(["bash", "-c", told], cwd=folder, check=True, stdout=subprocess.DEVNULL)  # noqa: S603, S607
                    for name in re.findall(r"-o ([\w-]+\.\w+)", command):
                        if Path(name).stem in shown:
                            (OUT / f"{Path(name).stem}.webp").write_bytes(small((folder / name).read_bytes()))
    for path in OUT.glob("*.webp"):
        if path.stem not in shown:
            path.unlink()


if __name__ == "__main__":
    main((sys.argv[1] if len(sys.argv) > 1 else ADDRESS).removeprefix("http://").rstrip("/"))
