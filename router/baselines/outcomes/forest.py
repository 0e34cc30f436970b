"""A random forest on the sentence embedding, as Not Diamond's RoRF."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np

from router.baselines.outcomes.learning import sentence_rows
from router.baselines.outcomes.protocol import Floats, Queries, filled
from router.baselines.outcomes.rowwise import settled
from router.baselines.outcomes.softlabels import MARGINALS, joint_shares
from router.outcomes import Outcomes

TREES = 100
DEPTH = 20
FEATURES = "sqrt"  # of the columns, for each split to look at; RoRF looks at all, at twenty times the cost
LEAF = 5  # rows, so that a leaf is more than one query's luck


class ForestOutcomes:
    """A pair of models: trees on the four joint classes, as RoRF. More: trees on all scores at once.

    Squared error on class indicators is Gini's impurity, so one multi-output regressor is the classifier too, and takes
    graded scores. RoRF counts "neither" to the strong and "both" to the weak model; values here are P(right) per model.
    A missing score counts as its model's mean.
    """

    allowed: ClassVar[bool] = True
    probabilities: ClassVar[bool] = True

    def fit(self, queries: Queries, outcomes: Outcomes, *, seed: int) -> Self:
        """Grow 100 trees of depth 20 at most."""
        from sklearn.ensemble import RandomForestRegressor

        rows, score = sentence_rows(queries, outcomes), filled(outcomes.score)
        self.targets_ = MARGINALS if score.shape[1] == 2 else np.eye(score.shape[1])
        targets = joint_shares(score) if score.shape[1] == 2 else score
        self.forest_: Any = RandomForestRegressor(  # Any: scikit-learn is untyped
            n_estimators=TREES, max_depth=DEPTH, max_features=FEATURES, min_samples_leaf=LEAF, random_state=seed
        )
        self.forest_.fit(rows, targets[:, 0] if targets.shape[1] == 1 else targets)
        return self

    def predict(self, queries: Queries) -> Floats:
        """(n, m) means of the leaves that a query falls into, in [0, 1]."""
        if len(queries) == 0:
            return np.zeros((0, self.targets_.shape[1]))
        leaves = self.forest_.predict(np.ascontiguousarray(queries.sentence)).reshape(len(queries), -1)
        return settled(np.clip(leaves @ self.targets_, 0.0, 1.0))
