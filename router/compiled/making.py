"""The steps of an export: graph, int8, static tier; thresholds on the calibration split, figures on the test split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from router.bundlefiles import WEIGHTS, Arrays, write_arrays
from router.compiled.distil import distil
from router.compiled.earlier import earlier_arrays
from router.compiled.files import PRECISIONS, STATIC, Precision, graph_file, named, open_form
from router.compiled.graph import compile_graph
from router.compiled.layout import Stack
from router.compiled.measure import accuracies, figures
from router.compiled.quantise import quantise
from router.compiled.router import CompiledRouter
from router.compiled.sparse import sparse_weights
from router.compiled.static import WAYS, Way, choose_confidence, fit_static, static_arrays
from router.compiled.tokens import Tokens
from router.dataset import Dataset
from router.encoders.onnx import GRAPH_FILE, TOKENIZER_FILE
from router.files import DECIMALS
from router.grouping import units
from router.pipeline import Router
from router.scoring import Floats
from router.thresholds import for_prices
from router.types import Decision

ROUNDED_ON = 400  # training queries that int8 weights are rounded by

Notify = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The labelled queries of an export: thresholds come from `calibration`, figures from `test`."""

    calibration: Dataset
    test: Dataset


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """An export under way: what has been written to `work`, and what goes into manifest and arrays."""

    work: Path
    manifest: dict[str, Any]  # Any: whatever JSON can hold
    arrays: Arrays
    fitted: Router
    parts: Parts
    notify: Notify

    def graphs(self, encoder: Path, stack: Stack, precisions: tuple[Precision, ...]) -> None:
        """Build the graph, and its int8 form; each with the thresholds that belong to it."""
        import onnx

        self.notify("building the graph")
        whole = self.work / graph_file("fp32")
        graph = compile_graph(
            encoder / GRAPH_FILE, self.fitted.encoder.spec, self.fitted.space, stack, self.fitted.novelty.reference
        )
        onnx.save(graph, str(whole))
        if "int8" in precisions:
            self.notify("quantising")
            quantise(whole, self.work / graph_file("int8"), self._some_tokens())
        if "fp32" in precisions:
            own = [entry.threshold for entry in self.fitted.also]
            self._tier("fp32", self.fitted.policy.threshold, own, self.fitted.novelty.calibration)
        else:
            whole.unlink()
        if "int8" in precisions:
            self._recalibrate("int8")

    def _some_tokens(self) -> list[list[int]]:
        """The tokens of training queries of all kinds."""
        training = self.fitted.training
        tokens = Tokens(self.work / TOKENIZER_FILE, self.fitted.encoder.spec.max_tokens)
        return [tokens.of(query.text) for query in training[:: max(1, len(training) // ROUNDED_ON)]]

    def static(self, encoder: Path, *, most_lost: float) -> None:
        """Distil, fit, and let the tier answer from the confidence at which no more than that is lost; else leave it out."""
        self.notify("distilling token vectors")
        texts = [query.text for query in self.fitted.training]
        vectors = distil(encoder, self.fitted.encoder.spec, texts)
        heads = fit_static(self.fitted, vectors, notify=self.notify)
        kinds = [calibration.kind for calibration in heads.stack.calibrations]
        self.manifest["static"] = {"calibrations": kinds, "chosen": None}
        own = {
            **named(static_arrays(heads, vectors), STATIC),
            **named(sparse_weights(heads.space, heads.stack), f"{STATIC}.sparse"),
            **named(earlier_arrays(heads.space, heads.stack), f"{STATIC}.earlier"),
        }
        self.arrays.update(own)
        self._recalibrate(STATIC)
        chosen = self._confidence(most_lost)
        self.manifest["static"]["chosen"] = chosen
        if chosen is None:
            self.notify("the static tier is not sure enough anywhere; it is left out")
            for name in (*own, f"novelty.{STATIC}"):
                del self.arrays[name]
            del self.manifest["tiers"][STATIC]
        else:
            self.manifest["tiers"][STATIC]["answers_above"] = chosen["answers_above"]
        self._write()

    def _confidence(self, most_lost: float) -> dict[str, Any] | None:
        """The choice for the graph that a form opens with where no precision is asked for."""
        part, compiled = self.parts.calibration, self._open(None, static=True)
        static, graph = (compiled.decisions(compiled.read(part.texts, part.contexts, tier=at)) for at in (0, 1))
        routes: dict[Way, Floats] = {
            name: accuracies(part.queries, decisions, self.fitted.table)["route"]
            for name, decisions in zip(
                WAYS, (static, graph, self.fitted.decide_many(part.texts, part.contexts)), strict=True
            )
        }
        return choose_confidence(static, routes, np.array(units(part.queries)), most_lost=most_lost)

    def measure(self) -> None:
        """Every precision alone, and each behind the static tier, on the test split."""
        part = self.parts.test
        fitted = self.fitted.decide_many(part.texts, part.contexts)
        measured: dict[str, Any] = {"split": "test", "fitted": figures(part, fitted, fitted, self.fitted.table)}
        for precision in PRECISIONS:
            if precision not in self.manifest["tiers"]:
                continue
            self.notify(f"measuring {precision} on {len(part):,} test queries")
            alone = self._open(precision, static=False)
            last = alone.decisions(alone.read(part.texts, part.contexts))
            measured[precision] = figures(part, last, fitted, self.fitted.table)
            if STATIC in self.manifest["tiers"]:
                measured[f"{STATIC}+{precision}"] = self._behind_static(precision, last, fitted)
        self.manifest["measured"] = measured

    def _behind_static(self, precision: Precision, last: list[Decision], fitted: list[Decision]) -> dict[str, Any]:
        part = self.parts.test
        cascade = self._open(precision, static=True)
        first = cascade.decisions(cascade.read(part.texts, part.contexts, tier=0))
        stand = [cascade.stands(decision, tier=0) for decision in first]
        ours = [one if kept else other for one, other, kept in zip(first, last, stand, strict=True)]
        return {**figures(part, ours, fitted, self.fitted.table), "static_share": round(float(np.mean(stand)), 6)}

    def _tier(self, name: str, threshold: float, also: list[float], calibration: Floats) -> None:
        self.manifest["tiers"][name] = {"threshold": threshold, "also": also, "answers_above": 0.0}
        self.arrays[f"novelty.{name}"] = calibration
        self._write()

    def _write(self) -> None:
        whole = {name: np.ascontiguousarray(array) for name, array in self.arrays.items()}
        write_arrays(self.work / WEIGHTS, whole)

    def _recalibrate(self, name: str) -> None:
        """Thresholds and novelty from the tier's own outputs on the calibration split.

        int8 takes the cheap road as often as the fitted router does, whose outputs it only rounds; the static tier's heads
        are others, and its cheap road is cut by the two prices, as training cut the router's. A further desk is named as
        often as the fitted router names it.
        """
        part = self.parts.calibration
        self._tier(name, self.fitted.policy.threshold, [0.5] * len(self.fitted.also), np.zeros(0))
        compiled = self._open(None if name == STATIC else "int8", static=name == STATIC)
        read, fitted = compiled.read(part.texts, part.contexts, tier=0), self.fitted.read(part.texts, part.contexts)
        score, theirs = (self.fitted.policy.cheap_probability(entry.probabilities) for entry in (read, fitted))
        threshold = (
            self._by_prices(score) if name == STATIC else as_often(score, theirs >= self.fitted.policy.threshold)
        )
        also = [
            as_often(read.also[:, j], fitted.also[:, j] >= entry.threshold) for j, entry in enumerate(self.fitted.also)
        ]
        self._tier(name, threshold, also, np.sort(read.distance))

    def _by_prices(self, score: Floats) -> float:
        part, spec = self.parts.calibration, self.fitted.table.policy
        labels = part.labels(spec.complexity_head)
        known = np.array([label is not None for label in labels])
        cheap = np.array([label == spec.cheap_label for label in labels])
        return for_prices(
            score[known], cheap[known], wrong_cheap_usd=spec.wrong_cheap_usd, wrong_dear_usd=spec.wrong_dear_usd
        )

    def _open(self, precision: Precision | None, *, static: bool) -> CompiledRouter:
        return open_form(self.work, self.manifest, precision=precision, static=static, remember=0)


def as_often(score: Floats, wanted: npt.NDArray[np.bool_]) -> float:
    """The threshold that as many of n scores reach as are wanted: midway to the next score, 0 or 1 beyond the last.

    >>> as_often(np.array([0.1, 0.7, 0.5]), np.array([False, True, False]))
    0.6
    """
    ranked = np.concatenate([[1.0], np.sort(score)[::-1], [0.0]])
    m = int(wanted.sum())
    return round(float(ranked[m] + ranked[m + 1]) / 2, DECIMALS)
