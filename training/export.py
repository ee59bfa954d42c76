"""From a run folder to `models/`: ONNX with uint8 NHWC pictures, compared with PyTorch before it is published.

Scaling, transposing, clipping and rounding are inside the graph; options are named inputs.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import onnxruntime
import torch
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx.numpy_helper import from_array, to_array
from torch import Tensor, nn
from torch.nn import functional as F

from training.cards import write_card, write_samples
from training.checkpoint import state_of
from training.networks.blocks import from_bytes
from training.networks.cascade import Cascade, CascadeConfig
from training.networks.colorway import ColorwayConfig, ColorwayNet
from training.networks.dcgan import DcganConfig, DcganGenerator, DcganProducts
from training.networks.enhance import EnhanceConfig, EnhanceNet
from training.networks.generator import Generator, GeneratorConfig
from training.networks.harmonize import HarmonizeConfig, HarmonizeNet
from training.networks.level import LevelConfig, LevelNet
from training.networks.lines import FINER, LinesConfig, LinesNet
from training.networks.matting import MattingConfig, MattingNet
from training.networks.relight import RelightConfig, RelightNet
from training.networks.sketch import SketchConfig, SketchNet
from training.networks.watermark import Hider, Reader, WatermarkConfig, WatermarkNet
from training.pictures import on_white, sheet

TILE = 128
TINT = 0.4
"""How much of a light's colour is taken off: a product's own colour must not be taken for it. On held-out views all of
it is no nearer to the truth (27.97 dB) than half (28.02 dB)."""
NEAR = 6
"""How many places further, in brightness, the folds may be those of another product than the colours."""
CONTRAST = 0.12
"""Of the colours of a product made of a drawing: a printed one's, without its print, would become glaring stripes."""
EDGE = 1.4
"""How much steeper edges of generated products are made: 2.9 % of their pixels are half-transparent then, as in real
ones, and 3.9 % in `garments-128` 4 without."""
MOST_CHANGE = 16.0
"""Of a colour by a hidden mark, in steps of 255."""
IN_BYTES = ("from-sketch", "cascade-128", "garments-128", "relight")
"""Recipes whose convolutions are stored in 8 bits: as float16 they would be a quarter of all weights that ship."""
Arrays = Mapping[str, NDArray[Any]]


class ExportError(Exception):
    """The exported graph does not agree with PyTorch, or the run cannot be exported."""


class GenerateGraph(nn.Module):
    """z (N, Z), label (N,) int64, truncation (N,) in [0, 1] -> image (N, S, S, 4) uint8 straight RGBA.

    Products are put into the middle, as `curate` puts real ones: a discriminator that sees both shifted does not mind
    where they are.
    """

    def __init__(self, net: Cascade | Generator | DcganProducts) -> None:
        super().__init__()
        self.net = net

    def forward(self, z: Tensor, label: Tensor, truncation: Tensor) -> Tensor:
        picture = self.net(z, label, share_kept(truncation))
        drawn = picture[:, 3:].clamp(0, 1)
        colour = (picture[:, :3] - (1 - drawn)) / drawn.clamp(min=0.05)
        # So that the ground is exactly white, the product exactly opaque, and an edge as wide as in real products.
        alpha = (EDGE * (drawn - 0.5) + 0.5).clamp(0, 1)
        return centred(to_bytes(torch.cat([torch.where(alpha > 0, colour, torch.ones_like(colour)), alpha], 1)))


def share_kept(truncation: Tensor) -> Tensor:
    """What is kept of a style's distance to its class's mean: 0.96 of it at 0.8.

    With 0.8 of it `garments-128` 3 was twice as far from held-out products, and its pictures looked no better.
    """
    return 1 - (1 - truncation).square()


class EnhanceGraph(nn.Module):
    """image (N, T, T, 3) uint8 -> image (N, scale*T, scale*T, 3) uint8; what restores takes strength (N,) in [0, 1]."""

    def __init__(self, net: EnhanceNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor, strength: Tensor | None = None) -> Tensor:
        return to_bytes(self.net(from_bytes(image), strength))


class LevelGraph(nn.Module):
    """image (N, T, T, 3) uint8 -> strength (N,) in [0, 1]."""

    def __init__(self, net: LevelNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> Tensor:
        return cast(Tensor, self.net(from_bytes(image)).clamp(0, 1))


class CutoutGraph(nn.Module):
    """image (N, S, S, 3) uint8 -> cutout (N, S, S, 4) uint8 straight RGBA, the colours those of the product alone.

    The mean of what the network makes of the picture and of its mirror image, logits and residuals.
    """

    def __init__(self, net: MattingNet, side: int) -> None:
        super().__init__()
        self.net, self.side = net, side

    def forward(self, image: Tensor) -> Tensor:
        rgb = from_bytes(image)
        logits, residual = (
            (seen + mirrored.flip(-1)) / 2 for seen, mirrored in zip(self.net(rgb), self.net(rgb.flip(-1)), strict=True)
        )
        # Faint alpha is none and nearly full alpha is full, so that what is sure is exact.
        alpha = ((logits.sigmoid() - 0.02) / 0.96).clamp(0, 1)
        return to_bytes(torch.cat([torch.where(alpha < 1, rgb + residual, rgb), alpha], 1))


class RelightGraph(nn.Module):
    """image (N, S, S, 4) uint8, a photo and its product's alpha -> light (N, S/8, S/8, 6), see `RelightNet`."""

    def __init__(self, net: RelightNet, side: int) -> None:
        super().__init__()
        self.net, self.side = net, side

    def forward(self, image: Tensor) -> Tensor:
        picture = from_bytes(image)
        light = self.net(picture[:, :3], picture[:, 3:])
        parts = [part.mean(1, keepdim=True) + TINT * (part - part.mean(1, keepdim=True)) for part in light.chunk(2, 1)]
        return torch.cat(parts, 1).permute(0, 2, 3, 1)


class ColorwayGraph(nn.Module):
    """image (N, S, S, 4) uint8, a product and its alpha, and color (N, 3) uint8 -> change (N, S/8, S/8, 12).

    See `ColorwayNet`.
    """

    def __init__(self, net: ColorwayNet, side: int) -> None:
        super().__init__()
        self.net, self.side = net, side

    def forward(self, image: Tensor, color: Tensor) -> Tensor:
        picture = from_bytes(image)
        change: Tensor = self.net(picture[:, :3], picture[:, 3:], color.float() / 255)
        return change.permute(0, 2, 3, 1)


class LinesGraph(nn.Module):
    """image (N, S, S, 4) uint8, a photo and its product's alpha -> ink (N, 2S, 2S, 1) uint8, see `LinesNet`."""

    def __init__(self, net: LinesNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> Tensor:
        return to_bytes(F.pixel_shuffle(self.net(from_bytes(image)), FINER))


class SketchGraph(nn.Module):
    """image (N, S, S, 1) uint8 lines, label (N,), draw (N,) int64, strength (N,) -> product (N, S, S, 4) uint8.

    `draw` chooses the colours of one of the plain products that the network has learned from, of that class, and the
    folds of one of about its brightness, perhaps mirrored; the label after the last is for unknown, and of any class.
    `strength` is how far colours are from the mean of all, and how deep folds are.
    """

    colours: Tensor
    folds: Tensor

    def __init__(self, net: SketchNet, side: int) -> None:
        super().__init__()
        self.net, self.side = net, side
        if (net.palette == 0.5).all():
            raise ExportError("the palette is empty: there are too few products of some class in the data")
        self.register_buffer("colours", plainer(net.palette))
        self.register_buffer("folds", net.palette_folds)

    def forward(self, image: Tensor, label: Tensor, draw: Tensor, strength: Tensor) -> Tensor:
        each, classes, amount = self.net.each, self.net.config.classes, strength[:, None]
        known, total = label < classes, each * classes
        place = torch.where(known, each * (label % classes) + draw % each, draw % total)
        first, others = place // each * each, draw // torch.where(known, each, total)
        near = first + (place - first + others % (2 * NEAR + 1) - NEAR).clamp(0, each - 1)
        folds = (self.folds[near].float() - 128) / 255
        mirrored = others // (2 * NEAR + 1) % 2 == 1
        folds = torch.where(mirrored[:, None, None], folds.flip(-1), folds) * amount[:, :, None]
        chosen, mean = self.colours[place], self.colours.mean(0, keepdim=True)
        picture = self.net(from_bytes(image), mean + (chosen - mean) * amount, folds[:, None], label)
        alpha = ((picture[:, 3:] - 0.06) / 0.88).clamp(0, 1)
        colour = (picture[:, :3] - (1 - alpha)) / alpha.clamp(min=0.05)
        return to_bytes(torch.cat([torch.where(alpha > 0, colour, torch.ones_like(colour)), alpha], 1))


def plainer(colours: Tensor) -> Tensor:
    """Palettes (P, 9) whose darker and brighter halves are at most CONTRAST from their mean, channel by channel."""
    mean = colours[:, :3]
    halves = [mean + (half - mean).clamp(-CONTRAST, CONTRAST) for half in colours[:, 3:].chunk(2, 1)]
    return torch.cat([mean, *halves], 1)


class HiderGraph(nn.Module):
    """image (N, S, S, 3) uint8, bits (N, B) of 0 and 1 -> change (N, S, S, 3), see `Hider`, within MOST_CHANGE."""

    def __init__(self, net: Hider) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor, bits: Tensor) -> Tensor:
        return self.net(from_bytes(image), bits).clamp(-MOST_CHANGE, MOST_CHANGE).permute(0, 2, 3, 1)  # type: ignore[no-any-return]


class ReaderGraph(nn.Module):
    """image (N, S, S, 3) uint8 -> logits (N, B), see `Reader`."""

    def __init__(self, net: Reader) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> Tensor:
        return cast(Tensor, self.net(from_bytes(image)))


class HarmonizeGraph(nn.Module):
    """image (N, S, S, 4) uint8, a picture and the product's mask -> change (N, 5) float32, see `HarmonizeNet`."""

    def __init__(self, net: HarmonizeNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> Tensor:
        picture = from_bytes(image)
        return cast(Tensor, self.net(picture[:, :3], picture[:, 3:]))


def centred(image: Tensor) -> Tensor:
    """RGBA (N, S, S, 4) uint8 -> the same, moved by whole pixels so that what is over half opaque is in the middle."""
    count, side = image.shape[:2]
    along = torch.arange(side, device=image.device)
    source, within = [], []
    for across in (2, 1):
        filled = image[..., 3].amax(across) > 127  # (N, S)
        first, last = torch.where(filled, along, side).amin(1), torch.where(filled, along, -1).amax(1)
        place = along - torch.div(side - 1 - first - last, 2, rounding_mode="floor")[:, None]
        source.append(place)
        within.append((place >= 0) & (place < side))
    picture = torch.arange(count, device=image.device)[:, None, None]
    index = (picture * side + source[0][:, :, None]) * side + source[1][:, None, :]
    index = torch.where(within[0][:, :, None] & within[1][:, None, :], index, count * side * side)
    ground = torch.tensor([[255, 255, 255, 0]], dtype=torch.uint8, device=image.device)
    return torch.cat([image.reshape(-1, 4), ground])[index.reshape(-1)].reshape(image.shape)


def to_bytes(image: Tensor) -> Tensor:
    """(N, C, H, W) float32 -> (N, H, W, C) uint8, clipped and rounded."""
    return (image * 255).round().clamp(0, 255).permute(0, 2, 3, 1).to(torch.uint8)


def graph_of(recipe: Mapping[str, Any], ema: Mapping[str, Tensor]) -> nn.Module:
    """The averaged network of a run inside its graph, with its weights loaded strictly.

    Raises:
        ExportError: runs of this recipe are not served.
    """
    kinds: dict[str, tuple[Callable[[Any], Any], Callable[..., Any], Callable[[Any], nn.Module]]] = {
        "dcgan-64": (DcganGenerator, DcganConfig, lambda net: GenerateGraph(DcganProducts(net))),
        "cascade": (Cascade, CascadeConfig, GenerateGraph),
        "garments": (Generator, GeneratorConfig, GenerateGraph),
        "enhance": (EnhanceNet, EnhanceConfig, EnhanceGraph),
        "upscale": (EnhanceNet, EnhanceConfig, EnhanceGraph),
        "restoration-level": (LevelNet, LevelConfig, LevelGraph),
        "cutout": (MattingNet, MattingConfig, lambda net: CutoutGraph(net, side)),
        "harmonize": (HarmonizeNet, HarmonizeConfig, HarmonizeGraph),
        "relight": (RelightNet, RelightConfig, lambda net: RelightGraph(net, side)),
        "colorway": (ColorwayNet, ColorwayConfig, lambda net: ColorwayGraph(net, side)),
        "sketch": (LinesNet, LinesConfig, LinesGraph),
        "from-sketch": (SketchNet, SketchConfig, lambda net: SketchGraph(net, side)),
    }
    name = recipe["name"]
    kind = kinds.get(name) or kinds.get(name.split("-")[0])
    if kind is None:
        raise ExportError(f"runs of {name} are not served")
    network, config, graph = kind
    side = recipe["stages"][-1][0] if "stages" in recipe else 0
    net = network(config(**settings_of(recipe)))
    net.load_state_dict(dict(ema))
    if isinstance(net, Cascade | Generator):
        net.measure_style_mean()
    return graph(net).eval()


def settings_of(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """A network's settings as a run or a manifest records them, with lists as tuples, as its config has them."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in recipe["network"].items()}


def graphs_of(recipe: Mapping[str, Any], ema: Mapping[str, Tensor]) -> dict[str, nn.Module]:
    """A run's graphs, by what their models' names end in; most runs have one.

    Raises:
        ExportError: as `graph_of`.
    """
    if recipe["name"] != "watermark":
        return {"": graph_of(recipe, ema)}
    pair = WatermarkNet(WatermarkConfig(**settings_of(recipe)))
    pair.load_state_dict(dict(ema))
    return {"": HiderGraph(pair.hider).eval(), "-reader": ReaderGraph(pair.reader).eval()}


def example(graph: nn.Module, count: int, side: int = TILE, seed: int = 0) -> dict[str, NDArray[Any]]:
    """Inputs for a graph, `count` rows, with fixed random content."""
    random = np.random.default_rng(seed)
    amounts = random.random(count, np.float32)
    if isinstance(graph, GenerateGraph):
        config = graph.net.config
        z = random.standard_normal((count, config.z_size), np.float32)
        return {"z": z, "label": random.integers(0, config.classes, count), "truncation": amounts}
    masked = isinstance(graph, ColorwayGraph | HarmonizeGraph | LinesGraph | RelightGraph)
    channels = 4 if masked else 1 if isinstance(graph, SketchGraph) else 3
    image = random.integers(0, 256, (count, side, side, channels), dtype=np.uint8)
    if isinstance(graph, SketchGraph):
        label, draw = random.integers(0, graph.net.config.classes + 1, count), random.integers(0, 2**31, count)
        return {"image": image, "label": label, "draw": draw, "strength": amounts}
    if isinstance(graph, ColorwayGraph):
        return {"image": image, "color": random.integers(0, 256, (count, 3), dtype=np.uint8)}
    if isinstance(graph, HiderGraph):
        return {"image": image, "bits": random.integers(0, 2, (count, graph.net.config.bits)).astype(np.float32)}
    restores = isinstance(graph, EnhanceGraph) and graph.net.config.restores
    return {"image": image} | ({"strength": amounts} if restores else {})


def sides_of(graph: nn.Module) -> tuple[int, int]:
    """Two sides of pictures that a graph takes; the same where it takes only one."""
    if isinstance(graph, ColorwayGraph | CutoutGraph | RelightGraph | SketchGraph):
        return graph.side, graph.side
    if isinstance(graph, HarmonizeGraph | HiderGraph | LinesGraph | ReaderGraph):
        return graph.net.config.size, graph.net.config.size
    return TILE, 96


def write_onnx(graph: nn.Module, path: Path) -> str:
    """Write a graph with a free batch size (and free sides, for pictures); gives the name of its output."""
    inputs = example(graph, 2, sides_of(graph)[0])
    batch = torch.export.Dim("batch", min=1, max=256)
    shapes = {name: {0: batch} for name in inputs}
    if isinstance(graph, EnhanceGraph | LevelGraph):
        height, width = torch.export.Dim("height", min=16, max=8192), torch.export.Dim("width", min=16, max=8192)
        shapes["image"] = {0: batch, 1: height, 2: width}
    # Where a picture goes in, the picture that comes out needs another name.
    names = {GenerateGraph: "image", EnhanceGraph: "image_out", LevelGraph: "strength"}
    names |= {CutoutGraph: "cutout", HarmonizeGraph: "change", RelightGraph: "light", SketchGraph: "product"}
    names |= {ColorwayGraph: "change", HiderGraph: "change", LinesGraph: "ink", ReaderGraph: "logits"}
    output = names[type(graph)]
    tensors = tuple(torch.from_numpy(array) for array in inputs.values())
    torch.onnx.export(
        graph,
        tensors,
        str(path),
        input_names=list(inputs),
        output_names=[output],
        dynamic_shapes=shapes,
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    return output


def halve(path: Path, *, in_bytes: bool = False) -> None:
    """Store a graph's weights as float16, with casts in the graph, which the runtime does once when it loads it.

    `in_bytes` stores convolutions in 8 bits, see `steps_of`. The exporter's notes on where every node comes from, a
    hundred kilobytes, are left out.
    """
    model = onnx.load(path)
    for part in (*model.graph.node, *model.graph.value_info, *model.graph.initializer):
        part.ClearField("metadata_props")
    graph, casts = model.graph, []
    for tensor in list(graph.initializer):
        values = to_array(tensor)
        name = tensor.name
        if in_bytes and is_kernel(values):
            steps, step = steps_of(values)
            tensor.CopyFrom(from_array(steps, name + ".byte"))
            graph.initializer.append(from_array(step, name + ".step"))
            casts.append(onnx.helper.make_node("Cast", [name + ".byte"], [name + ".steps"], to=onnx.TensorProto.FLOAT))
            casts.append(onnx.helper.make_node("Mul", [name + ".steps", name + ".step"], [name]))
        elif values.dtype == np.float32 and values.size >= 64:
            tensor.CopyFrom(from_array(values.astype(np.float16), name + ".half"))
            casts.append(onnx.helper.make_node("Cast", [name + ".half"], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.save(model, path)


def is_kernel(values: NDArray[Any]) -> bool:
    """Whether these are weights of a convolution, and many enough for each of its outputs."""
    return values.dtype == np.float32 and values.ndim == 4 and values[0].size >= 64


def steps_of(weights: NDArray[Any]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """(O, I, H, W) float32 -> the same in whole steps from -127 to 127, and the step of every output, (O, 1, 1, 1)."""
    step = np.maximum(np.abs(weights).max((1, 2, 3), keepdims=True) / 127, 1e-12).astype(np.float32)
    return np.rint(weights / step).astype(np.int8), step


def rounded(graph: nn.Module, *, in_bytes: bool = False) -> nn.Module:
    """A graph whose weights are what `halve` leaves of them."""
    with torch.no_grad():
        for tensor in graph.state_dict().values():
            if in_bytes and is_kernel(tensor.numpy()):
                steps, step = steps_of(tensor.numpy())
                tensor.copy_(torch.from_numpy(steps * step))
            elif tensor.dtype == torch.float32 and tensor.numel() >= 64:
                tensor.copy_(tensor.half().float())
    return graph


def compare(graph: nn.Module, path: Path) -> float:
    """The largest difference between ONNX Runtime and PyTorch (steps of 255, or strength, or logarithms).

    Measured at two batches, and at two sizes where they are free.

    Raises:
        ExportError: it is over one step of 255, or 0.001 of the others; 0.01 for hidden marks.
    """
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    limit = 1e-3 if isinstance(graph, ColorwayGraph | HarmonizeGraph | LevelGraph | RelightGraph) else 1.0
    limit = 1e-2 if isinstance(graph, HiderGraph | ReaderGraph) else limit
    worst = 0.0
    for count, side in zip((1, 4), sides_of(graph), strict=True):
        inputs = example(graph, count, side, seed=count)
        with torch.no_grad():
            expected = graph(*(torch.from_numpy(array) for array in inputs.values())).double().numpy()
        actual = session.run(None, inputs)[0].astype(np.float64)
        if actual.shape != expected.shape:
            raise ExportError(f"ONNX gives {actual.shape} where PyTorch gives {expected.shape}")
        worst = max(worst, float(np.abs(actual - expected).max()))
    if worst > limit:
        raise ExportError(f"ONNX and PyTorch differ by {worst}")
    return worst


def samples(graph: GenerateGraph, rows: int = 8) -> NDArray[np.uint8]:
    """Uncurated products at truncation 0.8, a column a class: the first draws of one random generator."""
    columns = graph.net.config.classes
    random = torch.Generator().manual_seed(0)
    z = torch.randn(rows * columns, graph.net.config.z_size, generator=random)
    labels = torch.arange(columns).repeat(rows)
    with torch.no_grad():
        rgba = graph(z, labels, torch.full((len(z),), 0.8)).numpy()
    return sheet([on_white(picture) for picture in rgba], columns)


def publish(run: Path, models: Path, facts: Mapping[str, Any], name: str | None = None) -> list[Path]:
    """Export the run's averaged network as the next version of `name`; gives the new folder.

    By default the name is the recipe's, or what its `-tune` trains on.

    Where a run has made a pair, there are two.

    `facts` are the manifest's fields that a run does not know: licence, training_data, limits, attribution.

    Raises:
        CheckpointError: the run holds no checkpoint.
        ExportError: the graph and PyTorch disagree, the recipe is not served, or the name cannot be a folder's.
    """
    weights, state = averaged_of(run)
    recipe = state["recipe"]
    name = name or recipe["name"].removesuffix("-tune")
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        raise ExportError(f"{name!r} is no name for a model: use small letters, digits and single hyphens")
    graphs = graphs_of(recipe, weights)
    in_bytes = recipe["name"] in IN_BYTES
    return [
        publish_graph(rounded(graph, in_bytes=in_bytes), run, models / (name + end), state, facts)
        for end, graph in graphs.items()
    ]


def publish_graph(graph: nn.Module, run: Path, home: Path, state: Mapping[str, Any], facts: Mapping[str, Any]) -> Path:
    """Publish one graph of a run as the next version in `home`; `state` is what its checkpoint says of it.

    Raises:
        ExportError: the graph and PyTorch disagree.
    """
    version = str(1 + max(versions(home), default=0))
    partial = home / f"{version}.partial"
    partial.mkdir(parents=True, exist_ok=True)
    output = write_onnx(graph, partial / "model.onnx")
    halve(partial / "model.onnx", in_bytes=state["recipe"]["name"] in IN_BYTES)
    data = (partial / "model.onnx").read_bytes()
    manifest = {
        "schema": 1,
        "name": home.name,
        "version": version,
        "file": "model.onnx",
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "parity": compare(graph, partial / "model.onnx"),
        "output": output,
        **interface(graph, run),
        "recipe": state["recipe"],
        "training": {
            "minutes": round(state["seconds"] / 60, 1),
            "images_seen": state["images_seen"],
            "hardware": state["hardware"],
        },
        **facts,
    }
    (partial / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    if isinstance(graph, GenerateGraph):
        write_samples(partial, samples(graph))
    write_card(partial)
    final: Path = partial.rename(home / version)
    return final


def averaged_of(run: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The averaged weights of a run's newest checkpoint, and the checkpoint's facts.

    Raises:
        CheckpointError: the run holds no checkpoint.
    """
    groups, facts = state_of(run)
    # The textbook's GAN averages nothing.
    return groups["ema"] if "ema" in groups else groups["g"], facts


def weights_of(folder: Path, net: nn.Module, part: str = "") -> tuple[dict[str, Tensor], str]:
    """A published version's weights, named as in `net`, and the SHA-256 of its graph.

    `part` is what their names begin with in the graph, where `net` is a part of what it holds ("first.").

    Raises:
        ExportError: there is no such version, or it is of another network.
    """
    try:
        data = (folder / "model.onnx").read_bytes()
        graph = onnx.load_from_string(data).graph
    except (OSError, DecodeError) as error:
        raise ExportError(f"{folder} holds no published model: {error}") from error
    found = unpacked(graph)
    # The exporter keeps one of several biases that are the same, so their convolutions say which.
    biases = {node.input[1]: node.input[2] for node in graph.node if node.op_type == "Conv" and len(node.input) > 2}
    weights: dict[str, Tensor] = {}
    for name, tensor in net.named_parameters():
        inner = f"net.{part}{name}"
        kernel = inner.removesuffix(".bias") + ".weight"
        held = found.get(inner if inner in found else biases.get(kernel, inner))
        if held is None or held.shape != tensor.shape:
            raise ExportError(f"{folder} is of another network than {type(net).__name__} as the recipe has it")
        weights[name] = held
    return weights, hashlib.sha256(data).hexdigest()


def unpacked(graph: onnx.GraphProto) -> dict[str, Tensor]:
    """A graph's weights by their names before `halve`, float32."""
    stored = {one.name: torch.from_numpy(to_array(one).copy()).float() for one in graph.initializer}
    steps = {name.removesuffix(".byte"): values for name, values in stored.items() if name.endswith(".byte")}
    halves = {name.removesuffix(".half"): values for name, values in stored.items()}
    return halves | {name: values * stored[name + ".step"] for name, values in steps.items()}


def versions(home: Path) -> list[int]:
    """The published versions of a model, in no order."""
    return [int(path.name) for path in home.glob("*") if path.name.isdigit()]


def interface(graph: nn.Module, run: Path) -> dict[str, Any]:
    """The manifest's fields about the graph itself; a generator's classes are those of the run's data."""
    if isinstance(graph, GenerateGraph):
        classes = json.loads((run / "data.json").read_text())["classes"]
        return {"task": "generate", "size": graph.net.config.size, "classes": classes}
    if isinstance(graph, EnhanceGraph):
        config = graph.net.config
        task = "enhance" if config.restores else "upscale"
        return {"task": task, "tile": TILE, "margin": config.radius, "scale": config.scale}
    if isinstance(graph, CutoutGraph):
        return {"task": "cutout", "size": graph.side}
    if isinstance(graph, ColorwayGraph):
        return {"task": "colorway", "size": graph.side}
    if isinstance(graph, RelightGraph):
        return {"task": "relight", "size": graph.side}
    if isinstance(graph, SketchGraph):
        classes = json.loads((run / "data.json").read_text())["classes"]
        return {"task": "from-sketch", "size": graph.side, "classes": classes}
    if isinstance(graph, HarmonizeGraph | HiderGraph | LinesGraph | ReaderGraph):
        tasks = {HarmonizeGraph: "harmonize", HiderGraph: "watermark", ReaderGraph: "watermark-reader"}
        tasks |= {LinesGraph: "sketch"}
        return {"task": tasks[type(graph)], "size": graph.net.config.size}
    return {"task": "level", "tile": TILE}
