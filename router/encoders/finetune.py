"""An encoder taught by labels: the upper layers of a sentence-transformers model, trained so that what bears the same label lies close.

One pass over the layers serves all heads. For every head two losses pull at the same sentence embedding: a supervised
contrastive one (Khosla et al. 2020), which pulls together what shares a label and pushes apart what does not, and the
cross-entropy of a linear classifier, which is thrown away afterwards. The lower layers and the word vectors stay as they
were: they hold the language, and a few thousand queries would only make them forget it.
"""

from __future__ import annotations

import json
import math
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from router.encoders.export import quiet_libraries, require_torch, source_digest
from router.errors import EncoderError
from router.files import canonical_json, new_directory, sha256_bytes, write_atomic

RECORD = "finetuned.json"
UNLABELLED = -1
FROZEN = 1 / 2  # of the layers, from below
CONTRAST = 0.5  # how much the contrastive loss counts beside the cross-entropy
TEMPERATURE = 0.1  # of the contrastive loss
SCALE = 12.0  # of the unit-length embedding before the classifiers
SMOOTHING = 0.05
WARMUP = 0.1
HEAD_RATE = 10.0  # the classifiers begin at nothing and may run ahead of the encoder
BATCH = 32
MAX_TOKENS = 128  # while training; a longer message is cut

Notify = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How long and how fast an encoder learns; the seed orders the batches."""

    epochs: int = 3
    learning_rate: float = 2e-4
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What an encoder learns from: n texts, and head -> n class numbers, `UNLABELLED` where a query has no label."""

    texts: Sequence[str]
    labels: Mapping[str, Sequence[int]]

    def digest(self) -> str:
        """Hex digest of texts and labels."""
        return sha256_bytes(canonical_json([list(self.texts), {k: list(v) for k, v in self.labels.items()}]).encode())


def finetuned(source: Path, lesson: Lesson, recipe: Recipe, *, shelf: Path, notify: Notify = lambda _: None) -> Path:
    """The directory of the model in `source` taught by `lesson`: from the shelf where it stands there, else trained now.

    The name on the shelf tells source, lesson and recipe, so that the same ask is trained once per machine.
    Raises EncoderError where a training library is missing, or the lesson has no label.
    """
    if not any(label != UNLABELLED for labels in lesson.labels.values() for label in labels):
        raise EncoderError("no query has a label to learn from. Label some; `weighbridge data stats` counts them.")
    for library in ("accelerate", "datasets"):
        require_torch("the fine-tuned encoder", also=library)
    record = {"source": source_digest(source), "lesson": lesson.digest(), **asdict(recipe)}
    target = shelf / f"finetuned-{sha256_bytes(canonical_json(record).encode())[:16]}"
    if _recorded(target) != record:
        if target.exists():
            shutil.rmtree(target)
        with quiet_libraries(), new_directory(target) as work:
            _train(source, lesson, recipe, work, notify)
            write_atomic(work / RECORD, canonical_json(record, indent=2) + "\n")
    return target


def _recorded(directory: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads((directory / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found


def _train(source: Path, lesson: Lesson, recipe: Recipe, target: Path, notify: Notify) -> None:
    import torch
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from transformers import PrinterCallback, TrainerCallback

    from datasets import Dataset, disable_progress_bars  # type: ignore[attr-defined]  # not our folder of that name

    disable_progress_bars()
    random.seed(recipe.seed)
    torch.manual_seed(recipe.seed)
    model = SentenceTransformer(str(source), device="cpu", model_kwargs={"attn_implementation": "eager"})
    cut, model.max_seq_length = model.max_seq_length, min(MAX_TOKENS, model.max_seq_length or MAX_TOKENS)
    _freeze(model)
    rows = [list(row) for row in zip(*lesson.labels.values(), strict=True)]
    lengths = [
        len(ids) for ids in model.tokenizer(list(lesson.texts), truncation=True, max_length=MAX_TOKENS)["input_ids"]
    ]
    loss = _loss(model, lesson)
    steps = recipe.epochs * math.ceil(len(rows) / BATCH)

    class Told(TrainerCallback):  # type: ignore[misc]  # transformers is kept out of the checker
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002 -- the library's
            if state.global_step % 20 == 0:
                notify(f"fine-tuning the encoder: step {state.global_step:,} of {steps:,}")

    class Plain(SentenceTransformerTrainer):  # type: ignore[misc]  # as above
        def add_model_card_callback(self, *_: Any) -> None:
            """The library's card of examples and sizes is not kept, and takes longer than a small lesson."""

    with tempfile.TemporaryDirectory() as scratch:
        arguments = SentenceTransformerTrainingArguments(
            output_dir=scratch, num_train_epochs=recipe.epochs, per_device_train_batch_size=BATCH,
            learning_rate=recipe.learning_rate, warmup_steps=round(WARMUP * steps), weight_decay=0.01,
            seed=recipe.seed, data_seed=recipe.seed, use_cpu=True, report_to="none", save_strategy="no",
            logging_strategy="no", disable_tqdm=True, dataloader_num_workers=0,
            batch_sampler=lambda _, **ask: _Buckets(lengths, ask["batch_size"], recipe.seed),
        )  # fmt: skip
        trainer = Plain(
            model=model, args=arguments, loss=loss, callbacks=[Told()],
            train_dataset=Dataset.from_dict({"text": list(lesson.texts), "label": rows}),
            optimizers=(_optimiser(model, loss, recipe), None),
        )  # fmt: skip
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    model.max_seq_length = cut
    model.save_pretrained(str(target), create_model_card=False)


def _freeze(model: Any) -> None:
    """The word vectors and the lower layers keep what they know."""
    network = model[0].auto_model
    layers = network.encoder.layer
    for part in (network.embeddings, *layers[: round(len(layers) * FROZEN)]):
        part.requires_grad_(False)


def _optimiser(model: Any, loss: Any, recipe: Recipe) -> Any:
    import torch

    upper = [weights for weights in model.parameters() if weights.requires_grad]
    return torch.optim.AdamW(
        [
            {"params": upper, "lr": recipe.learning_rate},
            {"params": loss.classifiers.parameters(), "lr": HEAD_RATE * recipe.learning_rate},
        ],
        weight_decay=0.01,
    )


def _loss(model: Any, lesson: Lesson) -> Any:
    """Both losses of every head, each over the queries of the batch that have its label."""
    import torch
    from torch.nn import functional

    sizes = [max(labels) + 1 for labels in lesson.labels.values()]

    class Taught(torch.nn.Module):  # type: ignore[misc]  # torch is kept out of the checker
        def __init__(self) -> None:
            super().__init__()
            self.model = model
            width = model.get_embedding_dimension()
            self.classifiers = torch.nn.ModuleList(torch.nn.Linear(width, k) for k in sizes if k > 0)
            self.columns = [j for j, k in enumerate(sizes) if k > 0]

        def forward(self, features: Any, labels: torch.Tensor) -> torch.Tensor:
            rows = functional.normalize(self.model(features[0])["sentence_embedding"], dim=1)
            total = rows.sum() * 0.0
            for classify, j in zip(self.classifiers, self.columns, strict=True):
                known = labels[:, j] != UNLABELLED
                if known.any():
                    seen, y = rows[known], labels[known, j]
                    total = total + functional.cross_entropy(classify(SCALE * seen), y, label_smoothing=SMOOTHING)
                    total = total + CONTRAST * contrastive(seen, y)
            return total

    return Taught()


def contrastive(rows: Any, y: Any) -> Any:
    """The supervised contrastive loss of (m, d) unit-length rows with classes y (m,); 0 where no two share a class.

    For each row that has companions: minus the mean log-probability of a companion, where a row's likeness to each other
    row, over `TEMPERATURE`, is a logit. Source: Khosla et al., 2020, Supervised Contrastive Learning, equation 2.
    """
    import torch

    own = torch.eye(len(y), dtype=torch.bool)
    likeness = (rows @ rows.T / TEMPERATURE).masked_fill(own, -1e9)
    logs = likeness - likeness.logsumexp(dim=1, keepdim=True)
    companion = (y[:, None] == y[None, :]) & ~own
    count = companion.sum(dim=1)
    pulled = -(logs * companion).sum(dim=1)[count > 0] / count[count > 0]
    return pulled.mean() if len(pulled) else rows.sum() * 0.0


class _Buckets:
    """Batches of texts of like length in random order, so that little is padded. A new order each time it is run through."""

    def __init__(self, lengths: Sequence[int], size: int, seed: int) -> None:
        self.batch_size, self.drop_last = size, False
        self._lengths, self._rng = np.array(lengths, dtype=float), np.random.default_rng(seed)

    def __len__(self) -> int:
        return math.ceil(len(self._lengths) / self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        order = np.argsort(self._lengths + self._rng.normal(0, 3, len(self._lengths)), kind="stable")
        starts = self._rng.permutation(len(self))
        for start in starts.tolist():
            yield order[start * self.batch_size : (start + 1) * self.batch_size].tolist()

    def set_epoch(self, epoch: int) -> None:
        """The trainer's; the order changes by itself."""
