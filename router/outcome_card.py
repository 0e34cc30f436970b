"""The card of a bundle that routes over models: written from its manifest by `save`, so that it cannot say what is not so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Table = Mapping[str, Any]  # Any: whatever JSON can hold
WORDS = {
    "threshold": "stays with {against} unless a cheaper model's P(good answer) comes within {threshold:.4f} of its own",
    "cheapest-above": "takes the cheapest model whose P(good answer) is at least {floor:.4f}",
    "expected-utility": "takes the model with the largest P(good answer) − {quality_per_usd:.6g} · expected dollars",
    "budget": (
        "takes the model with the largest P(good answer) − {quality_per_usd:.6g} · expected dollars, which kept the mean at"
        " ${budget_usd:.6g} a query"
    ),
}


def outcome_card(manifest: Table) -> str:
    """Markdown: what it was trained on, how it decides, what was measured, what is guaranteed, and what it is not for."""
    fitted, encoder = manifest["fitted"], manifest["encoder"]
    carved = "carved out of the training rows" if fitted["calibration_carved"] else "the table's own"
    lines = [
        f"# Router over {len(manifest['models'])} models, trained on the outcomes {_cell(fitted['table'])}",
        "",
        f"- encoder: {encoder['name']} ({encoder['sentence_dim']} of {encoder['dim']} columns are the sentence embedding),"
        f" digest {encoder['digest'][:16]}",
        f"- training queries: {fitted['train_n']:,}, fingerprint {fitted['train_fingerprint'][:16]}, seed {fitted['seed']}",
        f"- calibration queries: {fitted['calibration_n']:,}, {carved}",
        f"- data sets: {', '.join(f'{_cell(name)} {count:,}' for name, count in fitted['datasets'].items())}",
        f"- views: {', '.join(manifest['features']['views'])}; blended by {manifest['features']['blend']}",
        "",
        "## How it decides",
        "",
        f"It {policy_words(manifest['policy'])}.",
        f"Chosen: {fitted['policy']}.",
        "",
        "## Models, from the cheapest to the dearest as the table has them",
        "",
        "| model | mean score in training | mean USD per call | calls with a recorded cost |",
        "|---|---|---|---|",
        *(_model_row(model, fitted) for model in manifest["models"]),
        "",
        *_measured(manifest["metrics"]),
        *_guaranteed(manifest["guarantee"]),
        "## What it is not for",
        "",
        "Every figure here is in-domain: measured on queries from the same source as the training queries. What trains on one",
        "benchmark does not transfer to another (measured between public ones: 0.44 to 0.55 APGR, where 0.5 is chance), nor to",
        "other models than those above. Record outcomes of your own queries before you route them by it, and compare:",
        "`weighbridge compare --outcomes O`.",
        "",
        f"Use: as the training table allows (`use = {manifest['use']}`); its licence is that of its source.",
        "",
    ]
    return "\n".join(lines)


def policy_words(policy: Table) -> str:
    """What a policy does, after "It".

    >>> policy_words({"kind": "cheapest-above", "parameters": {"floor": 0.8}})
    'takes the cheapest model whose P(good answer) is at least 0.8000'
    """
    parameters = policy["parameters"]
    if policy["kind"] == "threshold" and parameters["threshold"] <= -1.0:
        return f"always takes {parameters['against']}"
    return WORDS[policy["kind"]].format(**parameters)


def _model_row(model: str, fitted: Table) -> str:
    cost = fitted["costs"][model]
    dollars = "–" if cost["mean_usd"] is None else f"{cost['mean_usd']:.6f}"
    return f"| {_cell(model)} | {fitted['mean_score'][model]:.4f} | {dollars} | {cost['recorded']:,} of {cost['calls']:,} |"


def _measured(metrics: Table) -> list[str]:
    if not metrics:
        return ["Nothing was measured when it was saved: run `weighbridge compare --outcomes O`.", ""]
    best = metrics["best_single"]
    note = " (the policy was chosen on these queries)" if metrics["split"] != "test" else ""
    share = ", ".join(f"{_cell(model)} {part * 100:.1f} %" for model, part in metrics["share"].items() if part > 0)
    return [
        f"## Measured in-domain on {metrics['n']:,} {metrics['split']} queries{note}",
        "",
        f"- mean score: {metrics['score']:.4f}{_interval(metrics['score_ci'])}; {metrics['delta']:+.4f}"
        f"{_interval(metrics['delta_ci'])} against always {_cell(best['model'])}, the best single model on them ({best['score']:.4f})",
        f"- dollars per query: {_usd(metrics['recorded_usd'])} as recorded, {_usd(metrics['expected_usd'])} as expected;"
        f" always {_cell(best['model'])} {_usd(best['recorded_usd'])}",
        f"- calls: {share}",
        "",
    ]


def _guaranteed(guarantee: Table | None) -> list[str]:
    if guarantee is None:
        return []
    return [
        "## Guarantee",
        "",
        f"{guarantee['sentence'][0].upper()}{guarantee['sentence'][1:]}.",
        f"Certified on {guarantee['calibration']['source']}. It holds for queries drawn like those, and for this policy.",
        "",
    ]


def _interval(bounds: list[float] | None) -> str:
    return "" if bounds is None else f" [{bounds[0]:.4f}, {bounds[1]:.4f}]"


def _usd(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.6f}"


def _cell(text: str) -> str:
    """A name from a table within Markdown: no line breaks, no bars."""
    return " ".join(text.split()).replace("|", "\\|")
