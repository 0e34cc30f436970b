"""How many labels: heads fitted on growing shares of the labelled queries, judged on people they have not seen.

Every fifth of the people is held out once; from the others growing shares are drawn by whole people, each share within
the next, so that the points of a curve are paired. Features are computed once and one setting a head is chosen once.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from eval.intervals import DRAWS
from eval.labelled_rows import LabelledRows, class_numbers
from router.calibration import TEMPERATURES
from router.dataset import Dataset
from router.errors import FitError
from router.fitting import ABSENT_LOGIT, FEWEST, Setting, fit_head, folds
from router.grouping import units
from router.rowspace import Space
from router.scoring import SMALLEST, Floats, Ints, softmax

SMALLEST_SHARE = 0.1
MOST_ROWS = 6_000  # a fit takes time by their square, and a curve is some hundred fits a head
SETTING_ROWS = 2_000  # of a head, to choose its setting on
EVERY_FIFTH_TEMPERATURE = TEMPERATURES[::5]

Notify = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One head at p growing shares, over r repeats, by unit.

    n: (p,) mean number of labels learned from.   people: (p,) mean number of units they came from.
    hits, loss: (p, r, u) sums over a unit's labelled queries.   size: (u,) how many those are.   n_all: of all units.
    """

    shares: Sequence[float]
    n: Floats
    people: Floats
    hits: Floats
    loss: Floats
    size: Floats
    n_all: int
    setting: Setting

    def accuracy(self) -> Floats:
        """(p,) share of right answers, over all repeats."""
        return _mean(self.hits, self.size)

    def log_loss(self) -> Floats:
        """(p,) in nats."""
        return _mean(self.loss, self.size)

    def draws(self, sums: Floats, *, seed: int, draws: int = DRAWS) -> Floats:
        """(draws, p) means of hits or loss, with units and repeats drawn with replacement: the same draws at every point.

        Source: Owen, 2007, The pigeonhole bootstrap; a little too wide rather than too narrow.
        """
        rng = np.random.default_rng(seed)
        p, r, u = sums.shape
        unit = rng.multinomial(u, np.full(u, 1 / u), size=draws).astype(np.float64)
        repeat = rng.multinomial(r, np.full(r, 1 / r), size=draws) / r
        by_repeat = (unit @ sums.reshape(p * r, u).T).reshape(draws, p, r)
        means: Floats = np.einsum("bpr,br->bp", by_repeat, repeat) / (unit @ self.size)[:, None]
        return means


def _mean(sums: Floats, size: Floats) -> Floats:
    mean: Floats = sums.sum(axis=2).mean(axis=1) / size.sum()
    return mean


def growing_shares(points: int) -> list[float]:
    """`points` shares from a tenth to all, each the same multiple of the one before.

    >>> growing_shares(6)
    [0.1, 0.16, 0.25, 0.4, 0.63, 1.0]
    """
    return [round(float(share), 2) for share in np.geomspace(SMALLEST_SHARE, 1.0, points)]


def sampled_units(dataset: Dataset, *, most: int = MOST_ROWS, seed: int) -> Dataset:
    """Whole units in random order while they fit into `most` queries; all where there are no more."""
    if len(dataset) <= most:
        return dataset
    unit = units(dataset.queries)
    size, kept, total = Counter(unit), set(), 0
    for name in np.random.default_rng(seed).permutation(sorted(size)).tolist():
        if total + size[name] <= most:
            kept.add(name)
            total += size[name]
    return replace(dataset, queries=tuple(query for query, u in zip(dataset.queries, unit, strict=True) if u in kept))


def positions(unit: Ints, order: Ints) -> Floats:
    """(n,) where in [0, 1) the middle of each row's unit stands among n rows, when units come in the order of `order`.

    A share takes the rows below it, which is the number of whole units nearest to it; the first unit stands at 0, so that
    no share is empty.   order: the rank of every unit number.

    >>> positions(np.array([0, 0, 1, 2]), np.array([2, 0, 1])).tolist()
    [0.75, 0.75, 0.0, 0.375]
    """
    found, index, size = np.unique(unit, return_inverse=True, return_counts=True)
    ranked = np.argsort(order[found])
    end = np.cumsum(size[ranked])
    middle = np.empty(len(found))
    middle[ranked] = (end - size[ranked] / 2) / len(unit)
    middle[ranked[0]] = 0.0
    return middle[index]


def learning_curves(
    rows: LabelledRows, names: Sequence[str], *, shares: Sequence[float], repeats: int, seed: int, notify: Notify
) -> dict[str, Curve | str]:
    """Head -> its curve, or why it has none. Raises FitError where no head has one, or all rows are one unit."""
    fold = folds(rows.unit, seed=seed)
    found: dict[str, Curve | str] = {}
    settings: dict[str, Setting] = {}
    for name in names:
        notify(f"choosing the setting of {name}")
        try:
            settings[name] = chosen_setting(rows, name, fold, seed=seed)
        except FitError as err:
            found[name] = str(err)
    if not settings:
        raise FitError(next(why for why in found.values() if isinstance(why, str)))
    for factor in sorted({setting.ngram_factor for setting in settings.values()}):
        weights = {block: factor if block == "ngrams" else 1.0 for block in rows.blocks.names}
        space = rows.blocks.space({b: w for b, w in weights.items() if w > 0}, np.arange(len(rows)))
        for name, setting in settings.items():
            if setting.ngram_factor == factor:
                judge = _Judge(rows, name, space, setting, fold)
                found[name] = judge.curve(shares=shares, repeats=repeats, seed=seed, notify=notify)
    return {name: found[name] for name in names}


def chosen_setting(rows: LabelledRows, name: str, fold: Ints, *, seed: int, most: int = SETTING_ROWS) -> Setting:
    """The head's setting by cross-validation on about `most` of its labelled rows, drawn by whole units.

    More are taken until every label has the few examples that a head needs. Raises FitError where all do not.
    """
    classes, labels = rows.dataset.card.heads[name], rows.dataset.labels(name)
    members: dict[int, list[int]] = defaultdict(list)
    for i, unit in enumerate(rows.unit):
        members[unit].append(i)
    seen: list[str | None] = [None] * len(labels)
    count, spread = Counter[str](), set[int]()
    for unit in np.random.default_rng(seed).permutation(sorted(members)).tolist():
        for i in members[unit]:
            seen[i] = label = labels[i]
            if label is not None:
                count[label] += 1
                spread.add(int(fold[i]))
        if count.total() >= most and len(spread) > 1 and all(count[label] >= FEWEST for label in classes):
            break
    return fit_head(name, classes, seen, rows.blocks, fold).setting


class _Judge:
    """One head's labelled rows, and what models of growing shares say of those they have not seen."""

    def __init__(self, rows: LabelledRows, name: str, space: Space, setting: Setting, fold: Ints) -> None:
        y = class_numbers(rows.dataset.card.heads[name], rows.dataset.labels(name))
        self.name, self.space, self.setting = name, space, setting
        self.k = len(rows.dataset.card.heads[name])
        self.index = np.flatnonzero(y >= 0)
        self.y, self.fold, self.unit = y, fold, np.array(rows.unit)
        self.number = np.unique(self.unit[self.index], return_inverse=True)[1]  # (m,) units counted from 0

    def curve(self, *, shares: Sequence[float], repeats: int, seed: int, notify: Notify) -> Curve:
        """Fit and judge; all labels outside a fold are the same in every repeat, so the last share is fitted once."""
        u = int(self.number.max()) + 1
        hits, loss = (np.zeros((len(shares), repeats, u)) for _ in range(2))
        n, people = (np.zeros((len(shares), repeats)) for _ in range(2))
        for r in range(repeats):
            notify(f"head {self.name}, draw {r + 1} of {repeats}")
            order = np.random.default_rng([seed, r]).permutation(len(self.unit))
            for p, share in enumerate(shares):
                if share >= 1 and r > 0:
                    hits[p, r], loss[p, r], n[p, r], people[p, r] = hits[p, 0], loss[p, 0], n[p, 0], people[p, 0]
                    continue
                logits, n[p, r], people[p, r] = self._logits(share, order)
                y = self.y[self.index]
                right = (logits.argmax(axis=1) == y).astype(np.float64)
                hits[p, r] = np.bincount(self.number, weights=right)
                loss[p, r] = np.bincount(self.number, weights=tempered(logits, y, self.fold[self.index]))
        return Curve(
            shares=shares,
            n=n.mean(axis=1),
            people=people.mean(axis=1),
            hits=hits,
            loss=loss,
            size=np.bincount(self.number).astype(np.float64),
            n_all=len(self.index),
            setting=self.setting,
        )

    def _logits(self, share: float, order: Ints) -> tuple[Floats, float, float]:
        """(m, k) logits of every labelled row from a model of that share of the other folds; mean labels and units seen."""
        fold = self.fold[self.index]
        held_out = np.unique(fold)
        logits = np.full((len(self.index), self.k), ABSENT_LOGIT)
        labels = people = 0
        for held in held_out.tolist():
            outside = self.index[fold != held]
            kept = outside[positions(self.unit[outside], order) < share]
            seen = np.zeros(len(self.y), dtype=bool)
            seen[kept] = True
            model = self.space.fit(seen, self.y[seen], C=self.setting.C)
            judged = np.flatnonzero(fold == held)
            logits[np.ix_(judged, model.present)] = model.logits(self.space.coordinates[self.index[judged]])
            labels += len(kept)
            people += len(np.unique(self.unit[kept]))
        return logits, labels / len(held_out), people / len(held_out)


def tempered(logits: Floats, y: Ints, fold: Ints) -> Floats:
    """(m,) log-loss of each row at the temperature that is best on the rows of all other folds."""
    row = np.arange(len(y))
    losses = np.stack(
        [-np.log(np.maximum(softmax(logits / t)[row, y], SMALLEST)) for t in EVERY_FIFTH_TEMPERATURE]
    )  # fmt: skip
    found = np.empty(len(y))
    for held in np.unique(fold).tolist():
        best = int(losses[:, fold != held].sum(axis=1).argmin())
        found[fold == held] = losses[best, fold == held]
    return found
