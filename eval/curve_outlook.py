"""What a learning curve foretells, and whether it foretells anything: twice the labels, a point more, flat, or not known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from eval.heads import rounded
from eval.power_law import FEWEST_POINTS, PowerLaw, fit_draws, fit_power_law, quantiles
from router.scoring import Floats

FLAT = 0.005  # accuracy: when twice the labels surely bring less than this, more labels are not the way
GAINS = (0.01, 0.02, 0.05)  # of accuracy, whose price in labels is told
REACH = 4.0  # times the labels there are: further than this no curve is believed (docs/labels.md has how it fared)
MISS = 0.01  # accuracy by which the law may miss the last point, fitted without it, before it is given up
FEWEST_UNITS = 10  # with fewer people a bootstrap over people means little

Figures = dict[str, Any]  # Any: JSON's leaves
TELLS = ("law", "now", "doubled", "more", "backtest")


def outlook(n: Floats, error: Floats, draws: Floats, *, n_all: int, units: int) -> Figures:
    """Fit the law to the curve and to each of its draws, and read it where there are no labels yet.

    n, error: (p,) of the points.   draws: (b, p) errors of bootstrap draws.   n_all: the labels that there are.
    `verdict` is "about", "flat" or "not known"; `said` is the sentence for it. Every key is always there.
    """
    kept = np.flatnonzero(np.append(np.diff(n) > 0, True))  # few units: two shares may be the same people
    n, error, draws = n[kept], error[kept], draws[:, kept]
    if units < FEWEST_UNITS:
        return _unknown(f"only {units} people or groups; wanted at least {FEWEST_UNITS} to say how sure a curve is")
    if len(n) < FEWEST_POINTS:
        return _unknown(
            f"{len(n)} different points; wanted at least {FEWEST_POINTS} to fit a curve. Ask for more with --points"
        )
    spread = np.maximum(draws.var(axis=0), 1e-8)
    law, laws = fit_power_law(n, error[None, :], 1 / spread), fit_draws(n, draws, 1 / spread)
    figures = {
        "law": {name: rounded(getattr(law, name)[0]) for name in ("a", "c")}
        | {"b": rounded(law.b[0] * law.n0 ** law.c[0])},
        "now": {"n": n_all, **_accuracy(law, laws, n_all)},
        "doubled": {"n": 2 * n_all, **_accuracy(law, laws, 2 * n_all), **_gain(law, laws, n_all)},
        "more": [_price(law, laws, gain, n_all=n_all) for gain in GAINS],
        "backtest": _backtest(n, error, draws, spread),
    }
    verdict, said = _verdict(figures)
    return {"verdict": verdict, "said": said, **figures}


def _unknown(why: str) -> Figures:
    return {"verdict": "not known", "said": f"not known: {why}", **dict.fromkeys(TELLS)}


def _accuracy(law: PowerLaw, laws: PowerLaw, n: float) -> Figures:
    return {"accuracy": rounded(1 - law.error(n)[0]), "accuracy_ci": quantiles(1 - laws.error(n)).to_list()}


def _gain(law: PowerLaw, laws: PowerLaw, n: int) -> Figures:
    """What twice the labels bring."""
    gain = [fitted.error(n) - fitted.error(2 * n) for fitted in (law, laws)]
    return {"gain": rounded(gain[0][0]), "gain_ci": quantiles(gain[1]).to_list()}


def _price(law: PowerLaw, laws: PowerLaw, gain: float, *, n_all: int) -> Figures:
    """How many labels in all bring `gain` more than those there are; null beyond REACH times as many."""
    needed, draws = (fitted.labels_for(fitted.error(n_all) - gain) for fitted in (law, laws))
    interval = quantiles(draws)
    n, low, high = (_within(value, n_all) for value in (float(needed[0]), interval.low, interval.high))
    beyond = f"more than {REACH:g} times the labels there are, or never"
    return {"gain": gain, "n": n, "n_ci": [low, high], "reason": None if n and high else beyond}


def _within(n: float, n_all: int) -> int | None:
    return int(np.ceil(n)) if n <= REACH * n_all else None


def _backtest(n: Floats, error: Floats, draws: Floats, spread: Floats) -> Figures | None:
    """The last point foretold from those before it. None where too few stand before it."""
    if len(n) <= FEWEST_POINTS:
        return None
    last, weights = float(n[-1]), 1 / spread[:-1]
    foretold = float(fit_power_law(n[:-1], error[None, :-1], weights).error(last)[0])
    drawn = fit_draws(n[:-1], draws[:, :-1], weights).error(last)
    return {
        "n": rounded(last),
        "foretold": rounded(1 - foretold),
        "observed": rounded(1 - error[-1]),
        "missed": rounded(foretold - error[-1]),
        "missed_ci": quantiles(drawn - draws[:, -1]).to_list(),
    }


def _verdict(figures: Figures) -> tuple[str, str]:
    doubled, test = figures["doubled"], figures["backtest"]
    priced = [price for price in figures["more"] if price["reason"] is None]
    twice = f"twice the labels ({doubled['n']:,}) would bring {_points(doubled['gain'])} {_between(doubled['gain_ci'])}"
    if test is not None and abs(test["missed"]) > MISS and test["missed_ci"][0] * test["missed_ci"][1] > 0:
        missed = f"{_points(abs(test['missed']))} {'above' if test['missed'] > 0 else 'below'}"
        return (
            "not known",
            f"not known: the curve does not bend as such curves do; its last point lies {missed} what the others foretell",
        )
    if doubled["gain_ci"][1] < FLAT:
        return "flat", f"flat: {twice}; more labels will not help, better ones or other features may"
    if priced:
        price = priced[-1]  # the most that can be told: the price of a small step on a steep curve says nothing
        low, high = price["n_ci"]
        about = f"about {_round(price['n']):,} labels in all ({_round(low):,} to {_round(high):,})"
        return (
            "about",
            f"{about} for {_more(price['gain'])}; there are {figures['now']['n']:,}, and {twice}",
        )
    least = figures["more"][0]["n_ci"][0]
    reach = f"at least {_round(least):,} labels" if least else f"over {REACH:g} times the labels there are"
    return "not known", f"not known how many labels bring {_more(GAINS[0])} ({reach}, if any number does); {twice}"


def _more(gain: float) -> str:
    return f"{gain * 100:g} point{'' if gain == GAINS[0] else 's'} more"


def _points(share: float) -> str:
    return f"{share * 100:.1f} points"


def _between(interval: Sequence[float]) -> str:
    return f"[{interval[0] * 100:.1f}, {interval[1] * 100:.1f}]"


def _round(n: int) -> int:
    """To two digits: no curve tells more.

    >>> [_round(n) for n in (9812, 12_345, 87)]
    [9800, 12000, 87]
    """
    return int(float(f"{n:.2g}"))
