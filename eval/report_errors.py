"""The report's account of what is still wrong: how much of it people would settle, which pairs, what they read like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from eval.errors import Wrong
from eval.metrics import head_errors, route_errors
from eval.run import Run
from router.console import share

WORST = 12  # errors shown per head
Figures = Mapping[str, Any]


def errors_section(run: Run, figures: Figures) -> str:
    """Where the errors are, then the surest of them. Every text of a query is escaped."""
    heads = run.header.classes
    worst = [("route", route_errors(run)), *((head, head_errors(run, head)) for head in heads)]
    return (
        "<h2>Where the errors are</h2>"
        f'<p class="soft">{escape(_ceiling(figures))}</p>{"".join(_pairs(head, figures) for head in heads)}'
        '<h2>The worst errors</h2><p class="soft">Wrong, and surest of it.</p>'
        f"{''.join(_worst(name, wrong) for name, wrong in worst)}"
    )


def _ceiling(figures: Figures) -> str:
    """How right a router could be expected to be."""
    known = {head: found for head, found in figures["agreement"].items() if found is not None}
    if not known:
        return (
            "Nobody labelled this data set twice, so how much of it is a matter of opinion is not known:"
            " label a few hundred queries again, blind, and compare with `weighbridge data agreement`."
        )
    told = ", ".join(f"{head} {share(found)}" for head, found in known.items())
    return (
        f"Two labellings of the whole set agree on: {told}. No router can be expected to be right more often than that on"
        " all queries. Queries on which they differ have no label and are left out here, so what is counted below is the router's."
    )


def _pairs(head: str, figures: Figures) -> str:
    found = figures["errors"][head]
    if not found["n"]:
        return f"<details><summary>{escape(head)}: none wrong</summary></details>"
    unsure = f"of {share(found['unsure_share'])} it was not sure (p &lt; {found['unsure_below']})"
    rows = [
        f"<tr><td>{escape(pair['label'])}</td><td>{escape(pair['said'])}</td><td>{pair['n']:,}</td><td>{share(pair['share'])}</td>"
        f'<td class="text">{"<br>".join(f"“{escape(text)}”" for text in pair["examples"])}</td></tr>'
        for pair in found["pairs"]
    ]
    return (
        f"<details open><summary>{escape(head)}: {found['n']:,} wrong; {unsure}</summary>"
        '<div class="scroll"><table><tr><th>a person said</th><th>the router said</th><th>n</th><th>of all errors</th>'
        f'<th class="text">usual examples</th></tr>{"".join(rows)}</table></div></details>'
    )


def _worst(name: str, wrong: Sequence[Wrong]) -> str:
    rows = [
        f'<tr><td class="text">{escape(text)}</td><td>{escape(label)}</td><td>{escape(said)}</td><td>{sure:.2f}</td></tr>'
        for sure, _, text, label, said in wrong[:WORST]
    ]
    opened = " open" if name == "route" else ""
    return (
        f"<details{opened}><summary>{escape(name)}: {len(wrong):,} wrong</summary>"
        '<div class="scroll"><table><tr><th class="text">query</th><th>a person said</th><th>the router said</th><th>sure</th></tr>'
        f"{''.join(rows)}</table></div></details>"
    )
