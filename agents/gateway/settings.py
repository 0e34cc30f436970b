"""All numbers of the way of one answer, each with its unit and its reason."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from router.errors import DataError

FIXED_MESSAGE = (
    "I'm sorry, I can't answer just now: the services behind me are not responding. "
    "Nothing of yours was lost. Please try again in a minute."
)
SHARES = ("breaker_failure_share", "retry_share")
MAY_BE_ZERO = (
    "retries",
    "retry_floor",
    "retry_floor_per_s",
    "backoff_base_s",
    "backoff_cap_s",
    "retry_after_max_s",
    "failover_reserve_s",
    "bulkhead_waiting",
    "bulkhead_wait_s",
    "cache_fresh_s",
    "cache_stale_s",
    "cache_answers",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The gateway's numbers. `_s` is seconds, `_share` a share in [0, 1]. Raises DataError naming the one that is wrong.

    With the defaults, and every upstream dead or silent, the fixed message is there `failover_s` + `close_s` = 4.6 s
    after the question: the promise is 5 s, and the rest is room for a busy machine.
    """

    # One attempt
    first_event_s: float = 4.0  # silence from a single route: a 5 s promise leaves no more
    between_events_s: float = 10.0  # a stall amid an answer: models pause a few seconds, not ten
    total_s: float = 120.0  # waiting for one whole answer: ~8k tokens at 70 a second
    close_s: float = 0.1  # how long closing a stream may hold up the caller: local work, milliseconds when it is well

    # The chain
    failover_s: float = 4.5  # from the question, or from the break of an answer, to the last first event
    failover_reserve_s: float = 1.5  # of that, kept for the next route: the fast route's 95th percentile is below 1 s
    attempt_min_s: float = 0.05  # no attempt is started with less time than this: no provider answers faster

    # Retries
    retries: int = 2  # on the route's own model: LiteLLM's default
    retry_share: float = 0.2  # of recent requests: an outage then adds a fifth to the load, instead of tripling it
    retry_floor: float = 3.0  # retries: a quiet server, with no recent requests to its name, may retry as well
    retry_floor_per_s: float = 0.1  # retries per second, back up to the floor: one in ten seconds
    retry_burst: float = 20.0  # retries: what a busy stretch can save up, the share of 100 requests
    backoff_base_s: float = 0.2  # the longest first wait; doubles with each retry. 0.5 s would eat the failover time
    backoff_cap_s: float = 1.0  # the longest wait of all
    retry_after_max_s: float = 2.0  # a provider that asks for more is left to itself: a person waits no longer

    # Circuit breaker, per provider
    breaker_failure_share: float = 0.5  # of recent attempts: LiteLLM's figure
    breaker_min_attempts: int = 5  # below that, a share says nothing
    breaker_window_s: float = 10.0  # what "recent" means: long enough for 5 attempts of a quiet server
    breaker_open_s: float = 5.0  # until a probe: LiteLLM's cooldown

    # Bulkhead, per provider
    bulkhead_attempts: int = 256  # at once: some 80 answers of 3 s begun per second, ~1 MB of buffers each at the worst
    bulkhead_waiting: int = 256  # in line: no more than one more load
    bulkhead_wait_s: float = 0.5  # in line: what leaves time for a fallback

    # Answers kept for repeats and for bad days
    cache_fresh_s: float = 60.0  # a repeat within a minute is a double click or a reload
    cache_stale_s: float = 86_400.0  # when all else failed, an answer of the same day is better than none
    cache_answers: int = 2_000  # answers kept: at most ~64 MB, at 32k characters each
    cache_answer_chars: int = 32_000  # characters: longer answers are documents, and are not asked for twice

    fixed_message: str = FIXED_MESSAGE  # what is said when nothing and nobody answers

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name != "fixed_message":
                _check_number(field.name, value, whole=field.type == "int")
        if not self.fixed_message.strip():
            raise DataError("settings: `fixed_message` is empty; wanted a sentence that a person can read.")
        if self.failover_reserve_s >= self.failover_s:
            raise DataError(
                f"settings: `failover_reserve_s` is {self.failover_reserve_s} and `failover_s` is {self.failover_s};"
                " wanted the reserve to be the smaller, or the first route gets no time at all."
            )
        if self.cache_stale_s < self.cache_fresh_s:
            raise DataError(
                f"settings: `cache_stale_s` is {self.cache_stale_s} and `cache_fresh_s` is {self.cache_fresh_s};"
                " wanted the stale time to be at least the fresh one."
            )
        if self.retry_burst < max(self.retry_floor, 1):
            raise DataError(f"settings: `retry_burst` is {self.retry_burst}; wanted at least 1 and the `retry_floor`.")


def _check_number(name: str, value: float, *, whole: bool) -> None:
    allowed = (int,) if whole else (int, float)
    if type(value) not in allowed or not math.isfinite(value):
        raise DataError(f"settings: `{name}` is {value!r}; wanted a {'whole ' if whole else ''}number.")
    if value < 0 or (value == 0 and name not in MAY_BE_ZERO):
        raise DataError(
            f"settings: `{name}` is {value}; wanted {'0 or more' if name in MAY_BE_ZERO else 'more than 0'}."
        )
    if name in SHARES and value > 1:
        raise DataError(f"settings: `{name}` is {value}; wanted a share of at most 1.")
