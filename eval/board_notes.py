"""What stands behind a leaderboard: how it was made, what was found in the table, what ours chose, what the words mean."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from eval.board_tables import scroll
from eval.board_words import Board

SPOKEN = {
    "how": "Dealt",
    "encoder": "Encoder",
    "left_out_incomplete": "Not judged, as some model did not answer",
    "dropped_straddling": "Dropped, as their texts stand in two splits",
    "intervals": "Intervals",
    "maxima": "Maxima",
    "costs": "Costs",
    "seed": "Seed",
}  # other keys of the protocol keep their own names
APART = ("findings", "chosen", "kind", "parts", "judged")

WORDS = {
    "in-domain": "learned from and judged on queries of the same sources. On queries of another kind expect much less.",
    "mean score": "of the model that was chosen, from 0 to 1; accuracy is that with cost left out of account.",
    "APGR": "average performance gap recovered: the part of the gap between the weak and the strong model that is closed, averaged over all shares of strong calls. Random order reaches 0.5.",
    "AIQ": "average improvement in quality: the mean height of the curve of score over cost, from 0 to the dearest model's cost.",
    "ours minus it": "the paired difference in the first figure of the table, over the same queries and the same bootstrap draws.",
    "a tie": "the difference may be chance: its interval holds 0, or it does not survive Holm's correction.",
    "Holm's correction": "with many comparisons some look significant by chance; this asks more of each, so that one false claim among all is rarer than 1 in 20.",
    "sees": "the minimum detectable effect: a true difference of that size would be found four times in five with these queries.",
    "CPT 50 %": "call-performance threshold: the share of calls that must go to the strong model to close half of the gap; less is better.",
    "CostSave": "the part of the best single model's cost that is saved at no less quality.",
    "PerfGain": "how much better than the best single model the best operating point is, relative to that model. Both are chosen on other folds than they are judged on.",
    "regret": "the mean score that the oracle has more, with cost left out of account.",
    "ECE (noise)": "expected calibration error: how far P(good answer) is from what happens; in brackets what a perfectly calibrated router would show with as many calls.",
    "fit, a decision": "seconds to learn, in all parts together; time from embedding to values, one query at a time, on the machine that made this.",
    "oracle": "knows every score and every cost beforehand. No router can reach it.",
    "random": "mixes the cheapest and the best single model without looking at the query.",
    "band, brackets": "95 % intervals, by drawing groups of equal texts again and again.",
}  # fmt: skip


def protocol_section(board: Board) -> str:
    """How the comparison was made, and what was found in the table."""
    protocol = board["protocol"]
    lines = [
        f"{board['n_queries']:,} queries judged, {board['n_units']:,} different texts; {len(board['models'])} models."
    ]
    lines += [
        f"{SPOKEN.get(key, key.replace('_', ' '))}: {value:,}." if isinstance(value, int) and key != "seed"
        else f"{SPOKEN.get(key, key.replace('_', ' '))}: {value}."
        for key, value in protocol.items()
        if key not in APART and isinstance(value, str | int | float)
    ]  # fmt: skip
    findings = [str(sentence) for sentence in protocol.get("findings") or ()]
    found = f"<h3>Found in the table</h3><ul>{_items(findings)}</ul>" if findings else ""
    return f"<h2>How this was made</h2><ul>{_items(lines)}</ul>{found}"


def _items(lines: list[str]) -> str:
    return "".join(f"<li>{escape(line)}</li>" for line in lines)


def chosen_section(board: Board) -> str:
    """What ours chose for itself within the training queries of each part."""
    parts = list(board["protocol"].get("chosen") or ())
    if not parts:
        return ""
    views = list(dict.fromkeys(view for part in parts for view in part.get("settings", {})))
    head = "".join(f'<th scope="col">{escape(str(name))}</th>' for name in ("part", "learned from", *views))
    settings = [part.get("settings", {}) for part in parts]
    body = "".join(
        f'<tr><th scope="row">{number}</th><td>{_count(part.get("n"))}</td>'
        + "".join(f"<td>{escape(_chosen(part.get('settings', {}).get(view)))}</td>" for view in views)
        + "</tr>"
        for number, part in enumerate(parts, start=1)
    )
    tried = [
        f"part {number}, {view}: {text}"
        for number, views_of in enumerate(settings, start=1)
        for view, value in views_of.items()
        for text in _tried(value)
    ]
    table = f'<table class="settings"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    return (
        '<h2>What ours chose for itself</h2><p class="soft">Within the training queries alone, on values that were held out'
        f" there.</p>{scroll('Settings of ours by part', table)}"
        f'<details><summary>What was tried, and the error it gave</summary><ul class="notes">{_items(tried)}</ul></details>'
    )


def _count(n: Any) -> str:  # Any: whatever JSON can hold
    return f"{n:,}" if isinstance(n, int) else "–"


def _chosen(value: Any) -> str:  # Any: whatever JSON can hold
    """What was chosen, without what was tried."""
    if not isinstance(value, Mapping):
        return "–" if value is None else _plain(value)
    return ", ".join(f"{key.replace('_', ' ')} {_plain(v)}" for key, v in value.items() if not isinstance(v, Mapping))


def _tried(value: Any) -> list[str]:  # Any: whatever JSON can hold
    if not isinstance(value, Mapping):
        return []
    return [
        f"{key.replace('_', ' ')} " + ", ".join(f"{name}: {_plain(figure)}" for name, figure in v.items())
        for key, v in value.items()
        if isinstance(v, Mapping)
    ]


def _plain(value: Any) -> str:  # Any: whatever JSON can hold
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def words_section() -> str:
    """What the words of the page mean, a line each."""
    entries = "".join(f"<dt>{escape(word)}</dt><dd>{escape(meaning)}</dd>" for word, meaning in WORDS.items())
    return f"<h2>What the words mean</h2><dl>{entries}</dl>"
