"""The card of a compiled form: written from its manifest, so that it cannot say what is not so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router.compiled.measure import line


def card_text(manifest: Mapping[str, Any]) -> str:
    """Markdown: what it was compiled from, its thresholds, and what it keeps of the fitted router on the test split."""
    card, encoder = manifest["card"], manifest["encoder"]
    lines = [
        f"# Compiled router, from bundle {manifest['source']}",
        "",
        f"- trained on: {card['name']} {card['version']}; encoder {encoder['name']}, digest {encoder['digest'][:16]}",
        f"- tiers: {', '.join(manifest['tiers'])}",
        *(
            f"- {name}: P({manifest['routes']['policy']['complexity']['cheap']}) >= {entry['threshold']:.4f} goes the cheap road"
            for name, entry in manifest["tiers"].items()
        ),
        *_static(manifest["static"]),
        "",
        *_measured(manifest["measured"]),
        "Loss is the fitted router's accuracy less this form's, on the same queries; whole people are drawn.",
        "",
    ]
    return "\n".join(lines)


def _static(entry: Mapping[str, Any] | None) -> list[str]:
    if entry is None:
        return []
    chosen = entry["chosen"]
    if chosen is None:
        return ["- static tier: left out; no confidence kept its loss within bounds on the calibration split"]
    loss = chosen["route_loss"]
    return [
        f"- static tier: answers from confidence {chosen['answers_above']:.2f}, {chosen['share']:.1%} of calibration queries;"
        f" both tiers' loss of route accuracy there {line(loss)}, n {loss['n']:,}, allowed up to {chosen['most_lost']:.3f} at the upper end"
    ]


def _measured(measured: Mapping[str, Any]) -> list[str]:
    forms = [name for name in measured if name != "split"]
    rows = [
        f"## Measured on the {measured['split']} split (95 % intervals)",
        "",
        "| form | n | decisions equal to the fitted router's | largest difference of a probability | answered by static |",
        "|---|---|---|---|---|",
    ]
    for name in forms:
        equal = measured[name]["decisions_equal"]
        share = measured[name].get("static_share")
        rows.append(
            f"| {name} | {equal['n']:,} | {equal['share']:.4f} [{equal['low']:.4f}, {equal['high']:.4f}] |"
            f" {equal['largest_difference']:.6f} | {'–' if share is None else f'{share:.1%}'} |"
        )
    rows += ["", "| form | of | n | accuracy | loss |", "|---|---|---|---|---|"]
    for name in forms:
        losses = measured[name]["loss"]
        rows += [
            f"| {name} | {head} | {entry['n']:,} | {line(entry)} | {line(losses[head])} |"
            for head, entry in measured[name]["accuracy"].items()
        ]
    return [*rows, ""]
