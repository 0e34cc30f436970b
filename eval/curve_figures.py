"""The JSON of learning curves: points with intervals, and what they foretell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eval.curve_outlook import outlook
from eval.heads import rounded
from eval.labelled_rows import LabelledRows
from eval.learning_curve import Curve
from eval.power_law import quantiles
from router.dataset import Dataset
from router.fitting import FOLDS

Figures = dict[str, Any]  # Any: JSON's leaves


def curve_figures(
    rows: LabelledRows,
    curves: Mapping[str, Curve | str],
    *,
    whole: Dataset,
    part: str,
    repeats: int,
    seed: int,
) -> Figures:
    """The JSON of `weighbridge data curve`; every key is always there, null with a reason where it does not apply."""
    return {
        "dataset": f"{whole.card.name} {whole.card.version}",
        "fingerprint": whole.fingerprint(),
        "split": part,
        "n_queries": len(whole),
        "n_used": len(rows),
        "n_units": len(set(rows.unit)),
        "encoder": rows.encoder.spec.name,
        "folds": FOLDS,
        "repeats": repeats,
        "seed": seed,
        "protocol": (
            "heads on the queries' own features, one setting a head chosen once by cross-validation; learned from growing"
            " shares of the units outside a fold, judged on that fold; log-loss after temperature scaling fitted on the"
            " other folds; 95 % intervals by bootstrap over units and repeats"
        ),
        "heads": {name: head_figures(curve, n_all=_labelled(whole, name), seed=seed) for name, curve in curves.items()},
    }


def _labelled(dataset: Dataset, name: str) -> int:
    return sum(label is not None for label in dataset.labels(name))


def head_figures(curve: Curve | str, *, n_all: int, seed: int) -> Figures:
    """One head: its points and what they foretell.   n_all: labels there are, all folds and more than were used."""
    if isinstance(curve, str):
        return {"n": n_all, "setting": None, "points": [], "outlook": None, "reason": curve}
    accuracy, log_loss = curve.draws(curve.hits, seed=seed), curve.draws(curve.loss, seed=seed)
    points = [
        {
            "share": share,
            "n": rounded(curve.n[p]),
            "units": rounded(curve.people[p]),
            "accuracy": rounded(curve.accuracy()[p]),
            "accuracy_ci": quantiles(accuracy[:, p]).to_list(),
            "log_loss": rounded(curve.log_loss()[p]),
            "log_loss_ci": quantiles(log_loss[:, p]).to_list(),
            "gain": rounded(curve.accuracy()[p] - curve.accuracy()[p - 1]) if p else None,
            "gain_ci": quantiles(accuracy[:, p] - accuracy[:, p - 1]).to_list() if p else None,
        }
        for p, share in enumerate(curve.shares)
    ]
    return {
        "n": n_all,
        "setting": {"C": curve.setting.C, "ngram_factor": curve.setting.ngram_factor},
        "points": points,
        "outlook": outlook(curve.n, 1 - curve.accuracy(), 1 - accuracy, n_all=n_all, units=len(curve.size)),
        "reason": None,
    }
