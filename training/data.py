"""What the networks learn from: curated products, Fashion-MNIST, and photos."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from training.curate import PHOTO_SUFFIXES, identify, list_photos, shrink_rgba, split_of
from training.networks.blocks import from_bytes
from training.pictures import Pixels, on_white, read_rgb, read_rgba


class DataError(Exception):
    """The data folder does not hold what the recipe needs. The message says what is missing."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """Pictures with classes, in memory."""

    pictures: NDArray[np.uint8]  # (N, S, S, C)
    labels: NDArray[np.int64]  # (N,)
    classes: tuple[str, ...]

    def batch(self, size: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw (size, C, S, S) float32 in [0, 1] and (size,) int64, with replacement."""
        index = torch.randint(len(self.labels), (size,), generator=random).numpy()
        pictures = from_bytes(torch.from_numpy(self.pictures[index]))
        return pictures, torch.from_numpy(self.labels[index])


def read_products(folder: Path, split: str, side: int) -> Labelled:
    """Curated products of one split: channels are the product over white, and its alpha; (N, side, side, 4).

    Raises:
        DataError: the folder was not written by `curate`, or the split is empty.
    """
    index = folder / "index.csv"
    if not index.is_file():
        raise DataError(f"{folder} has no index.csv: make it with `vitrine-train curate`")
    with index.open(newline="") as file:
        rows = list(csv.DictReader(file))
    classes = tuple(sorted({row["label"] for row in rows}))
    chosen = [row for row in rows if row["split"] == split]
    if not chosen:
        raise DataError(f"{folder} has no product in its {split} split")
    stored = 64 if side <= 64 else 128
    pictures = np.empty((len(chosen), side, side, 4), np.uint8)
    for place, row in enumerate(tqdm(chosen, desc=f"reading {split}", unit="product", leave=False)):
        square = read_rgba(folder / str(stored) / f"{row['id']}.png")
        square = square if side == stored else shrink_rgba(square, side)
        pictures[place, ..., :3], pictures[place, ..., 3] = on_white(square), square[..., 3]
    labels = np.array([classes.index(row["label"]) for row in chosen], np.int64)
    return Labelled(pictures, labels, classes)


def read_idx(path: Path) -> NDArray[np.uint8]:
    """An array from an IDX file of unsigned bytes (LeCun's format), gzipped or not.

    Raises:
        DataError: not such a file, or shorter than its header says.
    """
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if data[:3] != b"\0\0\x08" or len(data) < 4:
        raise DataError(f"{path} is no IDX file of bytes")
    dimensions = data[3]
    shape = tuple(int(n) for n in np.frombuffer(data, ">u4", dimensions, 4))
    if len(data) != 4 + 4 * dimensions + int(np.prod(shape)):
        raise DataError(f"{path} is not as long as its header says")
    return np.frombuffer(data, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


FASHION_CLASSES = ("t-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")


def read_fashion_mnist(folder: Path) -> Labelled:
    """Fashion-MNIST from an .npz file (images, labels) or the IDX files of its home; (N, 28, 28, 1).

    Raises:
        DataError: the folder holds neither.
    """
    packed = sorted(folder.glob("*.npz"))
    if packed:
        with np.load(packed[0], allow_pickle=False) as arrays:
            images, labels = arrays["images"], arrays["labels"]
    else:
        found = {kind: sorted(folder.glob(f"train-{kind}-idx?-ubyte*")) for kind in ("images", "labels")}
        if not all(found.values()):
            raise DataError(
                f"{folder} holds neither an .npz file nor train-images-idx3-ubyte and train-labels-idx1-ubyte"
            )
        images, labels = read_idx(found["images"][0]), read_idx(found["labels"][0])
    return Labelled(images[..., None], labels.astype(np.int64), FASHION_CLASSES)


def read_photos(folder: Path, split: str, least: int = 128, most: int = 100_000, *, halvings: int = 1) -> list[Pixels]:
    """Photos of one split as clean targets: halved, which takes their own JPEG artefacts away, more than once also
    their grain.

    Photos whose short side is then under `least` px are left out.

    Raises:
        DataError: no photo of that split is large enough.
    """
    large = (photo for photo in photos_of(folder, split) if min(photo.shape[:2]) >= least << halvings)
    photos = [halve(photo, halvings) for photo in islice(large, most)]
    if not photos:
        raise DataError(f"{folder} has no {split} photo of at least {least << halvings} px")
    return photos


def photos_of(folder: Path, split: str) -> Iterator[Pixels]:
    """The photos of one split, which is by hash of the path, as in `curate`, as they are."""
    if (folder / "images.csv").is_file():
        files = [(photo.id, photo.path) for photo in list_photos(folder, None)]
    else:
        found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PHOTO_SUFFIXES)
        files = [(identify(path.relative_to(folder)), path) for path in found]
    chosen = [path for id, path in files if split_of(id) == split]
    for path in tqdm(chosen, desc=f"reading {split}", unit="photo", leave=False):
        rgb = read_rgb(path)
        if rgb is not None:
            yield rgb


def halve(rgb: Pixels, times: int = 1) -> Pixels:
    """(H, W, 3) uint8 -> (H >> times, W >> times, 3), antialiased bicubic.

    The mean of each square would leave jags, which nobody can foresee: networks that enlarge learn caution from them.
    In bytes, for whole photos; `degrade.reduce_clean` has the standard protocol's edges and rounding, in floats.
    """
    height, width = rgb.shape[0] >> times, rgb.shape[1] >> times
    box = (0, 0, width << times, height << times)
    return np.array(Image.fromarray(rgb).resize((width, height), Image.Resampling.BICUBIC, box))
