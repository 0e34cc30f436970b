"""How fast does a compiled form decide? Against the plain way, all taking turns in one run on one thread.

    weighbridge export BUNDLE --out FORM
    python benchmarks/compiled.py --bundle BUNDLE --form FORM [--texts 500]

The plain way is `SentenceTransformer.encode` and scikit-learn's `predict_proba` of one logistic regression a head, fitted
on the same training queries. Absolute times on shared machines mean nothing; ratios, measured side by side, do.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sentence_transformers import SentenceTransformer
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from router.bundle import load as load_bundle
from router.compiled import CompiledRouter, load
from router.compiled.files import STATIC
from router.compiled.measure import agreement
from router.dataset import load_dataset
from router.encoders.open import minilm_directory
from router.pipeline import Router

PAM = Path(__file__).resolve().parent.parent / "datasets" / "pam-v1"
CPU = " (cpu)"
BLOCK = 16  # queries between two turns
WARM = 100  # calibration queries that every way answers first, unmeasured
FRESH = """
import sys, time
began = time.perf_counter()
from pathlib import Path
from router.compiled import load
router = load(Path({form!r}), precision={precision!r}, static={static})
router.decide("where is my refund?")
ready = time.perf_counter() - began
for text in {texts!r}:
    router.decide(text)
status = Path("/proc/self/status").read_text()
rss = {{line.split()[0]: int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith(("VmRSS", "VmHWM"))}}
import json
print(json.dumps({{"ready_s": ready, "cpu_s": time.process_time(), "rss_mb": rss["VmRSS:"], "peak_mb": rss["VmHWM:"]}}))
"""


def plain_way(router: Router) -> Callable[[str], object]:
    """The plain way to the same heads: sentence embedding, then one logistic regression each."""
    import torch

    torch.set_num_threads(1)
    model = SentenceTransformer(str(minilm_directory()), device="cpu")
    X = router.novelty.reference  # the sentence embeddings of the training queries
    heads = []
    for name in router.classes:
        labels = [query.labels.heads.get(name) for query in router.training]
        known = [i for i, label in enumerate(labels) if label is not None]
        heads.append(LogisticRegression(max_iter=300).fit(X[known], [labels[i] for i in known]))

    def decide(text: str) -> object:
        row = model.encode([text], normalize_embeddings=True, show_progress_bar=False)
        return [head.predict_proba(row) for head in heads]

    return decide


def forms(path: Path) -> dict[str, CompiledRouter]:
    """Every way that the form can answer: each precision alone and behind the static tier. Nothing is remembered."""
    held = json.loads((path / "manifest.json").read_text(encoding="utf-8"))["tiers"]
    found = {}
    for precision in ("fp32", "int8"):
        if precision in held:
            found[precision] = load(path, precision=precision, static=False, remember=0)
            if STATIC in held:
                found[f"{STATIC}+{precision}"] = load(path, precision=precision, remember=0)
    return found


def interleaved(ways: dict[str, Callable[[str], object]], texts: list[str]) -> dict[str, list[float]]:
    """Milliseconds per query of each way, on the wall and (name + CPU) of this thread.

    They take turns block by block, in an order that rotates: close enough in time to share what else the machine does,
    far enough that each finds the processor's caches as it left them, which it would if it served alone.
    """
    spent: dict[str, list[float]] = {name + clock: [] for name in ways for clock in ("", CPU)}
    order = list(ways)
    for at in range(0, len(texts), BLOCK):
        for name in order:
            for text in texts[at : at + BLOCK]:
                start, thread = time.perf_counter(), time.thread_time()
                ways[name](text)
                spent[name].append((time.perf_counter() - start) * 1e3)
                spent[name + CPU].append((time.thread_time() - thread) * 1e3)
        order = [*order[1:], order[0]]
    return spent


def print_speed(spent: dict[str, list[float]], equal: dict[str, str]) -> None:
    """Two lines a way, wall and CPU; ratios are to the plain way on the same clock."""
    for clock in ("", CPU):
        base = spent["plain" + clock]
        for name in (name for name in spent if name.endswith(CPU) == bool(clock)):
            values = spent[name]
            (median, high), (base_median, base_high) = (np.percentile(row, [50, 99]) for row in (values, base))
            print(
                f"{name:16} n {len(values):,}  median {median:7.2f} ms, {base_median / median:5.2f}x"
                f"  p99 {high:7.2f} ms, {base_high / high:5.2f}x  mean {np.mean(base) / np.mean(values):5.2f}x  {equal.get(name, '')}"
            )


def print_fresh(form: Path, texts: list[str], *, precision: str, static: bool) -> None:
    """Readiness and memory of an interpreter that does nothing else."""
    body = FRESH.format(form=str(form), precision=precision, static=static, texts=texts)
    done = subprocess.run([sys.executable, "-c", body], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    print(
        f"fresh {precision}{' + static' if static else ''}: ready {found['ready_s']:.2f} s after imports began,"
        f" RSS {found['rss_mb']:.0f} MB, peak {found['peak_mb']:.0f} MB, after {len(texts) + 1} queries"
    )


def main() -> None:
    """Print ratios, equal decisions, readiness and memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--form", type=Path, required=True)
    parser.add_argument("--texts", type=int, default=500)
    asked = parser.parse_args()
    dataset = load_dataset(PAM)
    test, warm = dataset.split("test").texts, dataset.split("calibration").texts[:WARM]
    texts = test[:: max(1, len(test) // asked.texts)]
    with threadpool_limits(limits=1):
        fitted, compiled = load_bundle(asked.bundle), forms(asked.form)
        ways: dict[str, Callable[[str], object]] = {"plain": plain_way(fitted), "fitted": fitted.decide}
        ways |= {name: router.decide for name, router in compiled.items()}
        interleaved(ways, warm)
        gc.collect()
        gc.freeze()  # what torch and its kin left behind is no burden of a process that serves one way
        spent = interleaved(ways, texts)
        theirs = fitted.decide_many(texts)
        equal = {}
        for name, router in compiled.items():
            found = agreement(router.decide_many(texts), theirs)
            equal[name] = f"equal {found['share']:.4f} [{found['low']:.4f}, {found['high']:.4f}]"
            if name.startswith(STATIC):
                first = router.decisions(router.read(texts, tier=0))
                equal[name] += f"  static {np.mean([router.stands(one, tier=0) for one in first]):.1%}"
    print_speed(spent, equal)
    for name in compiled:
        print_fresh(asked.form, warm, precision=name.removeprefix(f"{STATIC}+"), static=name.startswith(STATIC))


if __name__ == "__main__":
    main()
