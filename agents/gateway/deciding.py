"""Which route a message takes. A loaded bundle decides off the event loop; whatever goes wrong there, every message is decided.

What a bundle says of a text is the same every time and is cached; the exploring draw is made anew for each message, from
the very propensities that are logged. Needs numpy and the encoder's runtime alone.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import uuid
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from router.current import linked
from router.errors import BundleError, PolicyError, WeighbridgeError
from router.files import canonical_json, sha256_bytes
from router.outcome_bundle import load_any
from router.outcome_policy import CheapestAbove, Threshold, to_mapping
from router.outcome_router import ModelRouter
from router.pipeline import NO_ROUTES, HeadSet, Router
from router.policy import LabelPolicy

logger = logging.getLogger(__name__)

CLASSIFIER_FAILED = "classifier-failed"
ASKED_FOR = "asked-for"
EXPLORED = "explored"
SUCCESS = "success"  # the head under which a router over models tells P(good answer) of each
CURRENT = "current"  # in an alias: whichever bundle is loaded
WORKERS = 2  # each takes one thread; the encoder's graph runs on one as well
CHUNK = 16  # texts of one job, so that a long list does not keep a worker from single messages for seconds
PROBE = "where is my refund?"
ALIAS = re.compile(r"router-(?P<bundle>[A-Za-z0-9][A-Za-z0-9._-]*?)-(?P<threshold>-?[0-9]{1,9}(?:\.[0-9]{1,18})?)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a bundle's policy says of one text.   probabilities: head -> label -> p."""

    route: str
    rule: str
    confidence: float
    probabilities: Mapping[str, Mapping[str, float]]
    also: tuple[str, ...]
    novelty: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteChoice:
    """Where one message goes, why, and how probable that was.

    rule: the policy's, or "asked-for", "classifier-failed", "explored".   candidates: the routes that were chosen between.
    propensity: the probability with which `route` was taken from them.   confidence, novelty: None where no verdict says
    them.   explored: whether a draw took another route than the policy's own.   cached: whether the verdict was at hand.
    """

    decision_id: str
    route: str
    rule: str
    confidence: float | None
    probabilities: Mapping[str, Mapping[str, float]]
    candidates: tuple[str, ...]
    propensity: float
    novelty: float | None
    bundle_id: str | None
    policy_hash: str | None
    also: tuple[str, ...]
    explored: bool
    cached: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Exploration:
    """With probability `rate` a route is drawn uniformly, for what the policy sends to one of `routes`, among those.

    routes: None allows all.   spared: rules whose messages are never drawn away; "danger" is an urgent call for help.
    """

    rate: float = 0.0
    routes: tuple[str, ...] | None = None
    spared: tuple[str, ...] = ("danger",)

    def __post_init__(self) -> None:
        if not 0.0 <= self.rate <= 1.0:
            raise PolicyError(f"the exploration rate is {self.rate}; it must lie in [0, 1]. 0 explores nothing.")

    def propensities(self, candidates: Sequence[str], *, route: str, rule: str) -> dict[str, float]:
        """Candidate -> the probability that it is taken, where the policy said `route` by `rule`. They sum to 1."""
        allowed = [name for name in candidates if self.routes is None or name in self.routes]
        rate = self.rate if route in allowed and rule not in self.spared and len(allowed) > 1 else 0.0
        share = rate / len(allowed) if rate else 0.0
        return {name: (1.0 - rate) * (name == route) + share * (name in allowed) for name in candidates}


class Held(Protocol):
    """A loaded bundle, whatever its kind. Two threads may read with it at once."""

    @property
    def bundle_id(self) -> str:
        """Names the bundle in logs."""

    @property
    def policy_hash(self) -> str:
        """Names what decides: route table or policy, and a threshold that is not the bundle's own."""

    @property
    def routes(self) -> tuple[str, ...]:
        """Every route that it can decide for."""

    @property
    def safe(self) -> str:
        """The route for what nobody is sure of."""

    def verdicts(self, texts: Sequence[str]) -> list[Verdict]:
        """One per text, in order. Raises PolicyError for a text that is no query."""

    def at(self, threshold: float) -> Held:
        """The same bundle with another threshold. Raises PolicyError where it takes none, or not this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelBundle:
    """A router by labels: the route table in the bundle names the routes. See Held."""

    router: Router
    bundle_id: str
    policy_hash: str

    @property
    def routes(self) -> tuple[str, ...]:
        """In table order."""
        return tuple(self.router.table.names)

    @property
    def safe(self) -> str:
        """The one that the table marks."""
        return self.router.table.safe

    def verdicts(self, texts: Sequence[str]) -> list[Verdict]:
        """See Held."""
        names = Verdict.__dataclass_fields__
        return [Verdict(**{name: getattr(said, name) for name in names}) for said in self.router.decide_many(texts)]

    def at(self, threshold: float) -> LabelBundle:
        """See Held; the threshold cuts P(cheap label)."""
        policy = LabelPolicy(self.router.table, self.router.policy.classes, threshold=threshold)
        digest = _digest({"table": self.router.table.digest(), "threshold": threshold})
        return replace(self, router=replace(self.router, policy=policy), policy_hash=digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelBundle:
    """A router over models: each model is a route, the strongest is the safe one. See Held."""

    router: ModelRouter
    bundle_id: str
    policy_hash: str
    safe: str

    @property
    def routes(self) -> tuple[str, ...]:
        """The models, from the cheapest to the dearest."""
        return self.router.models

    def verdicts(self, texts: Sequence[str]) -> list[Verdict]:
        """See Held."""
        return [
            Verdict(
                route=said.model,
                rule=said.rule,
                confidence=said.confidence,
                probabilities={SUCCESS: said.probabilities},
                also=(),
                novelty=said.novelty,
            )
            for said in self.router.decide_many(texts)
        ]

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


def _digest(policy: Mapping[str, object]) -> str:
    return sha256_bytes(canonical_json(policy).encode())


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


def load_held(source: Path) -> Held:
    """Read and verify a bundle, and let it decide once.

    Raises BundleError or EncoderError for one that cannot be served, OSError where the disk fails.
    """
    place = source.resolve()  # a link may lead elsewhere while its bundle is read
    identity = linked(place) or ""
    try:
        router = load_any(place)
    except (WeighbridgeError, OSError):
        raise
    except (
        Exception
    ) as err:  # a running server must outlive whatever a strange bundle does to the libraries that read it
        raise BundleError(f"{source}: cannot be read ({type(err).__name__}: {err}); train it again.") from err
    if isinstance(router, HeadSet):
        raise BundleError(f"{source}: {NO_ROUTES}, so there is nothing to serve. Train one with `--routes FILE`.")
    held: Held
    if isinstance(router, ModelRouter):
        digest = _digest(to_mapping(router.policy))
        held = ModelBundle(router=router, bundle_id=identity, policy_hash=digest, safe=strongest(router))
    else:
        held = LabelBundle(router=router, bundle_id=identity, policy_hash=router.table.digest())
    if read_each(held, [PROBE]) == [None] or linked(place) != identity:
        raise BundleError(f"{source}: it loads but decides nothing, or changed meanwhile; fetch it again, or train it.")
    return held


def read_each(held: Held, texts: Sequence[str]) -> list[Verdict | None]:
    """One verdict per text; None for one on which the bundle fails, which takes no other text with it."""
    try:
        return list(held.verdicts(texts))
    except Exception as err:  # whatever a bundle trips over, the message goes to the safe route
        if len(texts) > 1:
            return [verdict for text in texts for verdict in read_each(held, [text])]
        logger.warning("bundle %s decided nothing: %s", held.bundle_id, type(err).__name__)
        return [None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterAlias:
    """A model name that asks for the router: `router-<bundle>-<threshold>`; the bundle is an id, or `current`."""

    bundle: str
    threshold: float


def parse_alias(model: str) -> RouterAlias | None:
    """Read such a name; None where it is none.

    >>> parse_alias("router-current-0.7")
    RouterAlias(bundle='current', threshold=0.7)
    >>> parse_alias("gpt-5-mini") is None
    True
    """
    found = ALIAS.fullmatch(model)
    return RouterAlias(bundle=found["bundle"], threshold=float(found["threshold"])) if found else None


def new_decision_id() -> str:
    """32 hex digits that nobody can guess."""
    return uuid.uuid4().hex


class Decider:
    """Decides messages with a loaded bundle, in two worker threads. One event loop owns it.

    held: None where no bundle could be loaded; `safe` is then the route of everything.   timeout_s: per message, waiting
    for a worker included.   check: raises WeighbridgeError for a new bundle that this server cannot serve.
    """

    def __init__(
        self,
        held: Held | None,
        *,
        safe: str,
        rng: np.random.Generator,
        exploration: Exploration | None = None,
        timeout_s: float = 0.5,
        cache_size: int = 4096,
        check: Callable[[Held], None] | None = None,
        new_id: Callable[[], str] = new_decision_id,
    ) -> None:
        self._held = held
        self._safe = safe
        self._rng = rng
        self._exploration = exploration or Exploration()
        self._timeout_s = timeout_s
        self._cache_size = cache_size
        self._check = check
        self._new_id = new_id
        self._cache: OrderedDict[tuple[str, str, bytes], Verdict] = OrderedDict()
        self._swapping = asyncio.Lock()
        self._pool = ThreadPoolExecutor(max_workers=WORKERS, thread_name_prefix="decide")

    @property
    def held(self) -> Held | None:
        """The bundle that decides now."""
        return self._held

    async def choose(self, text: str, context: Sequence[str] = (), *, pinned: str | None = None) -> RouteChoice:
        """Where this message goes. Never raises: what cannot be decided takes the safe route.

        context: earlier messages; today's bundles read the message alone.   pinned: the route that the client asked for,
        whose name the caller has checked.
        """
        del context
        return (await self.choose_many([text], pinned=pinned))[0]

    async def choose_many(self, texts: Sequence[str], *, pinned: str | None = None) -> list[RouteChoice]:
        """One choice per message, in order; each depends on its own text alone."""
        return await self._choose(self._held, texts, pinned)

    def at(self, alias: RouterAlias) -> DeciderView:
        """Decide with the threshold that a model name asked for. Raises PolicyError where that cannot be done."""
        held = self._held
        if held is None or alias.bundle not in (CURRENT, held.bundle_id):
            found = f"{held.bundle_id} is" if held else "none is"
            raise PolicyError(
                f"bundle {alias.bundle!r} is not loaded ({found}); ask for `router-{CURRENT}-{alias.threshold}`."
            )
        return DeciderView(decider=self, held=held.at(alias.threshold))

    async def swap(self, source: Path) -> str:
        """Load and verify another bundle in the background, then decide with it; return its id.

        Decisions under way end on the old one. Raises BundleError, EncoderError or what `check` raises for one that
        cannot be served; the old one stays.
        """
        async with self._swapping:
            held = await asyncio.to_thread(load_held, source)
            if self._check is not None:
                self._check(held)
            self._held = held
            self._cache.clear()
        logger.info("bundle %s decides now", held.bundle_id)
        return held.bundle_id

    async def watch(
        self, link: Path, *, interval_s: float = 2.0, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        """Follow a `current` link until cancelled: swap when it leads to another bundle. A refused one is told once."""
        refused: str | None = None
        while True:
            found = None
            try:
                found = await asyncio.to_thread(linked, link)
                if found not in (None, refused, self._held.bundle_id if self._held else None):
                    await self.swap(link)
            except (WeighbridgeError, OSError) as err:
                logger.error("%s: bundle %s is not served: %s", link, found, err)
                # a broken bundle stays broken; a full disk or a missing encoder may be mended meanwhile
                refused = found if isinstance(err, BundleError) else refused
            await sleep(interval_s)

    def close(self) -> None:
        """Let the workers go once they have done what waits; later messages take the safe route."""
        self._pool.shutdown(wait=False)

    async def _choose(self, held: Held | None, texts: Sequence[str], pinned: str | None) -> list[RouteChoice]:
        if pinned is not None:
            return [self._without_verdict(held, pinned, rule=ASKED_FOR) for _ in texts]
        if held is None:
            return [self._without_verdict(None, self._safe, rule=CLASSIFIER_FAILED) for _ in texts]
        keys = [_key(held, text) for text in texts]
        known = {key: self._cache[key] for key in keys if key in self._cache}
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        fresh = dict(zip(new, await self._read(held, list(new.values())), strict=True))
        self._remember(held, {**known, **{key: verdict for key, verdict in fresh.items() if verdict is not None}})
        return [self._choice(held, known.get(key) or fresh.get(key), cached=key in known) for key in keys]

    async def _read(self, held: Held, texts: Sequence[str]) -> list[Verdict | None]:
        found: list[Verdict | None] = []
        for start in range(0, len(texts), CHUNK):
            chunk = texts[start : start + CHUNK]
            try:
                job = asyncio.get_running_loop().run_in_executor(self._pool, read_each, held, chunk)
                found += await asyncio.wait_for(job, self._timeout_s * len(chunk))
            except (TimeoutError, RuntimeError) as err:  # too slow, or the pool was closed
                logger.warning("bundle %s decided nothing: %s", held.bundle_id, type(err).__name__)
                found += [None] * len(chunk)
        return found

    def _remember(self, held: Held, verdicts: Mapping[tuple[str, str, bytes], Verdict]) -> None:
        """What was used last stands last; verdicts of a bundle that was swapped meanwhile are forgotten."""
        if self._held is None or self._held.bundle_id != held.bundle_id:
            return
        for key, verdict in verdicts.items():
            self._cache[key] = verdict
            self._cache.move_to_end(key)
        while len(self._cache) > self._cache_size:
            self._cache.popitem(last=False)

    def _choice(self, held: Held, verdict: Verdict | None, *, cached: bool) -> RouteChoice:
        if verdict is None:
            return self._without_verdict(held, held.safe, rule=CLASSIFIER_FAILED)
        odds = self._exploration.propensities(held.routes, route=verdict.route, rule=verdict.rule)
        route = verdict.route
        if odds[route] < 1.0:
            route = held.routes[int(self._rng.choice(len(odds), p=list(odds.values())))]
        own = route == verdict.route
        return RouteChoice(
            decision_id=self._new_id(),
            route=route,
            rule=verdict.rule if own else EXPLORED,
            confidence=verdict.confidence if own else verdict.probabilities.get(SUCCESS, {}).get(route),
            probabilities=verdict.probabilities,
            candidates=held.routes,
            propensity=odds[route],
            novelty=verdict.novelty,
            bundle_id=held.bundle_id,
            policy_hash=held.policy_hash,
            also=verdict.also if own else (),
            explored=not own,
            cached=cached,
        )

    def _without_verdict(self, held: Held | None, route: str, *, rule: str) -> RouteChoice:
        return RouteChoice(
            decision_id=self._new_id(),
            route=route,
            rule=rule,
            confidence=None,
            probabilities={},
            candidates=(route,),
            propensity=1.0,
            novelty=None,
            bundle_id=held.bundle_id if held else None,
            policy_hash=held.policy_hash if held else None,
            also=(),
            explored=False,
            cached=False,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeciderView:
    """A decider with another threshold; it keeps its bundle even where the decider's is swapped."""

    decider: Decider
    held: Held

    async def choose(self, text: str, context: Sequence[str] = (), *, pinned: str | None = None) -> RouteChoice:
        """See Decider."""
        del context
        return (await self.choose_many([text], pinned=pinned))[0]

    async def choose_many(self, texts: Sequence[str], *, pinned: str | None = None) -> list[RouteChoice]:
        """See Decider."""
        return await self.decider._choose(self.held, texts, pinned)


def _key(held: Held, text: str) -> tuple[str, str, bytes]:
    """An exact match without keeping the text: a digest takes 32 bytes whatever the message's length."""
    return held.bundle_id, held.policy_hash, hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
