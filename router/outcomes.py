"""Outcome tables: which model answered which query how well, and at what cost. Read by `outcome_rows`, checked there.

A cell that is missing is NaN and stays so: a missing score is not a failure, a missing cost is not 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from router.errors import DataError
from router.files import DECIMALS, canonical_json, sha256_bytes

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
PER_QUERY = ("ids", "texts", "dataset", "split")
PER_CELL = ("score", "cost_usd", "input_tokens", "output_tokens", "latency_ms")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcomes:
    """n queries by m models, models from the cheapest to the dearest (by mean cost; by mean score where none is known).

    score: (n, m) in [0, 1].   cost_usd, input_tokens, output_tokens, latency_ms: (n, m).   dataset, split: n names or
    None.   unit: (n,) number of the group of equal texts a query belongs to; no split and no draw tears one apart.
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

    def __post_init__(self) -> None:
        shape = (len(self.ids), len(self.models))
        wrong = [name for name in PER_CELL if getattr(self, name).shape != shape]
        wrong += [name for name in (*PER_QUERY, "unit") if len(getattr(self, name)) != shape[0]]
        if wrong:
            raise DataError(f"outcomes {self.name!r}: {', '.join(wrong)} do not have the shape of {shape} cells.")
        if len(set(self.models)) != len(self.models) or len(set(self.ids)) != len(self.ids):
            raise DataError(f"outcomes {self.name!r}: a model or a query id stands twice; wanted each once.")

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
        whole: npt.NDArray[np.bool_] = np.isfinite(self.score).all(axis=1)
        return whole

    def rows(self, index: npt.NDArray[Any]) -> Outcomes:  # Any: positions or a mask
        """The chosen queries, in the order of `index`."""
        chosen = np.arange(len(self))[index]
        return self._with(
            **{name: tuple(getattr(self, name)[i] for i in chosen) for name in PER_QUERY},
            **{name: getattr(self, name)[chosen] for name in (*PER_CELL, "unit")},
        )

    def only(self, models: Sequence[str]) -> Outcomes:
        """The chosen models, in the table's order. Raises DataError for one that the table lacks."""
        unknown = [model for model in models if model not in self.models]
        if unknown:
            raise DataError(f"outcomes {self.name!r}: no model {unknown[0]!r}; it has {', '.join(self.models)}.")
        kept = [j for j, model in enumerate(self.models) if model in models]
        return self._with(
            models=tuple(self.models[j] for j in kept), **{name: getattr(self, name)[:, kept] for name in PER_CELL}
        )

    def _with(self, **changed: Any) -> Outcomes:  # Any: any field
        return Outcomes(**{**{field.name: getattr(self, field.name) for field in fields(self)}, **changed})

    def column(self, model: str) -> int:
        """The position of a model. Raises DataError where the table lacks it."""
        if model not in self.models:
            raise DataError(f"outcomes {self.name!r}: no model {model!r}; it has {', '.join(self.models)}.")
        return self.models.index(model)

    def oracle(self) -> Ints:
        """(n,) the model that answered best; the cheapest of those where several did.   Every row must be complete."""
        if not self.complete.all():
            raise DataError(f"outcomes {self.name!r}: the oracle needs every score; drop the incomplete queries first.")
        best = self.score >= self.score.max(axis=1, keepdims=True)
        cost = np.where(np.isfinite(self.cost_usd), self.cost_usd, np.nanmax(self.cost_usd) if self.has_cost else 0.0)
        order = cost if self.has_cost else np.broadcast_to(np.arange(len(self.models)), self.score.shape)
        choice: Ints = np.where(best, order, np.inf).argmin(axis=1)
        return choice

    def fingerprint(self) -> str:
        """Hex digest of ids, texts, splits and every cell: the same for any order of the rows."""
        rows = sorted(canonical_json(self._row(i)) for i in range(len(self)))
        return sha256_bytes("\n".join([canonical_json(list(self.models)), *rows]).encode("utf-8", "surrogatepass"))

    def _row(self, i: int) -> list[object]:
        cells = [
            None if not np.isfinite(value) else round(float(value), DECIMALS + 6)
            for name in PER_CELL
            for value in getattr(self, name)[i]
        ]
        return [self.ids[i], self.texts[i], self.dataset[i], self.split[i], cells]


def equal_texts(texts: Sequence[str]) -> Ints:
    """(n,) a number per text; texts that differ only in case and white space have the same.

    >>> equal_texts(["A  b", "c", "a b"]).tolist()
    [0, 1, 0]
    """
    number: dict[str, int] = {}
    return np.array([number.setdefault(" ".join(text.casefold().split()), len(number)) for text in texts], dtype=np.intp)
