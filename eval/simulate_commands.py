"""The verb `simulate`: what routing would cost and save, before it is switched on."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eval.commands import Seed
from router.commands import SHIPPED_DATA, Json, bundle_path

if TYPE_CHECKING:
    from eval.simulate.lab import Options
    from eval.simulate.scenario_file import ScenarioFile
    from router.console import Progress

STARTING_POINT = "scenario.toml"


def register(app: typer.Typer) -> None:
    """Add the verb to the one command."""
    app.command()(simulate)


def simulate(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="A directory for figures and report; with --init, the file to write.")
    ],
    scenario: Annotated[
        list[str] | None,
        typer.Option(
            "--scenario",
            "-s",
            help="A scenario file, or a shipped one's name, as pam-2026-11; repeatable: side by side.",
        ),
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(
            "--bundle",
            "-b",
            parser=bundle_path,
            metavar="DIR",
            help="A bundle's directory, or models:/NAME@ALIAS: its decisions are counted.",
        ),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option("--run", help="A run of `weighbridge replay`: where this router really sends queries."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", "-d", help="Labelled queries to count the bundle's decisions on. Default: pam-v1."),
    ] = None,
    outcomes: Annotated[
        Path | None,
        typer.Option("--outcomes", help="An outcome table: its recorded costs and scores in place of assumptions."),
    ] = None,
    prices: Annotated[
        Path | None, typer.Option("--prices", help="Dated prices. Default: datasets/prices.json, then genai-prices.")
    ] = None,
    init: Annotated[
        bool, typer.Option("--init", help="Write a commented scenario from a route table to --out, and stop.")
    ] = False,
    routes: Annotated[Path, typer.Option("--routes", help="With --init: the route table.")] = SHIPPED_DATA
    / "routes.toml",
    draws: Annotated[
        int, typer.Option(min=10, max=20_000, help="Worlds: joint values of all that is uncertain.")
    ] = 1_000,
    sampled: Annotated[
        int, typer.Option(min=1_000, help="Answers that are drawn once and weighed in every world.")
    ] = 200_000,
    seed: Seed = 0,
    json: Json = None,
) -> None:
    """Dollars per month with and without routing: with an interval, its causes, and the targets that hold."""
    if init:
        _init(routes, out)
        return
    if not scenario:
        raise typer.BadParameter(
            "give --scenario FILE, as in `weighbridge simulate --scenario pam-2026-11 --out out/simulate`, or --init."
        )
    from eval.simulate.lab import Options
    from router.console import console, progress, write_json

    options = Options(draws=draws, sampled=sampled, seed=seed)
    with progress() as told:
        found = [
            _figures(
                name,
                bundle=bundle,
                run=run,
                data=data,
                outcomes=outcomes,
                prices=prices,
                options=options,
                out=out,
                told=told,
            )
            for name in scenario
        ]
        told.notify("drawing the report")
        _write(found, out)
    _show(found)
    console().print(f"wrote {out}: report.html, simulation.json", markup=False)
    write_json(json, found[0] if len(found) == 1 else {"scenarios": found})


def _figures(
    name: str,
    *,
    bundle: Path | None,
    run: Path | None,
    data: Path | None,
    outcomes: Path | None,
    prices: Path | None,
    options: Options,
    out: Path,
    told: Progress,
) -> dict[str, Any]:
    from eval.simulate.counts import write_counts
    from eval.simulate.figures import figures
    from eval.simulate.lab import simulate as simulated
    from eval.simulate.scenario_file import find_scenario, open_scenario
    from eval.simulate.session import counts_from, with_counts
    from router.prices import SHIPPED, read_prices

    file = open_scenario(find_scenario(name))
    table = outcomes or file.outcomes
    if table is not None:
        return _recorded(file, table, bundle, options, told)
    priced = read_prices(prices or SHIPPED)
    file.require_prices(priced)
    counts = counts_from(run, bundle, data or (SHIPPED_DATA if bundle else None), seed=options.seed, told=told)
    if counts is not None:
        write_counts(counts, out / f"{file.scenario.name}.routing.csv")
    return figures(simulated(with_counts(file.scenario, counts), priced, options, notify=told.notify))


def _recorded(file: ScenarioFile, table: Path, bundle: Path | None, options: Options, told: Progress) -> dict[str, Any]:
    """The same figures from an outcome table's recorded costs and scores."""
    from eval.lab import one_thread
    from eval.simulate.recorded import simulate_recorded
    from eval.workflow import encoder_cached
    from router.outcome_bundle import load
    from router.outcome_rows import read_outcomes

    outcomes, _ = read_outcomes(table)
    with one_thread():
        router = None if bundle is None else encoder_cached(load(bundle, notify=told.notify), told)
        told.notify(f"reading {len(outcomes):,} queries")
        return simulate_recorded(file.scenario, outcomes, router=router, options=options, notify=told.notify)


def _write(found: list[dict[str, Any]], out: Path) -> None:
    from eval.simulate.report import write_simulation_report
    from router.files import canonical_json, write_atomic

    whole = found[0] if len(found) == 1 else {"scenarios": found}
    write_atomic(out / "simulation.json", canonical_json(whole, indent=1) + "\n")
    write_simulation_report(found, out / "report.html")


def _show(found: list[dict[str, Any]]) -> None:
    from eval.simulate.show import show_simulation
    from router.console import console

    show_simulation(console(), found)


def _init(routes: Path, out: Path) -> None:
    """Write a scenario to begin with, beside nothing that is there already."""
    from eval.simulate.starting_point import starting_scenario
    from router.console import console
    from router.errors import DataError
    from router.files import write_atomic
    from router.routes import read_routes

    target = out if out.suffix == ".toml" else out / STARTING_POINT
    if target.exists():
        raise DataError(f"{target}: exists already; wanted a new file. Name another with --out.")
    table = read_routes(routes)
    month: date = table.price_date.replace(day=1)
    write_atomic(target, starting_scenario(table, name=target.stem, month=month))
    console().print(
        f"wrote {target}: change what it assumes, then `weighbridge simulate --scenario {target} --out out/simulate`",
        markup=False, soft_wrap=True,
    )  # fmt: skip
