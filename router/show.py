"""A decision and its explanation, as a person reads them in a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from router.explain import Explanation
from router.pipeline import NO_ROUTES, Router
from router.types import Decision

if TYPE_CHECKING:
    from rich.console import Console

REASONS = {
    "novel": "unlike anything it was trained on: the safe route",
    "cheap": "likely enough to need only a cheap answer",
    "danger": "out of scope but urgent: the safe route",
    "out-of-scope": "no desk should serve it: a short refusal",
    "no-desk": "not cheap, and no desk owns its domain: the safe route",
    "unsure": "not cheap, and no desk is likely enough: the safe route",
    "desk": "not cheap, and this desk owns its domain",
    "stays": "another route would not be worth the change within this conversation",
}
WIDTH = 90  # characters of a neighbour's text
LIKELIEST = 3  # labels of a head that are shown


def show_decision(out: Console, router: Router, text: str, decision: Decision) -> None:
    """One line of route and reason, one line of labels."""
    from rich.markup import escape

    model = next(route.model for route in router.table.routes if route.name == decision.route)
    also = f" with {', '.join(decision.also)}" if decision.also else ""
    out.print(f"[dim]{escape(_short(text))}[/dim]")
    out.print(
        f"  → [bold]{escape(decision.route)}[/bold]{escape(also)} ({escape(model)}), confidence {decision.confidence:.2f}: {REASONS[decision.rule]}"
    )
    labels = []
    for head in decision.probabilities:
        label = decision.label(head)
        labels.append(f"{head} {label} {decision.probabilities[head][label]:.2f}")
    out.print("    " + " · ".join(labels), markup=False)


def show_heads(out: Console, text: str, probabilities: Mapping[str, Mapping[str, float]]) -> None:
    """The likeliest labels of every head, and that nothing decides a route."""
    out.print(_short(text), style="dim", markup=False)
    for head, row in probabilities.items():
        likeliest = sorted(row, key=lambda label: -row[label])[:LIKELIEST]
        out.print(f"    {head}: " + " · ".join(f"{label} {row[label]:.2f}" for label in likeliest), markup=False)
    out.print(f"  → no route: {NO_ROUTES}; train with `weighbridge train --routes FILE`", markup=False, soft_wrap=True)


def show_explanation(out: Console, router: Router, text: str, told: Explanation) -> None:
    """The decision, then per head what spoke for and against, neighbours and the smallest flip."""
    show_decision(out, router, text, told.decision)
    for head, entries in told.contributions.items():
        label = told.decision.label(head)
        shown = ", ".join(f"{entry.name} {entry.log_odds:+.2f}" for entry in entries[:4])
        out.print(f"    {head}: {label} rather than {told.runner_up[head]}: {shown}", markup=False, soft_wrap=True)
    for similarity, query in told.neighbours:
        given = ", ".join(label for label in query.labels.heads.values() if label)
        out.print(f"    near ({similarity:.2f}): {_short(query.text)}  [{given}]", markup=False, soft_wrap=True)
    out.print(f"    flip: {told.flip}", markup=False, soft_wrap=True)


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= WIDTH else flat[: WIDTH - 1] + "…"
