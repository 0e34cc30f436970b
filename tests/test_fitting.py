"""Fitting a head: held-out rows are never seen, too little data is refused in words, and the same data gives the same head."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.errors import FitError
from router.features import Features
from router.fitting import FEWEST, FOLDS, PENALTIES, FittedHead, Setting, encode_labels, fit_head, folds
from router.ngrams import SparseRows
from router.rowspace import Blocks, blocks_of
from router.scoring import log_loss, softmax

Rows = npt.NDArray[np.float32]
Ints = npt.NDArray[np.intp]
UNITS = st.lists(st.integers(0, 12), min_size=2, max_size=60).filter(lambda unit: len(set(unit)) > 1)
GIVEN = Setting(C=1.0, ngram_factor=0.0)
TWO, THREE = ("no", "yes"), ("a", "b", "c")


def features(embedding: Rows, ngrams: Rows | None = None) -> Features:
    """Blocks of the given embedding and, where asked for, of dense n-grams; the surface block says nothing."""
    rows = None
    if ngrams is not None:
        n, d = ngrams.shape
        rows = SparseRows(
            data=ngrams.ravel(),
            indices=np.tile(np.arange(d, dtype=np.int32), n),
            indptr=np.arange(0, n * d + 1, d, dtype=np.int64),
            n_columns=d,
        )
    surface = np.zeros((len(embedding), 1), dtype=np.float32)
    return Features(embedding=embedding, surface=surface, lexicon=None, ngrams=rows)


def noise(n: int, d: int = 8, *, seed: int = 0) -> Rows:
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def telling(labels: list[str], classes: tuple[str, ...], *, seed: int = 0) -> Rows:
    """One column per class that gives the label away, under some noise."""
    onehot = np.eye(len(classes))[[classes.index(label) for label in labels]]
    return (3 * onehot + noise(len(labels), len(classes), seed=seed)).astype(np.float32)


def dealt(classes: tuple[str, ...], n: int) -> list[str]:
    return [classes[i % len(classes)] for i in range(n)]


def in_turn(n: int) -> Ints:
    """Folds dealt in blocks of seven rows, so that labels dealt in turn stand in all of them."""
    return (np.arange(n) // 7) % FOLDS


def fitted_bytes(fitted: FittedHead) -> list[bytes]:
    head = fitted.head
    return [
        *(weights.tobytes() for weights in head.weights.values()),
        head.intercept.tobytes(),
        fitted.oof.tobytes(),
        *(array.tobytes() for array in head.calibration.to_arrays().values()),
    ]


@settings(deadline=None, max_examples=50)
@given(unit=UNITS, seed=st.integers(0, 99))
def test_no_unit_stands_in_two_folds_and_no_fold_is_empty(unit: list[int], seed: int) -> None:
    fold = folds(unit, seed=seed)
    assert all(len(set(fold[np.array(unit) == name].tolist())) == 1 for name in set(unit))
    assert sorted(set(fold.tolist())) == list(range(min(FOLDS, len(set(unit)))))


@settings(deadline=None, max_examples=50)
@given(unit=UNITS, seed=st.integers(0, 99))
def test_two_folds_differ_by_no_more_rows_than_the_largest_unit_has(unit: list[int], seed: int) -> None:
    sizes = np.bincount(folds(unit, seed=seed))
    assert sizes.max() - sizes.min() <= np.bincount(unit).max()


@settings(deadline=None, max_examples=50)
@given(unit=UNITS, data=st.data())
def test_folds_follow_their_rows_when_rows_are_reordered(unit: list[int], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(unit))))
    assert folds([unit[i] for i in order], seed=0).tolist() == folds(unit, seed=0)[order].tolist()


def test_another_seed_deals_other_folds() -> None:
    unit = list(range(40))
    assert folds(unit, seed=0).tolist() == folds(unit, seed=0).tolist() != folds(unit, seed=1).tolist()


@pytest.mark.parametrize("unit", [[], [3, 3, 3]])
def test_one_unit_alone_cannot_be_dealt(unit: list[int]) -> None:
    with pytest.raises(FitError, match="at least two groups"):
        folds(unit, seed=0)


def test_labels_become_class_numbers_and_open_ones_are_left_out() -> None:
    labels = [None, *["b"] * FEWEST, None, *["a"] * FEWEST]
    index, y = encode_labels("topic", ("a", "b"), labels)
    assert index.tolist() == [1, 2, 3, 4, 5, 7, 8, 9, 10, 11]
    assert y.tolist() == [1] * 5 + [0] * 5


@pytest.mark.parametrize("scarce", [0, 1, FEWEST - 1])
def test_a_label_with_too_few_examples_is_refused_by_name_and_number(scarce: int) -> None:
    with pytest.raises(FitError, match=rf"'topic': label 'b' has {scarce} of {9 + scarce} .*at least {FEWEST}"):
        encode_labels("topic", ("a", "b"), ["a"] * 9 + ["b"] * scarce + [None])


def test_the_fewest_examples_allowed_are_enough_to_fit() -> None:
    labels = dealt(THREE, 3 * FEWEST)
    fitted = fit_head("topic", THREE, labels, blocks_of(features(telling(labels, THREE))), np.arange(15) // 3)
    assert fitted.oof.shape == (15, 3)


def test_a_head_learns_what_its_features_give_away() -> None:
    labels = dealt(THREE, 105)
    known = features(telling(labels, THREE))
    fitted = fit_head("topic", THREE, labels, blocks_of(known), in_turn(105))
    assert [THREE[j] for j in fitted.head.probabilities(known).argmax(axis=1)] == labels


@pytest.mark.parametrize("classes", [TWO, THREE])
def test_out_of_fold_probabilities_are_those_of_the_labelled_rows(classes: tuple[str, ...]) -> None:
    labels: list[str | None] = [*dealt(classes, 70)]
    labels[::9] = [None] * len(labels[::9])
    fitted = fit_head("topic", classes, labels, blocks_of(features(noise(70))), in_turn(70), setting=GIVEN)
    assert fitted.index.tolist() == [i for i in range(70) if i % 9]
    assert fitted.oof.shape == (len(fitted.index), len(classes))
    np.testing.assert_allclose(fitted.oof.sum(axis=1), 1.0, atol=1e-12)


def test_two_classes_get_mirrored_weights() -> None:
    fitted = fit_head("urgent", TWO, dealt(TWO, 40), blocks_of(features(noise(40))), in_turn(40), setting=GIVEN)
    weights = fitted.head.weights["embedding"]
    np.testing.assert_allclose(weights[:, 0], -weights[:, 1], rtol=1e-6)


def test_a_row_held_out_teaches_nothing_about_itself() -> None:
    # Labels drawn by chance, and more columns than rows: what was seen is known by heart, what was not is guessed.
    rng = np.random.default_rng(0)
    labels = [TWO[i] for i in rng.integers(0, 2, size=100)]
    y = np.array([TWO.index(label) for label in labels])
    known = features(noise(100, 300))
    fitted = fit_head("coin", TWO, labels, blocks_of(known), in_turn(100), setting=Setting(C=10.0, ngram_factor=0.0))
    assert (fitted.head.probabilities(known).argmax(axis=1) == y).all()
    assert (fitted.oof.argmax(axis=1) == y).mean() < 0.65


def test_a_near_duplicate_in_the_same_unit_gives_nothing_away() -> None:
    rng = np.random.default_rng(1)
    labels = [label for label in (TWO[i] for i in rng.integers(0, 2, size=60)) for _ in range(2)]
    twins = np.repeat(noise(60, 200), 2, axis=0)
    fold = folds(np.repeat(np.arange(60), 2).tolist(), seed=0)
    fitted = fit_head("coin", TWO, labels, blocks_of(features(twins)), fold, setting=Setting(C=10.0, ngram_factor=0.0))
    assert (fitted.oof.argmax(axis=1) == [TWO.index(label) for label in labels]).mean() < 0.65


def test_ngrams_that_say_everything_are_taken_and_those_that_say_nothing_are_left() -> None:
    labels = dealt(THREE, 105)
    told, silent = telling(labels, THREE), noise(105, 40, seed=3) * 3
    useful = fit_head("topic", THREE, labels, blocks_of(features(noise(105), told)), in_turn(105))
    useless = fit_head("topic", THREE, labels, blocks_of(features(told, silent)), in_turn(105))
    assert (useful.setting.ngram_factor, useless.setting.ngram_factor) == (1.0, 0.0)
    assert "ngrams" not in useless.head.weights


def test_the_setting_chosen_has_the_smallest_loss_of_those_tried() -> None:
    labels = dealt(THREE, 105)
    fitted = fit_head("topic", THREE, labels, blocks_of(features(telling(labels, THREE), noise(105))), in_turn(105))
    tried = dict(fitted.tried)
    assert {setting.C for setting in tried} == set(PENALTIES)
    assert tried[fitted.setting] == min(tried.values())


def test_a_setting_that_is_given_is_taken_untried() -> None:
    fitted = fit_head("topic", TWO, dealt(TWO, 40), blocks_of(features(noise(40))), in_turn(40), setting=GIVEN)
    assert (fitted.setting, fitted.tried) == (GIVEN, ())


def test_calibrated_out_of_fold_rows_cost_no_more_than_uncalibrated_guessing() -> None:
    y = np.array([TWO.index(label) for label in dealt(TWO, 70)], dtype=np.intp)
    fitted = fit_head("coin", TWO, dealt(TWO, 70), blocks_of(features(noise(70, 100))), in_turn(70), setting=GIVEN)
    assert log_loss(fitted.oof, y) < log_loss(softmax(np.zeros((70, 2))), y) + 0.05


def test_the_same_rows_give_the_same_head_to_the_bit() -> None:
    labels = dealt(THREE, 105)

    def fit() -> list[bytes]:
        known = features(telling(labels, THREE), noise(105, 30))
        return fitted_bytes(fit_head("topic", THREE, labels, blocks_of(known), in_turn(105)))

    assert fit() == fit()


def one_unit_has_all(label: str, classes: tuple[str, ...]) -> tuple[list[str], Blocks, Ints]:
    """Rows of five folds where one label occurs in the first fold alone."""
    others = [name for name in classes if name != label]
    fold = np.repeat(np.arange(FOLDS), 12)
    labels = [label if k == 0 and i % 2 else others[i % len(others)] for i, k in enumerate(fold.tolist())]
    return labels, blocks_of(features(telling(labels, classes))), fold


@pytest.mark.parametrize("classes", [THREE, TWO], ids=["three", "two"])
def test_a_label_that_only_one_unit_used_can_be_fitted(classes: tuple[str, ...]) -> None:
    labels, blocks, fold = one_unit_has_all(classes[-1], classes)
    fitted = fit_head("topic", classes, labels, blocks, fold)
    np.testing.assert_allclose(fitted.oof.sum(axis=1), 1.0, atol=1e-12)


def test_a_head_that_only_one_unit_labelled_is_refused_in_words() -> None:
    labels = [label if i < 12 else None for i, label in enumerate(dealt(TWO, 60))]
    blocks = blocks_of(features(noise(60)))
    with pytest.raises(FitError, match="topic"):
        fit_head("topic", TWO, labels, blocks, np.repeat(np.arange(FOLDS), 12))
