"""The guarantee must hold: exactly where every sample can be listed, within noise where samples are drawn."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.errors import PolicyError
from router.guarantee import BOLDNESS, Family, Floats, Ints, certified, certify, needed_n, unit_means, upper_bound

LOSSES = st.lists(st.sampled_from([-1.0, -0.25, 0.0, 0.0, 0.0, 0.1, 1.0]), min_size=1, max_size=60)
STEPS = 6


def column(*losses: float) -> Floats:
    return np.array(losses)[:, None]


def slow_wealth(losses: list[float], epsilon: float, delta: float) -> bool:
    """One column, one loss after the other, in wealth instead of what its logarithm still lacks."""
    wealth, n = 1.0, len(losses)
    for i, loss in enumerate(losses):
        means = [sum(losses[: j + 1]) / (j + 2) for j in range(i)]
        variance = (0.25 + sum((losses[j] - means[j]) ** 2 for j in range(i))) / (i + 1)
        bet = math.sqrt(2 * math.log(1 / (delta * wealth)) / ((n - i) * variance))
        wealth *= 1 + min(bet, BOLDNESS / (1 - epsilon)) * (epsilon - loss)
        if wealth * delta >= 1:
            return sum(losses) <= n * epsilon
    return False


def family(loss: Floats, *, cost: Floats | None = None) -> Family:
    """A pair: from the dear model, which loses nothing, to rules under which the cheap one takes ever more queries."""
    n, steps = loss.shape
    moved = np.arange(n)[:, None] % steps < np.arange(steps)
    return Family(
        models=("cheap", "dear"),
        against="dear",
        threshold=np.array([-np.inf, *np.linspace(0.1, 0.9, steps - 1)]),
        choice=np.where(moved, 0, 1),
        loss=loss,
        cost_usd=np.full(loss.shape, np.nan) if cost is None else cost,
    )


def nested(rng: np.random.Generator, *, n: int, mean: Floats, noise: float) -> Floats:
    """(n, k + 1) losses of rules that give up the first 0 … k cells, whose cheap answers lose `mean` (k,)."""
    cell = rng.integers(len(mean), size=n)
    u = rng.random(n)
    spread = np.maximum(noise, np.abs(mean[cell]))
    lost = np.where(u < (spread + mean[cell]) / 2, 1.0, np.where(u < spread, -1.0, 0.0))
    return np.where(cell[:, None] < np.arange(len(mean) + 1), lost[:, None], 0.0)


def test_one_lossless_query_is_worth_a_factor_of_one_plus_the_bet_times_epsilon() -> None:
    # δ = 0.9: the bet that would reach 1/δ is √(2 · 0.105 / 0.25) = 0.92, and 1 + 0.92 · 0.5 is more than 1/0.9
    assert certified(column(0.0), epsilon=0.5, delta=0.9).tolist() == [True]
    # δ = 0.5: the bet is capped at 0.8 / 0.5 = 1.6, and 1 + 1.6 · 0.5 = 1.8 is less than 2
    assert certified(column(0.0), epsilon=0.5, delta=0.5).tolist() == [False]
    assert certified(column(0.0, 0.0), epsilon=0.5, delta=0.5).tolist() == [True]


def test_a_loss_takes_away_what_was_won() -> None:
    assert certified(column(1.0, 0.0, 0.0), epsilon=0.5, delta=0.5).tolist() == [False]


@settings(deadline=None, max_examples=50)
@given(losses=LOSSES, epsilon=st.sampled_from([0.02, 0.3, 0.9]), delta=st.sampled_from([0.01, 0.2, 0.7]))
def test_the_bets_agree_with_a_slow_gambler(losses: list[float], epsilon: float, delta: float) -> None:
    assert certified(column(*losses), epsilon=epsilon, delta=delta).tolist() == [slow_wealth(losses, epsilon, delta)]


@settings(deadline=None, max_examples=40)
@given(
    losing=st.floats(0.3, 1.0),
    epsilon=st.sampled_from([0.05, 0.25]),
    delta=st.sampled_from([0.05, 0.2, 0.5]),
    n=st.integers(1, 7),
)
def test_over_all_samples_a_true_loss_of_epsilon_is_rejected_with_probability_at_most_delta(
    losing: float, epsilon: float, delta: float, n: int
) -> None:
    """Losses are −1, 0 or 1 with a mean of exactly ε: the null at its edge, and every sample of n listed."""
    worse = epsilon + (1 - epsilon) / 2 * losing
    chance = np.array([worse - epsilon, 1 - 2 * worse + epsilon, worse])
    samples = np.array(list(itertools.product(range(3), repeat=n))).T
    rejects = certified(samples - 1.0, epsilon=epsilon, delta=delta)
    assert chance[samples].prod(axis=0)[rejects].sum() <= delta + 1e-12


def test_the_error_probability_is_spent_and_not_just_kept() -> None:
    samples = np.array(list(itertools.product([0.0, 1.0], repeat=12))).T
    chance = np.where(samples == 1.0, 0.3, 0.7).prod(axis=0)
    rejects = certified(samples, epsilon=0.3, delta=0.2)
    assert 0.1 < chance[rejects].sum() <= 0.2


@settings(deadline=None, max_examples=50)
@given(losses=LOSSES, data=st.data())
def test_what_is_rejected_stays_rejected_at_a_larger_epsilon_or_delta(losses: list[float], data: st.DataObject) -> None:
    epsilon = data.draw(st.floats(0.001, 0.9))
    delta = data.draw(st.floats(0.001, 0.9))
    if certified(column(*losses), epsilon=epsilon, delta=delta)[0]:
        assert certified(column(*losses), epsilon=data.draw(st.floats(epsilon, 0.99)), delta=delta)[0]
        assert certified(column(*losses), epsilon=epsilon, delta=data.draw(st.floats(delta, 0.99)))[0]


@settings(deadline=None, max_examples=30)
@given(losses=LOSSES, delta=st.sampled_from([0.05, 0.5]))
def test_the_upper_bound_is_the_edge_of_what_is_rejected(losses: list[float], delta: float) -> None:
    bound = upper_bound(np.array(losses), delta=delta)
    assert sum(losses) / len(losses) <= bound <= 1.0
    if bound < 1.0:
        assert certified(column(*losses), epsilon=bound, delta=delta)[0]
    assert not certified(column(*losses), epsilon=bound - 2 * 2 / 64**2, delta=delta)[0]


def test_drawn_samples_break_the_guarantee_no_more_often_than_delta_and_the_plain_mean_does() -> None:
    """The loss reaches ε at the second rule and lies a millionth above it afterwards. Simulated."""
    epsilon, delta, repeats = 0.05, 0.1, 200
    mean = np.array([0.0, 5 * epsilon, 5e-6, 0.0, 0.0])
    rng = np.random.default_rng(7)
    broken = naive = 0
    for _ in range(repeats):
        loss = nested(rng, n=400, mean=mean, noise=0.3)
        passed = certified(loss, epsilon=epsilon, delta=delta)
        broken += bool(passed[:4].all())
        naive += bool((loss.mean(axis=0)[3:] <= epsilon).any())
    assert broken <= repeats * delta + 2.4 * math.sqrt(repeats * delta * (1 - delta))
    assert naive > repeats * 0.4


def test_a_router_that_loses_little_is_certified_where_hoeffding_bentkus_would_not() -> None:
    """True loss 0.01, ε = 0.03, n = 2,000; the rescaled Hoeffding p-value is exp(−2 n ((ε − 0.01) / 2)²) = 0.67. Simulated."""
    rng = np.random.default_rng(3)
    loss = np.stack([nested(rng, n=2_000, mean=np.array([0.01]), noise=0.1)[:, 1] for _ in range(100)], axis=1)
    assert certified(loss, epsilon=0.03, delta=0.05).sum() > 80


def test_the_cheapest_rule_before_the_first_failure_is_chosen() -> None:
    loss = np.zeros((400, STEPS))
    loss[::4, 3] = 1.0  # the fourth rule loses a quarter; those after it lose nothing
    made = certify(family(loss), epsilon=0.05, delta=0.05, seed=0)
    assert made.threshold == pytest.approx(0.3)
    assert made.share == pytest.approx({"cheap": 1 / 3, "dear": 2 / 3}, abs=0.01)
    assert made.loss == 0.0
    assert 0.0 < made.loss_upper <= 0.05
    assert (made.n, made.n_queries) == (400, 400)


def test_expected_dollars_are_means_over_the_queries_whose_calls_all_have_a_cost() -> None:
    cost = np.where(family(np.zeros((400, STEPS))).choice == 0, 0.25, 1.0)
    cost[0, 0] = np.nan
    made = certify(family(np.zeros((400, STEPS)), cost=cost), epsilon=0.05, delta=0.05, seed=0)
    # under the last rule, all but those with n % 6 == 5 go to the cheap model: 66 of 399 stay
    assert made.n_priced == 399
    assert made.against_usd == pytest.approx(1.0)
    assert made.expected_usd == pytest.approx((333 * 0.25 + 66) / 399)
    assert made.saved_usd == pytest.approx(1 - (333 * 0.25 + 66) / 399)
    assert made.sentence() == (
        "with probability ≥ 0.95 the quality loss against dear is ≤ 0.05; n = 400; 83.5% of its calls saved;"
        " expected $0.374060 per query instead of $1.000000"
    )


def test_dollars_are_unknown_where_no_call_has_a_cost() -> None:
    made = certify(family(np.zeros((400, STEPS))), epsilon=0.05, delta=0.05, seed=0)
    assert (made.expected_usd, made.against_usd, made.saved_usd, made.n_priced) == (None, None, None, 0)
    assert "dollars unknown" in made.sentence()
    assert made.to_json()["expected_usd"] is None


def test_a_text_that_is_asked_often_counts_once() -> None:
    weight, means = unit_means(np.array([[1.0], [0.0], [0.5], [0.0]]), np.array([7, 7, 7, 2]))
    assert means.tolist() == [[0.0], [0.5]]
    assert weight.tolist() == pytest.approx([1 / 6, 1 / 6, 1 / 6, 1 / 2])


@settings(deadline=None, max_examples=30)
@given(values=st.lists(st.floats(-1, 1), min_size=1, max_size=12), data=st.data())
def test_the_weights_of_rows_and_the_means_of_units_tell_the_same_mean(
    values: list[float], data: st.DataObject
) -> None:
    unit = np.array([data.draw(st.integers(0, 4)) for _ in values], dtype=np.intp)
    weight, means = unit_means(np.array(values)[:, None], unit)
    assert float(weight.sum()) == pytest.approx(1.0)
    assert float(weight @ np.array(values)) == pytest.approx(float(means.mean()))


def test_copies_of_queries_buy_no_confidence() -> None:
    loss = np.zeros((60, STEPS))
    unit: Ints = np.arange(60)
    with pytest.raises(PolicyError) as alone:
        certify(family(loss), epsilon=0.02, delta=0.05, seed=0)
    with pytest.raises(PolicyError) as copied:
        certify(family(np.tile(loss, (10, 1))), epsilon=0.02, delta=0.05, seed=0, unit=np.tile(unit, 10))
    assert "n = 60 " in str(alone.value)
    assert "n = 60 " in str(copied.value)
    assert certify(family(np.tile(loss, (10, 1))), epsilon=0.02, delta=0.05, seed=0).n == 600


def test_too_few_queries_are_refused_with_the_number_it_takes() -> None:
    # nothing is lost: ln(20) / (0.8 · 0.02) = 187.2
    with pytest.raises(PolicyError, match=r"n = 40 only always calling dear .* about n = 188"):
        certify(family(np.zeros((40, STEPS))), epsilon=0.02, delta=0.05, seed=0)


def test_a_rule_that_loses_more_than_epsilon_is_refused_at_any_number() -> None:
    loss = np.zeros((300, STEPS))
    loss[::2, 1:] = 1.0
    with pytest.raises(PolicyError, match="no n will do"):
        certify(family(loss), epsilon=0.02, delta=0.05, seed=0)


def test_a_family_that_never_leaves_the_model_saves_nothing_and_says_so() -> None:
    still = family(np.zeros((500, 2)))
    still = Family(
        models=still.models,
        against=still.against,
        threshold=still.threshold,
        choice=np.ones((500, 2), dtype=np.intp),
        loss=still.loss,
        cost_usd=still.cost_usd,
    )
    with pytest.raises(PolicyError, match="no rule ever leaves dear"):
        certify(still, epsilon=0.02, delta=0.05, seed=0)


def test_the_number_asked_for_certifies_about_four_times_in_five() -> None:
    """Simulated: a loss of 0.01 whose half of all answers differ, at ε = 0.1."""
    rng = np.random.default_rng(5)
    mean = np.array([0.01])
    n = needed_n(nested(rng, n=200_000, mean=mean, noise=0.5)[:, 1], epsilon=0.1, delta=0.05)
    assert n is not None
    loss = np.stack([nested(rng, n=n, mean=mean, noise=0.5)[:, 1] for _ in range(300)], axis=1)
    assert 0.7 < certified(loss, epsilon=0.1, delta=0.05).mean() < 0.9


@pytest.mark.parametrize("value", [0.0, 1.0, -0.1, math.nan, math.inf])
def test_epsilon_and_delta_lie_strictly_between_0_and_1(value: float) -> None:
    with pytest.raises(PolicyError, match="epsilon"):
        certify(family(np.zeros((9, 2))), epsilon=value, delta=0.05, seed=0)
    with pytest.raises(PolicyError, match="delta"):
        certify(family(np.zeros((9, 2))), epsilon=0.05, delta=value, seed=0)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (np.zeros((0, 3)), "n ≥ 1"),
        (np.zeros((5, 1)), "T ≥ 2"),
        (np.full((5, 3), np.nan), "missing"),
        (np.array([[0.0, 1.5]]), r"outside \[-1, 1\]"),
        (np.array([[0.5, 0.5]]), "always take 'dear'"),
    ],
)
def test_losses_that_are_none_are_refused(loss: Floats, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        family(loss)


def test_thresholds_that_do_not_rise_are_refused() -> None:
    good = family(np.zeros((5, 3)))
    for bad in ([-np.inf, 0.5, 0.5], [-np.inf, np.nan, 0.5], [0.5, 0.4, 0.3]):
        with pytest.raises(PolicyError, match="increase"):
            Family(
                models=good.models,
                against=good.against,
                threshold=np.array(bad),
                choice=good.choice,
                loss=good.loss,
                cost_usd=good.cost_usd,
            )


def test_a_unit_per_row_is_wanted() -> None:
    with pytest.raises(PolicyError, match="one number of a unit per row"):
        certify(family(np.zeros((9, 2))), epsilon=0.05, delta=0.05, seed=0, unit=np.zeros(3, dtype=np.intp))


def test_the_same_seed_gives_the_same_guarantee() -> None:
    loss = nested(np.random.default_rng(1), n=600, mean=np.linspace(-0.05, 0.3, STEPS - 1), noise=0.3)
    first, second = (certify(family(loss), epsilon=0.1, delta=0.1, seed=4).to_json() for _ in range(2))
    assert first == second
