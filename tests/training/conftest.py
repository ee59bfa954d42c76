"""A small catalogue of drawn products, on disk, as a shop's folder of photos would be."""

import cv2
import numpy as np
import pytest
import torch

from training.__main__ import main

torch.set_num_threads(1)  # the networks are small, and another process of tests has the other core

SHAPES = {
    "cup": [(90, 60), (230, 60), (215, 260), (105, 260)],
    "sign": [(160, 40), (280, 160), (160, 280), (40, 160)],
}


def photo(label, seed):
    """One product (480, 480, 3) uint8 RGB: a coloured shape, slightly moved, on an uneven, noisy ground."""
    random = np.random.default_rng(seed)
    ground = random.uniform(-8, 8, (8, 9, 1)) + np.array((190, 180, 165))
    picture = cv2.resize(ground, (480, 480)).astype(np.uint8)
    corners = 1.5 * np.array(SHAPES[label]) + random.integers(-12, 13, 2) + random.integers(-6, 7, (4, 2))
    colour = [int(c) for c in random.permutation([30, 90, 200])]
    cv2.fillPoly(picture, [corners.astype(np.int32)], colour)
    noisy = cv2.GaussianBlur(picture, (0, 0), 1.0) + random.normal(0, 3, picture.shape)
    return noisy.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def catalogue(tmp_path_factory):
    """Forty photos in two folders named by class, and a file that is no photo."""
    folder = tmp_path_factory.mktemp("catalogue")
    for label in SHAPES:
        (folder / label).mkdir()
        for index in range(20):
            rgb = photo(label, 100 * len(label) + index)
            cv2.imwrite(str(folder / label / f"{index:02d}.png"), rgb[..., ::-1])
    (folder / "cup" / "broken.jpg").write_bytes(b"no photo")
    return folder


@pytest.fixture(scope="session")
def curated(catalogue, tmp_path_factory):
    """What `curate` makes of the catalogue."""
    out = tmp_path_factory.mktemp("curated")
    main(["curate", str(catalogue), "--out", str(out), "--processes", "2"])
    return out
