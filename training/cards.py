"""The model card, written from the manifest alone, so that the two cannot tell different stories."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.pictures import Pixels, write_picture

PURPOSE = {
    "generate": "Makes product pictures by category and seed (`POST /generate`).",
    "enhance": "Makes a photo larger, and restores it as strongly as asked (`POST /enhance`).",
    "upscale": "Makes a clean picture larger, and nothing else (`POST /enhance` with `denoise=0`).",
    "cutout": "Cuts the product out of a photo, for another background (`POST /enhance` with `background`).",
    "harmonize": "Sets a product's colours into the light of its backdrop (`POST /compose` with `harmonize`).",
    "relight": "Takes the light of a place off a product (`POST /restyle` with the style `studio`).",
    "colorway": "Gives a product another colour (`POST /restyle` with the style `colorway`).",
    "sketch": "Draws the product of a photo in lines (`POST /restyle` with the style `sketch`).",
    "from-sketch": "Makes a product of a line drawing (`POST /restyle` with the style `from-sketch`).",
    "watermark": "Hides the first bits of a model's digest in a picture (`VITRINE_WATERMARK=true`).",
    "watermark-reader": "Reads what `watermark` has hidden (`POST /inspect`).",
    "level": "Estimates how degraded a photo is, to choose the strength of `POST /enhance` when the client does not.",
}
PICTURES = {
    "generate": "Uncurated: the first draws of one random generator, truncation 0.8, a column a class ({classes}).",
    "enhance": "Uncurated: the first held-out photos. Degraded input, bicubic, this model, truth.",
    "upscale": "Uncurated: the first held-out photos. Cleanly reduced input, bicubic, this model, truth.",
    "cutout": "Uncurated: held-out pictures at equal steps. Input, this model, GrabCut, truth; twice a row.",
    "harmonize": "Uncurated: held-out views at equal steps. Set in, by this model, as it was; thrice a row.",
    "relight": "Uncurated: held-out views at equal steps. Snapshot, cut out by its true alpha, this model, studio.",
    "watermark": "Uncurated: held-out pictures at equal steps. Before, after, ten times the difference; twice a row.",
    "colorway": "Uncurated: held-out products at equal steps, as they are and in eight colours, by the network alone.",
    "sketch": "Uncurated: held-out pictures at equal steps. Snapshot, this model, the rule, the truth; twice a row.",
    "from-sketch": "Uncurated: drawings of held-out products, what came of three draws each, and the product.",
}
SAMPLES = "samples.webp"
UNITS = {
    "level": "of strength",
    "harmonize": "of a logarithm",
    "relight": "of a logarithm",
    "colorway": "of a factor",
    "watermark-reader": "of a logit",
}


def write_samples(folder: Path, picture: Pixels) -> None:
    """Write a sheet of samples (H, W, 3), small enough for the repository, to where the card will look for it."""
    write_picture(folder / SAMPLES, picture, quality=75)


def write_card(folder: Path) -> None:
    """Write `card.md` beside a version's `manifest.json`."""
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "card.md").write_text(render(manifest, (folder / SAMPLES).is_file()))


def render(manifest: Mapping[str, Any], has_samples: bool) -> str:
    """The card of a manifest as Markdown."""
    training = manifest["training"]
    lines = [f"# {manifest['name']}, version {manifest['version']}", "", PURPOSE[manifest["task"]], ""]
    if has_samples:
        caption = PICTURES[manifest["task"]].format(classes=", ".join(manifest.get("classes", [])))
        lines += [f"![samples]({SAMPLES})", "", caption, ""]
    lines += ["## Known limits", "", manifest["limits"], "", "## Quality", ""]
    lines += [*quality_table(manifest.get("quality", [])), "", "## Training", ""]
    lines += [
        f"- Data: {manifest['training_data']}",
        f"- Licences: weights {manifest['licence']['weights']}, data {manifest['licence']['data']}",
    ]
    if manifest.get("attribution"):
        lines.append(f"- Attribution: {manifest['attribution']}")
    lines += [
        f"- Time: {training['minutes']} minutes on {training['hardware']}; {training['images_seen']:,} images seen",
        f"- Recipe: {command(manifest['recipe'])}; its settings are in `manifest.json`",
        "",
        "## File",
        "",
        f"`{manifest['file']}`, {manifest['bytes'] / 1e6:.2f} MB, sha256 `{manifest['sha256']}`. Largest difference to "
        f"PyTorch at export: {manifest['parity']:.2g} {UNITS.get(manifest['task'], 'of 255')}.",
    ]
    return "\n".join(lines) + "\n"


def command(recipe: Mapping[str, Any]) -> str:
    """What to run for a recipe, beginning with a run, or with a version, whose name is its hash."""
    name, start = recipe["name"], recipe.get("start")
    if not start:
        return f"`vitrine-train {name}`"
    if " " in start:
        return f"`vitrine-train {name} --start GENERATOR`, which is {start}"
    return f"`vitrine-train {name} --start VERSION`, the one with sha256 `{start[:12]}…`"


def quality_table(records: list[Mapping[str, Any]]) -> list[str]:
    """One row a measure, or a line that says that there is none."""
    if not records:
        return ["Not measured yet."]
    rows = [f"| {r['measure']} | {r['value']:g} {r['unit']} | {r['data']} |" for r in records]
    return ["| measure | value | data |", "| --- | ---: | --- |", *rows]
