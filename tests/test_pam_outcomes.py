"""The shipped outcome table is what its card says: simulated, regenerable to the byte, faultless, in pam-v1's splits."""

from __future__ import annotations

import csv
import importlib.util
import subprocess
import sys
import tomllib
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from eval.intervals import wilson
from router.card import read_card
from router.curves import aiq
from router.dataset import Dataset
from router.errors import DataError
from router.outcome_checks import with_costs_filled
from router.outcome_findings import Findings
from router.outcome_rows import read_outcomes
from router.outcomes import Outcomes
from router.prices import read_prices
from router.rows import SPLITS
from router.sweeps import sweep
from router.types import Query

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / "datasets" / "pam-outcomes-v1"
SHIPPED = HOME / "simulated-outcomes.csv"
SCRIPT = ROOT / "benchmarks" / "simulate_outcomes.py"
CARD = (HOME / "CARD.md").read_text(encoding="utf-8")
LADDER = ("sim-feather", "sim-light", "sim-medium", "sim-heavy")
LANGUAGES = {"en": "English", "es": "Spanish", "fr": "French", "de": "German"}


@pytest.fixture(scope="module")
def simulator() -> ModuleType:
    """The script as a module: `benchmarks` is no package."""
    spec = importlib.util.spec_from_file_location("simulate_outcomes", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their own module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def read() -> tuple[Outcomes, Findings]:
    return read_outcomes(SHIPPED)


@pytest.fixture(scope="module")
def outcomes(read: tuple[Outcomes, Findings]) -> Outcomes:
    return read[0]


@pytest.fixture(scope="module")
def judged(outcomes: Outcomes) -> Outcomes:
    """The complete queries of the test split, missing costs filled with means of the training split."""
    split = np.array(outcomes.split)
    return with_costs_filled(outcomes, split == "train").rows(outcomes.complete & (split == "test"))


@pytest.fixture(scope="module")
def queries(outcomes: Outcomes, pam: Dataset) -> list[Query]:
    """Those of pam-v1 that the table has, in its order."""
    known = {query.query_id: query for query in pam.queries}
    return [known[key] for key in outcomes.ids]


@pytest.fixture(scope="module")
def lines() -> list[dict[str, str]]:
    with SHIPPED.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_script_writes_the_shipped_file_to_the_byte_and_says_that_it_is_simulated(tmp_path: Path) -> None:
    out = tmp_path / "again.csv"
    done = subprocess.run(
        [sys.executable, "-P", str(SCRIPT), "--out", str(out)], capture_output=True, text=True, check=True
    )
    assert out.read_bytes() == SHIPPED.read_bytes()
    assert "all SIMULATED" in done.stdout


def test_everything_says_that_the_outcomes_are_simulated(simulator: ModuleType, outcomes: Outcomes) -> None:
    assert "simulated" in outcomes.name  # the file's name, and so the table's on every leaderboard
    assert all(model.startswith("sim-") for model in outcomes.models)
    assert "SIMULATED" in CARD.split("\n\n")[1]
    assert "SIMULATED" in str(simulator.__doc__).split("\n")[0]
    assert tomllib.loads((HOME / "card.toml").read_text(encoding="utf-8"))["simulated"] is True


def test_no_simulated_model_bears_the_name_of_a_priced_one(outcomes: Outcomes) -> None:
    assert set(outcomes.models).isdisjoint(read_prices().prices)


def test_the_table_reads_with_four_models_from_the_cheapest_to_the_dearest(outcomes: Outcomes) -> None:
    assert (outcomes.models, outcomes.use) == (LADDER, "train")
    assert len(outcomes) == 1_200


def test_the_only_findings_are_the_missing_cells_that_the_card_states(read: tuple[Outcomes, Findings]) -> None:
    outcomes, findings = read
    unanswered = int(np.isnan(outcomes.score).sum())
    costless = int((np.isfinite(outcomes.score) & np.isnan(outcomes.cost_usd)).sum())
    assert [entry.rule for entry in findings.entries] == ["incomplete", "missing-cost"]
    assert (
        f"{unanswered} calls have no answer and {costless} an answer without usage: {unanswered} scores"
        f" and {unanswered + costless} costs of {outcomes.score.size:,} are empty" in CARD
    )
    assert 0.001 < unanswered / outcomes.score.size < 0.005
    assert 0.001 < costless / outcomes.score.size < 0.005


def test_a_call_without_answer_has_nothing_and_one_without_usage_has_score_and_latency(outcomes: Outcomes) -> None:
    unanswered, costless = np.isnan(outcomes.score), np.isnan(outcomes.cost_usd)
    assert (np.isnan(outcomes.latency_ms) == unanswered).all()
    for cells in (outcomes.input_tokens, outcomes.output_tokens):
        assert (np.isnan(cells) == costless).all()
    assert costless[unanswered].all()


def test_scores_are_0_or_1(outcomes: Outcomes) -> None:
    assert set(outcomes.score[np.isfinite(outcomes.score)].tolist()) == {0.0, 1.0}


def test_the_file_is_below_a_megabyte() -> None:
    assert SHIPPED.stat().st_size < 1_000_000


def test_ids_texts_splits_and_domains_are_those_of_pam_v1(outcomes: Outcomes, queries: list[Query]) -> None:
    assert outcomes.texts == tuple(query.text for query in queries)
    assert outcomes.split == tuple(query.split for query in queries)
    assert outcomes.dataset == tuple(query.labels.heads["domain"] for query in queries)


def test_no_text_and_no_person_stands_in_two_splits(outcomes: Outcomes, queries: list[Query]) -> None:
    assert len(np.unique(outcomes.unit)) == len(outcomes)
    splits = {(query.persona, query.split) for query in queries}
    assert len(splits) == len({persona for persona, _ in splits})


@pytest.mark.parametrize("kind", ["split", "language", "domain", "complexity"])
def test_the_chosen_queries_have_the_shares_of_all_that_could_be_chosen(
    pam_first: Dataset, queries: list[Query], simulator: ModuleType, kind: str
) -> None:
    def kinds(among: list[Query]) -> Counter[str]:
        return Counter(str(getattr(query, kind, query.labels.heads.get(kind))) for query in among)

    agreed = [query for query in pam_first.queries if all(query.labels.heads[head] for head in simulator.NEEDED)]
    before, after = kinds(agreed), kinds(queries)
    shares = {name: count / len(queries) for name, count in after.items()}
    assert shares == pytest.approx({name: count / len(agreed) for name, count in before.items()}, abs=0.01)
    assert f"from the {len(agreed):,} whose" in CARD


def test_fewer_queries_than_were_asked_for_are_refused(simulator: ModuleType, queries: list[Query]) -> None:
    with pytest.raises(DataError, match=r"1,200 queries have all of .*; wanted 1,201"):
        simulator.choose(queries, 1_201)


def test_the_choice_does_not_hang_on_the_order_of_the_queries(simulator: ModuleType, queries: list[Query]) -> None:
    assert simulator.choose(queries[::-1], 300) == simulator.choose(queries, 300)


def test_a_row_is_the_same_in_any_company(
    simulator: ModuleType, queries: list[Query], lines: list[dict[str, str]]
) -> None:
    alone = list(csv.DictReader(simulator.table_text(queries[700:699:-1], seed=simulator.SEED).splitlines()))
    assert alone == [line for line in lines if line["query_id"] == queries[700].query_id]


def test_another_seed_draws_other_outcomes(simulator: ModuleType, queries: list[Query]) -> None:
    first, second = (simulator.table_text(queries[:40], seed=seed) for seed in (0, 1))
    assert first.count("\n") == second.count("\n")
    assert first != second


def test_dollars_are_tokens_times_the_prices_of_the_card(lines: list[dict[str, str]]) -> None:
    prices = tomllib.loads((HOME / "card.toml").read_text(encoding="utf-8"))["prices_usd_per_mtok"]
    assert tuple(prices) == LADDER
    for line in lines:
        if line["cost_usd"]:
            price = prices[line["model"]]
            micro_usd = int(line["input_tokens"]) * price["input"] + int(line["output_tokens"]) * price["output"]
            assert float(line["cost_usd"]) == pytest.approx(micro_usd / 1e6, abs=1e-12)
    assert [prices[model]["input"] / 0.1 for model in LADDER] == pytest.approx([1, 4, 15, 50])
    assert [prices[model]["output"] / 0.4 for model in LADDER] == pytest.approx([1, 4, 15, 50])


def test_the_scores_are_draws_from_the_stated_probabilities(
    simulator: ModuleType, outcomes: Outcomes, queries: list[Query]
) -> None:
    p = np.array([[simulator.probability(query, model, seed=0) for model in simulator.MODELS] for query in queries])
    known = np.isfinite(outcomes.score)
    for low, high in ((0.0, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 1.0)):
        cells = known & (p >= low) & (p < high)
        deviation = np.sqrt((p[cells] * (1 - p[cells])).sum())
        assert abs((outcomes.score[cells] - p[cells]).sum()) < 3.5 * deviation


def test_the_visible_probability_is_the_mean_over_the_hidden_draws(simulator: ModuleType, queries: list[Query]) -> None:
    model = simulator.MODELS[2]
    for query in queries[:3]:
        drawn = np.array([simulator.probability(query, model, seed=seed) for seed in range(1_500)])
        error = 4 * drawn.std() / np.sqrt(len(drawn))
        assert simulator.visible_probability(query, model) == pytest.approx(drawn.mean(), abs=error)


def test_tokens_are_lognormal_about_the_stated_medians(
    simulator: ModuleType, outcomes: Outcomes, queries: list[Query]
) -> None:
    kind = np.array([simulator.label(query, "complexity") for query in queries])
    own = np.hypot(simulator.OUTPUT_SPREAD, simulator.OWN_SPREAD)
    for j, model in enumerate(simulator.MODELS):
        for cells, spread, median in (
            (outcomes.input_tokens[:, j], simulator.INPUT_SPREAD, simulator.INPUT),
            (outcomes.output_tokens[:, j], own, {k: v * model.verbosity for k, v in simulator.OUTPUT.items()}),
        ):
            for name, middle in median.items():
                logs = np.log(cells[(kind == name) & np.isfinite(cells)])
                assert logs.mean() == pytest.approx(np.log(middle), abs=4 * spread / np.sqrt(len(logs)))
                assert logs.std() == pytest.approx(spread, rel=0.12)


def test_uniform_draws_fill_the_unit_interval_evenly_and_reach_neither_end(simulator: ModuleType) -> None:
    drawn = np.array([simulator.uniform("test", i) for i in range(5_000)])
    assert np.histogram(drawn, bins=10, range=(0, 1))[0].tolist() == pytest.approx([500] * 10, abs=85)  # 4 deviations
    assert 0 < drawn.min() < drawn.max() < 1


def test_a_complex_query_outside_english_is_harder_and_longer_than_a_simple_one_in_it(
    simulator: ModuleType, queries: list[Query]
) -> None:
    query = replace(queries[0], language="en", labels=replace(queries[0].labels, heads=heads("simple")))
    hard = replace(query, language="de", labels=replace(query.labels, heads=heads("complex")))
    for model in simulator.MODELS:
        assert simulator.visible_probability(hard, model) < simulator.visible_probability(query, model)
        assert all(a > b for a, b in zip(*(simulator.tokens(q, model, seed=0) for q in (hard, query)), strict=True))


def heads(complexity: str) -> dict[str, str | None]:
    return {"complexity": complexity, "domain": "shop", "intent": None, "urgency": "normal"}


def test_the_ladder_rises_from_about_55_to_88_per_cent_and_the_oracle_stands_near_95(outcomes: Outcomes) -> None:
    mean = np.nanmean(outcomes.score, axis=0)
    assert (np.diff(mean) > 0.03).all()
    assert mean[[0, -1]].tolist() == pytest.approx([0.55, 0.88], abs=0.02)
    assert outcomes.rows(outcomes.complete).score.max(axis=1).mean() == pytest.approx(0.95, abs=0.015)


def test_no_model_is_best_in_every_domain_nor_better_than_all_cheaper_ones_in_each(
    simulator: ModuleType, pam_first: Dataset
) -> None:
    by_domain: dict[str, list[list[float]]] = {}
    for query in simulator.choose(pam_first.queries, 1_200):
        p = [simulator.visible_probability(query, model) for model in simulator.MODELS]
        by_domain.setdefault(simulator.label(query, "domain"), []).append(p)
    mean = {domain: np.mean(rows, axis=0) for domain, rows in by_domain.items()}
    assert {LADDER[int(row.argmax())] for row in mean.values()} == {"sim-feather", "sim-medium", "sim-heavy"}
    assert mean["budget"][1] > mean["budget"][2] + 0.1  # the second beats the third


def test_the_card_reads_and_allows_fitting() -> None:
    card = read_card(HOME / "card.toml")
    assert (card.name, card.use, dict(card.heads)) == (HOME.name, "train", {})
    assert tomllib.loads((HOME / "card.toml").read_text(encoding="utf-8"))["license"] == "Apache-2.0"


def test_the_card_counts_queries_splits_and_languages(outcomes: Outcomes, queries: list[Query]) -> None:
    splits, languages = Counter(outcomes.split), Counter(query.language for query in queries)
    spoken = " · ".join(f"{name} {languages[code]:,}" for code, name in LANGUAGES.items())
    assert f"| splits | {' · '.join(f'{name} {splits[name]}' for name in SPLITS)} |" in CARD
    assert f"| languages | {spoken} |" in CARD
    assert f"| persons | {len({query.persona for query in queries})} of pam-v1's 230 |" in CARD


def test_the_card_prints_accuracy_dollars_and_latency_of_every_model(outcomes: Outcomes) -> None:
    test = outcomes.rows(np.array(outcomes.split) == "test")
    for j, model in enumerate(LADDER):
        dollars = f"{np.nanmean(outcomes.cost_usd[:, j]):.6f} | {np.nanmean(outcomes.latency_ms[:, j]):,.0f}"
        assert f"| {model} | {share(outcomes.score[:, j])} | {share(test.score[:, j])} | {dollars} |" in CARD


def test_the_card_prints_the_oracle_and_what_only_cheaper_models_get_right(
    outcomes: Outcomes, judged: Outcomes
) -> None:
    whole = outcomes.rows(outcomes.complete)
    pay = np.nanmean(np.take_along_axis(whole.cost_usd, whole.oracle()[:, None], axis=1))
    assert f"| oracle | {share(whole.score.max(axis=1))} | {share(judged.score.max(axis=1))} | {pay:.6f} | – |" in CARD
    cheaper = (whole.score[:, -1] == 0) & (whole.score.max(axis=1) == 1)
    assert f"{cheaper.mean() * 100:.1f} % of the queries\nonly a cheaper model than sim-heavy answers well" in CARD


def test_the_card_prints_accuracy_by_domain(outcomes: Outcomes) -> None:
    names = np.array(outcomes.dataset)
    for name, count in Counter(outcomes.dataset).items():
        mean = np.nanmean(outcomes.score[names == name], axis=0)
        splits = Counter(np.array(outcomes.split)[names == name].tolist())
        counts = " | ".join(str(splits[split]) for split in SPLITS)
        assert f"| {name} | {count} | {counts} | {' | '.join(f'{cell:.2f}' for cell in mean)} |" in CARD


def test_the_card_prints_how_far_routing_could_get_on_the_test_split(
    simulator: ModuleType, outcomes: Outcomes, judged: Outcomes, queries: list[Query]
) -> None:
    known = {query.query_id: query for query in queries}
    seen = np.array([[simulator.visible_probability(known[i], m) for m in simulator.MODELS] for i in judged.ids])
    expected = np.nanmean(outcomes.cost_usd[np.array(outcomes.split) == "train"], axis=0)
    dollars = judged.cost_usd.mean(axis=0)
    top = float(dollars.max())
    single = aiq(np.stack([dollars, judged.score.mean(axis=0)], axis=1), max_cost=top)
    visible = aiq(sweep(seen, expected, judged.score, judged.cost_usd).points, max_cost=top)
    best = aiq(sweep(judged.score, judged.cost_usd, judged.score, judged.cost_usd).points, max_cost=top)
    assert f"(n = {len(judged)}, AIQ): mixtures of single models {single:.3f}" in CARD
    assert f"the visible part of the simulation known {visible:.3f}, oracle {best:.3f}" in CARD


def share(score: np.ndarray) -> str:
    """Per cent of the known scores that are 1, with Wilson's interval and their number."""
    known = score[np.isfinite(score)]
    interval = wilson(int(known.sum()), len(known))
    return f"{known.mean():.1%} [{interval.low:.1%}, {interval.high:.1%}] of {len(known):,}".replace("%", " %")
