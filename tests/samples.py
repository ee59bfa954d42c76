"""Pictures of products to send, cut out of the gallery's sheets: they are in the repository already.

docs/gallery.md names their sources.
"""

import io
from functools import cache

from PIL import Image, ImageDraw

from tests.conftest import ROOT

GAP = 2
PAD = (236, 236, 236)
PLACES = {
    "bus.jpg": ("compose", 384, 2, 0),
    "tablecloth.jpg": ("compose", 384, 0, 0),
    "blouse.jpg": ("compose", 384, 3, 0),
    "shirt.jpg": ("compose", 384, 3, 2),
    "polo.jpg": ("cutout", 256, 7, 0),
    "top.jpg": ("cutout", 256, 7, 3),
    "drawing.png": ("from-sketch", 256, 0, 0),
}
"""Sheet, side of a tile, row, column."""


def trimmed(tile):
    """A tile without the grey left and right of what is not square."""
    row = [tile.getpixel((x, tile.height // 2)) for x in range(tile.width)]
    inside = [x for x, colour in enumerate(row) if max(abs(a - b) for a, b in zip(colour, PAD, strict=True)) > 8]
    edge = min(inside[0], tile.width - 1 - inside[-1])
    return tile.crop((edge + 2, 0, tile.width - edge - 2, tile.height)) if edge > 4 else tile


def encoded(image, kind):
    file = io.BytesIO()
    image.save(file, kind, quality=95)
    return file.getvalue()


@cache
def sample(name):
    """The bytes of a picture by its name; product.png has an alpha channel of its own."""
    if name == "product.png":
        image = Image.new("RGBA", (300, 240), (0, 0, 0, 0))
        ImageDraw.Draw(image).ellipse((30, 20, 270, 220), fill=(196, 74, 52, 255))
        return encoded(image, "PNG")
    sheet, side, row, column = PLACES.get(name, PLACES["bus.jpg"])
    with Image.open(ROOT / f"docs/gallery/{sheet}.webp") as opened:
        left, top = (GAP + at * (side + GAP) for at in (column, row))
        tile = opened.convert("RGB").crop((left, top, left + side, top + side))
    return encoded(trimmed(tile), "PNG" if name.endswith(".png") else "JPEG")
