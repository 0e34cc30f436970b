"""The promises of `router.baselines.protocol.LabelBaseline`, one function each.

Each takes what makes a fresh, unfitted baseline, and runs it on a small problem that every family can learn from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from router.baselines.protocol import Floats, HeadLabels, LabelBaseline, Texts
from router.encoders.hashing import HashingEncoder
from router.lexicon import Lexicon

Make = Callable[[], LabelBaseline]
Check = Callable[[Make], None]

CLASSES: Mapping[str, tuple[str, ...]] = {"level": ("easy", "hard"), "topic": ("trip", "shop", "budget")}
WORDS = {"trip": ("campsite", "route"), "shop": ("jack", "hose"), "budget": ("diesel", "receipt")}
PLACES = ("moab", "yuma", "bend", "tulsa", "ely", "cody", "taos", "reno")
CLOSE = 1e-6  # of a probability: matrix products of other shapes round otherwise in the last bits
ROUGHLY = 0.02  # of a probability: a solver that meets its classes in another order stops elsewhere near the optimum


def texts_of(lines: list[str]) -> Texts:
    """Texts with hashed embeddings and the cue words of the topics."""
    lexicon = Lexicon({"topic": {label: WORDS[label] for label in CLASSES["topic"]}})
    return Texts(texts=lines, embedding=HashingEncoder(dim=64).encode(lines), lexicon=lexicon)


def problem() -> tuple[Texts, dict[str, HeadLabels]]:
    """96 texts: hard ones are long, topics have words of their own; every seventh has no topic, budget is the rarest."""
    lines, topics, levels = [], [], []
    for i in range(96):
        topic = ("trip", "trip", "shop", "shop", "trip", "budget")[i % 6]
        line = f"{WORDS[topic][i // 6 % 2]} in {PLACES[i % 8]}"
        hard = i % 5 < 2
        lines.append(line + (f", and then plan the whole week from {PLACES[i % 7]} for the four of us" if hard else ""))
        topics.append(topic)
        levels.append("hard" if hard else "easy")
    every, labelled = np.arange(96), np.array([i for i in range(96) if i % 7])
    return texts_of(lines), {
        "level": _head("level", levels, every),
        "topic": _head("topic", topics, labelled),
    }


FRESH = texts_of(
    [
        "hose in tulsa",
        "campsite near cody",
        "diesel receipt from reno, and then plan the whole week for the two of us please",
        "hi",
        "what is this",
        "route",
        "jack jack jack",
    ]
)


def fit_returns_the_baseline_itself(make: Make) -> None:
    """So that `make().fit(...)` can be chained."""
    baseline = make()
    assert baseline.fit(*problem(), seed=0) is baseline, "fit returned something else"


def every_head_gets_probabilities_for_every_text(make: Make) -> None:
    """Head -> (n, k): finite, none below 0, rows that sum to 1."""
    said = _fitted(make).predict(FRESH)
    assert set(said) == set(CLASSES), f"heads {sorted(said)}"
    for head, p in said.items():
        assert p.shape == (len(FRESH), len(CLASSES[head])), f"{head}: {p.shape}"
        assert np.isfinite(p).all(), f"{head}: NaN or infinity"
        assert p.min() >= 0, f"{head}: {p.min()}"
        assert np.abs(p.sum(axis=1) - 1).max() < CLOSE, f"{head}: rows sum to {p.sum(axis=1).tolist()}"


def the_same_seed_learns_the_same(make: Make) -> None:
    """Bit for bit, from two fresh starts."""
    _close(_fitted(make).predict(FRESH), _fitted(make).predict(FRESH), 0.0, "learned again with the same seed")


def predicting_again_says_the_same(make: Make) -> None:
    """Asking teaches nothing."""
    baseline = _fitted(make)
    _close(baseline.predict(FRESH), baseline.predict(FRESH), 0.0, "asked again")


def a_text_is_judged_without_its_neighbours(make: Make) -> None:
    """Alone as in company."""
    baseline = _fitted(make)
    alone = [baseline.predict(FRESH.rows(np.array([i]))) for i in range(len(FRESH))]
    _close({head: np.vstack([p[head] for p in alone]) for head in CLASSES}, baseline.predict(FRESH), CLOSE, "alone")


def rows_follow_their_texts_in_any_order(make: Make) -> None:
    """Row i is text i's."""
    baseline, order = _fitted(make), np.array([3, 0, 6, 5, 1, 4, 2])
    said = baseline.predict(FRESH)
    _close(baseline.predict(FRESH.rows(order)), {head: p[order] for head, p in said.items()}, CLOSE, "shuffled")


def columns_stand_in_the_order_of_the_classes(make: Make) -> None:
    """A head whose classes come the other way round gets its columns the other way round."""
    texts, labels = problem()
    turned = {
        name: replace(head, classes=head.classes[::-1], y=len(head.classes) - 1 - head.y)
        for name, head in labels.items()
    }
    said = make().fit(texts, turned, seed=0).predict(FRESH)
    _close(
        {head: p[:, ::-1] for head, p in said.items()}, _fitted(make).predict(FRESH), ROUGHLY, "classes turned round"
    )


def what_it_is_given_is_left_as_it_was(make: Make) -> None:
    """Texts, embeddings and labels are shared by all baselines of a comparison."""
    texts, labels = problem()
    make().fit(texts, labels, seed=0).predict(texts)
    untouched, untouched_labels = problem()
    assert list(texts.texts) == list(untouched.texts), "the texts were changed"
    assert texts.embedding.tobytes() == untouched.embedding.tobytes(), "the embeddings were changed"
    for name, head in labels.items():
        assert head.y.tolist() == untouched_labels[name].y.tolist(), f"the labels of {name} were changed"


CHECKS: tuple[Check, ...] = (
    fit_returns_the_baseline_itself,
    every_head_gets_probabilities_for_every_text,
    the_same_seed_learns_the_same,
    predicting_again_says_the_same,
    a_text_is_judged_without_its_neighbours,
    rows_follow_their_texts_in_any_order,
    columns_stand_in_the_order_of_the_classes,
    what_it_is_given_is_left_as_it_was,
)


def _head(name: str, labels: list[str], index: np.typing.NDArray[np.intp]) -> HeadLabels:
    y = np.array([CLASSES[name].index(labels[i]) for i in index], dtype=np.intp)
    return HeadLabels(classes=CLASSES[name], index=index, y=y)


def _fitted(make: Make) -> LabelBaseline:
    return make().fit(*problem(), seed=0)


def _close(found: Mapping[str, Floats], wanted: Mapping[str, Floats], tolerance: float, when: str) -> None:
    for head, p in wanted.items():
        gap = float(np.abs(found[head] - p).max())
        assert gap <= tolerance, f"{head}: probabilities move by {gap:.1e} when {when}"
