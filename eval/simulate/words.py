"""The names in a simulation's JSON, assumptions and targets, as a person says them, and their values in their own units."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from eval.simulate.numerals import DASH, NO_END, Interval, bounds, count, exact_number, ms, percent, plain, usd

Figures = Mapping[str, Any]  # Any: whatever JSON can hold
Kind = Literal["count", "share", "factor", "hours", "number", "draws"]

WHOLE = {
    "queries_per_month": "queries a month",
    "which queries come": "which queries come",
    "router.accuracy": "how often the router is right",
    "conversation.messages": "messages in a conversation",
    "conversation.same_need": "follow-ups of the same kind as the message before",
    "conversation.stickiness": "follow-ups that stay on their route",
    "prompt_cache.in_time": "follow-ups that come while the prompt is still cached",
    "prompt_cache.loop_hit": "calls in an answer that find their prompt cached",
    "bad_answer.right": "good answers on the right route",
    "bad_answer.weak": "good answers from a model that is too weak",
    "bad_answer.strong": "good answers from a model stronger than needed",
    "bad_answer.sideways": "good answers on a wrong route, equally strong",
    "bad_answer.reask": "people who ask again after a bad answer",
    "answer_cache": "queries answered from the answer cache",
}
PARTS = {
    "system_tokens": "system prompt tokens",
    "tool_schema_tokens": "tool schema tokens",
    "history_tokens": "history tokens",
    "message_tokens": "message tokens",
    "output_tokens": "output tokens",
    "tool_result_tokens": "tool result tokens",
    "turns": "model calls per answer",
    "price": "price",
    "usd_per_query": "dollars per answer",
    "call_ms": "time of a model call",
    "tool_ms": "time of a round of tools",
    "failed_attempts": "attempts that fail",
    "handoff": "misrouted queries handed over",
}
FACTORS = {*(part for part in PARTS if part not in ("turns", "failed_attempts", "handoff"))}
TARGETS = {
    "usd_per_month": "dollars a month",
    "usd_per_query": "dollars a query",
    "usd_per_100k": "dollars per 100,000 queries",
    "saving": "saving",
    "routing_accuracy": "queries on the right route",
    "good_answers": "good answers",
    "cache_hit_rate": "input read from a prompt cache",
}
LATENCY = {"p50": "half answered within", "p95": "95 in 100 answered within", "p99": "99 in 100 answered within"}
MODELS = {"weak_": ", weak models", "strong_": ", strong models", "": ""}


def spoken(name: str) -> str:
    """An assumption, or a lever of all of a model's routes, in words; a name that is not known as it stands.

    >>> spoken("routes.trip.turns"), spoken("queries.chat.share"), spoken("gpt-5: price")
    ('trip: model calls per answer', 'share of chat queries', 'gpt-5: price')
    """
    if name in WHOLE:
        return WHOLE[name]
    if name.startswith("queries."):
        return f"share of {_middle(name)} queries"
    if name.startswith("outages."):
        return f"hours a month without {name.partition('.')[2]}"
    of, part = _of_and_part(name)
    return f"{of}: {PARTS[part]}" if part in PARTS else name


def kind_of(name: str) -> Kind:
    """What the values of an assumption are: of a lever that stands for several routes, a factor."""
    if name == "queries_per_month":
        return "count"
    if name == "which queries come":
        return "draws"
    if name == "conversation.messages":
        return "number"
    if name in WHOLE or name.startswith("queries."):
        return "share"
    if name.startswith("outages."):
        return "hours"
    part = _of_and_part(name)[1]
    if part in FACTORS or not name.startswith("routes."):
        return "factor" if part in PARTS else "number"
    return "share" if part in ("failed_attempts", "handoff") else "number"


def value_of(name: str, value: float | None) -> str:
    """A value of an assumption in its unit.

    >>> [value_of("queries.a.share", 0.95), value_of("routes.a.price", 0.193), value_of("routes.a.turns", 2.5)]
    ['95 %', '× 0.19', '2.5']
    """
    if value is None:
        return DASH
    kind = kind_of(name)
    if kind == "share":
        return f"{plain(value * 100, decimals=1 if value >= 0.01 else 2)} %"
    if kind == "count":
        return count(value)
    if kind == "draws":
        return f"percentile {value * 100:.0f}"
    return f"× {plain(value)}" if kind == "factor" else f"{plain(value)} h" if kind == "hours" else plain(value)


def change_words(row: Figures) -> str:
    """One entry of `would_hold_if`: what a number would have to be, and what it is.

    >>> change_words({"assumption": "queries.simple.share", "now": 0.95, "needed": 0.97555})
    '97.6 % simple queries instead of 95 %'
    >>> change_words({"assumption": "gpt-5: price", "now": 1.0, "needed": 0.11})
    'price of gpt-5 × 0.11'
    """
    name, now, needed = row["assumption"], row["now"], row["needed"]
    if name.startswith("queries."):
        return f"{value_of(name, needed)} {_middle(name)} queries instead of {value_of(name, now)}"
    if kind_of(name) == "factor":
        of, part = _of_and_part(name)
        return f"{PARTS[part]} of {of} {value_of(name, needed)}"
    return f"{spoken(name)}: {value_of(name, needed)} instead of {value_of(name, now)}"


def target_words(name: str) -> str:
    """A target in words.

    >>> target_words("weak_latency_ms_p50"), target_words("saving")
    ('half answered within, weak models', 'saving')
    """
    if name in TARGETS:
        return TARGETS[name]
    prefix, _, quantile = name.partition("latency_ms_")
    return LATENCY[quantile] + MODELS[prefix] if quantile in LATENCY and prefix in MODELS else name


def target_value(name: str, value: float | None, interval: Interval = None, *, exact: bool = False) -> str:
    """A figure that a target is about, in its unit.   exact: as it was written down."""
    if "latency_ms" in name:
        return ms(value, interval, exact=exact)
    if name.startswith("usd"):
        return usd(value, interval, exact=exact)
    if exact and value is not None:
        return f"{plain(value * 100, decimals=3)} %"
    return percent(value, interval)


def wanted(row: Figures) -> str:
    """What a target asks for."""
    return f"{row['sense']} {target_value(row['target'], row['wanted'], exact=True)}"


def found(row: Figures) -> str:
    """What was found for a target, or why nothing was."""
    if row["found"] is None and row["share_of_worlds"] is not None:
        return NO_END
    if row["found"] is None:
        return str(row["reason"] or DASH)
    return target_value(row["target"], row["found"], row["found_ci"])


def verdict(row: Figures) -> str:
    """Whether a target holds; `not known` where there is no figure."""
    return str(row["verdict"] or "not known")


def worlds(share: float | None) -> str:
    """A share of the worlds, in whole percents; neither all nor none where it is neither.

    >>> worlds(0.0), worlds(0.0861), worlds(0.999), worlds(0.001)
    ('0 %', '9 %', '>99 %', '<1 %')
    """
    if share is None:
        return DASH
    if 0 < share < 0.005:
        return "<1 %"
    return ">99 %" if 0.995 < share < 1 else f"{share * 100:.0f} %"


def threshold(value: float | None, interval: Interval = None) -> str:
    """A threshold of the router."""
    return DASH if value is None else f"{plain(value, decimals=3)}{bounds(interval, exact_number)}"


def _middle(name: str) -> str:
    return name.partition(".")[2].rpartition(".")[0]


def _of_and_part(name: str) -> tuple[str, str]:
    """`routes.<route>.<part>` or `<model>: <part>`, either of which may have dots and colons in its name."""
    if name.startswith("routes."):
        of, _, part = name.removeprefix("routes.").rpartition(".")
        return of, part
    of, _, part = name.rpartition(": ")
    return of, part
