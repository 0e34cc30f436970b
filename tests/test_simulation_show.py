"""A simulation in a terminal: the sentence, what it is compared with, what holds, and what moves the bill, in few lines."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from rich.console import Console

from eval.simulate.sentences import comparison, headline
from eval.simulate.show import TOP_DRIVERS, show_arithmetic, show_simulation
from eval.simulate.words import spoken, target_words
from tests.simulated_figures import (
    CERTAIN,
    CHEAPER,
    COUNTED,
    DEARER,
    HOSTILE,
    OPEN,
    UNPAID,
    Figures,
    figures_of,
    renamed,
)

WIDTHS = [118, 100]


def shown(*found: Figures, width: int = 118) -> str:
    out = Console(file=io.StringIO(), width=width, highlight=False, color_system=None)
    show_simulation(out, found)
    file: Any = out.file  # Any: what the console was given
    return str(file.getvalue())


def line_of(text: str, start: str) -> str:
    return next(line for line in text.splitlines() if line.strip().startswith(start))


def words_of(text: str) -> str:
    """The text as if no line had an end."""
    return re.sub(r"\s+", " ", text)


@pytest.mark.parametrize("scenario", [CERTAIN, CHEAPER, DEARER, OPEN, UNPAID, COUNTED], ids=lambda s: s.name)
@pytest.mark.parametrize("width", WIDTHS)
def test_the_sentence_comes_first_and_no_line_is_wider_than_the_terminal(scenario: Any, width: int) -> None:
    figures = figures_of(scenario)
    text = shown(figures, width=width)
    assert words_of(text).startswith(headline(figures))
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    assert not re.search(r"\bNone\b|\bnan\b|\binf\b", text)
    assert "\N{NO-BREAK SPACE}" not in text


def test_no_interval_is_broken_over_two_lines() -> None:
    for width in range(60, 119, 7):
        assert not re.search(r"\[[\d,.]*\s*\n", shown(figures_of(COUNTED), width=width))


def test_every_table_is_marked_as_simulated() -> None:
    text = shown(figures_of(COUNTED), figures_of(CERTAIN))
    lines = text.splitlines()
    rules = [i for i, line in enumerate(lines) if re.fullmatch(r"─+", line.strip())]
    assert len(rules) == 7  # side by side; baselines, targets, drivers; baselines, printed, drivers
    assert all("simulated" in lines[i - 2] for i in rules)


def test_every_baseline_and_every_target_has_a_line() -> None:
    figures = figures_of(COUNTED)
    text = shown(figures)
    assert "$" in line_of(text, "small for all")
    for row in figures["targets"]:
        assert row["verdict"] in line_of(text, target_words(row["target"]))


def test_what_would_make_a_target_hold_stands_below_the_verdicts() -> None:
    text = words_of(shown(figures_of(COUNTED)))
    assert re.search(r"dollars a query would hold with: price of large × 0\.\d+", text)
    assert re.search(r"queries on the right route would hold at threshold [\d.]+;", text)
    assert "a router that never errs: 100.0 %" in text
    assert "dollars per 100,000 queries would hold" not in text


def test_the_largest_drivers_alone_are_told_in_their_order() -> None:
    figures = figures_of(COUNTED)
    text = shown(figures)
    assert len(figures["drivers"]) > TOP_DRIVERS
    places = [text.index(f"\n{spoken(row['assumption'])} ") for row in figures["drivers"][:TOP_DRIVERS]]
    assert places == sorted(places)
    assert f"\n{spoken(figures['drivers'][TOP_DRIVERS]['assumption'])} " not in text


def test_what_is_left_out_is_told_last() -> None:
    assert shown(figures_of(COUNTED)).rstrip().endswith("left out: what a bad answer costs")


def test_several_scenarios_are_compared_before_each_is_told() -> None:
    found = [figures_of(COUNTED), figures_of(CERTAIN)]
    for width in WIDTHS:
        text = shown(*found, width=width)
        assert words_of(text).startswith(comparison(found))
        assert "of 6" in line_of(text, "counted")
        row = line_of(text, "certain")
        assert "$167" in row
        assert "86.64 % less" in row
        assert words_of(text).index(comparison(found)) < words_of(text).index(headline(found[0]))


def test_arithmetic_shows_what_is_exact_beside_what_was_printed_and_what_is_left_out() -> None:
    out = Console(file=io.StringIO(), width=118, color_system=None)
    show_arithmetic(out, figures_of(CERTAIN))
    file: Any = out.file  # Any: what the console was given
    text = file.getvalue()
    assert re.search(r"baseline: large for all +\$1,250 +\$1,300", text)
    assert re.search(r"saving +86\.64 % +87 %", text)
    assert re.search(r"large +\$62\.50 +–", text)
    assert "left out: what a bad answer costs" in text
    assert "What moves the bill" not in text


@pytest.mark.parametrize("name", ["counted", "large for all", "small", "easy", "what a bad answer costs"])
def test_what_looks_like_markup_in_a_name_is_text(name: str) -> None:
    text = shown(renamed(figures_of(COUNTED), name, HOSTILE), figures_of(CERTAIN))
    assert "[bold]" in words_of(text)
