"""What the networks learn from is read right, or refused with a reason."""

import gzip
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from training.augment import augment
from training.curate import duplicates, shape_scores, shrink_rgba, split_of
from training.data import DataError, halve, read_fashion_mnist, read_idx, read_photos
from training.degrade import Degradation, degrade, degraded, reduce_clean, reduced_patches
from training.networks.blocks import smooth
from training.patches import TRIES, Photos, cut
from training.pictures import on_white, read_rgb
from training.restoration import read_clean


def idx(array):
    """LeCun's format: two zeros, 8 for bytes, the number of dimensions, the sizes."""
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return b"\0\0\x08" + bytes([array.ndim]) + sizes + array.tobytes()


def random_picture(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("packed", [False, True])
def test_fashion_mnist_is_read_from_the_files_of_its_home(tmp_path, packed):
    images, labels = random_picture(6, 28, 28), np.arange(6, dtype=np.uint8)
    for name, array in (("train-images-idx3-ubyte", images), ("train-labels-idx1-ubyte", labels)):
        data = idx(array)
        path = tmp_path / (f"{name}.gz" if packed else name)
        path.write_bytes(gzip.compress(data) if packed else data)

    read = read_fashion_mnist(tmp_path)

    assert (read.pictures[..., 0] == images).all()
    assert read.labels.tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("data", [b"", b"\0\0\x08", b"\0\0\x0d\x01\0\0\0\x01\0", idx(np.zeros(5, np.uint8))[:-1]])
def test_a_damaged_idx_file_is_refused(tmp_path, data):
    (tmp_path / "x").write_bytes(data)

    with pytest.raises(DataError):
        read_idx(tmp_path / "x")


def test_photos_too_small_to_learn_from_are_left_out(tmp_path):
    for name, side in (("a", 100), ("b", 400)):
        for index in range(6):
            cv2.imwrite(str(tmp_path / f"{name}{index}.png"), random_picture(side, side, 3))

    assert {photo.shape for photo in read_photos(tmp_path, "train", least=128)} == {(200, 200, 3)}


def test_photos_are_halved_as_often_as_told_and_what_is_too_small_for_that_less_often(tmp_path):
    for folder, side in (("large", 400), ("small", 150)):
        (tmp_path / folder).mkdir()
        for index in range(6):
            cv2.imwrite(str(tmp_path / folder / f"{index}.png"), random_picture(side, side, 3))

    sides = {
        (folder, halvings): read_clean(tmp_path / folder, "train", 64, halvings)[0].shape[0]
        for folder in ("large", "small")
        for halvings in (0, 1, 2)
    }
    assert [sides["large", halvings] for halvings in (0, 1, 2)] == [400, 200, 100]
    assert [sides["small", halvings] for halvings in (0, 1, 2)] == [150, 75, 75]
    with pytest.raises(DataError, match="has no train photo"):
        read_clean(tmp_path / "small", "train", 200, 2)


@pytest.mark.parametrize(("frequency", "least", "most"), [(0.1, 90, 100), (0.4, 0, 5), (0.45, 0, 2)])
def test_halving_keeps_what_the_half_can_show_and_leaves_no_trace_of_the_rest(frequency, least, most):
    """A grating of amplitude 100; the half shows 0.25 cycles a pixel. The mean of each square would leave 31 and 16."""
    wave = 128 + 100 * np.cos(2 * np.pi * frequency * np.arange(256))
    picture = np.tile(wave.round().astype(np.uint8)[None, :, None], (65, 1, 3))

    half = halve(picture)

    assert half.shape == (32, 128, 3)
    assert least <= np.sqrt(2) * half[4:-4, 4:-4].std() <= most


def test_a_transparent_picture_is_read_over_white(tmp_path):
    rgba = np.zeros((8, 8, 4), np.uint8)
    rgba[:, :4] = (10, 20, 200, 255)  # BGRA
    cv2.imwrite(str(tmp_path / "a.png"), rgba)

    found = read_rgb(tmp_path / "a.png")
    assert (found[:, :4] == (200, 20, 10)).all()
    assert (found[:, 4:] == 255).all()


def test_each_kind_of_photo_comes_as_often():
    few, many = [np.full((40, 40, 3), 10, np.uint8)], [np.full((40, 40, 3), 200, np.uint8)] * 50
    found = Photos([few, many]).patches(400, 32, torch.Generator().manual_seed(0))[:, 0, 0, 0]

    assert 150 < (found == 10).sum() < 250


def test_level_zero_is_the_plain_reduction_and_each_level_is_worse_than_the_one_before():
    clean = cv2.GaussianBlur(random_picture(128, 128, 3), (0, 0), 2)
    plain = reduce_clean(clean, 2)
    errors = []
    for level in (0.0, 0.3, 0.6, 1.0):
        found = [degrade(clean, 2, level, Degradation(), torch.Generator().manual_seed(s)) for s in range(5)]
        errors.append(np.mean([(one.astype(float) - plain) ** 2 for one in found]))

    assert errors[0] == 0
    assert errors == sorted(errors)
    assert errors[1] < errors[2] < errors[3]


def test_degraded_patches_fit_and_are_the_same_for_the_same_seed():
    clean = random_picture(4, 32, 32, 3)
    first = degraded(clean, 2, Degradation(), torch.Generator().manual_seed(1))
    again = degraded(clean, 2, Degradation(), torch.Generator().manual_seed(1))

    assert [tuple(t.shape) for t in first] == [(4, 16, 16, 3), (4,)]
    assert first[0].dtype == torch.uint8
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def cubic(x):
    """The kernel of Keys 1981 with a = -1/2."""
    x = np.abs(x)
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0))


def reduced_columns(values, scale):
    """(H, W, 3) -> (H / scale, W, 3) as MATLAB's `imresize` does it, in sums that are written out."""
    height = len(values)
    centre = scale * np.arange(height // scale) + (scale - 1) / 2
    rows = np.arange(-2 * scale, height + 2 * scale)
    weights = cubic((centre[:, None] - rows) / scale)
    mirrored = np.where(rows < 0, -rows - 1, np.where(rows >= height, 2 * height - 1 - rows, rows))
    sums = np.einsum("or,rwc->owc", weights / weights.sum(1, keepdims=True), values[mirrored])
    return np.floor(sums + 0.5).clip(0, 255)


@pytest.mark.parametrize("scale", [2, 4])
def test_clean_pictures_are_reduced_as_the_standard_protocol_has_it(scale):
    clean = random_picture(4, 32, 48, 3)
    expected = []
    for picture in clean.astype(float):
        columns = reduced_columns(picture, scale)
        expected.append(reduced_columns(columns.transpose(1, 0, 2), scale).transpose(1, 0, 2))

    assert (reduced_patches(torch.from_numpy(clean), scale).numpy() == expected).all()
    assert (reduce_clean(clean[0], scale) == expected[0]).all()


@pytest.mark.parametrize("scale", [2, 4])
def test_the_reduction_is_that_of_published_pairs(scale):
    pairs = sorted((Path(__file__).parents[3] / "shared" / "eval" / "set5").glob(f"x{scale}_*_LR.png"))
    if not pairs:
        pytest.skip("no standard pairs beside the project")
    for path in pairs:
        small, large = read_rgb(path), read_rgb(path.with_name(path.name.replace("LR", "HR")))
        found = reduce_clean(large[: scale * small.shape[0], : scale * small.shape[1]], scale)
        # Their large pictures were cropped after the reduction.
        assert (found == small)[3:-3, 3:-3].all()


def test_patches_come_from_inside_the_photos():
    photos = Photos([[np.full((40, 50, 3), value, np.uint8)] for value in (10, 200)])
    patches = photos.patches(20, 32, torch.Generator().manual_seed(0))

    assert patches.shape == (20, 32, 32, 3)
    assert set(patches.ravel().tolist()) == {10, 200}


def test_patches_are_turned_and_mirrored_pieces_of_a_photo():
    photo = random_picture(11, 13, 3)
    patches = Photos([[photo]]).patches(200, 8, torch.Generator().manual_seed(0)).numpy()

    pieces = {
        np.ascontiguousarray(piece).tobytes(): way
        for way, whole in enumerate((photo, photo.transpose(1, 0, 2)))
        for top in range(whole.shape[0] - 7)
        for left in range(whole.shape[1] - 7)
        for piece in (whole[top : top + 8, left : left + 8],)
        for piece in (piece, piece[::-1], piece[:, ::-1], piece[::-1, ::-1])
    }
    found = [patch.tobytes() for patch in patches]
    assert set(found) <= pieces.keys()
    assert {pieces[one] for one in found} == {0, 1}
    assert len(set(found)) > 100


def test_of_a_patch_s_candidates_the_most_varied_is_cut():
    plain, varied = np.full((32, 32, 3), 10, np.uint8), random_picture(32, 32, 3)
    photos = Photos([[plain], [varied]])
    first, second = (torch.tensor([start, 32, 1]) for start in (0, 32 * 32))

    found = cut(photos.pixels, torch.stack([first, second, first])[None], 32)[0]

    assert (found.numpy() == varied).all()
    places = photos.places(300, 32, torch.Generator().manual_seed(0))
    different = [len({tuple(one) for one in each}) for each in places.tolist()]
    assert {different.count(n) > 20 for n in range(1, TRIES + 1)} == {True}


def test_augmentation_leaves_the_ground_white_and_transparent():
    picture = torch.cat([torch.ones(8, 3, 32, 32), torch.zeros(8, 1, 32, 32)], 1)
    picture[:, :, 12:20, 12:20] = torch.tensor([0.8, 0.1, 0.1, 1.0])[:, None, None]
    changed = augment(picture, torch.Generator().manual_seed(0))

    ground = changed[:, 3] == 0
    assert ground.flatten(1).sum(1).tolist() == [32 * 32 - 64] * 8
    assert (changed[:, :3].permute(0, 2, 3, 1)[ground] == 1).all()
    assert not torch.equal(changed, picture)


def test_a_share_of_the_pictures_is_warped_as_well():
    """Mirroring, recolouring and whole-pixel shifts leave alpha of 0 and 1 alone; turning and stretching do not."""
    picture = torch.cat([torch.ones(64, 3, 32, 32), torch.zeros(64, 1, 32, 32)], 1)
    picture[:, :, 8:24, 10:22] = torch.tensor([0.8, 0.1, 0.1, 1.0])[:, None, None]

    def turned(share):
        alpha = augment(picture, torch.Generator().manual_seed(0), share)[:, 3]
        return int(((alpha > 0.01) & (alpha < 0.99)).flatten(1).any(1).sum())

    assert (turned(0.0), turned(1.0)) == (0, 64)
    assert 16 < turned(0.5) < 48


def test_a_checkerboard_does_not_survive_smoothing():
    board = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).repeat(8, 8)[None, None]

    assert smooth(board).shape == board.shape
    assert (smooth(board)[..., 1:-1, 1:-1] - 0.5).abs().max() < 1e-6
    assert torch.equal(smooth(torch.full((1, 2, 5, 5), 3.0)), torch.full((1, 2, 5, 5), 3.0))


def test_shrinking_does_not_mix_the_colours_of_transparent_pixels_in():
    square = np.zeros((8, 8, 4), np.uint8)
    square[:, :5] = (200, 20, 20, 255)
    small = shrink_rgba(square, 4)

    assert (small[:, :3, :3] == (200, 20, 20)).all()
    assert (on_white(small)[:, 3] == 255).all()


def test_an_unusual_silhouette_scores_lower_than_its_class():
    squares = []
    for shift in range(6):
        square = np.zeros((64, 64, 4), np.uint8)
        square[10 + shift : 50 + shift, 20:44, 3] = 255
        squares.append(square)
    odd = np.zeros((64, 64, 4), np.uint8)
    odd[28:36, 2:62, 3] = 255
    scores = shape_scores([*squares, odd])

    assert scores[:6].min() > 0.75
    assert scores[6] < 0.4


def test_splits_are_about_ninety_five_and_five():
    shares = [split_of(f"object-{index}") for index in range(4000)]

    assert 0.88 < shares.count("train") / 4000 < 0.92
    assert 0.04 < shares.count("test") / 4000 < 0.06
    assert duplicates([]) == set()
