"""What can go wrong, as exceptions: one for each kind of problem+json (RFC 9457) that the service answers with."""

from __future__ import annotations

from typing import Any, Final

import httpx


class VitrineError(Exception):
    """Base of everything that this package raises."""


class Unreachable(VitrineError):
    """There is no answer: the service cannot be reached, or does not answer in time."""


class Problem(VitrineError):
    """The service answered with a problem."""

    def __init__(self, status: int, facts: dict[str, Any], retry_after: float | None = None) -> None:
        self.status = status
        self.code = str(facts.get("type", "")).rpartition(":")[2]
        """Stable, such as `unknown-category`."""
        self.title = str(facts.get("title", ""))
        self.detail = str(facts.get("detail", ""))
        self.request_id = str(facts.get("request_id", ""))
        """To be found again in the service's log."""
        self.errors: list[dict[str, Any]] = list(facts.get("errors", []))
        """Which options are wrong, for 422."""
        self.retry_after = retry_after
        """Seconds after which it may go better, for 429 and 503."""
        super().__init__(f"{status} {self.code or 'no problem+json'}: {self.detail or self.title}")


class UnusableImage(Problem):
    """400, 415: the upload is not an image that can be read."""


class Unauthorized(Problem):
    """401: a key is needed, or this one is not known."""


class Forbidden(Problem):
    """403: the key is not for this route."""


class NotFound(Problem):
    """404: unknown model, category, style or preset."""


class TooLarge(Problem):
    """413: too many bytes or pixels."""


class InvalidOptions(Problem):
    """422: an option is wrong; `errors` says which."""


class RateLimited(Problem):
    """429: the key's limit is used up."""


class ServerFailed(Problem):
    """500: it is not the caller's fault."""


class Overloaded(Problem):
    """503: the service has too much to do, or is starting or stopping."""


class DeadlineExceeded(Problem):
    """504: the time was over before the work was done."""


KINDS: Final[dict[int, type[Problem]]] = {
    400: UnusableImage, 401: Unauthorized, 403: Forbidden, 404: NotFound, 413: TooLarge, 415: UnusableImage,
    422: InvalidOptions, 429: RateLimited, 500: ServerFailed, 503: Overloaded, 504: DeadlineExceeded,
}  # fmt: skip


def problem_of(response: httpx.Response) -> Problem:
    """The exception for an answer that is none."""
    try:
        facts = response.json()
    except ValueError:  # a proxy's page
        facts = {}
    after = response.headers.get("retry-after", "")
    kind = KINDS.get(response.status_code, Problem)
    return kind(
        response.status_code, facts if isinstance(facts, dict) else {}, float(after) if after.isdigit() else None
    )
