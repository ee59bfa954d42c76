"""A client of a Vitrine service: `Client`, and `AsyncClient` with the same methods to be awaited."""

from vitrine_client.calls import Source
from vitrine_client.client import AsyncClient, Client
from vitrine_client.errors import (
    DeadlineExceeded,
    Forbidden,
    InvalidOptions,
    NotFound,
    Overloaded,
    Problem,
    RateLimited,
    ServerFailed,
    TooLarge,
    Unauthorized,
    Unreachable,
    UnusableImage,
    VitrineError,
)
from vitrine_client.results import Answer, Backdrop, Finding, Image, Marks, Styles
from vitrine_client.retrying import Retries

__all__ = [
    "Answer",
    "AsyncClient",
    "Backdrop",
    "Client",
    "DeadlineExceeded",
    "Finding",
    "Forbidden",
    "Image",
    "InvalidOptions",
    "Marks",
    "NotFound",
    "Overloaded",
    "Problem",
    "RateLimited",
    "Retries",
    "ServerFailed",
    "Source",
    "Styles",
    "TooLarge",
    "Unauthorized",
    "Unreachable",
    "UnusableImage",
    "VitrineError",
]
