"""What an attempt cost, in dollars of the day; and whether the model that answered is the one that was asked."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date

from router.errors import PriceError
from router.prices import PriceTable, Usage

# A release: gpt-x-2026-11-01, claude-x-20261101, claude-x@20261101, gpt-4-0613; or the word for the newest.
RELEASE = re.compile(r"[-@](\d{4}-\d{2}-\d{2}|\d{8}|(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])|latest)$")
NEWEST = "latest"


def same_model(*, asked: str, served: str) -> bool:
    """Whether `served` is `asked`, or a release of it. Two different releases are two models.

    >>> same_model(asked="gpt-x", served="gpt-x-2026-11-01"), same_model(asked="gpt-x", served="gpt-x-mini")
    (True, False)
    """
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

    def of(self, usage: Usage | None, *, asked: str, served: str | None, tier: str) -> tuple[float | None, str | None]:
        """Dollars, and None; or None, and why they are not known. Never 0 for what is not known.

        The price is that of the model that answered: the asked one's where that is a release of it.
        """
        if usage is None:
            return None, f"{served or asked}: the provider told no usage"
        model = asked if served is None or same_model(asked=asked, served=served) else served
        try:
            return self._prices.on(model, self._today()).cost_usd(usage, tier=tier), None
        except PriceError as err:
            return None, str(err)
