"""Figures as a person reads them in a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from router.console import share, table

if TYPE_CHECKING:
    from rich.console import Console

HOW_TO_ROUTE = (
    "Without a route table it decides no routes. To add one, put a routes.toml beside the data or pass --routes FILE, and"
    " train again; datasets/pam-v1/routes.toml shows the form."
)
SIMULATED = "(simulated: from the route table's assumptions)"


def show_evaluation(out: Console, figures: Mapping[str, Any]) -> None:
    """Heads, routes and languages of one evaluation."""
    out.print(
        f"{figures['dataset']}, split {figures['split']}: {figures['n_queries']:,} queries of {figures['n_units']:,} people or groups; 95 % intervals",
        markup=False,
    )
    rows = [
        [
            head,
            f"{entry['n']:,}",
            share(entry["accuracy"], entry["accuracy_ci"]),
            _number(entry["macro_f1"]),
            _number(entry["ece"]),
            _number(entry["ece_bias"]),
        ]
        for head, entry in figures["heads"].items()
    ]
    route = figures["route"]
    if route is not None:
        rows.append(["route", f"{route['n']:,}", share(route["accuracy"], route["accuracy_ci"]), "", "", ""])
    out.print(table("Heads", ["head", "n", "accuracy", "macro F1", "ECE", "of it noise"], rows))
    if route is not None:
        show_routes(out, figures)
    show_languages(out, figures)
    if route is None:
        out.print(HOW_TO_ROUTE, markup=False, soft_wrap=True)


def show_languages(out: Console, figures: Mapping[str, Any]) -> None:
    """Accuracy of every head, and of the route where there is one, per language that queries name."""
    measures = [*figures["heads"], *(["route"] if figures["route"] is not None else [])]
    rows = [
        [language, f"{entry['n']:,}", *(share(_entry(entry, measure)["accuracy"]) for measure in measures)]
        for language, entry in figures["by_language"].items()
    ]
    if rows:
        out.print(table("Accuracy by language", ["language", "n", *measures], rows))


def show_routes(out: Console, figures: Mapping[str, Any]) -> None:
    """Per route: share, accuracy, and simulated cost and latency."""
    rows = [
        [
            name,
            share(entry["share"]),
            share(entry["precision"]),
            share(entry["recall"]),
            f"${entry['cost_usd']:.5f}",
            _ms(entry["latency_ms_p50"]),
            _ms(entry["latency_ms_p95"]),
        ]
        for name, entry in figures["by_route"].items()
    ]
    out.print(
        table(
            f"Routes; cost and latency {SIMULATED}",
            ["route", "share", "rightly there", "of its own found", "$ a query", "p50", "p95"],
            rows,
        )
    )
    route = figures["route"]
    out.print(
        f"mean ${route['cost_usd_mean']:.6f} a query; every query to its desk would be ${route['cost_usd_all_dear']:.6f} {SIMULATED}",
        markup=False,
        soft_wrap=True,
    )


def show_leaderboard(out: Console, board: Mapping[str, Any]) -> None:
    """Accuracy of every router, and ours minus theirs with the verdict."""
    measures = [*board["rows"][0]["heads"], "route"]
    rows = [[row["router"], *(share(_entry(row, m)["accuracy"]) for m in measures)] for row in board["rows"]]
    out.print(table(f"Accuracy on {board['n_queries']:,} {board['split']} queries", ["router", *measures], rows))
    rows = [
        [row["router"], *(_delta(row, measure) for measure in measures)]
        for row in board["rows"]
        if row["delta"] is not None
    ]
    if rows:
        out.print(
            table(
                "Ours minus theirs, in points: paired, 95 % interval; * significant after Holm's correction",
                ["router", *measures],
                rows,
            )
        )


def _entry(row: Mapping[str, Any], measure: str) -> Mapping[str, Any]:
    entry: Mapping[str, Any] = row["route"] if measure == "route" else row["heads"].get(measure, {"accuracy": None})
    return entry


def _delta(row: Mapping[str, Any], measure: str) -> str:
    if row["delta"].get(measure) is None:
        return "–"
    low, high = row["delta_ci"][measure]
    mark = "" if row["verdict"][measure] == "tie" else "*"
    return f"{row['delta'][measure] * 100:+.1f} [{low * 100:.1f}, {high * 100:.1f}]{mark}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f} ms"
