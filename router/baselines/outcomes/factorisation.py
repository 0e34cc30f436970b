"""Matrix factorisation, RouteLLM's form: a vector per model times a projection of the query's embedding.

logit(model, query) = w · (v_model / |v_model| ∘ (W q + b)). RouteLLM trains it on which of two models people preferred;
scores are graded and known for every model, so here each cell is an example of its own, as in EmbedLLM (binary
cross-entropy against the score), and the offset b, which a comparison of two models would cancel, gives each its base rate.
"""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np

from router.baselines.outcomes.learning import sentence_rows
from router.baselines.outcomes.protocol import Floats, Queries
from router.baselines.outcomes.rowwise import product, settled
from router.encoders.protocol import Matrix
from router.outcomes import Outcomes

DIM = 64
EPOCHS = 40
LEAST_STEPS = 400  # for tables of few rows, where an epoch is a step or two
BATCH = 128
RATE = 3e-3
WEIGHT_DECAY = 1e-5
NOISE = 0.05  # deviation of what is added to each column of a query in training, as RouteLLM does


class MatrixFactorisation:
    """Trained by Adam in single precision on the known cells; values are P(right)."""

    allowed: ClassVar[bool] = True
    probabilities: ClassVar[bool] = True

    def fit(self, queries: Queries, outcomes: Outcomes, *, seed: int) -> Self:
        """Draw the start and the noise with `seed`, then descend."""
        rows = sentence_rows(queries, outcomes)
        rng = np.random.default_rng(seed)
        known = np.isfinite(outcomes.score).astype(np.float32)
        score = np.where(known > 0, outcomes.score, 0.0).astype(np.float32)
        factors = _Factors(rows.shape[1], len(outcomes.models), rng)
        adam = Adam(factors.parameters, rate=RATE, decay=WEIGHT_DECAY)
        steps = -(-len(rows) // BATCH)  # of one epoch
        for _ in range(max(EPOCHS, -(-LEAST_STEPS // steps))):
            order = rng.permutation(len(rows))
            for start in range(0, len(rows), BATCH):
                batch = order[start : start + BATCH]
                noise = rng.standard_normal((len(batch), rows.shape[1]), dtype=np.float32) * np.float32(NOISE)
                adam.step(factors.gradients(rows[batch] + noise, score[batch], known[batch]))
        self.weights_, self.intercept_ = factors.collapsed()
        return self

    def predict(self, queries: Queries) -> Floats:
        """(n, m) P(right)."""
        return settled(0.5 * (1.0 + np.tanh(0.5 * (product(queries.sentence, self.weights_) + self.intercept_))))


class _Factors:
    """The four parameters: projection (d, dim), offset (dim,), models (m, dim), weight (dim,)."""

    def __init__(self, d: int, m: int, rng: np.random.Generator) -> None:
        def uniform(*shape: int, fan_in: int) -> Matrix:
            drawn: Matrix = rng.uniform(-1, 1, shape).astype(np.float32) / np.float32(np.sqrt(fan_in))
            return drawn

        self.projection, self.offset = uniform(d, DIM, fan_in=d), np.zeros(DIM, dtype=np.float32)
        self.models, self.weight = rng.standard_normal((m, DIM)).astype(np.float32), uniform(DIM, fan_in=DIM)
        self.parameters = [self.projection, self.offset, self.models, self.weight]

    def gradients(
        self,
        rows: Matrix,
        score: Matrix,
        known: Matrix,
    ) -> list[Matrix]:
        """Of the mean cross-entropy over the known cells, in the order of `parameters`."""
        length = np.linalg.norm(self.models, axis=1, keepdims=True)
        unit = self.models / length
        hidden = rows @ self.projection + self.offset
        logits = hidden @ (unit * self.weight).T
        error = known * (0.5 * (1 + np.tanh(0.5 * logits)) - score) / max(1.0, float(known.sum()))
        by_hidden = error @ (unit * self.weight)
        by_product = error.T @ hidden  # (m, dim): of unit ∘ weight
        by_unit = by_product * self.weight
        by_models = (by_unit - unit * (by_unit * unit).sum(axis=1, keepdims=True)) / length
        return [rows.T @ by_hidden, by_hidden.sum(axis=0), by_models, (by_product * unit).sum(axis=0)]

    def collapsed(self) -> tuple[Floats, Floats]:
        """The same logits as one linear map: weights (d, m) and intercept (m,)."""
        mixed = (self.models / np.linalg.norm(self.models, axis=1, keepdims=True) * self.weight).astype(np.float64).T
        return self.projection.astype(np.float64) @ mixed, self.offset.astype(np.float64) @ mixed


class Adam:
    """Adam with an L2 term in the gradient. Source: Kingma and Ba, 2015, with their β₁ = 0.9, β₂ = 0.999, ε = 1e-8."""

    def __init__(self, parameters: list[Matrix], *, rate: float, decay: float) -> None:
        self.parameters, self.rate, self.decay, self.steps = parameters, rate, decay, 0
        self.first = [np.zeros_like(parameter) for parameter in parameters]
        self.second = [np.zeros_like(parameter) for parameter in parameters]

    def step(self, gradients: list[Matrix]) -> None:
        """Move every parameter in place."""
        self.steps += 1
        rate = np.float32(self.rate * np.sqrt(1 - 0.999**self.steps) / (1 - 0.9**self.steps))
        for parameter, gradient, first, second in zip(self.parameters, gradients, self.first, self.second, strict=True):
            full = gradient + np.float32(self.decay) * parameter
            first += np.float32(0.1) * (full - first)
            second += np.float32(0.001) * (full * full - second)
            parameter -= rate * first / (np.sqrt(second) + np.float32(1e-8))
