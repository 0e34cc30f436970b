"""Fitting a head: settings by grouped cross-validation on the training split, then calibration on what was held out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from router.calibration import choose_calibration
from router.encoders.protocol import Matrix
from router.errors import FitError
from router.heads import Head
from router.rowspace import Blocks, RowSpace, row_space
from router.scoring import Floats, Ints, log_loss, softmax

FOLDS = 5
FEWEST = 5  # examples of a label: with fewer, a fold would have to guess it
MAX_ITER = 300
TOLERANCE = 1e-3
NGRAM_FACTORS = (0.0, 1.0)  # 0 leaves the block out
PENALTIES = (0.03, 0.1, 0.3)  # C, the inverse strength of the L2 penalty
START_C = 0.1
SEARCH_FOLDS = 2  # of the five: enough to rank settings that differ, at two fifths of the cost
ABSENT_LOGIT = -12.0  # of a class that a fold's training part did not hold


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One candidate: the inverse penalty, and how much the n-gram columns count (0: not at all)."""

    C: float
    ngram_factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedHead:
    """A head with the evidence it was chosen on.

    index: (m,) training rows that had a label.   oof: (m, k) out-of-fold calibrated probabilities of those rows.
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
    blocks: Blocks,
    fold: Ints,
    *,
    setting: Setting | None = None,
) -> FittedHead:
    """Choose a setting by out-of-fold log-loss, calibrate on the out-of-fold logits, fit on all labelled rows.

    labels, fold: one per row of `blocks`. First the weight of the n-grams is chosen at a middling penalty, then the
    penalty at that weight; a given `setting` is taken as it is. Raises FitError as `encode_labels` does, and where all
    labelled rows stand in one fold.
    """
    index, y = encode_labels(name, classes, labels)
    if len(np.unique(fold[index])) < 2:
        raise FitError(
            f"head {name!r}: its {len(index)} labelled training queries are near-duplicates or one persona's; wanted at least"
            " two groups. Label more; see `weighbridge data stats`."
        )
    held = _HeldOut(blocks, index, y, fold[index], k=len(classes))
    best, tried = (setting, {}) if setting else _search(held)
    logits = held.logits(best)
    calibration, calibration_losses = choose_calibration(logits, y, fold[index])
    weights, intercept = held.fit_all(best)
    return FittedHead(
        head=Head(name, classes, weights, intercept, calibration),
        index=index,
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

    factors = NGRAM_FACTORS if "ngrams" in held.blocks.grams else (0.0,)
    first = min((Setting(C=START_C, ngram_factor=factor) for factor in factors), key=loss)
    return min((Setting(C=c, ngram_factor=first.ngram_factor) for c in PENALTIES), key=loss), tried


class _HeldOut:
    """One head's labelled rows, and logits for each of them from models that saw nothing of its fold."""

    def __init__(self, blocks: Blocks, index: Ints, y: Ints, part: Ints, *, k: int) -> None:
        self.blocks, self.index, self.y, self.part, self.k = blocks, index, y, part, k
        self._spaces: dict[float, RowSpace] = {}
        self._logits: dict[tuple[Setting, int], Floats] = {}

    def _space(self, setting: Setting) -> RowSpace:
        """The coordinates under one weight of the n-grams; the penalty does not change them."""
        factor = setting.ngram_factor
        if factor not in self._spaces:
            factors = {name: factor if name == "ngrams" else 1.0 for name in self.blocks.grams}
            chosen = {name: value for name, value in factors.items() if value > 0}
            self._spaces = {factor: row_space(self.blocks, chosen, self.index)}  # one at a time: each is n x n
        return self._spaces[factor]

    def _fold(self, setting: Setting, held: int) -> Floats:
        if (setting, held) not in self._logits:
            rows = self._space(setting).coordinates
            seen = self.part != held
            weights, intercept, present = _logistic(rows[seen], self.y[seen], C=setting.C)
            logits = np.full((int((~seen).sum()), self.k), ABSENT_LOGIT)
            logits[:, present] = rows[~seen].astype(np.float64) @ weights + intercept
            self._logits[setting, held] = logits
        return self._logits[setting, held]

    def loss(self, setting: Setting, *, folds: int) -> float:
        """Log-loss on the rows of the first `folds` folds."""
        chosen = np.unique(self.part)[:folds].tolist()
        logits = np.vstack([self._fold(setting, held) for held in chosen])
        truth = np.concatenate([self.y[self.part == held] for held in chosen])
        return log_loss(softmax(logits), truth)

    def logits(self, setting: Setting) -> Floats:
        """(m, k) logits of every row."""
        logits = np.empty((len(self.y), self.k))
        for held in np.unique(self.part).tolist():
            logits[self.part == held] = self._fold(setting, held)
        return logits

    def fit_all(self, setting: Setting) -> tuple[dict[str, Matrix], Matrix]:
        """Column weights and intercept of a model of all rows."""
        space = self._space(setting)
        weights, intercept, present = _logistic(space.coordinates, self.y, C=setting.C)
        assert len(present) == self.k  # encode_labels has seen to it
        return space.column_weights(weights), intercept.astype(np.float32)


def _logistic(rows: npt.NDArray[np.floating], y: Ints, *, C: float) -> tuple[Floats, Floats, Ints]:
    """Weights (d, c), intercept (c,) and the c classes that occurred. Two get symmetric columns; one alone gets zeros."""
    from sklearn.linear_model import LogisticRegression

    present = np.unique(y).astype(np.intp)
    if len(present) == 1:
        return np.zeros((rows.shape[1], 1)), np.zeros(1), present
    model = LogisticRegression(C=C, max_iter=MAX_ITER, tol=TOLERANCE).fit(rows, y)
    weights, intercept = model.coef_.T.astype(np.float64), model.intercept_.astype(np.float64)
    if weights.shape[1] == 1:
        weights, intercept = np.hstack([-weights / 2, weights / 2]), np.concatenate([-intercept / 2, intercept / 2])
    return weights, intercept, present
