"""What becomes of a query on its road: failures, fallbacks, hand-offs, helpers and second tries, worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.simulate.amounts import NOTHING
from eval.simulate.draws import central
from eval.simulate.engine import Outcome, run_policy, strength, world
from eval.simulate.policies import Fixed, Routed
from eval.simulate.rates import month_rates
from eval.simulate.scenario import (
    BadAnswer,
    Baseline,
    Conversation,
    QueryClass,
    RouterUse,
    RouteUse,
    Scenario,
    sure,
)
from eval.simulate.service import Answering, answering, quality
from eval.simulate.use import FIRST, expected_use
from router.errors import DataError
from tests.slow_simulation import LARGE, OTHER, PRICES, SMALL, TWO, known, tokens

Floats = npt.NDArray[np.float64]

SHARES = st.floats(0, 1)
PROPERTY = settings(deadline=None, max_examples=40)
HALF_THE_MONTH = known(360)  # hours
ALL_THE_MONTH = known(720)
ERR = replace(TWO, router=RouterUse(accuracy=sure(0.8)))


def with_routes(scenario: Scenario, *routes: RouteUse) -> Scenario:
    return replace(scenario, routes=routes)


def ways(scenario: Scenario, *, failed: list[float] | None = None, down: dict[str, float] | None = None) -> Answering:
    """One world, in which attempts fail and providers are down with those probabilities."""
    return answering(
        scenario,
        failed=np.array([failed or [0.0] * len(scenario.routes)]),
        down={name: np.array([share]) for name, share in (down or {}).items()},
        size=1,
    )


def outcome_of(scenario: Scenario, *, baseline: Baseline | None = None) -> Outcome:
    """One central world in closed form."""
    rates = month_rates(scenario, PRICES)
    made = world(scenario, central(scenario), expected_use(scenario), rates)
    return run_policy(made, Routed() if baseline is None else Fixed(baseline=baseline))


def lone(route: RouteUse, *others: RouteUse) -> Scenario:
    """All queries need the first of some routes."""
    return replace(
        TWO,
        queries=(QueryClass(name="all", share=sure(1.0), needs=route.name),),
        routes=(route, *others),
        baselines=(Baseline(name=route.name, route=route.name),),
    )


@st.composite
def chains(draw: st.DrawFn) -> Scenario:
    """Four routes of three providers, each with a fallback behind it or none."""
    names = [f"r{i}" for i in range(4)]
    routes = [
        RouteUse(
            name=name,
            model="small",
            provider=f"p{draw(st.integers(0, 2))}",
            retries=draw(st.integers(0, 3)),
            billed_when_failed=draw(SHARES),
            fallback=draw(st.sampled_from([None, *names[i + 1 :]])),
        )
        for i, name in enumerate(names)
    ]
    return lone(routes[0], *routes[1:])


FAILED = st.lists(SHARES, min_size=4, max_size=4)
DOWN = st.dictionaries(st.sampled_from(["p0", "p1", "p2"]), SHARES)


def attempt_by_attempt(scenario: Scenario, failed: list[float], down: dict[str, float]) -> tuple[Floats, Floats]:
    """(r, r) served and paid, one attempt after the other, for every set of providers that may be down."""
    names, count = scenario.route_names, len(scenario.routes)
    served, paid = np.zeros((count, count)), np.zeros((count, count))
    for dark in product((False, True), repeat=len(down)):
        chance = float(np.prod([p if is_down else 1 - p for p, is_down in zip(down.values(), dark, strict=True)]))
        silent = {name for name, is_down in zip(down, dark, strict=True) if is_down}
        for start in range(count):
            left, at = chance, scenario.routes[start]
            while True:
                r = names.index(at.name)
                for _ in range(0 if at.provider in silent else at.retries + 1):
                    served[start, r] += left * (1 - failed[r])
                    paid[start, r] += left * (1 - failed[r]) + left * failed[r] * at.billed_when_failed
                    left *= failed[r]
                if at.fallback is None:
                    break
                at = scenario.routes[names.index(at.fallback)]
    return served, paid


# --- failures and fallbacks


def test_attempts_that_fail_and_are_billed_are_as_by_hand() -> None:
    small = replace(SMALL, retries=1, billed_when_failed=0.4, fallback="large")
    found = ways(with_routes(TWO, small, LARGE), failed=[0.5, 0.0])
    assert found.served[0].tolist() == [[0.75, 0.25], [0.0, 1.0]]
    # one good answer in 0.75 of cases, one failure in all halves of tries: 0.5 + 0.25, each billed at 0.4
    assert found.paid[0] == pytest.approx(np.array([[0.75 + 0.4 * 0.75, 0.25], [0.0, 1.0]]))


def test_a_provider_that_is_always_down_sends_everything_to_the_fallback_and_charges_nothing() -> None:
    small = replace(SMALL, retries=3, billed_when_failed=1.0, fallback="large")
    found = ways(with_routes(TWO, small, LARGE), failed=[0.5, 0.0], down={"one": 1.0})
    assert found.served[0].tolist() == [[0.0, 1.0], [0.0, 1.0]]
    assert found.paid[0].tolist() == [[0.0, 1.0], [0.0, 1.0]]


def test_a_month_of_outage_sends_every_dollar_to_the_fallback() -> None:
    fleeing = replace(with_routes(TWO, replace(SMALL, fallback="large"), LARGE), outage_hours={"one": ALL_THE_MONTH})
    outcome = outcome_of(fleeing)
    assert outcome.answers[0].tolist() == [0.0, pytest.approx(1.0)]
    assert outcome.unanswered[0] == pytest.approx(0.0, abs=1e-12)


def test_where_no_road_is_left_nobody_answers_and_nothing_is_paid() -> None:
    outcome = outcome_of(replace(lone(SMALL), outage_hours={"one": ALL_THE_MONTH}))
    assert (outcome.unanswered[0], outcome.usd.sum(), outcome.good[0]) == (1.0, 0.0, 0.0)


def test_an_outage_longer_than_the_month_is_one_of_the_whole_month() -> None:
    outcome = outcome_of(replace(lone(SMALL), outage_hours={"one": known(744)}))
    assert outcome.unanswered[0] == 1.0


def test_two_roads_of_one_provider_go_down_together_and_those_of_two_do_not() -> None:
    second = replace(LARGE, provider="one")
    together = ways(with_routes(TWO, replace(SMALL, fallback="large"), second), down={"one": 0.1})
    apart = ways(with_routes(TWO, replace(SMALL, fallback="large"), LARGE), down={"one": 0.1, "two": 0.1})
    assert together.served[0, 0].tolist() == [0.9, 0.0]
    assert apart.served[0, 0].tolist() == pytest.approx([0.9, 0.09])


@PROPERTY
@given(scenario=chains(), failed=FAILED, down=DOWN)
def test_who_answers_and_who_is_paid_is_what_attempt_after_attempt_says(
    scenario: Scenario, failed: list[float], down: dict[str, float]
) -> None:
    found = ways(scenario, failed=failed, down=down)
    served, paid = attempt_by_attempt(scenario, failed, down)
    assert found.served[0] == pytest.approx(served, abs=1e-12)
    assert found.paid[0] == pytest.approx(paid, abs=1e-12)


@PROPERTY
@given(scenario=chains(), failed=FAILED, down=DOWN)
def test_a_query_is_answered_at_most_once_and_no_answer_is_free(
    scenario: Scenario, failed: list[float], down: dict[str, float]
) -> None:
    found = ways(scenario, failed=failed, down=down)
    assert found.served.min() >= 0.0
    assert found.served.sum(axis=2).max() <= 1.0 + 1e-12
    assert (found.paid >= found.served - 1e-12).all()


@PROPERTY
@given(scenario=chains(), failed=FAILED, down=DOWN, more=st.integers(1, 4))
def test_more_retries_never_lower_the_answered_share(
    scenario: Scenario, failed: list[float], down: dict[str, float], more: int
) -> None:
    patient = replace(scenario, routes=tuple(replace(route, retries=route.retries + more) for route in scenario.routes))
    before, after = (ways(which, failed=failed, down=down).served.sum(axis=2) for which in (scenario, patient))
    assert (after >= before - 1e-12).all()


@PROPERTY
@given(scenario=chains(), failed=FAILED, down=DOWN, name=st.sampled_from(["p0", "p1", "p2"]))
def test_a_longer_outage_never_raises_the_answered_share(
    scenario: Scenario, failed: list[float], down: dict[str, float], name: str
) -> None:
    longer = {**down, name: (1.0 + down.get(name, 0.0)) / 2.0}
    before, after = (ways(scenario, failed=failed, down=which).served.sum(axis=2) for which in (down, longer))
    assert (after <= before + 1e-12).all()


def test_of_more_than_six_providers_with_outages_the_number_is_refused() -> None:
    routes = [replace(SMALL, name=f"r{i}", provider=f"p{i}") for i in range(7)]
    scenario = lone(*routes)
    with pytest.raises(DataError, match=r"7 providers have outages; wanted 6 at most\. Leave some out"):
        ways(scenario, down={f"p{i}": 0.1 for i in range(7)})
    assert ways(scenario, down={f"p{i}": 0.1 * (i > 0) for i in range(7)}).served[0, 1, 1] == pytest.approx(0.9)


# --- what is good


def test_how_good_an_answer_is_depends_on_the_abler_model_and_what_a_route_states_wins() -> None:
    third = replace(OTHER, good={"easy": 0.11})
    scenario = with_routes(TWO, SMALL, replace(LARGE, name="large"), replace(SMALL, name="twin"), third)
    levels = {name: np.array([p]) for name, p in (("right", 0.9), ("weak", 0.3), ("strong", 0.8), ("sideways", 0.6))}
    found = quality(scenario, np.array([4.0, 50.0, 4.0, 8.0]), levels, size=1)
    assert found[0].tolist() == [[0.9, 0.8, 0.6, 0.11], [0.3, 0.9, 0.3, 0.3]]


def test_the_model_with_the_dearer_output_is_the_abler_one_unless_the_route_says_otherwise() -> None:
    assert strength(TWO, month_rates(TWO, PRICES)).tolist() == pytest.approx([4e-6, 5e-5])
    stated = with_routes(TWO, replace(SMALL, strength=7.0), LARGE)
    assert strength(stated, month_rates(stated, PRICES)).tolist() == pytest.approx([7.0, 5e-5])


def test_a_model_is_as_able_in_batches_as_it_is_at_once() -> None:
    batch = replace(LARGE, name="later", tier="batch")
    scenario = replace(with_routes(TWO, SMALL, LARGE, batch), bad_answer=BadAnswer(weak=sure(0.1), sideways=sure(0.7)))
    later = Baseline(name="later", route="later")
    hard = [replace(entry, share=sure(float(entry.name == "hard"))) for entry in scenario.queries]
    assert outcome_of(replace(scenario, queries=tuple(hard)), baseline=later).good[0] == pytest.approx(0.7)


def test_a_scenario_that_says_nothing_of_answers_has_only_good_ones() -> None:
    assert outcome_of(ERR).good[0] == pytest.approx(1.0)


# --- hand-offs


def test_a_query_that_is_handed_over_is_paid_for_twice_and_as_good_as_on_its_own_road() -> None:
    small = replace(SMALL, handoff=sure(0.5))
    scenario = replace(with_routes(ERR, small, LARGE), bad_answer=BadAnswer(right=sure(0.9), weak=sure(0.2)))
    outcome = outcome_of(scenario)
    # of 0.3 hard queries 0.06 are sent to `small`, half of which it hands over: 0.03
    assert outcome.answers[0].tolist() == pytest.approx([0.56 + 0.06, 0.14 + 0.24 + 0.03])
    assert outcome.good[0] == pytest.approx(0.56 * 0.9 + 0.14 * 1.0 + 0.24 * 0.9 + 0.03 * 0.2 + 0.03 * 0.9)


def test_a_road_that_is_needed_keeps_its_queries() -> None:
    perfect = with_routes(TWO, replace(SMALL, handoff=sure(1.0)), replace(LARGE, handoff=sure(1.0)))
    assert outcome_of(perfect).answers[0].tolist() == pytest.approx([0.7, 0.3])


def test_where_the_needed_road_fails_what_is_handed_over_is_as_good_as_its_fallback() -> None:
    large = replace(LARGE, failed_attempts=sure(0.5), fallback="other")
    scenario = replace(
        with_routes(TWO, replace(SMALL, handoff=sure(1.0)), large, OTHER),
        queries=(replace(TWO.queries[0], share=sure(0.0)), replace(TWO.queries[1], share=sure(1.0))),
        bad_answer=BadAnswer(right=sure(0.9), weak=sure(0.2)),
    )
    outcome = outcome_of(scenario, baseline=Baseline(name="small", route="small"))
    assert outcome.good[0] == pytest.approx(0.5 * 0.9 + 0.5 * 0.2)
    assert outcome.answers[0].tolist() == pytest.approx([1.0, 0.5, 0.5])


def test_what_is_handed_over_begins_a_conversation_only_where_its_message_did() -> None:
    talk = Conversation(messages=known(4))
    outcome = outcome_of(replace(with_routes(ERR, replace(SMALL, handoff=sure(1.0)), LARGE), conversation=talk))
    handed = outcome.served.answers[0, 1, 1]  # hard queries on `large`: their own 0.24, and 0.06 handed over
    assert handed[FIRST] == pytest.approx(0.3 / 4)
    assert handed.sum() == pytest.approx(0.3)


def test_a_query_is_not_handed_over_to_a_road_whose_provider_is_down() -> None:
    small, large = replace(SMALL, fallback="large"), replace(LARGE, handoff=sure(1.0))
    outcome = outcome_of(replace(lone(small, large), outage_hours={"one": HALF_THE_MONTH}))
    assert outcome.answers[0, 0] == pytest.approx(0.5)


def test_a_query_that_is_handed_over_finds_the_provider_up_that_has_just_answered_it() -> None:
    small, large = replace(SMALL, handoff=sure(1.0)), replace(LARGE, provider="one")
    hard = tuple(replace(entry, share=sure(float(entry.name == "hard"))) for entry in TWO.queries)
    scenario = replace(with_routes(TWO, small, large), queries=hard, outage_hours={"one": HALF_THE_MONTH})
    outcome = outcome_of(scenario, baseline=Baseline(name="small", route="small"))
    assert outcome.answers[0].tolist() == pytest.approx([0.5, 0.5])


def test_a_road_that_stands_in_for_another_hands_nothing_over() -> None:
    small, large = replace(SMALL, failed_attempts=sure(0.5), fallback="large"), replace(LARGE, handoff=sure(1.0))
    assert outcome_of(lone(small, large)).answers[0].tolist() == pytest.approx([0.5, 0.5])


# --- desks that help


def test_desks_that_help_are_paid_for_the_queries_that_are_on_the_road_they_need() -> None:
    helped = replace(TWO.queries[1], also={"small": 0.5, "large": 0.25})
    outcome = outcome_of(replace(ERR, queries=(TWO.queries[0], helped)))
    assert outcome.answers[0].tolist() == pytest.approx([0.62 + 0.5 * 0.24, 0.38 + 0.25 * 0.24])


def test_a_desk_that_helps_finds_no_history_of_its_own_in_the_cache() -> None:
    helped = replace(TWO.queries[1], also={"small": 1.0})
    talk = Conversation(messages=known(4), same_need=sure(1.0), stickiness=sure(1.0))
    outcome = outcome_of(replace(TWO, queries=(TWO.queries[0], helped), conversation=talk))
    assert outcome.served.answers[0, 1, 0].tolist() == pytest.approx([0.3 / 4, 0.0, 0.3 * 3 / 4])


def test_a_query_that_is_handed_over_is_helped_like_one_that_came_at_once() -> None:
    helped = replace(TWO.queries[1], also={"small": 1.0})
    scenario = with_routes(replace(ERR, queries=(TWO.queries[0], helped)), replace(SMALL, handoff=sure(1.0)), LARGE)
    # all 0.3 hard queries end on `large`, and each of them needs `small` as well; 0.06 were on `small` before
    assert outcome_of(scenario).answers[0].tolist() == pytest.approx([0.62 + 0.3, 0.38 + 0.06])


# --- second tries


def test_people_ask_again_until_it_is_good_or_they_give_up() -> None:
    scenario = replace(ERR, bad_answer=BadAnswer(right=sure(0.8), weak=sure(0.5), strong=sure(0.9), reask=sure(0.6)))
    outcome = outcome_of(scenario)
    easy = (0.56 * 0.2 + 0.14 * 0.1) * 0.6 / (1 - 0.6 * 0.2)
    hard = (0.24 * 0.2 + 0.06 * 0.5) * 0.6 / (1 - 0.6 * 0.2)
    assert outcome.reasks[0] == pytest.approx(easy + hard)
    assert outcome.answers[0].tolist() == pytest.approx([0.62 + easy, 0.38 + hard])
    assert outcome.good[0] == pytest.approx(1 - (0.56 * 0.2 + 0.14 * 0.1) - (0.24 * 0.2 + 0.06 * 0.5))


def test_where_only_the_needed_road_is_ever_good_every_mistake_is_asked_again_just_once() -> None:
    outcome = outcome_of(
        replace(ERR, bad_answer=BadAnswer(weak=sure(0.0), strong=sure(0.0), sideways=sure(0.0), reask=sure(1.0)))
    )
    assert outcome.reasks[0] == pytest.approx(0.2)
    assert outcome.answers[0].tolist() == pytest.approx([0.62 + 0.14, 0.38 + 0.06])


def test_a_second_try_on_the_same_road_finds_the_history_and_one_on_another_does_not() -> None:
    scenario = replace(ERR, bad_answer=BadAnswer(right=sure(0.5), weak=sure(0.0), strong=sure(1.0), reask=sure(1.0)))
    answers = outcome_of(scenario).served.answers[0, 1, 1]  # hard queries on `large`
    # 0.12 bad ones of 0.24 there, each asked again there until it is good: twice on average; 0.06 come from `small`,
    # once switched, and then once more on average
    assert answers.tolist() == pytest.approx([0.24, 0.12 * 2 + 0.06, 0.06])


def test_what_nobody_answers_is_asked_again_like_a_bad_answer() -> None:
    scenario = replace(lone(SMALL), outage_hours={"one": HALF_THE_MONTH}, bad_answer=BadAnswer(reask=sure(0.5)))
    assert outcome_of(scenario).reasks[0] > 0.0


def test_an_answer_from_the_cache_costs_nothing_and_leads_to_nothing() -> None:
    judged = replace(ERR, bad_answer=BadAnswer(weak=sure(0.2), reask=sure(0.5)))
    plain, cached = outcome_of(judged), outcome_of(replace(judged, answer_cache=sure(0.4)))
    assert cached.usd == pytest.approx(0.6 * plain.usd)
    assert cached.reasks == pytest.approx(0.6 * plain.reasks)
    assert cached.good == pytest.approx(plain.good)
    assert cached.accuracy == pytest.approx(plain.accuracy)
    assert cached.unanswered[0] == pytest.approx(0.0, abs=1e-12)


def test_a_second_try_of_a_baseline_goes_where_its_own_first_one_went() -> None:
    split = Baseline(name="split", sends={"easy": {"small": 0.5, "large": 0.5}})
    scenario = replace(
        TWO,
        queries=(replace(TWO.queries[0], share=sure(1.0)), replace(TWO.queries[1], share=sure(0.0))),
        bad_answer=BadAnswer(strong=sure(0.0), reask=sure(0.5)),
    )
    # the half on `large` is never good there: half of it asks once more, half of that once more, and so on
    assert outcome_of(scenario, baseline=split).answers[0].tolist() == pytest.approx([0.5, 1.0])


def test_a_second_try_of_a_baseline_is_handed_over_like_its_first_one() -> None:
    scenario = replace(
        with_routes(TWO, replace(SMALL, handoff=sure(1.0)), LARGE),
        queries=(replace(TWO.queries[0], share=sure(0.0)), replace(TWO.queries[1], share=sure(1.0))),
        bad_answer=BadAnswer(right=sure(0.5), weak=sure(0.0), reask=sure(0.8)),
    )
    # each try ends on `large`, and is good there every other time
    outcome = outcome_of(scenario, baseline=Baseline(name="small", route="small"))
    assert outcome.reasks[0] == pytest.approx(0.5 * 0.8 / (1 - 0.8 * 0.5))


def test_people_who_would_ask_for_ever_are_refused() -> None:
    with pytest.raises(DataError):
        outcome_of(replace(ERR, bad_answer=BadAnswer(right=sure(0.0), reask=sure(1.0))))


@PROPERTY
@given(
    accuracy=SHARES,
    handoff=SHARES,
    reask=st.floats(0, 0.9),
    weak=SHARES,
    right=SHARES,
    helps=SHARES,
    messages=st.floats(1, 5),
    stickiness=SHARES,
)
def test_answers_are_those_of_messages_hand_offs_helpers_and_second_tries_and_no_others(
    accuracy: float,
    handoff: float,
    reask: float,
    weak: float,
    right: float,
    helps: float,
    messages: float,
    stickiness: float,
) -> None:
    small, large = (replace(route, handoff=sure(handoff)) for route in TWO.routes)
    scenario = replace(
        with_routes(TWO, small, large),
        queries=(TWO.queries[0], replace(TWO.queries[1], also={"small": helps})),
        router=RouterUse(accuracy=sure(accuracy)),
        bad_answer=BadAnswer(right=sure(right), weak=sure(weak), reask=sure(reask)),
        conversation=Conversation(messages=known(messages), stickiness=sure(stickiness)),
    )
    outcome = outcome_of(scenario)
    astray, at_home = outcome.served.roads[0, 1]
    bad = (at_home + astray * handoff) * (1 - right) + astray * (1 - handoff) * (1 - weak)
    again = bad * reask / (1 - reask * (1 - right))  # of hard queries: all of them on the road that they need
    expected = 1.0 + handoff * (1.0 - outcome.accuracy[0]) + helps * (at_home + handoff * astray + again)
    assert outcome.answers.sum() == pytest.approx(expected + outcome.reasks[0])


@PROPERTY
@given(
    accuracy=SHARES,
    failed=st.floats(0, 0.9),
    handoff=SHARES,
    reask=st.floats(0, 0.9),
    weak=SHARES,
    messages=st.floats(1, 5),
)
def test_nothing_is_negative_and_shares_are_shares_whatever_goes_wrong(
    accuracy: float, failed: float, handoff: float, reask: float, weak: float, messages: float
) -> None:
    small, large = (replace(route, handoff=sure(handoff), failed_attempts=sure(failed)) for route in TWO.routes)
    scenario = replace(
        with_routes(TWO, replace(small, fallback="large"), large),
        router=RouterUse(accuracy=sure(accuracy)),
        bad_answer=BadAnswer(weak=sure(weak), reask=sure(reask)),
        conversation=Conversation(messages=known(messages), same_need=sure(0.5), stickiness=sure(0.5)),
        outage_hours={"one": HALF_THE_MONTH},
    )
    outcome = outcome_of(scenario)
    assert outcome.served.answers.min() >= -1e-15
    for share in (outcome.good, outcome.accuracy, outcome.unanswered, outcome.cached):
        assert 0.0 <= share[0] <= 1.0 + 1e-12
    assert outcome.usd.sum() == pytest.approx(outcome.spend.sum())


def test_a_road_that_costs_nothing_and_fails_never_is_the_only_thing_that_is_free() -> None:
    free = replace(SMALL, system_tokens=NOTHING, history_tokens=NOTHING, message_tokens=NOTHING, output_tokens=NOTHING)
    assert outcome_of(lone(free)).usd.sum() == 0.0
    assert outcome_of(lone(replace(free, output_tokens=tokens(1)))).usd.sum() == pytest.approx(4e-6)


def test_a_follow_up_whose_road_fails_is_answered_by_the_fallback_without_its_cache() -> None:
    stays = Conversation(messages=known(2), same_need=sure(1.0), stickiness=sure(1.0))
    scenario = replace(lone(replace(SMALL, failed_attempts=sure(0.2), fallback="large"), LARGE), conversation=stays)
    answers = outcome_of(scenario).served.answers[0, 0]
    assert answers[0].tolist() == pytest.approx([0.4, 0.4, 0.0])
    assert answers[1].tolist() == pytest.approx([0.1, 0.0, 0.1])
