"""The retry budget and the waits before a retry."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.gateway.retries import RetryBudget, retry_wait_s
from agents.gateway.settings import Settings
from router.errors import DataError, ModelError
from tests.scripted import FakeClock

SETTINGS = Settings()


def wait(error: ModelError, *, retry: int = 1, seed: int = 0) -> float | None:
    return retry_wait_s(error, retry=retry, settings=SETTINGS, rng=np.random.default_rng(seed))


def failed(kind: str = "overloaded", retry_after_s: float | None = None) -> ModelError:
    return ModelError("it broke", kind=kind, retry_after_s=retry_after_s)


def test_a_quiet_server_has_three_retries_and_then_one_every_ten_seconds() -> None:
    clock = FakeClock()
    budget = RetryBudget(SETTINGS, clock=clock)
    assert [budget.take() for _ in range(4)] == [True, True, True, False]
    clock.now = 9.9
    assert not budget.take()
    clock.now = 10.1
    assert budget.take()
    assert not budget.take()


def test_a_night_without_requests_fills_it_to_the_floor_only() -> None:
    clock = FakeClock()
    budget = RetryBudget(SETTINGS, clock=clock)
    clock.now = 1e6
    assert budget.tokens == 3.0


def test_five_requests_pay_for_one_retry_and_what_is_saved_up_is_bounded() -> None:
    budget = RetryBudget(Settings(retry_floor=0.0), clock=FakeClock())
    for _ in range(4):
        budget.request()
    assert not budget.take()
    budget.request()
    assert budget.tokens == pytest.approx(1.0)
    for _ in range(10_000):
        budget.request()
    assert budget.tokens == 20.0


@given(steps=st.lists(st.one_of(st.just("request"), st.just("retry"), st.floats(0, 30)), max_size=200))
def test_retries_never_exceed_the_budget(steps: list[str | float]) -> None:
    clock = FakeClock()
    budget = RetryBudget(SETTINGS, clock=clock)
    requests = retries = 0
    for step in steps:
        if step == "request":
            budget.request()
            requests += 1
        elif step == "retry":
            retries += budget.take()
        else:
            clock.now += float(step)
        assert retries <= 3.0 + 0.2 * requests + 0.1 * clock.now + 1e-9
        assert 0 <= budget.tokens <= 20.0


@given(retry=st.integers(1, 2), seed=st.integers(0, 1000))
def test_the_wait_is_somewhere_below_a_bound_that_doubles(retry: int, seed: int) -> None:
    waited = wait(failed(), retry=retry, seed=seed)
    assert waited is not None
    assert 0 <= waited <= 0.2 * 2 ** (retry - 1)


def test_callers_who_failed_together_do_not_come_back_together() -> None:
    assert len({wait(failed(), seed=seed) for seed in range(20)}) == 20


@pytest.mark.parametrize("kind", ["bad_request", "unauthorised", "timeout"])
def test_what_another_try_cannot_mend_and_what_was_silent_is_not_tried_again(kind: str) -> None:
    assert wait(failed(kind)) is None


def test_after_two_retries_the_fallback_has_its_turn() -> None:
    assert wait(failed(), retry=2) is not None
    assert wait(failed(), retry=3) is None


def test_a_short_retry_after_is_honoured_and_a_long_one_goes_to_the_fallback() -> None:
    waited = wait(failed("rate_limited", 1.5))
    assert waited is not None
    assert 1.5 <= waited <= 1.7
    assert wait(failed("rate_limited", 2.1)) is None
    assert wait(failed("rate_limited", math.nan)) is None
    assert wait(failed("rate_limited", -5.0)) == wait(failed())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("first_event_s", 0.0),
        ("total_s", math.inf),
        ("retry_share", 1.5),
        ("retries", 1.5),
        ("bulkhead_attempts", True),
        ("failover_reserve_s", 4.5),
        ("cache_stale_s", 1.0),
        ("retry_burst", 0.5),
        ("fixed_message", " "),
    ],
)
def test_settings_that_make_no_sense_are_named(field: str, value: object) -> None:
    with pytest.raises(DataError, match=field):
        Settings(**{field: value})  # type: ignore[arg-type]  # wrong on purpose
