"""Turn a folder of raw product photos into training data: `vitrine-train curate FOLDER --out RUN`.

Photos are decoded and set upright, near-duplicates left out, the product cut out, centred and scaled, badly cut ones
filtered out, and the rest split by hash. What is written: `128/ID.png` and `64/ID.png` (straight RGBA, white where
transparent), `photos/ID.png` (the whole photo, at most 320 px, with its mask as alpha), `index.csv`, `rejected.csv`,
`report.md` and contact sheets of both the kept and the rejected.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from training.cutout import Pixels, cut_out, place
from training.cutter import cut_out_by, opened
from training.pictures import on_white, png, read_rgb, sheet, write_picture

PHOTO_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
SIDES = (128, 64)
SHAPE_SIDE = 32
SHAPE_NEIGHBOURS = 5
MIN_SHAPE_SCORE = 0.80
DUPLICATE_BITS = 5


@dataclass(frozen=True, slots=True)
class Photo:
    """One raw photo and the class that a shop would file it under."""

    id: str
    path: Path
    label: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A photo after the cut-out, not yet compared with the others."""

    photo: Photo
    reason: str
    hash: int  # 64-bit difference hash of the whole photo
    square: Pixels  # (128, 128, 4) straight RGBA
    photo_png: bytes  # the whole photo at working size, the mask as its alpha; empty where it may not be used


def list_photos(folder: Path, names: Mapping[str, str] | None) -> list[Photo]:
    """The photos of a folder with their classes.

    With `images.csv` (columns image, label) the label comes from there and the files lie in `images/`; otherwise the
    name of each photo's own folder is its label. `names` maps labels to classes; photos of other labels are dropped.

    Raises:
        ValueError: the folder holds no photo with a usable label.
    """
    index = folder / "images.csv"
    if index.is_file():
        with index.open(newline="") as file:
            pairs = [(folder / "images" / f"{row['image']}.jpg", row["label"]) for row in csv.DictReader(file)]
    else:
        files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PHOTO_SUFFIXES)
        pairs = [(path, path.parent.name) for path in files]
    photos = []
    for path, label in pairs:
        name = label if names is None else names.get(label)
        if name is not None:
            photos.append(Photo(identify(path.relative_to(folder)), path, name))
    if not photos:
        raise ValueError(f"{folder} holds no photo with a usable label")
    return photos


def identify(path: Path) -> str:
    """A stable id of a photo from its path inside the folder: 16 hexadecimal digits."""
    return hashlib.sha256(path.as_posix().encode()).hexdigest()[:16]


def split_of(object_id: str) -> str:
    """`train` (90 in 100), `validation` (5) or `test` (5), fixed by the hash of the object's id."""
    bucket = int(hashlib.sha256(f"split:{object_id}".encode()).hexdigest()[:8], 16) % 100
    return "test" if bucket < 5 else "validation" if bucket < 10 else "train"


def difference_hash(rgb: Pixels) -> int:
    """64-bit difference hash (Krawetz 2013): the signs of the horizontal steps of the 9x8 grey picture."""
    grey = cv2.resize(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), (9, 8), interpolation=cv2.INTER_AREA)
    return int.from_bytes(np.packbits(grey[:, 1:] > grey[:, :-1]).tobytes(), "big")


def prepare(photo: Photo, network: Path | None = None) -> Candidate | None:
    """Decode one photo and cut its product out, by a published network or else by GrabCut; None if it is no picture."""
    cv2.setNumThreads(1)
    rgb = read_rgb(photo.path)
    if rgb is None:
        return None
    cutout = cut_out(rgb) if network is None else cut_out_by(network, rgb)
    usable = cutout.mask.any()
    square = place(cutout.rgb, cutout.mask, SIDES[0]) if usable else np.full((SIDES[0], SIDES[0], 4), 255, np.uint8)
    whole = b"" if cutout.reason else png(np.dstack([cutout.rgb, cutout.mask]))
    return Candidate(photo, cutout.reason, difference_hash(rgb), square, whole)


def duplicates(candidates: list[Candidate]) -> set[str]:
    """Ids of photos whose hash is within DUPLICATE_BITS of an earlier photo's."""
    hashes = np.array([candidate.hash for candidate in candidates], np.uint64)
    twins = set()
    for index in range(1, len(hashes)):
        if (np.bitwise_count(hashes[:index] ^ hashes[index]) <= DUPLICATE_BITS).any():
            twins.add(candidates[index].photo.id)
    return twins


def shape_scores(squares: list[Pixels]) -> NDArray[np.float32]:
    """How usual each silhouette is in its class: mean IoU with its nearest neighbours, (N,) float32 in [0, 1].

    Each silhouette is compared as it is and mirrored, at 32 px.
    """
    if len(squares) < 2:
        return np.ones(len(squares), np.float32)
    size = (SHAPE_SIDE, SHAPE_SIDE)
    shapes = np.stack([cv2.resize(s[..., 3], size, interpolation=cv2.INTER_AREA) > 127 for s in squares])
    flat = shapes.reshape(len(shapes), -1).astype(np.float32)
    mirrored = shapes[..., ::-1].reshape(len(shapes), -1).astype(np.float32)
    areas = flat.sum(1)
    best = np.zeros((len(flat), len(flat)), np.float32)
    for other in (flat, mirrored):
        shared = flat @ other.T
        best = np.maximum(best, shared / np.maximum(areas[:, None] + areas[None] - shared, 1))
    np.fill_diagonal(best, 0)
    count = min(SHAPE_NEIGHBOURS, len(flat) - 1)
    return np.asarray(np.sort(best, axis=1)[:, -count:].mean(1), np.float32)


def choose(candidates: list[Candidate]) -> tuple[list[Candidate], list[tuple[Candidate, str]]]:
    """Split candidates into those to keep and those to reject, each with its reason."""
    twins = duplicates(candidates)
    rejected = [(c, c.reason) for c in candidates if c.reason]
    rejected += [(c, "near-duplicate") for c in candidates if not c.reason and c.photo.id in twins]
    rest = [c for c in candidates if not c.reason and c.photo.id not in twins]
    kept = []
    for label in sorted({c.photo.label for c in rest}):
        group = [c for c in rest if c.photo.label == label]
        for candidate, score in zip(group, shape_scores([c.square for c in group]), strict=True):
            if score < MIN_SHAPE_SCORE:
                rejected.append((candidate, "unusual-shape"))
            else:
                kept.append(candidate)
    return kept, rejected


def write_index(path: Path, header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def write_report(out: Path, total: int, kept: list[Candidate], rejected: list[tuple[Candidate, str]]) -> None:
    """`report.md`: how many photos were kept and why the others were not, and the balance of classes and splits."""
    lines = ["# Curated photos", "", f"{len(kept)} kept of {total} photos with a usable label.", ""]
    lines += ["| rejected because | photos |", "| --- | ---: |"]
    lines += [f"| {reason} | {count} |" for reason, count in Counter(r for _, r in rejected).most_common()]
    lines += ["", "| class | train | validation | test | share |", "| --- | ---: | ---: | ---: | ---: |"]
    for label in sorted({c.photo.label for c in kept}):
        splits = Counter(split_of(c.photo.id) for c in kept if c.photo.label == label)
        share = 100 * splits.total() / len(kept)
        lines.append(f"| {label} | {splits['train']} | {splits['validation']} | {splits['test']} | {share:.1f} % |")
    (out / "report.md").write_text("\n".join(lines) + "\n")


def write_sheets(out: Path, kept: list[Candidate], rejected: list[tuple[Candidate, str]], most: int = 96) -> None:
    """Contact sheets to look at: up to `most` products of each class and of each reason for rejection."""
    groups: dict[str, list[Candidate]] = {}
    for candidate in kept:
        groups.setdefault(f"kept-{candidate.photo.label}", []).append(candidate)
    for candidate, reason in rejected:
        groups.setdefault(f"rejected-{reason}", []).append(candidate)
    for name, group in groups.items():
        chosen = sorted(group, key=lambda c: c.photo.id)[:most]
        write_picture(out / "sheets" / f"{name}.webp", sheet([on_white(c.square) for c in chosen], columns=12))


def curate(
    folder: Path, out: Path, names: Mapping[str, str] | None, processes: int = 2, network: Path | None = None
) -> int:
    """Curate `folder` into `out`; gives the number of products kept. `network` is the folder of a published cut-out.

    Raises:
        ValueError: the folder holds no photo with a usable label, or the network is of another kind.
        OSError: there is no such network.
    """
    photos = list_photos(folder, names)
    if network is not None:
        opened(network)
    # Forking a process that has used OpenCV's or PyTorch's threads can hang the child.
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        work = pool.map(partial(prepare, network=network), photos, chunksize=8)
        results = list(tqdm(work, total=len(photos), desc="cutting out", unit="photo"))
    candidates = [candidate for candidate in results if candidate is not None]
    kept, rejected = choose(candidates)
    for name in (*map(str, SIDES), "photos"):
        (out / name).mkdir(parents=True, exist_ok=True)
    for candidate in kept:
        for side in SIDES:
            square = candidate.square if side == SIDES[0] else shrink_rgba(candidate.square, side)
            write_picture(out / str(side) / f"{candidate.photo.id}.png", square)
        (out / "photos" / f"{candidate.photo.id}.png").write_bytes(candidate.photo_png)

    def source(candidate: Candidate) -> str:
        return candidate.photo.path.relative_to(folder).as_posix()

    write_index(
        out / "index.csv",
        ("id", "label", "split", "source"),
        ((c.photo.id, c.photo.label, split_of(c.photo.id), source(c)) for c in kept),
    )
    write_index(
        out / "rejected.csv",
        ("id", "label", "reason", "source"),
        ((c.photo.id, c.photo.label, reason, source(c)) for c, reason in rejected),
    )
    write_report(out, len(photos), kept, rejected)
    write_sheets(out, kept, rejected)
    return len(kept)


def shrink_rgba(square: Pixels, side: int) -> Pixels:
    """(S, S, 4) straight RGBA -> (side, side, 4), averaged with premultiplied alpha."""
    alpha = square[..., 3:].astype(np.float32)
    size = (side, side)
    colour = cv2.resize(square[..., :3] * alpha, size, interpolation=cv2.INTER_AREA)
    weight = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA)[..., None]
    rgb = np.where(weight > 0, colour / np.maximum(weight, 1e-3), 255)
    return np.dstack([rgb, weight]).round().astype(np.uint8)


def read_names(path: Path | None) -> dict[str, str] | None:
    """The label-to-class map of a JSON file, or None without one."""
    return None if path is None else dict(json.loads(path.read_text()))
