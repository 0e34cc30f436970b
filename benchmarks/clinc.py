"""CLINC150 from its parquet file to accuracies: our heads beside plain logistic regression and nearest neighbours.

    python benchmarks/clinc.py --data clinc150.parquet [--on test] [--keep DIRECTORY] [--json FILE]

The file (columns text, domain, intent, split) is first written as any user's data would be: `queries.jsonl` and
`card.toml`, val as the calibration split. Out-of-scope rows carry no label of either head, so they are neither learned
as a class nor counted; accuracies are in-scope. Near-duplicates within train stay in one fold. `--on calibration`
judges on val, so that settings can be tried without a look at test.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from eval.intervals import bootstrap_mean, wilson
from router.baselines.protocol import Floats, HeadLabels, LabelBaseline, Texts
from router.baselines.similarity import NearestNeighbours
from router.dataset import Dataset, load_dataset, write_queries
from router.encoders import open_encoder
from router.encoders.cache import CachedEncoder
from router.encoders.open import cache_directory
from router.encoders.protocol import Matrix, sentence_part
from router.fitting import encode_labels
from router.grouping import with_groups
from router.scoring import Ints
from router.training import fit_heads

SPLITS = {"train": "train", "val": "calibration", "test": "test"}
OUT_OF_SCOPE = "oos"
HEADS = ("intent", "domain")
SEED = 0
GRID = (3.0, 10.0, 30.0)
TOLERANCE = 1e-5  # at scikit-learn's scale a looser one stops 150 classes early and costs the baseline two points


class ConvergedLogistic:
    """Logistic regression on the sentence embedding, C by accuracy on one of five shuffled folds, run to its optimum."""

    def fit(self, texts: Texts, labels: Mapping[str, HeadLabels], *, seed: int) -> Self:
        """One model per head."""
        self.models_ = {
            name: self._one(texts.embedding[head.index], head.y, np.random.default_rng(seed))
            for name, head in labels.items()
        }
        return self

    def predict(self, texts: Texts) -> dict[str, Floats]:
        """From embedding to probabilities."""
        return {name: np.asarray(model.predict_proba(texts.embedding)) for name, model in self.models_.items()}

    @staticmethod
    def _one(rows: Matrix, y: Ints, rng: np.random.Generator) -> Any:  # Any: scikit-learn is untyped
        from sklearn.linear_model import LogisticRegression

        def model(C: float) -> Any:
            return LogisticRegression(C=C, max_iter=5_000, tol=TOLERANCE)

        held = rng.permutation(len(y)) % 5 == 0
        best = max(GRID, key=lambda C: float(model(C).fit(rows[~held], y[~held]).score(rows[held], y[held])))
        return model(best).fit(rows, y)


def convert(source: Path, target: Path) -> None:
    """Write `queries.jsonl` and `card.toml` into the directory `target`."""
    import pyarrow.parquet as pq

    rows = pq.read_table(source).to_pylist()
    labels = {head: sorted({row[head] for row in rows if row["domain"] != OUT_OF_SCOPE}) for head in HEADS}
    card = ['name = "clinc150"', 'version = "1"', 'use = "train"', 'license = "CC-BY-3.0"']
    for head in HEADS:
        card += [f"[heads.{head}]", f"labels = {json.dumps(labels[head])}"]
    lines = [
        {
            "id": row["id"],
            "text": row["text"],
            **{head: None if row["domain"] == OUT_OF_SCOPE else row[head] for head in HEADS},
            "split": SPLITS[row["split"]],
        }
        for row in rows
    ]
    target.mkdir(parents=True, exist_ok=True)
    (target / "card.toml").write_text("\n".join(card) + "\n", encoding="utf-8")
    (target / "queries.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def prepared(source: Path, directory: Path) -> Dataset:
    """The converted set with near-duplicates of train tied into groups; read back where an earlier run has left it."""
    ready = directory / "queries.jsonl"
    if not ready.exists():
        convert(source, directory)
        whole = load_dataset(directory)
        grouped = {query.query_id: query for query in with_groups(whole.split("train")).queries}
        queries = [grouped.get(query.query_id, query) for query in whole.queries]
        ready.write_text(write_queries(queries), encoding="utf-8")
    return load_dataset(directory)


def baseline_probabilities(
    baseline: LabelBaseline, train: Dataset, test: Dataset, encoder: CachedEncoder
) -> dict[str, Floats]:
    """Head -> (n, k) of one baseline, fitted on the sentence embedding of train."""
    known, new = (
        Texts(texts=part.texts, embedding=sentence_part(encoder.encode(part.texts), encoder.spec))
        for part in (train, test)
    )
    labels = {}
    for head in HEADS:
        index, y = encode_labels(head, train.card.heads[head], train.labels(head))
        labels[head] = HeadLabels(classes=train.card.heads[head], index=index, y=y)
    return baseline.fit(known, labels, seed=SEED).predict(new)


def judged(right: Mapping[str, npt.NDArray[np.bool_]]) -> list[dict[str, Any]]:
    """One row per router: accuracy with Wilson's interval, and ours minus it, paired over the same queries."""
    rows = []
    for name, hits in right.items():
        gap = right["weighbridge"].astype(float) - hits
        draws = bootstrap_mean(gap, list(range(len(gap))), rng=np.random.default_rng(SEED))
        rows.append(
            {
                "router": name,
                "n": len(hits),
                "accuracy": round(float(hits.mean()), 4),
                "accuracy_ci": [round(bound, 4) for bound in wilson(int(hits.sum()), len(hits)).to_list()],
                "delta": None if name == "weighbridge" else round(draws.estimate, 4),
                "delta_ci": None if name == "weighbridge" else [round(b, 4) for b in draws.interval.to_list()],
            }
        )
    return rows


def main() -> None:
    """Convert, fit, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--on", choices=("test", "calibration"), default="test")
    parser.add_argument("--keep", type=Path, help="Convert into this directory and keep it; else a temporary one.")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        dataset = prepared(asked.data, asked.keep or Path(temporary))
    train, test = dataset.split("train"), dataset.split(asked.on)
    test = test.where(lambda query: query.labels.heads.get("intent") is not None)
    encoder = CachedEncoder(open_encoder(), cache_directory())
    encoder.encode([*train.texts, *test.texts])  # so that the seconds below are those of fitting

    probabilities: dict[str, dict[str, Floats]] = {}
    fit_s: dict[str, float] = {}
    start, cpu = time.perf_counter(), time.process_time()
    ours = fit_heads(
        train, encoder, seed=SEED, notify=lambda line: print(f"{time.perf_counter() - start:6.1f} s {line}")
    )
    fit_s["weighbridge"] = time.perf_counter() - start
    cpu_s = time.process_time() - cpu
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    probabilities["weighbridge"] = ours.probabilities(test.texts)
    baselines: dict[str, LabelBaseline] = {"encoder-lr": ConvergedLogistic(), "knn-15": NearestNeighbours()}
    for name, baseline in baselines.items():
        start = time.perf_counter()
        probabilities[name] = baseline_probabilities(baseline, train, test, encoder)
        fit_s[name] = time.perf_counter() - start

    figures: dict[str, Any] = {
        "on": asked.on,
        "fit_s": fit_s,
        "fit_cpu_s": cpu_s,
        "peak_gb": peak_gb,
        "fitted": ours.fitted,
        "heads": {},
    }
    for head in HEADS:
        y = np.array([train.card.heads[head].index(label) for label in test.labels(head) if label is not None])
        figures["heads"][head] = judged({name: p[head].argmax(axis=1) == y for name, p in probabilities.items()})
        setting = ours.fitted["heads"][head]
        print(
            f"\n{head} on {asked.on}; C {setting['C']}, n-grams x {setting['ngram_factor']}, {setting['calibration']}"
        )
        print(f"tried: {setting['tried']}")
        for row in figures["heads"][head]:
            print(
                f"{row['router']:>12}  {row['accuracy']:.4f} {row['accuracy_ci']}  ours minus it {row['delta']} {row['delta_ci']}"
            )
    print("\nseconds to fit and predict:", {name: round(value, 1) for name, value in fit_s.items()})
    print(f"ours: {cpu_s:.0f} CPU seconds to fit, resident at most {peak_gb:.2f} GB")
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
