"""Fitting a head: settings by grouped cross-validation on the training split, then calibration on what was held out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from router.calibration import choose_calibration
from router.columnspace import EXACT_ROWS
from router.encoders.protocol import Matrix
from router.errors import FitError
from router.heads import Head
from router.rowspace import Space, TrainingRows
from router.scoring import Floats, Ints, log_loss, softmax
from router.solver import Linear

FOLDS = 5
FEWEST = 5  # examples of a label: with fewer, a fold would have to guess it
NGRAM_FACTORS = (0.0, 1.0)  # 0 leaves the block out
PENALTIES = (0.03, 0.1, 0.3)  # C, the inverse strength of the L2 penalty
ROUGH_TEMPERATURES = np.geomspace(0.25, 2.0, 13)
NEVER_HELD_OUT = (
    -1
)  # the fold of rows that always teach: held out, they would be judged by an encoder that saw their labels
SEARCH_FOLDS = 2  # of the five: enough to rank settings that differ, at two fifths of the cost
ABSENT_LOGIT = -12.0  # of a class that a fold's training part did not hold


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One candidate: the inverse penalty, and how much the n-gram columns count (0: not at all)."""

    C: float
    ngram_factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The settings to try: the n-gram factors at the penalty `start`, then the penalties, each judged by `loss`."""

    ngram_factors: tuple[float, ...]
    penalties: tuple[float, ...]
    start: float
    loss: Callable[[Floats, Ints], float]  # of held-out logits


def raw_loss(logits: Floats, y: Ints) -> float:
    """Log-loss of the logits as they are."""
    return log_loss(softmax(logits), y)


def tempered_loss(logits: Floats, y: Ints) -> float:
    """Log-loss at the best of a few temperatures, so that a strong penalty is not charged for modest logits alone."""
    return min(log_loss(softmax(logits / t), y) for t in ROUGH_TEMPERATURES)


SMALL = Grid(ngram_factors=NGRAM_FACTORS, penalties=PENALTIES, start=0.1, loss=raw_loss)
# With many rows the embedding alone tells most, and more of it can be learned: lighter n-grams, weaker penalties.
LARGE = Grid(ngram_factors=(0.0, 0.3, 1.0), penalties=(0.3, 1.0, 3.0), start=1.0, loss=tempered_loss)


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedHead:
    """A head with the evidence it was chosen on.

    index: (m,) rows that had a label and were held out once.   oof: (m, k) their out-of-fold calibrated probabilities.
    tried: (setting, log-loss on the search folds) for every candidate, in the order tried; none where it was given.
    calibration_losses: cross-fitted log-loss of each calibration.
    """

    head: Head
    index: Ints
    oof: Floats
    setting: Setting
    tried: tuple[tuple[Setting, float], ...]
    calibration_losses: Mapping[str, float]


def folds(unit: Sequence[int], *, seed: int, k: int = FOLDS) -> Ints:
    """Deal n rows to k folds so that no unit stands in two: units in random order, each to the smallest fold.

    Raises FitError where there are fewer than two units.
    """
    sizes = Counter(unit)
    if len(sizes) < 2:
        raise FitError(
            "all training queries are near-duplicates or one persona's; wanted at least two groups. See `weighbridge data stats`."
        )
    k = min(k, len(sizes))
    filled = [0] * k
    fold_of = {}
    for name in np.random.default_rng(seed).permutation(sorted(sizes)).tolist():
        smallest = int(np.argmin(filled))
        fold_of[name] = smallest
        filled[smallest] += sizes[name]
    return np.array([fold_of[name] for name in unit], dtype=np.intp)


def encode_labels(name: str, classes: Sequence[str], labels: Sequence[str | None]) -> tuple[Ints, Ints]:
    """(rows that have a label, their class numbers).

    Raises FitError where a class has too few examples to learn from and hold some out.
    """
    index = np.array([i for i, label in enumerate(labels) if label is not None], dtype=np.intp)
    count = Counter(label for label in labels if label is not None)
    scarce = [f"{label!r} has {count[label]}" for label in classes if count[label] < FEWEST]
    if scarce:
        raise FitError(
            f"head {name!r}: label {', '.join(scarce)} of {len(index)} training examples; wanted at least {FEWEST} of each."
            " Label more, or take the label out of card.toml; `weighbridge data stats` counts them."
        )
    position = {label: j for j, label in enumerate(classes)}
    return index, np.array([position[label] for label in labels if label is not None], dtype=np.intp)


def fit_head(
    name: str,
    classes: tuple[str, ...],
    labels: Sequence[str | None],
    blocks: TrainingRows,
    fold: Ints,
    *,
    setting: Setting | None = None,
) -> FittedHead:
    """Choose a setting by out-of-fold log-loss, calibrate on the out-of-fold logits, fit on all labelled rows.

    labels, fold: one per row of `blocks`; rows of the fold `NEVER_HELD_OUT` always teach and are never judged. First the weight of the n-grams is chosen at a middling penalty, then the
    penalty at that weight; a given `setting` is taken as it is. Raises FitError as `encode_labels` does, and where all
    labelled rows stand in one fold.
    """
    index, y = encode_labels(name, classes, labels)
    held_out = fold[index] != NEVER_HELD_OUT
    if len(np.unique(fold[index][held_out])) < 2:
        raise FitError(
            f"head {name!r}: its {len(index)} labelled training queries are near-duplicates or one persona's; wanted at least"
            " two groups. Label more; see `weighbridge data stats`."
        )
    held = _HeldOut(blocks, index, y, fold[index], k=len(classes))
    best, tried = (setting, {}) if setting else _search(held)
    logits = held.logits(best)
    calibration, calibration_losses = choose_calibration(logits, y[held_out], fold[index][held_out])
    weights, intercept = held.fit_all(best)
    return FittedHead(
        head=Head(name, classes, weights, intercept, calibration),
        index=index[held_out],
        oof=calibration.apply(logits),
        setting=best,
        tried=tuple(tried.items()),
        calibration_losses=calibration_losses,
    )


def _search(held: _HeldOut) -> tuple[Setting, dict[Setting, float]]:
    """The best setting and the losses of all that were tried, each on the first folds alone."""
    tried: dict[Setting, float] = {}

    def loss(setting: Setting) -> float:
        if setting not in tried:
            tried[setting] = held.loss(setting, folds=SEARCH_FOLDS)
        return tried[setting]

    grid = held.grid
    factors = grid.ngram_factors if "ngrams" in held.blocks.names else (0.0,)
    first = min((Setting(C=grid.start, ngram_factor=factor) for factor in factors), key=loss)
    return min((Setting(C=c, ngram_factor=first.ngram_factor) for c in grid.penalties), key=loss), tried


class _HeldOut:
    """One head's labelled rows, and logits for each that is held out from a model that saw nothing of its fold."""

    def __init__(self, blocks: TrainingRows, index: Ints, y: Ints, part: Ints, *, k: int) -> None:
        self.blocks, self.index, self.y, self.part, self.k = blocks, index, y, part, k
        self.folds = np.unique(part[part != NEVER_HELD_OUT]).tolist()
        self.grid = SMALL if len(index) <= EXACT_ROWS else LARGE
        self._spaces: dict[float, Space] = {}
        self._latest: dict[int, Linear] = {}
        self._logits: dict[tuple[Setting, int], Floats] = {}

    def _space(self, setting: Setting) -> Space:
        """The coordinates under one weight of the n-grams; the penalty does not change them."""
        factor = setting.ngram_factor
        if factor not in self._spaces:
            factors = {name: factor if name == "ngrams" else 1.0 for name in self.blocks.names}
            chosen = {name: value for name, value in factors.items() if value > 0}
            self._spaces.clear()  # one at a time: each may be n x n
            self._latest.clear()
            self._spaces[factor] = self.blocks.space(chosen, self.index)
        return self._spaces[factor]

    def _fold(self, setting: Setting, held: int) -> Floats:
        """Logits of one fold's rows. The solver may begin at this fold's last model: another fold's has seen its rows."""
        if (setting, held) not in self._logits:
            space = self._space(setting)
            seen = self.part != held
            model = space.fit(seen, self.y[seen], C=setting.C, start=self._latest.get(held))
            logits = np.full((int((~seen).sum()), self.k), ABSENT_LOGIT)
            logits[:, model.present] = model.logits(space.coordinates[~seen])
            self._latest[held] = model
            self._logits[setting, held] = logits
        return self._logits[setting, held]

    def loss(self, setting: Setting, *, folds: int) -> float:
        """Log-loss on the rows of the first `folds` folds."""
        chosen = self.folds[:folds]
        logits = np.vstack([self._fold(setting, held) for held in chosen])
        truth = np.concatenate([self.y[self.part == held] for held in chosen])
        return self.grid.loss(logits, truth)

    def logits(self, setting: Setting) -> Floats:
        """(m, k) logits of every row that is held out once, in the order of the rows."""
        logits = np.empty((len(self.y), self.k))
        for held in self.folds:
            logits[self.part == held] = self._fold(setting, held)
        held_out: Floats = logits[self.part != NEVER_HELD_OUT]
        return held_out

    def fit_all(self, setting: Setting) -> tuple[dict[str, Matrix], Matrix]:
        """Column weights and intercept of a model of all rows."""
        space = self._space(setting)
        start = next(iter(self._latest.values()), None)
        model = space.fit(np.ones(len(self.y), dtype=bool), self.y, C=setting.C, start=start)
        assert len(model.present) == self.k  # encode_labels has seen to it
        return space.column_weights(model.weights), model.intercept.astype(np.float32)
