"""Calibration: from logits to probabilities that mean what they say. Two ways, one protocol, chosen by held-out log-loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from router.scoring import Floats, Ints, log_loss, softmax

FLOOR = 1e-4  # isotonic steps touch 0 and 1; nothing is quite impossible
TEMPERATURES = np.geomspace(0.25, 4.0, 81)


class Calibration(Protocol):
    """Turns (n, k) logits into (n, k) probabilities whose rows sum to 1."""

    @property
    def kind(self) -> str:
        """Its name in a manifest."""

    def apply(self, logits: Floats) -> Floats:
        """Calibrated probabilities."""

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The numbers to keep; `calibration_from_arrays` reads them back."""


@dataclass(frozen=True)
class Temperature:
    """softmax(logits / t): one number, keeps every ranking. Source: Guo et al., 2017, On Calibration of Modern Networks."""

    t: float
    kind: str = "temperature"

    def apply(self, logits: Floats) -> Floats:
        """Calibrated probabilities."""
        return softmax(logits / self.t)

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The temperature."""
        return {"t": np.array([self.t])}


@dataclass(frozen=True)
class Isotonic:
    """One monotone step curve per class on its softmax probability, rows normalised afterwards.

    Source: Zadrozny and Elkan, 2002. x, y: the knots of all curves end to end; ends: (k,) where each curve stops.
    """

    x: Floats
    y: Floats
    ends: Ints
    kind: str = "isotonic"

    def apply(self, logits: Floats) -> Floats:
        """Calibrated probabilities."""
        raw = softmax(logits)
        starts = [0, *self.ends[:-1].tolist()]
        curves = [
            np.interp(raw[:, j], self.x[start:end], self.y[start:end])
            for j, (start, end) in enumerate(zip(starts, self.ends.tolist(), strict=True))
        ]
        steps = np.maximum(np.column_stack(curves), FLOOR)
        normal: Floats = steps / steps.sum(axis=1, keepdims=True)
        return normal

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The knots of every curve."""
        return {"x": self.x, "y": self.y, "ends": self.ends.astype(np.int64)}


def calibration_from_arrays(kind: str, arrays: Mapping[str, npt.NDArray[Any]]) -> Calibration:
    """Read back what `to_arrays` gave. Raises KeyError for another kind or a missing array."""
    if kind == "temperature":
        return Temperature(float(arrays["t"][0]))
    if kind == "isotonic":
        return Isotonic(arrays["x"], arrays["y"], arrays["ends"].astype(np.intp))
    raise KeyError(f"calibration {kind!r}")


def fit_temperature(logits: Floats, y: Ints) -> Temperature:
    """The temperature of a fixed grid with the smallest log-loss."""
    losses = [log_loss(softmax(logits / t), y) for t in TEMPERATURES]
    return Temperature(float(TEMPERATURES[int(np.argmin(losses))]))


def fit_isotonic(logits: Floats, y: Ints) -> Isotonic:
    """One isotonic regression per class."""
    from sklearn.isotonic import IsotonicRegression

    raw = softmax(logits)
    xs: list[Floats] = []
    ys: list[Floats] = []
    ends: list[int] = []
    for j in range(raw.shape[1]):
        curve = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(raw[:, j], (y == j).astype(float))
        xs.append(np.asarray(curve.X_thresholds_, dtype=np.float64))
        ys.append(np.asarray(curve.y_thresholds_, dtype=np.float64))
        ends.append(len(xs[-1]) + (ends[-1] if ends else 0))
    return Isotonic(np.concatenate(xs), np.concatenate(ys), np.array(ends, dtype=np.intp))


def choose_calibration(logits: Floats, y: Ints, fold: Ints) -> tuple[Calibration, dict[str, float]]:
    """Fit both on out-of-fold logits; keep the one whose own cross-fitted log-loss is smaller.

    logits: (n, k) out-of-fold.   fold: (n,) which fold a row was held out in. Returns the calibration fitted on all
    rows, and the cross-fitted log-loss of each candidate.
    """
    fits: dict[str, Callable[[Floats, Ints], Calibration]] = {"temperature": fit_temperature, "isotonic": fit_isotonic}
    losses = {}
    for name, fit in fits.items():
        p = np.empty_like(logits)
        for k in np.unique(fold):
            p[fold == k] = fit(logits[fold != k], y[fold != k]).apply(logits[fold == k])
        losses[name] = log_loss(p, y)
    best = min(losses, key=lambda name: losses[name])
    return fits[best](logits, y), losses
