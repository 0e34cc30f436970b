"""Why a decision was taken, as far as the bundle that took it can say: computed beside the classifier, one text at a time."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

from agents.gateway.choice import RouteChoice
from agents.gateway.held import Held, LabelBundle, ModelBundle
from agents.gateway.pool import Pool, PoolError, PoolLimits
from router.outcome_router import ModelRouter
from router.pipeline import Router

logger = logging.getLogger(__name__)

LIMITS = PoolLimits(
    threads=1, work_s=5.0, wait_s=10.0, line=32, stuck=2
)  # it must not take the classifier's processors
Json = dict[str, Any]  # Any: whatever JSON can hold


class Explainer:
    """Explains decisions in a thread of its own."""

    def __init__(self, limits: PoolLimits = LIMITS) -> None:
        self.pool = Pool(limits)

    async def explain(self, held: Held | None, choice: RouteChoice, text: str) -> Json:
        """Contributions, nearest training queries by their ids, and what would flip it; or why there is no explanation.

        held: what decided. `available` says which of both it is, and `reason` why not. Never raises.
        """
        why = _cannot(held, choice)
        if why is None:
            assert isinstance(held, LabelBundle | ModelBundle)
            try:
                found = await self.pool.run(partial(_explained, held, choice, text))
                return {"available": True, "reason": None, **found}
            except PoolError as err:
                why = f"{err}; ask again later, or for fewer"
            except Exception as err:  # its own words may be the text's
                logger.warning("bundle %s explains nothing: %s", held.bundle_id, type(err).__name__)
                why = f"the bundle could not explain it ({type(err).__name__})"
        return {"available": False, "reason": why}

    def close(self) -> None:
        """Let the thread go."""
        self.pool.close()


def _cannot(held: Held | None, choice: RouteChoice) -> str | None:
    """Why nothing can be explained; None where something can."""
    if choice.confidence is None and not choice.probabilities:
        return f"no classifier decided it: {choice.rule}"
    if held is None or held.bundle_id != choice.bundle_id:
        return "the bundle that decided it was replaced meanwhile; ask again"
    if isinstance(held, ModelBundle) or (isinstance(held, LabelBundle) and isinstance(held.router, Router)):
        return None
    return (
        f"the bundle decides in its compiled form {held.form}, which keeps no coefficients by name; serve it with"
        " `--form fitted`, or type `weighbridge route TEXT --explain`"
    )


def _explained(held: LabelBundle | ModelBundle, choice: RouteChoice, text: str) -> Json:
    if isinstance(held, ModelBundle):
        return _of_models(held.router, text)
    assert isinstance(held.router, Router)
    return _of_labels(held.router, choice.probabilities, text)


def _of_labels(router: Router, probabilities: Mapping[str, Mapping[str, float]], text: str) -> Json:
    from router.explain import explain

    said = explain(router, text)
    return {
        "heads": {
            head: {
                "label": max(p, key=p.__getitem__),
                "against": said.runner_up[head],
                "unit": "log-odds",
                "parts": [{"name": part.name, "amount": part.log_odds} for part in said.contributions[head]],
            }
            for head, p in probabilities.items()
        },
        "neighbours": [{"query_id": query.query_id, "similarity": similarity} for similarity, query in said.neighbours],
        "flip": said.flip,
    }


def _of_models(router: ModelRouter, text: str) -> Json:
    from router.outcome_explain import explain_outcome

    said = explain_outcome(router, text)
    sums = {"blend": said.blend, **said.views}
    return {
        "model": said.decision.model,
        "against": said.against,
        "views": {
            name: {"unit": found.unit, "base": found.base, "parts": [asdict(part) for part in found.strongest]}
            for name, found in sums.items()
        },
        "neighbours": [{"query_id": near.query_id, "similarity": near.similarity} for near in said.neighbours],
        "flip": {
            "parameter": None if said.parameter is None else asdict(said.parameter),
            "price": None if said.price is None else asdict(said.price),
        },
    }
