"""What a simulation says in sentences: what routing would cost, against what, and at which price of a bad answer it ends.

Page and terminal say the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from eval.simulate.numerals import ROUNDING, bounds, change, count, exact_number, one_in, percent, short_number, usd
from eval.simulate.words import change_words, target_value, target_words, threshold

Figures = Mapping[str, Any]  # Any: whatever JSON can hold
Direction = Literal["less", "more", "the same", "open", "unknown"]
FEW_CHANGES = 3  # ways to make a target hold that are told; they come with the smallest first


def certain(figures: Figures) -> bool:
    """Whether every world has the same bill, so that it can be said to the cent."""
    return figures["routed_usd_per_month_ci"] is None and figures["baseline_usd_per_month_ci"] is None


def direction(figures: Figures) -> Direction:
    """Whether routing costs less than the first baseline; `open` where the interval has both."""
    if figures["saving"] is None:
        return "unknown"
    low, high = figures["saving_ci"] or (figures["saving"], figures["saving"])
    if low == high == 0:
        return "the same"
    return "less" if low > 0 else "more" if high < 0 else "open"


def headline(figures: Figures) -> str:
    """One sentence: what a month costs routed, what it costs under the first baseline, and the difference."""
    exact, baseline = certain(figures), figures["baseline"]
    routed = f"{monthly(figures, 'routed_usd_per_month')} where {baseline} costs {_bill(figures)}"
    told = change(figures["saving"], figures["saving_ci"], exact=exact)
    match direction(figures):
        case "less":
            return f"Routing would cost {routed}: {told}."
        case "more":
            return f"Routing would cost more, not less: {routed}, {told}."
        case "open":
            return f"Whether routing saves is open: it would cost {routed}, {told}."
        case "the same":
            return f"Routing would save nothing: it would cost {routed}, the same."
        case "unknown":
            return f"Routing would cost {monthly(figures, 'routed_usd_per_month')}; {baseline} costs nothing, so there is nothing to save."


def monthly(figures: Figures, name: str) -> str:
    """A bill with `a month` before its interval."""
    exact = certain(figures)
    if figures[name] is None:
        return "an unknown sum"
    ends = bounds(figures[f"{name}_ci"], exact_number if exact else short_number)
    return f"{usd(figures[name], exact=exact)} a month{ends}"


def _bill(figures: Figures) -> str:
    return usd(figures["baseline_usd_per_month"], figures["baseline_usd_per_month_ci"], exact=certain(figures))


def beside_others(figures: Figures) -> str:
    """What routing costs beside the other baselines; nothing where there is one alone."""
    rows = [row for row in figures["baselines"] if row["name"] != figures["baseline"] and row["saving"] is not None]
    told = [f"{change(row['saving'], row['saving_ci'], exact=certain(figures))} ({row['name']})" for row in rows]
    return f"Beside the other baselines, routing costs {', '.join(told)}." if told else ""


def comparison(found: Sequence[Figures]) -> str:
    """One sentence over several scenarios: in how many routing costs less, and between what and what."""
    counts = Counter(direction(figures) for figures in found)
    n, less = len(found), counts["less"]
    told: dict[Direction, str] = {
        "more": "costs more in {}",
        "open": "is open in {}",
        "the same": "costs the same in {}",
        "unknown": "has nothing to be compared with in {}",
    }
    rest = [text.format(counts[kind]) for kind, text in told.items() if counts[kind]]
    said = f"Routing would cost less than the first baseline in {'both' if less == n == 2 else f'all {n}' if less == n else f'{less} of {n}'} scenarios"
    known = sorted(
        (figures for figures in found if figures["saving"] is not None), key=lambda figures: -figures["saving"]
    )
    if rest:
        said += f"; it {', '.join(rest)}"
    if known and known[0] is not known[-1]:
        names = labels(found)
        ends = [f"{_told(figures)} in {names[_position(found, figures)]}" for figures in (known[0], known[-1])]
        said += f": from {ends[0]} to {ends[1]}"
    return f"{said}."


def _position(found: Sequence[Figures], figures: Figures) -> int:
    return next(i for i, entry in enumerate(found) if entry is figures)


def _told(figures: Figures) -> str:
    return change(figures["saving"], figures["saving_ci"], exact=certain(figures))


def labels(found: Sequence[Figures]) -> list[str]:
    """A name for each scenario; where several have the same one, with their positions."""
    names = [str(figures["scenario"]) for figures in found]
    return [name if names.count(name) == 1 else f"{name} ({i})" for i, name in enumerate(names, start=1)]


def targets_held(figures: Figures) -> str:
    """How many of the targets hold, and how many are open."""
    rows = figures["targets"]
    if not rows:
        return "none stated"
    counts = Counter(row["verdict"] for row in rows)
    extra = [f"{counts[kind]} {word}" for kind, word in (("open", "open"), (None, "not known")) if counts[kind]]
    return f"{counts['holds']} of {len(rows)} hold{'s' if counts['holds'] == 1 else ''}" + (
        f", {', '.join(extra)}" if extra else ""
    )


def would_hold(row: Figures, *, counted: bool) -> str:
    """Which single change, of those that were tried, would make a target hold.   counted: whether thresholds were tried."""
    if row["verdict"] is None:
        return ""
    if row["share_of_worlds"] >= 0.5:
        return "" if row["verdict"] == "holds" else "holds in most worlds as it is"
    said = "; or ".join(change_words(entry) for entry in row["would_hold_if"][:FEW_CHANGES])
    if said:
        return said
    if row["target"].startswith("usd") or row["target"] == "saving":
        return "no single number brings it about"
    return "only the threshold was tried" if counted else "no change was tried"


def at_thresholds(row: Figures, *, counted: bool) -> str:
    """The thresholds at which a target would hold, every assumption at its median.   counted: whether any were tried."""
    if not counted:
        return ""
    if row["thresholds"] is None:
        return "none"
    low, high = row["thresholds"]
    return threshold(low) if low == high else f"{threshold(low)} to {threshold(high)}"


def ways(row: Figures, *, counted: bool) -> str:
    """What would make a target hold that does not: a change, a threshold, or neither.   counted: as of `would_hold`."""
    name, changed, at = (
        target_words(row["target"]),
        would_hold(row, counted=counted),
        at_thresholds(row, counted=counted),
    )
    told = [f"with: {changed}"] if row["would_hold_if"] and row["share_of_worlds"] < 0.5 else []
    told += [f"at threshold {at}"] if at not in ("", "none") else []
    said = f"{name} would hold {'; or '.join(told)}" if told else f"{name}: {changed}"
    if row.get("with_a_perfect_router") is None:
        return said
    return f"{said}; a router that never errs: {target_value(row['target'], row['with_a_perfect_router'])}"


def quality_sentences(figures: Figures) -> list[str]:
    """How good the answers are beside the first baseline's, and how often the router is right."""
    quality, mean = figures["quality"], "The mean score" if figures.get("recorded") else "The share of good answers"
    if quality["good_answers"] is None:
        said = ["The scenario says nothing of bad answers, so nothing is said of how good the answers would be."]
    else:
        ours = percent(quality["good_answers"], quality["good_answers_ci"])
        theirs = percent(quality["baseline_good_answers"], quality["baseline_good_answers_ci"])
        said = [f"{mean} would be {ours} routed, and {theirs} under {figures['baseline']}."]
    if quality["routing_accuracy"] is not None:
        right = percent(quality["routing_accuracy"], quality["routing_accuracy_ci"], exact=certain(figures))
        meant = f" Right means: {quality['routing_accuracy_is']}." if quality.get("routing_accuracy_is") else ""
        said.append(f"{right} of queries take the right route.{meant}")
    if quality["reasks_per_query"]:
        again = percent(quality["reasks_per_query"], quality["reasks_per_query_ci"])
        said.append(f"People ask again after {again} of queries; the bill holds the second answers.")
    if quality["unanswered"] and quality["unanswered"] > ROUNDING:
        said.append(f"Unanswered, because every attempt and fallback fails: {one_in(quality['unanswered'])}.")
    return said


def break_even_sentences(figures: Figures) -> list[str]:
    """What a bad answer may cost before routing saves nothing, and what is left at the price that the scenario gives it."""
    entry = figures["break_even"]
    more, value = entry["more_bad_answers"], entry["usd_per_bad_answer"]
    if figures["quality"]["good_answers"] is None:
        return []  # said already: the scenario judges no answer
    if value is None:
        return [f"There is no break-even price of a bad answer: {entry['reason']}."]
    said = [
        f"For every 100 queries, routing gives {_hundredths(more)} more bad answers"
        f"{bounds(entry['more_bad_answers_ci'], _hundredths)} than {figures['baseline']}."
    ]
    why = f" ({entry['reason']})" if entry["reason"] else ""
    said.append(f"Routing would save nothing any more if each cost {usd(value, entry['usd_per_bad_answer_ci'])}{why}.")
    if entry["stated_usd"]:
        net = usd(entry["net_saved_usd_per_query"], entry["net_saved_usd_per_query_ci"])
        said.append(
            f"At the {usd(entry['stated_usd'])} that the scenario takes, routing saves {net} a query after bad answers are paid for."
        )
    return said


def _hundredths(share: float) -> str:
    return f"{share * 100:.1f}"


def how_drawn(figures: Figures) -> list[str]:
    """Seed, worlds, sampled answers, and what a bracket is."""
    n, draws = count(figures["sampled_answers"]), count(figures["draws"])
    if certain(figures):
        said = [
            "Nothing that the bill depends on is uncertain in this scenario, so its figures have no brackets: every world has the same."
        ]
    else:
        said = [
            "Brackets hold the figures of 90 in 100 drawn worlds, from the 5th percentile to the 95th. They show what the stated ranges leave open, and nothing of what the scenario leaves out."
        ]
    if figures.get("recorded"):
        said.append(
            f"{draws} worlds were drawn with seed {figures['seed']}: in each, {n} recorded queries with replacement, and one value for each uncertain assumption."
        )
    else:
        answers = f"; {n} answers were drawn once and weighed in every world" if figures["sampled_answers"] else ""
        said.append(
            f"{draws} worlds were drawn with seed {figures['seed']}, each with one value for each uncertain assumption{answers}."
        )
    return said
