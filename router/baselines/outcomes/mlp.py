"""A small neural network on the sentence embedding: one hidden layer, all models' scores at once."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np

from router.baselines.outcomes.learning import sentence_rows, stopping_early
from router.baselines.outcomes.protocol import Floats, Queries, filled
from router.baselines.outcomes.rowwise import product, settled
from router.outcomes import Outcomes

HIDDEN = 100
EPOCHS = 60  # at most; the rows held out end it sooner where there are enough of them
LEAST_TO_VALIDATE = 200  # rows: a tenth of fewer says nothing about when to stop


class NeuralOutcomes:
    """scikit-learn's MLPRegressor (100 rectified units, Adam) with RouterBench's squared error, stopped on a tenth held out.

    RouterBench fits three layers to each model on its own; here one layer serves all models. A missing score counts as
    its model's mean. Values are expected scores and may leave [0, 1].
    """

    allowed: ClassVar[bool] = True
    probabilities: ClassVar[bool] = False

    def fit(self, queries: Queries, outcomes: Outcomes, *, seed: int) -> Self:
        """Train from weights drawn with `seed`."""
        from sklearn.neural_network import MLPRegressor

        rows = sentence_rows(queries, outcomes)
        network = MLPRegressor(
            hidden_layer_sizes=(HIDDEN,),
            max_iter=EPOCHS,
            early_stopping=len(rows) >= LEAST_TO_VALIDATE,
            random_state=seed,
        )
        score = filled(outcomes.score)
        with stopping_early():
            network.fit(rows.astype(np.float64), score[:, 0] if score.shape[1] == 1 else score)
        self.layers_: list[tuple[Floats, Floats]] = list(zip(network.coefs_, network.intercepts_, strict=True))
        return self

    def predict(self, queries: Queries) -> Floats:
        """(n, m) expected scores."""
        (first, offset), (second, base) = self.layers_
        hidden = np.maximum(product(queries.sentence, first) + offset, 0.0)
        return settled(product(hidden, second) + base)
