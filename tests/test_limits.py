"""Limits: never more than a minute's requests and what the rate adds, never more connections than may be, bounded memory."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.gateway.limits import Admission, ConnectionCounter, RateLimiter
from router.errors import PolicyError


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_minutes_requests_may_come_at_once_and_then_one_at_a_time(clock: Clock) -> None:
    limiter = RateLimiter(clock=clock)
    assert [limiter.admit("a", rate_per_minute=3).admitted for _ in range(5)] == [True, True, True, False, False]
    clock.now = 20.0
    assert [limiter.admit("a", rate_per_minute=3).admitted for _ in range(2)] == [True, False]


def test_who_is_refused_is_told_when_to_come_again(clock: Clock) -> None:
    limiter = RateLimiter(clock=clock)
    limiter.admit("a", rate_per_minute=1)
    clock.now = 15.0
    assert limiter.admit("a", rate_per_minute=1) == Admission(admitted=False, retry_after_s=45.0)


def test_a_request_that_is_refused_takes_nothing(clock: Clock) -> None:
    limiter = RateLimiter(clock=clock)
    limiter.admit("a", rate_per_minute=1)
    for second in range(60):
        clock.now = float(second)
        limiter.admit("a", rate_per_minute=1)
    clock.now = 60.0
    assert limiter.admit("a", rate_per_minute=1).admitted


def test_what_is_not_used_is_not_saved_up_beyond_a_minute(clock: Clock) -> None:
    limiter = RateLimiter(clock=clock)
    limiter.admit("a", rate_per_minute=2)
    clock.now = 1e6
    assert sum(limiter.admit("a", rate_per_minute=2).admitted for _ in range(9)) == 2


def test_one_key_does_not_use_up_anothers(clock: Clock) -> None:
    limiter = RateLimiter(clock=clock)
    assert [limiter.admit(key, rate_per_minute=1).admitted for key in ("a", "a", "b")] == [True, False, True]


def test_a_lowered_rate_holds_at_once(clock: Clock) -> None:
    limiter = RateLimiter(clock=clock)
    limiter.admit("a", rate_per_minute=100)
    assert sum(limiter.admit("a", rate_per_minute=2).admitted for _ in range(9)) == 2


def test_a_clock_that_goes_back_gives_nothing(clock: Clock) -> None:
    limiter = RateLimiter(clock=clock)
    limiter.admit("a", rate_per_minute=1)
    clock.now = -3600.0
    assert not limiter.admit("a", rate_per_minute=1).admitted


def test_no_more_keys_are_remembered_than_there_is_room_for(clock: Clock) -> None:
    limiter = RateLimiter(clock=clock, capacity=3)
    for i in range(100):
        limiter.admit(f"k{i}", rate_per_minute=1)
    assert len(limiter) == 3
    assert not limiter.admit("k99", rate_per_minute=1).admitted


@given(gaps=st.lists(st.floats(0, 30), min_size=1, max_size=60), rate=st.integers(1, 20))
def test_no_stretch_of_time_sees_more_than_a_minutes_requests_and_what_the_rate_adds(
    gaps: list[float], rate: int
) -> None:
    clock = Clock()
    limiter = RateLimiter(clock=clock)
    at: list[float] = []
    for gap in gaps:
        clock.now += gap
        if limiter.admit("a", rate_per_minute=rate).admitted:
            at.append(clock.now)
    for i, start in enumerate(at):
        for j, end in enumerate(at[i:], start=1):
            assert j <= rate + (end - start) * rate / 60 + 1e-6


@given(gaps=st.lists(st.floats(0, 30), min_size=1, max_size=40), rate=st.integers(1, 20))
def test_who_waits_as_long_as_told_is_admitted(gaps: list[float], rate: int) -> None:
    clock = Clock()
    limiter = RateLimiter(clock=clock)
    for gap in gaps:
        clock.now += gap
        said = limiter.admit("a", rate_per_minute=rate)
        if not said.admitted:
            clock.now += said.retry_after_s + 1e-6
            assert limiter.admit("a", rate_per_minute=rate).admitted


def test_a_rate_or_a_room_of_nothing_is_refused(clock: Clock) -> None:
    with pytest.raises(PolicyError, match="0 requests a minute"):
        RateLimiter(clock=clock).admit("a", rate_per_minute=0)
    with pytest.raises(PolicyError, match="room for 0 keys"):
        RateLimiter(capacity=0)
    with pytest.raises(PolicyError, match="0 connections a key"):
        ConnectionCounter(per_key=0, total=1)


def test_connections_are_counted_per_key_and_in_all() -> None:
    counter = ConnectionCounter(per_key=2, total=3)
    assert [counter.enter(key) for key in ("a", "a", "a", "b", "c")] == [True, True, False, True, False]
    assert (counter.of("a"), counter.of("b"), counter.of("c"), counter.total) == (2, 1, 0, 3)
    counter.leave("a")
    assert counter.enter("c")


@given(moves=st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=80))
def test_the_counter_agrees_with_counting_by_hand(moves: list[tuple[str, bool]]) -> None:
    counter = ConnectionCounter(per_key=2, total=4)
    open_: Counter[str] = Counter()
    for key, enters in moves:
        if enters:
            may = open_[key] < 2 and open_.total() < 4
            assert counter.enter(key) is may
            open_[key] += may
        elif open_[key]:
            counter.leave(key)
            open_[key] -= 1
        assert counter.total == open_.total()
        assert counter.of(key) == open_[key]
