"""What fitting and judging both compute: log-loss, calibration error, F1. Arrays in, numbers out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
ECE_BINS = 15
SMALLEST = 1e-12  # a probability of exactly 0 for what happened would make every mean infinite


def log_loss(p: Floats, y: Ints) -> float:
    """Mean of −ln p[i, y[i]] over n rows, in nats.   p: (n, k), rows sum to 1.   y: (n,) column indices.

    Raises ValueError for n = 0: the mean of nothing is not a number.
    """
    _require_rows(p, y)
    return float(-np.log(np.clip(p[np.arange(len(y)), y], SMALLEST, 1.0)).mean())


def brier(p: Floats, y: Ints) -> float:
    """Mean squared distance between the row of probabilities and the one-hot truth, in [0, 2]."""
    _require_rows(p, y)
    truth = np.zeros_like(p)
    truth[np.arange(len(y)), y] = 1.0
    return float(((p - truth) ** 2).sum(axis=1).mean())


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """Equal-width bins of the top label's probability: how often it was right against how sure it was.

    edges: (bins + 1,).   count, confidence, accuracy: (bins,); NaN means where a bin is empty.
    """

    edges: Floats
    count: Ints
    confidence: Floats
    accuracy: Floats

    @property
    def ece(self) -> float:
        """Expected calibration error: the mean gap between confidence and accuracy, weighted by count."""
        full = self.count > 0
        gap = np.abs(self.confidence[full] - self.accuracy[full])
        return float((gap * self.count[full]).sum() / self.count.sum())

    @property
    def ece_bias(self) -> float:
        """What the ECE of a perfectly calibrated model would be at these counts, from noise alone.

        Each bin's accuracy then scatters by sqrt(c (1 − c) / count); the mean of a folded normal is sqrt(2/π) of that.
        """
        full = self.count > 0
        c, n = self.confidence[full], self.count[full]
        return float((np.sqrt(2 / np.pi * c * (1 - c) / n) * n).sum() / n.sum())


def reliability(p: Floats, y: Ints, *, bins: int = ECE_BINS) -> Reliability:
    """Bin n predictions by the probability of their top label.   p: (n, k).   y: (n,). Raises ValueError for n = 0."""
    _require_rows(p, y)
    top = p.argmax(axis=1)
    sure = p[np.arange(len(y)), top]
    right = (top == y).astype(np.float64)
    edges = np.linspace(0.0, 1.0, bins + 1)
    index = np.clip(np.searchsorted(edges, sure, side="left") - 1, 0, bins - 1)
    count = np.bincount(index, minlength=bins)
    with np.errstate(invalid="ignore"):
        return Reliability(
            edges=edges,
            count=count,
            confidence=np.bincount(index, weights=sure, minlength=bins) / count,
            accuracy=np.bincount(index, weights=right, minlength=bins) / count,
        )


def ece(p: Floats, y: Ints) -> float:
    """Expected calibration error of the top label, 15 equal-width bins."""
    return reliability(p, y).ece


def confusion(truth: Ints, predicted: Ints, *, k: int) -> Ints:
    """(k, k) counts: row = the label a person gave, column = what was predicted."""
    return np.bincount(truth * k + predicted, minlength=k * k).reshape(k, k)


def precision_recall_f1(matrix: Ints) -> tuple[Floats, Floats, Floats]:
    """Per class, from a confusion matrix; NaN where a class was never predicted (precision) or never there (recall).

    F1 is 0 for a class that is there and never hit, NaN for one that is neither there nor predicted.
    """
    hits = np.diag(matrix).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = hits / matrix.sum(axis=0)
        recall = hits / matrix.sum(axis=1)
        f1 = 2 * hits / (matrix.sum(axis=0) + matrix.sum(axis=1))
    return precision, recall, f1


def macro_f1(matrix: Ints) -> float:
    """Mean F1 of the classes that occur among the truths.

    >>> macro_f1(np.array([[2, 0], [1, 1]]))
    0.7333333333333334
    """
    present = matrix.sum(axis=1) > 0
    return float(precision_recall_f1(matrix)[2][present].mean())


def softmax(logits: Floats) -> Floats:
    """Rows of (n, k) logits to rows of probabilities, without overflow."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    normal: Floats = shifted / shifted.sum(axis=1, keepdims=True)
    return normal


def _require_rows(p: Floats, y: Ints) -> None:
    if len(y) == 0 or p.ndim != 2 or len(p) != len(y):
        raise ValueError(f"p is {p.shape} and y is {y.shape}; wanted (n, k) and (n,) with n > 0.")
