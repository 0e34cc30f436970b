"""How outcome routers are put side by side: who learns from which queries, who is told what, and what a failure becomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from eval import contest
from eval.contest import OURS, Contest, choose_routers, protocol_of
from router.baselines.outcomes import ROUTERS, Queries
from router.encoders.hashing import HashingEncoder
from router.errors import DataError, FitError
from router.outcomes import Floats, Outcomes, equal_texts

ENCODER = HashingEncoder(dim=32)
TOPICS = ("baking bread", "prime numbers", "tide tables")


def table(n: int = 60, *, m: int = 3, seed: int = 0, cost: bool = True, **changed: Any) -> Outcomes:  # Any: fields
    """Queries on three topics, each of which one model knows best; texts, scores and costs follow the seed."""
    rng = np.random.default_rng(seed)
    topic = rng.integers(len(TOPICS), size=n)
    score = (rng.random((n, m)) < 0.3 + 0.5 * (topic[:, None] == np.arange(m))).astype(np.float64)
    unknown = np.full((n, m), np.nan)
    texts = changed.get("texts") or tuple(f"{TOPICS[t]}: question {i}" for i, t in enumerate(topic.tolist()))
    fields: dict[str, Any] = {
        "name": "toy",
        "ids": tuple(f"q{i}" for i in range(n)),
        "texts": texts,
        "models": tuple("abcde"[:m]),
        "score": score,
        "cost_usd": (1 + rng.random((n, m))) * 10.0 ** np.arange(m) if cost else unknown,
        **dict.fromkeys(("input_tokens", "output_tokens", "latency_ms"), unknown),
        "dataset": tuple(TOPICS[t] for t in topic.tolist()),
        "split": (None,) * n,
        "unit": equal_texts(texts),
    }
    return Outcomes(**{**fields, **changed})


def with_split(outcomes: Outcomes, *, test_every: int = 3) -> Outcomes:
    return replace(outcomes, split=tuple("test" if i % test_every == 0 else "train" for i in range(len(outcomes))))


def with_missing(outcomes: Outcomes, cells: Sequence[tuple[int, int]]) -> Outcomes:
    score = outcomes.score.copy()
    for row, column in cells:
        score[row, column] = np.nan
    return replace(outcomes, score=score)


def dealt(outcomes: Outcomes, *, folds: int | None = None, seed: int = 0) -> contest.Protocol:
    return protocol_of(outcomes, folds=folds, seed=seed, on_straddle="refuse")[1]


def contest_of(outcomes: Outcomes, *, folds: int | None = None, seed: int = 0) -> Contest:
    kept, protocol = protocol_of(outcomes, folds=folds, seed=seed, on_straddle="refuse")
    return Contest(kept, protocol, ENCODER, seed=seed)


class Spy:
    """Remembers what it was told; its values are the mean scores it learned from."""

    allowed: ClassVar[bool] = True
    probabilities: ClassVar[bool] = True
    learned: ClassVar[list[tuple[Queries, Outcomes, int]]]
    asked: ClassVar[list[Queries]]

    def fit(self, queries: Queries, outcomes: Outcomes, *, seed: int) -> Self:
        self.learned.append((queries, outcomes, seed))
        self.values_ = np.nanmean(outcomes.score, axis=0)
        return self

    def predict(self, queries: Queries) -> Floats:
        self.asked.append(queries)
        return np.tile(self.values_, (len(queries), 1))


def spy_on(monkeypatch: pytest.MonkeyPatch, **changed: Any) -> type[Spy]:  # Any: attributes of the class
    kind = type("Spied", (Spy,), {"learned": [], "asked": [], **changed})
    monkeypatch.setitem(ROUTERS, "spy", kind)
    return kind


# --- who learns from what


def test_without_folds_a_table_s_own_split_is_used() -> None:
    outcomes = with_split(table())
    protocol = dealt(outcomes)
    [(train, judged)] = protocol.parts
    assert (protocol.kind, protocol.description["parts"]) == ("split", 1)
    assert {outcomes.split[i] for i in judged} == {"test"}
    assert {outcomes.split[i] for i in train} == {"train"}
    assert len(train) + len(judged) == len(outcomes)


def test_calibration_rows_are_learned_from_too() -> None:
    split = ("calibration", "train", "test") * 20
    [(train, judged)] = dealt(table(split=split)).parts
    assert {split[i] for i in train} == {"calibration", "train"}
    assert {split[i] for i in judged} == {"test"}


def test_asking_for_folds_overrides_the_split() -> None:
    protocol = dealt(with_split(table()), folds=4)
    assert (protocol.kind, len(protocol.parts)) == ("folds", 4)
    assert sorted(np.concatenate([judged for _, judged in protocol.parts]).tolist()) == list(range(60))


@pytest.mark.parametrize("names", [(None,), ("train",), ("test",), ("train", None)])
def test_a_table_without_both_train_and_test_is_dealt_to_five_folds(names: tuple[str | None, ...]) -> None:
    protocol = dealt(table(split=names * (60 // len(names))))
    assert (protocol.kind, len(protocol.parts)) == ("folds", 5)


@settings(deadline=None, max_examples=30)
@given(unit=st.lists(st.integers(0, 12), min_size=20, max_size=60), folds=st.integers(2, 6), seed=st.integers(0, 99))
def test_no_fold_tears_equal_texts_apart_and_every_query_is_judged_once(unit: list[int], folds: int, seed: int) -> None:
    texts = tuple(f"text {name}" for name in unit)
    outcomes = table(len(unit), texts=texts)
    assume(len(set(unit)) >= folds)
    parts = dealt(outcomes, folds=folds, seed=seed).parts
    for train, judged in parts:
        assert not {texts[i] for i in train} & {texts[i] for i in judged}
        assert len(train) + len(judged) == len(unit)
    assert sorted(np.concatenate([judged for _, judged in parts]).tolist()) == list(range(len(unit)))


def test_a_text_in_both_splits_is_refused_unless_its_training_copy_may_go() -> None:
    texts = ("the same question",) * 2 + tuple(f"question {i}" for i in range(58))
    outcomes = table(texts=texts, split=("train", "test") + ("train", "test") * 29)
    with pytest.raises(DataError, match="drop-train"):
        protocol_of(outcomes, folds=None, seed=0, on_straddle="refuse")
    kept, protocol = protocol_of(outcomes, folds=None, seed=0, on_straddle="drop-train")
    [(train, judged)] = protocol.parts
    assert len(kept) == 59
    assert "the same question" not in [kept.texts[i] for i in train]
    assert "the same question" in [kept.texts[i] for i in judged]


def test_texts_that_straddle_are_no_obstacle_to_folds() -> None:
    texts = ("the same question",) * 2 + tuple(f"question {i}" for i in range(58))
    outcomes = table(texts=texts, split=("train", "test") * 30)
    assert dealt(outcomes, folds=5).kind == "folds"


def test_a_query_without_a_split_whose_text_is_judged_is_not_learned_from() -> None:
    texts = ("the same question",) * 2 + tuple(f"question {i}" for i in range(58))
    outcomes = table(texts=texts, split=(None, "test") + ("train", "test") * 29)
    kept, protocol = protocol_of(outcomes, folds=None, seed=0, on_straddle="drop-train")
    [(train, judged)] = protocol.parts
    assert not {kept.texts[i] for i in train} & {kept.texts[i] for i in judged}


@pytest.mark.parametrize("folds", [None, 5])
def test_an_incomplete_query_is_learned_from_and_never_judged(folds: int | None) -> None:
    outcomes = with_split(with_missing(table(), [(0, 1), (3, 0), (4, 2)]))
    protocol = dealt(outcomes, folds=folds)
    judged = {int(i) for _, part in protocol.parts for i in part}
    learned = {int(i) for part, _ in protocol.parts for i in part}
    assert not judged & {0, 3, 4}
    assert 4 in learned
    assert np.isfinite(contest_of(outcomes, folds=folds).judged.score).all()


def test_a_split_of_which_nothing_can_be_judged_is_refused() -> None:
    outcomes = with_split(table())
    holes = [(i, 0) for i, name in enumerate(outcomes.split) if name == "test"]
    with pytest.raises(DataError, match="every model answered"):
        dealt(with_missing(outcomes, holes))


def test_a_table_for_evaluation_only_is_refused_before_anything_is_embedded() -> None:
    outcomes = table(use="evaluation-only")
    kept, protocol = protocol_of(outcomes, folds=5, seed=0, on_straddle="refuse")

    class Untouched(HashingEncoder):
        def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
            raise AssertionError("embedded a table that nothing may be fitted on")

    with pytest.raises(DataError, match="evaluation only"):
        Contest(kept, protocol, Untouched(), seed=0)


# --- which routers


def test_all_means_ours_every_other_and_the_oracle() -> None:
    chosen = choose_routers("all")
    assert (chosen[0], chosen[-1]) == (OURS, "oracle")
    assert set(ROUTERS) <= set(chosen)


def test_routers_come_in_the_order_asked_for_and_once_each() -> None:
    assert choose_routers(" lr,oracle , lr,knn-5,") == ["lr", "oracle", "knn-5"]


@pytest.mark.parametrize("names", ["", ",", "lr,knn-6", "LR", "all,lr"])
def test_a_router_that_is_not_known_is_refused_with_the_list_of_those_that_are(names: str) -> None:
    with pytest.raises(DataError, match="knn-100"):
        choose_routers(names)


# --- who is told what


@pytest.mark.parametrize(("allowed", "told"), [(True, False), (False, True)])
def test_the_data_set_is_told_only_to_routers_that_are_not_meant_for_use(
    allowed: bool, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    spy = spy_on(monkeypatch, allowed=allowed)
    found = contest_of(table(), folds=3).run("spy")
    assert found.allowed is allowed
    assert {queries.dataset is not None for queries, _, _ in spy.learned} == {told}
    assert {queries.dataset is not None for queries in spy.asked} == {told}


def test_a_router_learns_from_the_training_queries_of_its_part_and_answers_for_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spy, outcomes = spy_on(monkeypatch), table()
    found = contest_of(outcomes, folds=3)
    values = found.run("spy").value
    assert values is not None
    position = {text: i for i, text in enumerate(outcomes.texts)}
    rows = {found.judged.texts[k]: values[k] for k in range(len(found.judged))}
    for queries, part, seed in spy.learned:
        assert list(queries.texts) == list(part.texts)
        assert seed == 0
        held_out = set(outcomes.texts) - set(part.texts)
        for text in held_out:  # each held-out query has the value of the part that did not see it
            assert rows[text] == pytest.approx(outcomes.score[[position[t] for t in part.texts]].mean(axis=0))


def test_embeddings_are_those_of_the_query_s_own_text(monkeypatch: pytest.MonkeyPatch) -> None:
    spy = spy_on(monkeypatch)
    contest_of(table(), folds=2).run("spy")
    for queries in (spy.learned[0][0], spy.asked[0]):
        assert (queries.embedding == ENCODER.encode(list(queries.texts))).all()


def test_every_distinct_text_is_embedded_once() -> None:
    seen: list[str] = []

    class Counting(HashingEncoder):
        def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
            seen.extend(texts)
            return super().encode(texts)

    outcomes = table(texts=tuple(f"text {i // 2}" for i in range(60)))
    kept, protocol = protocol_of(outcomes, folds=5, seed=0, on_straddle="refuse")
    Contest(kept, protocol, Counting(dim=32), seed=0)
    assert sorted(seen) == sorted(set(outcomes.texts))


# --- what comes back


def test_a_router_that_cannot_take_the_table_becomes_a_reason_and_no_values(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Spy, queries: Queries, outcomes: Outcomes, *, seed: int) -> Spy:
        raise FitError("this table has no magic numbers")

    spy_on(monkeypatch, fit=refuse)
    found = contest_of(table(), folds=2).run("spy")
    assert (found.value, found.reason) == (None, "this table has no magic numbers")
    assert (found.fit_s, found.decide_us) == (None, None)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_become_a_reason(bad: float, monkeypatch: pytest.MonkeyPatch) -> None:
    spy_on(monkeypatch, predict=lambda self, queries: np.full((len(queries), 3), bad))
    found = contest_of(table(), folds=2).run("spy")
    assert found.value is None
    assert "finite" in str(found.reason)


def test_values_of_the_wrong_shape_become_a_reason_that_names_the_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    spy_on(monkeypatch, predict=lambda self, queries: np.zeros((len(queries), 2)))
    found = contest_of(table(), folds=2).run("spy")
    assert found.value is None
    assert "(30, 2)" in str(found.reason)


def test_the_dataset_mean_of_a_table_without_data_sets_takes_no_part() -> None:
    found = contest_of(table(dataset=(None,) * 60), folds=2).run("dataset-mean")
    assert found.value is None
    assert "dataset" in str(found.reason)


def test_the_oracle_s_values_order_the_models_as_their_scores_do() -> None:
    made = contest_of(table(), folds=3)
    found = made.run("oracle")
    assert found.value is not None
    assert (found.allowed, found.fit_s) == (False, None)
    best = np.take_along_axis(made.judged.score, found.value.argmax(axis=1)[:, None], axis=1)[:, 0]
    assert (best == made.judged.score.max(axis=1)).all()


@pytest.mark.parametrize("name", ["lr", "knn-5", "random", "oracle", OURS])
def test_the_same_seed_gives_the_same_values(name: str) -> None:
    first, second = (contest_of(table(), folds=2, seed=3).run(name).value for _ in range(2))
    assert first is not None
    assert second is not None
    assert first.tobytes() == second.tobytes()


def test_another_seed_deals_the_queries_in_another_way() -> None:
    one, other = (dealt(table(), folds=5, seed=seed).parts[0][1].tolist() for seed in (0, 1))
    assert one != other


def test_ours_says_per_part_what_it_chose_and_others_say_nothing() -> None:
    made = contest_of(table(), folds=2)
    assert len(made.run(OURS).chosen) == 2
    assert list(made.run("lr").chosen) == []


def test_a_finished_router_has_its_times() -> None:
    found = contest_of(table(), folds=2).run("knn-5")
    assert found.fit_s is not None
    assert found.decide_us is not None
    assert found.fit_s >= 0
    assert found.decide_us > 0


# --- costs


def test_expected_costs_come_from_the_training_queries_alone() -> None:
    outcomes = with_split(table())
    test = np.array([name == "test" for name in outcomes.split])
    dearer = replace(outcomes, cost_usd=np.where(test[:, None], outcomes.cost_usd * 50, outcomes.cost_usd))
    one, other = contest_of(outcomes), contest_of(dearer)
    assert one.expected_usd is not None
    assert other.expected_usd is not None
    assert (one.expected_usd == other.expected_usd).all()
    assert other.judged.cost_usd == pytest.approx(one.judged.cost_usd * 50)


def test_expected_costs_lie_within_what_a_model_has_cost_in_training() -> None:
    outcomes = with_split(table())
    made = contest_of(outcomes)
    assert made.expected_usd is not None
    train = outcomes.cost_usd[[name == "train" for name in outcomes.split]]
    assert (made.expected_usd >= train.min(axis=0)).all()
    assert (made.expected_usd <= train.max(axis=0)).all()


def test_a_table_without_costs_expects_none() -> None:
    assert contest_of(table(cost=False), folds=2).expected_usd is None


def test_a_missing_cost_is_filled_for_the_judge_and_never_with_nothing() -> None:
    outcomes = table()
    cost = outcomes.cost_usd.copy()
    cost[[1, 7, 9], [0, 1, 2]] = np.nan
    made = contest_of(replace(outcomes, cost_usd=cost), folds=3)
    assert np.isfinite(made.judged.cost_usd).all()
    assert (made.judged.cost_usd > 0).all()
