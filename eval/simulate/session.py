"""From what `weighbridge simulate` was given to a scenario that is ready to run: its router's counts, from wherever they come."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from eval.replay import choose_split, replay
from eval.run import write_run
from eval.simulate.counts import Counts, counts_of_run
from eval.simulate.scenario import Scenario
from eval.simulate.scenario_file import PERFECT
from eval.workflow import data_for_bundle, encoder_cached
from router.bundle import bundle_id, load
from router.console import Progress
from router.errors import DataError


def counts_from(
    run: Path | None, bundle: Path | None, data: Path | None, *, seed: int, told: Progress
) -> Counts | None:
    """Where a router sends queries: from a run, or from a bundle replayed over labelled queries; None where neither is given.

    Raises DataError where both are, or a bundle without data.
    """
    if run is not None and bundle is not None:
        raise DataError("found --run and --bundle; wanted one of the two: a run holds its bundle's decisions already.")
    if run is not None:
        return counts_of_run(run)
    if bundle is None:
        return None
    if data is None:
        raise DataError(
            "found --bundle without --data; wanted labelled queries to count its decisions on, as --data datasets/pam-v1."
        )
    told.notify("loading the bundle")
    router = encoder_cached(load(bundle, notify=told.notify), told)
    part, split = choose_split(data_for_bundle(data, card=None, columns={}, default=router.card))
    told.notify(f"replaying {len(part):,} queries")
    made = replay(router, part, split=split, seed=seed, bundle=bundle_id(bundle))
    with tempfile.TemporaryDirectory() as folder:
        write_run(made, Path(folder) / "run.jsonl")
        return counts_of_run(Path(folder) / "run.jsonl")


def with_counts(scenario: Scenario, counts: Counts | None) -> Scenario:
    """The scenario under the counted router, at that router's own threshold; as it stands where there is none.

    What the file says of its own router (`counts`, `accuracy`, `sends`) gives way.
    """
    if counts is None:
        return scenario
    return replace(
        scenario,
        counts=counts,
        router=replace(scenario.router, threshold=None),
        queries=tuple(replace(entry, sends=None) for entry in scenario.queries),
        left_out=tuple(note for note in scenario.left_out if not note.startswith(PERFECT)),
    )
