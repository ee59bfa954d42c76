"""`POST /restyle` over HTTP: what stays of the upload, what changes, and what is refused."""

import io

import numpy as np
import pytest
from PIL import Image

from app.tasks.colours import lab
from tests.conftest import ROOT, photo, picture, running
from tests.test_compose import array, box_of, product, saved, snapshot
from tests.translators import negative, put, softening


def restyled(client, data, status=200, headers=None, **options):
    form = {name: str(value) for name, value in options.items()}
    response = client.post("/restyle", files={"image": data}, data=form, headers=headers or {})
    assert response.status_code == status, response.text
    return response


def drawing(size=(700, 500)):
    """A skirt, drawn with a pen."""
    pixels = np.full((*size[::-1], 3), 250, np.uint8)
    w, h = size
    y, x = np.mgrid[0:h, 0:w]
    down = (y / h - 0.2) / 0.6
    half = 0.12 + 0.16 * down
    edge = np.abs(np.abs(x / w - 0.5) - half) < 0.006
    caps = (np.abs(down) < 0.01) | (np.abs(down - 1) < 0.01)
    pixels[(edge & (down >= 0) & (down <= 1)) | (caps & (np.abs(x / w - 0.5) < half))] = 30
    return saved(pixels)


def test_the_styles_are_listed(client):
    listed = client.get("/styles").json()

    assert listed["styles"] == ["studio", "colorway", "sketch", "from-sketch"]
    assert "skirt" in listed["categories"]


def test_a_snapshot_becomes_a_product_on_exact_white_where_it_was(client):
    data, inside = snapshot()
    answer = restyled(client, data, style="studio", format="png")
    found = array(answer)
    top, left, bottom, right = box_of(inside)

    assert found.shape == (240, 320, 3)
    assert answer.headers["x-native-size"] == "320x240"
    assert answer.headers["x-model"].startswith("relight@")
    assert b"compositeWithTrainedAlgorithmicMedia" in answer.content
    outside = np.ones(inside.shape, bool)
    outside[top - 6 : bottom + 6, left - 6 : right + 6] = False
    assert (found[outside] == 255).mean() > 0.995
    core = found[120 - 20 : 120 + 20, 160 - 20 : 160 + 20].mean((0, 1))
    assert core[2] > core[0] + 40  # still blue
    assert core.max() < 250


def test_studio_keeps_detail_and_its_strength_scales_the_light(client):
    data, _ = snapshot()
    none, half, full = (array(restyled(client, data, style="studio", format="png", strength=s)) for s in (0, 0.5, 1))
    upload = np.array(Image.open(io.BytesIO(data))).astype(int)
    core = (slice(95, 145), slice(135, 185))
    moves = [np.abs((one - upload)[core]).mean() for one in (none, half, full)]

    assert moves[0] == 0
    assert moves[0] < moves[1] < moves[2]
    grain = [(one - one.mean((0, 1)))[..., 1].ravel() for one in (upload[core], full[core])]
    assert np.corrcoef(*grain)[0, 1] > 0.9


def test_a_shadow_and_a_preset_go_with_studio(client):
    plain = array(restyled(client, product(), style="studio", format="png"))
    shaded = array(restyled(client, product(), style="studio", format="png", shadow="contact"))
    answer = restyled(
        client, product(), style="studio", preset="google-merchant", headers={"Accept": "application/json"}
    )

    assert (plain[230:] == 255).all()
    assert shaded[225, 170].max() < 250
    assert answer.headers["x-preset-compliance"] == "pass"
    assert (answer.json()["images"][0]["width"], answer.json()["images"][0]["height"]) == (1500, 1500)


def test_another_colour_leaves_everything_else_bit_for_bit(client):
    data, inside = snapshot()
    upload = np.array(Image.open(io.BytesIO(data)))
    found = np.array(picture(restyled(client, data, style="colorway", color="#b03a2e", format="png")))
    top, left, bottom, right = box_of(inside)
    outside = np.ones(inside.shape, bool)
    outside[top - 6 : bottom + 6, left - 6 : right + 6] = False

    assert found.shape == upload.shape
    assert (found[outside] == upload[outside]).all()
    assert np.abs(found[inside].mean(0) - (0xB0, 0x3A, 0x2E)).max() < 12


def test_the_uploads_own_alpha_says_what_is_recoloured_and_stays(client):
    found = np.array(picture(restyled(client, product(), style="colorway", color="#2e6fb0", format="png")))
    upload = np.array(Image.open(io.BytesIO(product())))

    assert (found[..., 3] == upload[..., 3]).all()
    assert np.abs(found[100, 100, :3].astype(int) - (0x2E, 0x6F, 0xB0)).max() <= 4


def shirt(width=300, height=360):
    """A folded blue shirt with a white print, as a file with alpha; and where the print is."""
    y, x = np.mgrid[0:height, 0:width] / np.array([height, width])[:, None, None]
    inside = (np.abs(x - 0.5) < 0.3) & (np.abs(y - 0.5) < 0.42) & ~((np.abs(x - 0.5) < 0.1) & (y < 0.14))
    folds = 1 + 0.18 * np.sin(40 * x + 9 * y) * (y > 0.3)
    rgb = np.clip(np.array((52, 84, 140)) * folds[..., None], 0, 255)
    printed = (np.abs(x - 0.5) < 0.13) & (np.abs(y - 0.4) < 0.07)
    rgb[printed] = 240
    return saved(np.dstack([rgb, 255 * inside]).astype(np.uint8)), inside, printed


WISHES = ("b03a2e", "2e8b57", "e0b13a", "7a4ea3", "8a8a8a", "1f6fb2")


@pytest.mark.parametrize("wish", WISHES)
def test_the_mean_colour_is_the_one_that_was_wished_for(client, wish):
    """CIE 1976, which is larger than CIEDE2000 for such colours."""
    data, inside, _ = shirt()
    found = np.array(picture(restyled(client, data, style="colorway", color=f"#{wish}", format="png")))[inside][:, :3]
    wanted = lab(np.array([int(wish[at : at + 2], 16) for at in (0, 2, 4)], np.uint8))

    assert np.linalg.norm(lab(found).mean(0) - wanted) < 5


def test_the_print_can_still_be_read_and_folds_stay(client):
    data, inside, printed = shirt()
    found = lab(np.array(picture(restyled(client, data, style="colorway", color="#b03a2e", format="png")))[..., :3])
    cloth = inside & ~printed

    assert found[printed][:, 0].mean() > found[cloth][:, 0].mean() + 25
    upload = lab(np.array(Image.open(io.BytesIO(data)))[..., :3])
    folds = [one[..., 0][cloth] - one[..., 0][cloth].mean() for one in (upload, found)]
    assert np.corrcoef(*folds)[0, 1] > 0.9


def test_black_and_white_are_grey_enough_to_show_folds(client):
    data, inside, printed = shirt()
    cloth = inside & ~printed
    for color, low, high in (("#000000", 2, 25), ("#ffffff", 80, 98)):
        found = lab(np.array(picture(restyled(client, data, style="colorway", color=color, format="png")))[..., :3])
        assert low < found[cloth][:, 0].mean() < high
        assert np.hypot(*found[cloth][:, 1:].mean(0)) < 8
        assert found[cloth][:, 0].std() > 0.4


def test_a_sketch_is_dark_lines_on_white_paper(client):
    data, inside = snapshot()
    found = array(restyled(client, data, style="sketch", format="png"))[..., 0]
    top, left, _, _ = box_of(inside)

    assert found.shape == inside.shape
    assert (found > 250).mean() > 0.9
    assert found[120, left - 6 : left + 7].min() < 90
    assert (found[: top - 8] == 255).all()
    faint = array(restyled(client, data, style="sketch", format="png", strength=0.3))[..., 0]
    assert 170 < faint.min() < 200


def test_a_sketch_is_told_to_be_the_networks_and_honours_alpha(client):
    answer = restyled(client, product(), style="sketch", format="png")
    found = array(answer)[..., 0]

    assert answer.headers["x-model"].startswith("sketch@")
    assert found.shape == (240, 340)
    assert found[120, 14:27].min() < 90  # the outline is where alpha says
    assert (found[40:200, 60:280] == 255).all()  # of a block of one colour nothing else is drawn


def test_a_photo_without_a_product_is_drawn_whole(client):
    pixels = np.full((300, 400, 3), 235, np.uint8)
    pixels[:, 200:] = (70, 90, 60)
    found = array(restyled(client, saved(pixels), style="sketch", format="png"))[..., 0]

    assert found[100:200, 190:212].min(1).mean() < 120  # the edge
    assert (found[:, [0, -1]] == 255).all()  # and not the picture's own


def test_a_drawing_becomes_a_product_where_it_was_drawn(client):
    answer = restyled(client, drawing(), style="from-sketch", category="skirt", seed=5, format="png")
    found = array(answer)
    again = restyled(client, drawing(), style="from-sketch", category="skirt", seed=5, format="png")
    others = [
        array(restyled(client, drawing(), style="from-sketch", category="skirt", seed=s, format="png"))
        for s in range(6)
    ]
    height, width = found.shape[:2]
    shape = found.min(2) < 235
    top, left, bottom, right = box_of(shape)

    assert answer.headers["x-seed"] == "5"
    assert b"/trainedAlgorithmicMedia" in answer.content
    assert again.content == answer.content
    assert width / height == pytest.approx(700 / 500, abs=0.01)
    assert abs((left + right) / 2 - width / 2) < 0.05 * width
    assert abs(top - 0.2 * height) < 0.08 * height
    assert abs(bottom - 0.8 * height) < 0.08 * height
    assert shape[(top + bottom) // 2].sum() > 0.25 * width  # filled, not a line
    colours = [
        one[height // 2 - 20 : height // 2 + 20, width // 2 - 20 : width // 2 + 20].mean((0, 1)) for one in others
    ]
    assert max(np.abs(a - b).max() for a in colours for b in colours) > 40


def test_a_raw_body_and_an_etag_do_as_elsewhere(client):
    data, _ = snapshot()
    form = restyled(client, data, style="colorway", color="#102030")
    raw = client.post("/restyle?style=colorway&color=%23102030", content=data, headers={"Content-Type": "image/png"})
    unchanged = restyled(client, data, 304, {"If-None-Match": form.headers["etag"]}, style="colorway", color="#102030")

    assert raw.content == form.content
    assert unchanged.content == b""
    drawn = [restyled(client, drawing(), style="from-sketch").headers["x-seed"] for _ in range(2)]
    assert drawn[0] != drawn[1]


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({}, 422),
        ({"style": "watercolour"}, 404),
        ({"style": "colorway"}, 422),
        ({"style": "colorway", "color": "red"}, 422),
        ({"style": "studio", "color": "#112233"}, 422),
        ({"style": "studio", "seed": "1"}, 422),
        ({"style": "studio", "strength": "1.2"}, 422),
        ({"style": "studio", "preset": "corner-shop"}, 404),
        ({"style": "studio", "preset": "walmart", "format": "webp"}, 422),
        ({"style": "studio", "preset": "walmart", "shadow": "soft"}, 422),
        ({"style": "sketch", "preset": "walmart"}, 422),
        ({"style": "sketch", "category": "skirt"}, 422),
        ({"style": "from-sketch", "category": "spaceship"}, 404),
        ({"style": "from-sketch", "seed": "-1"}, 422),
        ({"style": "from-sketch", "seed": str(2**63)}, 422),
        ({"style": "from-sketch", "format": "bmp"}, 422),
        ({"style": "sketch", "quality": "101"}, 422),
    ],
)
def test_bad_options_get_a_problem(client, options, status):
    problem = restyled(client, product(), status, **options).json()

    assert problem["status"] == status
    assert bool(problem.get("errors")) == (status == 422)


@pytest.mark.parametrize("style", ["studio", "colorway", "sketch", "from-sketch"])
@pytest.mark.parametrize(
    ("data", "status", "kind"),
    [
        (b"", 400, "bad-image"),
        (b"no picture", 400, "bad-image"),
        (photo()[:400], 400, "bad-image"),
        (saved(np.zeros((20, 30, 4), np.uint8)), 422, "invalid-options"),
    ],
)
def test_bad_uploads_get_a_problem(client, style, data, status, kind):
    options = {"color": "#123456"} if style == "colorway" else {}
    problem = restyled(client, data, status, style=style, **options).json()

    assert problem["type"].endswith(kind)


@pytest.mark.parametrize("style", ["studio", "colorway", "sketch", "from-sketch"])
@pytest.mark.parametrize("size", [(1, 1), (3, 200), (257, 31)])
def test_any_size_comes_back_or_is_refused_with_a_reason(client, style, size):
    options = {"color": "#123456"} if style == "colorway" else {}
    for data in (photo(size=size), product(*size, margin=2)):
        response = client.post("/restyle", files={"image": data}, data={"style": style, **options})
        assert response.status_code in (200, 422), response.text
        if response.status_code == 422:
            assert response.json()["errors"][0]["type"] in ("no_product", "no_drawing")


def test_styles_without_their_model_are_unknown(tmp_path):
    for name in ("cutout", "enhance-x2"):
        (tmp_path / name).symlink_to(ROOT / "models" / name)
    with running(MODELS_DIR=tmp_path) as server:
        assert server.client.get("/styles").json() == {"styles": [], "categories": []}
        for options in ({"style": "studio"}, {"style": "sketch"}, {"style": "colorway", "color": "#102030"}):
            assert restyled(server.client, product(), 404, **options).json()["type"].endswith("unknown-style")


@pytest.fixture(scope="module")
def styled(tmp_path_factory):
    """A repository with two styles of its own, no cut-out, and the server that serves it."""
    root = tmp_path_factory.mktemp("styles")
    put(root, "negative", negative(), margin=0)
    put(root, "soft", softening(), licence={"weights": "MIT", "data": "none"})
    with running(MODELS_DIR=root) as server:
        yield server.client


def test_a_model_of_the_repository_is_a_style_by_its_name(styled):
    assert styled.get("/styles").json() == {"styles": ["negative", "soft"], "categories": []}
    told = styled.get("/models/soft").json()

    assert (told["task"], told["tile"], told["licence"]["weights"], told["active"]) == ("restyle", 64, "MIT", True)
    assert {one["name"] for one in styled.get("/models").json()["models"]} == {"negative", "soft"}


def test_a_models_style_is_applied_at_the_uploads_own_size_and_mixed_by_strength(styled):
    rgb = np.random.default_rng(0).integers(0, 256, (150, 331, 3), dtype=np.uint8)
    for strength in (0, 0.25, 1):
        answer = restyled(styled, saved(rgb), style="negative", format="png", strength=strength)
        expected = np.rint(rgb + strength * (255.0 - 2 * rgb.astype(float)))
        assert np.abs(array(answer) - expected).max() <= (0 if strength in (0, 1) else 1)
    assert answer.headers["x-model"] == "negative@1"
    assert answer.headers["x-native-size"] == "331x150"
    assert b"compositeWithTrainedAlgorithmicMedia" in answer.content


@pytest.mark.parametrize("size", [(1, 1), (3, 70), (64, 64), (700, 500)])
def test_no_tile_is_to_be_seen_in_a_models_style(styled, size):
    """Beside the mean of a square computed at once, with the picture mirrored at its edges."""
    rgb = np.random.default_rng(1).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    found = array(restyled(styled, saved(rgb), style="soft", format="png"))
    wide = np.pad(rgb.astype(float), ((4, 4), (4, 4), (0, 0)), mode="symmetric")
    expected = np.lib.stride_tricks.sliding_window_view(wide, (9, 9), (0, 1)).mean((-1, -2))

    assert np.abs(found - expected).max() <= 0.51


def test_a_models_style_keeps_alpha_and_its_answer_has_a_tag(styled):
    data = product(margin=10)
    answer = restyled(styled, data, style="negative", format="png")
    before, after = (np.array(Image.open(io.BytesIO(one)).convert("RGBA")) for one in (data, answer.content))
    again = restyled(styled, data, 304, {"If-None-Match": answer.headers["etag"]}, style="negative", format="png")

    assert np.array_equal(before[..., 3], after[..., 3])
    opaque = before[..., 3] == 255
    assert np.array_equal(after[opaque][:, :3], 255 - before[opaque][:, :3])
    assert not again.content


@pytest.mark.parametrize(
    ("options", "status", "kind"),
    [
        ({"style": "none"}, 404, "unknown-style"),
        ({"style": "sketch"}, 404, "unknown-style"),  # its model is not there
        ({"style": "negative", "color": "#123456"}, 422, "invalid-options"),
        ({"style": "negative", "seed": 1}, 422, "invalid-options"),
        ({"style": "negative", "preset": "ebay"}, 422, "invalid-options"),
        ({"style": "negative", "strength": 1.5}, 422, "invalid-options"),
    ],
)
def test_what_a_models_style_does_not_take_gets_a_problem(styled, options, status, kind):
    problem = restyled(styled, photo(), status, **options).json()

    assert problem["type"].endswith(kind)
    if status == 422:
        assert problem["errors"][0]["loc"][-1] in options


def test_what_is_no_photo_gets_a_problem_in_a_models_style_too(styled):
    assert restyled(styled, b"no image", 400, style="negative").json()["type"].endswith("bad-image")
