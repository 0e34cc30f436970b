"""TF-IDF of words and word pairs with logistic regression: the classic that is hard to beat cheaply."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from router.baselines.perhead import LogisticPerHead
from router.baselines.protocol import Floats, HeadLabels, Texts

GRID = (3.0, 30.0)


class TfidfLogistic:
    """scikit-learn's TfidfVectorizer (sublinear, words and pairs, in at least two texts) and LogisticRegression."""

    def __init__(self) -> None:
        self._model = LogisticPerHead(GRID)

    def fit(self, texts: Texts, labels: Mapping[str, HeadLabels], *, seed: int) -> Self:
        """Learn vocabulary and weights."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        self.vectorizer_: Any = TfidfVectorizer(
            ngram_range=(1, 2), min_df=2, sublinear_tf=True, token_pattern=r"(?u)\b\w+\b"
        )
        self._model.fit(self.vectorizer_.fit_transform(texts.texts), labels, seed=seed)
        return self

    def predict(self, texts: Texts) -> dict[str, Floats]:
        """From words to probabilities."""
        return self._model.predict(self.vectorizer_.transform(texts.texts))
