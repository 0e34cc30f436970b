"""When to try the same model again: rarely, later, and never so often that an outage becomes a bigger one.

Budget: a token bucket fed by requests (Finagle's RetryBudget). Waits: exponential with full jitter (Brooker, AWS
Architecture Blog, 2015), so that callers who failed together do not come back together.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from agents.gateway.settings import Settings
from router.errors import ModelError

# A silent model was given its time already: a second silence would take the fallback's.
NOT_AGAIN = ("timeout",)


class RetryBudget:
    """How many retries the recent requests have paid for. clock: seconds, never going back.

    At no time were there more retries than `retry_floor` + `retry_share` times the requests + `retry_floor_per_s` times
    the seconds; and what is saved up is never more than `retry_burst`.
    """

    def __init__(self, settings: Settings, *, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._tokens = settings.retry_floor
        self._filled_at = clock()

    @property
    def tokens(self) -> float:
        """How many retries are paid for now."""
        self._refill()
        return self._tokens

    def request(self) -> None:
        """A request came in; it pays its share."""
        self._refill()
        self._tokens = min(self._tokens + self._settings.retry_share, self._settings.retry_burst)

    def take(self) -> bool:
        """Pay for one retry; False, and nothing is taken, where there is not enough."""
        self._refill()
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _refill(self) -> None:
        now = self._clock()
        lacking = max(self._settings.retry_floor - self._tokens, 0)
        self._tokens += min(lacking, (now - self._filled_at) * self._settings.retry_floor_per_s)
        self._filled_at = now


def retry_wait_s(error: ModelError, *, retry: int, settings: Settings, rng: np.random.Generator) -> float | None:
    """Seconds to wait before the `retry`-th retry (from 1) of a failed attempt; None where the fallback is the better.

    That is: for a failure that another try cannot mend, for a silent model, after `retries` of them, and where the
    provider asks for more than `retry_after_max_s`. A shorter wish is honoured, and the jitter comes on top.
    """
    if not error.retryable or error.kind in NOT_AGAIN or retry > settings.retries:
        return None
    jitter = float(rng.uniform(0, min(settings.backoff_cap_s, settings.backoff_base_s * 2 ** (retry - 1))))
    if error.retry_after_s is None:
        return jitter
    if not error.retry_after_s <= settings.retry_after_max_s:  # so written, NaN is no short wait
        return None
    return max(error.retry_after_s, 0.0) + jitter
