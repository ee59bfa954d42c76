"""FastAPI as most people write it: plain functions in its thread pool, one session, no batches."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Body, FastAPI, Response
from pydantic import BaseModel

from bench.peers.options import worker
from bench.work import Order, Photo

app = FastAPI()
work = worker()


class Generate(BaseModel):
    """A picture to generate."""

    category: str
    seed: int
    format: Literal["webp", "jpeg"]


@app.get("/healthz")
def healthz() -> str:
    return "alive"


@app.post("/generate")
def generate(order: Generate) -> Response:
    [data] = work.generate([Order(order.category, order.seed, order.format)])
    return Response(data, media_type=f"image/{order.format}")


@app.post("/enhance")
def enhance(
    data: Annotated[bytes, Body(media_type="image/jpeg")], format: Literal["webp", "jpeg"] = "webp"
) -> Response:
    [large] = work.enhance([Photo(data, format)])
    return Response(large, media_type=f"image/{format}")
