"""Label routers side by side on the same queries: figures of each, and paired differences to ours.

Every router learns from the train split, gets the same policy with a threshold chosen on the calibration split from the
same two prices, and is judged once on the test split.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from eval.conversations import Decide, routes_before
from eval.intervals import MeanDraws, bootstrap_mean, holm, minimum_detectable
from eval.metrics import evaluate, route_hits
from eval.replay import Predictions, record
from eval.run import Run
from router.baselines import BASELINES, Texts
from router.baselines.protocol import HeadLabels, LabelBaseline
from router.dataset import Dataset
from router.earlier import Contexts
from router.encoders.protocol import Encoder, sentence_part
from router.errors import DataError
from router.files import DECIMALS
from router.fitting import encode_labels
from router.lexicon import Lexicon
from router.policy import Choices, LabelPolicy
from router.routes import RouteTable
from router.stickiness import sticky
from router.thresholds import for_prices
from router.training import TrainingSplits

OURS = "weighbridge"
ROUTE = "route"

Notify = Callable[[str], None]
Deltas = dict[tuple[int, str], MeanDraws]  # (which of the others, measure)


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


def choose_baselines(names: str, lexicon: Lexicon | None) -> list[str]:
    """Read `--routers a,b` or `all`. Raises DataError for a name that is not known.

    `all` leaves `keywords` out where the data set has no lexicon.
    """
    if names == "all":
        return [name for name in BASELINES if name != "keywords" or lexicon is not None]
    chosen = [name for name in dict.fromkeys(names.split(",")) if name and name != OURS]
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
    before = routes_before(_deciding(fitted, policy, bench), bench.test.contexts) if spec.switch_usd else None
    return record(predictions, policy, bench.test, name=name, split="test", seed=bench.seed, previous=before)


def _deciding(fitted: LabelBaseline, policy: LabelPolicy, bench: Bench) -> Decide:
    """How a baseline decides a conversation's earlier messages: by their words alone, as it decides all."""

    def decide(texts: Sequence[str], contexts: Contexts, previous: Sequence[int]) -> Choices:
        del contexts
        part = replace(bench.test, queries=tuple(replace(bench.test.queries[0], text=text) for text in texts))
        p = {head: np.round(rows, DECIMALS) for head, rows in fitted.predict(bench.texts(part)).items()}
        return sticky(policy, p, policy.choose(p, novelty=np.zeros(len(texts))), previous)

    return decide


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
    others = [_in_order_of(ours, run) for run in others]
    differences = _differences(ours, others)
    corrected = dict(zip(differences, holm([draws.p_value for draws in differences.values()]), strict=True))
    rows = [_row(ours)]
    for position, run in enumerate(others):
        own = {measure: draws for (which, measure), draws in differences.items() if which == position}
        p_holm = {measure: corrected[position, measure] for measure in own}
        rows.append(_row(run) | _paired(own, p_holm, measures=(*ours.header.classes, ROUTE)))
    return {
        "dataset": ours.header.dataset,
        "fingerprint": ours.header.fingerprint,
        "split": ours.header.split,
        "n_queries": ours.header.n,
        "n_units": len(set(ours.units)),
        "protocol": "fit on train, threshold on calibration, judged once on test; intervals and differences by bootstrap over personas and groups; p-values corrected by Holm over the whole table",
        "rows": rows,
    }


def _in_order_of(ours: Run, run: Run) -> Run:
    """The same run with its records in the order of ours: queries are paired by id."""
    by_id = {record.query_id: record for record in run.records}
    if set(by_id) != {record.query_id for record in ours.records}:
        raise DataError(
            f"run {run.header.router!r} does not hold the queries of {ours.header.router!r}; replay both on one split."
        )
    return replace(run, records=tuple(by_id[record.query_id] for record in ours.records))


def _differences(ours: Run, others: Sequence[Run]) -> Deltas:
    """(router, measure) -> bootstrap of the paired difference in accuracy. The same draws of groups for all."""
    found: Deltas = {}
    for position, run in enumerate(others):
        for measure in (*ours.header.classes, ROUTE):
            index, mine = _hits(ours, measure)
            same, theirs = _hits(run, measure)
            assert (index == same).all()  # the labels are the same, so the judged queries are
            if len(index):
                rng = np.random.default_rng(ours.header.seed)
                units = ours.units
                delta = mine.astype(np.float64) - theirs.astype(np.float64)
                found[position, measure] = bootstrap_mean(delta, [units[i] for i in index], rng=rng)
    return found


def _hits(run: Run, measure: str) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
    if measure == ROUTE:
        return route_hits(run)
    index, y = run.labelled(measure)
    return index, run.probabilities(measure)[index].argmax(axis=1) == y


def _row(run: Run) -> dict[str, Any]:
    """One router's figures; what is paired is null, since a router is not compared with itself."""
    figures = evaluate(run)
    heads = {
        head: {key: entry[key] for key in ("n", "accuracy", "accuracy_ci", "macro_f1", "ece", "log_loss")}
        for head, entry in figures["heads"].items()
    }
    paired = dict.fromkeys(("delta", "delta_ci", "p_holm", "verdict", "minimum_detectable"))
    return {
        "router": run.header.router,
        "heads": heads,
        "route": figures["route"],
        **paired,
        "reason": "a router is not compared with itself",
    }


def _paired(own: Mapping[str, MeanDraws], p_holm: Mapping[str, float], *, measures: Sequence[str]) -> dict[str, Any]:
    """Differences by measure; null for a measure that no query has a label of."""

    def by_measure(figure: Callable[[str], Any]) -> dict[str, Any]:
        return {measure: figure(measure) if measure in own else None for measure in measures}

    return {
        "delta": by_measure(lambda measure: round(own[measure].estimate, DECIMALS)),
        "delta_ci": by_measure(lambda measure: own[measure].interval.to_list()),
        "p_holm": by_measure(lambda measure: round(p_holm[measure], DECIMALS)),
        "verdict": by_measure(lambda measure: _verdict(own[measure], p_holm[measure])),
        "minimum_detectable": by_measure(
            lambda measure: round(minimum_detectable(own[measure].standard_error), DECIMALS)
        ),
        "reason": None if len(own) == len(measures) else "no query has a label of the measures that are null",
    }


def _verdict(draws: MeanDraws, p_holm: float) -> str:
    """Ours against the row: better or worse only where the interval excludes 0 and Holm agrees; else a tie."""
    if p_holm < 0.05 and draws.interval.excludes_zero():
        return "better" if draws.estimate > 0 else "worse"
    return "tie"
