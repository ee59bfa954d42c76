"""What the networks learn from: curated products, Fashion-MNIST, and patches of photos."""

from __future__ import annotations

import csv
import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from training.curate import PHOTO_SUFFIXES, identify, list_photos, shrink_rgba, split_of
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
        pictures = torch.from_numpy(self.pictures[index]).permute(0, 3, 1, 2).float() / 255
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


@dataclass(frozen=True, slots=True)
class Photos:
    """Clean photos in memory, of which restoration networks see random patches; each kind of them as often."""

    kinds: list[list[Pixels]]

    def patches(self, count: int, side: int, random: torch.Generator) -> Pixels:
        """Draw (count, side, side, 3) uint8, mirrored at random; two of three draws look for detail."""
        patches = np.empty((count, side, side, 3), np.uint8)
        for place in range(count):
            tries = 1 + int(torch.randint(3, (), generator=random))
            patches[place] = max((self._patch(side, random) for _ in range(tries)), key=busy)
        return patches

    def _patch(self, side: int, random: torch.Generator) -> Pixels:
        kind = self.kinds[int(torch.randint(len(self.kinds), (), generator=random))]
        which, mirror = torch.randint(len(kind), (), generator=random), torch.rand((), generator=random)
        photo = kind[int(which)]
        top = int(torch.randint(photo.shape[0] - side + 1, (), generator=random))
        left = int(torch.randint(photo.shape[1] - side + 1, (), generator=random))
        patch = photo[top : top + side, left : left + side]
        return patch[:, ::-1] if mirror < 0.5 else patch


def busy(patch: Pixels) -> float:
    """How much neighbours in (S, S, 3) uint8 differ, as every other pixel tells."""
    return float(np.abs(np.diff(patch[::2, ::2, 1].astype(np.int16), axis=0)).mean())


def read_photos(folder: Path, split: str, least: int = 128, most: int = 100_000, *, halvings: int = 1) -> list[Pixels]:
    """Photos of one split as clean targets: halved, which takes their own JPEG artefacts away, more than once also
    their grain.

    Photos whose short side is then under `least` px are left out; the split is by hash of the path, as in `curate`.

    Raises:
        DataError: no photo of that split is large enough.
    """
    if (folder / "images.csv").is_file():
        files = [(photo.id, photo.path) for photo in list_photos(folder, None)]
    else:
        found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PHOTO_SUFFIXES)
        files = [(identify(path.relative_to(folder)), path) for path in found]
    chosen = [path for id, path in files if split_of(id) == split]
    photos: list[Pixels] = []
    for path in tqdm(chosen, desc=f"reading {split}", unit="photo", leave=False):
        rgb = read_rgb(path)
        if rgb is not None and min(rgb.shape[:2]) >= least << halvings:
            for _ in range(halvings):
                rgb = halve(rgb)
            photos.append(rgb)
        if len(photos) == most:
            break
    if not photos:
        raise DataError(f"{folder} has no {split} photo of at least {least << halvings} px")
    return photos


def halve(rgb: Pixels) -> Pixels:
    """(H, W, 3) uint8 -> (H // 2, W // 2, 3), the mean of each 2x2 square."""
    height, width = rgb.shape[0] // 2 * 2, rgb.shape[1] // 2 * 2
    squares = rgb[:height, :width].reshape(height // 2, 2, width // 2, 2, 3).astype(np.uint16)
    return np.asarray((squares.sum((1, 3)) + 2) // 4, np.uint8)
