"""From a run to figures: per head, per route, per language, each with an interval. A pure function of the run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from eval.intervals import bootstrap_mean, wilson
from eval.run import Run
from router.files import DECIMALS
from router.scoring import brier, confusion, log_loss, macro_f1, precision_recall_f1, reliability

Figures = dict[
    str, Any
]  # Any: the JSON of design.md; every key is always there, null with a reason where it does not apply
NO_LABELS = "no query of this split has a label of this head"


def evaluate(run: Run) -> Figures:
    """The evaluation JSON: heads, route, by_language, split, and what they were measured on."""
    return {
        "router": run.header.router,
        "bundle": run.header.bundle,
        "dataset": run.header.dataset,
        "fingerprint": run.header.fingerprint,
        "split": run.header.split,
        "n_queries": run.header.n,
        "n_units": len(set(run.units)),
        "heads": {head: head_figures(run, head) for head in run.header.classes},
        "also": also_figures(run),
        "route": route_figures(run),
        "by_route": by_route(run),
        "by_language": by_language(run),
    }


def head_figures(run: Run, head: str) -> Figures:
    """Accuracy, macro F1, calibration and confusion of one head, over the records that have its label."""
    classes = list(run.header.classes[head])
    index, y = run.labelled(head)
    extra = dict.fromkeys(_flagged(run, head))
    if len(y) == 0:
        empty = dict.fromkeys(
            ("accuracy", "accuracy_ci", "macro_f1", "ece", "ece_bias", "log_loss", "brier", "confusion")
        )
        return {"n": 0, **empty, **extra, "reason": NO_LABELS}
    p = run.probabilities(head)[index]
    predicted = p.argmax(axis=1)
    right = predicted == y
    matrix = confusion(y, predicted, k=len(classes))
    bins = reliability(p, y)
    return {
        "n": len(y),
        "accuracy": _round(right.mean()),
        "accuracy_ci": _interval(run, index, right),
        "macro_f1": _round(macro_f1(matrix)),
        "ece": _round(bins.ece),
        "ece_bias": _round(bins.ece_bias),
        "log_loss": _round(log_loss(p, y)),
        "brier": _round(brier(p, y)),
        "confusion": {"labels": classes, "rows": matrix.tolist()},
        **{label: _precision_recall(matrix, classes.index(label)) for label in extra},
        "reason": None,
    }


def _flagged(run: Run, head: str) -> list[str]:
    """The labels whose precision and recall are reported on their own: the urgent one."""
    urgency: Mapping[str, str] = run.header.policy.get("urgency") or {}
    return [urgency["high"]] if urgency.get("head") == head and urgency.get("high") else []


def _precision_recall(matrix: npt.NDArray[np.intp], j: int) -> Figures:
    precision, recall, _ = precision_recall_f1(matrix)
    hits, predicted, there = int(matrix[j, j]), int(matrix[:, j].sum()), int(matrix[j].sum())
    return {
        "n": there,
        "precision": _round(precision[j]) if predicted else None,
        "precision_ci": wilson(hits, predicted).to_list() if predicted else None,
        "recall": _round(recall[j]) if there else None,
        "recall_ci": wilson(hits, there).to_list() if there else None,
    }


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
        "precision": _round(hits / said) if said else None,
        "recall": _round(hits / there) if there else None,
    }


def route_figures(run: Run) -> Figures:
    """How often the query went where its labels say, and what the routes taken cost."""
    index, right = route_hits(run)
    cost = np.array([record.cost_usd for record in run.records])
    spec = run.header.policy
    return {
        "n": len(index),
        "n_undetermined": len(run.records) - len(index),
        "accuracy": _round(right.mean()) if len(index) else None,
        "accuracy_ci": _interval(run, index, right),
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
    return _round(np.mean(lost))


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
            "share": _round(len(sent) / max(1, len(run.records))),
            "precision": _round(hits / len(judged)) if judged else None,
            "precision_ci": wilson(hits, len(judged)).to_list() if judged else None,
            "recall": _round(hits / len(belonged)) if belonged else None,
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
    languages = sorted({record.language for record in run.records if record.language})
    figures = {}
    for language in languages:
        spoken = np.array([record.language == language for record in run.records])
        heads = {}
        for head in run.header.classes:
            index, y = run.labelled(head)
            right = run.probabilities(head)[index].argmax(axis=1) == y
            heads[head] = _share(right[spoken[index]])
        index, right = route_hits(run)
        figures[language] = {
            "n": int(spoken.sum()),
            "heads": heads,
            "route": _share(right[spoken[index]] if len(index) else right),
        }
    return figures


def _share(right: npt.NDArray[np.bool_]) -> Figures:
    n = len(right)
    return {
        "n": n,
        "accuracy": _round(right.mean()) if n else None,
        "accuracy_ci": wilson(int(right.sum()), n).to_list() if n else None,
    }


def _interval(run: Run, index: npt.NDArray[np.intp], right: npt.NDArray[np.bool_]) -> list[float] | None:
    if not len(index):
        return None
    units = run.units
    groups = [units[i] for i in index]
    if len(set(groups)) < 2 or right.all() or not right.any():
        return wilson(int(right.sum()), len(right)).to_list()
    rng = np.random.default_rng(run.header.seed)
    return bootstrap_mean(right.astype(np.float64), groups, rng=rng).interval.to_list()


def _round(value: float | np.floating[Any]) -> float:
    return round(float(value), DECIMALS)
