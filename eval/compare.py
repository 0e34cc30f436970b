"""Label routers side by side on the same queries: figures of each, and paired differences to ours.

Every router learns from the train split, gets the same policy with a threshold chosen on the calibration split from the
same two prices, and is judged once on the test split.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eval.intervals import MeanDraws, bootstrap_mean, holm, minimum_detectable
from eval.metrics import evaluate, route_hits
from eval.replay import Predictions, record
from eval.run import Run
from router.baselines import BASELINES, Texts
from router.baselines.protocol import HeadLabels
from router.dataset import Dataset
from router.encoders.protocol import Encoder, sentence_part
from router.errors import DataError
from router.files import DECIMALS
from router.fitting import encode_labels
from router.lexicon import Lexicon
from router.policy import LabelPolicy
from router.routes import RouteTable
from router.thresholds import for_prices
from router.training import TrainingSplits

OURS = "weighbridge"
ROUTE = "route"

Notify = Callable[[str], None]
Deltas = dict[tuple[str, str], MeanDraws]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What every baseline gets: splits, embeddings of the encoder, route table, lexicon, seed."""

    splits: TrainingSplits
    test: Dataset
    table: RouteTable
    encoder: Encoder
    lexicon: Lexicon | None
    seed: int

    def texts(self, part: Dataset) -> Texts:
        """A split as a baseline may see it."""
        rows = sentence_part(self.encoder.encode(part.texts), self.encoder.spec)
        return Texts(texts=part.texts, embedding=rows, lexicon=self.lexicon)


def choose_baselines(names: str, bench: Bench) -> list[str]:
    """Read `--routers a,b` or `all`. Raises DataError for a name that is not known.

    `all` leaves `keywords` out where the data set has no lexicon.
    """
    if names == "all":
        return [name for name in BASELINES if name != "keywords" or bench.lexicon is not None]
    chosen = [name for name in names.split(",") if name and name != OURS]
    unknown = [name for name in chosen if name not in BASELINES]
    if unknown:
        raise DataError(f"--routers has {unknown[0]!r}; wanted `all` or some of {', '.join(BASELINES)}.")
    return chosen


def baseline_run(name: str, bench: Bench) -> Run:
    """Fit one baseline, choose its threshold, and record its decisions on the test split."""
    train, calibration = bench.splits.train, bench.splits.calibration
    labels = head_labels(train)
    fitted = BASELINES[name]().fit(bench.texts(train), labels, seed=bench.seed)
    classes = {head: entry.classes for head, entry in labels.items()}
    spec = bench.table.policy
    policy = LabelPolicy(bench.table, classes, threshold=spec.bayes_threshold)
    complexity = calibration.labels(spec.complexity_head)
    known = np.array([i for i, label in enumerate(complexity) if label is not None], dtype=np.intp)
    score = policy.cheap_probability(fitted.predict(bench.texts(calibration).rows(known)))
    threshold = for_prices(
        score,
        np.array([complexity[i] == spec.cheap_label for i in known]),
        wrong_cheap_usd=spec.wrong_cheap_usd,
        wrong_dear_usd=spec.wrong_dear_usd,
    )
    probabilities = {head: np.round(p, DECIMALS) for head, p in fitted.predict(bench.texts(bench.test)).items()}
    n = len(bench.test)
    predictions = Predictions(probabilities=probabilities, also=[()] * n, novelty=np.zeros(n))
    policy = LabelPolicy(bench.table, classes, threshold=threshold)
    return record(predictions, policy, bench.test, name=name, split="test", seed=bench.seed)


def head_labels(train: Dataset) -> dict[str, HeadLabels]:
    """The labelled heads of a data set as arrays. Raises FitError where a label has too few examples."""
    found = {}
    for head, classes in train.card.heads.items():
        labels = train.labels(head)
        if any(label is not None for label in labels):
            index, y = encode_labels(head, classes, labels)
            found[head] = HeadLabels(classes=classes, index=index, y=y)
    return found


def leaderboard(ours: Run, others: Sequence[Run]) -> dict[str, Any]:
    """The comparison JSON: a row per router, paired differences (ours minus the row's) with Holm's correction.

    Raises DataError where the runs are not over the same queries.
    """
    for run in others:
        if run.header.fingerprint != ours.header.fingerprint:
            raise DataError(
                f"run {run.header.router!r} is over other queries than {ours.header.router!r}; replay both on one split."
            )
    differences = _differences(ours, others)
    corrected = dict(zip(differences, holm([draws.p_value for draws in differences.values()]), strict=True))
    rows = [_row(ours, differences, corrected), *(_row(run, differences, corrected) for run in others)]
    return {
        "dataset": ours.header.dataset,
        "fingerprint": ours.header.fingerprint,
        "split": ours.header.split,
        "n_queries": ours.header.n,
        "n_units": len(set(ours.units)),
        "protocol": "fit on train, threshold on calibration, judged once on test; intervals and differences by bootstrap over personas and groups; p-values corrected by Holm over the whole table",
        "rows": rows,
    }


def _differences(ours: Run, others: Sequence[Run]) -> Deltas:
    """(router, measure) -> bootstrap of the paired difference in accuracy. The same draws of groups for all."""
    found: Deltas = {}
    for run in others:
        for measure in (*ours.header.classes, ROUTE):
            index, mine = _hits(ours, measure)
            same, theirs = _hits(run, measure)
            assert (index == same).all()  # the labels are the same, so the judged queries are
            if len(index):
                rng = np.random.default_rng(ours.header.seed)
                units = ours.units
                delta = mine.astype(np.float64) - theirs.astype(np.float64)
                found[run.header.router, measure] = bootstrap_mean(delta, [units[i] for i in index], rng=rng)
    return found


def _hits(run: Run, measure: str) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
    if measure == ROUTE:
        return route_hits(run)
    index, y = run.labelled(measure)
    return index, run.probabilities(measure)[index].argmax(axis=1) == y


def _row(run: Run, differences: Deltas, corrected: Mapping[tuple[str, str], float]) -> dict[str, Any]:
    figures = evaluate(run)
    own = {measure: draws for (name, measure), draws in differences.items() if name == run.header.router}
    p_holm = {measure: corrected[run.header.router, measure] for measure in own}
    heads = {
        head: {key: entry[key] for key in ("n", "accuracy", "accuracy_ci", "macro_f1", "ece", "log_loss")}
        for head, entry in figures["heads"].items()
    }
    return {
        "router": run.header.router,
        "heads": heads,
        "route": figures["route"],
        "delta": {measure: round(draws.estimate, DECIMALS) for measure, draws in own.items()} or None,
        "delta_ci": {measure: draws.interval.to_list() for measure, draws in own.items()} or None,
        "p_holm": {measure: round(p, DECIMALS) for measure, p in p_holm.items()} or None,
        "verdict": {measure: _verdict(own[measure], p) for measure, p in p_holm.items()} or None,
        "minimum_detectable": {
            measure: round(minimum_detectable(draws.standard_error), DECIMALS) for measure, draws in own.items()
        }
        or None,
        "reason": None if own else "a router is not compared with itself",
    }


def _verdict(draws: MeanDraws, p_holm: float) -> str:
    """Ours against the row: better or worse only where the interval excludes 0 and Holm agrees; else a tie."""
    if p_holm < 0.05 and draws.interval.excludes_zero():
        return "better" if draws.estimate > 0 else "worse"
    return "tie"
