"""The promises of `router.encoders.protocol.Encoder`, one function each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from router.encoders.export import SPEC_FILE, graph_digest
from router.encoders.onnx import GRAPH_FILE, OUTPUT, TOKENIZER_FILE
from router.encoders.protocol import Encoder, EncoderSpec, Matrix, sentence_part
from router.files import canonical_json, sha256_file

Check = Callable[[Encoder], None]

# Short and long, several scripts, no letter at all, one that stands twice.
TEXTS = (
    "where is my refund?",
    "hi",
    "Plan two weeks from San Francisco to Seattle, under $2000, with stops for 2 dogs and no toll roads 🚐",
    "¿Cuánto gasté en diésel en marzo?",
    "…",
    "天気はどうですか",
    "hi",
    "the furnace clicks but won't light " * 12,
)


def rows_are_float32_of_the_promised_width(encoder: Encoder) -> None:
    """(n, dim) float32, every number finite."""
    rows = encoder.encode(TEXTS)
    assert rows.shape == (len(TEXTS), encoder.spec.dim), f"{rows.shape} rows for {len(TEXTS)} texts of {encoder.spec}"
    assert rows.dtype == np.float32, rows.dtype
    assert np.isfinite(rows).all(), "a row holds NaN or infinity"


def no_texts_give_no_rows(encoder: Encoder) -> None:
    """(0, dim) float32 for an empty list."""
    rows = encoder.encode([])
    assert (rows.shape, rows.dtype) == ((0, encoder.spec.dim), np.dtype(np.float32)), f"{rows.dtype} {rows.shape}"


def the_spec_names_one_encoder(encoder: Encoder) -> None:
    """A digest that stays, and a sentence part within the row."""
    spec = encoder.spec
    assert isinstance(spec, EncoderSpec), type(spec)
    assert spec.digest, "the digest is empty"
    assert 0 < spec.sentence_dim <= spec.dim, spec
    encoder.encode(TEXTS)
    assert encoder.spec == spec, "the spec changed by encoding"


def sentence_parts_have_unit_length(encoder: Encoder) -> None:
    """The first `sentence_dim` columns are what cosines are taken of."""
    lengths = np.linalg.norm(sentence_part(encoder.encode(TEXTS), encoder.spec).astype(np.float64), axis=1)
    assert np.abs(lengths - 1).max() < 1e-5, f"lengths {lengths.tolist()}"


def different_texts_have_different_rows(encoder: Encoder) -> None:
    """Texts with nothing in common do not share a vector."""
    a, b = encoder.encode([TEXTS[0], TEXTS[3]])
    assert (a != b).any(), "two unlike texts have the same row"


def the_same_text_has_the_same_row_every_time(encoder: Encoder) -> None:
    """Bit for bit, asked twice."""
    _same(encoder.encode(TEXTS), encoder.encode(TEXTS), "asked again")


def a_row_does_not_depend_on_its_neighbours(encoder: Encoder) -> None:
    """Bit for bit, alone and in company, short beside long."""
    together = encoder.encode(TEXTS)
    alone = np.vstack([encoder.encode([text]) for text in TEXTS])
    _same(alone, together, "asked alone")
    _same(encoder.encode(TEXTS[:3]), together[:3], "asked among the first three")


def rows_follow_their_texts_in_any_order(encoder: Encoder) -> None:
    """Bit for bit, backwards and shuffled."""
    together = encoder.encode(TEXTS)
    for order in (range(len(TEXTS) - 1, -1, -1), np.random.default_rng(0).permutation(len(TEXTS)).tolist()):
        _same(encoder.encode([TEXTS[i] for i in order]), together[list(order)], f"asked in the order {list(order)}")


def the_texts_are_left_as_they_were(encoder: Encoder) -> None:
    """The caller's list is the caller's."""
    texts = list(TEXTS)
    encoder.encode(texts)
    assert texts == list(TEXTS), "encode changed the list it was given"


CHECKS: tuple[Check, ...] = (
    rows_are_float32_of_the_promised_width,
    no_texts_give_no_rows,
    the_spec_names_one_encoder,
    sentence_parts_have_unit_length,
    different_texts_have_different_rows,
    the_same_text_has_the_same_row_every_time,
    a_row_does_not_depend_on_its_neighbours,
    rows_follow_their_texts_in_any_order,
    the_texts_are_left_as_they_were,
)


def _same(found: Matrix, wanted: Matrix, when: str) -> None:
    changed = [i for i, (a, b) in enumerate(zip(found, wanted, strict=True)) if a.tobytes() != b.tobytes()]
    assert not changed, f"rows {changed} are other bytes when {when}"


def write_tiny_encoder(directory: Path, *, dim: int = 256, seed: int = 0) -> EncoderSpec:
    """Write an exported encoder that tests can afford: the mean of one random vector per byte, of unit length.

    It has all the files of a real one, so that whatever carries, checks or opens those can be tested with it.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    from tokenizers import Tokenizer, models, pre_tokenizers

    directory.mkdir(parents=True)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={char: i for i, char in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.save(str(directory / TOKENIZER_FILE))
    table = np.random.default_rng(seed).normal(size=(len(alphabet), dim)).astype(np.float32)
    tokens = ["batch", "tokens"]
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["table", "input_ids"], ["vectors"]),
            helper.make_node("ReduceMean", ["vectors"], ["mean"], axes=[1], keepdims=0),
            helper.make_node("LpNormalization", ["mean"], [OUTPUT], axis=1, p=2),
        ],
        "tiny",
        [helper.make_tensor_value_info(name, TensorProto.INT64, tokens) for name in ("input_ids", "attention_mask")],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", dim])],
        [numpy_helper.from_array(table, "table")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, directory / GRAPH_FILE)
    limit = 64
    digest = graph_digest(sha256_file(directory / GRAPH_FILE), sha256_file(directory / TOKENIZER_FILE), limit)
    spec = EncoderSpec(name="tiny", digest=digest, dim=dim, sentence_dim=dim, max_tokens=limit, weights_sha256=digest)
    (directory / SPEC_FILE).write_text(canonical_json(spec.to_mapping()), encoding="utf-8")
    return spec
