"""A circuit breaker: a provider that fails is left alone for a while, then asked again with one request.

The shape is Nygard's (Release It!, 2007): closed -> open -> half-open -> closed, with a share of failures over a time
window instead of a run of them, so that one success amid an outage does not hide it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from agents.gateway.settings import Settings

BreakerState = Literal["closed", "open", "half_open"]
Verdict = Literal["success", "failure", "neutral"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """Leave to make one attempt. era: how often the breaker had changed its mind by then; probe: the one of half-open."""

    era: int
    probe: bool


class Breaker:
    """Whether one provider may be asked. Every permit must be settled, or given back by settling it as neutral.

    clock: seconds, never going back. A verdict is "failure" only for what is the provider's fault and may pass;
    "neutral" for what says nothing about it (a malformed request, a caller who left). Not safe across threads.
    """

    def __init__(self, settings: Settings, *, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._recent: deque[tuple[float, bool]] = deque()
        self._failures = 0
        self._era = 0
        self._opened_at: float | None = None
        self._probing = False
        self.openings = 0

    @property
    def state(self) -> BreakerState:
        """Open until its time is over, then half-open until a probe has shown that the provider is back."""
        if self._opened_at is None:
            return "closed"
        return "open" if self._clock() - self._opened_at < self._settings.breaker_open_s else "half_open"

    def admit(self) -> Permit | None:
        """Leave to make one attempt; None while the breaker is open, or half-open with its one probe on the way."""
        state = self.state
        if state == "closed":
            return Permit(era=self._era, probe=False)
        if state == "open" or self._probing:
            return None
        self._probing = True
        return Permit(era=self._era, probe=True)

    def speaks(self, permit: Permit) -> None:
        """The provider has begun to answer: for a probe that is enough, and nobody waits for the end of its answer."""
        if permit.probe and permit.era == self._era:
            self._close()

    def settle(self, permit: Permit, verdict: Verdict) -> None:
        """What became of an attempt. One from before the last change of mind counts no more, except a probe that spoke."""
        if permit.era != self._era:
            if permit.probe and self._opened_at is None and permit.era == self._era - 1:
                self._count(verdict)
            return
        if permit.probe:
            self._probing = False
            if verdict == "success":
                self._close()
            elif verdict == "failure":
                self._open()
        else:
            self._count(verdict)

    def _count(self, verdict: Verdict) -> None:
        if verdict == "neutral":
            return
        self._recent.append((self._clock(), verdict == "failure"))
        self._failures += verdict == "failure"
        self._forget()
        enough = len(self._recent) >= self._settings.breaker_min_attempts
        if enough and self._failures >= self._settings.breaker_failure_share * len(self._recent):
            self._open()

    def _forget(self) -> None:
        oldest = self._clock() - self._settings.breaker_window_s
        while self._recent and self._recent[0][0] < oldest:
            self._failures -= self._recent.popleft()[1]

    def _open(self) -> None:
        self._turn_over()
        self._opened_at = self._clock()
        self.openings += 1

    def _close(self) -> None:
        self._turn_over()
        self._opened_at = None

    def _turn_over(self) -> None:
        self._era += 1
        self._probing = False
        self._recent.clear()
        self._failures = 0
