"""With the real encoder: the fused graph is still the fitted router, and its tokens are the tokenizer's."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from router.compiled import load
from router.compiled.export import export
from router.compiled.making import Parts
from router.compiled.tokens import Tokens
from router.dataset import Dataset
from router.encoders.open import open_encoder
from router.lexicon import Lexicon
from router.pipeline import Router
from router.routes import RouteTable
from router.training import fit, splits_for_training
from tests.tiny_graph import furthest

pytestmark = pytest.mark.encoder


@pytest.fixture(scope="module")
def minilm_router(small: Dataset, table: RouteTable, lexicon: Lexicon) -> Router:
    return fit(splits_for_training(small), table, open_encoder(), lexicon=lexicon, seed=0)


@pytest.fixture(scope="module")
def minilm_form(minilm_router: Router, small: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    parts = Parts(calibration=small.split("calibration"), test=small.split("test"))
    target = tmp_path_factory.mktemp("minilm") / "form"
    export(minilm_router, target, source_id="small", parts=parts, precisions=("fp32",), static=False)
    return target


def test_the_graph_in_single_precision_decides_as_the_router_fitted_with_minilm(
    minilm_router: Router, minilm_form: Path, small: Dataset
) -> None:
    part = small.split("test")
    ours = load(minilm_form).decide_many(part.texts, part.contexts)
    theirs = minilm_router.decide_many(part.texts, part.contexts)
    assert [(one.route, one.rule, one.also) for one in ours] == [(one.route, one.rule, one.also) for one in theirs]
    assert furthest(ours, theirs) <= 1e-5


def test_attentions_and_activations_are_one_node_each(minilm_form: Path) -> None:
    kinds = [node.op_type for node in onnx.load(str(minilm_form / "graph-fp32.onnx")).graph.node]
    assert (kinds.count("Attention"), kinds.count("Gelu"), kinds.count("EmbedLayerNormalization")) == (6, 6, 1)


def test_the_tokens_of_shipped_queries_are_the_tokenizers(minilm_form: Path, pam: Dataset) -> None:
    tokens = Tokens(minilm_form / "tokenizer.json", 256)
    for text in pam.split("test").texts:
        assert tokens.of(text) == tokens._tokenizer.encode(text).ids
