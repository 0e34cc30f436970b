"""What a call is expected to cost before it is made: learned from recorded costs, for every query and model.

Policies weigh an answer's value against this figure. It grows with the query and with what the model is likely to write,
both of which the embedding and the surface features tell in part.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from router.encoders.protocol import Matrix
from router.success.principal import Principal, Ridge

Floats = npt.NDArray[np.float64]
PENALTY = 3.0
SMALLEST_USD = 1e-9


@dataclass(frozen=True)
class CostModel:
    """Least squares on log dollars.   correction: (m,) mean of exp(residual), so that means of dollars are met.

    low, high: (m,) the extremes seen in training, beyond which no expectation goes.   Source of the correction: Duan,
    1983, Smearing estimate.
    """

    ridge: Ridge
    correction: Floats
    low: Floats
    high: Floats

    def expected_usd(self, rows: Matrix) -> Floats:
        """(n, m) dollars per call.   rows: (n, d) dense columns as in training."""
        dollars: Floats = np.clip(np.exp(self.ridge.values(rows)) * self.correction, self.low, self.high)
        return dollars


def fit_costs(principal: Principal, cost_usd: Floats) -> CostModel:
    """Fit on n rows' principal axes and their (n, m) recorded costs, every one known."""
    logs = np.log(np.maximum(cost_usd, SMALLEST_USD))
    ridge = principal.fit(logs, penalty=PENALTY)
    residual = logs - (principal.coordinates @ (principal.axes.T @ ridge.weights) + logs.mean(axis=0))
    return CostModel(
        ridge=ridge,
        correction=np.exp(residual).mean(axis=0),
        low=cost_usd.min(axis=0),
        high=cost_usd.max(axis=0),
    )
