"""The real server, as a subprocess, with the shipped models."""

import io
import re
import shutil
import subprocess
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.conftest import only, photo, picture, running
from tests.load import crowd, generate


def test_a_garment_is_generated(client):
    response = client.post("/generate", json={"category": "t-shirt", "seed": 3, "format": "png"})

    assert response.status_code == 200, response.text
    pixels = np.array(Image.open(io.BytesIO(response.content)))
    assert pixels.shape == (128, 128, 3)
    assert (pixels[0, 0] == 255).all()
    assert pixels.std() > 10
    assert response.headers["x-seed"] == "3"
    assert b"trainedAlgorithmicMedia" in response.content


def test_sixty_four_at_once_give_the_same_bytes_as_alone(client):
    def one(seed):
        return client.post("/generate", json={"seed": seed}).content

    alone = one(5)
    with ThreadPoolExecutor(64) as pool:
        crowd = list(pool.map(one, range(64)))

    assert crowd[5] == alone
    assert len(set(crowd)) == 64


def test_an_etag_saves_the_inference(client):
    first = client.post("/generate", json={"seed": 1})
    again = client.post("/generate", json={"seed": 1}, headers={"If-None-Match": first.headers["etag"]})

    assert (again.status_code, again.content) == (304, b"")


def test_several_images_come_as_json(client):
    body = client.post("/generate", json={"seed": 9, "count": 3}).json()

    assert [image["seed"] for image in body["images"]] == [9, 10, 11]
    assert client.post("/generate", json={"count": 3}, headers={"Accept": "image/png"}).status_code == 406


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"count": 17}, 422),
        ({"seed": -1}, 422),
        ({"seed": "1"}, 422),
        ({"colour": "red"}, 422),
        ({"background": "blue"}, 422),
        ({"background": "transparent", "format": "jpeg"}, 422),
        ({"category": "spaceship"}, 404),
        ({"model": "none"}, 404),
        ({"size": 1025}, 422),
    ],
)
def test_bad_options_get_a_problem(client, body, status):
    response = client.post("/generate", json=body)

    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["status"] == status
    assert client.post("/generate", json={"seed": 1}).status_code == 200


def test_what_one_reads(client):
    assert client.get("/healthz").status_code == 200
    assert len(client.get("/categories").json()["categories"]) == 13
    model = client.get("/models/garments-128").json()
    assert model["digest"].startswith("sha256:")
    assert model["provider"] in ("CPUExecutionProvider", "CUDAExecutionProvider")
    assert model["quality"]
    assert model["licence"]["data"] == "CC0-1.0"
    assert client.get("/models/none").status_code == 404
    assert client.get("/nowhere").json()["type"] == "urn:vitrine:problem:not-found"


def test_a_body_over_the_limit_is_refused_while_it_streams(client):
    def endless():
        for _ in range(100):
            yield b" " * 1_000_000

    response = client.post("/generate", content=endless(), headers={"Content-Type": "application/json"})

    assert response.status_code == 413
    assert response.json()["type"] == "urn:vitrine:problem:body-too-large"
    assert client.post("/generate", json={"seed": 1}).status_code == 200


def test_a_form_and_a_raw_body_give_the_same_bytes(client):
    data = photo()
    form = client.post("/enhance", files={"image": ("a.jpg", data, "image/jpeg")}, data={"scale": "2"})
    raw = client.post("/enhance", content=data, headers={"Content-Type": "image/jpeg"}, params={"scale": 2})

    assert picture(form).size == (300, 194)
    assert form.content == raw.content
    assert form.headers["etag"] == raw.headers["etag"]
    assert form.headers["x-native-size"] == "150x97"
    assert all(stage in form.headers["server-timing"] for stage in ("decode", "queue", "infer", "encode"))
    assert b"algorithmicallyEnhanced" in form.content


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (129, 64)])
@pytest.mark.parametrize("scale", [1, 2, 4])
def test_any_size_comes_back_at_the_right_one(client, size, scale):
    response = client.post("/enhance", files={"image": photo(size=size)}, data={"scale": scale, "format": "png"})

    assert picture(response).size == (scale * size[0], scale * size[1])


def test_the_mean_colour_stays(client):
    data = photo(format="PNG", size=(300, 200))
    before = np.array(Image.open(io.BytesIO(data))).mean((0, 1))
    after = np.array(picture(client.post("/enhance", files={"image": data}, data={"format": "png"}))).mean((0, 1))

    assert np.abs(before - after).max() < 0.6


def test_without_work_the_pixels_are_untouched(client):
    data = photo(format="PNG")
    response = client.post("/enhance", files={"image": data}, data={"scale": 1, "denoise": 0, "format": "png"})

    assert (np.array(picture(response)) == np.array(Image.open(io.BytesIO(data)))).all()


def crisp():
    """A picture that nothing has been done to: shapes with smooth edges, PNG."""
    large = Image.new("RGB", (640, 480), (230, 228, 224))
    draw = ImageDraw.Draw(large)
    for index in range(12):
        left, top = 50 * index, 30 * (index % 7)
        draw.ellipse((left, top, left + 160, top + 120), fill=(20 * index, 60, 220 - 15 * index))
        draw.rectangle((left, top + 200, left + 30, top + 280), fill=(200, 20 * index, 40))
    file = io.BytesIO()
    large.resize((160, 120), Image.Resampling.BOX).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "options", "model"),
    [
        (photo(), {}, "enhance-x2"),
        (photo(), {"scale": 4}, "enhance-x4"),
        (photo(), {"denoise": 0}, "upscale-x2"),
        (photo(), {"denoise": 0, "scale": 4}, "upscale-x4"),
        (photo(), {"denoise": 0, "model": "enhance-x2"}, "enhance-x2"),
        (crisp(), {}, "upscale-x2"),
        (crisp(), {"denoise": 0.5}, "enhance-x2"),
    ],
)
def test_what_needs_no_restoration_goes_to_a_model_that_only_enlarges(client, data, options, model):
    response = client.post("/enhance", files={"image": data}, data=options)
    facts = client.get(f"/models/{model}").json()

    assert response.headers["x-model"] == f"{model}@{facts['version']}"
    assert response.headers["x-model-digest"] == facts["digest"]
    assert facts["digest"].encode() in response.content
    again = client.post(
        "/enhance", files={"image": data}, data=options, headers={"If-None-Match": response.headers["etag"]}
    )
    assert again.status_code == 304
    assert "x-model" not in again.headers  # which is not known before a look at the picture


def test_edges_are_nearer_to_the_truth_than_bicubic(client):
    truth = Image.open(io.BytesIO(crisp()))
    file = io.BytesIO()
    small = truth.resize((80, 60), Image.Resampling.BICUBIC)
    small.save(file, "PNG")
    errors = [
        np.mean((np.asarray(one, float) - np.asarray(truth, float)) ** 2)
        for one in (
            picture(client.post("/enhance", files={"image": file.getvalue()}, data={"denoise": 0, "format": "png"})),
            small.resize(truth.size, Image.Resampling.BICUBIC),
        )
    ]

    assert errors[0] < 0.5 * errors[1]


def test_the_pixels_of_a_clean_picture_are_its_own_at_its_own_size(client):
    answer = picture(client.post("/enhance", files={"image": crisp()}, data={"scale": 1, "format": "png"}))

    assert (np.array(answer) == np.array(Image.open(io.BytesIO(crisp())))).all()


def test_alpha_is_kept_and_can_be_laid_over_a_colour(client):
    rgba = np.zeros((60, 60, 4), np.uint8)
    rgba[15:45, 15:45] = (200, 30, 30, 255)
    file = io.BytesIO()
    Image.fromarray(rgba).save(file, "PNG")

    kept = np.array(picture(client.post("/enhance", files={"image": file.getvalue()}, data={"format": "png"})))
    options = {"format": "png", "background": "#0000ff"}
    laid = np.array(picture(client.post("/enhance", files={"image": file.getvalue()}, data=options)))

    assert kept.shape == (120, 120, 4)
    assert (kept[0, 0, 3], kept[60, 60, 3]) == (0, 255)
    assert abs(int(kept[60, 60, 0]) - 200) < 6
    assert tuple(laid[0, 0]) == (0, 0, 255)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_comes_back_upright(client, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    response = client.post("/enhance", files={"image": photo(exif=exif)})

    assert picture(response).size == ((300, 194) if orientation < 5 else (194, 300))


@pytest.mark.parametrize("data", [photo("CMYK"), photo("I;16", format="PNG"), photo("P", format="GIF"), photo("L")])
def test_other_modes_are_enhanced(client, data):
    assert picture(client.post("/enhance", files={"image": data})).size == (300, 194)


def bomb():
    """The head of a PNG that says 50,000 x 50,000."""
    head = b"IHDR" + (50_000).to_bytes(4) * 2 + b"\x08\x02\0\0\0"
    return b"\x89PNG\r\n\x1a\n\0\0\0\r" + head + zlib.crc32(head).to_bytes(4) + b"\0" * 64


@pytest.mark.parametrize(
    ("data", "kind", "status"),
    [
        (b"", "image/jpeg", 400),
        (b"hello", "image/jpeg", 400),
        (b"hello", "text/plain", 415),
        (b"<svg/>", "image/svg+xml", 415),
        (photo()[:-400], "image/jpeg", 400),
        (photo() + b"PK\3\4", "image/jpeg", 400),
        (bomb(), "image/png", 413),
        (b"\0" * 100_000_000, "image/png", 413),
    ],
    ids=["empty", "text", "text-type", "svg", "truncated", "trailing", "bomb", "100 MB"],
)
def test_bad_uploads_get_a_problem(client, data, kind, status):
    response = client.post("/enhance", content=data, headers={"Content-Type": kind})

    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert client.post("/enhance", files={"image": photo(size=(9, 9))}).status_code == 200


def ball(width, height):
    """An orange ball on blue-grey ground with light from one side; and where the ball is."""
    down, across = np.mgrid[:height, :width] + 0.5
    distance = np.hypot(across - width / 2, down - height / 2)
    inside = distance < 0.3 * min(width, height)
    ground = np.stack([70 + 30 * across / width, 90 + 20 * down / height, np.full_like(across, 120)], 2)
    orange = np.array([230, 120, 30]) * (1 - 0.35 * across / width)[..., None]
    noise = np.random.default_rng(0).normal(0, 3, (height, width, 3))
    return np.clip(np.where(inside[..., None], orange, ground) + noise, 0, 255).astype(np.uint8), inside


@pytest.mark.parametrize(("width", "height"), [(300, 260), (1800, 1200)])
def test_a_product_is_cut_out_at_the_photos_own_size(client, width, height):
    """With scale 1 and no restoration its pixels stay as they are."""
    rgb, inside = ball(width, height)
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "PNG")
    options = {"scale": "1", "denoise": "0", "format": "png"}

    def cut(background):
        response = client.post("/enhance", files={"image": file.getvalue()}, data={**options, "background": background})
        return np.asarray(picture(response))

    rgba, white = cut("transparent"), cut("white")
    found = rgba[..., 3] > 127

    assert rgba.shape == (height, width, 4)
    assert white.shape == (height, width, 3)
    assert (found & inside).sum() / (found | inside).sum() > 0.97
    opaque = rgba[..., 3] == 255
    assert opaque.sum() > 0.9 * inside.sum()
    assert (rgba[..., :3][opaque] == rgb[opaque]).all()
    assert (white[rgba[..., 3] == 0] == 255).all()
    assert (white[opaque] == rgb[opaque]).all()


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"scale": "3"}, 422),
        ({"denoise": "2"}, 422),
        ({"denoise": "nan"}, 422),
        ({"colour": "red"}, 422),
        ({"preset": "corner-shop"}, 404),
        ({"preset": "walmart", "format": "webp"}, 422),
        ({"preset": "walmart", "background": "#eeeeee"}, 422),
    ],
)
def test_bad_enhance_options_get_a_problem(client, options, status):
    response = client.post("/enhance", files={"image": photo(size=(9, 9))}, data=options)

    assert response.status_code == status
    assert response.json()["status"] == status


def test_a_large_generated_picture_goes_through_the_enhancer(client):
    response = client.post("/generate", json={"seed": 4, "size": 200, "format": "png", "background": "transparent"})

    assert np.array(picture(response)).shape == (200, 200, 4)


def test_a_zip_holds_the_files_and_a_manifest(client):
    response = client.post("/generate", json={"seed": 9, "count": 2}, headers={"Accept": "application/zip"})

    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        assert archive.namelist() == ["01.webp", "02.webp", "manifest.json"]


def batches(client):
    """Batches and rows of the generator so far, from /metrics."""
    text = client.get("/metrics").text
    return [
        float(re.search(rf'vitrine_batch_rows_{name}{{model="garments-128"}} (\S+)', text)[1])
        for name in ("count", "sum")
    ]


def test_the_average_batch_is_over_two_in_a_crowd():
    # On a busy machine a row may take as long as a batch should.
    with running(MODELS_DIR=only("garments-128"), BATCH_S=10) as server:
        before = batches(server.client)
        answers = crowd(server.port, [generate(seed=seed) for seed in range(100, 164)])
        count, rows = (after - old for after, old in zip(batches(server.client), before, strict=True))

    assert all(answer.status == 200 for answer in answers)
    assert rows == 64
    assert rows / count > 2


def test_the_metrics_name_what_an_operator_asks_for(client):
    client.post("/generate", json={"seed": 1})
    text = client.get("/metrics").text

    for name in (
        'vitrine_requests_total{route="/generate",status="200"}',
        'vitrine_stage_seconds_bucket{le="0.001",route="/generate",stage="queue"}',
        'vitrine_queue_age_seconds{model="garments-128"}',
        'vitrine_refusals_total{code="overloaded"}',
        "vitrine_model_info{",
        "vitrine_ready 1.0",
        "process_resident_memory_bytes",
    ):
        assert name in text


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Debian package prometheus) is not installed")
def test_promtool_accepts_the_metrics(client):
    text = client.get("/metrics").content
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)  # noqa: S607

    assert checked.returncode == 0, checked.stderr.decode()
