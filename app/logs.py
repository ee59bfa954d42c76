"""The log on stderr: a line an event, as text or as JSON, with the id of the request that it is about.

Nothing that a caller sends can begin a line: JSON escapes it, and so does the text.
"""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from contextvars import ContextVar
from typing import Any, Final

from starlette.types import Scope

from app.scopes import request_id

REQUEST: Final[ContextVar[Scope | None]] = ContextVar("request", default=None)
"""Of the request that is being answered."""
ACCESS: Final = ("client", "method", "path", "http_version", "status")
"""What uvicorn's lines about requests hold."""


def configure(level: str, kind: str) -> None:
    """Log from now on at `level` and above, as `json` or `text`."""
    handler = logging.StreamHandler()
    handler.setFormatter(json_formatter() if kind == "json" else TextFormatter("%(levelname)s:%(name)s:%(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def current_id() -> str | None:
    """The id of the request that this code works for."""
    scope = REQUEST.get()
    return None if scope is None else request_id(scope)


def escaped(text: str) -> str:
    """A text as one line without control characters."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class TextFormatter(logging.Formatter):
    """One line an event; those of a traceback are indented."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # the library's name
        known = current_id()
        return escaped(super().formatMessage(record)) + (f" [request {known}]" if known else "")

    def formatException(self, ei: Any) -> str:  # noqa: ANN401  # the library's name and type
        return "\n".join(f"  {escaped(line)}" for line in super().formatException(ei).splitlines())


def json_formatter() -> logging.Formatter:
    """An object a line: time, level, logger, event and, where there are, request_id and exception."""
    import structlog  # takes longer to import than most commands take

    def with_request(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:  # noqa: ANN401
        known, parts = current_id(), event.pop("positional_args", ())
        if event["logger"] == "uvicorn.access" and len(parts) == len(ACCESS):
            event.update(zip(ACCESS, parts, strict=True), event="request")
        if known is not None:
            event["request_id"] = known
        trace = (REQUEST.get() or {}).get("vitrine.trace")
        if trace is not None:
            event["trace_id"] = trace.name
        return event

    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.processors.TimeStamper(fmt="iso", key="time"),
            with_request,
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        pass_foreign_args=True,
    )
