"""Pictures of the studio page for the documentation: `python -m tests.studio_pictures [URL]`, of a running service."""

import io
import shutil
import sys

from PIL import Image
from playwright.sync_api import sync_playwright

from tests.conftest import ROOT
from tests.documents import ADDRESS

DESKTOP = {"viewport": {"width": 1360, "height": 860}}
TALL = {"viewport": {"width": 1360, "height": 1240}}
PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 1.5, "has_touch": True, "is_mobile": True}
LARGEST = 120_000
PHOTOS = ROOT / "examples"


def settled(page, panel):
    """Wait for the panel's picture."""
    page.locator(f"#{panel} .result img, #{panel} .grid img").first.wait_for()
    page.wait_for_timeout(800)  # what comes by itself after a pause
    page.locator(f"#{panel} .working").wait_for(state="detached")
    page.wait_for_timeout(300)


def generate(page):
    page.click("#generate details.more summary")
    page.fill("#g-seed", "100")
    page.click("#generate details.more summary")
    page.click("#generate [type=submit]")
    page.locator("#generate img[alt$='seed 100']").wait_for()
    page.locator("#generate .grid button").nth(0).click()
    page.locator("#generate .grid button").nth(1).click()
    settled(page, "generate")


def enhance(page):
    page.set_input_files("#enhance-photo", PHOTOS / "shirt.jpg")
    page.select_option("#e-preset", "amazon-main")
    page.click("#enhance [type=submit]")
    settled(page, "enhance")


def restyle(page):
    page.set_input_files("#restyle-photo", PHOTOS / "blouse.jpg")
    page.click("#restyle [type=submit]")
    settled(page, "restyle")


def colour(page):
    page.set_input_files("#restyle-photo", PHOTOS / "top.jpg")
    page.locator("#restyle [value=colorway]").check(force=True)
    page.click("#restyle [type=submit]")
    settled(page, "restyle")


def compose(page):
    page.locator("#compose .backdrops img.drawn").nth(16).wait_for()
    page.set_input_files("#compose-photo", [PHOTOS / name for name in ("blouse.jpg", "polo.jpg", "shirt.jpg")])
    page.locator("#compose [value=studio-sage]").check(force=True)
    settled(page, "compose")


def standing(page):
    page.locator("#compose .backdrops img.drawn").nth(16).wait_for()
    page.set_input_files("#compose-photo", PHOTOS / "tablecloth.jpg")
    page.locator("#compose [value=oak]").check(force=True)
    page.locator("#compose [value=bottom]").check(force=True)
    settled(page, "compose")
    page.evaluate("scrollTo(0, 0)")


def refused(page):
    page.set_input_files("#enhance-photo", PHOTOS / "shirt.jpg")
    page.select_option("#e-background", "transparent")
    page.click("#enhance details.more summary")
    page.select_option("#e-format", "jpeg")
    page.click("#enhance [type=submit]")
    page.locator("#enhance [role=alert]").wait_for()


STATES = {
    "studio-generate": [("generate", "light", DESKTOP, generate)],
    "studio-enhance": [("enhance", "light", TALL, enhance)],
    "studio-restyle-dark": [("restyle", "dark", DESKTOP, restyle)],
    "studio-compose": [("compose", "light", DESKTOP, compose)],
    "studio-empty-dark": [("restyle", "dark", DESKTOP, lambda page: page.wait_for_timeout(300))],
    "studio-error": [("enhance", "light", DESKTOP, refused)],
    "studio-phone": [
        ("generate", "light", PHONE, generate),
        ("restyle", "dark", PHONE, colour),
        ("compose", "light", PHONE, standing),
    ],
}


def shot(browser, url, panel, scheme, options, act):
    """One state of the page."""
    context = browser.new_context(color_scheme=scheme, **options)
    page = context.new_page()
    page.goto(f"{url}/#/{panel}")
    page.locator("#e-preset option >> nth=3").wait_for(state="attached")
    act(page)
    page.mouse.move(0, 0)
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    context.close()
    return picture


def beside(pictures, gap=40):
    """Several pictures in a row."""
    row = Image.new("RGB", (sum(one.width + gap for one in pictures) - gap, pictures[0].height), "white")
    left = 0
    for one in pictures:
        row.paste(one, (left, 0))
        left += one.width + gap
    return row


def save(picture, path):
    """As WebP, of the best quality that is small enough."""
    for quality in (88, 80, 70, 60, 50):
        picture.save(path, quality=quality, method=6)
        if path.stat().st_size <= LARGEST:
            return


def main(url):
    with sync_playwright() as run:
        browser = run.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, states in STATES.items():
            pictures = [shot(browser, url, *state) for state in states]
            save(beside(pictures) if len(pictures) > 1 else pictures[0], ROOT / "docs" / "images" / f"{name}.webp")
        browser.close()


if __name__ == "__main__":
    main(*(sys.argv[1:] or [f"http://{ADDRESS}"]))
