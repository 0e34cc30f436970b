"""How fast does a compiled form decide? Against the plain way and, if asked, semantic-router, all taking turns in one run.

    weighbridge export BUNDLE --out FORM
    python benchmarks/compiled.py --bundle BUNDLE --form FORM [--texts 500] [--semantic-router PYTHON]

The plain way is `SentenceTransformer.encode` and scikit-learn's `predict_proba` of one logistic regression a head, fitted
on the same training queries. Absolute times on shared machines mean nothing; ratios, measured side by side, do: of medians,
with 95 % intervals over texts, and once more for short texts, which ratios of other projects are mostly about. A compiled
form remembers words, as a server does that has run for a while: it has answered the calibration split before, never the
texts that are measured. `--cold` leaves that out.

semantic-router needs older clients of model providers than Weighbridge, so it runs in an interpreter of its own, which
borrows torch and transformers from this one:

    python -m venv /tmp/sr && /tmp/sr/bin/pip install semantic-router==1.1.1
    python -c "import sysconfig; print(sysconfig.get_path('purelib'))" > /tmp/sr/lib/python3.11/site-packages/borrowed.pth
    python benchmarks/compiled.py ... --semantic-router /tmp/sr/bin/python

It then knows ten routes of 100 training queries each and embeds with the same MiniLM through its own HuggingFaceEncoder.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sentence_transformers import SentenceTransformer
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from router.bundle import load as load_bundle
from router.compiled import CompiledRouter, load
from router.compiled.files import STATIC
from router.compiled.measure import agreement
from router.compiled.tokens import Tokens
from router.dataset import Dataset, load_dataset
from router.encoders.onnx import TOKENIZER_FILE
from router.encoders.open import minilm_directory
from router.pipeline import Router

PAM = Path(__file__).resolve().parent.parent / "datasets" / "pam-v1"
WORKER = Path(__file__).resolve().parent / "compiled_semantic_router.py"
PLAIN, SEMANTIC = "plain", "semantic-router"
BLOCK = 16  # queries between two turns
WARM = 100  # calibration queries that every way answers first, unmeasured; compiled forms answer all of them
SHORT = 13  # tokens, frame included: the median of the texts behind the ratios that other projects are compared by
DRAWS = 1_000
ROUTES, UTTERANCES = 10, 100
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

Floats = npt.NDArray[np.float64]
Way = Callable[[str], tuple[float, float]]  # decides one text; milliseconds on the wall and of CPU


def timed(decide: Callable[[str], object]) -> Way:
    """A way of this process and thread."""

    def once(text: str) -> tuple[float, float]:
        start, thread = time.perf_counter(), time.thread_time()
        decide(text)
        return (time.perf_counter() - start) * 1e3, (time.thread_time() - thread) * 1e3

    return once


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


class SemanticRouter:
    """semantic-router in an interpreter of its own, which times its own calls."""

    def __init__(self, python: Path, routes: dict[str, list[str]]) -> None:
        self._process = subprocess.Popen(
            [str(python), str(WORKER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._ask({"model": str(minilm_directory()), "routes": routes})

    def __call__(self, text: str) -> tuple[float, float]:
        """Milliseconds of one call, as a Way."""
        wall, cpu = self._ask(text)
        return wall, cpu

    def _ask(self, message: object) -> Any:  # Any: what the worker answers
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit(
                f"semantic-router's interpreter ended; see what it says above and {Path(__file__).name} --help."
            )
        return json.loads(answer)

    def close(self) -> None:
        """End the interpreter."""
        self._process.communicate()


def utterances(train: Dataset) -> dict[str, list[str]]:
    """The first queries of the ten most frequent labels, of the head that has so many: some of the size users bring."""
    head = max(train.card.heads, key=lambda name: len(train.card.heads[name]))
    found: dict[str, list[str]] = {}
    for text, label in zip(train.texts, train.labels(head), strict=True):
        if label is not None:
            found.setdefault(label, []).append(text)
    often = sorted(found, key=lambda name: -len(found[name]))[:ROUTES]
    return {name: found[name][:UTTERANCES] for name in often}


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


def interleaved(ways: dict[str, Way], texts: list[str]) -> dict[str, Floats]:
    """Each way's (n, 2) milliseconds, on the wall and of CPU.

    They take turns block by block, in an order that rotates: close enough in time to share what else the machine does,
    far enough that each finds the processor's caches as it left them, which it would if it served alone.
    """
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    order = list(ways)
    for at in range(0, len(texts), BLOCK):
        for name in order:
            spent[name] += [ways[name](text) for text in texts[at : at + BLOCK]]
        order = [*order[1:], order[0]]
    return {name: np.array(rows) for name, rows in spent.items()}


def ratio(theirs: Floats, ours: Floats) -> str:
    """The ratio of medians of (n,) times of the same texts, with its 95 % bootstrap interval over texts."""
    drawn = np.random.default_rng(0).integers(0, len(ours), size=(DRAWS, len(ours)))
    ratios = np.median(theirs[drawn], axis=1) / np.median(ours[drawn], axis=1)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return f"{np.median(theirs) / np.median(ours):5.2f}x [{low:.2f}, {high:.2f}]"


def print_speed(spent: dict[str, Floats], title: str) -> None:
    """Two lines a way, wall and CPU: ratios of medians to the plain way on the same clock, and of p99 and means."""
    print(title)
    for clock, name in ((clock, name) for clock in (0, 1) for name in spent):
        values, base = spent[name][:, clock], spent[PLAIN][:, clock]
        p99 = np.percentile(base, 99) / np.percentile(values, 99)
        also = f"  of {SEMANTIC} {ratio(spent[SEMANTIC][:, clock], values)}" if SEMANTIC in spent else ""
        print(
            f"  {name + (' (cpu)' if clock else ''):22} {np.median(values):7.2f} ms  {ratio(base, values)}"
            f"  p99 {p99:5.2f}x  mean {base.mean() / values.mean():5.2f}x{also}"
        )


def print_equal(compiled: dict[str, CompiledRouter], fitted: Router, part: Dataset) -> None:
    """How many decisions are the fitted router's, and how many the static tier takes."""
    theirs = fitted.decide_many(part.texts, part.contexts)
    for name, router in compiled.items():
        found = agreement(router.decide_many(part.texts, part.contexts), theirs)
        line = f"{name}: equal {found['share']:.4f} [{found['low']:.4f}, {found['high']:.4f}]"
        if name.startswith(STATIC):
            first = router.decisions(router.read(part.texts, part.contexts, tier=0))
            line += f", static answers {np.mean([router.stands(one, tier=0) for one in first]):.1%}"
        print(line)


def print_fresh(form: Path, texts: list[str], *, precision: str, static: bool) -> None:
    """Readiness and memory of an interpreter that does nothing else."""
    body = FRESH.format(form=str(form), precision=precision, static=static, texts=texts)
    done = subprocess.run([sys.executable, "-c", body], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    print(
        f"fresh {precision}{' + static' if static else ''}: ready {found['ready_s']:.2f} s after imports began,"
        f" {found['cpu_s']:.2f} CPU-s in all, RSS {found['rss_mb']:.0f} MB, peak {found['peak_mb']:.0f} MB,"
        f" after {len(texts) + 1} queries"
    )


def main() -> None:
    """Print ratios, equal decisions, readiness and memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--form", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=PAM)
    parser.add_argument("--texts", type=int, default=500)
    parser.add_argument("--cold", action="store_true", help="forms that have met no more than 100 queries")
    parser.add_argument("--semantic-router", type=Path, help="an interpreter that has it")
    asked = parser.parse_args()
    dataset = load_dataset(asked.data)
    test, met = dataset.split("test"), dataset.split("calibration").texts
    warm = met[:WARM]
    part = replace(test, queries=test.queries[:: max(1, len(test) // asked.texts)])
    with threadpool_limits(limits=1):
        fitted, compiled = load_bundle(asked.bundle), forms(asked.form)
        ways: dict[str, Way] = {PLAIN: timed(plain_way(fitted)), "fitted": timed(fitted.decide)}
        ways |= {name: timed(router.decide) for name, router in compiled.items()}
        if asked.semantic_router:
            ways[SEMANTIC] = other = SemanticRouter(asked.semantic_router, utterances(dataset.split("train")))
        interleaved(ways, warm)
        for router in () if asked.cold else compiled.values():
            router.decide_many(met[WARM:])
        gc.collect()
        gc.freeze()  # what torch and its kin left behind is no burden of a process that serves one way
        spent = interleaved(ways, part.texts)
        if asked.semantic_router:
            other.close()
        tokens = Tokens(asked.form / TOKENIZER_FILE, fitted.encoder.spec.max_tokens)
        lengths = np.array([len(tokens.of(text)) for text in part.texts])
        print_speed(spent, f"{len(part):,} test queries, median {np.median(lengths):.0f} tokens")
        short = lengths <= SHORT
        print_speed(
            {name: rows[short] for name, rows in spent.items()},
            f"the {short.sum():,} of them with at most {SHORT} tokens, median {np.median(lengths[short]):.0f}",
        )
        print_equal(compiled, fitted, part)
    for name in compiled:
        print_fresh(asked.form, warm, precision=name.removeprefix(f"{STATIC}+"), static=name.startswith(STATIC))


if __name__ == "__main__":
    main()
