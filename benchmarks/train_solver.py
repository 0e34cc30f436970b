"""Training in row space against scikit-learn on the sparse columns: the same optimum, how much sooner?

    python benchmarks/train_solver.py [--rows 2000] [--head intent]

Both minimise the same penalised loss on the same rows; the script prints the ratio of their times and how far their
probabilities differ on rows that neither has seen.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix, hstack
from sklearn.linear_model import LogisticRegression

from router.dataset import load_dataset
from router.encoders.hashing import HashingEncoder
from router.features import fit_feature_space
from router.fitting import encode_labels
from router.lexicon import read_lexicon
from router.ngrams import fit_ngrams
from router.rowspace import blocks_of, row_space

PAM = Path(__file__).resolve().parent.parent / "datasets" / "pam-v1"
C = 0.1
TOLERANCE = 1e-6


def main() -> None:
    """Fit twice, print the ratio and the difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--head", default="intent")
    asked = parser.parse_args()
    train = load_dataset(PAM).split("train")
    rows = train.queries[: asked.rows + 500]
    texts = [query.text for query in rows]
    embedding = HashingEncoder(dim=1152).encode(texts)
    ngrams = fit_ngrams(texts[: asked.rows], min_count=2, max_terms=40_000)
    space = fit_feature_space(texts, embedding, ngrams=ngrams, lexicon=read_lexicon(PAM, train.card))
    features = space.transform(texts, embedding)
    labels = [query.labels.heads[asked.head] for query in rows]
    index, y = encode_labels(asked.head, train.card.heads[asked.head], labels)
    seen = index < asked.rows

    blocks = blocks_of(features)
    start = time.perf_counter()
    gram = row_space(blocks, dict.fromkeys(blocks.grams, 1.0), index[seen])
    model = LogisticRegression(C=C, max_iter=2000, tol=TOLERANCE).fit(gram.coordinates, y[seen])
    weights = gram.column_weights(model.coef_.T.astype(np.float64))
    ours_s = time.perf_counter() - start

    columns = hstack([csr_matrix(blocks.rows[name]) for name in blocks.grams]).tocsr()
    start = time.perf_counter()
    plain = LogisticRegression(C=C, max_iter=2000, tol=TOLERANCE).fit(columns[index[seen]], y[seen])
    theirs_s = time.perf_counter() - start

    unseen = index[~seen]
    logits = sum(blocks.rows[name][unseen] @ weights[name] for name in weights) + model.intercept_
    ours = np.exp(logits - logits.max(axis=1, keepdims=True))
    ours /= ours.sum(axis=1, keepdims=True)
    gap = float(np.abs(ours - plain.predict_proba(columns[unseen])).max())
    print(
        f"{seen.sum()} rows, {columns.shape[1]:,} columns, {len(set(y.tolist()))} classes, without the shared Gram matrices:"
    )
    print(
        f"row space {ours_s:.1f} s, sparse columns {theirs_s:.1f} s, ratio {theirs_s / ours_s:.1f}; largest difference of a probability {gap:.1e}"
    )


if __name__ == "__main__":
    main()
