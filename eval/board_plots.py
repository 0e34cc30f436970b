"""The charts of a leaderboard: cost against quality with bands, the Pareto front, calibration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from eval.board_axes import CostScale, Point, cost_scale, labels, place, quality_axis
from eval.board_words import Board, best_other, our_row, ranked
from eval.charts import Axis, dot, line_chart, polyline
from eval.contest import OURS

Details = Mapping[str, Any]  # Any: whatever JSON can hold
TENTHS = [k / 10 for k in range(0, 11, 2)]
DRAWN_OVER = ("random", "oracle", "lr", "best", "ours")  # the last is drawn last, over the others


def cast(board: Board, details: Details) -> dict[str, str]:
    """Router -> the part it plays in the charts, ours first; all others are thin and grey."""
    other = best_other(board)
    parts = {"ours": OURS if our_row(board) else None, "best": other["router"] if other else None}
    parts |= {name: name for name in ("lr", "random", "oracle")}
    found: dict[str, str] = {}
    for part, router in parts.items():
        if router in details["curves"] and router not in found:
            found[str(router)] = part
    return found


def curves_section(board: Board, details: Details) -> str:
    """Both charts of cost and quality, their legends, and the table of single models."""
    if not details["curves"]:
        return ""
    spent = [cost for curve in details["curves"].values() for cost in curve["cost"]]
    scale = cost_scale([*spent, *(model["cost"] for model in details["models"])], board)
    note = (
        " Equal steps along the cost axis are equal ratios; AIQ is the mean height over even steps of cost."
        if scale.log
        else ""
    )
    return (
        "<h2>Quality for the money</h2>"
        '<p class="soft">Each line is what a router reaches as it spends more, up to all calls to the dearest model; points'
        " between two corners are had by mixing them at random. Shaded: 95 % bands of ours and of the best other router."
        f" Named dots: single models on their own.{note}</p>"
        f'<div class="pair"><div><h3>Curves</h3>{_curves(board, details, scale)}</div>'
        f"<div><h3>What nothing beats</h3>{_front(details, scale)}</div></div>"
    )


def _curves(board: Board, details: Details, scale: CostScale) -> str:
    parts, curves = cast(board, details), details["curves"]
    values = [
        value
        for curve in curves.values()
        for value in (*curve["quality"], *_known(curve["low"]), *_known(curve["high"]))
    ]
    y = quality_axis([*values, *(model["accuracy"] for model in details["models"])])
    order = sorted(curves, key=lambda name: DRAWN_OVER.index(parts[name]) if name in parts else -1)
    body = [_band(curves[name], parts[name], scale, y) for name in order if parts.get(name) in ("best", "ours")]
    for name in order:
        points = [
            (scale.at(cost), quality)
            for cost, quality in zip(curves[name]["cost"], curves[name]["quality"], strict=True)
        ]
        body.append(polyline(scale.axis, y, points, style=f"line {parts.get(name, 'rest')}"))
    body += [*scale.ticks(), *_model_dots(details["models"], scale, y, labelled=True)]
    middle = [f"{name} {_half_way(curves[name], board['max_cost']):.2f}" for name in parts]
    said = f"Mean score against cost. At half the dearest model's cost: {', '.join(middle)}."
    return line_chart(scale.axis, y, body, title=said) + _legend(parts, others=len(curves) > len(parts))


def _half_way(curve: Details, max_cost: float) -> float:
    return float(np.interp(max_cost / 2, curve["cost"], curve["quality"]))


def _known(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _band(curve: Details, part: str, scale: CostScale, y: Axis) -> str:
    """The area between the ends of the band, where it is known."""
    rows = zip(curve["cost"], curve["low"], curve["high"], strict=True)
    known = [(scale.at(cost), low, high) for cost, low, high in rows if low is not None and high is not None]
    edge: list[Point] = [(cost, low) for cost, low, _ in known] + [(cost, high) for cost, _, high in reversed(known)]
    corners = " ".join("{:.1f},{:.1f}".format(*place(scale.axis, y, point)) for point in edge)
    return f'<polygon class="band {part}" points="{corners}"/>'


def _model_dots(models: Sequence[Details], scale: CostScale, y: Axis, *, labelled: bool) -> list[str]:
    named = [(model["model"], place(scale.axis, y, (scale.at(model["cost"]), model["accuracy"]))) for model in models]
    dots = [
        f'<circle class="point model" cx="{px:.1f}" cy="{py:.1f}" r="3.5"><title>{escape(name)}</title></circle>'
        for name, (px, py) in named
    ]
    return [*dots, *(labels(named) if labelled else [])]


def _legend(parts: Mapping[str, str], *, others: bool) -> str:
    said = {"ours": "ours", "best": "best of the others", "oracle": "knows every score", "random": "mixes two models"}
    keys = [(part, name + (f" ({said[part]})" if part in said else "")) for name, part in parts.items()]
    keys += [("rest", "every other router")] if others else []
    items = "".join(
        f'<li><svg class="key" viewBox="0 0 30 10" aria-hidden="true"><path class="line {part}" d="M1 5H29"/></svg>{escape(text)}</li>'
        for part, text in keys
    )
    return f'<ul class="legend">{items}</ul>'


def _front(details: Details, scale: CostScale) -> str:
    """The points that no other beats, joined by steps."""
    front = details["pareto"]
    y = quality_axis([point["quality"] for point in front])
    steps: list[Point] = []
    for point in front:
        at = scale.at(point["cost"])
        steps += [(at, steps[-1][1]), (at, point["quality"])] if steps else [(at, point["quality"])]
    routers = [point for point in front if point["kind"] == "router"]
    body = [polyline(scale.axis, y, steps, style="line rest")]
    for point in sorted(routers, key=lambda point: bool(point["name"] == OURS)):
        px, py = place(scale.axis, y, (scale.at(point["cost"]), point["quality"]))
        part = "ours" if point["name"] == OURS else "rest"
        body.append(
            f'<circle class="point {part}" cx="{px:.1f}" cy="{py:.1f}" r="3"><title>{escape(point["name"])}</title></circle>'
        )
    models = [{"model": p["name"], "cost": p["cost"], "accuracy": p["quality"]} for p in front if p["kind"] == "model"]
    body += [*scale.ticks(), *_model_dots(models, scale, y, labelled=True)]
    counts = Counter(point["name"] for point in routers).most_common()
    shares = ", ".join(f"{name} {count}" for name, count in counts)
    said = f"Pareto front of {len(front)} points: {len(models)} single models, and {shares or 'no router'}."
    return (
        line_chart(scale.axis, y, body, title=said)
        + f'<p class="soft">{len(front)} points of allowed routers and single models that none beats in both cost and score;'
        f" those of ours in colour. By router: {escape(shares) or 'none'}. Each is the best of many on these very queries, so"
        " the front flatters; choose a point on other queries.</p>"
    )


def calibration_section(board: Board, details: Details) -> str:
    """Reliability of ours and of the best other router whose values are probabilities."""
    known = [row for row in ranked(board) if row["allowed"] and row["router"] in details["calibration"]]
    ours = [row["router"] for row in known if row["router"] == OURS]
    shown = [*ours, *[row["router"] for row in known if row["router"] != OURS][: 2 - len(ours)]]
    if not shown:
        return ""
    charts = "".join(
        f"<div><h3>{escape(name)}</h3>{_reliability(name, details['calibration'][name])}</div>" for name in shown
    )
    return (
        "<h2>Do the probabilities mean what they say?</h2>"
        '<p class="soft">Each dot is a bin of calls, one per query and model: how sure the router was of a good answer or a bad'
        " one, and how often it was right; a graded score of 0.5 or more counts as good. Dots on the line are calibrated,"
        f' larger dots hold more calls.</p><div class="pair">{charts}</div>'
    )


def _reliability(name: str, bins: Details) -> str:
    x = Axis(low=0.5, high=1, title="how sure", ticks=[k / 10 for k in range(5, 11)])
    low = 0.4 if min(bins["accuracy"]) >= 0.4 else 0.0
    y = Axis(low=low, high=1, title="share that was right", ticks=[tick for tick in TENTHS if tick >= low])
    largest = max(bins["count"])
    rows = zip(bins["count"], bins["confidence"], bins["accuracy"], strict=True)
    dots = [
        dot(
            x,
            y,
            (sure, right),
            radius=3 + 7 * (n / largest) ** 0.5,
            label=f"{n:,} calls, {sure:.2f} sure, {right:.2f} right",
        )
        for n, sure, right in rows
    ]
    caption = f"ECE {bins['ece']:.3f}; a perfectly calibrated router would show {bins['ece_bias']:.3f} from noise alone"
    chart = line_chart(
        x,
        y,
        [polyline(x, y, [(0.5, 0.5), (1, 1)], style="otherstroke"), *dots],
        title=f"Reliability of {name}: {caption}.",
    )
    return f'{chart}<p class="soft">{caption}.</p>'
