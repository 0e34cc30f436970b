"""Waiting for a free place: Erlang's sums written out, and a queue that is really stood in."""

from __future__ import annotations

import heapq
import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.simulate.queueing import erlang_c, mean_wait

Floats = npt.NDArray[np.float64]

PROPERTY = settings(deadline=None, max_examples=60)


def must_wait(offered: float, servers: int) -> float:
    """P(an arrival must wait), of one load."""
    return float(erlang_c(np.array([offered]), servers)[0])


def wait_of(offered: float, servers: int, *, service: float = 1.0, scv: float = 1.0) -> float:
    """The mean wait of those that wait, of one load."""
    return float(mean_wait(np.array([offered]), servers, service=np.array([service]), scv=scv)[0])


def textbook_erlang_c(offered: float, servers: int) -> float:
    """The sum as it is printed: a^c/c! · c/(c − a) over itself and all a^k/k! below."""
    last = offered**servers / math.factorial(servers) * servers / (servers - offered)
    return last / (last + sum(offered**k / math.factorial(k) for k in range(servers)))


def stood_in_line(arrive: Floats, service: Floats, servers: int) -> Floats:
    """(n,) waits, first come, first served: each takes the place that is free first."""
    free, waits = [0.0] * servers, np.empty(len(arrive))
    now = np.cumsum(arrive)
    for i, (at, takes) in enumerate(zip(now.tolist(), service.tolist(), strict=True)):
        begins = max(at, free[0])
        heapq.heapreplace(free, begins + takes)
        waits[i] = begins - at
    return waits


def mean_and_error(values: Floats, *, batches: int = 50) -> tuple[float, float]:
    """Waits depend on the ones before them: the error is that of the means of long batches."""
    means = values[: len(values) // batches * batches].reshape(batches, -1).mean(axis=1)
    return float(means.mean()), float(means.std(ddof=1) / math.sqrt(batches))


# --- by hand


def test_with_one_place_as_many_wait_as_find_it_taken() -> None:
    assert [must_wait(rho, 1) for rho in (0.0, 0.25, 0.9)] == pytest.approx([0.0, 0.25, 0.9])


def test_two_places_under_one_erlang_make_a_third_wait() -> None:
    # 1^2/2! * 2/(2 - 1) = 1 over 1 + 1 + 1
    assert must_wait(1.0, 2) == pytest.approx(1 / 3)


def test_the_wait_of_one_place_is_that_of_mm1() -> None:
    # at rho = 0.8, service of 50 ms: 0.8 * 50 / 0.2 = 200 ms on average, over those who do not wait as well
    assert must_wait(0.8, 1) * wait_of(0.8, 1, service=50.0) == pytest.approx(200.0)


def test_service_that_always_takes_as_long_halves_the_wait() -> None:
    assert wait_of(0.8, 1, scv=0.0) == pytest.approx(wait_of(0.8, 1, scv=1.0) / 2)


@PROPERTY
@given(rho=st.floats(0.01, 0.99), service=st.floats(0.001, 1_000), scv=st.floats(0, 9))
def test_with_one_place_the_mean_wait_is_that_of_pollaczek_and_khinchine(
    rho: float, service: float, scv: float
) -> None:
    arrivals = rho / service
    mean_square = service**2 * (1 + scv)
    assert must_wait(rho, 1) * wait_of(rho, 1, service=service, scv=scv) == pytest.approx(
        arrivals * mean_square / 2 / (1 - rho)
    )


@PROPERTY
@given(servers=st.integers(1, 60), rho=st.floats(0.01, 0.99))
def test_erlang_c_is_the_sum_in_the_textbook(servers: int, rho: float) -> None:
    assert must_wait(rho * servers, servers) == pytest.approx(textbook_erlang_c(rho * servers, servers), rel=1e-9)


# --- what must hold


@PROPERTY
@given(offered=st.floats(0, 30), more=st.floats(0, 5), servers=st.integers(1, 40))
def test_more_work_never_makes_fewer_wait_and_one_more_place_never_more(
    offered: float, more: float, servers: int
) -> None:
    waits = must_wait(offered, servers)
    assert 0.0 <= waits <= 1.0
    assert must_wait(offered + more, servers) >= waits - 1e-12
    assert must_wait(offered, servers + 1) <= waits + 1e-12


@pytest.mark.parametrize("offered", [3.0, 3.0000001, 50.0])
def test_where_more_comes_than_can_be_served_everybody_waits_for_ever(offered: float) -> None:
    assert must_wait(offered, 3) == 1.0
    assert wait_of(offered, 3) == math.inf


def test_an_empty_hour_makes_nobody_wait() -> None:
    assert must_wait(0.0, 4) == 0.0


def test_loads_of_any_shape_are_taken_one_by_one() -> None:
    offered = np.array([[0.0, 1.0], [1.9, 2.5]])
    found = erlang_c(offered, 2)
    assert found.tolist() == [[must_wait(float(load), 2) for load in row] for row in offered]
    long = mean_wait(offered, 2, service=np.full((2, 2), 3.0), scv=0.5)
    assert long.tolist() == [[wait_of(float(load), 2, service=3.0, scv=0.5) for load in row] for row in offered]


def test_a_hundred_thousand_places_are_no_more_than_numbers_hold() -> None:
    assert 0.0 < must_wait(99_900.0, 100_000) < 1.0


# --- a queue that is stood in


@pytest.mark.parametrize(("servers", "rho"), [(1, 0.6), (3, 0.7)])
def test_exponential_service_makes_people_wait_as_often_and_as_long_as_computed(servers: int, rho: float) -> None:
    rng = np.random.default_rng(servers)
    n = 60_000
    waits = stood_in_line(rng.exponential(1 / (rho * servers), n), rng.exponential(1.0, n), servers)
    often, often_error = mean_and_error((waits > 0).astype(np.float64))
    mean, mean_error = mean_and_error(waits)
    assert often == pytest.approx(must_wait(rho * servers, servers), abs=4 * often_error)
    assert mean == pytest.approx(
        must_wait(rho * servers, servers) * wait_of(rho * servers, servers), abs=4 * mean_error
    )


def test_waits_of_exponential_service_are_exponential_among_those_who_wait() -> None:
    rng = np.random.default_rng(7)
    n = 60_000
    waits = stood_in_line(rng.exponential(0.5 / 0.7, n), rng.exponential(1.0, n), 2)
    beyond = -math.log(0.1) * wait_of(1.4, 2)  # nine in ten of those who wait are through
    part, error = mean_and_error((waits > beyond).astype(np.float64))
    assert part == pytest.approx(0.1 * must_wait(1.4, 2), abs=4 * error)


def test_with_several_places_the_correction_for_uneven_service_is_good_to_a_tenth() -> None:
    rng = np.random.default_rng(3)
    n, sigma = 120_000, 0.8
    service = rng.lognormal(-(sigma**2) / 2, sigma, n)
    waits = stood_in_line(rng.exponential(1 / 2.4, n), service, 3)
    computed = must_wait(2.4, 3) * wait_of(2.4, 3, scv=math.exp(sigma**2) - 1)
    assert waits.mean() == pytest.approx(computed, rel=0.1)
