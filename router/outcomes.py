"""Outcome tables: which model answered which query how well, and at what cost. Read by `outcome_rows`, checked there.

A cell that is missing is NaN and stays so: a missing score is not a failure, a missing cost is not 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from router.card import USES
from router.errors import DataError
from router.files import DECIMALS, canonical_json, sha256_bytes

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
PER_QUERY = ("ids", "texts", "dataset", "split")
PER_CELL = ("score", "cost_usd", "input_tokens", "output_tokens", "latency_ms")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcomes:
    """n queries by m > 0 models, models from the cheapest to the dearest (by mean cost; by mean score where none is known).

    score: (n, m) in [0, 1].   cost_usd, input_tokens, output_tokens, latency_ms: (n, m).   dataset, split: n names or
    None.   unit: (n,) number of the group of equal texts a query belongs to; no split and no draw tears one apart.
    use: "train", or "evaluation-only" for tables that nothing may be fitted on.
    """

    name: str
    ids: tuple[str, ...]
    texts: tuple[str, ...]
    models: tuple[str, ...]
    score: Floats
    cost_usd: Floats
    input_tokens: Floats
    output_tokens: Floats
    latency_ms: Floats
    dataset: tuple[str | None, ...]
    split: tuple[str | None, ...]
    unit: Ints
    use: str = "train"

    def __post_init__(self) -> None:
        shape = (len(self.ids), len(self.models))
        wrong = [name for name in PER_CELL if getattr(self, name).shape != shape]
        wrong += [name for name in (*PER_QUERY, "unit") if len(getattr(self, name)) != shape[0]]
        if wrong:
            raise DataError(f"outcomes {self.name!r}: {', '.join(wrong)} do not have the shape of {shape} cells.")
        if len(set(self.models)) != len(self.models) or len(set(self.ids)) != len(self.ids):
            raise DataError(f"outcomes {self.name!r}: a model or a query id stands twice; wanted each once.")
        if not self.models:
            raise DataError(f"outcomes {self.name!r}: no model is left; wanted one or more.")
        if self.use not in USES:
            raise DataError(f"outcomes {self.name!r}: `use` is {self.use!r}; wanted one of {', '.join(USES)}.")
        self._require_values()

    def _require_values(self) -> None:
        """A score beyond [0, 1] or a negative or infinite amount: no table has one, whoever made it."""
        for name in PER_CELL:
            cells = getattr(self, name)
            if (cells < 0).any() or (cells > (1 if name == "score" else np.finfo(np.float64).max)).any():
                wanted = "[0, 1]" if name == "score" else "0 or more, finite"
                raise DataError(f"outcomes {self.name!r}: a {name} is not in its range; wanted {wanted}, or NaN.")

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"Outcomes({self.name}, {len(self.ids)} queries, {len(self.models)} models)"

    @property
    def has_cost(self) -> bool:
        """Whether every model has the cost of at least one call."""
        return bool(len(self)) and bool(np.isfinite(self.cost_usd).any(axis=0).all())

    @property
    def complete(self) -> npt.NDArray[np.bool_]:
        """(n,) the queries that every model answered."""
        return np.asarray(np.isfinite(self.score).all(axis=1))

    def rows(self, index: npt.NDArray[Any]) -> Outcomes:  # Any: positions or a mask
        """The chosen queries, in the order of `index`."""
        chosen = np.arange(len(self))[index]
        changed: dict[str, Any] = {name: tuple(getattr(self, name)[i] for i in chosen) for name in PER_QUERY}
        changed.update({name: getattr(self, name)[chosen] for name in (*PER_CELL, "unit")})
        return replace(self, **changed)

    def only(self, models: Sequence[str]) -> Outcomes:
        """The chosen models, in the table's order. Raises DataError for one that the table lacks."""
        unknown = [model for model in models if model not in self.models]
        if unknown:
            raise DataError(f"outcomes {self.name!r}: no model {unknown[0]!r}; it has {', '.join(self.models)}.")
        kept = [j for j, model in enumerate(self.models) if model in models]
        return replace(
            self,
            models=tuple(self.models[j] for j in kept),
            **{name: getattr(self, name)[:, kept] for name in PER_CELL},
        )

    def require_trainable(self, verb: str) -> None:
        """Raise DataError where the table's `use` forbids fitting."""
        if self.use != "train":
            raise DataError(
                f"outcomes {self.name!r} are for evaluation only, so `{verb}` must not fit on them."
                " Fit on another table, and look at this one with `weighbridge data stats`."
            )

    def column(self, model: str) -> int:
        """The position of a model. Raises DataError where the table lacks it."""
        if model not in self.models:
            raise DataError(f"outcomes {self.name!r}: no model {model!r}; it has {', '.join(self.models)}.")
        return self.models.index(model)

    def oracle(self) -> Ints:
        """(n,) the model that answered best; the cheapest of those where several did, the first in order where these tie.

        A missing cost counts as the dearest of the table. Raises DataError where a row is not complete.
        """
        if not self.complete.all():
            raise DataError(f"outcomes {self.name!r}: the oracle needs every score; drop the incomplete queries first.")
        best = self.score >= self.score.max(axis=1, keepdims=True)
        cost = np.where(np.isfinite(self.cost_usd), self.cost_usd, np.nanmax(self.cost_usd) if self.has_cost else 0.0)
        order = cost if self.has_cost else np.broadcast_to(np.arange(len(self.models)), self.score.shape)
        choice: Ints = np.where(best, order, np.inf).argmin(axis=1)
        return choice

    def fingerprint(self) -> str:
        """Hex digest of ids, texts, splits and every cell: the same for any order of the rows."""
        cells = [_written(np.hstack([getattr(self, name)[i] for name in PER_CELL])) for i in range(len(self))]
        rows = sorted(
            canonical_json(list(row)) for row in zip(self.ids, self.texts, self.dataset, self.split, cells, strict=True)
        )
        return sha256_bytes("\n".join([canonical_json(list(self.models)), *rows]).encode("utf-8", "surrogatepass"))


def _written(cells: Floats) -> list[float | None]:
    """Numbers as they are hashed: rounded, null for NaN, and one spelling of 0."""
    return [None if value != value else round(value, DECIMALS + 6) + 0.0 for value in cells.tolist()]


def equal_texts(texts: Sequence[str]) -> Ints:
    """(n,) a number per text; texts that differ only in case and white space have the same.

    >>> equal_texts(["A  b", "c", "a b"]).tolist()
    [0, 1, 0]
    """
    number: dict[str, int] = {}
    return np.array(
        [number.setdefault(" ".join(text.casefold().split()), len(number)) for text in texts], dtype=np.intp
    )
