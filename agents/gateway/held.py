"""A loaded bundle as the decider sees it, whatever its kind and its form: texts in, verdicts out, two threads at once."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from agents.gateway.choice import SUCCESS
from router.compiled import CompiledRouter
from router.earlier import LOOK_BACK
from router.errors import BundleError, PolicyError
from router.files import canonical_json, sha256_bytes
from router.outcome_policy import CheapestAbove, Threshold, to_mapping
from router.outcome_router import ModelRouter
from router.pipeline import Router
from router.policy import STAYS, LabelPolicy
from router.routes import RouteTable
from router.stickiness import stays_on
from router.types import Decision

FITTED = "fitted"


class Held(Protocol):
    """A loaded bundle, whatever its kind. Two threads may read with it at once."""

    @property
    def bundle_id(self) -> str:
        """Names the bundle in logs."""

    @property
    def stamp(self) -> str:
        """Names the bundle together with the compiled form beside it: whether something else stands there now."""

    @property
    def form(self) -> str:
        """What of the bundle decides: "fitted", or a compiled form's tiers: "int8", "static+int8", ..."""

    @property
    def policy_hash(self) -> str:
        """Names what decides: route table or policy, the form, and a threshold that is not the bundle's own."""

    @property
    def routes(self) -> tuple[str, ...]:
        """Every route that it can decide for."""

    @property
    def safe(self) -> str:
        """The route for what nobody is sure of."""

    @property
    def looks_back(self) -> int:
        """How many of the user's earlier messages it reads beside one; the same ones, the same verdict."""

    def verdict(self, text: str, context: Sequence[str] = ()) -> Decision:
        """What its policy says of one text, `context` being the `looks_back` messages before it, oldest first.

        Raises PolicyError for a text that is no query.
        """

    def at(self, threshold: float) -> Held:
        """The same bundle with another threshold. Raises PolicyError where it takes none, or not this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelBundle:
    """A router by labels: the route table in the bundle names the routes. See Held.

    router: the fitted one, or a compiled form of it, whose own thresholds then decide.
    """

    router: Router | CompiledRouter
    bundle_id: str
    stamp: str
    policy_hash: str

    @property
    def form(self) -> str:
        """See Held."""
        return form_of(self.router)

    @property
    def table(self) -> RouteTable:
        """What it decides between."""
        return self.router.table

    @property
    def policy(self) -> LabelPolicy:
        """What decides; of a compiled form, its last tier's."""
        return self.router.policy if isinstance(self.router, Router) else self.router.tiers[-1].policy

    @property
    def routes(self) -> tuple[str, ...]:
        """In table order."""
        return tuple(self.table.names)

    @property
    def safe(self) -> str:
        """The one that the table marks."""
        return self.table.safe

    @property
    def looks_back(self) -> int:
        """See Held."""
        if isinstance(self.router, CompiledRouter):
            return self.router.looks_back
        return LOOK_BACK if self.router.space.earlier_dim else 0

    def verdict(self, text: str, context: Sequence[str] = ()) -> Decision:
        """See Held."""
        return self.router.decide(text, context)

    def at(self, threshold: float) -> LabelBundle:
        """See Held; the threshold cuts P(cheap label), in every tier of a compiled form."""
        policy = LabelPolicy(self.table, self.router.classes, threshold=threshold)
        if isinstance(self.router, Router):
            moved: Router | CompiledRouter = replace(self.router, policy=policy)
        else:
            moved = copy.copy(self.router)  # with the same sessions; it was loaded to remember nothing
            moved.tiers = tuple(replace(tier, policy=policy) for tier in self.router.tiers)
        return replace(self, router=moved, policy_hash=policy_digest(moved, threshold=threshold))


def stayed(held: Held, said: Decision, previous: str | None) -> Decision:
    """The verdict on a message of a conversation that was on `previous`: kept there unless another route is worth the change."""
    if previous is None or not isinstance(held, LabelBundle):
        return said
    policy = held.policy
    confidence = stays_on(policy, said.probabilities, route=said.route, rule=said.rule, previous=previous)
    return said if confidence is None else replace(said, route=previous, rule=STAYS, confidence=confidence, also=())


def form_of(router: Router | CompiledRouter) -> str:
    """The name of what decides: "fitted", or the tiers in their order."""
    return FITTED if isinstance(router, Router) else "+".join(tier.name for tier in router.tiers)


def policy_digest(router: Router | CompiledRouter, *, threshold: float | None = None) -> str:
    """Names a label policy: the table's own digest, unless a threshold was asked for or a compiled form decides."""
    table = router.table.digest()
    if isinstance(router, Router):
        return table if threshold is None else _digest({"table": table, "threshold": threshold})
    return _digest({"table": table, "form": form_of(router), "threshold": router.tiers[-1].policy.threshold})


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelBundle:
    """A router over models: each model is a route, the strongest is the safe one. See Held."""

    router: ModelRouter
    bundle_id: str
    stamp: str
    policy_hash: str
    safe: str

    @classmethod
    def of(cls, router: ModelRouter, *, bundle_id: str, stamp: str) -> ModelBundle:
        """With the policy that it was trained with. Raises BundleError where no model was ever scored."""
        digest = _digest(to_mapping(router.policy))
        return cls(router=router, bundle_id=bundle_id, stamp=stamp, policy_hash=digest, safe=strongest(router))

    @property
    def form(self) -> str:
        """See Held; only routers by labels compile."""
        return FITTED

    @property
    def routes(self) -> tuple[str, ...]:
        """The models, from the cheapest to the dearest."""
        return self.router.models

    @property
    def looks_back(self) -> int:
        """See Held."""
        return 0

    def verdict(self, text: str, context: Sequence[str] = ()) -> Decision:
        """See Held."""
        del context
        said = self.router.decide_many([text])[0]
        return Decision(
            route=said.model,
            rule=said.rule,
            confidence=said.confidence,
            probabilities={SUCCESS: said.probabilities},
            also=(),
            novelty=said.novelty,
        )

    def at(self, threshold: float) -> ModelBundle:
        """See Held; only policies with a threshold or a floor take one."""
        policy = self.router.policy
        if isinstance(policy, Threshold):
            changed: Threshold | CheapestAbove = replace(policy, threshold=threshold)
        elif isinstance(policy, CheapestAbove):
            changed = replace(policy, floor=threshold)
        else:
            raise PolicyError(
                f"the policy {policy.kind!r} of bundle {self.bundle_id} has no threshold; ask for `auto`."
            )
        router = self.router.with_policy(changed, why="a threshold that a request asked for")
        return replace(self, router=router, policy_hash=_digest(to_mapping(changed)))


def strongest(router: ModelRouter) -> str:
    """The model with the best mean score on the calibration queries; the cheaper of two that tie.

    Where none was scored there, on the training queries; a model without any score is never the strongest.
    """
    for score in (router.calibration.score, router.training.score):
        known = np.isfinite(score)
        if known.any():
            count = known.sum(axis=0)
            mean = np.where(known, score, 0.0).sum(axis=0) / np.maximum(count, 1)
            return router.models[int(np.where(count > 0, mean, -np.inf).argmax())]
    raise BundleError("the bundle remembers no score of any model; train it again with `weighbridge train --outcomes`.")


def _digest(policy: Mapping[str, object]) -> str:
    return sha256_bytes(canonical_json(policy).encode())
