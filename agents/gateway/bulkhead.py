"""A bulkhead: one slow provider must not use up what the others need. So many attempts at once, so many in line."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from agents.gateway.settings import Settings
from router.errors import ModelError


class Bulkhead:
    """Slots for the attempts at one provider, given out in the order of asking. For one event loop."""

    def __init__(self, settings: Settings, *, provider: str) -> None:
        self._settings = settings
        self._provider = provider
        self._line: deque[asyncio.Future[None]] = deque()
        self.active = 0

    @property
    def waiting(self) -> int:
        """How many stand in line."""
        return len(self._line)

    @asynccontextmanager
    async def slot(self, *, wait_s: float) -> AsyncGenerator[None, None]:
        """Hold one slot. wait_s: how long to stand in line, at most `bulkhead_wait_s`.

        Raises ModelError(kind="overloaded"): at once where the line is full, else when the time is over.
        """
        await self.enter(wait_s=wait_s)
        try:
            yield
        finally:
            self.leave()

    async def enter(self, *, wait_s: float) -> None:
        """Take a slot, as `slot` does; whoever had one calls `leave`."""
        wait_s = min(wait_s, self._settings.bulkhead_wait_s)
        if self.active < self._settings.bulkhead_attempts:
            self.active += 1
            return
        if self.waiting >= self._settings.bulkhead_waiting or wait_s <= 0:
            raise self._full("and the line is full")
        place = asyncio.get_running_loop().create_future()
        self._line.append(place)
        try:
            async with asyncio.timeout(wait_s):
                await place
        except BaseException as err:
            if place.done() and not place.cancelled():  # the slot was given in the moment of giving up: pass it on
                self.leave()
            else:
                self._line.remove(place)
            if isinstance(err, TimeoutError):
                raise self._full(f"and none came free in {wait_s:g} s") from err
            raise

    def leave(self) -> None:
        """Give the slot to the first who still waits; it stays taken then."""
        for place in self._line:
            if not place.done():  # a place whose owner was cancelled stays in line until its owner has run
                self._line.remove(place)
                place.set_result(None)
                return
        self.active -= 1

    def _full(self, why: str) -> ModelError:
        return ModelError(
            f"{self._provider}: {self.active} attempts are on their way, {why}; raise `bulkhead_attempts` if the"
            " provider can take more.",
            kind="overloaded",
        )
