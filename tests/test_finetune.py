"""An encoder taught by labels: what shares a label comes closer, and no head is judged on what the encoder has seen."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eval.workflow import open_materials
from router.console import Progress
from router.dataset import Dataset, write_queries
from router.encoders.finetune import UNLABELLED, Lesson, Recipe, contrastive, finetuned
from router.encoders.hashing import HashingEncoder
from router.encoders.open import minilm_directory, open_model
from router.errors import DataError, EncoderError
from router.fitting import NEVER_HELD_OUT, fit_head
from router.routes import RouteTable
from router.rowspace import Blocks
from router.training import fit, splits_for_training
from router.tuning import lesson_of, taught_encoder

MONEY = ("what did I spend on diesel", "log 40 dollars for groceries", "how much is left of my budget", "add a bill")
ROADS = ("how far is Moab", "find me a park near Yuma", "is the pass open tomorrow", "route around the low bridge")
LESSON = Lesson(
    texts=[*MONEY, *ROADS, "hm"], labels={"domain": [0] * 4 + [1] * 4 + [UNLABELLED], "none": [UNLABELLED] * 9}
)


def test_the_contrastive_loss_of_two_pairs_worked_out_by_hand() -> None:
    """Each row has one companion at likeness 1 and two strangers at 0: -log(e^10 / (e^10 + 2))."""
    import torch

    rows = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    found = float(contrastive(rows, torch.tensor([0, 0, 1, 1])))
    assert found == pytest.approx(np.log1p(2 * np.exp(-10.0)), rel=1e-2)  # of float32


def test_rows_without_a_companion_pull_at_nothing() -> None:
    import torch

    assert float(contrastive(torch.eye(3), torch.tensor([0, 1, 2]))) == 0.0


@pytest.mark.encoder
def test_taught_by_labels_what_shares_one_lies_closer_and_the_lower_layers_stay(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    said: list[str] = []
    recipe = Recipe(epochs=20, seed=3)
    taught = finetuned(minilm_directory(), LESSON, recipe, shelf=tmp_path, notify=said.append)
    before, after = (load_file(source / "model.safetensors") for source in (minilm_directory(), taught))
    moved = {name for name in after if not np.array_equal(before[name], after[name])}
    assert moved
    assert not {name for name in moved if "embeddings" in name or ".layer.0." in name or ".layer.2." in name}

    rows = open_model(taught, "taught").encode(LESSON.texts[:8])[:, :384]
    plain = open_model(minilm_directory(), "plain").encode(LESSON.texts[:8])[:, :384]
    assert _margin(rows) > _margin(plain) + 0.2
    assert said[-1] == "fine-tuning the encoder: step 20 of 20"

    stamp = (taught / "model.safetensors").stat().st_mtime_ns
    assert finetuned(minilm_directory(), LESSON, recipe, shelf=tmp_path) == taught
    assert (taught / "model.safetensors").stat().st_mtime_ns == stamp  # the same ask is not trained again


def _margin(rows: Any) -> float:
    """How much likelier than a stranger a companion is."""
    likeness = rows @ rows.T
    same = np.kron(np.eye(2), np.ones((4, 4))).astype(bool)
    return float(likeness[same].mean() - likeness[~same].mean())


def test_a_lesson_without_a_label_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="no query has a label"):
        finetuned(tmp_path, Lesson(texts=["a"], labels={"domain": [UNLABELLED]}), Recipe(), shelf=tmp_path)


def test_follow_ups_teach_no_encoder(small: Dataset) -> None:
    train = small.split("train")
    follow_up = replace(train.queries[0], query_id="then", text="and then?", context=("how far is Moab",))
    lesson = lesson_of(replace(train, queries=(*train.queries[:3], follow_up)))
    assert lesson.texts == train.texts[:3]
    domains = train.card.heads["domain"]
    labelled = [query.labels.heads["domain"] for query in train.queries[:3]]
    assert lesson.labels["domain"] == [UNLABELLED if label is None else domains.index(label) for label in labelled]


def test_a_name_without_files_is_refused(small: Dataset) -> None:
    with pytest.raises(EncoderError, match="none of all-MiniLM-L6-v2, multilingual-e5-small or a directory"):
        taught_encoder("hashing", small.split("train"), Recipe())


def test_without_routes_it_is_refused_before_anything_is_taught(small: Dataset, tmp_path: Path) -> None:
    card = replace(small.card, also=())
    rows = [replace(query, labels=replace(query.labels, also=())) for query in small.queries]
    (tmp_path / "queries.jsonl").write_text(write_queries(rows), encoding="utf-8")
    heads = "".join(f"[heads.{name}]\nlabels = {json.dumps(labels)}\n" for name, labels in card.heads.items())
    (tmp_path / "card.toml").write_text(
        f'name = "mine"\nversion = "1"\nuse = "train"\nlicense = "x"\nwritten_by = "y"\n{heads}', encoding="utf-8"
    )
    told = Progress(notify=lambda _: None, advance=lambda *_: None)
    with pytest.raises(DataError, match="--finetune trains routers that decide a route"):
        open_materials(
            tmp_path, card=None, columns={}, routes=None, encoder="all-MiniLM-L6-v2", seed=0, told=told, recipe=Recipe()
        )


def test_rows_that_always_teach_are_judged_by_no_one() -> None:
    """Of six rows the first four always teach; each of the other two is judged by a model of the other five."""
    rows = np.array([[1.0], [1.0], [-1.0], [-1.0], [1.0], [-1.0]], dtype=np.float32)
    gram = rows.astype(np.float64) @ rows.T.astype(np.float64)
    fold = np.array([NEVER_HELD_OUT] * 4 + [0, 1])
    many = np.tile(np.arange(6), 5)
    blocks = Blocks(rows={"embedding": rows[many]}, grams={"embedding": gram[np.ix_(many, many)]})
    labels = [("yes", "yes", "no", "no", "yes", "no")[i] for i in many]
    fitted = fit_head("h", ("no", "yes"), labels, blocks, fold[many])
    assert fitted.index.tolist() == [i for i in range(30) if many[i] >= 4]
    assert fitted.oof.argmax(axis=1).tolist() == [1, 0] * 5


def test_a_router_on_a_taught_encoder_is_judged_on_the_calibration_split(small: Dataset, table: RouteTable) -> None:
    splits = splits_for_training(small)
    router = fit(splits, table, HashingEncoder(), seed=0, tuned=True)
    labelled = sum(label is not None for label in splits.calibration.labels("domain"))
    assert router.fitted["judged_on"] == "calibration"
    assert router.fitted["heads"]["domain"]["n"] == labelled
    assert all("domain" not in head.weights for head in router.heads.values())
    assert router.training == splits.train.queries
