"""The card of a bundle: written from the manifest by `save`, so that it cannot say what is not so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

SHOWN_PAIRS = 3  # of a head
WIDTH = 120  # characters of an example


def card_text(manifest: Mapping[str, Any]) -> str:
    """Markdown: what the router was trained on, how each head was chosen, what was measured, and what it is not for."""
    fitted, card = manifest["fitted"], manifest["card"]
    lines = [
        f"# Router trained on {card['name']} {card['version']}",
        "",
        *_origin(manifest),
        f"- threshold: P({manifest['routes']['policy']['complexity']['cheap']}) >= {manifest['threshold']:.4f} goes the cheap road,"
        f" chosen on {fitted['calibration_n']:,} calibration queries",
        f"- price date: {manifest['routes']['price_date']}",
        "",
        *_heads(fitted),
        *_measured(manifest["metrics"]),
        *_errors(manifest["metrics"]),
        *_limits(),
    ]
    return "\n".join(lines)


def heads_card_text(manifest: Mapping[str, Any]) -> str:
    """Markdown of heads without routes: what they were trained on, how each was chosen, what was measured."""
    fitted, card = manifest["fitted"], manifest["card"]
    sizes = ", ".join(f"{name} ({len(entry['classes'])})" for name, entry in manifest["heads"].items())
    lines = [
        f"# Heads trained on {card['name']} {card['version']}",
        "",
        *_origin(manifest),
        f"- labels: {sizes}; {manifest['lead']} comes first, and other heads know what it thinks",
        "- routes: none. It says what a query is, not where it goes: there was no route table to train with",
        "",
        *_heads(fitted),
        *_measured(manifest["metrics"]),
        *_limits(),
    ]
    return "\n".join(lines)


def _origin(manifest: Mapping[str, Any]) -> list[str]:
    fitted, encoder = manifest["fitted"], manifest["encoder"]
    return [
        f"- encoder: {encoder['name']} ({encoder['sentence_dim']} of {encoder['dim']} columns are the sentence embedding),"
        f" digest {encoder['digest'][:16]}",
        f"- training queries: {fitted['train_n']:,}, fingerprint {fitted['train_fingerprint'][:16]}, seed {fitted['seed']}",
    ]


def _heads(fitted: Mapping[str, Any]) -> list[str]:
    return [
        "## Heads, chosen by grouped cross-validation on the training split",
        "",
        "| head | n | C | n-gram weight | calibration | out-of-fold accuracy | out-of-fold log-loss |",
        "|---|---|---|---|---|---|---|",
        *(_head_row(name, entry) for name, entry in fitted["heads"].items()),
        "",
    ]


def _limits() -> list[str]:
    return [
        "## What it is not for",
        "",
        "It knows the labels, languages and kinds of message it was trained on. What is learned on one product's queries",
        "does not carry over to another's: measure it on your own labelled queries first (`weighbridge evaluate`).",
        "",
    ]


def _head_row(name: str, entry: Mapping[str, Any]) -> str:
    return (
        f"| {name} | {entry['n']:,} | {entry['C']} | {entry['ngram_factor']} | {entry['calibration']} |"
        f" {entry['oof_accuracy']:.3f} | {entry['oof_log_loss']:.3f} |"
    )


def _measured(metrics: Mapping[str, Any]) -> list[str]:
    if not metrics:
        return ["Nothing was measured when it was saved: run `weighbridge evaluate`.", ""]
    agreed = metrics.get("agreement", {})
    rows = [
        f"| {name} | {entry['n']:,} | {entry['accuracy']:.3f} [{entry['accuracy_ci'][0]:.3f}, {entry['accuracy_ci'][1]:.3f}] |"
        f" {entry['macro_f1']:.3f} | {entry['ece']:.3f} | {_share(agreed.get(name))} |"
        for name, entry in metrics["heads"].items()
        if entry["accuracy"] is not None
    ]
    return [
        f"## Measured on the {metrics['split']} split (95 % intervals)",
        "",
        "| head | n | accuracy | macro F1 | ECE | two labellings agree |",
        "|---|---|---|---|---|---|",
        *rows,
        "",
        "Where two labellings agree is as far as any router can be expected to come on all queries; those on which they differ have no",
        "label and are not counted here.",
        "",
    ]


def _errors(metrics: Mapping[str, Any]) -> list[str]:
    found = {head: entry for head, entry in metrics.get("errors", {}).items() if entry["n"]}
    if not found:
        return []
    rows = [
        f"| {head} | {pair['label']} | {pair['said']} | {pair['n']:,} of {entry['n']:,} | {_quoted(pair['examples'])} |"
        for head, entry in found.items()
        for pair in entry["pairs"][:SHOWN_PAIRS]
    ]
    unsure = ", ".join(f"{head} {_share(entry['unsure_share'])}" for head, entry in found.items())
    return [
        "## Where it still errs",
        "",
        "| head | a person said | it said | of the errors | such as |",
        "|---|---|---|---|---|",
        *rows,
        "",
        f"Share of the errors of which it was not sure (p < {next(iter(found.values()))['unsure_below']}): {unsure}.",
        "",
    ]


def _share(found: float | None) -> str:
    return "–" if found is None else f"{found:.3f}"


def _quoted(texts: Sequence[str]) -> str:
    """The first text, on one line, with what a table's cell would stumble over taken out."""
    text = " ".join(texts[0].split()).replace("|", "/").replace("`", "'") if texts else ""
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"
