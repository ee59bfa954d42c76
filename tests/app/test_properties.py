"""What must hold for every size, text and option, tried on many that nobody would think of (hypothesis)."""

import json
import math

import numpy as np
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from app.admission import patience
from app.answers import Envelope, negotiate, ranked
from app.composing import merged
from app.errors import AppError, BadRequest, BodyTooLarge, InvalidOptions, NotAcceptable
from app.images import ImageFormat
from app.limits import problem_parts
from app.schemas import ComposeOptions, EnhanceOptions, GenerateRequest, RestyleOptions
from app.scopes import SANE_ID, request_id
from app.settings import Settings
from app.tasks.colours import lab, rgb_of, srgb
from app.tasks.compose import arranged, trimmed
from app.tasks.enhance import LEAST_MARGINS, STEPS, Tiles, fill_hidden, keep_mean, mirrored, tile_shape
from app.uploads import check, read_json

steady = settings(
    derandomize=True, database=None, deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
sides = st.integers(1, 90)
pixels = st.integers(0, 2**32 - 1).map(np.random.default_rng)


@steady
@given(pixels, sides, sides, st.integers(0, 14), st.integers(1, 48), st.integers(1, 48), st.sampled_from([1, 2, 4]))
@example(np.random.default_rng(0), 1, 1, 14, 1, 1, 4)
def test_tiles_through_a_network_that_only_enlarges_are_the_picture_enlarged(
    random, height, width, margin, down, across, scale
):
    rgb = random.integers(0, 256, (height, width, 3), np.uint8)
    tiles = Tiles(rgb, 0.5, shape=(down + 2 * margin, across + 2 * margin), margin=margin, scale=scale)
    for index in random.permutation(tiles.rows):
        image = tiles.row(int(index))["image"]
        assert image.shape == (*tiles.shape, 3)
        tiles.put(int(index), image.repeat(scale, 0).repeat(scale, 1))

    assert (tiles.output == rgb.repeat(scale, 0).repeat(scale, 1)).all()


@steady
@given(st.integers(1, 70_000), st.integers(1, 70_000), st.integers(0, 40), st.floats(1, 1e9), st.integers(1, 64))
def test_the_tiles_of_every_picture_are_within_their_limit(height, width, margin, most, side_by_side):
    down, across = tile_shape(height, width, margin, most, side_by_side)

    assert {down - 2 * margin, across - 2 * margin} <= set(STEPS.tolist())
    assert down * across <= max(most, (STEPS[0] + 2 * margin) ** 2, (LEAST_MARGINS * margin) ** 2)


@steady
@given(st.integers(-300, 300), st.integers(0, 300), st.integers(1, 100))
def test_what_is_mirrored_stays_inside_and_goes_on_without_a_jump(start, count, length):
    index = mirrored(start, count, length)

    assert len(index) == count
    assert not count or (index.min() >= 0 and index.max() < length)
    assert (np.abs(np.diff(index)) <= 1).all()


@steady
@given(pixels, sides, sides, st.floats(0, 1))
def test_hidden_colours_are_filled_and_visible_ones_kept(random, height, width, share):
    rgb = random.integers(0, 256, (height, width, 3), np.uint8)
    alpha = np.where(random.random((height, width)) < share, 255, 0).astype(np.uint8)
    filled = fill_hidden(rgb, alpha)

    assert (filled[alpha > 0] == rgb[alpha > 0]).all()
    assert (filled.shape, filled.dtype) == (rgb.shape, np.uint8)


@steady
@given(pixels, sides, sides, st.integers(-9, 9))
def test_the_mean_colour_comes_back(random, height, width, off):
    rgb = random.integers(20, 236, (height, width, 3)).astype(np.uint8)
    moved = (rgb.astype(int) + off).astype(np.uint8)

    assert (keep_mean(moved, rgb) == rgb).all()


shapes = st.lists(st.tuples(st.integers(1, 70_000), st.integers(1, 70_000)), min_size=1, max_size=4)
canvases = st.integers(16, 4096)


@steady
@given(shapes, canvases, canvases, st.floats(0.1, 1), st.sampled_from(["center", "bottom"]))
@example([(1, 70_000)], 4096, 16, 0.1, "bottom")
@example([(70_000, 1)] * 4, 16, 4096, 1.0, "center")
def test_products_are_on_the_canvas_and_fill_what_was_asked(shapes, width, height, fill, anchor):
    boxes = arranged(shapes, width, height, fill, anchor)
    left, top = min(box.left for box in boxes), min(box.top for box in boxes)
    right = max(box.left + box.width for box in boxes)
    bottom = max(box.top + box.height for box in boxes)

    assert len(boxes) == len(shapes)
    assert all(box.width >= 1 and box.height >= 1 for box in boxes)
    assert left >= 0
    assert top >= 0
    assert right <= width
    assert bottom <= height
    # Boxes are rounded, and have a pixel at least: within two of them it is what was asked.
    assert right - left <= fill * width + 3
    assert bottom - top <= fill * height + 3
    assert right - left >= fill * width - 3 or bottom - top >= fill * height - 3
    if anchor == "center":
        assert abs(left - (width - right)) <= 3
        assert abs(top - (height - bottom)) <= 3
    else:
        assert max(box.top + box.height for box in boxes) - min(box.top + box.height for box in boxes) <= 3


@settings(steady, max_examples=25)
@given(
    pixels, st.lists(st.tuples(sides, sides), min_size=1, max_size=4), st.integers(16, 200), st.integers(16, 200),
    st.sampled_from(["none", "contact", "soft"]), st.booleans(), st.booleans(),
)  # fmt: skip
def test_every_scene_can_be_put_together(random, shapes, width, height, shadow, lying, clear):
    boxes = arranged(shapes, width, height, 0.85, "center" if lying else "bottom")
    layers = [random.integers(0, 256, (box.height, box.width, 4), np.uint8) for box in boxes]
    ground = np.zeros((height, width, 4), np.uint8) if clear else random.integers(0, 256, (height, width, 3), np.uint8)
    canvas = merged(ground, layers, boxes, shadow, 0.6, lying)

    assert canvas.pixels.shape == ground.shape
    assert (canvas.alpha.shape, canvas.alpha.dtype) == ((height, width), np.uint8)


@steady
@given(pixels, sides, sides, st.floats(0.01, 1))
def test_what_is_trimmed_shows_all_that_can_be_seen(random, height, width, share):
    rgba = random.integers(0, 256, (height, width, 4), np.uint8)
    rgba[..., 3] *= random.random((height, width)) < share
    rgba[random.integers(height), random.integers(width), 3] = 255
    found = trimmed(rgba)

    assert (found[..., 3] > 8).sum() == (rgba[..., 3] > 8).sum()
    assert all((found[edge][..., 3] > 8).any() for edge in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]))


kinds = st.sampled_from(
    ["image/png", "image/*", "*/*", "application/json", "application/zip", "text/html", "", "/", "*"]
)
weights = st.sampled_from(
    ["", ";q=0", ";q=1", ";q=0.5", ";q=", ";q=nan", ";q=inf", ";q=-1", ";Q=0.3", ";v=1;q=0.1", ";;"]
)
accepts = st.one_of(st.text(max_size=60), st.lists(st.tuples(kinds, weights).map("".join), max_size=6).map(",".join))


@settings(steady, max_examples=300)
@given(accepts, st.sampled_from([None, *ImageFormat]), st.integers(1, 16))
def test_any_accept_field_picks_an_answer_or_none(accept, wanted, count):
    order = ranked(accept)
    assert len(order) <= accept.count(",") + 1
    try:
        envelope, image_format = negotiate(accept, wanted, count)
    except NotAcceptable:
        return
    assert wanted in (None, image_format)
    assert envelope is not Envelope.BYTES or count == 1


def scope(name, value):
    return {"type": "http", "headers": [(name, value)]}


numbers = st.one_of(
    st.binary(max_size=20), st.floats().map(repr).map(str.encode), st.integers().map(str).map(str.encode)
)


@settings(steady, max_examples=300)
@given(numbers)
@example(b"1e999")
@example(b"9" * 5000)
def test_a_request_waits_a_sane_time_or_not_at_all(value):
    limits = Settings()
    try:
        seconds = patience(scope(b"request-timeout", value), limits)
    except InvalidOptions:
        return
    assert math.isfinite(seconds)
    assert 0 < seconds <= limits.max_timeout_s


@settings(steady, max_examples=200)
@given(st.binary(max_size=80))
def test_an_id_is_the_callers_own_or_one_of_ours(value):
    asked = scope(b"x-request-id", value)
    found = request_id(asked)

    assert found == request_id(asked)
    assert SANE_ID.fullmatch(found.encode())
    assert (found.encode() == value) == bool(SANE_ID.fullmatch(value))


words = st.one_of(
    st.text(max_size=20), st.from_regex(r"#[0-9a-fA-F]{6}\n?", fullmatch=True), st.floats().map(str),
    st.sampled_from(["white", "transparent", "keep", "png", "0", "1", "4", "0.5", "auto", "colorway", "studio"]),
)  # fmt: skip
names = st.sampled_from(
    sorted({*EnhanceOptions.model_fields, *ComposeOptions.model_fields, *RestyleOptions.model_fields, "image", ""})
)


@settings(steady, max_examples=300)
@given(st.sampled_from([EnhanceOptions, ComposeOptions, RestyleOptions]), st.lists(st.tuples(names, words), max_size=5))
def test_any_fields_are_checked_options_or_a_problem(model, fields):
    try:
        options = check(model, fields, "body")
    except InvalidOptions as error:
        told = told_of(error)
        assert 0 < len(told["errors"]) <= 20
        return
    assert model.model_validate_json(options.model_dump_json()) == options
    for colour in (getattr(options, "background", None), getattr(options, "color", None)):
        if colour not in (None, "keep", "transparent"):
            assert all(0 <= channel <= 255 for channel in rgb_of(colour))


def told_of(error):
    """A refusal as its client reads it."""
    body, headers = problem_parts("mine", error)
    told = json.loads(body)
    assert told["status"] == error.status
    assert headers["Content-Type"] == "application/problem+json"
    return told


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
bodies = st.dictionaries(st.sampled_from([*GenerateRequest.model_fields, "x"]), values, max_size=4).map(json.dumps)


@settings(steady, max_examples=300)
@given(st.one_of(bodies.map(str.encode), st.binary(max_size=60), st.text(max_size=60).map(lambda text: text.encode())))
def test_any_body_is_a_request_or_a_problem(body):
    try:
        asked = read_json(body, "application/json", GenerateRequest)
    except (BadRequest, BodyTooLarge, InvalidOptions) as error:
        told_of(error)
        return
    assert 1 <= asked.count <= 16
    assert 0 <= asked.truncation <= 1
    assert asked.background == "transparent" or len(rgb_of(asked.background)) == 3


@settings(steady, max_examples=100)
@given(st.lists(st.integers(0, 255), min_size=3, max_size=3))
def test_colours_come_back_from_lab(colour):
    assert np.abs(srgb(lab(np.array(colour, np.uint8))) - colour).max() < 0.6


@settings(steady, max_examples=100)
@given(st.text(max_size=300))
def test_every_error_can_be_told(detail):
    assert told_of(AppError(detail))["detail"] == (detail or AppError.title)
