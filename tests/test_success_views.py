"""The views of a query before any is weighed: standardised columns, words on axes, its data set, its neighbours."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.columnspace import column_basis
from router.encoders.hashing import HashingEncoder
from router.encoders.protocol import Matrix
from router.ngrams import fit_ngrams
from router.scoring import log_loss
from router.success.domain import FEWEST, FittedDomain, Floats, Ints, class_numbers, fit_domain, pooled_means
from router.success.neighbours import SIZES, Neighbours, held_out_means, running_means
from router.success.principal import Principal
from router.success.space import LIMIT, SuccessSpace, WordSpace, fit_space
from router.surface import FEATURE_NAMES

NAN = float("nan")
TEXTS = [
    f"{a} {b} {c}" for a in ("bake", "solve", "rhyme") for b in ("bread", "sums", "verse") for c in ("now", "Twice?")
]
SURFACE = len(FEATURE_NAMES)


def drawn(n: int = len(TEXTS), d: int = 4, *, seed: int = 0) -> Matrix:
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def unit_rows(n: int, d: int = 6, *, seed: int = 0) -> Matrix:
    rows = drawn(n, d, seed=seed)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


# Standardised columns


def embedded(space: SuccessSpace, rows: Matrix) -> Matrix:
    """The columns of the embedding alone."""
    return space.dense(TEXTS[:1] * len(rows), rows)[:, : rows.shape[1]]


def test_the_embedding_of_the_training_rows_is_centred_and_its_rows_have_unit_length_on_average() -> None:
    dense = embedded(fit_space(TEXTS, drawn()), drawn())
    np.testing.assert_allclose(dense.mean(axis=0), 0.0, atol=1e-6)
    assert (dense**2).sum(axis=1).mean() == pytest.approx(1.0, abs=1e-5)


def test_the_surface_of_a_text_stands_beside_its_embedding_and_depends_on_the_text() -> None:
    dense = fit_space(TEXTS, drawn()).dense(TEXTS, drawn())
    assert dense.shape == (len(TEXTS), 4 + SURFACE)
    assert dense.dtype == np.float32
    question = FEATURE_NAMES.index("ends_with_question")
    asked = np.array([text.endswith("?") for text in TEXTS])
    assert dense[asked, 4 + question].min() > 0 > dense[~asked, 4 + question].max()


@pytest.mark.parametrize("factor", [2.0**-8, 2.0**12])
def test_a_column_counts_the_same_in_whatever_unit_it_is_measured(factor: float) -> None:
    scaled = drawn() * np.array([1, factor, 1, 1], dtype=np.float32)
    np.testing.assert_allclose(
        embedded(fit_space(TEXTS, scaled), scaled), embedded(fit_space(TEXTS, drawn()), drawn()), atol=1e-5
    )


def test_a_column_that_was_constant_in_training_says_nothing_of_a_query_where_it_is_not() -> None:
    rows = drawn()
    rows[:, 2] = 0.25
    asked = rows[:1].copy()
    asked[0, 2] = 1e6
    assert embedded(fit_space(TEXTS, rows), asked)[0, 2] == 0.0


def test_one_absurd_value_counts_no_more_than_a_large_one() -> None:
    space = fit_space(TEXTS, drawn())
    absurd, worse = (np.full((1, 4), value, dtype=np.float32) for value in (1e6, 1e30))
    assert embedded(space, absurd).tolist() == embedded(space, worse).tolist()
    assert np.linalg.norm(embedded(space, absurd)) == pytest.approx(LIMIT)


def test_a_row_of_columns_depends_on_its_own_query_alone_bit_for_bit() -> None:
    space, rows = fit_space(TEXTS, drawn()), drawn(seed=3)
    together = space.dense(TEXTS, rows)
    alone = [space.dense(TEXTS[i : i + 1], rows[i : i + 1]) for i in range(len(TEXTS))]
    assert np.vstack(alone).tobytes() == together.tobytes()
    assert space.dense([], rows[:0]).shape == (0, 4 + SURFACE)


# Words


def words_of(texts: list[str], *, rank: int = 6) -> WordSpace:
    ngrams = fit_ngrams(texts, min_count=1, max_terms=1_000, chars=False)
    axes = column_basis(ngrams.transform(texts).to_scipy(), rank=rank, rng=np.random.default_rng(0))
    return WordSpace(ngrams=ngrams, axes=axes)


def test_words_are_reduced_by_the_axes_of_their_weights() -> None:
    space = words_of(TEXTS)
    slow = space.ngrams.transform(TEXTS).to_scipy().toarray().astype(np.float64) @ space.axes
    np.testing.assert_allclose(space.reduced(TEXTS), slow, atol=1e-6)


def test_words_that_training_never_saw_lie_at_the_origin() -> None:
    reduced = words_of(TEXTS).reduced(["chemistry", ""])
    assert reduced.shape == (2, 6)
    assert not reduced.any()


def test_the_words_of_a_text_are_read_without_its_neighbours() -> None:
    space = words_of(TEXTS)
    alone = np.vstack([space.reduced([text]) for text in TEXTS])
    assert alone.tobytes() == space.reduced(TEXTS).tobytes()
    assert space.reduced([]).shape == (0, 6)


# Data sets


def test_data_sets_are_numbered_by_name_and_those_with_too_few_rows_or_no_name_are_not_told_apart() -> None:
    names = ["b"] * FEWEST + ["rare"] * (FEWEST - 1) + [None] * (FEWEST + 1) + ["a"] * FEWEST
    classes, y = class_numbers(names)
    assert classes == ("a", "b")
    assert y.tolist() == [1] * FEWEST + [-1] * (2 * FEWEST) + [0] * FEWEST


def test_no_names_make_no_classes() -> None:
    classes, y = class_numbers([None, None])
    assert classes == ()
    assert y.tolist() == [-1, -1]


def test_means_per_data_set_are_mixed_with_rows_of_the_overall_mean() -> None:
    score = np.array([[1.0], [0.0], [1.0], [NAN], [1.0]])
    means = pooled_means(score, np.array([0, 0, 1, 1, -1]), 3, pooling=2.0)
    # overall (1 + 0 + 1 + 1) / 4 = 0.75, which two more rows of each data set have; the third has no row of its own
    assert means[:, 0].tolist() == pytest.approx([(1 + 1.5) / 4, (1 + 1.5) / 3, 0.75])


def test_models_are_pooled_each_with_its_own_overall_mean() -> None:
    score = np.array([[1.0, 0.0], [1.0, 1.0]])
    assert pooled_means(score, np.array([0, 1]), 2, pooling=1.0).tolist() == [[1.0, 0.25], [1.0, 0.75]]


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 1_000), pooling=st.floats(0.1, 100))
def test_a_pooled_mean_lies_between_the_data_sets_own_mean_and_the_overall_one(seed: int, pooling: float) -> None:
    rng = np.random.default_rng(seed)
    score, y = rng.uniform(size=(30, 2)), rng.integers(0, 3, size=30)
    means = pooled_means(score, y, 3, pooling=pooling)
    for j in np.unique(y):
        own, overall = score[y == j].mean(axis=0), score.mean(axis=0)
        assert (means[j] >= np.minimum(own, overall) - 1e-12).all()
        assert (means[j] <= np.maximum(own, overall) + 1e-12).all()


def test_a_model_without_any_score_is_not_thought_to_fail_everywhere() -> None:
    score = np.array([[1.0, NAN], [0.5, NAN], [0.75, NAN]])
    assert pooled_means(score, np.array([0, 0, 1]), 2, pooling=8.0)[:, 1].tolist() == pytest.approx([0.75, 0.75])


def told_apart(*, n: int = 90, noise: bool = False) -> tuple[FittedDomain, Matrix, list[str | None]]:
    """Three data sets with words of their own, or names that have nothing to do with the text."""
    topics = ("bake bread dough", "solve root sum", "rhyme verse sonnet")
    rng = np.random.default_rng(0)
    rows = HashingEncoder(dim=64).encode([f"{topics[i % 3]} {rng.integers(1000)}" for i in range(n)])
    number = rng.integers(0, 3, size=n) if noise else np.arange(n) % 3
    dataset: list[str | None] = ["abc"[j] for j in number]
    fitted = fit_domain(Principal(rows), dataset, np.arange(n) // 3 % 5)
    assert fitted is not None
    return fitted, rows, dataset


def test_data_sets_with_words_of_their_own_are_told_apart_on_rows_that_were_held_out() -> None:
    fitted, rows, _ = told_apart()
    assert fitted.accuracy > 0.95
    assert (fitted.head.probabilities(rows).argmax(axis=1) == fitted.y).mean() > 0.95
    assert fitted.log_loss < 0.3


def test_names_that_have_nothing_to_do_with_the_text_are_not_told_apart() -> None:
    fitted, _, _ = told_apart(n=300, noise=True)
    assert fitted.accuracy < 0.45
    assert fitted.log_loss > np.log(3) - 0.05


def test_probabilities_of_data_sets_sum_to_one_and_the_loss_told_is_theirs() -> None:
    fitted, rows, _ = told_apart()
    for p in (fitted.held, fitted.head.probabilities(rows)):
        assert p.min() >= 0
        np.testing.assert_allclose(p.sum(axis=1), 1.0, atol=1e-12)
    assert fitted.log_loss == pytest.approx(log_loss(fitted.held, fitted.y))


def test_a_query_without_a_data_set_still_gets_probabilities() -> None:
    rows = unit_rows(60)
    dataset: list[str | None] = ["a"] * 20 + ["b"] * 20 + [None] * 20
    fitted = fit_domain(Principal(rows), dataset, np.arange(60) % 5)
    assert fitted is not None
    assert fitted.held.shape == (60, 2)
    assert fitted.y.tolist() == [0] * 20 + [1] * 20 + [-1] * 20
    np.testing.assert_allclose(fitted.held.sum(axis=1), 1.0, atol=1e-12)


@pytest.mark.parametrize("names", [[None] * 40, ["a"] * 40, ["a"] * 39 + ["b"]])
def test_fewer_than_two_data_sets_make_no_domain_head(names: list[str | None]) -> None:
    assert fit_domain(Principal(unit_rows(40)), names, np.arange(40) % 5) is None


def test_a_data_set_that_stands_in_one_fold_alone_is_no_obstacle() -> None:
    fitted = fit_domain(Principal(unit_rows(40)), ["a"] * 20 + ["b"] * 20, np.arange(40) // 20)
    assert fitted is not None
    assert np.isfinite(fitted.held).all()


# Neighbours


def test_the_first_neighbours_are_averaged_for_every_size_asked_for() -> None:
    score = np.array([[1.0], [0.0], [0.5], [1.0]])
    means = running_means(score, np.array([[0, 1, 2], [3, 2, 1]]), (1, 3))
    assert [values[:, 0].tolist() for values in means] == [[1.0, 1.0], [0.5, 0.5]]


def test_a_missing_score_is_passed_over_and_without_any_the_models_mean_is_told() -> None:
    score = np.array([[1.0, NAN], [NAN, NAN], [0.0, 1.0], [0.0, 0.5]])
    means = running_means(score, np.array([[0, 1, 2]]), (2, 3))
    # the first model: 1 of one known, then 1 and 0;   the second: none known among two, so (1 + 0.5) / 2, then 1
    np.testing.assert_allclose(means[0], [[1.0, 0.75]])
    np.testing.assert_allclose(means[1], [[0.5, 1.0]])


def test_a_model_that_no_training_query_has_is_not_told_to_fail() -> None:
    score = np.array([[1.0, NAN], [0.5, NAN]])
    assert running_means(score, np.array([[0, 1]]), (2,))[0][0, 1] == pytest.approx(0.75)


def test_neighbours_are_the_most_similar_training_queries() -> None:
    sentence = np.array([[1, 0], [0.8, 0.6], [0, 1], [-1, 0]], dtype=np.float32)
    score = np.array([[1.0, 0.0], [0.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    asked = np.array([[1, 0], [0, 1]], dtype=np.float32)
    assert Neighbours(sentence, score, 2).means(asked).tolist() == [[0.5, 0.0], [0.5, 0.5]]
    assert Neighbours(sentence, score, 99).means(asked).tolist() == [[0.5, 0.5], [0.5, 0.5]]


def slow_held_out(sentence: Matrix, score: Floats, unit: Ints, k: int) -> Floats:
    """Row by row: the k most similar rows of other units."""
    held = np.empty_like(score)
    for i, row in enumerate(sentence):
        others = [j for j in range(len(sentence)) if unit[j] != unit[i]]
        others.sort(key=lambda j: -float(sentence[j].astype(float) @ row.astype(float)))
        held[i] = score[others[:k]].mean(axis=0)
    return held


def test_a_training_query_hears_its_neighbours_without_itself_and_its_equals() -> None:
    sentence, unit = unit_rows(60), np.arange(60) // 2
    score = np.random.default_rng(0).uniform(size=(60, 2))
    for k, held in held_out_means(sentence, score, unit).items():
        np.testing.assert_allclose(held, slow_held_out(sentence, score, unit, k), atol=1e-9)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 1_000), n=st.integers(2, 60), copies=st.integers(1, 30))
def test_what_neighbours_say_of_a_query_does_not_depend_on_its_own_score_or_its_equals(
    seed: int, n: int, copies: int
) -> None:
    sentence = np.vstack([np.repeat(unit_rows(1, seed=seed), copies, axis=0), unit_rows(n, seed=seed + 1)])
    unit = np.array([0] * copies + list(range(1, n + 1)))
    score = np.random.default_rng(seed).uniform(size=(n + copies, 2))
    changed = score.copy()
    changed[:copies] = 1.0 - changed[:copies]
    before, after = held_out_means(sentence, score, unit), held_out_means(sentence, changed, unit)
    for k in before:
        assert before[k][:copies].tolist() == after[k][:copies].tolist()


@pytest.mark.parametrize("n", [2, 5, 12, 50])
def test_no_more_neighbours_are_asked_than_there_are_and_one_size_is_always_tried(n: int) -> None:
    held = held_out_means(unit_rows(n), np.ones((n, 1)), np.arange(n))
    assert held
    assert max(held) <= n - 1
    assert max(held) <= max(SIZES)
    assert all((values == 1).all() for values in held.values())


def test_queries_that_lie_all_in_one_place_hear_the_mean_of_others() -> None:
    sentence = np.tile(unit_rows(1), (30, 1))
    held = held_out_means(sentence, np.tile([[1.0], [0.0]], (15, 1)), np.arange(30))
    assert all(((values >= 0) & (values <= 1)).all() for values in held.values())
