"""What a bundle says of texts: at hand where it was asked before, else from the pool, or the rule that says why there is none."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from agents.gateway.choice import CLASSIFIER_BUSY, CLASSIFIER_FAILED
from agents.gateway.held import Held
from agents.gateway.pool import BusyError, Pool, PoolError, PoolLimits
from router.types import Decision

logger = logging.getLogger(__name__)

KEPT = 4_096  # verdicts: some 20 MB

Key = tuple[str, str, bytes]
Asked = tuple[str, tuple[str, ...]]  # a text, and the user's earlier messages, oldest first


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """Of one text.   said: None where the bundle decided nothing, and why, as a decision's rule.   cached: it was at hand."""

    said: Decision | None
    why: str = ""
    cached: bool = False


class Reader:
    """Reads with bundles, and remembers the latest verdicts by bundle, policy and exact text. One event loop owns it."""

    def __init__(self, limits: PoolLimits | None = None, *, kept: int = KEPT) -> None:
        self.pool = Pool(limits)
        self._kept = kept
        self._verdicts: OrderedDict[Key, Decision] = OrderedDict()

    async def read(self, held: Held, asked: Sequence[Asked]) -> list[Read]:
        """One for each, in order; each depends on its own text and context alone, and a repeat is read once."""
        recent = [_recent(held, one) for one in asked]
        keys = [_key(held, one) for one in recent]
        found = {key: Read(said=self._verdicts[key], cached=True) for key in keys if key in self._verdicts}
        new = {key: one for key, one in zip(keys, recent, strict=True) if key not in found}
        if new:
            found |= zip(new, await self._fresh(held, list(new.values())), strict=True)
        for key in keys:
            self._keep(key, found[key].said)
        return [found[key] for key in keys]

    def close(self) -> None:
        """Let the threads go."""
        self.pool.close()

    async def _fresh(self, held: Held, asked: Sequence[Asked]) -> list[Read]:
        """A list never has more in line than there are threads, so that single messages get past it."""
        read: dict[int, Read] = {}
        waiting = iter(enumerate(asked))

        async def some() -> None:
            for position, one in waiting:
                read[position] = await self._one(held, one)

        if len(asked) == 1:
            return [await self._one(held, asked[0])]
        await asyncio.gather(*(some() for _ in range(self.pool.limits.threads)))
        return [read[position] for position in range(len(asked))]

    async def _one(self, held: Held, asked: Asked) -> Read:
        try:
            return Read(said=await self.pool.run(partial(held.verdict, *asked)))
        except BusyError as err:
            logger.warning("bundle %s decided nothing: %s", held.bundle_id, err)
            return Read(said=None, why=CLASSIFIER_BUSY)
        except Exception as err:  # whatever a bundle trips over, the message goes to the safe route
            told = err if isinstance(err, PoolError) else type(err).__name__  # its own words may be the text's
            logger.warning("bundle %s decided nothing: %s", held.bundle_id, told)
            return Read(said=None, why=CLASSIFIER_FAILED)

    def _keep(self, key: Key, said: Decision | None) -> None:
        """What was used last stands last; a failure is not remembered."""
        if said is None:
            return
        self._verdicts[key] = said
        self._verdicts.move_to_end(key)
        while len(self._verdicts) > self._kept:
            self._verdicts.popitem(last=False)


def _recent(held: Held, asked: Asked) -> Asked:
    """With as many earlier messages as the bundle reads."""
    text, context = asked
    return text, tuple(context[max(0, len(context) - held.looks_back) :])


def _key(held: Held, asked: Asked) -> Key:
    """An exact match without keeping the text: a digest takes 32 bytes whatever the message's length."""
    text, context = asked
    said = "".join(f"{len(one)}:{one}" for one in (*context, text))
    return held.bundle_id, held.policy_hash, hashlib.sha256(said.encode("utf-8", "surrogatepass")).digest()
