"""From a run to figures: per head, per route, per language, each with an interval. A pure function of the run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from eval.errors import Wrong, summed, surest_first
from eval.heads import (
    Figures,
    Judged,
    head_figures,
    head_shares,
    interval,
    judge,
    judged_errors,
    rounded,
    share,
    speakers,
)
from eval.intervals import wilson
from eval.run import Run


def evaluate(run: Run) -> Figures:
    """The evaluation JSON: heads, route, by_language, split, and what they were measured on."""
    heads, named = judged_heads(run), _named(run)
    return {
        "router": run.header.router,
        "bundle": run.header.bundle,
        "dataset": run.header.dataset,
        "fingerprint": run.header.fingerprint,
        "split": run.header.split,
        "n_queries": run.header.n,
        "n_units": len(set(run.units)),
        "heads": {
            name: head_figures(head, run.units, seed=run.header.seed, flagged=_flagged(run, name))
            for name, head in heads.items()
        },
        "agreement": {head: run.header.agreement.get(head) for head in run.header.classes},
        "errors": {name: summed(judged_errors(head, named)) for name, head in heads.items()},
        "also": also_figures(run),
        "route": route_figures(run),
        "by_route": by_route(run),
        "by_language": by_language(run),
    }


def judged_heads(run: Run) -> dict[str, Judged]:
    """Every head over the records that have its label."""
    return {head: judged_head(run, head) for head in run.header.classes}


def judged_head(run: Run, head: str) -> Judged:
    """One head over the records that have its label."""
    labels = [record.labels.get(head) for record in run.records]
    return judge(run.probabilities(head), labels, classes=run.header.classes[head])


def _named(run: Run) -> list[tuple[str, str]]:
    return [(record.query_id, record.text) for record in run.records]


def head_errors(run: Run, head: str) -> list[Wrong]:
    """The wrong ones of the queries that have a label of this head, the surest first."""
    return judged_errors(judged_head(run, head), _named(run))


def route_errors(run: Run) -> list[Wrong]:
    """The queries that went elsewhere than their labels say, the surest first."""
    return surest_first(
        [
            (record.confidence, record.query_id, record.text, record.true_route, record.route)
            for record in run.records
            if record.true_route is not None and record.true_route != record.route
        ]
    )


def _flagged(run: Run, head: str) -> list[str]:
    """The labels whose precision and recall are reported on their own: the urgent one."""
    urgency: Mapping[str, str] = run.header.policy.get("urgency") or {}
    return [urgency["high"]] if urgency.get("head") == head and urgency.get("high") else []


def also_figures(run: Run) -> Figures:
    """Precision and recall of the further desks, over all (query, desk) pairs of queries that truly go to a desk."""
    pairs = [
        (desk in record.also, desk in record.also_label)
        for record in run.records
        if record.true_route not in (None, run.header.cheap)
        for desk in run.header.desks
    ]
    hits = sum(said and there for said, there in pairs)
    said, there = (sum(column) for column in zip(*pairs, strict=True)) if pairs else (0, 0)
    return {
        "n": there,
        "precision": rounded(hits / said) if said else None,
        "recall": rounded(hits / there) if there else None,
    }


def route_figures(run: Run) -> Figures:
    """How often the query went where its labels say, and what the routes taken cost."""
    index, right = route_hits(run)
    cost = np.array([record.cost_usd for record in run.records])
    spec = run.header.policy
    return {
        "n": len(index),
        "n_undetermined": len(run.records) - len(index),
        "accuracy": rounded(right.mean()) if len(index) else None,
        "accuracy_ci": interval(right, index, run.units, seed=run.header.seed),
        "cost_usd_mean": float(f"{cost.mean():.9f}"),
        "cost_usd_all_dear": float(f"{_dearest(run):.9f}"),
        "mistake_usd_mean": _mistakes(run, spec),
        "simulated": run.header.simulated,
        "reason": None if len(index) else "the labels leave the true route of every query open",
    }


def route_hits(run: Run) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
    """(positions of the records whose true route is determined, whether each went there)."""
    index = np.array([i for i, record in enumerate(run.records) if record.true_route is not None], dtype=np.intp)
    right = np.array([run.records[i].route == run.records[i].true_route for i in index], dtype=bool)
    return index, right


def _dearest(run: Run) -> float:
    """Dollars per query if each went to its desk whatever its complexity: the dearest way to serve it well."""
    domain = run.header.policy["domain"]["head"]
    labels = [run.header.classes[domain][j] for j in run.labelled(domain)[1]]
    routes = run.header.routes
    dear = max(route["cost_usd"] for route in routes.values())
    served = [run.header.served_by.get(label, label) for label in labels]
    return float(np.mean([routes[name]["cost_usd"] if name in routes else dear for name in served])) if served else dear


def _mistakes(run: Run, spec: Mapping[str, Any]) -> float | None:
    """Dollars per query lost to wrong roads, at the policy's two prices."""
    index, right = route_hits(run)
    if not len(index):
        return None
    cheap = run.header.cheap
    lost = [
        0.0 if ok else spec["wrong_cheap_usd"] if run.records[i].route == cheap else spec["wrong_dear_usd"]
        for i, ok in zip(index, right, strict=True)
    ]
    return rounded(np.mean(lost))


def by_route(run: Run) -> dict[str, Figures]:
    """Per route: share, accuracy of what was sent there, recall of what belonged there, cost, latency (simulated)."""
    figures = {}
    for name in run.header.routes:
        sent = [record for record in run.records if record.route == name]
        judged = [record for record in sent if record.true_route is not None]
        belonged = [record for record in run.records if record.true_route == name]
        hits = sum(record.true_route == name for record in judged)
        latency = np.array([record.latency_ms for record in sent])
        figures[name] = {
            "n": len(sent),
            "share": rounded(len(sent) / max(1, len(run.records))),
            "precision": rounded(hits / len(judged)) if judged else None,
            "precision_ci": wilson(hits, len(judged)).to_list() if judged else None,
            "recall": rounded(hits / len(belonged)) if belonged else None,
            "recall_ci": wilson(hits, len(belonged)).to_list() if belonged else None,
            "cost_usd": run.header.routes[name]["cost_usd"],
            "cost_usd_total": float(f"{sum(record.cost_usd for record in sent):.9f}"),
            "latency_ms_p50": round(float(np.quantile(latency, 0.5)), 1) if sent else None,
            "latency_ms_p95": round(float(np.quantile(latency, 0.95)), 1) if sent else None,
            "simulated": run.header.simulated,
        }
    return figures


def by_language(run: Run) -> dict[str, Figures]:
    """Accuracy of every head and of the route, per language that queries name."""
    heads = judged_heads(run)
    index, right = route_hits(run)
    return {
        language: {
            "n": int(spoken.sum()),
            "heads": head_shares(heads, spoken),
            "route": share(right[spoken[index]] if len(index) else right),
        }
        for language, spoken in speakers([record.language for record in run.records]).items()
    }
