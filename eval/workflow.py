"""What several verbs are made of: open data and encoder, fit and judge and save, compare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from eval.compare import OURS, Bench, baseline_run, choose_baselines, leaderboard
from eval.heads import evaluate_heads
from eval.metrics import evaluate
from eval.replay import choose_split, replay
from eval.run import Run
from router import heads_bundle
from router.bundle import bundle_id, save
from router.card import Card
from router.console import Progress
from router.dataset import Dataset, load_dataset
from router.encoders import open_encoder
from router.encoders.cache import CachedEncoder
from router.encoders.finetune import Recipe
from router.encoders.open import HASHING, cache_directory
from router.errors import DataError
from router.lexicon import Lexicon, read_lexicon
from router.outcome_router import ModelRouter
from router.pipeline import HeadSet, Router
from router.routes import ADVICE, RouteTable, read_routes
from router.training import fit, fit_heads, splits_for_training, train_split
from router.tuning import taught_encoder

ROUTES_FILE = "routes.toml"

Fitted = TypeVar("Fitted", Router, HeadSet, ModelRouter)


@dataclass(frozen=True, slots=True, kw_only=True)
class Materials:
    """All that training and comparing start from."""

    dataset: Dataset
    table: RouteTable | None  # None: heads are all there is to train
    lexicon: Lexicon | None
    encoder: CachedEncoder
    seed: int
    tuned: bool = False  # whether the encoder has learned from the train split's labels

    def require_table(self) -> RouteTable:
        """The route table. Raises DataError where there is none."""
        if self.table is None:
            raise DataError(
                f"data set {self.dataset.card.name!r} has no route table, and label routers are compared by their routes."
                f" Put a {ROUTES_FILE} beside the data or pass --routes FILE (datasets/pam-v1/routes.toml shows the form);"
                " heads alone are trained and judged by `weighbridge train --data D --out B`."
            )
        return self.table


def open_materials(
    data: Path,
    *,
    card: Path | None,
    columns: Mapping[str, str],
    routes: Path | None,
    encoder: str,
    seed: int,
    told: Progress,
    recipe: Recipe | None = None,
) -> Materials:
    """Read data, route table and lexicon, and open the encoder behind the shared cache.

    recipe: how the encoder is to be taught by the train split first; None leaves it as it is.
    """
    dataset = load_dataset(data, card=card, columns=columns)
    table = _route_table(data, dataset.card, routes)
    if recipe is None:
        opened = open_encoder(encoder, notify=told.notify)
    else:
        test_split(dataset)  # none is refused before half an hour of teaching
        if table is None:
            raise DataError(
                f"data set {dataset.card.name!r} has no route table, and --finetune trains routers that decide a route."
                f" Put a {ROUTES_FILE} beside the data, pass --routes FILE, or leave --finetune out."
            )
        opened = taught_encoder(encoder, train_split(dataset), recipe, notify=told.notify)
    return Materials(
        dataset=dataset,
        table=table,
        lexicon=read_lexicon(data, dataset.card),
        encoder=CachedEncoder(opened, cache_directory(), progress=told.advance),
        seed=seed,
        tuned=recipe is not None,
    )


def _route_table(data: Path, card: Card, routes: Path | None) -> RouteTable | None:
    """The table that was asked for, else the one beside the data, else None; a card that names desks must have one."""
    path = routes or (data if data.is_dir() else data.parent) / ROUTES_FILE
    if routes is None and not path.exists():
        if not card.also:
            return None
        raise DataError(
            f"{path}: no such file; wanted a route table, for card {card.name!r} names desks ([also]). {ADVICE}"
            " Without [also] in the card the heads alone are trained."
        )
    table = read_routes(path)
    table.check_against(card)
    return table


def fit_router(materials: Materials, told: Progress) -> Router:
    """Fit on train, set the threshold on calibration."""
    return fit(
        splits_for_training(materials.dataset),
        materials.require_table(),
        materials.encoder,
        lexicon=materials.lexicon,
        seed=materials.seed,
        tuned=materials.tuned,
        notify=told.notify,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A saved bundle and what it did on the test split."""

    router: Router
    bundle: str
    run: Run
    figures: dict[str, Any]


def judge_and_save(router: Router, materials: Materials, out: Path, *, carry_encoder: bool, told: Progress) -> Judged:
    """Replay the test split once, and save the bundle with the figures in its card. Raises DataError without a test split."""
    test = test_split(materials.dataset)
    told.notify(f"replaying {len(test):,} test queries")
    unsaved = replay(router, test, split="test", seed=materials.seed, bundle=None)
    save(router, out, metrics=evaluate(unsaved), carry_encoder=carry_encoder)
    run = replay(router, test, split="test", seed=materials.seed, bundle=bundle_id(out))
    return Judged(router=router, bundle=bundle_id(out), run=run, figures=evaluate(run))


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedHeads:
    """A saved bundle of heads without routes, and how right they were on the test split."""

    bundle: str
    figures: dict[str, Any]


def train_heads(materials: Materials, out: Path, *, carry_encoder: bool, told: Progress) -> JudgedHeads:
    """Fit every labelled head on train, judge them once on test, save. Raises DataError where either split is missing."""
    test = test_split(materials.dataset)
    heads = fit_heads(
        train_split(materials.dataset),
        materials.encoder,
        lexicon=materials.lexicon,
        seed=materials.seed,
        notify=told.notify,
    )
    told.notify(f"judging {len(test):,} test queries")
    figures = judge_heads(heads, test, split="test", seed=materials.seed, bundle=None)
    heads_bundle.save(heads, out, metrics=figures, carry_encoder=carry_encoder)
    return JudgedHeads(bundle=bundle_id(out), figures={**figures, "bundle": bundle_id(out)})


def train_and_judge(materials: Materials, out: Path, *, carry_encoder: bool, told: Progress) -> Judged | JudgedHeads:
    """A router where there is a route table, else heads alone; saved, with its figures on the test split."""
    if materials.table is None:
        return train_heads(materials, out, carry_encoder=carry_encoder, told=told)
    return judge_and_save(fit_router(materials, told), materials, out, carry_encoder=carry_encoder, told=told)


def judge_heads(heads: HeadSet, dataset: Dataset, *, split: str, seed: int, bundle: str | None) -> dict[str, Any]:
    """The evaluation JSON of heads on an already chosen split. Raises DataError for a label that they never learned."""
    return evaluate_heads(
        heads.probabilities(dataset.texts, dataset.contexts),
        dataset,
        classes=heads.classes,
        router=OURS,
        bundle=bundle,
        split=split,
        seed=seed,
    )


def test_split(dataset: Dataset) -> Dataset:
    """The test split. Raises DataError where there is none: a router is not judged on what it learned from."""
    part, name = choose_split(dataset)
    if name != "test":
        raise DataError(
            f"data set {dataset.card.name!r} has no query with split = 'test'. Deal the splits with `weighbridge data split --data D --out FILE`."
        )
    return part


def compare_routers(ours: Run, materials: Materials, names: str, told: Progress) -> tuple[dict[str, Any], list[Run]]:
    """Fit and judge the named baselines, and set them against ours: (leaderboard, their runs)."""
    bench = Bench(
        splits=splits_for_training(materials.dataset),
        test=test_split(materials.dataset),
        table=materials.require_table(),
        encoder=materials.encoder,
        lexicon=materials.lexicon,
        seed=materials.seed,
    )
    runs = []
    for name in choose_baselines(names, materials.lexicon):
        told.notify(f"fitting and judging {name}")
        runs.append(baseline_run(name, bench))
    told.notify("paired differences")
    return leaderboard(ours, runs), runs


def encoder_cached(router: Fitted, told: Progress) -> Fitted:
    """A loaded router, or heads, that shares the embedding cache (worth it for many queries, not for one)."""
    if router.encoder.spec.name == HASHING:
        return router
    return replace(router, encoder=CachedEncoder(router.encoder, cache_directory(), progress=told.advance))


def data_for_bundle(data: Path, *, card: Path | None, columns: Mapping[str, str], default: Card) -> Dataset:
    """Labelled queries to judge a bundle on: the card beside them, or the bundle's own."""
    return load_dataset(data, card=card, columns=columns, default_card=default)
