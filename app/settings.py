"""The settings: read once from the environment (prefix VITRINE_), frozen, bounded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What an operator may choose. Each field is read from VITRINE_<NAME>; its docstring is its manual."""

    model_config = SettingsConfigDict(env_prefix="VITRINE_", frozen=True, use_attribute_docstrings=True)

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(8000, ge=1, le=65535)
    """TCP port to listen on."""
    models_dir: Path = Path("models")
    """The model repository."""
    workers: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1, le=256)
    """Inference threads. On CPU each runs single-threaded sessions, so the number of cores is right."""
    max_batch: int = Field(16, ge=1, le=256)
    """Most rows (pictures or tiles) in one batch."""
    max_body_bytes: int = Field(20_000_000, ge=1)
    """Largest request body; counted while it streams."""
    body_timeout_s: float = Field(60, gt=0)
    """How long a body may take to arrive."""
    max_pixels: int = Field(40_000_000, ge=1)
    """Largest width x height of an upload; read from its header, before any pixel is decoded."""
    max_output_pixels: int = Field(160_000_000, ge=1)
    """Largest width x height of an answer."""
    max_held_pixels: int = Field(400_000_000, ge=1)
    """Uploads and answers being worked on at once, in pixels of 3 bytes; more gets 503."""
    default_timeout_s: float = Field(120, gt=0)
    """Deadline of a request that sends no Request-Timeout."""
    max_timeout_s: float = Field(300, gt=0)
    """Longest deadline that a client may ask for."""
    drain_s: int = Field(30, ge=0)
    """How long a shutdown waits for accepted requests."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe messages that are logged."""


def unknown_settings() -> list[str]:
    """Names in the environment that look like settings but are none: most likely misspelt."""
    known = {f"VITRINE_{name.upper()}" for name in Settings.model_fields}
    return sorted(name for name in os.environ if name.upper().startswith("VITRINE_") and name.upper() not in known)  # noqa: TID251  # the one module that may
