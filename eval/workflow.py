"""What several verbs are made of: open data and encoder, fit and judge and save, compare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from eval.compare import Bench, baseline_run, choose_baselines, leaderboard
from eval.metrics import evaluate
from eval.replay import choose_split, replay
from eval.run import Run
from router.bundle import bundle_id, save
from router.card import Card
from router.console import Progress
from router.dataset import Dataset, load_dataset
from router.encoders import open_encoder
from router.encoders.cache import CachedEncoder
from router.encoders.open import HASHING, cache_directory
from router.errors import DataError
from router.lexicon import Lexicon, read_lexicon
from router.pipeline import Router
from router.routes import RouteTable, read_routes
from router.training import fit, splits_for_training

ROUTES_FILE = "routes.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Materials:
    """All that training and comparing start from."""

    dataset: Dataset
    table: RouteTable
    lexicon: Lexicon | None
    encoder: CachedEncoder
    seed: int


def open_materials(
    data: Path,
    *,
    card: Path | None,
    columns: Mapping[str, str],
    routes: Path | None,
    encoder: str,
    seed: int,
    told: Progress,
) -> Materials:
    """Read data, route table and lexicon, and open the encoder behind the shared cache."""
    dataset = load_dataset(data, card=card, columns=columns)
    beside = (data if data.is_dir() else data.parent) / ROUTES_FILE
    table = read_routes(routes or beside)
    table.check_against(dataset.card)
    return Materials(
        dataset=dataset,
        table=table,
        lexicon=read_lexicon(data, dataset.card),
        encoder=CachedEncoder(open_encoder(encoder, notify=told.notify), cache_directory(), progress=told.advance),
        seed=seed,
    )


def fit_router(materials: Materials, told: Progress) -> Router:
    """Fit on train, set the threshold on calibration."""
    return fit(
        splits_for_training(materials.dataset),
        materials.table,
        materials.encoder,
        lexicon=materials.lexicon,
        seed=materials.seed,
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
        table=materials.table,
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


def encoder_cached(router: Router, told: Progress) -> Router:
    """A loaded router that shares the embedding cache (worth it for many queries, not for one)."""
    if router.encoder.spec.name == HASHING:
        return router
    return replace(router, encoder=CachedEncoder(router.encoder, cache_directory(), progress=told.advance))


def data_for_bundle(data: Path, *, card: Path | None, columns: Mapping[str, str], default: Card) -> Dataset:
    """Labelled queries to judge a bundle on: the card beside them, or the bundle's own."""
    return load_dataset(data, card=card, columns=columns, default_card=default)
