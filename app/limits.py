"""What a request may cost before any route sees it."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import BodyTooLarge


class BodyLimit:
    """ASGI middleware that counts a body while it streams, chunked or not, and stops it with `BodyTooLarge`.

    Raises:
        BodyTooLarge: inside the route that reads the body; the application's handler renders it.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app, self.max_bytes = app, max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self.max_bytes:
                raise BodyTooLarge(f"The body is over {self.max_bytes} bytes.")
            return message

        await self.app(scope, counted, send)
