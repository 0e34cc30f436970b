"""What an attempt cost, in dollars of the day; and whether the model that answered is the one that was asked."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from datetime import date

from router.errors import PriceError
from router.prices import Price, PriceTable, Usage

logger = logging.getLogger(__name__)

# A release: gpt-x-2026-11-01, claude-x-20261101, claude-x@20261101, gpt-4-0613; or the word for the newest.
RELEASE = re.compile(r"[-@](\d{4}-\d{2}-\d{2}|\d{8}|(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])|latest)$")
NEWEST = "latest"
KEPT = 1_000  # prices of models and days; who answers is what a provider says, and may be anything
UNLISTED = "a-model-that-nobody-sells"


def same_model(*, asked: str, served: str) -> bool:
    """Whether `served` is `asked`, or a release of it. Two different releases are two models.

    >>> same_model(asked="gpt-x", served="gpt-x-2026-11-01"), same_model(asked="gpt-x", served="gpt-x-mini")
    (True, False)
    """
    if asked == served:
        return True
    (base, release), (served_base, served_release) = _parts(asked), _parts(served)
    return base == served_base and (release is None or served_release is None or release == served_release)


def _parts(model: str) -> tuple[str, str | None]:
    name = model.strip().lower()
    found = RELEASE.search(name)
    if found is None:
        return name, None
    return name[: found.start()], None if found[1] == NEWEST else found[1].replace("-", "")


class Cost:
    """The prices of the day on which something is asked. today: the day that providers bill, which is UTC's."""

    def __init__(self, prices: PriceTable, *, today: Callable[[], date]) -> None:
        self._prices = prices
        self._today = today
        self._found: dict[tuple[str, date], Price | str] = {}

    def of(self, usage: Usage | None, *, asked: str, served: str | None, tier: str) -> tuple[float | None, str | None]:
        """Dollars, and None; or None, and why they are not known. Never 0 for what is not known.

        The price is that of the model that answered: the asked one's where that is a release of it.
        """
        if usage is None:
            return None, f"{served or asked}: the provider told no usage"
        model = asked if served is None or same_model(asked=asked, served=served) else served
        price = self._price(model)
        try:
            return (None, price) if isinstance(price, str) else (price.cost_usd(usage, tier=tier), None)
        except PriceError as err:
            return None, str(err)

    def warm(self, models: Iterable[str]) -> None:
        """Look up what will be asked for, before anybody waits: the first look into the package of prices takes half a
        second. A model without a price is told.
        """
        self._price(UNLISTED)
        for model in models:
            if isinstance(price := self._price(model), str):
                logger.warning("what %s answers will have no known cost: %s", model, price)

    def _price(self, model: str) -> Price | str:
        """The price of the day, or why there is none."""
        day = self._today()
        found = self._found.get((model, day))
        if found is None:
            try:
                found = self._prices.on(model, day)
            except PriceError as err:
                found = str(err)
            if len(self._found) >= KEPT:
                self._found.clear()
            self._found[model, day] = found
        return found
