"""How much one key or user may ask for: requests per minute by token bucket, and connections at once. Bounded memory."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from router.errors import PolicyError

SECONDS_PER_MINUTE = 60.0
BUCKETS = 100_000  # some 20 MB; a bucket that nobody took from for a minute is full, and as good as none


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Whether a request may pass.   retry_after_s: 0 where it may, else the seconds after which one more may."""

    admitted: bool
    retry_after_s: float


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class RateLimiter:
    """A token bucket per key: a minute's requests at once, then one each time that the rate allows.

    clock: seconds that only grow.   capacity: keys remembered; beyond it, the one that asked longest ago is forgotten,
    and would begin with a full bucket.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, capacity: int = BUCKETS) -> None:
        if capacity < 1:
            raise PolicyError(f"a rate limiter with room for {capacity} keys; wanted 1 or more.")
        self._clock = clock
        self._capacity = capacity
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def admit(self, key: str, *, rate_per_minute: int) -> Admission:
        """Take one request from a key's bucket; a request that is refused takes nothing.

        Raises PolicyError for a rate below 1.
        """
        if rate_per_minute < 1:
            raise PolicyError(f"{rate_per_minute} requests a minute; wanted 1 or more. Revoke a key to refuse all.")
        now, per_second = self._clock(), rate_per_minute / SECONDS_PER_MINUTE
        bucket = self._buckets.setdefault(key, _Bucket(float(rate_per_minute), now))
        self._buckets.move_to_end(key)
        bucket.tokens = min(float(rate_per_minute), bucket.tokens + max(0.0, now - bucket.at) * per_second)
        bucket.at = now
        while len(self._buckets) > self._capacity:
            self._buckets.popitem(last=False)
        if bucket.tokens < 1.0:
            return Admission(admitted=False, retry_after_s=(1.0 - bucket.tokens) / per_second)
        bucket.tokens -= 1.0
        return Admission(admitted=True, retry_after_s=0.0)


class ConnectionCounter:
    """How many connections are open, in all and of each key. It remembers only keys that have one."""

    def __init__(self, *, per_key: int, total: int) -> None:
        if per_key < 1 or total < 1:
            raise PolicyError(f"{per_key} connections a key, {total} in all; wanted 1 or more of each.")
        self._per_key = per_key
        self._total = total
        self._open: Counter[str] = Counter()

    @property
    def total(self) -> int:
        """How many are open."""
        return self._open.total()

    def of(self, key: str) -> int:
        """How many of one key are open."""
        return self._open[key]

    def enter(self, key: str) -> bool:
        """Count one more, if it may be; False, and nothing is counted, where it may not. Pair each True with `leave`."""
        if self._open[key] >= self._per_key or self.total >= self._total:
            return False
        self._open[key] += 1
        return True

    def leave(self, key: str) -> None:
        """One connection of a key has ended."""
        assert self._open[key] > 0, "a connection left that never entered"
        self._open[key] -= 1
        if not self._open[key]:
            del self._open[key]
