"""The verb `threshold`: a policy for a router over models, chosen on queries that it was not fitted on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from router.commands import Bundle, Columns, Json


def register(app: typer.Typer) -> None:
    """Add the verb to the one command."""
    app.command()(threshold)


def threshold(
    bundle: Bundle,
    target: Annotated[
        str,
        typer.Option(
            help="share=0.3 (of calls to --against), budget=0.0005 (dollars a query), floor=0.8 (mean quality), each=0.7 (cheapest model of that P), lambda=200 (quality per dollar), or guarantee."
        ),
    ],
    against: Annotated[
        str | None, typer.Option(help="The model that quality is measured against; a guarantee needs one.")
    ] = None,
    epsilon: Annotated[
        float, typer.Option(help="Guarantee: the quality that may be lost, in units of the score.")
    ] = 0.02,
    delta: Annotated[float, typer.Option(help="Guarantee: the probability that more is lost.")] = 0.05,
    outcomes: Annotated[
        Path | None,
        typer.Option(
            "--outcomes", help="Calibration queries. Default: those the bundle kept apart when it was trained."
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Of the order in which queries are tested; same seed, same threshold.")
    ] = 0,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Write the bundle with this policy, and the guarantee in its card."),
    ] = None,
    columns: Columns = None,
    json: Json = None,
) -> None:
    """Choose when to call which model: for a share, a budget, a quality floor, or with a guarantee. Refuses what it cannot keep."""
    from router.outcome_verbs import threshold_verb

    threshold_verb(
        bundle,
        target=target,
        against=against,
        epsilon=epsilon,
        delta=delta,
        outcomes=outcomes,
        seed=seed,
        out=out,
        json=json,
        columns=columns,
    )
