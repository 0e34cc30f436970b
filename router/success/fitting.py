"""Fitting the success model: every setting is chosen on held-out values within the training rows, and says so.

The measure is the routing error (`blend.routing_error`): a setting that only tells easy queries from hard ones for all
models alike moves no decision, however much it improves the likelihood.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from router.columnspace import column_basis
from router.encoders.protocol import Matrix
from router.errors import FitError
from router.files import DECIMALS
from router.fitting import folds
from router.ngrams import fit_ngrams
from router.success.blend import Blend, fit_blend, routing_error
from router.success.domain import POOLING, FittedDomain, fit_domain, pooled_means
from router.success.landmarks import Landmarks, choose_landmarks, whitening
from router.success.model import VIEWS, SuccessModel
from router.success.neighbours import Neighbours, held_out_means
from router.success.principal import Principal
from router.success.solver import Heads, fit_heads, sigmoid
from router.success.space import WordSpace, fitted_space

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
Notify = Callable[[str], None]
Number = TypeVar("Number", int, float)
FEWEST = 10  # training queries; below that nothing can be held out
LINEAR_PENALTIES = (20.0, 10.0, 5.0, 2.5)  # strongest first: each fit starts from the one before
WORD_PENALTIES = (5.0, 2.0, 1.0)
LANDMARK_PENALTIES = (8.0, 4.0, 2.0, 1.0)
WORD_MIN_COUNT = 2
WORD_MAX_TERMS = 40_000
WORD_AXES = 400
FEWEST_TERMS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """n training queries as `fit_success` takes them, and their (n,) folds."""

    texts: Sequence[str]
    embedding: Matrix
    sentence: Matrix
    score: Floats
    dataset: Sequence[str | None]
    unit: Ints
    part: Ints
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """What a view says of each training query, (n, m), without having learned from it; None where it is left out."""

    values: Floats | None
    settings: Mapping[str, Any]  # Any: whatever JSON can hold


def fit_success(
    texts: Sequence[str],
    embedding: Matrix,
    sentence: Matrix,
    score: Floats,
    *,
    models: tuple[str, ...],
    dataset: Sequence[str | None],
    unit: Ints,
    seed: int,
    notify: Notify = lambda _: None,
) -> SuccessModel:
    """Fit views, choose their settings and learn the blend, all on these n rows.

    embedding: (n, d).   sentence: (n, s) unit rows.   score: (n, m) in [0, 1], NaN where missing.   unit: (n,) groups that
    no fold tears apart. Same inputs and seed give the same model. Raises FitError for fewer than 10 scored rows or 2 groups.
    """
    from threadpoolctl import threadpool_limits

    scored = int(np.isfinite(score).any(axis=1).sum())
    if scored < FEWEST:
        raise FitError(f"{scored} training queries with a score; wanted at least {FEWEST}. Record more outcomes.")
    rows = _Rows(
        texts=texts,
        embedding=embedding,
        sentence=sentence,
        score=score,
        dataset=dataset,
        unit=unit,
        part=folds(unit.tolist(), seed=seed),
        seed=seed,
    )
    # One thread: in hundreds of small products threads mostly wait for one another, and their number moves the last bits.
    with threadpool_limits(limits=1, user_api="blas"):
        return _fit(rows, models, notify)


def _fit(rows: _Rows, models: tuple[str, ...], notify: Notify) -> SuccessModel:
    held: dict[str, _Held] = {}
    space, dense = fitted_space(rows.texts, rows.embedding)
    principal = Principal(dense)
    notify("fitting the linear view")
    linear, held["linear"] = _linear_view(principal, rows)
    notify("fitting the word view")
    word_space, words, held["words"] = _word_view(rows)
    notify("looking up neighbours")
    neighbours, held["neighbours"] = _neighbour_view(rows)
    notify("fitting the domain view")
    domain = fit_domain(principal, rows.dataset, rows.part)
    means = None
    if domain is not None:
        means, held["domain"] = _domain_view(domain, rows)
    notify("fitting the landmark view")
    landmarks, alike, held["landmarks"] = _landmark_view(dense, None if domain is None else domain.held, rows)
    blend, settings = _blend(held, rows)
    return SuccessModel(
        models=models,
        space=space,
        linear=linear,
        word_space=word_space,
        words=words,
        neighbours=neighbours,
        domain=None if domain is None else domain.head,
        domain_means=means,
        landmarks=landmarks,
        alike=alike,
        blend=blend,
        fitted={"seed": rows.seed, "n": len(rows.texts), "settings": settings},
    )


def _linear_view(principal: Principal, rows: _Rows) -> tuple[Heads, _Held]:
    """Heads on the dense columns, fitted along their principal axes, which leave the penalty what it is."""
    heads, held = _choose_heads(principal.coordinates, rows, LINEAR_PENALTIES)
    weights = principal.axes @ heads.weights
    return Heads(weights=weights, intercept=heads.intercept - principal.mean @ weights), held


def _word_view(rows: _Rows) -> tuple[WordSpace | None, Heads | None, _Held]:
    """Words and word pairs, reduced without a look at any score. Left out where the texts share too few."""
    ngrams = fit_ngrams(rows.texts, min_count=WORD_MIN_COUNT, max_terms=WORD_MAX_TERMS, chars=False)
    if len(ngrams.terms) < FEWEST_TERMS:
        reason = f"{len(ngrams.terms)} terms stand in two texts or more; wanted {FEWEST_TERMS}"
        return None, None, _Held(values=None, settings={"left_out": reason})
    sparse = ngrams.transform(rows.texts).to_scipy()
    axes = column_basis(sparse, rank=WORD_AXES, rng=np.random.default_rng(rows.seed))
    heads, held = _choose_heads(np.asarray(sparse @ axes, dtype=np.float32), rows, WORD_PENALTIES)
    settings = {**held.settings, "terms": len(ngrams.terms), "axes": axes.shape[1]}
    return WordSpace(ngrams=ngrams, axes=axes), heads, _Held(values=held.values, settings=settings)


def _neighbour_view(rows: _Rows) -> tuple[Neighbours, _Held]:
    by_size = held_out_means(rows.sentence, rows.score, rows.unit)
    k, held = _least_error(by_size, rows.score, name="k")
    return Neighbours(sentence=rows.sentence, score=rows.score, k=k), held


def _domain_view(domain: FittedDomain, rows: _Rows) -> tuple[Floats, _Held]:
    """(k, m) pooled means; the held-out values use means of the other folds."""
    k = len(domain.head.classes)
    by_pooling = {}
    for pooling in POOLING:
        values = np.empty_like(rows.score)
        for fold in np.unique(rows.part).tolist():
            seen = rows.part != fold
            values[~seen] = domain.held[~seen] @ pooled_means(rows.score[seen], domain.y[seen], k, pooling=pooling)
        by_pooling[pooling] = values
    best, held = _least_error(by_pooling, rows.score, name="pooling")
    settings = {
        "classes": k,
        "penalty": domain.penalty,
        "sharpness": domain.head.sharpness,
        "held_out_accuracy": _short(domain.accuracy),
    }
    means = pooled_means(rows.score, domain.y, k, pooling=best)
    return means, _Held(values=held.values, settings=settings | dict(held.settings))


def _landmark_view(dense: Matrix, chance: Floats | None, rows: _Rows) -> tuple[Landmarks, Heads, _Held]:
    """chance: (n, k) held-out probabilities of the data sets, as good as those that a new query will have."""
    landmarks = choose_landmarks(dense, chance, seed=rows.seed)
    back = whitening(landmarks)
    coordinates = landmarks.coordinates(dense, chance, back)
    heads, held = _choose_heads(coordinates, rows, LANDMARK_PENALTIES)
    settings = {**held.settings, "landmarks": len(landmarks.rows), "axes": back.shape[1]}
    alike = Heads(weights=back @ heads.weights, intercept=heads.intercept)
    return landmarks, alike, _Held(values=held.values, settings=settings)


def _choose_heads(columns: Matrix, rows: _Rows, penalties: tuple[float, ...]) -> tuple[Heads, _Held]:
    """The heads at the penalty with the smallest held-out routing error."""
    by_penalty = {penalty: np.empty_like(rows.score) for penalty in penalties}
    for fold in np.unique(rows.part).tolist():
        seen, start = rows.part != fold, None
        some, rest = columns[seen], columns[~seen]
        for penalty in penalties:
            start = fit_heads(some, rows.score[seen], penalty=penalty, start=start)
            by_penalty[penalty][~seen] = sigmoid(start.logits(rest))
    best, held = _least_error(by_penalty, rows.score, name="penalty")
    return fit_heads(columns, rows.score, penalty=best), held


def _least_error(tried: Mapping[Number, Floats], score: Floats, *, name: str) -> tuple[Number, _Held]:
    """The setting whose held-out values have the smallest routing error, the first among equals."""
    errors = {setting: routing_error(values, score) for setting, values in tried.items()}
    best = min(errors, key=lambda setting: errors[setting])
    told = {name: best, "routing_error": {str(setting): _short(error) for setting, error in errors.items()}}
    return best, _Held(values=tried[best], settings=told)


def _blend(held: Mapping[str, _Held], rows: _Rows) -> tuple[Blend, dict[str, Any]]:
    """The blend, and the settings of all views and its own."""
    said = {name: held[name].values for name in VIEWS if name in held}
    views = {name: values for name, values in said.items() if values is not None}
    blend, errors = fit_blend(views, rows.score, rows.part)
    own = {
        "kind": min(errors, key=lambda form: errors[form]),
        "routing_error": {form: _short(error) for form, error in errors.items()},
        "views_routing_error": {name: _short(routing_error(values, rows.score)) for name, values in views.items()},
    }
    return blend, {name: dict(view.settings) for name, view in held.items()} | {"blend": own}


def _short(value: float) -> float:
    return round(value, DECIMALS)
