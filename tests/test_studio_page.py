"""The studio page in a real browser before a real server: every task from a click to a picture."""

import base64
import io
import shutil
import subprocess
import sys
from contextlib import contextmanager

import pytest
from PIL import Image

from tests.conftest import photo
from tests.test_compose import product, snapshot
from tests.test_restyle import drawing

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.alone,  # it draws on the processor, and gives way to whatever else runs
    pytest.mark.skipif(not CHROMIUM, reason="no chromium is installed"),
    pytest.mark.flaky(reruns=1),  # a browser of its own now and then stops drawing on a busy machine
]
WAIT_MS = 20_000
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as run:
        browser = run.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def opened(browser, client, panel="generate", **options):
    """The page at one of its panels; an error of its code, or what its policy forbids, fails the test."""
    context = browser.new_context(base_url=str(client.base_url), accept_downloads=True, **options)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page, wrong = context.new_page(), []
    page.set_default_timeout(WAIT_MS)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if "Content Security Policy" in said.text else None)
    try:
        page.goto(f"/#/{panel}")
        page.locator(f"#{panel} option >> nth=1").wait_for(state="attached")
        page.locator("#e-preset option >> nth=3").wait_for(state="attached")  # the lists have come
        yield page
    finally:
        context.close()
    assert wrong == []


@pytest.mark.parametrize(("route", "field", "value"), [("restyle", "style", "studio"), ("compose", "backdrop", "oak")])
def test_a_request_can_be_tried_on_the_page_of_the_document(browser, client, route, field, value):
    """Only what was filled in is sent, and the picture that comes back is shown."""
    page, wrong = browser.new_page(viewport={"width": 1200, "height": 1600}), []
    page.set_default_timeout(WAIT_MS)
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.goto(f"{client.base_url}/docs#/pictures/{route}")
    page.bring_to_front()
    page.click("text=Try it out", force=True)  # a page behind another may not draw, and would never count as still
    page.locator("input[type=file]").last.set_input_files(
        {"name": "shoe.jpg", "mimeType": "image/jpeg", "buffer": snapshot()[0]}
    )
    page.fill(f".opblock-section-request-body input[placeholder={field}]", value)
    page.click("button.execute")
    picture = page.locator(".live-responses-table img")
    picture.wait_for()
    page.wait_for_function("document.querySelector('.live-responses-table img').naturalWidth > 0")
    sent = page.locator(".curl-command").inner_text()
    page.close()

    assert sent.count("-F ") == 2
    assert f"{field}={value}" in sent
    assert wrong == []


def put(page, panel, data, name="shoe.png", kind="image/png"):
    """Choose a photo."""
    files = data if isinstance(data, list) else [{"name": name, "mimeType": kind, "buffer": data}]
    page.set_input_files(f"#{panel}-photo", files)


def chosen(page):
    """The file chooser that Enter opens; a busy browser lets a key press go by."""
    for _ in range(5):
        try:
            with page.expect_file_chooser(timeout=4000) as waiting:
                page.keyboard.press("Enter")
            return waiting.value
        except playwright.TimeoutError:
            continue
    raise AssertionError("Enter opens no file chooser")


def done(page, panel):
    """The text beneath a finished picture."""
    page.locator(f"#{panel} .result .facts").wait_for()
    page.locator(f"#{panel} .working").wait_for(state="detached")
    return page.locator(f"#{panel} .result .facts").inner_text()


def px(width, height):
    """A size as the page writes it."""
    return f"{width} \N{MULTIPLICATION SIGN} {height} px"


def saved(page, link):
    """What a download link saves: its name and the picture."""
    with page.expect_download() as waiting:
        link.click()
    data = waiting.value.path().read_bytes()
    return waiting.value.suggested_filename, Image.open(io.BytesIO(data))


def asked(page, path, act):
    """The request that an act makes."""
    with page.expect_request(lambda request: request.url.endswith(f"/{path}")) as waiting:
        act()
    return waiting.value


def test_the_first_grid_comes_by_itself_and_a_pick_gives_more_like_it(browser, client):
    with opened(browser, client) as page:
        cards = page.locator("#generate .grid button")
        cards.nth(7).wait_for()
        assert cards.count() == 8
        cards.nth(2).click()
        seed = page.locator("#tray-title").inner_text().split()[-1]
        page.get_by_role("button", name="More like this").click()
        page.locator("#generate .grid img[alt*='towards']").nth(6).wait_for()

        assert cards.count() == 8
        assert seed in cards.nth(0).locator("img").get_attribute("alt")
        assert seed in cards.nth(7).locator("img").get_attribute("alt")


def test_two_picks_are_mixed_by_a_slider_and_saved(browser, client):
    with opened(browser, client) as page:
        page.select_option("#g-category", "dress")
        page.fill("#g-count", "2")
        page.click("#generate details.more summary")
        page.fill("#g-seed", "9223372036854775807")  # more than a JavaScript number holds
        page.click("#generate [type=submit]")
        cards = page.locator("#generate .grid img[alt^='Dress']")
        cards.nth(1).wait_for()
        assert [cards.nth(i).get_attribute("alt") for i in (0, 1)] == [
            "Dress, seed 9223372036854775807",
            "Dress, seed 0",
        ]
        cards.nth(0).click()
        with page.expect_response("**/generate") as even:
            cards.nth(1).click()
        request = asked(page, "generate", lambda: page.fill("#mix", "0.8"))
        assert '"seed":9223372036854775807' in request.post_data
        assert '"mix":{"seed":0,"amount":0.8}' in request.post_data
        page.locator("#generate .working").wait_for(state="detached")
        name, picture = saved(page, page.locator("#generate .download"))

        assert even.value.status == 200
        assert name == "dress-9223372036854775807-to-0-80.webp"
        assert picture.size == (256, 256)


def test_a_photo_is_enhanced_and_compared(browser, client):
    with opened(browser, client, "enhance") as page:
        put(page, "enhance", photo(), "blue shoe.jpg", "image/jpeg")
        page.get_by_label("4").check(force=True)
        page.get_by_label("As much as the photo needs").uncheck()
        page.fill("#e-denoise", "0.2")
        page.click("#enhance [type=submit]")
        assert done(page, "enhance").startswith(f"{px(600, 388)} from {px(150, 97)} · WebP")
        slider = page.get_by_role("slider", name="Before and after")
        slider.press("End")
        assert slider.get_attribute("aria-valuenow") == "100"
        name, picture = saved(page, page.locator("#enhance .result a"))

        assert (name, picture.size) == ("blue-shoe-4x.webp", (600, 388))


def test_a_marketplaces_rules_are_listed(browser, client):
    with opened(browser, client, "enhance") as page:
        put(page, "enhance", product())
        page.select_option("#e-preset", "amazon-main")
        assert "the product fills 85 %" in page.locator("#e-preset-note").inner_text()
        request = asked(page, "enhance", lambda: page.click("#enhance [type=submit]"))
        assert request.headers["accept"] == "application/json"
        assert px(2000, 2000) in done(page, "enhance")

        assert page.locator(".report h3").inner_text().startswith("Amazon, main image: keeps all")
        assert page.locator(".report li.kept").count() == page.locator(".report li").count() > 3
        assert saved(page, page.locator("#enhance .result a"))[0] == "shoe-amazon-main.jpg"


def test_a_photo_takes_another_colour_and_goes_on_to_a_composition(browser, client):
    with opened(browser, client, "restyle") as page:
        put(page, "restyle", product())
        page.get_by_label("New colour").first.check(force=True)
        page.fill("#r-color", "#2e6fb0")
        page.click("#restyle [type=submit]")
        assert "as uploaded" in done(page, "restyle")
        name, picture = saved(page, page.locator("#restyle .result a"))
        assert (name, picture.size) == ("shoe-colorway.webp", (340, 240))
        red, _, blue = picture.convert("RGB").getpixel((170, 120))
        assert blue > red + 40
        page.get_by_role("button", name="Compose it").click()

        assert done(page, "compose").startswith(px(1024, 1024))


@pytest.mark.parametrize(
    ("style", "data"), [("studio", snapshot()[0]), ("sketch", product()), ("from-sketch", drawing())]
)
def test_a_photo_takes_another_style(browser, client, style, data):
    with opened(browser, client, "restyle") as page:
        put(page, "restyle", data)
        page.locator(f"#restyle [value={style}]").check(force=True)
        if style == "from-sketch":
            page.select_option("#r-category", "skirt")
        page.click("#restyle [type=submit]")

        assert "seed" in done(page, "restyle") or style != "from-sketch"


def test_a_composition_follows_its_options(browser, client):
    with opened(browser, client, "compose") as page:
        page.locator("#compose .backdrops img.drawn").nth(16).wait_for()  # each a picture made by the service
        put(page, "compose", [{"name": f"{i}.png", "mimeType": "image/png", "buffer": product()} for i in range(2)])
        assert done(page, "compose").startswith(px(1024, 1024))
        asked(page, "compose", lambda: page.locator("#compose [value=oak]").check(force=True))
        page.locator("#compose .result a[download='0-on-oak.webp']").wait_for()
        page.click("text=Copy as curl")
        copied = page.evaluate("navigator.clipboard.readText()")
        assert (copied.count("-F 'image=@"), copied.count("'backdrop=oak'")) == (2, 1)
        page.fill("#c-width", "300")
        page.fill("#c-height", "200")
        page.locator("#compose .result .facts", has_text=px(300, 200)).wait_for()
        page.select_option("#c-backdrop", "file")
        page.set_input_files("#c-file", [{"name": "wall.jpg", "mimeType": "image/jpeg", "buffer": photo()}])
        page.locator("#compose .result a[download='0-on-file.webp']").wait_for()
        page.select_option("#c-preset", "amazon-main")
        page.locator("#compose .report").wait_for()

        assert px(2000, 2000) in done(page, "compose")
        assert page.locator("#c-backdrop").input_value() == "colour"


def test_a_new_option_takes_the_place_of_a_request_on_its_way(browser, client):
    with opened(browser, client, "compose") as page:
        put(page, "compose", product())
        done(page, "compose")
        failed = []
        page.on("requestfailed", lambda request: failed.append(request.failure))
        page.fill("#c-width", "3000")
        page.fill("#c-height", "3000")
        page.locator("#compose .working").wait_for()
        page.fill("#c-width", "64")
        page.fill("#c-height", "64")
        page.locator("#compose .result .facts", has_text=px(64, 64)).wait_for()

        assert failed == ["net::ERR_ABORTED"]


def test_waiting_shows_and_can_be_ended(browser, client):
    with opened(browser, client, "enhance") as page:
        page.route("**/enhance", lambda route: None)  # which never answers
        put(page, "enhance", photo())
        page.click("#enhance [type=submit]")
        assert page.get_by_role("progressbar", name="Working").is_visible()
        page.get_by_role("button", name="Cancel").click()

        page.locator("#enhance .working").wait_for(state="detached")
        assert page.locator("#said").inner_text() == "Cancelled"
        assert page.evaluate("document.activeElement.textContent") == "Enhance"


def test_what_is_wrong_is_said_in_plain_words_beside_its_field(browser, client):
    with opened(browser, client, "enhance") as page:
        put(page, "enhance", photo())
        page.select_option("#e-background", "transparent")
        page.click("#enhance details.more summary")
        page.select_option("#e-format", "jpeg")
        page.click("#enhance [type=submit]")
        alert = page.locator("#enhance [role=alert]")
        alert.wait_for()
        assert alert.inner_text().split("\n") == ["The options are not valid", "Background: JPEG cannot be transparent"]
        assert page.locator("#e-background").get_attribute("aria-invalid") == "true"
        put(page, "enhance", b"no picture at all", "x.png")
        page.select_option("#e-format", "webp")
        page.click("#enhance [type=submit]")
        page.locator("#enhance [role=alert] >> text=The upload is not a usable image").wait_for()

        assert page.locator("#enhance [aria-invalid]").count() == 0


def test_who_is_turned_away_for_a_while_is_told_how_long(browser, client):
    with opened(browser, client, "enhance") as page:
        told = '{"title": "Overloaded", "status": 503, "detail": "The queue is long."}'
        heads = {"Retry-After": "7", "Content-Type": "application/problem+json"}
        page.route("**/enhance", lambda route: route.fulfill(status=503, headers=heads, body=told))
        put(page, "enhance", photo())
        page.click("#enhance [type=submit]")
        page.locator("#enhance [role=alert]").wait_for()

        assert page.locator("#enhance [role=alert]").inner_text().split("\n")[-1] == "Try again in 7 s."


def test_a_key_goes_with_every_request_and_is_kept_nowhere(browser, client):
    with opened(browser, client, "enhance") as page:
        page.click("text=API key")
        page.fill("#key", "s3cret")
        page.press("#key", "Enter")
        put(page, "enhance", photo())
        request = asked(page, "enhance", lambda: page.click("#enhance [type=submit]"))
        done(page, "enhance")
        page.click("text=Copy as curl")
        copied = page.evaluate("navigator.clipboard.readText()")
        kept = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")

        assert request.headers["authorization"] == "Bearer s3cret"
        assert "s3cret" not in kept + copied + page.url
        assert '-H "Authorization: Bearer $VITRINE_KEY"' in copied
        page.reload()
        assert page.locator("#key").input_value() == ""


@pytest.mark.parametrize("guarded", ["categories", "generate"])
def test_where_a_key_is_needed_the_page_asks_for_it_and_goes_on(browser, client, guarded):
    told = '{"title": "A key is needed", "status": 401, "detail": "Send one."}'

    def guard(route):
        if "authorization" in route.request.headers:
            return route.continue_()
        return route.fulfill(status=401, content_type="application/problem+json", body=told)

    context = browser.new_context(base_url=str(client.base_url), **PHONE)
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    page.route(f"**/{guarded}", guard)
    page.goto("/")
    page.locator("[role=alert] >> text=A key is needed").wait_for()
    box = page.locator("#key").bounding_box()
    assert 0 <= box["x"] <= box["x"] + box["width"] <= 390
    page.fill("#key", "s3cret")
    page.press("#key", "Enter")
    page.locator("#generate .grid button").nth(7).wait_for()

    assert page.locator("[role=alert] >> visible=true").count() == 0
    context.close()


def test_a_panel_has_an_address(browser, client):
    with opened(browser, client, "restyle") as page:
        assert page.title() == "Restyle · Vitrine studio"
        page.goto("/#/compose")
        page.locator("#compose").wait_for()
        page.click("#tab-enhance")

        assert page.url.endswith("/#/enhance")


@pytest.mark.parametrize("button", ["Copy as curl", "Copy as Python"])
@pytest.mark.parametrize("panel", ["generate", "enhance"])
def test_the_last_request_can_be_made_again_elsewhere(browser, client, tmp_path, panel, button):
    """The copied text runs, and gives the very picture that the page shows."""
    with opened(browser, client, panel) as page:
        if panel == "enhance":
            data = photo()
            (tmp_path / 'it\'s, "one".jpg').write_bytes(data)
            put(page, "enhance", data, 'it\'s, "one".jpg', "image/jpeg")
            page.click("#enhance [type=submit]")
            done(page, "enhance")
            _, shown = saved(page, page.locator("#enhance .result a"))
        else:
            page.locator("#generate .grid button").nth(7).wait_for()
            page.fill("#g-count", "1")
            page.click("#generate [type=submit]")
            page.locator("#generate .grid li:only-child button").click()
            _, shown = saved(page, page.locator("#generate .download"))
        page.click(f"text={button}")
        copied = page.evaluate("navigator.clipboard.readText()")
        pixels = shown.convert("RGB").tobytes()
    program = ["bash"] if "curl" in button else [sys.executable]
    subprocess.run([*program, "-c", copied], cwd=tmp_path, check=True, timeout=60)  # noqa: S603

    with Image.open(tmp_path / "answer.webp") as again:
        assert again.convert("RGB").tobytes() == pixels


def test_a_photo_is_enhanced_with_the_keyboard_alone(browser, client):
    with opened(browser, client) as page:
        page.locator("#generate .grid button").nth(7).wait_for()
        page.keyboard.press("Tab")
        page.keyboard.press("ArrowRight")
        assert page.evaluate("document.activeElement.id") == "tab-enhance"
        page.keyboard.press("Tab")  # the key
        page.keyboard.press("Tab")  # the documentation
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "enhance-photo"
        chooser = chosen(page)
        chooser.set_files([{"name": "shoe.jpg", "mimeType": "image/jpeg", "buffer": photo()}])
        page.locator("#enhance figure img").wait_for()
        assert page.evaluate("document.activeElement.id") == "enhance-photo"
        page.keyboard.press("Tab")
        page.keyboard.press("ArrowLeft")
        assert page.locator("#enhance [name=scale]:checked").input_value() == "1"
        page.keyboard.press("Enter")
        assert done(page, "enhance").startswith(px(150, 97))
        page.locator("#enhance-photo").focus()
        for _ in range(4):
            page.keyboard.press("Shift+Tab")
        assert page.evaluate("document.activeElement.localName") == "img-comparison-slider"
        page.keyboard.down("ArrowRight")
        page.locator("img-comparison-slider:not([aria-valuenow='50'])").wait_for()
        page.keyboard.up("ArrowRight")


def test_photos_can_be_pasted_and_dropped(browser, client):
    give = """([name, type, kind]) => {
        const transfer = new DataTransfer();
        transfer.items.add(new File([Uint8Array.from(atob(name), (one) => one.charCodeAt(0))], "given.png", { type }));
        const facts = { bubbles: true, cancelable: true };
        document.body.dispatchEvent(kind === "paste"
            ? new ClipboardEvent("paste", { ...facts, clipboardData: transfer })
            : new DragEvent("drop", { ...facts, dataTransfer: transfer }));
    }"""
    with opened(browser, client, "compose") as page:
        for kind in ("paste", "drop"):
            page.evaluate(give, [base64.b64encode(product()).decode(), "image/png", kind])
        page.locator("#compose .photos figure").nth(1).wait_for()
        assert done(page, "compose").startswith(px(1024, 1024))
        page.get_by_role("button", name="Remove given.png").first.click()

        assert page.locator("#compose .photos figure").count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_on_the_page_shuts_anybody_out(browser, client, scheme):
    """axe-core finds nothing serious or critical, in no panel, with results and errors on show."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    with opened(browser, client, color_scheme=scheme, reduced_motion="reduce", bypass_csp=True) as page:
        page.locator("#generate .grid button").nth(7).wait_for()
        page.locator("#generate .grid button").nth(1).click()
        page.locator("#generate .grid button").nth(2).click()
        page.locator("#generate .working").wait_for(state="detached")
        found = grave(axe, page)
        page.click("#tab-enhance")
        put(page, "enhance", product())
        page.select_option("#e-preset", "amazon-main")
        page.click("#enhance [type=submit]")
        done(page, "enhance")
        found += grave(axe, page)
        page.click("#tab-restyle")
        found += grave(axe, page)
        page.click("#restyle details.more summary")
        put(page, "restyle", b"nothing")
        page.click("#restyle [type=submit]")
        page.locator("#restyle [role=alert]").wait_for()
        found += grave(axe, page)
        page.click("#tab-compose")
        put(page, "compose", product())
        done(page, "compose")
        page.click("text=API key")
        found += grave(axe, page)

    assert found == []


def grave(axe, page):
    """What axe finds that is serious or critical: the rule, and where."""
    violations = axe.run(page).response["violations"]
    return [
        (found["id"], [node["html"][:120] for node in found["nodes"]])
        for found in violations
        if found["impact"] in ("serious", "critical")
    ]


def test_a_phone_shows_all_of_it_without_scrolling_sideways(browser, client):
    with opened(browser, client, **PHONE) as page:
        page.locator("#generate .grid button").nth(7).wait_for()
        page.locator("#generate .grid button").first.click()
        for panel in ("generate", "enhance", "restyle", "compose"):
            page.click(f"#tab-{panel}")
            assert page.evaluate("document.documentElement.scrollWidth") == 390, panel
            if panel != "generate":
                put(page, panel, product())
                page.click(f"#{panel} [type=submit]")
                done(page, panel)
                assert page.evaluate("document.documentElement.scrollWidth") == 390, panel


def test_the_page_asks_nobody_but_the_service(browser, client):
    with opened(browser, client) as page:
        hosts = []
        page.on("request", lambda request: hosts.append(request.url))
        page.reload()
        page.locator("#generate .grid button").nth(7).wait_for()
        page.click("#tab-compose")
        page.locator("#compose .backdrops img.drawn").nth(16).wait_for()

        assert [url for url in hosts if not url.startswith((str(client.base_url), "blob:"))] == []
