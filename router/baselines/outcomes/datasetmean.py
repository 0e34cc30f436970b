"""The mean score per data set, with the name of the data set known: what knowing the subject alone would give.

Nobody tells a router that at decision time, so this one is not allowed and stands on the leaderboard as a mark.
"""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np

from router.baselines.outcomes.clusters import shrunk_means
from router.baselines.outcomes.learning import mean_scores
from router.baselines.outcomes.protocol import Floats, Queries
from router.baselines.outcomes.rowwise import settled
from router.errors import FitError
from router.outcomes import Outcomes


class DatasetMean:
    """The mean known score of each model in the query's data set; the model's overall mean for a data set not seen."""

    allowed: ClassVar[bool] = False
    probabilities: ClassVar[bool] = True

    def fit(self, queries: Queries, outcomes: Outcomes, *, seed: int) -> Self:
        """Average per data set. Raises FitError where no query has one."""
        self.means_ = mean_scores(queries, outcomes)
        names = queries.dataset or ()
        self.number_ = {name: j for j, name in enumerate(sorted({name for name in names if name is not None}))}
        if not self.number_:
            raise FitError(
                f"outcomes {outcomes.name!r}: no query has a `dataset`, which the mean per data set needs;"
                " map a column to it, or leave `dataset-mean` out of --routers."
            )
        labelled = np.array([i for i, name in enumerate(names) if name is not None], dtype=np.intp)
        label = np.array([self.number_[name] for name in names if name is not None], dtype=np.intp)
        self.values_ = shrunk_means(outcomes.score[labelled], label, self.means_, k=len(self.number_), shrink=0.0)
        return self

    def predict(self, queries: Queries) -> Floats:
        """(n, m) mean scores in [0, 1]."""
        rows = np.vstack([self.values_, self.means_])  # the last one is for what was not seen
        names = queries.dataset or [None] * len(queries)
        index = [len(self.values_) if name is None else self.number_.get(name, len(self.values_)) for name in names]
        return settled(rows[np.array(index, dtype=np.intp)])
