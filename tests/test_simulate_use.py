"""What an answer uses: every call sends again all that came before it, counted token by token."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.simulate.amounts import Constant, Empirical, Quantity
from eval.simulate.draws import central
from eval.simulate.engine import Answers, price_answers
from eval.simulate.rates import LONG, STANDARD, month_rates
from eval.simulate.scenario import PromptCache, RouteUse, Scenario, sure
from eval.simulate.turns import FixedTurns, PoissonTurns
from eval.simulate.use import (
    FIRST,
    HISTORY,
    LOOP,
    MESSAGE,
    NEW,
    OUTPUT,
    PAST,
    RESULT,
    SAME,
    SCHEMAS,
    STATIC,
    SWITCHED,
    SYSTEM,
    WRITTEN,
    Use,
    expected_use,
    most_turns,
    sampled_use,
    trajectories,
)
from tests.slow_simulation import LARGE, PRICES, SMALL, TWO, known, spread, tokens

SEEDS = st.integers(0, 2**32 - 1)
DESK = replace(
    SMALL,
    tool_schema_tokens=tokens(300),
    tool_result_tokens=tokens(200),
    turns=FixedTurns(weights=(0.0, 0.0, 1.0)),
    caches_prompts=True,
)
TOOLS = replace(TWO, routes=(DESK, LARGE))


def drawn(scenario: Scenario, *, n: int = 300, seed: int = 0) -> Use:
    return sampled_use(scenario, month_rates(scenario, PRICES), n=n, rng=np.random.default_rng(seed))


def answers_of(scenario: Scenario) -> Answers:
    """One central world, in closed form."""
    return price_answers(scenario, central(scenario), expected_use(scenario), month_rates(scenario, PRICES))


# --- tokens by hand


def test_three_calls_send_the_front_three_times_and_what_they_wrote_before_their_next() -> None:
    cell = expected_use(TOOLS).tokens[0, SAME, 2, :, :, STANDARD]
    # 1,000 + 300 fixed, 400 history, 60 message; 150 written and 200 found by each call but the last
    assert cell[[SYSTEM, SCHEMAS], STATIC].tolist() == [1_000, 300]
    assert cell[HISTORY, PAST] == 400
    assert cell[MESSAGE, NEW] == 60
    assert cell[[SYSTEM, SCHEMAS, HISTORY, MESSAGE], LOOP].tolist() == [2_000, 600, 800, 120]
    assert (cell[OUTPUT, NEW], cell[OUTPUT, LOOP]) == (300, 150)
    assert (cell[RESULT, NEW], cell[RESULT, LOOP]) == (400, 200)
    assert cell[WRITTEN].tolist() == [450, 0, 0, 0]


def test_a_first_message_has_no_history_and_on_another_road_no_cache_holds_it() -> None:
    tokens_of = expected_use(TOOLS).tokens[0, :, 0, HISTORY, :, STANDARD]
    assert tokens_of[FIRST].tolist() == [0, 0, 0, 0]
    assert tokens_of[SAME].tolist() == [0, 0, 400, 0]
    assert tokens_of[SWITCHED].tolist() == [400, 0, 0, 0]


def test_the_input_of_six_calls_is_more_than_twice_that_of_three() -> None:
    six = replace(DESK, turns=FixedTurns(weights=(0.0,) * 5 + (1.0,)))
    sent = [
        expected_use(replace(TWO, routes=(desk, LARGE))).tokens[0, FIRST, calls - 1, :WRITTEN].sum()
        for desk, calls in ((DESK, 3), (six, 6))
    ]
    # 1,360 a call, and 350 for every earlier call of the same answer: 3 and 15 of them
    assert sent == [3 * 1_360 + 3 * 350, 6 * 1_360 + 15 * 350]


def test_tokens_that_are_the_same_for_every_query_are_drawn_as_the_closed_form_has_them() -> None:
    short = replace(
        TOOLS, routes=(DESK, replace(LARGE, turns=FixedTurns(weights=(0.5, 0.5)), system_tokens=tokens(500)))
    )
    exact, found = expected_use(short).tokens, drawn(short).tokens
    assert found[0, :, 2] == pytest.approx(exact[0, :, 2])
    assert found[1, :, :2] == pytest.approx(exact[1, :, :2])


def test_a_number_of_calls_that_no_answer_takes_is_not_drawn() -> None:
    found = drawn(TOOLS, n=1_200)
    assert not found.tokens[0, :, :2].any()
    assert found.n == 1_200  # a sixth for each route and state: of the desk, all in their third call


def test_no_cell_is_drawn_from_fewer_than_64_answers() -> None:
    rare = replace(DESK, turns=FixedTurns(weights=(0.999, 0.001)))
    assert drawn(replace(TWO, routes=(rare, LARGE)), n=1_200).n == 3 * (200 + 64) + 3 * 200


def test_a_price_per_query_leaves_no_tokens_to_count() -> None:
    flat = RouteUse(name="small", model="", provider="one", usd_per_query=tokens(0.002))
    scenario = replace(TWO, routes=(flat, LARGE))
    assert not drawn(scenario).tokens[0].any()
    assert not expected_use(scenario).tokens[0].any()


def test_the_longest_answer_of_any_route_says_how_many_calls_are_kept() -> None:
    assert most_turns(TOOLS) == 3
    assert most_turns(replace(TOOLS, routes=(DESK, replace(LARGE, turns=PoissonTurns(mean=known(2), most=9))))) == 9


# --- the long-context tier


def test_only_the_calls_that_pass_the_limit_are_long_and_then_with_all_their_tokens() -> None:
    # calls of 1,000, 1,600 and 2,200 tokens under a limit of 2,000: the third alone is long
    desk = replace(
        LARGE,
        system_tokens=tokens(940),
        output_tokens=tokens(250),
        tool_result_tokens=tokens(350),
        turns=FixedTurns(weights=(0.0, 0.0, 1.0)),
    )
    use = trajectories(desk, FIRST, 3, n=1, rng=np.random.default_rng(0), limit=2_000.0)[..., 0]
    assert use[:WRITTEN, :, STANDARD].sum() == 1_000 + 1_600
    assert use[:WRITTEN, :, LONG].sum() == 2_200
    assert use[WRITTEN].sum(axis=0).tolist() == [500, 250]
    assert use[OUTPUT, :, LONG].tolist() == [250, 250, 0, 0]


def test_a_call_of_just_the_limit_is_not_long() -> None:
    at_limit = replace(LARGE, system_tokens=tokens(1_940))
    use = trajectories(at_limit, FIRST, 1, n=1, rng=np.random.default_rng(0), limit=2_000.0)
    above = trajectories(at_limit, FIRST, 1, n=1, rng=np.random.default_rng(0), limit=1_999.0)
    assert (use[..., LONG, :].sum(), above[..., STANDARD, :].sum()) == (0.0, 0.0)


def test_history_can_make_a_follow_up_long_that_is_short_as_a_first_message() -> None:
    talkative = replace(LARGE, system_tokens=tokens(1_900))
    found = drawn(replace(TWO, routes=(SMALL, talkative))).tokens[1, :, 0].sum(axis=(1, 2))
    assert (found[FIRST, LONG], found[SAME, STANDARD], found[SWITCHED, STANDARD]) == (0.0, 0.0, 0.0)


@settings(deadline=None, max_examples=30)
@given(seed=SEEDS, calls=st.integers(1, 6), state=st.integers(0, 2), limit=st.floats(1, 20_000))
def test_a_limit_moves_tokens_between_tiers_and_adds_none(seed: int, calls: int, state: int, limit: float) -> None:
    desk = replace(DESK, message_tokens=spread(60, 900), output_tokens=spread(150, 900))
    cut, whole = (
        trajectories(desk, state, calls, n=5, rng=np.random.default_rng(seed), limit=where) for where in (limit, np.inf)
    )
    assert cut.sum(axis=2) == pytest.approx(whole.sum(axis=2))
    assert not whole[..., LONG, :].any()


# --- drawing


def test_the_same_seed_draws_the_same_answers_and_another_seed_others() -> None:
    scenario = replace(TWO, routes=(replace(SMALL, output_tokens=spread(150, 900)), LARGE))
    assert drawn(scenario).tokens.tobytes() == drawn(scenario).tokens.tobytes()
    assert drawn(scenario, seed=1).tokens.tobytes() != drawn(scenario).tokens.tobytes()


def test_answers_drawn_in_pieces_have_the_mean_of_all_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = Quantity.of(Empirical(values=(10.0, 30.0)))
    scenario = replace(TWO, routes=(replace(SMALL, message_tokens=seen), replace(LARGE, message_tokens=seen)))
    monkeypatch.setattr("eval.simulate.use.CHUNK", 50)
    found = drawn(scenario, n=6 * 20_000)
    # the mean of 20,000 tens and thirties has a standard error of 0.07
    assert found.tokens[:, :, 0, MESSAGE, NEW].sum(axis=2) == pytest.approx(np.full((2, 3), 20.0), abs=0.3)
    assert found.n == 6 * 20_000


def test_the_mean_square_of_constant_answers_is_the_square_of_their_dollars() -> None:
    found = drawn(TWO).square
    # `small`: 1,060 tokens in and 150 out are 0.00106 + 0.0006; a follow-up sends 400 more
    assert found[0, FIRST, 0] == pytest.approx(0.00166**2)
    assert found[0, SWITCHED, 0] == pytest.approx(0.00206**2)
    assert found[1, FIRST, 0] == pytest.approx((0.0106 + 0.0125) ** 2)


def test_the_mean_square_of_answers_that_differ_is_their_own() -> None:
    seen = replace(SMALL, system_tokens=tokens(0), message_tokens=Quantity.of(Empirical(values=(0.0, 1_000.0))))
    found = drawn(replace(TWO, routes=(seen, LARGE)), n=240_000).square[0, FIRST, 0]
    # 0.0006 or 0.0016 dollars, each half of the time
    assert found == pytest.approx((0.0006**2 + 0.0016**2) / 2, rel=0.01)


@pytest.mark.parametrize("factor", [2, 5])
def test_tokens_scale_with_their_amounts(factor: int) -> None:
    more = replace(DESK, system_tokens=tokens(1_000 * factor), output_tokens=tokens(150 * factor))
    few, many = (expected_use(replace(TWO, routes=(desk, LARGE))).tokens[0] for desk in (DESK, more))
    for source in (SYSTEM, OUTPUT, WRITTEN):
        assert many[:, :, source] == pytest.approx(factor * few[:, :, source])
    for source in (SCHEMAS, HISTORY, MESSAGE, RESULT):
        assert many[:, :, source] == pytest.approx(few[:, :, source])


# --- what they cost


def test_three_calls_with_a_perfect_cache_within_the_answer_cost_what_they_do_by_hand() -> None:
    answers = answers_of(TOOLS)
    # first message: 1,360 new tokens and twice 350 more at $1.25, 1,360 + 1,710 read at $0.10, 450 written at $4
    assert answers.cold[0, 0, FIRST] * 1e6 == pytest.approx((1_360 + 700) * 1.25 + 3_070 * 0.1 + 450 * 4)
    assert answers.sent[0, 0, FIRST] == 1_360 + 1_710 + 2_060
    assert answers.read[0, 0, FIRST] == 3_070


def test_a_warm_prefix_saves_the_difference_between_writing_and_reading_the_fixed_prompt_once() -> None:
    answers = answers_of(TOOLS)
    assert answers.warm[0, 0, FIRST] * 1e6 == pytest.approx(1_300 * (1.25 - 0.1))
    assert answers.warmed[0, 0, FIRST] == 1_300


def test_a_follow_up_in_time_reads_prompt_and_history_and_leaves_traffic_less_to_warm() -> None:
    answers = answers_of(replace(TOOLS, prompt_cache=PromptCache(in_time=sure(0.75))))
    assert answers.warm[0, 0, SAME] * 1e6 == pytest.approx(0.25 * 1_300 * 1.15)
    cold = answers_of(replace(TOOLS, prompt_cache=PromptCache(in_time=sure(0.0))))
    assert (cold.cold - answers.cold)[0, 0, SAME] * 1e6 == pytest.approx(0.75 * 1_700 * 1.15)
    assert (cold.cold - answers.cold)[0, 0, [FIRST, SWITCHED]].tolist() == [0.0, 0.0]


def test_a_route_that_caches_nothing_pays_for_every_token_and_reads_none() -> None:
    answers = answers_of(replace(TOOLS, routes=(replace(DESK, caches_prompts=False), LARGE)))
    assert answers.cold[0, 0, FIRST] * 1e6 == pytest.approx(5_130 * 1.0 + 450 * 4)
    assert (answers.read.max(), answers.warm.max(), answers.warmed.max()) == (0.0, 0.0, 0.0)


def test_a_level_scales_its_own_tokens_and_output_twice_as_sent_again_and_as_written() -> None:
    draws = central(TOOLS).with_values({"routes.small.output_tokens": np.array([2.0])})
    rates = month_rates(TOOLS, PRICES)
    twice = price_answers(TOOLS, draws, expected_use(TOOLS), rates)
    by_hand = answers_of(replace(TOOLS, routes=(replace(DESK, output_tokens=tokens(300)), LARGE)))
    assert twice.cold == pytest.approx(by_hand.cold)
    assert twice.sent == pytest.approx(by_hand.sent)


def test_which_calls_are_long_is_decided_at_the_central_level() -> None:
    near = replace(TWO, routes=(SMALL, replace(LARGE, system_tokens=tokens(1_900))))
    draws = central(near).with_values({"routes.large.system_tokens": np.array([1.5])})
    found = price_answers(near, draws, drawn(near), month_rates(near, PRICES)).cold[0, 1, FIRST]
    # 2,850 + 60 tokens would pass the limit of 2,000, where the 1,960 of the central level do not
    assert found * 1e6 == pytest.approx(2_910 * 10 + 250 * 50)


def test_a_price_per_query_is_what_an_answer_costs_whatever_its_state() -> None:
    flat = RouteUse(name="small", model="", provider="one", usd_per_query=Quantity.of(Constant(value=0.002)))
    answers = answers_of(replace(TWO, routes=(flat, LARGE)))
    assert answers.cold[0, 0].tolist() == [0.002] * 3
    assert answers.sent[0, 0].tolist() == [0.0] * 3


def test_turns_that_are_cut_off_at_their_most_are_made_whole() -> None:
    pmf = PoissonTurns(mean=known(2.0), most=3).pmf(np.array([2.0, 1.0]))
    assert pmf[0].tolist() == pytest.approx([0.4, 0.4, 0.2])  # 1, 1, 1/2
    assert pmf[1].tolist() == [1.0, 0.0, 0.0]
    assert PoissonTurns(mean=known(2.0), most=3).pmf(np.array([0.5]))[0].tolist() == [1.0, 0.0, 0.0]
