"""Colours change as asked and keep their shading, lines are clean, light is smooth, drawings are read however drawn."""

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw

from app.repository import read_models
from app.sessions import Engine
from app.tasks.colours import lab, srgb
from app.tasks.lines import Lines, without_strokes
from app.tasks.restyle import TONES, Colorway, Drawing, inked, recoloured, relit

MODELS = Path(__file__).parents[2] / "models"


def cloth(seed=0, side=160):
    """A folded, woven disc on a wooden table: rgb and alpha."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:side, 0:side]
    folds = 1 + 0.25 * np.sin(x / 9 + y / 23) + 0.06 * random.standard_normal((side, side))
    colour = random.uniform(60, 170, 3)
    table = np.array((150, 110, 70)) * (1 + 0.1 * np.sin(y / 5)[..., None])
    inside = (x - side / 2) ** 2 + (y - side / 2) ** 2 < (0.4 * side) ** 2
    rgb = np.where(inside[..., None], colour * folds[..., None], table)
    return np.clip(rgb, 0, 255).astype(np.uint8), np.where(inside, 255, 0).astype(np.uint8)


def cloth_dyed(rgb, alpha, wish):
    """What `Colorway` gets from a network that dyes all of a product evenly: (2, 2, 12)."""
    luma = np.array([0.2126, 0.7152, 0.0722])
    mean = rgb[alpha > 0].mean(0) / 255
    factors = np.outer(np.array(wish) / 255, luma / (mean @ luma))
    change = np.concatenate([factors.ravel(), np.array(wish) / 255 - factors @ mean])
    return np.tile(change.astype(np.float32), (2, 2, 1))


def in_colour(rgb, alpha, wish, strength=1.0):
    work = Colorway(rgb, alpha, 64, wish)
    work.put(0, cloth_dyed(rgb, alpha, work.row(0)["color"]))
    return recoloured(rgb, alpha, work.balanced(), work.box, strength)


@pytest.mark.parametrize(
    "wish", [(192, 57, 43), (31, 111, 178), (46, 139, 87), (224, 177, 58), (122, 74, 163), (138,) * 3]
)
def test_a_product_gets_the_mean_colour_that_was_wished_for(wish):
    for seed in range(4):
        rgb, alpha = cloth(seed)
        found = in_colour(rgb, alpha, wish)
        inside = alpha > 0

        assert np.linalg.norm(lab(found[inside]).mean(0) - lab(np.array(wish))) < 3
        assert (found[~inside] == rgb[~inside]).all()
        before, after = (lab(one[inside])[:, 0] for one in (rgb, found))
        assert np.corrcoef(before, after)[0, 1] > 0.97  # every fold is where it was


def test_a_mean_that_the_network_misses_is_set_right():
    rgb, alpha = cloth()
    work = Colorway(rgb, alpha, 64, (31, 111, 178))
    work.put(0, cloth_dyed(rgb, alpha, (60, 90, 160)))
    found = recoloured(rgb, alpha, work.balanced(), work.box, 1.0)

    assert np.linalg.norm(lab(found[alpha > 0]).mean(0) - lab(np.array((31, 111, 178)))) < 3


def test_black_and_white_are_wished_as_what_still_shows_folds():
    for seed in range(4):
        rgb, alpha = cloth(seed)
        for wish, light in (((255, 255, 255), TONES[1]), ((0, 0, 0), TONES[0])):
            told = Colorway(rgb, alpha, 64, wish).row(0)["color"]
            found = lab(in_colour(rgb, alpha, wish)[alpha > 0])
            assert abs(lab(told)[0] - light) < 1
            assert abs(found[:, 0].mean() - light) < 4
            assert np.abs(found[:, 1:].mean(0)).max() < 4
            assert found[:, 0].std() > 0.7


def test_half_the_strength_is_half_the_way():
    rgb, alpha = cloth()
    none, half, full = (in_colour(rgb, alpha, (31, 111, 178), s).astype(float) for s in (0, 0.5, 1))

    assert (none == rgb).all()
    assert np.abs(half - (none + full) / 2).max() <= 1


def test_what_differs_from_place_to_place_is_smooth_and_lies_over_the_product_wherever_that_is():
    """A change that brightens from left to right, on a product that is cut off by the photo's edge."""
    rgb, alpha = np.full((700, 900, 3), 100, np.uint8), np.zeros((700, 900), np.uint8)
    alpha[100:, 300:] = 255
    work = Colorway(rgb, alpha, 64, (100, 100, 100))
    change = np.zeros((8, 8, 12), np.float32)
    change[..., [0, 4, 8]] = 1
    change[..., 9:] = np.linspace(-0.2, 0.2, 8)[None, :, None]
    found = recoloured(rgb, alpha, change, work.box, 1.0)[..., 0].astype(int)

    assert work.box.left + work.box.width > 900  # the square reaches beyond the photo
    assert (found[:100] == 100).all()
    assert (found[:, :300] == 100).all()
    assert 0 <= np.diff(found[400, 300:]).min() <= np.diff(found[400, 300:]).max() <= 1
    assert abs(found[400, work.box.left + work.box.width // 2] - 100) <= 1
    assert (found[100:, 300:] == found[100, 300:]).all()  # no seam between blocks


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (5, 7)])
@pytest.mark.parametrize("level", [0, 9, 255])
def test_a_product_of_any_shape_can_be_recoloured(shape, level):
    rgb, alpha = np.full((*shape, 3), 90, np.uint8), np.full(shape, level, np.uint8)
    work = Colorway(rgb, alpha, 64, (200, 40, 40))
    work.put(0, np.tile(np.eye(4, 3, dtype=np.float32).ravel(), (8, 8, 1)))
    found = recoloured(rgb, alpha, work.balanced(), work.box, 1.0)

    assert work.row(0)["image"].shape == (64, 64, 4)
    assert found.shape == rgb.shape
    if level == 0:
        assert (found == rgb).all()
    if level == 255:
        assert np.abs(found.astype(int) - (200, 40, 40)).max() <= 2


def test_lab_is_what_the_standard_says_and_srgb_its_reverse():
    """Reference values of sRGB white, black, red and a mid grey, D65."""
    colours = np.array([[255, 255, 255], [0, 0, 0], [255, 0, 0], [119, 119, 119]], np.uint8)
    expected = [[100, 0, 0], [0, 0, 0], [53.24, 80.09, 67.20], [50.03, 0, 0]]
    every = np.random.default_rng(0).integers(0, 256, (500, 3), dtype=np.uint8)

    assert np.abs(lab(colours) - expected).max() < 0.1
    assert np.abs(srgb(lab(every)) - every).max() < 0.1


def test_light_is_applied_smoothly_and_only_where_there_is_product():
    rgb = np.full((100, 140, 3), 100, np.uint8)
    alpha = np.zeros((100, 140), np.uint8)
    alpha[20:80, 20:120] = 255
    light = np.zeros((8, 8, 6), np.float32)
    light[:, 4:, 0] = np.log(1.5)
    light[..., 5] = 0.1
    full, half = (relit(rgb, alpha, light, s).astype(int) for s in (1.0, 0.5))

    assert (relit(rgb, alpha, light, 0.0) == rgb).all()
    assert abs(full[50, 110, 0] - 150) <= 1
    assert abs(full[50, 30, 0] - 100) <= 1
    assert abs(full[50, 60, 2] - 126) <= 1
    assert 120 <= half[50, 110, 0] <= 124
    assert np.abs(np.diff(full[50, 20:120, 0])).max() <= 4
    assert (relit(rgb, np.zeros_like(alpha), light, 1.0) == rgb).all()


@pytest.fixture(scope="module")
def sketch():
    """The shipped network behind `Lines`: a photo, its alpha and a strength -> a drawing."""
    model = read_models(MODELS)["sketch"]
    engine = Engine(model.data, cores=2)

    def made(rgb, alpha, strength=1.0):
        work = Lines(rgb, alpha, model.manifest.size)
        work.put(0, engine.run({"image": work.row(0)["image"][None]})[0])
        return work.drawn(strength)

    return made


def test_lines_are_where_the_edges_are_and_the_paper_is_white(sketch):
    rgb = np.full((300, 300, 3), 180, np.uint8)
    rgb[:, 150:] = 60  # an edge inside
    rgb = np.clip(rgb + np.random.default_rng(0).normal(0, 3, rgb.shape), 0, 255).astype(np.uint8)  # noise
    alpha = np.zeros((300, 300), np.uint8)
    alpha[50:250, 50:250] = 255
    found = sketch(rgb, alpha)[..., 0].astype(int)

    assert found.shape == (300, 300)
    assert found[150, 45:56].min() < 60  # the outline
    assert found[150, 144:158].min() < 100  # the edge
    assert (found[:40] == 255).all()
    assert (found[70:230, 70:130] > 250).mean() > 0.999  # noise leaves no specks
    assert (sketch(rgb, alpha, 0.0) == 255).all()


SIDES = [(160, 120), (400, 533), (1000, 1000), (2600, 1900)]


def garment(width, height, stripes=0.0):
    """A photo of a garment-like shape with an edge inside, and its alpha; `stripes` is the contrast of fine stripes."""
    random = np.random.default_rng(width)
    y, x = np.mgrid[0:height, 0:width] / np.array([height, width])[:, None, None]
    inside = (np.abs(x - 0.5) < 0.3) & (np.abs(y - 0.5) < 0.36) & ~((np.abs(x - 0.5) < 0.1) & (y < 0.2))
    rgb = np.where(x < 0.5, 175, 90)[..., None] + random.normal(0, 4, (height, width, 3))
    rgb += stripes * (1 - 2 * (np.floor(110 * y) % 2))[..., None]
    rgb[~inside] = 230
    return np.clip(rgb, 0, 255).astype(np.uint8), np.where(inside, 255, 0).astype(np.uint8)


@pytest.fixture(scope="module")
def outlined(sketch):
    """Garments of some size, drawn once."""
    return cache(lambda size: sketch(*garment(*size)))


def parts_of(mask):
    """A number for every part that hangs together, also by corners; 0 outside."""
    return cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)[1]


@pytest.mark.parametrize("size", SIDES)
def test_paper_is_white_and_nothing_small_is_drawn_on_it_at_any_size(outlined, size):
    found = outlined(size)
    ink = found[..., 0] < 200
    sizes = np.bincount(parts_of(ink).ravel())[1:]

    assert found.shape == (*size[::-1], 3)
    assert (found[..., :1] == found).all()
    assert (found == 255).mean() > 0.9
    assert (found[: size[1] // 12] == 255).all()
    assert len(sizes[sizes > 0]) <= 2  # the outline, and the edge inside where it does not touch that
    assert ink.mean() < 0.06


@pytest.mark.parametrize("size", SIDES)
def test_the_outline_is_closed_at_any_size(outlined, size):
    """What is inside cannot be reached from the paper's edge without crossing ink."""
    free = outlined(size)[..., 0] > 140
    labels = parts_of(free)
    width, height = size

    assert labels[0, 0] != labels[height // 2, width // 3] != 0
    edge = ~free[int(0.25 * height) : int(0.8 * height), int(0.47 * width) : int(0.53 * width) + 1]
    assert edge.any(1).mean() > 0.95  # and the edge inside is whole


def test_lines_are_as_thick_as_the_picture_is_large(sketch):
    shares = [(sketch(*garment(*size))[..., 0] < 128).mean() for size in ((700, 700), (2800, 2800))]

    assert shares[1] == pytest.approx(shares[0], rel=0.15)


def test_a_fine_faint_pattern_does_not_become_hatching(sketch):
    rgb, alpha = garment(800, 1000, stripes=6)
    plain, striped = (sketch(one, alpha)[..., 0] < 128 for one in (garment(800, 1000)[0], rgb))

    assert striped.mean() < 1.5 * plain.mean()


def test_the_soft_edge_of_a_shadow_is_not_drawn_and_that_of_a_colour_is(sketch):
    alpha = np.zeros((600, 600), np.uint8)
    alpha[60:-60, 60:-60] = 255
    y, x = np.mgrid[0:600, 0:600]
    beyond = x + 0.4 * y - 420
    shaded = 200 * (1 - 0.4 / (1 + np.exp(-np.clip(beyond / 5, -30, 30))))
    coloured = np.where(beyond[..., None] > 0, (60, 90, 160), 200)
    inner = (slice(100, 500), slice(100, 500))
    light, cloth = (
        (sketch(one.astype(np.uint8), alpha)[inner][..., 0] < 128).sum()
        for one in (np.repeat(shaded[..., None], 3, 2), coloured)
    )

    assert light == 0
    assert cloth > 400


def test_letters_can_be_read(sketch):
    """Of a printed letter the drawing has its strokes: what is between them stays white."""
    rgb, alpha = garment(800, 1000)
    rgb = rgb.copy()
    rgb[400:600, 220:380] = np.where(letter_e(200, 160)[..., None], 30, rgb[400:600, 220:380])
    ink = sketch(rgb, alpha)[400:600, 220:380, 0] < 128
    strokes = letter_e(200, 160)

    assert ink[:, 0:12].any(1).mean() > 0.9  # the back of the letter
    assert all(ink[rows].any() for rows in (slice(0, 36), slice(80, 120), slice(164, 200)))
    assert ink[~strokes & (np.arange(160) > 50)].mean() < 0.25
    assert ink.mean() < 0.35


def letter_e(height, width):
    """(H, W) bool."""
    y, x = np.mgrid[0:height, 0:width] / np.array([height, width])[:, None, None]
    return (x < 0.22) | (y < 0.14) | (y > 0.86) | ((np.abs(y - 0.5) < 0.07) & (x < 0.8))


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (5, 7), (64, 64)])
@pytest.mark.parametrize("level", [0, 255])
def test_any_picture_can_be_drawn(sketch, shape, level):
    found = sketch(np.full((*shape, 3), 90, np.uint8), np.full(shape, level, np.uint8))

    assert found.shape == (*shape, 3)
    if level == 0:
        assert (found == 255).all()


def test_ink_comes_back_where_the_product_was():
    """A network that inks alpha: its square fits the picture's, whatever part of the picture the product is."""
    for top, left, high, wide in ((0, 0, 300, 400), (100, 250, 40, 60), (10, 0, 200, 30), (260, 300, 40, 100)):
        alpha = np.zeros((300, 400), np.uint8)
        alpha[top : top + high, left : left + wide] = 255
        work = Lines(np.zeros((300, 400, 3), np.uint8), alpha, 128)
        image = work.row(0)["image"]
        work.put(0, image[..., 3:].repeat(2, 0).repeat(2, 1))
        ink = work.drawn(1.0)[..., 0] < 128
        assert image.shape == (128, 128, 4)
        assert (ink & (alpha > 0)).sum() / (ink | (alpha > 0)).sum() > 0.9


def test_a_small_product_gets_no_hair_thin_lines():
    """A product that is a tenth of the picture is drawn by the network at twice the tenth of its square, no larger."""
    alpha = np.zeros((1000, 1000), np.uint8)
    alpha[450:550, 450:550] = 255
    image = Lines(np.zeros((1000, 1000, 3), np.uint8), alpha, 512).row(0)["image"]

    assert (image[..., 3] > 127).any(0).sum() == pytest.approx(2 * 51.2, abs=3)


def test_specks_and_faint_strokes_are_left_out():
    ink = np.zeros((400, 400), np.float32)
    ink[100:104, 50:350] = 1  # a line
    ink[200:206, 200:206] = 1  # a speck
    ink[300:304, 50:350] = 0.5  # a line that is nowhere dark
    found = without_strokes(ink)

    assert (found[100:104] == ink[100:104]).all()
    assert (found[150:] == 0).all()
    assert (without_strokes(np.zeros((3, 5), np.float32)) == 0).all()


def drawn(size=(900, 700), width=5, ink=20, paper=245, shade=0):
    """A shirt by a hand, as a photo of paper."""
    image = Image.new("RGB", size, (paper,) * 3)
    w, h = size
    points = [(0.3, 0.2), (0.42, 0.25), (0.58, 0.25), (0.7, 0.2), (0.85, 0.4), (0.74, 0.48), (0.68, 0.4), (0.68, 0.85)]
    points += [(0.32, 0.85), (0.32, 0.4), (0.26, 0.48), (0.15, 0.4), (0.3, 0.2)]
    ImageDraw.Draw(image).line([(x * w, y * h) for x, y in points], fill=(ink,) * 3, width=width, joint="curve")
    array = np.array(image).astype(float)
    return np.clip(array * (1 - shade * np.linspace(0, 1, w)[None, :, None]), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"width": 1},
        {"width": 20},
        {"ink": 120},
        {"shade": 0.6},
        {"size": (3000, 2300), "width": 4},
        {"size": (90, 70), "width": 1},
        {"ink": 235, "paper": 30},
    ],
)
def test_a_drawing_is_read_whatever_the_pen_and_the_light(options):
    rgb = drawn(**options)
    work = Drawing(rgb, 128, 3, 17, 1.0)
    image = work.row(0)["image"]
    width = rgb.shape[1]

    assert not work.is_blank
    assert image.shape == (128, 128, 1)
    assert abs(work.box.left + work.box.width / 2 - width / 2) < 0.04 * width
    assert abs(work.box.width - 1.12 * 0.7 * width) < 0.08 * width
    lines = image[..., 0] < 128
    assert 0.02 < lines.mean() < 0.3
    rows, columns = np.flatnonzero(lines.any(1)), np.flatnonzero(lines.any(0))
    assert 4 <= columns[0] <= 12
    assert 116 <= columns[-1] <= 124
    assert lines[(rows[0] + rows[-1]) // 2].sum() >= 2  # both sides
    assert (image[:3] == 255).all()


@pytest.mark.parametrize(
    "picture", [np.full((60, 80, 3), 250, np.uint8), np.zeros((60, 80, 3), np.uint8), drawn()[:40, :40]]
)
def test_paper_alone_is_blank(picture):
    assert Drawing(picture, 128, 0, 0, 1.0).is_blank
    assert inked(picture).max() == 0
