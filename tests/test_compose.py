"""`POST /compose` and presets over HTTP: products of known shape and colour, measured in the decoded answers."""

import base64
import io
import json
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image

from tests.conftest import ROOT, free_port, only, photo, picture, running

RED = (200, 40, 30)


def product(width=300, height=200, colour=RED, margin=20, mode="PNG"):
    """A block with a transparent margin, as a file: (height + 2 margin, width + 2 margin)."""
    rgba = np.zeros((height + 2 * margin, width + 2 * margin, 4), np.uint8)
    rgba[margin : margin + height, margin : margin + width] = (*colour, 255)
    return saved(rgba, mode)


def saved(pixels, mode="PNG"):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, mode)
    return file.getvalue()


def snapshot(width=320, height=240):
    """A blue vase-like shape on a pale, uneven wall: a photo that the network has to cut."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[0:height, 0:width]
    rgb = 205 + 20 * x[..., None] / width + random.normal(0, 2, (height, width, 3))
    inside = ((x - width / 2) / (0.22 * width)) ** 2 + ((y - height / 2) / (0.36 * height)) ** 2 < 1
    rgb[inside] = np.array((40, 60, 150)) + random.normal(0, 4, (int(inside.sum()), 3))
    return saved(np.clip(rgb, 0, 255).astype(np.uint8)), inside


def composed(client, files, status=200, headers=None, **options):
    """The answer to a form with these images (and a backdrop, where `files` names them)."""
    parts = files if isinstance(files, list) else [("image", files)]
    data = {name: str(value) for name, value in options.items()}
    response = client.post("/compose", files=parts, data=data, headers=headers or {})
    assert response.status_code == status, response.text
    return response


def array(response):
    return np.array(picture(response)).astype(int)


def box_of(mask):
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return rows[0], columns[0], rows[-1] + 1, columns[-1] + 1


def test_a_product_with_alpha_is_laid_where_it_was_asked_for(client):
    found = array(
        composed(client, product(), backdrop="#00ff00", width=400, height=500, fill=0.6, shadow="none", format="png")
    )
    red = np.abs(found - RED).max(2) <= 1
    top, left, bottom, right = box_of(red)

    assert found.shape == (500, 400, 3)
    assert (right - left, bottom - top) == (240, 160)
    assert abs(left + right - 400) <= 1
    assert abs(top + bottom - 500) <= 1
    outside = np.ones((500, 400), bool)
    outside[top - 1 : bottom + 1, left - 1 : right + 1] = False
    assert (found[outside] == (0, 255, 0)).all()
    assert red[top + 1 : bottom - 1, left + 1 : right - 1].all()


def test_at_the_bottom_it_stands_near_the_lower_edge(client):
    found = array(composed(client, product(), width=400, height=400, fill=0.6, anchor="bottom", format="png"))
    _, _, bottom, _ = box_of(np.abs(found - RED).max(2) <= 1)

    assert 365 <= bottom <= 370


def test_what_nobody_chose_is_white_and_of_1024_px(client):
    found = array(composed(client, product(), format="png"))

    assert found.shape == (1024, 1024, 3)
    assert (found[:60] == 255).all()
    _, left, _, right = box_of((found != 255).any(2))
    assert right - left == pytest.approx(0.85 * 1024, abs=2)


def test_pixels_of_a_product_that_fits_as_it_is_are_its_own(client):
    random = np.random.default_rng(1)
    rgba = np.dstack([random.integers(0, 256, (120, 200, 3)), np.full((120, 200), 255)]).astype(np.uint8)
    found = array(composed(client, saved(rgba), cutout="none", width=250, height=250, fill=0.8, format="png"))

    assert (found[65:185, 25:225] == rgba[..., :3]).all()


def test_an_opaque_photo_is_cut_out_unless_that_is_declined(client):
    data, inside = snapshot()
    auto = array(composed(client, data, width=400, height=400, fill=0.9, format="png"))
    whole = array(composed(client, data, width=400, height=400, fill=0.9, cutout="none", format="png"))

    shape = (auto != 255).any(2)
    top, left, bottom, right = box_of(shape)
    wide, high = np.ptp(np.flatnonzero(inside.any(0))) + 1, np.ptp(np.flatnonzero(inside.any(1))) + 1
    assert (right - left) / (bottom - top) == pytest.approx(wide / high, rel=0.08)
    assert shape.sum() / (0.9 * 400) ** 2 == pytest.approx(inside.sum() / high**2, rel=0.1)
    assert not shape[:15].any()
    assert box_of((whole != 255).any(2)) == (65, 20, 335, 380)


def test_a_file_is_a_backdrop_and_its_size_the_canvas(client):
    ground = np.zeros((220, 330, 3), np.uint8)
    ground[:, :165], ground[:, 165:] = (10, 20, 200), (20, 200, 10)
    files = [("image", product()), ("backdrop", saved(ground))]
    found = array(composed(client, files, fill=0.4, harmonize=0, shadow="none", format="png"))

    assert found.shape == (220, 330, 3)
    assert (found[:60, :160] == (10, 20, 200)).all()
    assert (found[:60, 170:] == (20, 200, 10)).all()
    larger = array(composed(client, files, fill=0.4, width=660, height=880, format="png"))
    assert larger.shape == (880, 660, 3)
    assert np.abs(larger[50, 50] - (10, 20, 200)).max() <= 1  # it covers the canvas, cut to it


def test_a_backdrop_that_can_be_seen_through_is_over_white(client):
    ground = np.zeros((200, 200, 4), np.uint8)
    ground[:100] = (10, 20, 200, 255)
    files = [("image", product()), ("backdrop", saved(ground))]
    found = array(composed(client, files, fill=0.3, harmonize=0, shadow="none", format="png"))

    assert (found[:50] == (10, 20, 200)).all()
    assert (found[150:] == 255).all()


def test_over_nothing_there_is_alpha_and_a_shadow_is_black_in_it(client):
    plain = array(composed(client, product(), backdrop="transparent", fill=0.5, format="png"))
    shaded = array(composed(client, product(), backdrop="transparent", fill=0.5, shadow="contact", format="png"))

    assert set(np.unique(plain[..., 3])) == {0, 255}
    _, _, bottom, _ = box_of(plain[..., 3] > 0)
    under = shaded[bottom + 2, 512]
    assert 20 < under[3] < 255
    assert (under[:3] == 0).all()
    assert (shaded[:200, :, 3] == 0).all()


def test_a_gradient_is_drawn(client):
    found = array(composed(client, product(), backdrop="gradient:#101010-#e0e0e0", width=300, height=300, format="png"))

    assert np.abs(found[0] - 16).max() <= 1
    assert np.abs(found[-1] - 224).max() <= 1


def test_every_backdrop_that_is_listed_can_be_had_and_bears_the_product(client):
    listed = client.get("/backdrops").json()["backdrops"]
    assert len(listed) >= 12
    assert all(one["title"] for one in listed)
    seen = []
    for one in listed:
        answer = composed(
            client, product(), backdrop=one["name"], width=200, height=160, anchor="bottom", fill=0.5, harmonize=0,
            format="png",
        )  # fmt: skip
        found = array(answer)
        assert found.shape == (160, 200, 3)
        assert (np.abs(found - RED).max(2) <= 1).mean() > 0.1
        seen.append(found[:40].mean((0, 1)))
    apart = [np.abs(a - b).max() for i, a in enumerate(seen) for b in seen[:i]]
    assert np.median(apart) > 20


def test_shadows_fall_on_pictured_backdrops_by_themselves_and_go_when_asked(client):
    common = {"backdrop": "studio-grey", "anchor": "bottom", "fill": 0.5, "harmonize": 0, "format": "png"}
    without, contact, soft, faint = (
        array(composed(client, product(), **common, **more))
        for more in ({"shadow": "none"}, {}, {"shadow": "soft"}, {"shadow_opacity": 0.1})
    )
    loss = [float((without - one).clip(0).sum()) for one in (contact, soft, faint)]

    assert 0 < loss[2] < 0.3 * loss[0]
    assert loss[1] > 1.5 * loss[0]
    assert (without[:300] == contact[:300]).all()


def test_colours_are_set_into_the_light_but_not_on_plain_grounds(client):
    def mean(**options):
        found = array(
            composed(client, product(), fill=0.5, width=256, height=256, shadow="none", format="png", **options)
        )
        return found[110:146, 80:176].mean((0, 1))

    for backdrop in ("garden", "walnut"):
        still, half, full = (mean(backdrop=backdrop, harmonize=h) for h in (0, 0.5, 1))
        assert np.abs(still - RED).max() <= 1
        assert 0.5 < np.abs(full - still).max() < 40
        assert np.abs(half - still).max() < np.abs(full - still).max()
    assert np.abs(mean(backdrop="#808080", harmonize=1) - RED).max() <= 1


@pytest.mark.parametrize("count", [2, 3, 4])
def test_several_products_are_all_there(client, count):
    colours = [(200, 40, 30), (30, 160, 40), (40, 50, 190), (180, 160, 30)][:count]
    files = [("image", product(120 + 40 * i, 200 - 30 * i, colour)) for i, colour in enumerate(colours)]
    found = array(composed(client, files, width=500, height=500, format="png"))
    areas = [int((np.abs(found - colour).max(2) <= 2).sum()) for colour in colours]

    assert min(areas) > 5000
    assert max(areas) < 1.15 * min(areas)


def test_a_small_product_is_enlarged_by_the_network(client):
    small = composed(client, product(60, 40, margin=4), width=400, height=400)
    edge = np.abs(np.diff(array(small)[200, :, 1])).max()  # one step over a pixel or two, not a ramp over seven

    assert edge > 60


@pytest.mark.parametrize(
    ("backdrop", "source"),
    [
        ("#ffffff", "compositeCapture"),
        ("gradient:#ffffff-#cccccc", "compositeCapture"),
        ("marble", "compositeSynthetic"),
    ],
)
def test_the_label_says_what_was_put_together(client, backdrop, source):
    answer = composed(client, product(60, 40), backdrop=backdrop, width=200, height=200)

    assert f"digitalsourcetype/{source}<".encode() in answer.content
    assert answer.headers["x-model"].startswith("cutout@")


def test_the_same_request_has_the_same_bytes_and_an_etag(client):
    options = {"backdrop": "marble", "anchor": "bottom", "width": 200, "height": 200}
    first, again = (composed(client, product(), **options) for _ in range(2))
    other = composed(client, product(colour=(9, 9, 9)), **options)
    unchanged = composed(client, product(), 304, {"If-None-Match": first.headers["etag"]}, **options)

    assert first.content == again.content
    assert first.headers["etag"] == again.headers["etag"] != other.headers["etag"]
    assert unchanged.content == b""
    stages = [part.split(";")[0].strip() for part in first.headers["server-timing"].split(",")]
    assert stages == ["decode", "queue", "infer", "encode"]


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"backdrop": "nowhere"}, 422),
        ({"backdrop": "#12345"}, 422),
        ({"backdrop": "gradient:#112233"}, 422),
        ({"backdrop": "../secrets"}, 422),
        ({"backdrop": "transparent", "format": "jpeg"}, 422),
        ({"cutout": "maybe"}, 422),
        ({"shadow": "long"}, 422),
        ({"shadow_opacity": "1.5"}, 422),
        ({"fill": "0.05"}, 422),
        ({"fill": "nan"}, 422),
        ({"anchor": "top"}, 422),
        ({"harmonize": "-1"}, 422),
        ({"width": "15"}, 422),
        ({"height": "4097"}, 422),
        ({"format": "gif"}, 422),
        ({"quality": "0"}, 422),
        ({"scale": "2"}, 422),
        ({"image": "text"}, 422),
        ({"preset": "corner-shop"}, 404),
        ({"preset": "amazon-main", "backdrop": "#eeeeee"}, 422),
        ({"preset": "amazon-main", "backdrop": "marble"}, 422),
        ({"preset": "amazon-main", "backdrop": "transparent", "format": "png"}, 422),
        ({"preset": "amazon-main", "shadow": "soft"}, 422),
        ({"preset": "amazon-main", "fill": "0.5"}, 422),
        ({"preset": "amazon-main", "width": "1000", "height": "1000"}, 422),
        ({"preset": "amazon-main", "format": "webp"}, 422),
        ({"preset": "tmall-white", "width": "801", "height": "801"}, 422),
        ({"preset": "walmart", "width": "2200", "height": "2000"}, 422),
    ],
)
def test_bad_options_get_a_problem(client, options, status):
    problem = composed(client, product(), status, **options).json()

    assert problem["status"] == status
    assert bool(problem.get("errors")) == (status == 422)


@pytest.mark.parametrize(
    ("files", "status"),
    [
        ([], 415),  # no form at all
        ([("backdrop", photo())], 422),
        ([("image", photo(size=(9, 9)))] * 5, 422),
        ([("image", b"")], 400),
        ([("image", b"no picture")], 400),
        ([("image", photo()[:500])], 400),
        ([("image", photo(size=(20, 20))), ("backdrop", b"no picture")], 400),
        ([("image", photo(size=(20, 20))), ("backdrop", photo()), ("backdrop", photo())], 422),
        ([("image", ("x.svg", b"<svg/>", "image/svg+xml"))], 415),
        ([("mask", photo())], 422),
    ],
)
def test_bad_files_get_a_problem(client, files, status):
    problem = composed(client, files, status).json()

    assert problem["status"] == status
    assert "Traceback" not in json.dumps(problem)


def test_a_raw_body_is_no_form(client):
    response = client.post("/compose", content=photo(), headers={"Content-Type": "image/jpeg"})

    assert response.status_code == 415
    assert response.json()["type"].endswith("unsupported-media-type")


def test_a_photo_without_a_product_is_named(client):
    clear = saved(np.zeros((30, 30, 4), np.uint8))
    problem = composed(client, [("image", product()), ("image", clear)], 422).json()

    assert problem["errors"][0]["loc"] == ["body", "image", 1]
    assert problem["errors"][0]["type"] == "no_product"


PRESETS = sorted(path.stem for path in (ROOT / "app" / "presets").glob("*.toml"))
SIZES = {
    "amazon-main": (2000, 2000), "ebay": (1600, 1600), "etsy": (2667, 2000), "google-merchant": (1500, 1500),
    "shopify": (2048, 2048), "tmall-white": (800, 800), "walmart": (2200, 2200), "zalando-packshot": (1801, 2600),
}  # fmt: skip


def test_the_presets_of_the_contract_are_listed_with_their_sources(client):
    listed = {one["name"]: one for one in client.get("/presets").json()["presets"]}

    assert set(listed) == set(SIZES) == set(PRESETS)
    for one in listed.values():
        assert one["source"]
        assert one["read"].startswith("20")


@pytest.mark.parametrize(
    ("route", "name"),
    [("/compose", name) for name in PRESETS]
    + [("/enhance", name) for name in ("amazon-main", "shopify", "tmall-white")],
)
def test_a_preset_is_kept_as_the_decoded_file_shows(client, route, name):
    random = np.random.default_rng(2)
    rgba = np.zeros((700, 560, 4), np.uint8)
    y, x = np.mgrid[0:700, 0:560]
    inside = ((x - 280) / 250) ** 2 + ((y - 350) / 330) ** 2 < 1
    rgba[inside] = np.dstack([random.integers(20, 200, (700, 560, 3)), np.full((700, 560), 255)])[inside]
    options = {"preset": name} | ({"model": "enhance-x2-fast"} if route == "/enhance" else {})
    head = {"Accept": "application/json"}
    response = client.post(route, files={"image": saved(rgba)}, data=options, headers=head)
    assert response.status_code == 200, response.text
    answer = response.json()
    data = base64.b64decode(answer["images"][0]["data"])
    found = np.array(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)

    assert response.headers["x-preset-compliance"] == "pass"
    assert all(set(one) == {"rule", "required", "measured", "ok"} for one in answer["compliance"])
    assert found.shape == (*SIZES[name][::-1], 3)
    assert answer["images"][0]["media_type"] == ("image/webp" if name == "shopify" else "image/jpeg")
    taken = box_of(found.min(2) < 240)
    share = max((taken[2] - taken[0]) / found.shape[0], (taken[3] - taken[1]) / found.shape[1])
    assert share >= {"amazon-main": 0.85, "google-merchant": 0.75, "tmall-white": 0.98}.get(name, 0.8)
    if name in ("amazon-main", "google-merchant", "tmall-white", "walmart", "zalando-packshot"):
        corners = [found[:40, :40], found[:40, -40:], found[-40:, :40], found[-40:, -40:]]
        assert all((corner == 255).all() for corner in corners)
    if name == "tmall-white":
        assert 38_000 <= len(data) <= 3_000_000


def test_a_file_that_cannot_keep_its_rules_says_so(client):
    """An even block makes too small a file for Tmall, at any quality."""
    response = composed(client, product(), preset="tmall-white", headers={"Accept": "application/zip"})
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        manifest = json.loads(archive.read("manifest.json"))

    assert response.headers["x-preset-compliance"] == "fail"
    assert [one["rule"] for one in manifest["compliance"] if not one["ok"]] == ["bytes"]


def test_google_takes_transparent_pictures(client):
    response = composed(client, product(), preset="google-merchant", backdrop="transparent", format="png")

    assert response.headers["x-preset-compliance"] == "pass"
    assert (array(response)[:100, :, 3] == 0).all()


def test_a_shop_adds_its_own_presets(tmp_path):
    own = """
title = "The shop's own tiles"
source = "the shop"
read = 2026-01-01
rules = "Small and grey."
canvas = [320, 200]
fill = [0.2, 0.4, 0.6]
formats = ["png"]
file_bytes = [1, 1000000]
"""
    (tmp_path / "tiles.toml").write_text(own)
    with running(MODELS_DIR=only("cutout", "harmonize"), PRESETS_DIR=tmp_path) as server:
        names = [one["name"] for one in server.client.get("/presets").json()["presets"]]
        found = array(composed(server.client, product(), preset="tiles", backdrop="#777777"))

    assert {"tiles", "ebay"} <= set(names)
    assert found.shape == (200, 320, 3)
    assert (found[:10] == 0x77).all()


def stopped_start(folder):
    """What `vitrine serve` says when it does not start because of its presets."""
    command = [sys.executable, "-c", "from app.cli import main; main()", "serve"]
    environment = {**os.environ, "VITRINE_PRESETS_DIR": str(folder), "VITRINE_PORT": str(free_port())}  # noqa: TID251
    told = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    assert told.returncode == 2
    return told.stderr


@pytest.mark.parametrize("text", ["title = 1", "no toml", "canvas = [1, 2]\nsource = 'x'"])
def test_a_preset_that_is_wrong_stops_the_start(tmp_path, text):
    (tmp_path / "tiles.toml").write_text(text)

    assert "preset tiles.toml" in stopped_start(tmp_path)
    assert "no folder" in stopped_start(tmp_path / "nowhere")
