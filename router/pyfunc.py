"""A bundle as an MLflow pyfunc: loaded from code (`loader_module`) and the bundle's directory, nothing pickled."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from router.errors import BundleError
from router.outcome_bundle import load_any
from router.outcome_router import ModelRouter
from router.pipeline import HeadSet, Router


class RouterModel:
    """Takes texts (a list, or a table with a column `text`), gives one row a query: route (or model), rule, confidence."""

    def __init__(self, router: Router | ModelRouter) -> None:
        self.router = router

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> list[dict[str, Any]]:  # Any: MLflow's
        """Decide every text."""
        texts: Iterable[str] = model_input["text"] if hasattr(model_input, "columns") else model_input
        asked = [str(text) for text in texts]
        if isinstance(self.router, ModelRouter):
            chosen = self.router.decide_many(asked)
            return [{"model": entry.model, "rule": entry.rule, "confidence": entry.confidence} for entry in chosen]
        decisions = self.router.decide_many(asked)
        return [{"route": entry.route, "rule": entry.rule, "confidence": entry.confidence} for entry in decisions]


def _load_pyfunc(path: str) -> RouterModel:
    """What MLflow calls."""
    router = load_any(Path(path))
    if isinstance(router, HeadSet):
        raise BundleError(f"{path}: a bundle of heads decides nothing; train one with a route table.")
    return RouterModel(router)
