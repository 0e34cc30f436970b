"""What was said lately, so that a socket that comes back can be told what the last one did not hear. Bounded by bytes and time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from router.errors import DataError

KEPT_S = 120.0  # a page notices a dead socket within 23 s, comes back within 15, and is waited for 30
KEPT_BYTES = 1_000_000  # of one conversation: a long answer of a desk, piece by piece, and then as a whole


@dataclass(slots=True)
class Tally:
    """How much all conversations keep together."""

    total_bytes: int = 0


@dataclass(frozen=True, slots=True)
class _Said:
    number: int
    at: float
    text: str


class Kept:
    """The newest messages of one conversation, as they went out. clock: seconds, never going back."""

    def __init__(self, tally: Tally, *, clock: Callable[[], float]) -> None:
        self._tally, self._clock = tally, clock
        self._said: deque[_Said] = deque()
        self.bytes = 0
        self.last = 0  # the number of the message that was said last, kept or not

    def __len__(self) -> int:
        return len(self._said)

    @property
    def oldest(self) -> int:
        """The number of the oldest message that is kept; of the next to come, where none is."""
        return self._said[0].number if self._said else self.last + 1

    def add(self, text: str) -> None:
        """Keep the next message; what is too old or too much goes, and be it this one."""
        self.last += 1
        self._said.append(_Said(self.last, self._clock(), text))
        self._count(len(text))
        self.trim()

    def trim(self) -> None:
        """Let go of what is too old, or too much."""
        until = self._clock() - KEPT_S
        while self._said and (self._said[0].at < until or self.bytes > KEPT_BYTES):
            self._count(-len(self._said.popleft().text))

    def drop(self) -> None:
        """Let go of everything; numbers go on where they were."""
        self._said.clear()
        self._count(-self.bytes)

    def close(self) -> None:
        """Let go of everything for good: a last word of a turn that is being cancelled burdens nobody."""
        self.drop()
        self._tally = Tally()

    def after(self, number: int) -> Iterator[tuple[int, str]]:
        """(number, message) of all that was said after `number`, as of now.

        Raises DataError for a number that was never given, and where some of it is no longer kept.
        """
        if not 0 <= number <= self.last or (number < self.last and number + 1 < self.oldest):
            raise DataError(
                f"last_seq is {number}; messages {self.oldest} to {self.last} are kept. Begin a new session."
            )
        return iter([(said.number, said.text) for said in self._said if said.number > number])

    def _count(self, changed: int) -> None:
        self.bytes += changed
        self._tally.total_bytes += changed
