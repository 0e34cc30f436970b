"""How fast do texts become vectors? The ONNX road against sentence-transformers' own `encode`, in one interleaved run.

    python benchmarks/encode.py [--texts 256] [--rounds 4]

Absolute times on shared machines mean nothing; the ratio, measured side by side, does.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from sentence_transformers import SentenceTransformer

from router.dataset import load_dataset
from router.encoders import open_encoder
from router.encoders.open import minilm_directory

PAM = Path(__file__).resolve().parent.parent / "datasets" / "pam-v1"


def main() -> None:
    """Print texts per second of both, in batches and one at a time, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=4)
    asked = parser.parse_args()
    texts = load_dataset(PAM).split("train").texts[: asked.texts]
    ours, theirs = open_encoder(), SentenceTransformer(str(minilm_directory()), device="cpu")
    spent: dict[str, list[float]] = {
        name: [] for name in ("batch ours", "batch theirs", "single ours", "single theirs")
    }
    for _ in range(asked.rounds):
        for name, call in (
            ("batch ours", lambda: ours.encode(texts)),
            ("batch theirs", lambda: theirs.encode(texts, normalize_embeddings=True, show_progress_bar=False)),
            ("single ours", lambda: [ours.encode([text]) for text in texts[:64]]),
            ("single theirs", lambda: [theirs.encode([text], show_progress_bar=False) for text in texts[:64]]),
        ):
            start = time.perf_counter()
            call()
            spent[name].append(time.perf_counter() - start)
    for kind, n in (("batch", len(texts)), ("single", 64)):
        mine, other = (float(np.median(spent[f"{kind} {who}"])) for who in ("ours", "theirs"))
        print(
            f"{kind}: ours {n / mine:.0f} texts/s, sentence-transformers {n / other:.0f} texts/s, ratio {other / mine:.2f}"
        )


if __name__ == "__main__":
    main()
