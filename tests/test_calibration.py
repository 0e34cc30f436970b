"""Calibration: probabilities that mean what they say, chosen by what they cost on rows that were held out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from router.calibration import (
    FLOOR,
    TEMPERATURES,
    Calibration,
    Isotonic,
    Temperature,
    calibration_from_arrays,
    choose_calibration,
    fit_isotonic,
    fit_temperature,
)
from router.scoring import Floats, Ints, log_loss, reliability, softmax

LOGITS = hnp.arrays(float, (8, 3), elements=st.floats(-20, 20, allow_subnormal=False))
TRUTHS = hnp.arrays(np.intp, 8, elements=st.integers(0, 2))


def drawn(n: int, *, sharpness: float, seed: int = 0) -> tuple[Floats, Ints]:
    """n truths drawn from honest probabilities, and logits that claim to be `sharpness` times as sure."""
    rng = np.random.default_rng(seed)
    honest = rng.normal(size=(n, 3)) * 1.5
    y = np.array([rng.choice(3, p=row) for row in softmax(honest)], dtype=np.intp)
    return honest * sharpness, y


def warped(n: int, *, seed: int = 0) -> tuple[Floats, Ints]:
    """Logits of two classes whose claims are wrong in a way that no temperature mends: sure of all, right of half."""
    rng = np.random.default_rng(seed)
    claim = rng.uniform(0.05, 0.95, size=n)
    y = (rng.uniform(size=n) < np.where(claim > 0.5, 0.98, 0.45)).astype(np.intp)
    return np.log(np.column_stack([1 - claim, claim])), y


def test_a_temperature_of_two_halves_the_log_odds() -> None:
    p = Temperature(2.0).apply(np.array([[math.log(9.0), 0.0]]))
    assert p[0].tolist() == pytest.approx([0.75, 0.25])


def test_the_temperature_found_undoes_the_sharpness_put_in() -> None:
    logits, y = drawn(4_000, sharpness=2.0)
    assert fit_temperature(logits, y).t == pytest.approx(2.0, rel=0.1)


@settings(deadline=None, max_examples=30)
@given(logits=LOGITS, y=TRUTHS)
def test_no_temperature_of_the_grid_has_a_smaller_loss_than_the_one_chosen(logits: Floats, y: Ints) -> None:
    chosen = log_loss(fit_temperature(logits, y).apply(logits), y)
    assert all(chosen <= log_loss(Temperature(float(t)).apply(logits), y) for t in TEMPERATURES)


@settings(deadline=None, max_examples=30)
@given(logits=LOGITS, t=st.floats(0.25, 4.0))
def test_a_temperature_never_swaps_two_labels(logits: Floats, t: float) -> None:
    p = Temperature(t).apply(logits)
    for row, calibrated in zip(logits, p, strict=True):
        assert (np.diff(calibrated[np.argsort(row, kind="stable")]) >= 0).all()


def test_isotonic_gives_back_the_observed_share_of_each_score() -> None:
    # Ten queries claim 0.75, five of them are right; ten claim 0.25, none are: the curve of class 1 says 0.5 and 0.
    claim = np.repeat([0.75, 0.25], 10)
    y = np.array([1] * 5 + [0] * 15, dtype=np.intp)
    logits = np.log(np.column_stack([1 - claim, claim]))
    p = fit_isotonic(logits, y).apply(logits)
    assert p[0, 1] == pytest.approx(0.5)
    assert p[-1, 1] == pytest.approx(FLOOR / (1 + FLOOR))


@settings(deadline=None, max_examples=30)
@given(logits=LOGITS, y=TRUTHS, fresh=LOGITS)
def test_isotonic_rows_are_probabilities_and_nothing_is_impossible(logits: Floats, y: Ints, fresh: Floats) -> None:
    p = fit_isotonic(logits, y).apply(fresh)
    np.testing.assert_allclose(p.sum(axis=1), 1.0, atol=1e-12)
    assert (p > 0).all()


def test_a_curve_is_read_at_its_own_class_and_not_at_its_neighbours() -> None:
    # Class 0: 0 -> 0.2, 1 -> 0.2.   Class 1: 0 -> 0, 1 -> 1, so 0.6 stays 0.6.
    curves = Isotonic(x=np.array([0.0, 1.0, 0.0, 1.0]), y=np.array([0.2, 0.2, 0.0, 1.0]), ends=np.array([2, 4]))
    p = curves.apply(np.log(np.array([[0.4, 0.6]])))
    assert p[0].tolist() == pytest.approx([0.2 / 0.8, 0.6 / 0.8])


@pytest.mark.parametrize("fit", [fit_temperature, fit_isotonic])
def test_a_calibration_read_back_from_its_arrays_says_the_same(fit: object) -> None:
    assert callable(fit)
    logits, y = drawn(60, sharpness=2.0)
    fitted: Calibration = fit(logits, y)
    again = calibration_from_arrays(fitted.kind, fitted.to_arrays())
    assert again.apply(logits).tobytes() == fitted.apply(logits).tobytes()


def test_a_kind_of_calibration_that_does_not_exist_is_refused() -> None:
    with pytest.raises(KeyError, match="platt"):
        calibration_from_arrays("platt", {})


def test_overconfidence_of_one_factor_is_mended_by_a_temperature() -> None:
    logits, y = drawn(600, sharpness=2.5)
    assert choose_calibration(logits, y, np.arange(600) % 5)[0].kind == "temperature"


def test_a_warped_curve_is_mended_by_isotonic_regression() -> None:
    logits, y = warped(1_000)
    assert choose_calibration(logits, y, np.arange(1_000) % 5)[0].kind == "isotonic"


def test_the_one_chosen_has_the_smaller_cross_fitted_loss_and_is_fitted_on_all_rows() -> None:
    logits, y = drawn(300, sharpness=2.0)
    chosen, losses = choose_calibration(logits, y, np.arange(300) % 3)
    assert losses[chosen.kind] == min(losses.values())
    assert chosen == fit_temperature(logits, y)


def test_the_cross_fitted_loss_prices_each_row_by_a_curve_that_did_not_see_it() -> None:
    logits, y = drawn(40, sharpness=2.0)
    fold = np.arange(40) % 2
    even, odd = fold == 0, fold == 1
    by_hand = (
        log_loss(fit_isotonic(logits[odd], y[odd]).apply(logits[even]), y[even])
        + log_loss(fit_isotonic(logits[even], y[even]).apply(logits[odd]), y[odd])
    ) / 2
    assert choose_calibration(logits, y, fold)[1]["isotonic"] == pytest.approx(by_hand)


def test_calibration_brings_the_ece_of_an_overconfident_model_near_its_noise() -> None:
    logits, y = drawn(2_000, sharpness=3.0)
    fresh, fresh_y = drawn(2_000, sharpness=3.0, seed=1)
    calibrated = reliability(choose_calibration(logits, y, np.arange(2_000) % 5)[0].apply(fresh), fresh_y)
    assert calibrated.ece < 2 * calibrated.ece_bias < reliability(softmax(fresh), fresh_y).ece
