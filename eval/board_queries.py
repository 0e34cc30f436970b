"""Where a leaderboard's routers do well and badly: per data set, and query by query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from eval.board_axes import short_name
from eval.board_tables import scroll
from eval.board_words import Board, best_other, ranked
from eval.contest import OURS

Details = Mapping[str, Any]  # Any: whatever JSON can hold
SHOWN_LOSSES = 20
HEAT_ROUTERS = 12
FEWEST = 20  # queries of a data set; a mean over fewer is too noisy to be coloured
STRONGEST = 0.15  # difference of mean scores from which on a cell has the full colour
FULL = 55  # percent of the colour in the fullest cell, so that the figure stays readable on it
BLIND = ("cheapest", "best-single", "random", "oracle")  # they look at no query, or at the answer


def heat_map(board: Board, details: Details) -> str:
    """Mean score of a dozen routers on each data set, coloured by the difference to the best single model there."""
    found = details["datasets"]
    routers = heat_routers(board, details)
    if not routers:
        return ""
    head = "".join(f'<th scope="col" class="tall"><span>{escape(name)}</span></th>' for name in routers)
    head += f'<th scope="col" class="tall"><span>{escape(short_name(board["best_single"]))} alone</span></th><th scope="col" class="tall"><span>oracle</span></th>'
    rows = []
    for position, (name, n) in enumerate(zip(found["names"], found["n"], strict=True)):
        alone, ceiling = found["best_single"][position], found["oracle"][position]
        cells = "".join(_cell(found["routers"][router][position], alone, n) for router in routers)
        rows.append(
            f'<tr><th scope="row" title="{escape(name)}">{escape(name)}</th><td class="plain">{n:,}</td>{cells}'
            f'<td class="plain">{alone:.2f}</td><td class="plain">{ceiling:.2f}</td></tr>'
        )
    table = (
        f'<table class="heat"><thead><tr><th scope="col">data set</th><th scope="col">n</th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )
    return (
        "<h2>By data set</h2>"
        f'<p class="soft">Mean score half way between the price of the cheapest model and that of {escape(board["best_single"])},'
        " the best single one. Green: at least as good as that model alone would be here; orange: worse; the stronger, the"
        f" further from it. Not coloured: fewer than {FEWEST} queries.</p>"
        + scroll("Mean score by data set", table, tall=True)
    )


def heat_routers(board: Board, details: Details) -> list[str]:
    """A dozen: ours, the best other, lr, then the next best that look at the query."""
    other = best_other(board)
    first = [OURS, other["router"] if other else "", "lr"]
    rest = [row["router"] for row in ranked(board) if row["allowed"] and row["router"] not in BLIND]
    known = [name for name in dict.fromkeys([*first, *rest]) if name in details["datasets"]["routers"]]
    return known[:HEAT_ROUTERS]


def _cell(mean: float, alone: float, n: int) -> str:
    if n < FEWEST:
        return f'<td class="plain">{mean:.2f}</td>'
    gap = mean - alone
    shade = round(FULL * min(1.0, abs(gap) / STRONGEST))
    colour = "--accent" if gap >= 0 else "--warn"
    return f'<td style="background:color-mix(in srgb, var({colour}) {shade}%, var(--card))" title="{gap:+.3f}">{mean:.2f}</td>'


def losses_section(board: Board, details: Details) -> str:
    """Per router the queries where another model would have answered better; ours is open."""
    order = [row["router"] for row in ranked(board) if row["router"] in details["losses"]]
    order = sorted(order, key=lambda name: name != OURS)
    blocks = "".join(_lost(name, details["losses"][name], board["n_queries"]) for name in order)
    return (
        "<h2>Which queries each router loses</h2>"
        '<p class="soft">Half way in price: the model chosen answered worse than another would have. The worst first, the'
        f" first {SHOWN_LOSSES} of each; all are in losses.csv. “Best” is the cheapest of the models that answered best.</p>"
        + blocks
    )


def _lost(router: str, lost: Sequence[Details], n: int) -> str:
    said = f"{router}: {len(lost):,} of {n:,} queries"
    if not lost:
        return f"<p>{escape(said)}</p>"
    head = "".join(
        f'<th scope="col">{title}</th>' for title in ("query", "data set", "chosen", "score", "best", "score")
    )
    body = "".join(
        f'<tr><th scope="row">{escape(entry["query_id"])}</th><td>{escape(entry["dataset"] or "(none)")}</td>'
        f"<td>{escape(entry['chosen'])}</td><td>{entry['score']:.2f}</td><td>{escape(entry['best'])}</td><td>{entry['best_score']:.2f}</td></tr>"
        for entry in lost[:SHOWN_LOSSES]
    )
    table = f'<table class="lost"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    opened = " open" if router == OURS else ""
    return f"<details{opened}><summary>{escape(said)}</summary>{scroll(f'Queries lost by {router}', table)}</details>"
