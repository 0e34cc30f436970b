"""Explanations of decisions over models: parts add up to the whole, and what is said to flip a decision flips it."""

from __future__ import annotations

from dataclasses import replace

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from router.errors import PolicyError
from router.outcome_explain import Part, Sum, blend_sum, explain_outcome, view_sums
from router.outcome_flips import Flip, parameter_flip, price_flip
from router.outcome_policy import AnyPolicy, Budget, CheapestAbove, ExpectedUtility, Threshold
from router.outcome_router import Floats, ModelRouter
from router.scoring import softmax
from router.success.blend import EachBlend, JointBlend, SharedBlend, log_odds
from router.surface import FEATURE_NAMES
from tests.outcome_tables import MODELS, fitted, table

EXACT = 1e-9
SINGLE = 1e-5  # the view of words adds up in single precision
VIEWS = ("linear", "words", "domain")
TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=60).filter(str.strip)
QUERIES = (
    "prove the theorem about prime gaps again",
    "add the numbers two invoices please",
    "rhyme? rhyme! (1 + 1)",
    "ω",
)
POLICIES = st.sampled_from(["threshold", "cheapest-above", "expected-utility", "budget"])


@pytest.fixture(scope="module")
def router() -> ModelRouter:
    return fitted()


def rows(m: int) -> st.SearchStrategy[Floats]:
    return hnp.arrays(np.float64, (len(VIEWS), m), elements=st.floats(0.001, 0.999))


def weights(*shape: int) -> st.SearchStrategy[Floats]:
    return hnp.arrays(np.float64, shape, elements=st.floats(-3, 3))


def as_views(values: Floats) -> dict[str, Floats]:
    return dict(zip(VIEWS, values, strict=True))


# The blend


@settings(deadline=None, max_examples=40)
@given(values=rows(3), w=weights(3, 3), b=weights(3), pair=st.permutations(range(3)))
def test_views_add_up_to_the_difference_of_log_odds_where_each_model_has_its_own_weights(
    values: Floats, w: Floats, b: Floats, pair: list[int]
) -> None:
    first, second = pair[:2]
    made = blend_sum(EachBlend(VIEWS, w, b), as_views(values), first, second)
    p = EachBlend(VIEWS, w, b).probabilities({name: row[None, :] for name, row in as_views(values).items()})[0]
    assume(((p > 1e-9) & (p < 1 - 1e-9)).all())
    odds = np.log(p / (1 - p))
    assert made.whole == pytest.approx(odds[first] - odds[second], abs=1e-5)


@settings(deadline=None, max_examples=40)
@given(values=rows(3), w=hnp.arrays(np.float64, 3, elements=st.floats(0, 0.3)), b=hnp.arrays(np.float64, 3, elements=st.floats(0.002, 0.05)))  # fmt: skip
def test_views_add_up_to_the_difference_of_probabilities_where_one_weight_serves_all(
    values: Floats, w: Floats, b: Floats
) -> None:
    made = blend_sum(SharedBlend(VIEWS, w, w, b), as_views(values), 2, 0)
    p = SharedBlend(VIEWS, w, w, b).probabilities({name: row[None, :] for name, row in as_views(values).items()})[0]
    assert made.whole == pytest.approx(p[2] - p[0], abs=EXACT)


@settings(deadline=None, max_examples=40)
@given(values=rows(2), w=weights(6, 4), b=weights(4), first=st.integers(0, 1))
def test_views_add_up_to_the_log_odds_of_the_one_alone_against_the_other_alone_in_a_joint_blend(
    values: Floats, w: Floats, b: Floats, first: int
) -> None:
    made = blend_sum(JointBlend(VIEWS, w, b), as_views(values), first, 1 - first)
    joint = softmax(np.hstack([log_odds(row[None, :]) for row in values]) @ w + b)[0]
    alone = {0: joint[2], 1: joint[1]}  # columns: neither, second only, first only, both
    assert made.whole == pytest.approx(np.log(alone[first] / alone[1 - first]), abs=1e-6)
    p = JointBlend(VIEWS, w, b).probabilities({name: row[None, :] for name, row in as_views(values).items()})[0]
    if abs(p[first] - p[1 - first]) > EXACT:
        assert np.sign(made.whole) == np.sign(p[first] - p[1 - first])


# The views


@settings(deadline=None, max_examples=30)
@given(text=TEXTS, pair=st.permutations(range(3)))
def test_named_features_add_up_to_what_each_view_says(router: ModelRouter, text: str, pair: list[int]) -> None:
    first, second = pair[:2]
    reading = router.read([text])
    found = view_sums(router.success, reading, first, second)
    said = router.success.views(reading.texts, reading.rows, reading.sentence)
    for name, exact in (("linear", 1e-6), ("words", SINGLE)):
        odds = np.log(said[name][0] / (1 - said[name][0]))
        assert found[name].whole == pytest.approx(odds[first] - odds[second], abs=exact)
    assert found["domain"].whole == pytest.approx(said["domain"][0, first] - said["domain"][0, second], abs=EXACT)


def test_the_embedding_is_one_part_and_every_surface_feature_and_word_has_its_name(router: ModelRouter) -> None:
    found = view_sums(router.success, router.read([QUERIES[0]]), 0, 2)
    names = [part.name for part in found["linear"].parts]
    assert names == ["meaning (embedding)", *(name.replace("_", " ") for name in FEATURE_NAMES)]
    assert {"word “prove”", "word “the theorem”", "word “^ prove”"} <= {part.name for part in found["words"].parts}
    assert [part.name for part in found["domain"].parts] == ["data set proof", "data set rhyme", "data set sum"]


def test_the_strongest_parts_come_first_and_those_that_say_nothing_not_at_all() -> None:
    amounts = (0.1, -3.0, 0.0, 2.0)
    whole = Sum(unit="u", base=1.0, parts=tuple(Part(name=str(a), amount=a) for a in amounts))
    assert [part.amount for part in whole.strongest] == [-3.0, 2.0, 0.1]
    assert whole.whole == pytest.approx(0.1)


# The explanation


@pytest.mark.parametrize("text", QUERIES)
def test_an_explanation_carries_the_decision_it_explains_and_the_most_probable_other_model(
    router: ModelRouter, text: str
) -> None:
    told = explain_outcome(router, text)
    assert told.decision == router.decide(text)
    others = {model: p for model, p in told.decision.probabilities.items() if model != told.decision.model}
    assert told.against == max(others, key=lambda model: others[model])


@pytest.mark.parametrize("against", ["huge", None])
def test_a_model_that_cannot_be_compared_with_is_refused(router: ModelRouter, against: str | None) -> None:
    chosen = router.decide(QUERIES[0]).model
    with pytest.raises(PolicyError, match="cannot be compared"):
        explain_outcome(router, QUERIES[0], against=against or chosen)


def test_a_training_query_is_its_own_nearest_with_the_scores_that_were_recorded(router: ModelRouter) -> None:
    near = explain_outcome(router, router.training.texts[11], neighbours=4).neighbours
    assert (near[0].similarity, near[0].query_id) == (1.0, router.training.ids[11])
    assert list(near[0].scores.values()) == router.training.score[11].tolist()
    assert [entry.similarity for entry in near] == sorted((entry.similarity for entry in near), reverse=True)


def test_a_score_that_was_not_recorded_is_none(router: ModelRouter) -> None:
    score = router.training.score.copy()
    score[11, 1] = np.nan
    changed = replace(router, training=replace(router.training, score=score))
    assert explain_outcome(changed, router.training.texts[11]).neighbours[0].scores["middle"] is None


def test_without_dollars_no_price_flips_anything() -> None:
    told = explain_outcome(fitted(costs=False), table().texts[0])
    assert told.price is None


# Flips


def policy_of(kind: str, number: float, models: tuple[str, ...]) -> AnyPolicy:
    if kind == "threshold":
        return Threshold(models=models, against=models[-1], threshold=number)
    if kind == "cheapest-above":
        return CheapestAbove(models=models, floor=number)
    if kind == "budget":
        return Budget(models=models, budget_usd=1.0, quality_per_usd=number)
    return ExpectedUtility(models=models, quality_per_usd=number)


def choice(policy: AnyPolicy, p: Floats, cost: Floats | None) -> str:
    model = policy.choose(p[None, :], None if cost is None else cost[None, :]).model[0]
    return policy.models[int(model)]


CLOSE = 1e-5  # a flip stands a hair beyond the crossing
CELLS = st.integers(0, 20).map(lambda value: value / 20)


@settings(deadline=None, max_examples=100)
@given(
    kind=POLICIES, number=CELLS, p=st.lists(CELLS, min_size=2, max_size=5), cost=st.lists(CELLS, min_size=5, max_size=5)
)
def test_the_smallest_change_of_the_policys_number_flips_it_and_no_smaller_one_does(
    kind: str, number: float, p: list[float], cost: list[float]
) -> None:
    models = MODELS_5[: len(p)]
    values, usd = np.array(p), np.array(cost[: len(p)])
    policy = policy_of(kind, number, models)
    flip, now = parameter_flip(policy, values, usd), choice(policy, values, usd)
    reach = 1.0 if kind == "cheapest-above" else 50.0
    if flip is not None:
        assert flip.now == number
        assert choice(policy_of(kind, flip.value, models), values, usd) == flip.model != now
        reach = max(0.0, abs(flip.value - number) - CLOSE * max(1.0, flip.value))
    for step in np.linspace(0, 1, 41):
        for tried in (number + reach * step, number - reach * step):
            if kind == "threshold" or (tried >= 0 and (kind != "cheapest-above" or tried <= 1)):
                assert choice(policy_of(kind, float(tried), models), values, usd) == now


@settings(deadline=None, max_examples=100)
@given(
    kind=POLICIES, number=CELLS, p=st.lists(CELLS, min_size=2, max_size=5), cost=st.lists(CELLS, min_size=5, max_size=5)
)
def test_a_price_that_is_said_to_flip_a_decision_flips_it_and_no_nearer_one_does(
    kind: str, number: float, p: list[float], cost: list[float]
) -> None:
    models = MODELS_5[: len(p)]
    values, usd = np.array(p), np.array(cost[: len(p)])
    policy = policy_of(kind, number, models)
    flip, now = price_flip(policy, values, usd), choice(policy, values, usd)

    def at(j: int, price: float) -> str:
        changed = usd.copy()
        changed[j] = price
        return choice(policy, values, changed)

    reach = 3.0  # of the logarithm of a price
    if flip is not None:
        j = models.index(flip.what.removeprefix("price of "))
        assert flip.now == usd[j]
        assert at(j, flip.value) == flip.model != now
        if flip.value > 0 and flip.now > 0:
            reach = max(0.0, abs(np.log(flip.value / flip.now)) - CLOSE)
    for priced in np.flatnonzero(usd > 0).tolist():  # a price of 0 has no ratio to another
        for step in np.linspace(-1, 1, 21):
            assert at(priced, float(usd[priced] * np.exp(step * reach))) == now


MODELS_5 = ("a", "b", "c", "d", "e")


def test_a_flip_by_hand() -> None:
    pair, p, usd = ("weak", "strong"), np.array([0.5, 0.75]), np.array([1.0, 2.0])
    cheaper = parameter_flip(ExpectedUtility(models=pair, quality_per_usd=1.0), p, usd)
    assert cheaper is not None
    assert cheaper == Flip(what="λ (quality per dollar)", now=1.0, value=cheaper.value, model="strong")
    assert cheaper.value == pytest.approx(0.25, rel=1e-6)
    kept = parameter_flip(Threshold(models=pair, against="strong", threshold=0.125), p, None)
    assert kept is not None
    assert kept.sentence() == "threshold beyond 0.25 (now 0.125) sends it to weak"
    # strong is worth 0.25 more, at λ = 1 a quarter of a dollar: weak stays until strong costs less than 1.25
    dearer = price_flip(ExpectedUtility(models=pair, quality_per_usd=1.0), p, usd)
    assert dearer is not None
    assert (dearer.what, dearer.model) == ("price of strong", "strong")
    assert dearer.value == pytest.approx(1.25, rel=1e-6)


def test_where_one_model_is_better_and_cheaper_no_number_flips_it() -> None:
    policy = ExpectedUtility(models=("a", "b"), quality_per_usd=5.0)
    assert parameter_flip(policy, np.array([0.9, 0.1]), np.array([1.0, 2.0])) is None


@pytest.mark.parametrize("quality_per_usd", [0.0, 5e-324, 1e-300, 1e300])
def test_absurd_prices_of_quality_break_nothing(quality_per_usd: float) -> None:
    policy = ExpectedUtility(models=MODELS, quality_per_usd=quality_per_usd)
    p, usd = np.array([0.2, 0.5, 0.9]), np.array([1e-12, 1e-4, 3.0])
    for flip in (parameter_flip(policy, p, usd), price_flip(policy, p, usd)):
        assert flip is None or flip.model != choice(policy, p, usd)
