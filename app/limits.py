"""What a request may cost before any route sees it."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import BodyTimeout, BodyTooLarge


class BodyLimit:
    """ASGI middleware that counts a body while it streams, chunked or not, and stops it with an error.

    Raises:
        BodyTooLarge, BodyTimeout: inside the route that reads the body; the application's handler renders it.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, timeout_s: float) -> None:
        self.app, self.max_bytes, self.timeout_s = app, max_bytes, timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        seen, whole = 0, False
        until = asyncio.get_running_loop().time() + self.timeout_s

        async def counted() -> Message:
            nonlocal seen, whole
            if whole:  # from here on one waits for the client to leave
                return await receive()
            try:
                async with asyncio.timeout_at(until):
                    message = await receive()
            except TimeoutError:
                raise BodyTimeout(f"The body did not arrive within {self.timeout_s:g} s.") from None
            whole = not message.get("more_body", False)
            seen += len(message.get("body", b""))
            if seen > self.max_bytes:
                raise BodyTooLarge(f"The body is over {self.max_bytes} bytes.")
            return message

        await self.app(scope, counted if scope["type"] == "http" else receive, send)
