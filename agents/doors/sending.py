"""Replies on their way to a client that may have gone, or stand there and take nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import StreamingResponse

from agents.doors.chat_run import Opened

logger = logging.getLogger(__name__)

GONE = 499  # the client went away; nobody reads this
LOOK_S = 0.25  # how often to look whether the client is still there
SEND_S = 30.0  # a client that takes nothing for so long is gone: the call upstream, which costs, must not wait for it
T = TypeVar("T")


async def unless_gone(request: Request, answer: Coroutine[Any, Any, T]) -> T | None:  # Any: the loop's affair
    """Wait for an answer; a client that goes away cancels it, and with it the call upstream, and gets None."""
    task = asyncio.ensure_future(answer)
    try:
        while not (await asyncio.wait({task}, timeout=LOOK_S))[0]:
            if await request.is_disconnected():
                return None
        return await task
    finally:
        task.cancel()
        await asyncio.wait({task})


class StreamedTurn(StreamingResponse):
    """An opened turn as server-sent events. However it ends, also before its first piece, the call upstream is closed."""

    media_type = "text/event-stream"

    def __init__(
        self,
        body: AsyncGenerator[bytes, None],
        first: Opened,
        *,
        headers: dict[str, str],
        send_s: float = SEND_S,
    ) -> None:
        super().__init__(body, headers=headers)
        self._body, self._events, self._send_s = body, first.events, send_s

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # Any: starlette's own types
        """Send it, as long as somebody takes it."""

        async def taken(message: Any) -> None:  # Any: as above
            async with asyncio.timeout(self._send_s):
                await send(message)

        try:
            await super().__call__(scope, receive, taken)
        except (ClientDisconnect, TimeoutError):
            logger.info("a client took nothing for %g s, or left; its answer is ended", self._send_s)
        finally:
            await self._body.aclose()
            await self._events.aclose()
