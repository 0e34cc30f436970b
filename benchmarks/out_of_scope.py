"""Which score finds out-of-scope queries best? AUROC of each, side by side, with intervals.

    python benchmarks/out_of_scope.py --data clinc150.parquet [--seed 0] [--draws 2000]

The file has columns text, domain, intent and split (train, val, test), as a table of CLINC150 (clinc/oos-eval) has; a row
with domain "oos" is out of scope. An intent head (logistic regression) is fitted on train in scope, scores are ranked by
val in scope, and test is judged once: its out-of-scope queries against those in scope. Nothing sees a test row but to
score it. The last score also learns from train's labelled out-of-scope queries; the others see none.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from eval.intervals import minimum_detectable
from eval.selective import Bools, Floats, bootstrap_auroc, selective_figures
from router.encoders import open_encoder
from router.encoders.cache import CachedEncoder
from router.encoders.open import cache_directory
from router.encoders.protocol import Matrix
from router.novelty import fit_novelty
from router.outcomes import equal_texts
from router.scope import fit_normal_score, fit_scope
from router.scoring import softmax

OUTSIDE = "oos"
C = 0.003  # inverse penalty on standardised columns
OURS = "scope: mean of the three"
LEARNED = "scope + logit of an out-of-scope class (supervised)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The n texts with embedding (n, d), intent (n,), split (n,) and whether each is out of scope (n,)."""

    texts: list[str]
    embedding: Matrix
    sentence_dim: int
    intent: npt.NDArray[np.str_]
    split: npt.NDArray[np.str_]
    outside: Bools

    def where(self, split: str, *, outside: bool) -> npt.NDArray[np.intp]:
        """Positions of a split's queries in or out of scope."""
        return np.flatnonzero((self.split == split) & (self.outside == outside))


def read(path: Path) -> Table:
    """Read the file and embed its texts, behind the shared cache."""
    import pandas as pd

    frame = pd.read_parquet(path)
    encoder = CachedEncoder(open_encoder(), cache_directory())
    texts = frame["text"].tolist()
    return Table(
        texts=texts,
        embedding=encoder.encode(texts),
        sentence_dim=encoder.spec.sentence_dim,
        intent=frame["intent"].to_numpy(str),
        split=frame["split"].to_numpy(str),
        outside=(frame["domain"] == OUTSIDE).to_numpy(bool),
    )


def fitted_logits(table: Table, rows: npt.NDArray[np.intp]) -> tuple[Floats, list[str]]:
    """Logits of every text by an intent head fitted on `rows`, and the names of its classes."""
    from sklearn.linear_model import LogisticRegression

    seen = table.embedding[rows]
    z = (table.embedding - seen.mean(axis=0)) / np.maximum(seen.std(axis=0), 1e-6)
    head = LogisticRegression(C=C, max_iter=300, tol=1e-3).fit(z[rows], table.intent[rows])
    return np.asarray(z @ head.coef_.T + head.intercept_, dtype=np.float64), head.classes_.tolist()


def scores(table: Table) -> tuple[dict[str, Floats], Floats]:
    """Every score over all texts, higher is stranger; and the head's logits."""
    train, known = table.where("train", outside=False), table.where("val", outside=False)
    logits, _ = fitted_logits(table, train)
    sentence = np.ascontiguousarray(table.embedding[:, : table.sentence_dim])
    scope = fit_scope(
        table.embedding[train],
        table.intent[train],
        sentence_dim=table.sentence_dim,
        calibration=table.embedding[known],
        logits=logits[known],
    )
    signs = scope.signs(table.embedding, logits)
    ours = scope.score(table.embedding, logits)
    strange, names = fitted_logits(table, np.union1d(train, table.where("train", outside=True)))
    outside = names.index(OUTSIDE)
    against = strange[:, outside] - np.delete(strange, outside, axis=1).max(axis=1)
    learned = fit_normal_score(against[known]).apply(against)
    return {
        "max probability": -softmax(logits).max(axis=1),
        "max logit": signs["logit"],
        "novelty (nearest sentences)": fit_novelty(sentence[train], sentence[known]).rank(sentence),
        "distance to the nearest class": signs["class"],
        "distance to the nearest sentences": signs["neighbour"],
        OURS: ours,
        LEARNED: (3 * ours + learned) / 4,
    }, logits


def main() -> None:
    """Fit, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="test", help="val while choosing a form, test once")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--draws", type=int, default=2000)
    asked = parser.parse_args()
    table = read(asked.data)
    found, logits = scores(table)
    judged = np.flatnonzero(table.split == asked.split)
    positive = table.outside[judged]
    groups = equal_texts([table.texts[i] for i in judged]).tolist()
    print(
        f"{asked.split}: {positive.sum():,} queries out of scope against {(~positive).sum():,} in scope; 95 % intervals"
    )
    print(f"{'score':<52} {'AUROC':<24} difference of the scope score to it")
    ours = found[OURS][judged]
    for name, score in found.items():
        own = bootstrap_auroc(score[judged], positive, groups, rng=np.random.default_rng(asked.seed), draws=asked.draws)
        line = f"{name:<52} {own.estimate:.4f} [{own.interval.low:.4f}, {own.interval.high:.4f}]  "
        if name != OURS:
            delta = bootstrap_auroc(
                ours,
                positive,
                groups,
                against=score[judged],
                rng=np.random.default_rng(asked.seed),
                draws=asked.draws,
            )
            line += f"{delta.estimate:+.4f} [{delta.interval.low:+.4f}, {delta.interval.high:+.4f}], detectable {minimum_detectable(delta.standard_error):.4f}"
        print(line)
    wrong = positive | (
        np.array(sorted(set(table.intent[~table.outside])))[logits[judged].argmax(axis=1)] != table.intent[judged]
    )
    print("\nAnswering only what looks most familiar (loss: a wrong intent, or any answer to what is out of scope)")
    for name in ("max probability", OURS):
        figures = selective_figures(
            -found[name][judged],
            wrong.astype(np.float64),
            groups,
            rng=np.random.default_rng(asked.seed),
            risks=(0.05,),
            draws=asked.draws,
        )
        held = figures["coverage_at"][0]
        print(
            f"{name:<52} AURC {figures['aurc']:.4f} {figures['aurc_ci']}, oracle {figures['aurc_oracle']:.4f};"
            f" risk 5 % at coverage {held['coverage']:.3f} {held['coverage_ci']}"
        )


if __name__ == "__main__":
    main()
