"""The settings: read once from the environment (prefix VITRINE_), frozen, bounded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

TUNED: Final = "vitrine.env"
"""What `vitrine tune` writes, and the settings read from the working directory; the environment wins."""


def cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0))


def shipped_models() -> Path:
    """`models` here, or in the checkout that this code is run from, so that its commands work in every folder."""
    here, beside = Path("models"), Path(__file__).parents[1] / "models"
    return beside if beside.is_dir() and not here.is_dir() else here


class Settings(BaseSettings):
    """What an operator may choose. Each field is read from VITRINE_<NAME>; its docstring is its manual."""

    model_config = SettingsConfigDict(env_prefix="VITRINE_", env_file=TUNED, frozen=True, use_attribute_docstrings=True)

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(8000, ge=1, le=65535)
    """TCP port to listen on."""
    models_dir: Path = Field(default_factory=shipped_models)
    """The model repository; by default `models` in the working directory, else the one that lies beside the code."""
    models_key: Path | None = None
    """Public key (PEM, elliptic curve): every model must be signed with its private half. Needs the extra signing."""
    presets_dir: Path | None = None
    """A folder with a shop's own presets, *.toml as in app/presets; one with the name of a shipped one replaces it."""
    keys_file: Path | None = None
    """API keys, see docs/operating.md; without it nobody needs one. Read again at SIGHUP."""
    redis_url: str | None = Field(None, pattern=r"^rediss?://")
    """Where the limits of keys are counted when several processes or machines share them, redis://HOST:PORT/0."""
    cors_origins: tuple[str, ...] = ()
    """Origins whose pages may call the service from a browser, as JSON: ["https://shop.example"]; none by default."""
    watermark: bool = False
    """Whether pictures get a mark that is not seen, with the first bits of their model's digest."""
    china_label: bool = False
    """Whether files get the implicit label of GB 45438-2025, with `producer` in it."""
    producer: str | None = Field(None, min_length=1, max_length=200)
    """Who is responsible for the pictures, for that label."""
    c2pa_certificate: Path | None = None
    """PEM chain, the signer's own certificate first: answers get signed content credentials. Needs the extra c2pa."""
    c2pa_key: Path | None = None
    """Its private key, PEM."""
    c2pa_callback: str | None = Field(None, pattern=r"^[\w.]+:\w+$")
    """Instead of a key: "module:function", which is given bytes and gives their raw signature, as of a key store."""
    c2pa_algorithm: Literal["es256", "es384", "es512", "ps256", "ps384", "ps512", "ed25519"] = "es256"
    """How it signs."""
    c2pa_anchors: Path | None = None
    """PEM certificates of authorities that `/inspect` trusts."""
    workers: int = Field(1, ge=1, le=64)
    """Processes that serve. Each loads every model; one is enough unless Python itself is what is slow."""
    threads: int = Field(default_factory=cores, ge=1, le=256)
    """Worker threads of a process. On CPU each runs single-threaded inference, so the number of cores is right."""
    gpus: int | None = Field(None, ge=0)
    """GPUs to use, a worker thread each; all by default, 0 for none."""
    tensorrt: bool = False
    """Whether TensorRT may run what it can, where it is installed."""
    max_batch: int = Field(16, ge=1, le=256)
    """Most rows (pictures or tiles) in one batch."""
    batch_s: float = Field(0.03, gt=0, le=10)
    """On CPU, most seconds of one batch, by the measured speed: what an urgent request may have to wait for."""
    tile_s: float = Field(0.5, gt=0, le=10)
    """On CPU, most seconds of one tile of a photo, by the measured speed: large tiles cost less a pixel, and another
    photo may have to wait for one. Three times as long where nobody else asks, or who asks has many photos waiting."""
    lone_threads: int = Field(default_factory=cores, ge=1, le=256)
    """Threads of the inference of a request that is alone, on CPU."""
    spin_us: int = Field(50, ge=0, le=10_000)
    """How long, in microseconds, the threads of a lone request's inference wait in a loop before they sleep."""
    arena: bool = True
    """Whether inference keeps its memory between batches."""
    max_body_bytes: int = Field(20_000_000, ge=1)
    """Largest request body; counted while it streams."""
    body_timeout_s: float = Field(60, gt=0)
    """How long a body may take to arrive."""
    max_pixels: int = Field(40_000_000, ge=1)
    """Largest width x height of an upload; read from its header, before any pixel is decoded."""
    decode_timeout_s: float = Field(20, gt=0)
    """How long an upload may take to decode; then its decoder is ended, and the upload refused."""
    decode_memory_bytes: int = Field(2_500_000_000, ge=500_000_000)
    """Address space of a decoder process. There are as many as `threads`; each has what it uses, not this much."""
    max_output_pixels: int = Field(160_000_000, ge=1)
    """Largest width x height of an answer."""
    max_held_pixels: int = Field(400_000_000, ge=1)
    """Uploads and answers being worked on at once, in pixels of 3 bytes; more gets 503."""
    max_held_bytes: int = Field(400_000_000, ge=1)
    """Bodies in memory at once; more gets 503."""
    max_requests: int = Field(4096, ge=1)
    """Requests being worked on or queued at once; more gets 503."""
    default_timeout_s: float = Field(120, gt=0)
    """Deadline of a request that sends no Request-Timeout."""
    max_timeout_s: float = Field(300, gt=0)
    """Longest deadline that a client may ask for."""
    drain_s: float = Field(30, ge=0)
    """How long a shutdown waits for accepted requests."""
    access_log: bool = False
    """Whether every request is logged; /metrics counts them in any case."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe messages that are logged."""
    log_format: Literal["json", "text"] = "text"
    """How: lines of text, or an object a line with time, level, event and request_id."""

    @model_validator(mode="after")
    def _go_together(self) -> Settings:
        if self.china_label and self.producer is None:
            raise ValueError("VITRINE_CHINA_LABEL needs VITRINE_PRODUCER")
        if self.c2pa_certificate and (self.c2pa_key is None) == (self.c2pa_callback is None):
            raise ValueError("VITRINE_C2PA_CERTIFICATE needs either VITRINE_C2PA_KEY or VITRINE_C2PA_CALLBACK")
        return self


def unknown_settings() -> list[str]:
    """Names in the environment that look like settings but are none: most likely misspelt."""
    known = {f"VITRINE_{name.upper()}" for name in Settings.model_fields}
    return sorted(name for name in os.environ if name.upper().startswith("VITRINE_") and name.upper() not in known)  # noqa: TID251  # the one module that may


def wants_traces() -> bool:
    """Whether OpenTelemetry's own settings say where traces go."""
    said = os.environ  # noqa: TID251  # the one module that may
    if said.get("OTEL_SDK_DISABLED", "").lower() == "true" or said.get("OTEL_TRACES_EXPORTER", "otlp") != "otlp":
        return False
    return bool(said.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or said.get("OTEL_EXPORTER_OTLP_ENDPOINT"))


def share_metrics(folder: Path) -> None:
    """Have the metrics of this process and its children kept in `folder`; before app.metrics is imported."""
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)  # noqa: TID251  # the client library reads only this
