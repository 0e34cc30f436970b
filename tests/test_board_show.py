"""The leaderboard in a terminal: in order, within 118 columns, ours marked, ties called ties, and what it means in words."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from eval.board_show import show_board
from eval.board_words import best_other, delta, duration, figure, fit_time, headline, ranked, saving, standing, tie_note
from eval.contest import OURS

Row = dict[str, Any]  # Any: whatever JSON can hold
Board = dict[str, Any]


def row(router: str, value: float | None, **changed: Any) -> Row:  # Any: whatever JSON can hold
    """A row judged by AIQ, with every key the terminal needs; the paired figures are those of a tie."""
    bounds = None if value is None else [value - 0.02, value + 0.02]
    made: Row = {
        "router": router,
        "allowed": True,
        "apgr": None,
        "apgr_ci": None,
        "aiq": value,
        "aiq_ci": bounds,
        "accuracy": value,
        "accuracy_ci": bounds,
        "delta": 0.01,
        "delta_ci": [-0.01, 0.03],
        "verdict": "tie",
        "p_holm": 0.4,
        "minimum_detectable": 0.03,
        "cpt50": None,
        "costsave": 0.25,
        "ece": 0.031,
        "ece_bias": 0.012,
        "fit_s": 3.2,
        "decide_us": 812.0,
        "reason": None,
    }
    return made | changed


ITSELF = {"delta": None, "delta_ci": None, "verdict": None, "p_holm": None, "minimum_detectable": None}


def board_of(*rows: Row, **changed: Any) -> Board:  # Any: whatever JSON can hold
    made: Board = {
        "table": "toy",
        "n_queries": 945,
        "models": ["small", "large"],
        "strong": None,
        "best_single": "large",
        "metric": "aiq",
        "cost_unit": "USD per query",
        "rows": list(rows),
    }
    return made | changed


OUR_ROW = row(OURS, 0.846, **ITSELF, reason="a router is not compared with itself")
BOARD = board_of(
    row("knn-100", 0.836, delta=0.01, delta_ci=[-0.01, 0.03]),
    OUR_ROW,
    row(
        "oracle",
        0.958,
        allowed=False,
        delta=-0.112,
        delta_ci=[-0.13, -0.1],
        verdict="worse",
        fit_s=None,
        decide_us=None,
    ),
    row("mlp", 0.8, delta=0.046, delta_ci=[0.02, 0.07], verdict="better", ece=None, ece_bias=None, costsave=None),
    row("dataset-mean", None, **ITSELF, allowed=False, reason="no query has a dataset"),
)


def shown(board: Board, *, width: int = 118) -> str:
    out = io.StringIO()
    show_board(Console(file=out, width=width, highlight=False), board)
    return out.getvalue()


def line_of(text: str, router: str) -> str:
    return next(line for line in text.splitlines() if router in line)


def test_the_best_stands_first_and_the_absent_last() -> None:
    lines = [line for line in shown(BOARD).splitlines() if "[" in line or "–" in line][:5]
    assert [line.split()[0].strip("(►)") or line.split()[1] for line in lines] == [
        "oracle", OURS, "knn-100", "mlp", "dataset-mean",
    ]  # fmt: skip


def test_ours_is_marked_and_what_may_not_be_used_stands_in_brackets() -> None:
    text = shown(BOARD)
    assert f"► {OURS}" in text
    assert "(oracle)" in text
    assert "in brackets: knows what nobody knows at decision time" in " ".join(text.split())


def test_a_tie_is_called_a_tie_and_never_by_a_star_alone() -> None:
    assert " tie " in line_of(shown(BOARD), "knn-100")
    assert "better" in line_of(shown(BOARD), "mlp")
    assert "*" not in shown(BOARD)


def test_a_tie_whose_interval_leaves_nought_out_has_a_star_and_the_star_a_meaning() -> None:
    made = board_of(OUR_ROW, row("lr", 0.82, delta=0.026, delta_ci=[0.001, 0.05], verdict="tie", p_holm=0.2))
    text = shown(made)
    assert "tie *" in line_of(text, "lr ")
    assert "* the interval alone leaves 0 out" in text
    assert "p 0.20 after Holm's correction" in " ".join(text.split())


def test_figures_are_those_of_the_board() -> None:
    line = line_of(shown(BOARD), "knn-100")
    for part in ("0.836 [0.816, 0.856]", "+0.010 [-0.010, 0.030]", "25%", "0.031 (0.012)", "3.2 s", "812 µs"):
        assert part in line


def test_what_does_not_apply_is_a_dash() -> None:
    assert line_of(shown(BOARD), "mlp").count("–") == 2
    assert line_of(shown(BOARD), "(dataset-mean)").count("–") == 4 - 1  # it has no figure, difference or verdict


@pytest.mark.parametrize("metric", ["aiq", "apgr", "accuracy"])
def test_no_line_is_wider_than_118_columns(metric: str) -> None:
    pair = {"cpt50": 0.345, "apgr": 1.115, "apgr_ci": [1.04, 1.214], "delta": -0.445, "delta_ci": [-0.523, -0.381]}
    rows = [row(name, 0.8, **pair) for name in ("dataset-mean", "a-very-long-name-of-a-router-of-a-user-" * 2)]
    text = shown(board_of(OUR_ROW | pair | ITSELF, *rows, metric=metric))
    assert max(map(len, text.splitlines())) <= 118
    assert figure(rows[0], metric) in text
    assert delta(rows[0]) in text
    assert "…" not in text


@pytest.mark.parametrize("width", [80, 90, 100, 118, 160])
def test_a_narrow_terminal_loses_columns_from_the_right_and_never_a_part_of_a_figure(width: int) -> None:
    text = shown(BOARD, width=width)
    assert max(map(len, text.splitlines())) <= width
    line = line_of(text, "knn-100")
    assert "knn-100" in line
    assert "0.836 [0.816, 0.856]   +0.010 [-0.010, 0.030]      tie" in line
    assert ("812 µs" in line) == (width > 100)
    assert ("no room for" in text) == (width <= 100)


def test_figures_stay_on_one_line_and_end_in_one_column() -> None:
    lines = [line_of(shown(BOARD), name) for name in (OURS, "knn-100", "mlp")]
    assert len({line.index("]") for line in lines}) == 1
    assert len({len(line.rstrip()) for line in lines}) == 1


def test_a_router_s_name_is_printed_as_it_is_not_as_markup() -> None:
    made = board_of(OUR_ROW, row("[red]mine[/red]", 0.8), table="[bold]t[/bold]")
    assert "[red]mine[/red]" in shown(made)
    assert "[bold]t[/bold]" in shown(made)


def test_a_router_that_took_no_part_is_named_with_its_reason() -> None:
    assert "dataset-mean took no part: no query has a dataset" in " ".join(shown(BOARD).split())


def test_a_board_of_one_row_is_shown() -> None:
    text = " ".join(shown(board_of(OUR_ROW)).split())
    assert "there is nothing to compare it with" in text
    assert "verdict:" not in text


# --- the sentences


def test_the_headline_of_a_tie_names_both_and_claims_no_winner() -> None:
    said = headline(BOARD)
    assert said == (
        f"In-domain, {OURS} and knn-100, the best of the others, tie: AIQ 0.846 and 0.836,"
        " a difference of +0.010 [-0.010, 0.030]"
    )


@pytest.mark.parametrize(
    ("verdict", "start"), [("better", f"{OURS} beats knn-100"), ("worse", f"knn-100 beats {OURS}")]
)
def test_the_headline_says_who_won(verdict: str, start: str) -> None:
    made = board_of(OUR_ROW, row("knn-100", 0.836, verdict=verdict))
    assert headline(made).startswith(f"In-domain, {start}")
    assert tie_note(made) is None


def test_without_ours_the_headline_names_the_best_that_may_be_used() -> None:
    made = board_of(row("oracle", 0.9, allowed=False, **ITSELF), row("lr", 0.8, **ITSELF))
    assert headline(made).startswith("In-domain, lr is ahead")
    assert (standing(made), saving(made), tie_note(made)) == (None, None, None)


def test_with_no_figure_at_all_the_headline_says_that() -> None:
    assert "could be judged" in headline(board_of(row("lr", None, **ITSELF)))


def test_the_standing_counts_only_routers_that_may_be_used_and_adds_up() -> None:
    assert standing(BOARD) == (
        f"Of the 2 other routers that may be used and have a paired difference, {OURS} is better than 1,"
        " ties with 1 and is worse than none, after Holm's correction."
    )


def test_a_tie_says_what_would_have_been_found() -> None:
    assert tie_note(BOARD) == (
        "945 queries cannot tell the two apart. A true difference of 0.030 would be found four times in five."
    )


@pytest.mark.parametrize(
    ("saved", "unit", "words"),
    [
        (0.276, "USD per query", "27.6 % less money"),
        (-0.05, "USD per query", "5.0 % more money"),
        (0.207, "calls of the strong model per query", "20.7 % fewer calls of large"),
        (None, "USD per query", "unknown"),
    ],
)
def test_what_it_saves_is_said_in_the_board_s_own_unit(saved: float | None, unit: str, words: str) -> None:
    assert words in str(saving(board_of(OUR_ROW | {"costsave": saved}, cost_unit=unit)))


def test_equal_routers_keep_the_board_s_order() -> None:
    made = board_of(row("b", 0.8), row("a", 0.8), row("none", None), row("c", 0.9))
    assert [entry["router"] for entry in ranked(made)] == ["c", "b", "a", "none"]


def test_a_router_whose_figure_is_nought_is_ranked_and_not_missing() -> None:
    made = board_of(row("none", None), row("zero", 0.0))
    assert [entry["router"] for entry in ranked(made)] == ["zero", "none"]
    found = best_other(made)
    assert found is not None
    assert found["router"] == "zero"


def test_a_figure_without_an_interval_stands_alone_and_none_is_a_dash() -> None:
    assert figure(row("a", 0.5, aiq_ci=None), "aiq") == "0.500"
    assert figure(row("a", None), "aiq") == "–"
    assert delta(row("a", 0.5, delta_ci=None)) == "+0.010"


@pytest.mark.parametrize(
    ("microseconds", "said"),
    [(0.0, "0 µs"), (999.4, "999 µs"), (1_000.0, "1.0 ms"), (99_900.0, "100 ms"), (1e6, "1.0 s"), (6.2e8, "620 s")],
)
def test_durations_are_said_in_the_unit_that_fits(microseconds: float, said: str) -> None:
    assert duration(microseconds) == said


def test_a_fit_that_the_clock_does_not_show_is_said_to_be_shorter() -> None:
    assert fit_time({"fit_s": 0.0}) == "< 1 ms"
    assert fit_time({"fit_s": None}) == "–"
