"""Encoders side by side: accuracy per head and language, time a text, size. Same rows, same heads, paired differences.

    python benchmarks/encoders.py --data datasets/pam-v1 all-MiniLM-L6-v2 multilingual-e5-small

Heads are fitted on the train split and judged on the calibration split, which this script uses for nothing else; the test
split is not touched. The first encoder named is the one that the others are compared with. `A+B` stands for the two side
by side, `static` for token vectors distilled from MiniLM on the train split. Times are means of single texts, one after the other, interleaved between the encoders: read them as ratios.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from eval.heads import unit_names
from eval.intervals import bootstrap_mean
from router.compiled.distil import NAME as STATIC
from router.compiled.distil import StaticEncoder, distil
from router.dataset import Dataset, load_dataset
from router.encoders.cache import CachedEncoder
from router.encoders.open import DEFAULT_ENCODER, cache_directory, exported_directory, open_encoder
from router.encoders.protocol import Encoder, EncoderSpec, Matrix
from router.lexicon import read_lexicon
from router.routes import read_routes
from router.training import fit, splits_for_training

TIMED = 60  # texts


@dataclass(frozen=True)
class Beside:
    """Two encoders side by side: both sentence parts first, each of length 1/√2, then what else they give."""

    parts: tuple[Encoder, ...]

    @property
    def spec(self) -> EncoderSpec:
        """Named by its parts."""
        specs = [part.spec for part in self.parts]
        return EncoderSpec(
            name="+".join(spec.name for spec in specs),
            digest="+".join(spec.digest for spec in specs),
            dim=sum(spec.dim for spec in specs),
            sentence_dim=sum(spec.sentence_dim for spec in specs),
            max_tokens=min(spec.max_tokens for spec in specs),
        )

    def encode(self, texts: Sequence[str]) -> Matrix:
        """(n, dim)."""
        rows = [part.encode(texts) for part in self.parts]
        cuts = [part.spec.sentence_dim for part in self.parts]
        scale = np.float32(1 / np.sqrt(len(rows)))
        first = [row[:, :cut] * scale for row, cut in zip(rows, cuts, strict=True)]
        rest = [row[:, cut:] for row, cut in zip(rows, cuts, strict=True)]
        return np.hstack([*first, *rest])


def opened(name: str, train: Dataset) -> Encoder:
    """An encoder, or several joined by +, each behind the shared cache."""
    parts = tuple(CachedEncoder(_one(part, train), cache_directory()) for part in name.split("+"))
    return parts[0] if len(parts) == 1 else Beside(parts)


def _one(name: str, train: Dataset) -> Encoder:
    if name != STATIC:
        return open_encoder(name, notify=print)
    source = open_encoder(DEFAULT_ENCODER, notify=print)
    return distil(exported_directory(source), source.spec, train.texts)


def megabytes(encoder: Encoder) -> float:
    """Of the ONNX graphs that it runs, or of its token vectors."""
    return sum(
        part.vectors.nbytes
        if isinstance(part, StaticEncoder)
        else (exported_directory(part) / "encoder.onnx").stat().st_size
        for part in bare(encoder)
    ) / 1e6  # fmt: skip


def bare(encoder: Encoder) -> list[Encoder]:
    """Its parts without the cache."""
    parts = encoder.parts if isinstance(encoder, Beside) else (encoder,)
    return [part.inner if isinstance(part, CachedEncoder) else part for part in parts]


def times(encoders: Sequence[Encoder], texts: Sequence[str]) -> np.ndarray:
    """(number of encoders, n) seconds: every text through every encoder before the next text."""
    found = np.zeros((len(encoders), len(texts)))
    for j, text in enumerate(texts):
        for i, encoder in enumerate(encoders):
            start = time.perf_counter()
            for part in bare(encoder):
                part.encode([text])
            found[i, j] = time.perf_counter() - start
    return found


def judged(encoder: Encoder, dataset: Dataset, data: Path, seed: int) -> dict[str, np.ndarray]:
    """Head -> (n,) 1, 0 or NaN (no label) on the calibration split, of heads fitted on train."""
    router = fit(
        splits_for_training(dataset),
        read_routes(data / "routes.toml"),
        encoder,
        lexicon=read_lexicon(data, dataset.card),
        seed=seed,
        notify=lambda said: print("  ", said, flush=True),
    )
    part = dataset.split("calibration")
    said = router.read(part.texts, part.contexts).probabilities
    found = {}
    for head, p in said.items():
        best = [router.classes[head][k] for k in p.argmax(axis=1)]
        pairs = zip(best, part.labels(head), strict=True)
        found[head] = np.array([np.nan if label is None else float(label == answer) for answer, label in pairs])
    return found


def main() -> None:
    """Fit, judge, time, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("encoders", nargs="+")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    dataset = load_dataset(asked.data)
    dataset = replace(dataset, queries=tuple(query for query in dataset.queries if query.split != "test"))
    part = dataset.split("calibration")
    people, languages = unit_names(part), np.array([query.language or "" for query in part.queries])
    encoders = [opened(name, dataset.split("train")) for name in asked.encoders]
    right = [judged(encoder, dataset, asked.data, asked.seed) for encoder in encoders]
    seconds = times(encoders, part.texts[:: max(1, len(part) // TIMED)][:TIMED])
    for i, name in enumerate(asked.encoders):
        ratio = seconds[i].mean() / seconds[0].mean()
        print(f"\n{name}: {megabytes(encoders[i]):.0f} MB, {ratio:.2f} times the first one's time")
        for head, hits in right[i].items():
            known = np.isfinite(hits) & np.isfinite(right[0][head])
            groups = [people[k] for k in np.flatnonzero(known)]
            own = bootstrap_mean(hits[known], groups, rng=np.random.default_rng(asked.seed))
            gain = bootstrap_mean(hits[known] - right[0][head][known], groups, rng=np.random.default_rng(asked.seed))
            spoken = " ".join(
                f"{language} {np.nanmean(hits[languages == language]):.1%}" for language in sorted(set(languages))
            )
            low, high = own.interval.low, own.interval.high
            print(
                f"  {head:12} {own.estimate:.1%} [{low:.1%}, {high:.1%}]"
                f"  {gain.estimate:+.1%} [{gain.interval.low:+.1%}, {gain.interval.high:+.1%}]  {spoken}"
            )


if __name__ == "__main__":
    main()
