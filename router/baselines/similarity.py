"""Routing by likeness: to the mean of each label's examples (as utterance routers do), or to the nearest examples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import numpy as np

from router.baselines.protocol import Floats, HeadLabels, Texts
from router.novelty import nearest
from router.scoring import log_loss, softmax

SHARPNESS = np.geomspace(2.0, 64.0, 16)  # of cosines, before the softmax
NEIGHBOURS = 15


class CentroidSimilarity:
    """The cosine to each label's mean embedding, made a probability by a softmax whose sharpness is fitted on train."""

    def fit(self, texts: Texts, labels: Mapping[str, HeadLabels], *, seed: int) -> Self:
        """Average the unit rows of each label."""
        self.centroids_, self.sharpness_ = {}, {}
        for name, head in labels.items():
            rows = texts.embedding[head.index].astype(np.float64)
            means = np.stack([rows[head.y == j].mean(axis=0) for j in range(len(head.classes))])
            centroids = means / np.linalg.norm(means, axis=1, keepdims=True)
            losses = [log_loss(softmax(rows @ centroids.T * sharp), head.y) for sharp in SHARPNESS]
            self.centroids_[name], self.sharpness_[name] = centroids, float(SHARPNESS[int(np.argmin(losses))])
        return self

    def predict(self, texts: Texts) -> dict[str, Floats]:
        """From cosines to probabilities."""
        rows = texts.embedding.astype(np.float64)
        return {
            name: softmax(rows @ centroids.T * self.sharpness_[name]) for name, centroids in self.centroids_.items()
        }


class NearestNeighbours:
    """The labels of the 15 most similar training queries, weighed by cosine, smoothed by each label's share."""

    def fit(self, texts: Texts, labels: Mapping[str, HeadLabels], *, seed: int) -> Self:
        """Remember."""
        self.rows_ = {name: texts.embedding[head.index] for name, head in labels.items()}
        self.onehot_ = {name: np.eye(len(head.classes))[head.y] for name, head in labels.items()}
        return self

    def predict(self, texts: Texts) -> dict[str, Floats]:
        """From neighbours to probabilities."""
        probabilities = {}
        for name, rows in self.rows_.items():
            index, cosine = nearest(texts.embedding, rows, k=NEIGHBOURS)
            weight = np.maximum(cosine, 0.0)
            votes = (self.onehot_[name][index] * weight[:, :, None]).sum(axis=1) + self.onehot_[name].mean(axis=0)
            probabilities[name] = votes / votes.sum(axis=1, keepdims=True)
        return probabilities
