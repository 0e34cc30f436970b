"""Threads that classify: few of them, a bounded line before them, a limit on each call's own work, a new one for a stuck one.

The limit counts from the moment a thread takes a call up, so that a crowd does not make a healthy classifier look broken;
how long a call may stand in line is a limit of its own. A call cannot be stopped from outside: its thread is given up and
replaced, and goes on with the others where it comes back and one is lacking.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from router.errors import PolicyError

T = TypeVar("T")
Line = queue.SimpleQueue["_Job[Any] | None"]  # Any: jobs of whatever type; None ends a thread
SWITCH_S = (
    0.0005  # for how long a thread may hold the interpreter while another wants it; Python's own is ten times that
)
END_S = 1.0  # how long closing waits for calls under way; nobody waits for a stuck one


def share_interpreter() -> None:
    """For a process that serves: let the event loop and the classifying threads take turns more often.

    Between two calls into the graph a thread is Python; with Python's own interval it may keep all others waiting for 5 ms.
    """
    sys.setswitchinterval(SWITCH_S)


class PoolError(Exception):
    """A call that came to nothing for a reason of the pool's."""


class BusyError(PoolError):
    """Too many calls stand in line, or this one stood there for too long."""


class StuckError(PoolError):
    """The call did not come back in time, or every thread is lost to such calls."""


class ClosedError(PoolError):
    """The pool was closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLimits:
    """How many at once, and for how long. Raises PolicyError for what is not above 0."""

    threads: int = 2  # each takes one processor; the graph runs on one as well
    work_s: float = 0.5  # of one call, from the moment a thread takes it up: some thirty times what a decision takes
    wait_s: float = 2.0  # in line: an answer that begins after it is late, and better than one at ten times the price
    line: int = 256  # calls in line: what two threads do in those seconds, at some 15 ms a call
    stuck: int = 8  # threads that may be lost to calls that do not come back; beyond it, lost ones are not replaced

    def __post_init__(self) -> None:
        for name in ("threads", "work_s", "wait_s", "line", "stuck"):
            if not getattr(self, name) > 0:
                raise PolicyError(f"the classifier's `{name}` is {getattr(self, name)}; wanted more than 0.")


class Pool:
    """Runs calls in its threads, in the order in which they came."""

    def __init__(self, limits: PoolLimits | None = None) -> None:
        self.limits = limits or PoolLimits()
        self._line: Line = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()
        self._begun = self._closed = False
        self._stuck = 0

    @property
    def waiting(self) -> int:
        """How many calls stand in line."""
        return self._line.qsize()

    @property
    def stuck(self) -> int:
        """How many threads are lost to calls that have not come back."""
        return self._stuck

    async def run(self, call: Callable[[], T]) -> T:
        """What `call` returns or raises, in a thread.

        Raises BusyError, StuckError or ClosedError where it came to nothing; a stuck call may go on after that.
        """
        self._require_place()
        job = _Job(call, asyncio.get_running_loop())
        self._look(job)
        self._line.put(job)
        try:
            return await job.future
        finally:
            job.left = True
            if job.timer is not None and not job.future.cancelled():  # a call that was left may still be, or get, stuck
                job.timer.cancel()

    def close(self) -> None:
        """Let the threads go; calls in line come to nothing. Waits for those under way, up to `END_S` in all."""
        with self._lock:
            self._closed = True
            threads, self._threads = self._threads, set()
        self._turn_away(ClosedError("the pool was closed"))
        for _ in threads:
            self._line.put(None)
        until = time.monotonic() + END_S
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _require_place(self) -> None:
        with self._lock:
            if self._closed:
                raise ClosedError("the pool was closed")
            if not self._begun:
                self._begun = True
                for _ in range(self.limits.threads):
                    self._start()
            if not self._threads:
                raise self._all_lost()
        if self.waiting >= self.limits.line:
            raise BusyError(f"{self.limits.line} calls stand in line already")

    def _turn_away(self, why: PoolError) -> None:
        """End whatever stands in line."""
        with contextlib.suppress(queue.Empty):
            while (job := self._line.get_nowait()) is not None:
                job.tell(None, why)

    def _start(self) -> None:
        """One more thread; the lock is held. A daemon: a stuck call must not keep the process from ending."""
        thread = threading.Thread(target=self._work, name="classifier", daemon=True)
        self._threads.add(thread)
        thread.start()

    def _work(self) -> None:
        """What each thread does."""
        while (job := self._line.get()) is not None:
            if job.left:
                continue
            job.thread = threading.current_thread()
            job.begun_at = time.monotonic()
            try:
                value, error = job.call(), None
            except BaseException as err:  # for whoever waits; this thread has other work
                value, error = None, err
            if not self._goes_on(job):
                return
            job.tell(value, error)

    def _goes_on(self, job: _Job[Any]) -> bool:
        """Whether the thread stays, now that its call is back: one that was given up does where another is lacking."""
        with self._lock:
            job.back = True
            if not job.lost:
                return True
            self._stuck -= 1
            lacking = len(self._threads) < self.limits.threads and not self._closed
            if lacking:
                self._threads.add(threading.current_thread())
            return lacking

    def _look(self, job: _Job[Any]) -> None:
        """Look after a job at the moments at which it could be late, and at no others: so no thread has to report."""
        if job.back:
            return
        now, limits = time.monotonic(), self.limits
        begun_at = job.begun_at
        left_s = job.queued_at + limits.wait_s - now if begun_at is None else begun_at + limits.work_s - now
        if left_s > 0:
            job.timer = job.loop.call_later(min(left_s, limits.work_s), self._look, job)
        elif begun_at is None:
            job.settle(None, BusyError(f"in line for {limits.wait_s:g} s"))
        elif self._lost(job):
            job.settle(None, StuckError(f"at work for {limits.work_s:g} s"))

    def _lost(self, job: _Job[Any]) -> bool:
        """Give up the thread of a job, and let another take its place; False where it came back in this very moment."""
        with self._lock:
            if job.back:
                return False
            assert job.thread is not None
            job.lost = True
            self._stuck += 1
            self._threads.discard(job.thread)
            if self._stuck <= self.limits.stuck and not self._closed:
                self._start()
            nobody = not self._threads
        if nobody:
            self._turn_away(self._all_lost())
        return True

    def _all_lost(self) -> StuckError:
        return StuckError(f"all threads are lost to {self._stuck} calls that do not come back")


class _Job(Generic[T]):
    """One call on its way. begun_at: None while it stands in line.   back: its thread is free again.   lost: that was
    given up.   left: nobody waits any more.
    """

    def __init__(self, call: Callable[[], T], loop: asyncio.AbstractEventLoop) -> None:
        self.call, self.loop = call, loop
        self.future: asyncio.Future[T] = loop.create_future()
        self.queued_at = time.monotonic()
        self.begun_at: float | None = None
        self.thread: threading.Thread | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.back = self.lost = self.left = False

    def tell(self, value: T | None, error: BaseException | None) -> None:
        """Settle it, from another thread. A loop that is closed has nobody in it who waits."""
        if not self.left:
            with contextlib.suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self.settle, value, error)

    def settle(self, value: T | None, error: BaseException | None) -> None:
        """Hand over what came of it, within its loop."""
        if self.future.done():
            return
        if isinstance(error, StopIteration):  # a future takes any other
            error = RuntimeError("the call raised StopIteration")
        if error is not None:
            self.future.set_exception(error)
        else:
            self.future.set_result(value)  # type: ignore[arg-type]  # without an error it is what the call gave
