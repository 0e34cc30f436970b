"""Heads without routes: any names, the finest first, and what it knows told to the others without telling them the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt
import pytest

import router.training as training
from router.card import Card
from router.columnspace import ColumnBlocks, reduced_blocks
from router.dataset import Dataset
from router.encoders.hashing import HashingEncoder
from router.encoders.protocol import Matrix
from router.errors import DataError, FitError, PolicyError
from router.features import FINER_SCALE, Features
from router.fitting import LARGE, FittedHead, fit_head, raw_loss, tempered_loss
from router.lexicon import Lexicon
from router.pipeline import HeadSet, Router
from router.routes import RouteTable
from router.rowspace import Space, blocks_of
from router.scoring import Floats, Ints
from router.solver import Linear, logistic
from router.training import finest_head, fit, fit_heads, splits_for_training
from router.types import Labels, Query

FINE = ("hotel", "flight", "apple", "bread")
COARSE = {"hotel": "travel", "flight": "travel", "apple": "food", "bread": "food"}
VERBS = ("find", "book", "cancel", "show me", "buy", "describe", "recommend", "rate")
TAILS = ("now", "please", "for two", "again", "tomorrow")


def queries() -> Dataset:
    """160 texts that name their fine label, dealt in no order of labels."""
    texts = [(f"{verb} a {fine} {tail}", fine) for tail in TAILS for verb in VERBS for fine in FINE]
    card = Card(
        name="toy",
        version="1",
        use="train",
        heads={"colour": ("red", "blue"), "shelf": ("travel", "food"), "thing": FINE},
        also=(),
    )
    rows = [
        Query(query_id=str(i), text=text, labels=Labels(heads={"colour": None, "shelf": COARSE[fine], "thing": fine}))
        for i, (text, fine) in enumerate(texts)
    ]
    return Dataset(card=card, queries=tuple(rows))


@pytest.fixture(scope="module")
def fitted() -> HeadSet:
    return fit_heads(queries(), HashingEncoder(), seed=0)


def test_heads_of_any_name_are_fitted_without_a_route_table(fitted: HeadSet) -> None:
    p = fitted.probabilities(["find a bread tomorrow", "rate a flight please"])
    assert [FINE[j] for j in p["thing"].argmax(axis=1)] == ["bread", "flight"]
    assert [("travel", "food")[j] for j in p["shelf"].argmax(axis=1)] == ["food", "travel"]


def test_a_head_without_any_label_is_left_out(fitted: HeadSet) -> None:
    assert set(fitted.heads) == set(fitted.classes) == {"shelf", "thing"}


def test_the_head_with_the_most_labels_leads_and_the_others_weigh_what_it_thinks(fitted: HeadSet) -> None:
    assert fitted.lead == "thing"
    assert "finer" not in fitted.heads["thing"].weights
    assert fitted.heads["shelf"].weights["finer"].shape == (len(FINE), 2)


def test_a_coarse_label_is_likelier_the_likelier_its_fine_labels_are(fitted: HeadSet) -> None:
    travel = fitted.heads["shelf"].weights["finer"][:, 0]
    assert min(travel[FINE.index(name)] for name in ("hotel", "flight")) > max(
        travel[FINE.index(name)] for name in ("apple", "bread")
    )


def test_of_heads_with_equally_many_labels_the_first_on_the_card_leads() -> None:
    data = queries()
    flat = replace(data.card, heads={"shelf": ("travel", "food"), "second": ("travel", "food")})
    twice = [
        replace(query, labels=Labels(heads=dict.fromkeys(flat.heads, query.labels.heads["shelf"])))
        for query in data.queries
    ]
    assert finest_head(Dataset(card=flat, queries=tuple(twice))) == "shelf"


def test_a_text_is_judged_by_itself_alone(fitted: HeadSet) -> None:
    texts = ["find a bread tomorrow", "rate a flight please", "an unheard of thing"]
    together = fitted.probabilities(texts)
    for i, text in enumerate(texts):
        alone = fitted.probabilities([text])
        for name, p in together.items():
            np.testing.assert_allclose(alone[name][0], p[i], atol=1e-6)


def test_the_same_data_and_seed_give_the_same_weights(fitted: HeadSet) -> None:
    again = fit_heads(queries(), HashingEncoder(), seed=0)
    for name, head in fitted.heads.items():
        for block, weights in head.weights.items():
            assert weights.tobytes() == again.heads[name].weights[block].tobytes()


def test_no_text_and_an_empty_text_are_told_apart(fitted: HeadSet) -> None:
    assert fitted.probabilities([])["thing"].shape == (0, len(FINE))
    with pytest.raises(PolicyError, match="query 1 of 1"):
        fitted.probabilities([""])


def test_a_set_without_labels_is_refused_by_name() -> None:
    data = queries()
    bare = replace(data, queries=tuple(replace(query, labels=Labels()) for query in data.queries))
    with pytest.raises(FitError, match="'toy': none of its 160 training queries"):
        fit_heads(bare, HashingEncoder(), seed=0)


def test_a_set_for_evaluation_only_is_refused() -> None:
    data = queries()
    with pytest.raises(DataError, match="evaluation only"):
        fit_heads(replace(data, card=replace(data.card, use="evaluation-only")), HashingEncoder(), seed=0)


def test_probabilities_of_a_finer_head_enter_the_features_as_they_are() -> None:
    rows = np.zeros((2, 3), dtype=np.float32)
    told = Features(embedding=rows, surface=rows, lexicon=None, ngrams=None).with_finer(
        np.array([[1, 0], [0.25, 0.75]])
    )
    assert told.finer is not None
    assert (told.finer / FINER_SCALE).tolist() == [[1, 0], [0.25, 0.75]]


def doubtful_queries() -> Dataset:
    """The same, but for every seventh label, which is another's: where nothing is in doubt, a temperature has no optimum."""
    data = queries()
    wrong = dict(zip(FINE, (*FINE[1:], FINE[0]), strict=True))
    rows = []
    for i, query in enumerate(data.queries):
        fine = str(query.labels.heads["thing"])
        said = wrong[fine] if i % 7 == 3 else fine
        rows.append(replace(query, labels=Labels(heads={"colour": None, "shelf": COARSE[said], "thing": said})))
    return replace(data, queries=tuple(rows))


def both_roads(monkeypatch: pytest.MonkeyPatch) -> tuple[HeadSet, HeadSet]:
    tight = partial(logistic, tolerance=1e-6)  # the everyday tolerance stops short of the optimum
    monkeypatch.setattr("router.rowspace.logistic", tight)
    exact = fit_heads(doubtful_queries(), HashingEncoder(), seed=0)
    monkeypatch.setattr(training, "training_rows", reduced_blocks)
    return exact, fit_heads(doubtful_queries(), HashingEncoder(), seed=0)


def test_the_road_for_many_rows_gives_the_probabilities_of_the_exact_one(monkeypatch: pytest.MonkeyPatch) -> None:
    exact, reduced = both_roads(monkeypatch)
    texts = ["find a bread tomorrow", "rate a flight please", "cancel it", "something else again"]
    for name in exact.heads:
        assert reduced.fitted["heads"][name]["C"] == exact.fitted["heads"][name]["C"]
        np.testing.assert_allclose(reduced.probabilities(texts)[name], exact.probabilities(texts)[name], atol=0.002)


def test_a_router_with_routes_decides_alike_on_both_roads(
    router: Router, small: Dataset, table: RouteTable, lexicon: Lexicon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "training_rows", reduced_blocks)
    reduced = fit(splits_for_training(small), table, HashingEncoder(), lexicon=lexicon, seed=0)
    texts = small.split("test").texts
    same = [a.route == b.route for a, b in zip(router.decide_many(texts), reduced.decide_many(texts), strict=True)]
    assert np.mean(same) > 0.95


def test_a_large_set_is_searched_on_the_large_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.fitting.EXACT_ROWS", 50)
    fitted = fit_on_noise()
    assert {setting.C for setting, _ in fitted.tried} == set(LARGE.penalties)


def test_a_strong_penalty_is_not_charged_for_modest_logits_alone() -> None:
    logits = np.random.default_rng(0).normal(size=(50, 3)) * 3
    y = logits.argmax(axis=1)
    y[:10] = (y[:10] + 1) % 3
    assert raw_loss(logits / 2, y) != pytest.approx(raw_loss(logits, y), rel=0.01)
    assert tempered_loss(logits / 2, y) == pytest.approx(tempered_loss(logits, y), rel=0.01)


def test_a_held_out_row_teaches_nothing_about_itself_on_the_road_for_many_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    # Labels by chance and more columns than rows: a model that had seen a row would know its label by heart.
    monkeypatch.setattr("router.fitting.EXACT_ROWS", 50)
    fitted = fit_on_noise()
    y = np.random.default_rng(5).integers(0, 2, size=200)
    assert abs((fitted.oof.argmax(axis=1) == y).mean() - 0.5) < 0.12


@dataclass(frozen=True, kw_only=True)
class Witness:
    """A space that writes down which rows each model saw, and which rows the model it began at had seen."""

    space: Space
    began: list[tuple[bytes, bytes | None]]
    saw: dict[int, bytes]
    kept: list[Linear]  # so that no two models get the same id

    @property
    def coordinates(self) -> Matrix:
        return self.space.coordinates

    def column_weights(self, weights: Floats) -> dict[str, Matrix]:
        return self.space.column_weights(weights)

    def fit(self, seen: npt.NDArray[np.bool_], y: Ints, *, C: float, start: Linear | None = None) -> Linear:
        model = self.space.fit(seen, y, C=C, start=start)
        self.began.append((seen.tobytes(), None if start is None else self.saw[id(start)]))
        self.saw[id(model)] = seen.tobytes()
        self.kept.append(model)
        return model


def test_a_fold_begins_at_a_model_that_had_seen_the_same_rows_or_at_none(monkeypatch: pytest.MonkeyPatch) -> None:
    began: list[tuple[bytes, bytes | None]] = []
    saw: dict[int, bytes] = {}
    kept: list[Linear] = []
    plain = ColumnBlocks.space

    def watched(self: ColumnBlocks, factor: Mapping[str, float], index: Ints) -> Space:
        return Witness(space=plain(self, factor, index), began=began, saw=saw, kept=kept)

    monkeypatch.setattr(ColumnBlocks, "space", watched)
    fit_on_noise()
    *folds, last = began
    assert all(start in (None, seen) for seen, start in folds)
    assert sum(start is not None for _, start in folds) >= 4  # two folds, two further penalties
    assert last[0] == np.ones(200, dtype=bool).tobytes()


def fit_on_noise() -> FittedHead:
    rng = np.random.default_rng(0)
    features = Features(
        embedding=rng.normal(size=(200, 400)).astype(np.float32),
        surface=np.zeros((200, 1), dtype=np.float32),
        lexicon=None,
        ngrams=None,
    )
    labels = ["no" if j == 0 else "yes" for j in np.random.default_rng(5).integers(0, 2, size=200)]
    return fit_head("coin", ("no", "yes"), labels, reduced_blocks(features), np.arange(200) % 5)


def test_both_roads_have_the_same_names_of_blocks() -> None:
    rows = np.ones((5, 3), dtype=np.float32)
    features = Features(embedding=rows, surface=rows, lexicon=rows, ngrams=None)
    assert blocks_of(features).names == reduced_blocks(features).names == ("embedding", "surface", "lexicon")
