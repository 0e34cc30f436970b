"""The promises of `router.baselines.outcomes.protocol.OutcomeRouter`, one function each.

Each takes what makes a fresh, unfitted router, and runs it on a small made-up table: three topics with words of their
own, models that answer two topics of the three. `CHECKS` holds for every router, `LEARNS` for those that look at the query.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from router.baselines.outcomes.protocol import Floats, OutcomeRouter, Queries
from router.encoders.hashing import HashingEncoder
from router.outcomes import Outcomes, equal_texts

Make = Callable[[], OutcomeRouter]
Check = Callable[[Make], None]
Index = npt.NDArray[np.intp]

TOPICS = ("algebra", "poetry", "cooking")
WORDS = {
    "algebra": ("solve the equation", "factor the polynomial", "the root of the equation"),
    "poetry": ("rhyme a stanza", "a sonnet stanza with rhyme", "verse in rhyme"),
    "cooking": ("bake bread with yeast", "knead the bread dough", "yeast dough"),
}
DETAILS = ("quickly", "for anna", "by noon", "once more", "in short", "with care", "for two")
DIM = 64
CLOSE = 1e-9  # of a value: what rounding may leave between a query alone and the same query in company
ODD = 11  # every eleventh cell says the opposite: a table without noise is not one
LEARNT = 0.8  # mean score of the chosen models on the toy table, where any single model has 0.67 and the best choice 1


def queries_of(lines: Sequence[str], topics: Sequence[str | None] | None = None) -> Queries:
    """Queries with hashed embeddings; `topics` as their `dataset`."""
    return Queries(texts=list(lines), embedding=HashingEncoder(dim=DIM).encode(lines), sentence_dim=DIM, dataset=topics)


def outcomes_of(queries: Queries, score: Floats) -> Outcomes:
    """A table without costs, split or lengths."""
    n, m = score.shape
    unknown = np.full((n, m), np.nan)
    return Outcomes(
        name="made up",
        ids=tuple(f"q{i}" for i in range(n)),
        texts=tuple(queries.texts),
        models=tuple(f"model-{j}" for j in range(m)),
        score=score,
        cost_usd=unknown,
        input_tokens=unknown.copy(),
        output_tokens=unknown.copy(),
        latency_ms=unknown.copy(),
        dataset=tuple(queries.dataset or [None] * n),
        split=(None,) * n,
        unit=equal_texts(queries.texts),
    )


def lines_of(n: int, *, start: int = 0) -> tuple[list[str], list[str]]:
    """n different lines and their topics, in turn."""
    lines, topics = [], []
    for i in range(start, start + n):
        topic = TOPICS[i % 3]
        lines.append(f"{WORDS[topic][i // 3 % 3]} {DETAILS[i % 7]} {DETAILS[i // 7 % 7]} {i}")
        topics.append(topic)
    return lines, topics


def right(topics: Sequence[str | None], models: int) -> Floats:
    """(n, models) model j fails at one topic and answers the others: all models are equally good on the whole."""
    number = np.array([TOPICS.index(topic) for topic in topics if topic is not None])
    answers: Floats = ((number[:, None] + np.arange(models)) % 3 != 0).astype(np.float64)
    return answers


def problem(n: int = 60, *, models: int = 2, told: bool = True, noisy: bool = True) -> tuple[Queries, Outcomes]:
    """n training queries and what the models made of them; `told`: the queries carry their topic as `dataset`."""
    lines, topics = lines_of(n)
    score = right(topics, models)
    if noisy:
        score.ravel()[ODD - 1 :: ODD] = 1.0 - score.ravel()[ODD - 1 :: ODD]
    queries = queries_of(lines, topics)
    outcomes = outcomes_of(queries, score)
    return (queries if told else replace(queries, dataset=None)), outcomes


def fresh(n: int = 300) -> Queries:
    """Queries that no training saw: the topics', an empty one, one in other letters, and topics nobody named."""
    lines, topics = lines_of(n - 3, start=10_000)
    return queries_of([*lines, "", "что это", "hello"], [*topics, None, "languages", "algebra"])


def fit_returns_the_router_itself(make: Make) -> None:
    """So that `make().fit(...)` can be chained."""
    router = make()
    assert router.fit(*_problem(make), seed=0) is router, "fit returned something else"


def it_says_what_it_needs_and_what_it_means(make: Make) -> None:
    """`allowed` and `probabilities` are True or False before anything is fitted."""
    for name in ("allowed", "probabilities"):
        assert isinstance(getattr(make(), name), bool), f"{name} is {getattr(make(), name)!r}"


def every_model_has_a_finite_value_for_every_query(make: Make) -> None:
    """(n, m) double precision; in [0, 1] where they are meant as probabilities."""
    _values(make, *_problem(make))


def no_queries_give_no_rows(make: Make) -> None:
    """(0, m), so that an empty split is no special case."""
    values = _fitted(make).predict(_asked(make).rows(np.array([], dtype=np.intp)))
    assert values.shape == (0, 2), f"values have the shape {values.shape}"


def the_same_seed_learns_the_same(make: Make) -> None:
    """Bit for bit, from two fresh starts."""
    asked = _asked(make)
    _close(_fitted(make).predict(asked), _fitted(make).predict(asked), 0.0, "it learns again with the same seed")


def predicting_again_says_the_same(make: Make) -> None:
    """Asking teaches nothing."""
    router, asked = _fitted(make), _asked(make)
    _close(router.predict(asked), router.predict(asked), 0.0, "it is asked again")


def a_query_is_judged_without_its_neighbours(make: Make) -> None:
    """Alone as in company of three hundred."""
    router, asked = _fitted(make), _asked(make)
    index = np.array([0, 1, 6, 127, 255, 256, 298, 299])
    alone = np.vstack([router.predict(asked.rows(index[i : i + 1])) for i in range(len(index))])
    _close(alone, router.predict(asked)[index], CLOSE, "a query stands alone")


def rows_follow_their_queries_in_any_order(make: Make) -> None:
    """Row i is query i's."""
    router, asked = _fitted(make), _asked(make)
    order = np.random.default_rng(0).permutation(len(asked))
    _close(router.predict(asked.rows(order)), router.predict(asked)[order], CLOSE, "the queries are shuffled")


def missing_scores_are_accepted(make: Make) -> None:
    """Single cells, and a query that no model answered."""
    queries, outcomes = _problem(make)
    score = outcomes.score.copy()
    score.ravel()[4::7] = np.nan
    score[5] = np.nan
    _values(make, queries, replace(outcomes, score=score))


def models_that_never_vary_are_accepted(make: Make) -> None:
    """One that is always right, and then two that are always alike: a class alone is no reason to fail."""
    queries, outcomes = _problem(make)
    score = outcomes.score.copy()
    score[:, 1] = 1.0
    _values(make, queries, replace(outcomes, score=score))
    _values(make, queries, replace(outcomes, score=np.ones_like(score)))
    _values(make, queries, replace(outcomes, score=np.zeros_like(score)))


def two_models_and_five_are_accepted(make: Make) -> None:
    """A column for each, in the table's order."""
    for models in (2, 5):
        _values(make, *_problem(make, models=models))


def twelve_training_rows_are_enough(make: Make) -> None:
    """To say something, however little."""
    _values(make, *_problem(make, n=12))


def graded_scores_are_accepted(make: Make) -> None:
    """Any score in [0, 1], not right and wrong alone."""
    queries, outcomes = _problem(make)
    graded = np.random.default_rng(1).uniform(size=outcomes.score.shape) * 0.8 + outcomes.score * 0.2
    _values(make, queries, replace(outcomes, score=graded))


def repeated_training_rows_are_accepted(make: Make) -> None:
    """The same query three times over with scores that differ, and asked about again."""
    queries, outcomes = _problem(make, n=30)
    again = queries.rows(np.array([*range(30), 4, 4, 9], dtype=np.intp))
    score = np.vstack([outcomes.score, 1.0 - outcomes.score[[4, 4]], outcomes.score[[9]]])
    _values(make, again, outcomes_of(again, score), asked=again)


def the_dataset_is_not_read_where_it_is_not_allowed(make: Make) -> None:
    """A router that is `allowed` says the same whether or not the queries carry their dataset."""
    if make().allowed:
        untold = make().fit(*problem(told=False), seed=0).predict(replace(fresh(), dataset=None))
        told = make().fit(*problem(told=True), seed=0).predict(fresh())
        _close(told, untold, 0.0, "the queries carry their dataset")


def what_it_is_given_is_left_as_it_was(make: Make) -> None:
    """Texts, embeddings and scores are shared by all routers of a comparison."""
    (queries, outcomes), (untouched, as_they_were) = _problem(make), _problem(make)
    make().fit(queries, outcomes, seed=0).predict(queries)
    assert list(queries.texts) == list(untouched.texts), "the texts were changed"
    assert queries.embedding.tobytes() == untouched.embedding.tobytes(), "the embeddings were changed"
    assert outcomes.score.tobytes() == as_they_were.score.tobytes(), "the scores were changed"


def it_learns_what_the_words_say(make: Make) -> None:
    """On topics that their words tell apart it chooses better than any single model, and than chance."""
    router = make().fit(*_problem(make, n=240), seed=0)
    lines, topics = lines_of(90, start=20_000)
    asked = queries_of(lines, None if make().allowed else topics)
    chosen = router.predict(asked).argmax(axis=1)
    reached = float(right(topics, 2)[np.arange(90), chosen].mean())
    assert reached >= LEARNT, f"the chosen models score {reached:.2f}; wanted {LEARNT}"


CHECKS: tuple[Check, ...] = (
    fit_returns_the_router_itself,
    it_says_what_it_needs_and_what_it_means,
    every_model_has_a_finite_value_for_every_query,
    no_queries_give_no_rows,
    the_same_seed_learns_the_same,
    predicting_again_says_the_same,
    a_query_is_judged_without_its_neighbours,
    rows_follow_their_queries_in_any_order,
    missing_scores_are_accepted,
    models_that_never_vary_are_accepted,
    two_models_and_five_are_accepted,
    twelve_training_rows_are_enough,
    graded_scores_are_accepted,
    repeated_training_rows_are_accepted,
    the_dataset_is_not_read_where_it_is_not_allowed,
    what_it_is_given_is_left_as_it_was,
)
LEARNS: tuple[Check, ...] = (it_learns_what_the_words_say,)


def _problem(make: Make, *, n: int = 60, models: int = 2) -> tuple[Queries, Outcomes]:
    """With the datasets for a router that may know them, without for one that may not."""
    return problem(n, models=models, told=not make().allowed)


def _asked(make: Make) -> Queries:
    return replace(fresh(), dataset=None) if make().allowed else fresh()


def _fitted(make: Make) -> OutcomeRouter:
    return make().fit(*_problem(make), seed=0)


def _values(make: Make, queries: Queries, outcomes: Outcomes, *, asked: Queries | None = None) -> None:
    """Fit, predict, and look at the values' shape, type and range."""
    asked = _asked(make) if asked is None else asked
    values = make().fit(queries, outcomes, seed=0).predict(asked)
    assert values.shape == (len(asked), len(outcomes.models)), f"values have the shape {values.shape}"
    assert values.dtype == np.float64, f"values are {values.dtype}"
    assert np.isfinite(values).all(), "values hold NaN or infinity"
    if make().probabilities:
        assert 0 <= values.min() <= values.max() <= 1, f"probabilities from {values.min()} to {values.max()}"


def _close(found: Floats, wanted: Floats, tolerance: float, when: str) -> None:
    assert found.shape == wanted.shape, f"the shape becomes {found.shape} when {when}"
    gap = float(np.abs(found - wanted).max())
    assert gap <= tolerance, f"values move by {gap:.1e} when {when}"
