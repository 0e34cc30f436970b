"""What several families share: one scikit-learn classifier per head on one design matrix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from router.baselines.protocol import Floats, HeadLabels

MAX_ITER = 5_000
TOLERANCE = 1e-5  # at scikit-learn's scale: a looser one stops early, at 150 classes two points below the optimum


class LogisticPerHead:
    """Multinomial logistic regression on fixed features, one model per head, C by cross-validation on two of five folds.

    Shuffled, because sorted data picks a bad C.
    """

    def __init__(self, grid: tuple[float, ...]) -> None:
        self.grid = grid

    def fit(self, X: Any, labels: Mapping[str, HeadLabels], *, seed: int) -> None:  # Any: dense or scipy sparse rows
        """Fit one model per head on the rows that have its label."""
        self.models_ = {name: self._one(X[head.index], head.y, seed) for name, head in labels.items()}
        self.classes_ = {name: len(head.classes) for name, head in labels.items()}

    def _one(self, X: Any, y: Any, seed: int) -> Any:  # Any: scikit-learn is untyped
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import StratifiedKFold

        parts = list(StratifiedKFold(5, shuffle=True, random_state=seed).split(np.zeros(len(y)), y))

        def accuracy(C: float) -> float:
            return float(np.mean([self._model(C).fit(X[a], y[a]).score(X[b], y[b]) for a, b in parts[:2]]))

        best = max(self.grid, key=accuracy) if len(self.grid) > 1 else self.grid[0]
        fitted: LogisticRegression = self._model(best).fit(X, y)
        return fitted

    @staticmethod
    def _model(C: float) -> Any:  # Any: scikit-learn is untyped
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression(C=C, max_iter=MAX_ITER, tol=TOLERANCE)

    def predict(self, X: Any) -> dict[str, Floats]:  # Any: dense or scipy sparse rows
        """Head -> (n, k)."""
        return {name: np.asarray(model.predict_proba(X), dtype=np.float64) for name, model in self.models_.items()}
