"""Decisions, explanations and policies over models, as a person reads them in a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from router.outcome_card import policy_words
from router.outcome_explain import OutcomeExplanation, Sum
from router.outcome_figures import shares_text
from router.outcome_router import OutcomeDecision

if TYPE_CHECKING:
    from rich.console import Console

REASONS = {
    "kept": "no cheaper model comes close enough",
    "close-enough": "the cheapest model that comes close enough",
    "cheapest-above": "the cheapest model that is likely enough to answer well",
    "most-probable": "none is likely enough to answer well: the most probable one",
    "best-utility": "the best of quality less dollars",
    "within-budget": "the best of quality less dollars, at the budget's rate",
}
WIDTH = 90  # characters of a text
FEW = 5  # parts of a view
FEW_MODELS = 4


def show_outcome_decision(out: Console, text: str, decision: OutcomeDecision) -> None:
    """The text, the model and the reason, then the most probable models with what they cost."""
    from rich.markup import escape

    out.print(f"[dim]{escape(short(text))}[/dim]")
    out.print(
        f"  → [bold]{escape(decision.model)}[/bold], P(good answer) {decision.confidence:.2f}: {REASONS[decision.rule]}",
        soft_wrap=True,
    )
    ranked = sorted(decision.probabilities, key=lambda model: -decision.probabilities[model])
    cost = decision.expected_cost_usd
    said = [
        f"{model} {decision.probabilities[model]:.2f}" + ("" if cost is None else f" (${cost[model]:.6f})")
        for model in ranked[:FEW_MODELS]
    ]
    more = f" · {len(ranked) - FEW_MODELS} more" if len(ranked) > FEW_MODELS else ""
    out.print(f"    {' · '.join(said)}{more} · novelty {decision.novelty:.2f}", markup=False, soft_wrap=True)


def show_outcome_explanation(out: Console, text: str, told: OutcomeExplanation) -> None:
    """The decision, then views, features, neighbours and the smallest flips."""
    show_outcome_decision(out, text, told.decision)
    lines = [f"{told.decision.model} against {told.against}: {_parts(told.blend)}"]
    lines += [f"  {name}: {_parts(view)}" for name, view in told.views.items()]
    for entry in told.neighbours:
        scores = ", ".join(f"{model} {_score(score)}" for model, score in list(entry.scores.items())[-FEW:])
        lines.append(f"near ({entry.similarity:.2f}): {short(entry.text)}  [{scores}]")
    flips = [flip.sentence() for flip in (told.parameter, told.price) if flip is not None]
    lines += [f"flip: {flip}" for flip in flips or ["neither the policy's number nor a price flips it"]]
    for line in lines:
        out.print(f"    {line}", markup=False, soft_wrap=True)


def show_policy(out: Console, figures: Mapping[str, Any], policy: Mapping[str, Any], models: tuple[str, ...]) -> None:
    """What a policy does, in words and figures."""
    best = figures["best_single"]
    delta = "" if figures["delta_ci"] is None else f" [{figures['delta_ci'][0]:+.4f}, {figures['delta_ci'][1]:+.4f}]"
    for line in (
        f"It {policy_words(policy)}.",
        f"calls: {shares_text(figures['share'], models)}",
        f"mean score {figures['score']:.4f} on {figures['n']:,} queries; {figures['delta']:+.4f}{delta} against always"
        f" {best['model']}, the best single model on them",
        f"dollars per query: {_usd(figures['expected_usd'])} expected, {_usd(figures['recorded_usd'])} as recorded;"
        f" always {best['model']} {_usd(best['recorded_usd'])}",
    ):
        out.print(line, markup=False, soft_wrap=True)


def short(text: str) -> str:
    """A text on one line, cut."""
    flat = " ".join(text.split())
    return flat if len(flat) <= WIDTH else flat[: WIDTH - 1] + "…"


def _parts(whole: Sum) -> str:
    shown = ", ".join(f"{part.name} {part.amount:+.3f}" for part in whole.strongest[:FEW])
    return f"{whole.whole:+.3f} {whole.unit} (base {whole.base:+.3f}; {shown or 'nothing else'})"


def _score(score: float | None) -> str:
    return "–" if score is None else f"{score:g}"


def _usd(value: float | None) -> str:
    return "unknown" if value is None else f"${value:.6f}"
