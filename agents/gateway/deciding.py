"""Which route a message takes. A loaded bundle decides off the event loop; whatever goes wrong there, every message is decided.

An exploring draw is made anew for each message, from the very propensities that are logged. Needs numpy and the encoder's
runtime alone.
"""

from __future__ import annotations

import asyncio
import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agents.gateway.choice import (
    ASKED_FOR,
    CLASSIFIER_BUSY,
    CLASSIFIER_FAILED,
    EXPLORED,
    SUCCESS,
    RouteChoice,
    new_decision_id,
)
from agents.gateway.exploring import NOTHING, Exploration
from agents.gateway.held import Held, LabelBundle, ModelBundle, stayed
from agents.gateway.loading import Form, load_held, stamp_of
from agents.gateway.pool import PoolLimits
from agents.gateway.reading import KEPT, Asked, Read, Reader
from router.errors import BundleError, PolicyError, WeighbridgeError

__all__ = [
    "CLASSIFIER_BUSY",
    "CLASSIFIER_FAILED",
    "Decider",
    "DeciderView",
    "Exploration",
    "Held",
    "LabelBundle",
    "ModelBundle",
    "RouteChoice",
    "RouterAlias",
    "load_held",
    "parse_alias",
]

logger = logging.getLogger(__name__)
CURRENT = "current"  # in an alias: whichever bundle is loaded
ALIAS = re.compile(r"router-(?P<bundle>[A-Za-z0-9][A-Za-z0-9._-]*?)-(?P<threshold>-?[0-9]{1,9}(?:\.[0-9]{1,18})?)")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """What is to be regarded when messages are decided; see `choose`."""

    pinned: str | None = None
    explore: bool = True
    previous: str | None = None


class Chooser(ABC):
    """Says where messages go."""

    async def choose(
        self,
        text: str,
        context: Sequence[str] = (),
        *,
        pinned: str | None = None,
        explore: bool = True,
        previous: str | None = None,
    ) -> RouteChoice:
        """Where this message goes. Never raises: what cannot be decided takes the safe route.

        context: the user's earlier messages, oldest first.   pinned: the route that the client asked for, whose name the
        caller has checked.   explore: whether a route may be drawn at all.   previous: the route of the message before it,
        which is kept unless another is worth the change.
        """
        how = How(pinned=pinned, explore=explore, previous=previous)
        return (await self._choose([(text, tuple(context))], how))[0]

    async def choose_many(self, texts: Sequence[str], *, pinned: str | None = None) -> list[RouteChoice]:
        """One choice per message, in order; each depends on its own text alone."""
        return await self._choose([(text, ()) for text in texts], How(pinned=pinned))

    @abstractmethod
    async def _choose(self, asked: Sequence[Asked], how: How) -> list[RouteChoice]:
        """One choice per message and its context."""


class Decider(Chooser):
    """Decides messages with a loaded bundle, in the threads of a pool. One event loop owns it.

    held: None where no bundle could be loaded; `safe` is then the route of everything.   form: of the bundles that
    `swap` loads.   check: raises WeighbridgeError for a new bundle that this server cannot serve.
    """

    def __init__(
        self,
        held: Held | None,
        *,
        safe: str,
        rng: np.random.Generator,
        exploration: Exploration = NOTHING,
        limits: PoolLimits | None = None,
        kept: int = KEPT,
        form: Form = "auto",
        check: Callable[[Held], None] = lambda _: None,
        new_id: Callable[[], str] = new_decision_id,
    ) -> None:
        self._held = held
        self._safe = safe
        self._rng = rng
        self._exploration = exploration
        self._form = form
        self._check = check
        self.new_id = new_id
        self.reader = Reader(limits, kept=kept)
        self._swapping = asyncio.Lock()

    @property
    def held(self) -> Held | None:
        """The bundle that decides now."""
        return self._held

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
            held = await asyncio.to_thread(load_held, source, form=self._form)
            self._check(held)
            self._held = held
        logger.info("bundle %s (%s) decides now", held.bundle_id, held.form)
        return held.bundle_id

    async def watch(
        self, link: Path, *, interval_s: float = 2.0, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        """Follow a `current` link until cancelled: swap when it leads to another bundle, or the bundle has another
        compiled form. A refused one is told once.
        """
        refused: str | None = None
        while True:
            found = None
            try:
                found = await asyncio.to_thread(stamp_of, link, self._form)
                if found not in (None, refused, self._held.stamp if self._held else None):
                    await self.swap(link)
            except (WeighbridgeError, OSError) as err:
                logger.error("%s: bundle %s is not served: %s", link, found, err)
                # a broken bundle stays broken; a full disk or a missing encoder may be mended meanwhile
                refused = found if isinstance(err, BundleError) else refused
            await sleep(interval_s)

    def close(self) -> None:
        """Let the threads go; later messages take the safe route."""
        self.reader.close()

    async def _choose(self, asked: Sequence[Asked], how: How) -> list[RouteChoice]:
        return await self.choose_with(self._held, asked, how)

    async def choose_with(self, held: Held | None, asked: Sequence[Asked], how: How) -> list[RouteChoice]:
        """One choice per message and its context, with this bundle; see `choose`."""
        if how.pinned is not None:
            return [self._without_verdict(held, how.pinned, rule=ASKED_FOR) for _ in asked]
        if held is None:
            return [self._without_verdict(None, self._safe, rule=CLASSIFIER_FAILED) for _ in asked]
        read = await self.reader.read(held, asked)
        return [self._choice(held, one, how) for one in read]

    def _choice(self, held: Held, read: Read, how: How) -> RouteChoice:
        if read.said is None:
            return self._without_verdict(held, held.safe, rule=read.why)
        said = stayed(held, read.said, how.previous)
        exploration = self._exploration if how.explore else NOTHING
        odds = exploration.propensities(held.routes, route=said.route, rule=said.rule)
        route = said.route
        if odds[route] < 1.0:
            route = held.routes[int(self._rng.choice(len(odds), p=list(odds.values())))]
        own = route == said.route
        return RouteChoice(
            decision_id=self.new_id(),
            route=route,
            rule=said.rule if own else EXPLORED,
            confidence=said.confidence if own else said.probabilities.get(SUCCESS, {}).get(route),
            probabilities=said.probabilities,
            candidates=held.routes,
            propensity=odds[route],
            novelty=said.novelty,
            bundle_id=held.bundle_id,
            policy_hash=held.policy_hash,
            also=said.also if own else (),
            explored=not own,
            cached=read.cached,
        )

    def _without_verdict(self, held: Held | None, route: str, *, rule: str) -> RouteChoice:
        return RouteChoice(
            decision_id=self.new_id(),
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
class DeciderView(Chooser):
    """A decider with another threshold; it keeps its bundle even where the decider's is swapped."""

    decider: Decider
    held: Held

    async def _choose(self, asked: Sequence[Asked], how: How) -> list[RouteChoice]:
        return await self.decider.choose_with(self.held, asked, how)
