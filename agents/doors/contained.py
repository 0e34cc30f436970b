"""A fault of ours ends with the request it befell: told in OpenAI's form, and logged without its words, which may be somebody's."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.requests import ClientDisconnect

from agents.doors.chat_reply import error_json, written
from agents.doors.guard import ASGI, Receive, Send

logger = logging.getLogger(__name__)


class Contained:
    """ASGI: whatever is raised below goes no further. failed: told that something was."""

    def __init__(
        self, app: Callable[[ASGI, Receive, Send], Awaitable[None]], *, failed: Callable[[], None] = lambda: None
    ) -> None:
        self.app, self.failed = app, failed

    async def __call__(self, scope: ASGI, receive: Receive, send: Send) -> None:
        """Pass on. An answer that has begun is cut: its connection is closed before its end."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        begun = False

        async def noted(message: ASGI) -> None:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, noted)
        except ClientDisconnect:  # while its body was read: nobody is there
            return
        except Exception as err:
            logger.error("%s", place(err))
            self.failed()
            if scope["type"] == "http" and not begun:
                await _tell(send)


def place(err: BaseException) -> str:
    """What was raised, and where; not what it says.

    >>> try:
    ...     int("the zebra")
    ... except ValueError as err:
    ...     place(err).startswith("ValueError in <module>, ")
    True
    """
    last = traceback.extract_tb(err.__traceback__)[-1]
    return f"{type(err).__qualname__} in {last.name}, {Path(last.filename).name}:{last.lineno}"


async def _tell(send: Send) -> None:
    body = written(error_json("something failed here; ask again.", kind="server_error"))
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 500, "headers": headers})
    await send({"type": "http.response.body", "body": body})
