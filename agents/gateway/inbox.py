"""What lies between the task that reads a stream and the one that uses it: a few items, and a limit on waiting for the next.

asyncio's Queue and timeout would do, at several times the price for every word of an answer: here nothing is awaited that
is at hand, and the timer is set once and looks again where it was set too early.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Inbox(Generic[T]):
    """Items of one producer for one consumer, in order. Whoever finds it `full` or empty awaits `room` or `item` first.

    most: how many may lie there before the producer has to wait.
    """

    def __init__(self, most: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._most = most
        self._items: deque[T] = deque()
        self._consumer: asyncio.Future[bool] | None = None  # what it awaits: whether something came
        self._producer: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._by = 0.0

    def __len__(self) -> int:
        return len(self._items)

    @property
    def full(self) -> bool:
        """Whether the producer has to wait."""
        return len(self._items) >= self._most

    def put(self, item: T) -> None:
        """Lay an item there."""
        self._items.append(item)
        if self._consumer is not None and not self._consumer.done():
            self._consumer.set_result(True)

    def take(self) -> T:
        """The next item; there must be one."""
        item = self._items.popleft()
        if self._producer is not None and not self._producer.done():
            self._producer.set_result(None)
        return item

    async def room(self) -> None:
        """Wait until it is no longer full."""
        while self.full:
            self._producer = self._loop.create_future()
            await self._producer

    async def item(self, limit_s: float) -> bool:
        """Wait until something is there; False where nothing comes in so many seconds."""
        if self._items:
            return True
        self._by = self._loop.time() + limit_s
        if self._timer is not None and self._timer.when() > self._by:
            self.close()
        if self._timer is None:
            self._timer = self._loop.call_at(self._by, self._look)
        self._consumer = self._loop.create_future()
        try:
            return await self._consumer
        finally:
            self._consumer = None

    def close(self) -> None:
        """Nobody waits here any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        if self._consumer is None or self._consumer.done():
            return
        if self._loop.time() < self._by:
            self._timer = self._loop.call_at(self._by, self._look)
        else:
            self._consumer.set_result(False)
