"""Beliefs and amounts: medians, quantiles and moments held to numbers by hand and to many draws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from eval.simulate.amounts import NOTHING, Z95, Amount, Assumption, Constant, Empirical, Lognormal, Quantity
from router.errors import DataError

PROPERTY = settings(deadline=None, max_examples=60)
POSITIVE = st.floats(1e-6, 1e9)
INSIDE = st.floats(0.001, 0.999)
ENDS = np.array([-Z95, 0.0, Z95])


# --- beliefs


def test_a_positive_number_is_as_likely_half_as_large_as_twice_as_large() -> None:
    belief = Assumption.between(50.0, 200.0)
    assert belief.value == pytest.approx(100.0)
    assert belief.at(ENDS).tolist() == pytest.approx([50.0, 100.0, 200.0])


def test_a_share_is_believed_on_its_odds() -> None:
    # odds of 1/9 and 4 have the geometric mean 2/3, which is a share of 0.4
    belief = Assumption.between(0.1, 0.8, share=True)
    assert belief.value == pytest.approx(0.4)
    assert belief.at(ENDS).tolist() == pytest.approx([0.1, 0.4, 0.8])


def test_nine_draws_in_ten_lie_between_the_bounds() -> None:
    z = np.random.default_rng(0).standard_normal(100_000)
    for belief in (Assumption.between(3.0, 8.0), Assumption.between(0.3, 0.8, share=True)):
        assert belief.low is not None
        assert belief.high is not None
        drawn = belief.at(z)
        # a share of 0.05 of 100,000 draws has a standard error of 0.0007
        assert np.mean(drawn < belief.low) == pytest.approx(0.05, abs=0.003)
        assert np.mean(drawn > belief.high) == pytest.approx(0.05, abs=0.003)


@PROPERTY
@given(low=INSIDE, high=INSIDE, z=st.lists(st.floats(-5, 5), min_size=2, max_size=6))
def test_a_share_stays_a_share_and_rises_with_its_deviate(low: float, high: float, z: list[float]) -> None:
    assume(low < high)
    values = Assumption.between(low, high, share=True).at(np.sort(np.array(z)))
    assert ((values > 0) & (values < 1)).all()
    assert (np.diff(values) >= -1e-12).all()


@PROPERTY
@given(low=POSITIVE, factor=st.floats(1.0, 100.0))
def test_a_belief_has_its_bounds_as_its_quantiles(low: float, factor: float) -> None:
    belief = Assumption.between(low, low * factor)
    assert belief.at(ENDS).tolist() == pytest.approx([low, belief.value, low * factor])


def test_a_known_number_is_the_same_in_every_world() -> None:
    assert Assumption(value=7.0).at(np.array([-9.0, 0.0, 9.0])).tolist() == [7.0, 7.0, 7.0]
    assert not Assumption(value=7.0).uncertain


def test_a_belief_of_no_width_is_a_known_number() -> None:
    belief = Assumption.between(5.0, 5.0)
    assert not belief.uncertain
    assert belief.at(np.array([3.0])).tolist() == pytest.approx([5.0])


@pytest.mark.parametrize("percent", range(1, 100))
def test_bounds_that_are_the_same_number_are_taken_as_that_number(percent: int) -> None:
    p = percent / 100
    assert Assumption.between(p, p, share=True).value == pytest.approx(p)
    assert Assumption.between(p, p).value == pytest.approx(p)


@pytest.mark.parametrize(
    ("value", "share", "wanted"),
    [
        (-1.0, False, "0 or more, finite"),
        (math.inf, False, "0 or more, finite"),
        (math.nan, True, "a share"),
        (1.1, True, "a share in"),
    ],
)
def test_a_number_that_cannot_be_is_refused(value: float, share: bool, wanted: str) -> None:
    with pytest.raises(DataError, match=wanted):
        Assumption(value=value, share=share)


@pytest.mark.parametrize(
    ("low", "high", "share"), [(0.0, 1.0, False), (2.0, 1.0, False), (0.5, 1.0, True), (0.1, math.inf, False)]
)
def test_bounds_that_enclose_nothing_are_refused(low: float, high: float, share: bool) -> None:
    with pytest.raises(DataError, match="wanted 0 < low <= high"):
        Assumption.between(low, high, share=share)
    with pytest.raises(DataError, match="wanted 0 < low <= high"):
        Assumption(value=0.7, low=low, high=high, share=share)


def test_one_bound_alone_is_refused() -> None:
    with pytest.raises(DataError, match="low = 1"):
        Assumption(value=1.0, low=1.0)


def test_bounds_that_do_not_enclose_the_value_are_refused() -> None:
    with pytest.raises(DataError):
        Assumption(value=5.0, low=1.0, high=2.0)


# --- amounts


def test_a_constant_draws_nothing_and_is_its_own_mean() -> None:
    rng = np.random.default_rng(0)
    before = rng.bit_generator.state
    assert Constant(value=3.0).draw(2, rng).tolist() == [3.0, 3.0]
    assert rng.bit_generator.state == before
    assert (Constant(value=3.0).mean, Constant(value=3.0).mean_square) == (3.0, 9.0)


def test_the_moments_of_a_lognormal_are_the_textbooks() -> None:
    # a 95th percentile of median * e^1.6448... means that sigma is 1
    amount = Lognormal(median=2.0, p95=2.0 * math.exp(Z95))
    assert amount.sigma == pytest.approx(1.0)
    assert amount.mean == pytest.approx(2.0 * math.exp(0.5))
    assert amount.mean_square == pytest.approx(4.0 * math.exp(2.0))


def test_seen_values_have_their_own_moments_and_only_they_are_drawn() -> None:
    amount = Empirical(values=(1.0, 1.0, 4.0))
    assert (amount.mean, amount.mean_square) == (2.0, 6.0)
    drawn = amount.draw(3_000, np.random.default_rng(0))
    assert set(drawn.tolist()) == {1.0, 4.0}
    assert np.mean(drawn == 4.0) == pytest.approx(1 / 3, abs=0.035)  # four standard errors


@pytest.mark.parametrize(
    "amount", [Lognormal(median=100, p95=300), Empirical(values=(0.0, 5.0, 40.0)), Constant(value=2.0)]
)
def test_draws_have_the_moments_that_the_amount_states(amount: Amount) -> None:
    drawn = amount.draw(200_000, np.random.default_rng(1))
    for power, stated in ((1, amount.mean), (2, amount.mean_square)):
        values = drawn**power
        assert values.mean() == pytest.approx(stated, abs=4 * values.std() / math.sqrt(len(values)) + 1e-12)


def test_the_median_and_the_95th_percentile_of_draws_are_the_stated_ones() -> None:
    drawn = Lognormal(median=100, p95=300).draw(200_000, np.random.default_rng(2))
    assert np.mean(drawn < 100) == pytest.approx(0.5, abs=0.0045)
    assert np.mean(drawn < 300) == pytest.approx(0.95, abs=0.002)


@PROPERTY
@given(median=POSITIVE, factor=st.floats(1.0, 20.0))
def test_a_mean_square_is_never_below_the_square_of_the_mean(median: float, factor: float) -> None:
    amount = Lognormal(median=median, p95=median * factor)
    assert amount.mean_square >= amount.mean**2 * (1 - 1e-12)
    assert amount.mean >= median * (1 - 1e-12)


@pytest.mark.parametrize(("median", "p95"), [(0.0, 1.0), (2.0, 1.0), (1.0, math.inf)])
def test_percentiles_out_of_order_are_refused(median: float, p95: float) -> None:
    with pytest.raises(DataError, match="wanted 0 < median <= p95"):
        Lognormal(median=median, p95=p95)


@pytest.mark.parametrize("values", [(), (1.0, -1.0), (math.nan,)])
def test_a_list_of_values_that_is_empty_or_impossible_is_refused(values: tuple[float, ...]) -> None:
    with pytest.raises(DataError, match="wanted one or more, each 0 or more"):
        Empirical(values=values)


@pytest.mark.parametrize("value", [-1.0, math.inf, math.nan])
def test_a_constant_that_cannot_be_is_refused(value: float) -> None:
    with pytest.raises(DataError, match="wanted 0 or more, finite"):
        Constant(value=value)


# --- quantities


def test_a_level_that_may_be_off_by_a_third_is_so_either_way() -> None:
    quantity = Quantity.of(Constant(value=100.0), off_by=4 / 3)
    assert quantity.level.at(ENDS).tolist() == pytest.approx([0.75, 1.0, 4 / 3])
    assert quantity.mean == 100.0


def test_a_quantity_that_is_off_by_nothing_is_known() -> None:
    assert not Quantity.of(Constant(value=100.0)).level.uncertain
    assert NOTHING.mean == 0.0


@pytest.mark.parametrize("off_by", [0.9, 0.0, math.inf, math.nan])
def test_a_factor_below_one_is_refused(off_by: float) -> None:
    with pytest.raises(DataError, match="wanted a factor of 1 or more"):
        Quantity.of(Constant(value=1.0), off_by=off_by)
