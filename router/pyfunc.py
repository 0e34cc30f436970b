"""A bundle as an MLflow pyfunc: loaded from code (`loader_module`) and the bundle's directory, nothing pickled."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from router.bundle import load
from router.pipeline import Router


class RouterModel:
    """Takes texts (a list, or a table with a column `text`), gives one row a query: route, rule, confidence."""

    def __init__(self, router: Router) -> None:
        self.router = router

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> list[dict[str, Any]]:  # Any: MLflow's
        """Decide every text."""
        texts: Iterable[str] = model_input["text"] if hasattr(model_input, "columns") else model_input
        decisions = self.router.decide_many([str(text) for text in texts])
        return [{"route": entry.route, "rule": entry.rule, "confidence": entry.confidence} for entry in decisions]


def _load_pyfunc(path: str) -> RouterModel:
    """What MLflow calls."""
    return RouterModel(load(Path(path)))
