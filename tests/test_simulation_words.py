"""What a simulation says in words and sentences: true to its figures, plain about more, less and not known."""

from __future__ import annotations

import re
from typing import Any

from eval.simulate.printed import figure_at, printed_rows
from eval.simulate.sentences import (
    at_thresholds,
    break_even_sentences,
    comparison,
    direction,
    headline,
    labels,
    would_hold,
)
from eval.simulate.words import change_words, kind_of, spoken, target_words, value_of
from tests.simulated_figures import (
    CERTAIN,
    CHEAPER,
    COUNTED,
    DEARER,
    MUCH_DEARER,
    OPEN,
    UNPAID,
    Figures,
    figures_of,
)

# --- the sentence


def test_a_certain_saving_is_said_to_the_cent_and_without_brackets() -> None:
    said = headline(figures_of(CERTAIN))  # 95,000 · $0.0011 + 5,000 · $0.0125 against 100,000 · $0.0125
    assert said == "Routing would cost $167 a month where large for all costs $1,250: 86.64 % less."


def test_a_saving_with_an_interval_has_brackets_everywhere() -> None:
    said = headline(figures_of(CHEAPER))
    assert re.fullmatch(
        r"Routing would cost \$\d+ a month \[\d+, \d+\] where large for all costs \$[\d,]+ \[[\d,]+, [\d,]+\]: 87 % less\.",
        said,
    )


def test_routing_that_costs_more_is_said_to_cost_more() -> None:
    said = headline(figures_of(DEARER))  # $167 against $110
    assert said.startswith("Routing would cost more, not less: $1")
    assert said.endswith("52 % more.")


def test_routing_that_costs_many_times_as_much_is_told_in_times() -> None:
    said = headline(figures_of(MUCH_DEARER))  # 0.1 · $0.0011 + 0.9 · $0.0125 = $0.01136, against $0.0011
    assert said.endswith("10 × as much.")
    assert "less" not in said.replace("not less", "")


def test_an_interval_with_both_signs_is_called_open() -> None:
    open_one = figures_of(OPEN)
    assert direction(open_one) == "open"
    assert headline(open_one).startswith("Whether routing saves is open: it would cost $")
    assert re.search(r"% (more|less) \[\d+ % more to \d+ % less\]\.$", headline(open_one))


def test_a_baseline_that_costs_nothing_leaves_nothing_to_save() -> None:
    assert headline(figures_of(UNPAID)) == (
        "Routing would cost $167 a month; free costs nothing, so there is nothing to save."
    )


# --- printed figures


def test_printed_figures_stand_beside_exact_ones() -> None:
    rows = {row.name: (row.exact, row.printed, row.off) for row in printed_rows(figures_of(CERTAIN))}
    assert rows == {
        "baseline: large for all": ("$1,250", "$1,300", "+4.0 %"),
        "small": ("$104.50", "$104.50", "+0.0 %"),
        "large": ("$62.50", "–", ""),
        "routed, together": ("$167", "–", ""),
        "saving": ("86.64 %", "87 %", "+0.4 points"),
    }


def test_a_path_may_lead_to_a_name_with_dots_and_to_nothing() -> None:
    found = {"spend_usd_per_month": {"gpt-4.1.mini": 7.5}, "a": 1.0}
    assert figure_at(found, "spend_usd_per_month.gpt-4.1.mini") == 7.5
    assert figure_at(found, "a") == 1.0
    assert figure_at(found, "spend_usd_per_month.else") is None
    assert figure_at(found, "a.b") is None


# --- words


def test_names_are_told_in_words_and_unknown_ones_as_they_stand() -> None:
    assert spoken("routes.a.b.output_tokens") == "a.b: output tokens"
    assert spoken("something.new") == "something.new"
    assert kind_of("routes.a.handoff") == "share"
    assert target_words("strong_latency_ms_p99") == "99 in 100 answered within, strong models"
    assert target_words("something_new") == "something_new"
    assert value_of("routes.a.turns", None) == "–"


def test_a_change_is_told_as_a_manager_would_tell_it() -> None:
    turns = {"assumption": "routes.a.turns", "now": 3.0, "needed": 1.234}
    assert change_words(turns) == "a: model calls per answer: 1.23 instead of 3"
    cache = {"assumption": "answer_cache", "now": 0.0, "needed": 0.139}
    assert change_words(cache) == "queries answered from the answer cache: 13.9 % instead of 0 %"


def target(**changed: Any) -> Figures:  # Any: whatever JSON can hold
    made: Figures = {
        "target": "saving", "sense": "at least", "wanted": 0.8, "found": 0.7, "found_ci": None, "verdict": "fails",
        "share_of_worlds": 0.0, "thresholds": None, "would_hold_if": [], "with_a_perfect_router": None, "reason": None,
    }  # fmt: skip
    return made | changed


def test_a_target_that_nothing_single_brings_about_says_so() -> None:
    assert would_hold(target(), counted=True) == "no single number brings it about"
    assert would_hold(target(target="good_answers"), counted=False) == "no change was tried"
    assert would_hold(target(verdict="open", share_of_worlds=0.7), counted=True) == "holds in most worlds as it is"
    assert would_hold(target(verdict="holds", share_of_worlds=1.0), counted=True) == ""


def test_thresholds_of_a_target_are_a_range_one_or_none() -> None:
    assert at_thresholds(target(thresholds=[0.0, 0.525]), counted=True) == "0 to 0.525"
    assert at_thresholds(target(thresholds=[0.4, 0.4]), counted=True) == "0.4"
    assert at_thresholds(target(), counted=True) == "none"
    assert at_thresholds(target(), counted=False) == ""


def test_a_break_even_price_is_told_with_what_it_means() -> None:
    figures = figures_of(COUNTED)
    figures["break_even"] = {
        "usd_per_bad_answer": 0.152, "usd_per_bad_answer_ci": [0.08, 0.31], "stated_usd": 0.05, "reason": None,
        "net_saved_usd_per_query": 0.0017, "net_saved_usd_per_query_ci": [0.0008, 0.0026],
        "more_bad_answers": 0.0161, "more_bad_answers_ci": [0.009, 0.026],
    }  # fmt: skip
    assert break_even_sentences(figures) == [
        "For every 100 queries, routing gives 1.6 more bad answers [0.9, 2.6] than large for all.",
        "Routing would save nothing any more if each cost $0.152 [0.08, 0.31].",
        "At the $0.05 that the scenario takes, routing saves $0.0017 [0.0008, 0.0026] a query after bad answers are paid for.",
    ]


def test_without_a_break_even_price_its_reason_is_told() -> None:
    figures = figures_of(COUNTED)
    figures["break_even"] |= {"usd_per_bad_answer": None, "reason": "it saves at any cost of one"}
    assert break_even_sentences(figures) == [
        "There is no break-even price of a bad answer: it saves at any cost of one."
    ]


# --- several scenarios


def test_the_comparison_counts_where_routing_costs_less_more_and_is_open() -> None:
    found = [figures_of(scenario) for scenario in (CERTAIN, DEARER, OPEN, UNPAID)]
    said = comparison(found)
    assert said.startswith(
        "Routing would cost less than the first baseline in 1 of 4 scenarios; it costs more in 1, is open in 1,"
    )
    assert "from 86.64 % less in certain to 52 % more in dearer." in said
    assert comparison(found[:1] * 2).startswith("Routing would cost less than the first baseline in both scenarios")


def test_scenarios_of_one_name_are_told_apart() -> None:
    assert labels([figures_of(CERTAIN), figures_of(CHEAPER), figures_of(CERTAIN)]) == [
        "certain (1)",
        "cheaper",
        "certain (3)",
    ]
