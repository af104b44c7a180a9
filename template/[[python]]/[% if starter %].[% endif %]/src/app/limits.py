"""Limits on what one request may cost, and the goodbye to clients while the service drains."""

import asyncio
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_BYTES = 64 * 1024
BODY_SECONDS = 10


class RequestLimits:
    """Refuses bodies that are too large or too slow, declared or chunked."""

    def __init__(self, app: ASGIApp, draining: Callable[[], bool]) -> None:
        self._app = app
        self._draining = draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        declared = int(Headers(scope=scope).get("content-length", 0))  # checked by the server
        deadline = asyncio.get_running_loop().time() + BODY_SECONDS
        size = 0
        begun = complete = False

        async def limited_receive() -> Message:
            nonlocal size, begun, complete
            if complete:  # what follows is the client's leaving, which may take its time
                return await receive()
            begun = True
            if declared > BODY_BYTES:
                raise HTTPException(413)
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408) from None
            size += len(message.get("body", b""))
            if size > BODY_BYTES:
                raise HTTPException(413)
            complete = not message.get("more_body", False)
            return message

        async def answer(message: Message) -> None:
            # The rest of a body that was given up is not read either.
            closing = self._draining() or (begun and not complete)
            if message["type"] == "http.response.start" and closing:
                headers = [*message.get("headers", []), (b"connection", b"close")]
                message = {**message, "headers": headers}
            await send(message)

        await self._app(scope, limited_receive, answer)
