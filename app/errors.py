"""Every error that a client may see. The message is public; one handler in `main` renders them all."""

from __future__ import annotations

from typing import Any, ClassVar


def stated(code: str, title: str, status: int, detail: str) -> dict[str, Any]:
    """What a problem says beside whose it is."""
    return {"type": f"urn:vitrine:problem:{code}", "title": title, "status": status, "detail": detail}


class AppError(Exception):
    """Base of the errors below. `code` is stable: it is the problem's type and a metric label."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"

    def __init__(self, detail: str = "", **headers: str) -> None:
        super().__init__(detail or self.title)
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def problem(self, request_id: str) -> dict[str, Any]:
        """The error as RFC 9457 has it."""
        return {**stated(self.code, self.title, self.status, str(self)), "request_id": request_id}


class BadRequest(AppError):
    """The request itself is malformed."""

    status, code, title = 400, "bad-request", "The request is malformed"


class BadImage(AppError):
    """The bytes are not an image, are truncated, or hold more than the claimed type."""

    status, code, title = 400, "bad-image", "The upload is not a usable image"


class Unauthorized(AppError):
    """API keys are configured, and the request shows none, or an unknown one."""

    status, code, title = 401, "unauthorized", "An API key is needed"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, WWW_Authenticate='Bearer realm="vitrine"')


class Forbidden(AppError):
    """The key is not for this route."""

    status, code, title = 403, "forbidden", "Not allowed for this key"


class NotFound(AppError):
    """No such path, model or category."""

    status, code, title = 404, "not-found", "Not found"


class UnknownModel(NotFound):
    """A model that is not in the repository, or a task that no model in it serves."""

    code, title = "unknown-model", "Unknown model"


class UnknownCategory(NotFound):
    """A category that the model was not trained on."""

    code, title = "unknown-category", "Unknown category"


class UnknownPreset(NotFound):
    """A preset that is not there."""

    code, title = "unknown-preset", "Unknown preset"


class UnknownStyle(NotFound):
    """A style that is not there, or whose model is not."""

    code, title = "unknown-style", "Unknown style"


class MethodNotAllowed(AppError):
    """The path is there, but not for this method."""

    status, code, title = 405, "method-not-allowed", "Method not allowed"


class NotAcceptable(AppError):
    """Nothing that `Accept` allows can be made."""

    status, code, title = 406, "not-acceptable", "Not acceptable"


class BodyTimeout(AppError):
    """The body did not arrive in time."""

    status, code, title = 408, "body-timeout", "The body came too slowly"


class BodyTooLarge(AppError):
    """The body is over the byte limit."""

    status, code, title = 413, "body-too-large", "The body is too large"


class ImageTooLarge(AppError):
    """The image, or the answer asked for, is over the pixel limit."""

    status, code, title = 413, "image-too-large", "The image is too large"


class UnsupportedMediaType(AppError):
    """An upload of a type that is not listed."""

    status, code, title = 415, "unsupported-media-type", "Unsupported media type"


class InvalidOptions(AppError):
    """A field fails validation; `errors` says which."""

    status, code, title = 422, "invalid-options", "The options are not valid"

    def __init__(self, errors: list[dict[str, Any]]) -> None:
        super().__init__("; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in errors[:3]))
        self.errors = errors

    def problem(self, request_id: str) -> dict[str, Any]:
        return {**super().problem(request_id), "errors": self.errors}


class RateLimited(AppError):
    """The key's rate is used up."""

    status, code, title = 429, "rate-limited", "Too many requests"


class TooManyAtOnce(AppError):
    """The key has as many requests under way as it may."""

    status, code, title = 429, "too-many-at-once", "Too many requests at once"


class HeadTooLarge(AppError):
    """The head of a request, or what comes between the parts of its body, has no end."""

    status, code, title = 431, "head-too-large", "The head of the request is too large"


class ClientGone(AppError):
    """The client left before its answer was ready; nobody sees this but the metrics."""

    status, code, title = 499, "client-gone", "The client left"


class ModelFailed(AppError):
    """The model failed on this very item."""

    code, title = "model-failed", "The model failed on this image"


class Overloaded(AppError):
    """The queue cannot meet the deadline."""

    status, code, title = 503, "overloaded", "Overloaded"

    def __init__(self, wait_s: float) -> None:
        super().__init__("The queue cannot meet the deadline; retry later.", Retry_After=str(max(1, round(wait_s))))


class Draining(AppError):
    """The service is shutting down or not ready yet."""

    status, code, title = 503, "draining", "Draining"

    def __init__(self) -> None:
        super().__init__("The service is not taking work now; retry later.", Retry_After="5")


class DeadlineExceeded(AppError):
    """The deadline passed while the work was queued."""

    status, code, title = 504, "deadline-exceeded", "The deadline passed"
