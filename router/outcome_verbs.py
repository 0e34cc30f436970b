"""The verbs of routers over models: train on outcomes, choose a policy, route one query. The command line calls these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from router.outcome_checks import OnStraddle

if TYPE_CHECKING:
    from router.console import Progress
    from router.outcome_calibration import Calibration
    from router.outcome_router import ModelRouter
    from router.outcome_targets import Target
    from router.outcomes import Outcomes


def train_outcomes(
    outcomes: Path,
    out: Path,
    *,
    encoder: str,
    columns: str | None,
    models: Sequence[str] | None,
    on_straddle: OnStraddle,
    seed: int,
    carry_encoder: bool,
    json: Path | None,
    mlflow: bool,
) -> None:
    """Fit a router over models on an outcome table; judge it once on the test rows, where there are any; save the bundle.

    columns: the text of `--map`.   models: only these; None takes all.   json: where to write what was measured.
    """
    from router.bundlefiles import bundle_id, require_replaceable
    from router.console import console, progress, write_json
    from router.encoders import open_encoder
    from router.encoders.cache import CachedEncoder
    from router.encoders.open import cache_directory
    from router.outcome_bundle import save
    from router.outcome_checks import require_no_straddle
    from router.outcome_policy import to_mapping
    from router.outcome_rows import read_outcomes
    from router.outcome_training import fit_outcome_router
    from router.rows import parse_map

    require_replaceable(out)  # a directory that must not be replaced is refused before a minute of fitting
    table, findings = read_outcomes(outcomes, columns=parse_map(columns), models=models)
    table.require_trainable("weighbridge train")
    table = require_no_straddle(table, on_straddle)
    for sentence in findings.sentences:
        console().print(f"- {sentence}", markup=False, soft_wrap=True)
    with progress() as told:
        opened = CachedEncoder(open_encoder(encoder, notify=told.notify), cache_directory(), progress=told.advance)
        router = fit_outcome_router(table, opened, seed=seed, notify=told.notify)
        metrics = _judged(router, table)
        save(router, out, metrics=metrics, carry_encoder=carry_encoder)
    figures = {
        "bundle": bundle_id(out),
        "models": list(router.models),
        "policy": to_mapping(router.policy),
        "fitted": dict(router.fitted),
        "settings": dict(router.success.fitted),
        "metrics": metrics,
        **findings.to_mapping(),
    }
    _say(router, figures, out)
    write_json(json, figures)
    if mlflow:
        _record(figures, encoder=encoder, seed=seed, out=out)


def _say(router: ModelRouter, figures: Mapping[str, Any], out: Path) -> None:  # Any: whatever JSON can hold
    from router.console import console
    from router.outcome_show import show_policy

    metrics = figures["metrics"]
    note = "" if metrics["split"] == "test" else " (no test rows: the very queries the policy was chosen on)"
    console().print(f"Chosen: {router.fitted['policy']}.", markup=False, soft_wrap=True)
    console().print(f"On {metrics['n']:,} {metrics['split']} queries{note}, in-domain:", markup=False, soft_wrap=True)
    show_policy(console(), metrics, figures["policy"], router.models)
    console().print(
        f"wrote bundle {figures['bundle']} to {out}; choose another policy with `weighbridge threshold --bundle {out}"
        " --target ...`",
        markup=False,
        soft_wrap=True,
    )


def _judged(router: ModelRouter, table: Outcomes) -> dict[str, Any]:  # Any: whatever JSON can hold
    """Figures on the complete test rows; without any, on the calibration rows, and saying so."""
    import numpy as np

    from router.outcome_figures import outcome_figures

    test = np.array([split == "test" for split in table.split]) & table.complete
    if test.any():
        return {"split": "test", **outcome_figures(router.policy, router.scored(table.rows(test)))}
    return {"split": "calibration", **outcome_figures(router.policy, router.calibration.complete)}


def _record(figures: Mapping[str, Any], *, encoder: str, seed: int, out: Path) -> None:
    from router.console import progress
    from router.registry import flatten, log_run, tracking_uri

    fitted, metrics = figures["fitted"], figures["metrics"]
    figured = {name: value for name, value in metrics.items() if name != "share"}  # a model's name may be no metric's
    with progress() as told:
        told.notify(f"recording the run in {tracking_uri().partition('://')[0]}")
        log_run(
            "train",
            params={
                "verb": "train",
                "dataset": fitted["table"],
                "fingerprint": fitted["table_fingerprint"],
                "encoder": encoder,
                "seed": seed,
                "bundle": figures["bundle"],
            },
            metrics=flatten({metrics["split"]: figured}),
            artifacts=[],
            bundle=out,
        )


def threshold_verb(
    bundle: Path,
    *,
    target: str,
    against: str | None,
    epsilon: float,
    delta: float,
    outcomes: Path | None,
    seed: int,
    out: Path | None,
    json: Path | None,
    columns: str | None = None,
) -> None:
    """Choose a policy on held-out queries; say what it does there; with `out`, write the bundle with it.

    target: see `outcome_targets`.   outcomes: a table of calibration queries; None takes those the bundle kept. Of a table,
    queries that trained the router (by id or by text) and rows of the test split are left out, and counted.
    """
    from router.bundlefiles import ENCODER, bundle_id, require_replaceable
    from router.console import console, progress, write_json
    from router.errors import PolicyError
    from router.outcome_bundle import load, save
    from router.outcome_calibration import own_calibration
    from router.outcome_figures import outcome_figures
    from router.outcome_policy import to_mapping
    from router.outcome_show import show_policy
    from router.outcome_targets import parse_target

    asked = parse_target(target)
    if asked.kind == "guarantee" and against is None:
        raise PolicyError("a guarantee bounds what is lost against one model; name it with --against MODEL.")
    if out is not None:
        require_replaceable(out)
    with progress() as told:
        router = load(bundle, notify=told.notify)
        told.notify("reading calibration queries")
        held = own_calibration(router) if outcomes is None else _of_table(router, outcomes, columns, told)
    chosen, sentence = _with_target(router, held, asked, against=against, epsilon=epsilon, delta=delta, seed=seed)
    figures, policy = outcome_figures(chosen.policy, held.queries), to_mapping(chosen.policy)
    for line in (f"{sentence[0].upper()}{sentence[1:]}.", f"Chosen on {held.sentence()}."):
        console().print(line, markup=False, soft_wrap=True)
    show_policy(console(), figures, policy, router.models)
    if out is not None:
        carried = (bundle / ENCODER).exists()
        save(chosen, out, metrics={"split": "calibration", **figures}, carry_encoder=carried)
        console().print(f"wrote bundle {bundle_id(out)} to {out}", markup=False)
    written = {
        "target": str(asked),
        "against": against,
        "sentence": sentence,
        "policy": policy,
        "threshold": policy["parameters"].get("threshold"),
        "guarantee": chosen.guarantee,
        "calibration": held.facts,
        "figures": figures,
        "bundle": None if out is None else bundle_id(out),
    }
    write_json(json, written)


def _of_table(router: ModelRouter, outcomes: Path, columns: str | None, told: Progress) -> Calibration:
    """A table's unseen queries, embedded behind the shared cache."""
    from router.encoders.cache import CachedEncoder
    from router.encoders.open import cache_directory
    from router.outcome_calibration import table_calibration
    from router.rows import parse_map

    encoder = CachedEncoder(router.encoder, cache_directory(), progress=told.advance)
    return table_calibration(replace(router, encoder=encoder), outcomes, columns=parse_map(columns))


def _with_target(
    router: ModelRouter,
    held: Calibration,
    asked: Target,
    *,
    against: str | None,
    epsilon: float,
    delta: float,
    seed: int,
) -> tuple[ModelRouter, str]:
    """The router under the policy that reaches the target, and a sentence that says what was reached."""
    from router.outcome_targets import certified_policy, policy_for

    if asked.kind == "guarantee" and against is not None:
        policy, made = certified_policy(
            held.queries, models=router.models, against=against, epsilon=epsilon, delta=delta, seed=seed
        )
        guarantee, sentence = {**made.to_json(), "calibration": dict(held.facts)}, made.sentence()
        return router.with_policy(policy, why=f"{sentence}; on {held.facts['source']}", guarantee=guarantee), sentence
    reached = policy_for(asked, held.queries, models=router.models, against=against)
    sentence = f"target {asked} met on {len(held.queries):,} calibration queries; no promise for others"
    return router.with_policy(reached, why=f"{sentence}; on {held.facts['source']}"), sentence


def route_outcomes(bundle: Path, text: str, explain: bool, json: Path | None) -> None:
    """Decide which model answers one query; with `explain`, say why."""
    from router.console import console, progress, write_json
    from router.outcome_bundle import load
    from router.outcome_explain import explain_outcome
    from router.outcome_show import show_outcome_decision, show_outcome_explanation

    with progress() as told:
        router = load(bundle, notify=told.notify)
    if not explain:
        decision = router.decide(text)
        show_outcome_decision(console(), text, decision)
        write_json(json, asdict(decision))
        return
    told_why = explain_outcome(router, text)
    show_outcome_explanation(console(), text, told_why)
    named = asdict(told_why)
    write_json(json, {**named.pop("decision"), **named})
