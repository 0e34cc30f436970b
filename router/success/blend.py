"""The blend: weights of the views, learned on held-out values. Three forms; the held-out routing error chooses.

shared   one weight per view for all models, least squares on what a model has above the row's mean: few numbers, little
         to overfit, so it suits many models or few queries
each     every model's own weights, by logistic regression on log-odds
joint    for a pair: the four joint outcomes, because what routes a query is which of the two succeeds where the other
         does not
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from router.scoring import softmax
from router.success.solver import CERTAIN, model_means, sigmoid

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
SURE = 0.02  # before the logarithm: ten neighbours that agree are not certainty
PRIOR = 2.0  # rows of the mean of all: one recorded success is no proof of a model that never fails
WHOLE = 0.5  # of the answered queries: where a pair shares fewer, its joint outcomes are not learned
STRENGTH = 1.0  # C of the blend's own penalty; a few weights on thousands of rows hardly feel it


def log_odds(p: Floats) -> Floats:
    """Element by element, with probabilities kept within [0.02, 0.98]."""
    inside = np.clip(p, SURE, 1.0 - SURE)
    return np.log(inside / (1.0 - inside))


@dataclass(frozen=True)
class JointBlend:
    """Two models: weights (2 v, 4) and intercept (4,) of the joint outcomes neither, second only, first only, both."""

    views: tuple[str, ...]
    weights: Floats
    intercept: Floats

    def probabilities(self, views: Mapping[str, Floats]) -> Floats:
        """(n, 2) P(good answer) of each model; their difference is P(only one) − P(only the other)."""
        rows = np.hstack([log_odds(views[name]) for name in self.views])
        joint = softmax(rows @ self.weights + self.intercept)
        return np.minimum(np.column_stack([joint[:, 2] + joint[:, 3], joint[:, 1] + joint[:, 3]]), 1.0)


@dataclass(frozen=True)
class EachBlend:
    """Any number of models: weights (v, m) and intercept (m,), each model's own."""

    views: tuple[str, ...]
    weights: Floats
    intercept: Floats

    def probabilities(self, views: Mapping[str, Floats]) -> Floats:
        """(n, m) P(good answer) of each model."""
        logits = sum((log_odds(views[name]) * self.weights[v] for v, name in enumerate(self.views)), self.intercept)
        return sigmoid(np.asarray(logits))


@dataclass(frozen=True)
class SharedBlend:
    """Any number of models: weights and level (v,), none below 0, and intercept (m,), on the views' values as they are.

    weights: of what a model has above the row's mean.   level: of that mean, which moves no decision between models.
    """

    views: tuple[str, ...]
    weights: Floats
    level: Floats
    intercept: Floats

    def probabilities(self, views: Mapping[str, Floats]) -> Floats:
        """(n, m) P(good answer) of each model."""
        values = _mixed([views[name] for name in self.views], self.weights, self.level) + self.intercept
        return np.clip(values, CERTAIN, 1.0 - CERTAIN)


Blend = JointBlend | EachBlend | SharedBlend


def fit_blend(held: Mapping[str, Floats], score: Floats, part: Ints) -> tuple[Blend, dict[str, float]]:
    """The form with the smallest cross-fitted routing error, fitted on all rows, and every form's error.

    held: view -> (n, m) held-out values.   score: (n, m) in [0, 1], NaN where missing.   part: (n,) folds.
    """
    forms: dict[str, Callable[[Mapping[str, Floats], Floats], Blend]] = {"shared": _fit_shared, "each": _fit_each}
    if score.shape[1] == 2:
        forms["joint"] = _fit_joint
    errors = {}
    for name, fit in forms.items():
        values = np.empty_like(score)
        for fold in np.unique(part).tolist():
            seen = part != fold
            blend = fit({view: p[seen] for view, p in held.items()}, score[seen])
            values[~seen] = blend.probabilities({view: p[~seen] for view, p in held.items()})
        errors[name] = routing_error(values, score)
    best = min(errors, key=lambda name: errors[name])
    return forms[best](held, score), errors


def _fit_shared(held: Mapping[str, Floats], score: Floats) -> SharedBlend:
    from scipy.optimize import nnls

    known = np.isfinite(score)
    columns = [_above_row_mean(values, known)[known] for values in held.values()]
    weights, _ = nnls(np.column_stack(columns), _above_row_mean(score, known)[known])
    views = list(held.values())
    rest = np.where(known, score - _mixed(views, weights, np.zeros(len(views))), np.nan)
    told = known.any(axis=1)
    common = np.column_stack([values.mean(axis=1) for values in views])[told]
    mean = np.nanmean(rest[told], axis=1)
    level, _ = nnls(common - common.mean(axis=0), mean - mean.mean())
    rest = np.where(known, score - _mixed(views, weights, level), np.nan)
    count = known.sum(axis=0)
    intercept = (model_means(rest) * count + PRIOR * np.nanmean(rest)) / (count + PRIOR)
    return SharedBlend(tuple(held), weights, level, intercept)


def _mixed(views: Sequence[Floats], weights: Floats, level: Floats) -> Floats:
    """(n, m): each view's distance from its row's mean by its weight, and the mean by its level."""
    found = np.zeros_like(views[0])
    for values, weight, height in zip(views, weights, level, strict=True):
        mean = values.mean(axis=1, keepdims=True)
        found += weight * (values - mean) + height * mean
    return found


def _fit_joint(held: Mapping[str, Floats], score: Floats) -> Blend:
    whole = np.isfinite(score).all(axis=1)
    if whole.sum() < WHOLE * np.isfinite(score).any(axis=1).sum():
        return _fit_each(held, score)
    first, second = score[whole, 0], score[whole, 1]
    shares = [(1 - first) * (1 - second), (1 - first) * second, first * (1 - second), first * second]
    if min(float(share.sum()) for share in shares) < 1.0:  # an outcome that never happens cannot be learned
        return _fit_each(held, score)
    rows = np.hstack([log_odds(values[whole]) for values in held.values()])
    model = _logistic(np.vstack([rows] * 4), np.repeat(np.arange(4), len(rows)), np.concatenate(shares))
    return JointBlend(tuple(held), model.coef_.T.astype(np.float64), model.intercept_.astype(np.float64))


def _fit_each(held: Mapping[str, Floats], score: Floats) -> EachBlend:
    weights, intercept = np.zeros((len(held), score.shape[1])), np.zeros(score.shape[1])
    for j in range(score.shape[1]):
        known = np.isfinite(score[:, j])
        y = score[known, j]
        if len(np.unique(y)) < 2:
            mean = np.clip((y.sum() + PRIOR * np.nanmean(score)) / (len(y) + PRIOR), CERTAIN, 1 - CERTAIN)
            intercept[j] = np.log(mean / (1 - mean))
            continue
        rows = np.column_stack([log_odds(values[known, j]) for values in held.values()])
        model = _logistic(np.vstack([rows, rows]), np.repeat([1, 0], len(rows)), np.concatenate([y, 1 - y]))
        weights[:, j], intercept[j] = model.coef_[0], model.intercept_[0]
    return EachBlend(tuple(held), weights, intercept)


def _logistic(rows: Floats, y: npt.NDArray[np.intp], weight: Floats):  # type: ignore[no-untyped-def]  # scikit-learn is untyped
    from sklearn.linear_model import LogisticRegression

    present = weight > 0
    return LogisticRegression(C=STRENGTH, max_iter=1_000, tol=1e-6).fit(rows[present], y[present], weight[present])


def routing_error(p: Floats, score: Floats) -> float:
    """Mean squared error of what a model has above the row's mean: the part of a prediction that moves a decision.

    p, score: (n, m); a row counts with the models whose score is known.
    """
    known = np.isfinite(score)
    error = _above_row_mean(p, known) - _above_row_mean(score, known)
    return float((error[known] ** 2).mean())


def _above_row_mean(values: Floats, known: npt.NDArray[np.bool_]) -> Floats:
    inside = np.where(known, values, 0.0)
    count = np.maximum(1, known.sum(axis=1, keepdims=True))
    above: Floats = np.where(known, inside - inside.sum(axis=1, keepdims=True) / count, 0.0)
    return above
