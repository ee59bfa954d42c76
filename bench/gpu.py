"""`python -m bench.gpu`: what a GPU brings: the models alone, then the service; writes gpu.md and gpu.json.

Whatever fails is told in the page and the rest goes on. `--provider cpu` tries the whole path where there is no GPU.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from app.gpus import gpu_memory, load_nvml
from app.images import ImageFormat, encode, over
from app.repository import Model, read_models
from app.sessions import cuda_works
from app.tasks.enhance import FIXED_SIDE
from bench import gpu_models
from bench.check import check
from bench.facts import machine
from bench.gpu_models import IN_TURN, SIDE, TF32, Parity, Speed
from bench.report import number, table
from bench.servers import Running, Server, serving, stop_on_sigterm, vitrine
from bench.work import MODELS, QUALITY, ROOT, TASKS
from bench.wrk import wrk

MEASURED: Final = (
    *("garments-128", "enhance-x2", "enhance-x2-fast", "upscale-x2", "upscale-x4", "cutout", "from-sketch"),
)
PLAIN: Final = "plain"
MODES: Final = (PLAIN, PLAIN + TF32)
CONCURRENCY: Final = (1, 8, 32, 64, 128)
FORMATS: Final = ("jpeg", "webp")
BUSY: Final = (64,)
WARM_UP: Final = (4, 32)
"""Callers that do not count: so many that every batch size has come."""
SAMPLE_S: Final = 0.1
ENCODES_S: Final = 0.5
OTHERS: Final = ("onnxruntime", "litserve", "bentoml", "mosec")
"""Packages that are not measured here; which build of ONNX Runtime is, the module says."""

PARITY_NOTE: Final = """Different rows of each model; in a batch of 16 the first three are compared with the CPU's.
*tf32*: the GPU may round factors to ten bits, which the service does not let it. The last column is about four rows,
one alone and three together, whose bytes are those that they have among 16.
"""
SPEEDS_NOTE: Final = """Rows a second, copies to and from the GPU included, one thread. Rows are pictures of the
model's size; for enhancers tiles as the service cuts them on GPUs, 4 for a photo of 512x512. *plain* is the service's
way; *in turn* are batches of 1, 4 and 16 one after the other in one session, which it avoids. *graph*, where it stands:
fixed places on the device and CUDA graphs, an experiment that is no longer in the code
([docs/worker.md](../../docs/worker.md#gpus)).
"""
LOADS_NOTE: Final = f"""`/generate` of one 128 px picture, `/enhance` of a {SIDE} px JPEG at scale 2, over HTTP, in
closed loops; latencies in ms. Server and load generator share the machine. *GPU busy* is the share of time in which any
kernel ran (NVML, ten times a second).
"""
BOUNDS_NOTE: Final = """Items a second: the best of the model alone (plain), one core's encoding times the cores, the
service's.
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What came of so many callers; milliseconds; shares of the GPU and cores of the rest."""

    server: str
    task: str
    format: str
    callers: int
    per_second: float
    p50: float
    p99: float
    errors: int
    gpu: float | None
    gpu_most: float | None
    server_cores: float
    client_cores: float


@dataclass(slots=True)
class Found:
    """All that has been measured so far."""

    facts: dict[str, str]
    parity: list[Parity] = field(default_factory=list)
    speeds: list[Speed] = field(default_factory=list)
    loads: list[Load] = field(default_factory=list)
    started: dict[str, str] = field(default_factory=dict)
    encoders: dict[str, float] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


class Busy:
    """The share of time in which any kernel ran, as the driver tells it ten times a second."""

    def __init__(self) -> None:
        self._nvml, self._over = load_nvml(), threading.Event()
        self.shares: list[float] = []
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Busy:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        nvml = self._nvml
        while nvml is not None and not self._over.wait(SAMPLE_S):
            with contextlib.suppress(Exception):
                self.shares.append(nvml.nvmlDeviceGetUtilizationRates(nvml.nvmlDeviceGetHandleByIndex(0)).gpu / 100)


def facts(models: Path) -> dict[str, str]:
    """The machine, its GPU, the build of ONNX Runtime, and how many models the service serves."""
    found = {name: said for name, said in machine().items() if name not in OTHERS} | {"GPU": "none"}
    nvml = load_nvml()
    if nvml is not None and gpu_memory(nvml):
        handle = nvml.nvmlDeviceGetHandleByIndex(0)
        found |= {"GPU": str(nvml.nvmlDeviceGetName(handle)), "driver": str(nvml.nvmlSystemGetDriverVersion())}
        found["GPU memory"] = f"{gpu_memory(nvml)[0].total / 1e9:.0f} GB"
    built = importlib.import_module("onnxruntime.capi.build_and_package_info")
    found["ONNX Runtime"] = f"{built.package_name} {built.__version__}, CUDA {getattr(built, 'cuda_version', '-')}"
    return found | {"models in the service": str(len(read_models(models)))}


class Way(NamedTuple):
    """A way to run the service, with the numbers of callers and the formats that it is measured with."""

    name: str
    server: Server
    callers: tuple[int, ...]
    formats: tuple[str, ...] = FORMATS[:1]


def ways(provider: str, models: Path) -> list[Way]:
    """How the service is measured, with a repository of models."""

    def with_settings(**settings: object) -> Server:
        given = {f"VITRINE_{name.upper()}": str(value) for name, value in {"models_dir": models, **settings}.items()}
        return replace(vitrine(), settings={**vitrine().settings, **given})

    if provider == "cpu":
        return [Way("CPU", with_settings(gpus=0), (1, 8))]
    return [
        Way("GPU", with_settings(), CONCURRENCY, FORMATS),
        Way("GPU, 4 processes", with_settings(workers=4), BUSY, FORMATS),
        Way("CPU alone", with_settings(gpus=0), (1, *BUSY)),
    ]


def load(name: str, running: Running, task: str, image_format: str, count: int, seconds: int) -> Load:
    """So many callers for so long."""
    before, begun = running.usage().cpu_s, time.monotonic()
    with Busy() as busy:
        closed = wrk(running.port, task, image_format, "plain", count, seconds)
    cores = (running.usage().cpu_s - before) / (time.monotonic() - begun)
    mean, most = (sum(busy.shares) / len(busy.shares), max(busy.shares)) if busy.shares else (None, None)
    told = closed.per_second, closed.p50, closed.p99, closed.errors
    return Load(name, task, image_format, count, *told, mean, most, cores, closed.cpu_share)


def encodes(seconds: float) -> dict[str, float]:
    """Pictures a second that one core encodes, by what the service's answers are."""
    found = {}
    for task, side in (("generate", 128), ("enhance", 2 * SIDE)):
        rgba = gpu_models.picture(side, side, 4)
        for image_format in FORMATS:
            begun, done = time.perf_counter(), 0
            while (spent := time.perf_counter() - begun) < seconds:
                encode(over(rgba, (255, 255, 255)), ImageFormat(image_format), QUALITY, b"")
                done += 1
            found[f"{task} {image_format}"] = done / spent
    return found


class Bench:
    """Measures one thing after another, tells of each, and stops at none."""

    def __init__(self, arguments: argparse.Namespace, found: Found) -> None:
        self._arguments, self.found = arguments, found
        self._until = time.monotonic() + arguments.budget
        self._cpu = arguments.provider == "cpu"

    def attempt(self, what: str, do: Callable[[], None]) -> None:
        begun = time.monotonic()
        try:
            if begun > self._until:
                raise TimeoutError("no time was left")
            do()
        except Exception as error:
            self.found.failures.append(f"{what}: {type(error).__name__}: {' '.join(str(error).split())[:300]}")
            tell(self.found.failures[-1])
        self.write()
        tell(f"{what}: {time.monotonic() - begun:.1f} s")

    def add(self, earlier: Path) -> None:
        """Take over what an earlier run found."""
        said, kinds = json.loads(earlier.read_text()), {"parity": Parity, "speeds": Speed, "loads": Load}
        for name, kind in kinds.items():
            getattr(self.found, name).extend(kind(**one) for one in said[name])
        self.found.started |= said["started"]
        self.found.encoders |= said["encoders"]
        self.found.failures += said["failures"]

    def write(self) -> None:
        out = self._arguments.out
        out.with_suffix(".json").write_text(json.dumps(asdict(self.found), indent=1) + "\n")
        out.write_text(markdown(self.found))

    def parity(self) -> None:
        models = read_models(MODELS)
        for name in MEASURED:
            self.attempt(f"parity of {name}", partial(self._parity, models[name]))

    def _parity(self, model: Model) -> None:
        for one in gpu_models.parities(model, MODES[:1] if self._cpu else MODES, self._cpu):
            self.found.parity.append(one)

    def speeds(self) -> None:
        models = read_models(MODELS)
        for mode in MODES[:1] if self._cpu else MODES:
            for name in MEASURED:
                self.attempt(f"speed of {name}, {mode}", partial(self._speeds, models[name], mode))

    def _speeds(self, model: Model, mode: str) -> None:
        for speed in gpu_models.speeds(model, mode, self._arguments.seconds, self._cpu):
            self.found.speeds.append(speed)
        if mode == PLAIN:
            self.found.speeds.append(gpu_models.in_turn(model, self._arguments.seconds, self._cpu))

    def service(self) -> None:
        self.attempt("encoders", lambda: self.found.encoders.update(encodes(ENCODES_S)))
        for way in ways(self._arguments.provider, self._arguments.models.absolute()):
            self.attempt(f"the service, {way.name}", partial(self._served, way))

    def _served(self, way: Way) -> None:
        with serving(way.server, self._arguments.out.with_suffix(".log")) as running:
            self.found.started[way.name] = f"{running.started_s:.1f} s"
            for task in TASKS:
                self.attempt(f"{way.name}, the picture of {task}", partial(check, running.port, task, "jpeg", "plain"))
            if self.found.facts["wrk"] == "unknown":
                raise FileNotFoundError("no load could be put on it, since wrk does not start here")
            for task in TASKS:
                self.attempt(f"{way.name}, {task}", partial(self._loaded, way, running, task))

    def _loaded(self, way: Way, running: Running, task: str) -> None:
        for count in WARM_UP:
            load(way.name, running, task, FORMATS[0], count, 1)
        for image_format in way.formats:
            for count in way.callers:
                one = load(way.name, running, task, image_format, count, self._arguments.load_seconds)
                self.found.loads.append(one)


def tell(what: str) -> None:
    sys.stderr.write(what + "\n")


def parity_table(found: list[Parity]) -> str:
    head = ("model", "way", "provider", "largest difference", "values that differ", "rows the same in every batch")
    rows = []
    for one in found:
        largest = f"{one.largest:.0f} of 255" if one.picture else f"{one.largest:.2g}"
        rows.append((one.model, one.mode, one.provider, largest, f"{one.differing:.4%}", f"{one.same_in_batches:.0%}"))
    return table(head, rows)


def speeds_table(found: list[Speed]) -> str:
    batches = sorted({one.batch for one in found})
    cells: dict[tuple[str, str], dict[int, str]] = {}
    for one in found:
        said = one.note or "failed" if one.per_second is None else number(one.per_second)
        cells.setdefault((one.model, one.mode), {})[one.batch] = said
    rows = [(*key, *(by.get(batch, "") for batch in batches)) for key, by in cells.items()]
    names = ("in turn" if batch == IN_TURN else f"batch {batch}" for batch in batches)
    return table(("model", "way", *names), rows)


def loads_table(found: list[Load]) -> str:
    if not found:
        return "Not measured under load.\n"
    head = ("service", "task", "format", "callers", "answers/s", "p50", "p99", "errors")
    costs = ("GPU busy", "at most", "server, cores", "client, cores")
    rows = []
    for one in found:
        what = one.server, one.task, one.format, one.callers
        times = (number(value) for value in (one.per_second, one.p50, one.p99))
        cores = f"{one.server_cores:.1f}", f"{one.client_cores:.1f}"
        rows.append((*what, *times, one.errors, share(one.gpu), share(one.gpu_most), *cores))
    return table((*head, *costs), rows)


def share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def bounds_table(found: Found) -> str:
    """Per task and format: what the models, the encoders of all cores and the service reach."""

    def best(rates: list[float]) -> str:
        return number(max(rates)) if rates else "not measured"

    models = {"generate": ("garments-128", 1), "enhance": ("enhance-x2", (SIDE // FIXED_SIDE) ** 2)}
    rows = []
    for task, (model, tiles) in models.items():
        own = [one for one in found.speeds if one.model.startswith(f"{model}@") and one.mode == PLAIN]
        rates = [one.per_second / tiles for one in own if one.per_second is not None]
        for image_format in FORMATS:
            encoded = [found.encoders[key] for key in found.encoders if key == f"{task} {image_format}"]
            all_cores = best([int(found.facts["cores"]) * rate for rate in encoded])
            served = best([one.per_second for one in found.loads if (one.task, one.format) == (task, image_format)])
            rows.append((task, image_format, best(rates), all_cores, served))
    return table(("task", "format", "the model alone, items/s", "encoders on all cores", "the service"), rows)


def markdown(found: Found) -> str:
    """The whole page."""
    parts = ["# On a GPU\n", "Written by `python -m bench.gpu`; every number is in [gpu.json](gpu.json).\n"]
    parts += [table(("what", ""), found.facts.items())]
    if found.failures:
        parts += ["Not measured:\n", "\n".join(f"- {failure}" for failure in found.failures) + "\n"]
    sections = {
        "The same pictures?": (PARITY_NOTE, parity_table(found.parity)),
        "The models alone": (SPEEDS_NOTE, speeds_table(found.speeds)),
        "The service": (LOADS_NOTE + started(found.started), loads_table(found.loads)),
        "What bounds it": (BOUNDS_NOTE, bounds_table(found)),
    }
    for title, (note, content) in sections.items():
        parts += [f"## {title}\n", note, content]
    return "\n".join(parts)


def started(seconds: Mapping[str, str]) -> str:
    if not seconds:
        return ""
    said = "; ".join(f"{name}: {time}" for name, time in seconds.items())
    return f"\nReady after: {said}. Before any load, one picture of each task is compared with the CPU's.\n"


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__)
    parser.add_argument("--provider", choices=("cuda", "cpu"), default="cuda", help="cpu: to try it without a GPU")
    parser.add_argument("--parts", default="parity,speeds,service", help="which of these, in this order")
    parser.add_argument("--seconds", type=float, default=0.2, help="of every measurement of a model")
    parser.add_argument("--load-seconds", type=int, default=2, help="of every load")
    parser.add_argument("--budget", type=float, default=1e9, help="seconds after which nothing new begins")
    parser.add_argument("--models", type=Path, default=MODELS, help="the repository that the service serves")
    parser.add_argument("--add", action="store_true", help="keep what the file has of other runs")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results" / "gpu.md")
    return parser


def main() -> None:
    """Measure, then write the page."""
    arguments = make_parser().parse_args()
    stop_on_sigterm()
    if arguments.provider == "cuda" and not cuda_works():
        sys.exit(
            "CUDA cannot be used here: the extra `gpu` and an NVIDIA GPU are needed (--provider cpu tries the path)"
        )
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    bench = Bench(arguments, Found(facts(arguments.models)))
    if arguments.add and arguments.out.with_suffix(".json").exists():
        bench.add(arguments.out.with_suffix(".json"))
    for part in arguments.parts.split(","):
        {"parity": bench.parity, "speeds": bench.speeds, "service": bench.service}[part]()
    bench.write()


if __name__ == "__main__":
    main()
