"""Training on many rows: what each step costs, and how far the reduced road is from the columns themselves.

    python benchmarks/train_large.py --data DIRECTORY [--head intent] [--rows 15000] [--rank 1024] [--axes 1200]

DIRECTORY holds `card.toml` and `queries.jsonl` (`benchmarks/clinc.py --keep DIRECTORY` writes them). Prints CPU seconds
of the n-gram basis, of the rotation, and of fits at several tolerances, from zero and from a stronger penalty's model;
then the penalised loss that each fit reached, and how often its held-out predictions are those of the tightest one.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from router.columnspace import AXES, RANK, reduced_blocks
from router.dataset import load_dataset
from router.encoders import open_encoder
from router.encoders.cache import CachedEncoder
from router.encoders.open import cache_directory
from router.features import fit_feature_space
from router.fitting import encode_labels
from router.ngrams import fit_ngrams
from router.scoring import Floats, Ints, log_loss, softmax
from router.solver import MANY_CLASSES_TOLERANCE, TOLERANCE, Linear, logistic

NGRAM_FACTOR = 0.3
PENALTIES = (0.3, 1.0)


def objective(model: Linear, rows: Floats, y: Ints, *, C: float) -> float:
    """The sum that both solvers minimise, over n: comparable, lower is nearer to the optimum."""
    return log_loss(softmax(model.logits(rows)), y) + float((model.weights**2).sum()) / (2 * C * len(y))


def main() -> None:
    """Reduce, rotate, fit, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--head", default="intent")
    parser.add_argument("--rows", type=int, default=15_000)
    parser.add_argument("--rank", type=int, default=RANK)
    parser.add_argument("--axes", type=int, default=AXES)
    asked = parser.parse_args()
    dataset = load_dataset(asked.data)
    train = dataset.split("train")
    order = np.random.default_rng(0).permutation(len(train))[: asked.rows]
    texts = [train.texts[i] for i in order]
    index, y = encode_labels(asked.head, train.card.heads[asked.head], [train.labels(asked.head)[i] for i in order])
    embedding = CachedEncoder(open_encoder(), cache_directory()).encode(texts)
    ngrams = fit_ngrams(texts, min_count=2, max_terms=40_000)
    features = fit_feature_space(texts, embedding, ngrams=ngrams, lexicon=None).transform(texts, embedding)
    clock = _Clock()
    blocks = reduced_blocks(features, rank=asked.rank, axes=asked.axes)
    clock.tell(f"basis of {len(ngrams.terms):,} n-grams, rank {asked.rank}")
    space = blocks.space({name: NGRAM_FACTOR if name == "ngrams" else 1.0 for name in blocks.names}, index)
    clock.tell(f"rotation of {len(space.rotation):,} columns to {space.coordinates.shape[1]:,} axes")

    held = np.random.default_rng(1).permutation(len(index)) % 5 == 0
    rows, fresh, seen = space.coordinates[~held], space.coordinates[held], y[~held]
    stronger, C = PENALTIES
    clock.restart()
    first = logistic(rows, seen, C=stronger, tolerance=MANY_CLASSES_TOLERANCE)
    clock.tell(f"fit, C {stronger}")
    models = {"warm": logistic(rows, seen, C=C, tolerance=MANY_CLASSES_TOLERANCE, start=first)}
    clock.tell(f"fit, C {C}, from C {stronger}")
    for tolerance in (TOLERANCE, MANY_CLASSES_TOLERANCE, MANY_CLASSES_TOLERANCE / 10):
        name = f"cold, tolerance {tolerance:g}"
        models[name] = logistic(rows, seen, C=C, tolerance=tolerance)
        clock.tell(f"fit, C {C}, {name}")
    reference = models[name].logits(fresh).argmax(axis=1)
    for name, model in models.items():
        logits = model.logits(fresh)
        agree = float((logits.argmax(axis=1) == reference).mean())
        right = float((model.present[logits.argmax(axis=1)] == y[held]).mean())
        print(f"{name:>26}: objective {objective(model, rows, seen, C=C):.6f}, right {right:.4f}, agrees {agree:.4f}")


class _Clock:
    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self._start = time.process_time()

    def tell(self, what: str) -> None:
        print(f"{time.process_time() - self._start:7.1f} CPU s  {what}", flush=True)
        self.restart()


if __name__ == "__main__":
    main()
