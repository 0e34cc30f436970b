"""The verbs for a person with labels: data curve, data audit. Heavy libraries wait inside the functions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from eval.commands import DEFAULT_ENCODER, Encoder, Seed
from router.commands import CardFile, Columns, Data, Json

if TYPE_CHECKING:
    from router.console import Progress
    from router.dataset import Dataset
    from router.encoders.cache import CachedEncoder

Csv = Annotated[Path | None, typer.Option("--csv", help="Also write the suspects to this file, one row each.")]
AUDITED = ("train", "calibration")
CSV_COLUMNS = ("id", "head", "given", "suggested", "probability", "margin", "text")


def register(data_app: typer.Typer) -> None:
    """Add the verbs to `weighbridge data`."""
    data_app.command("curve")(data_curve)
    data_app.command("audit")(data_audit)


def data_curve(
    data: Data,
    encoder: Encoder = DEFAULT_ENCODER,
    heads: Annotated[str | None, typer.Option(help="Only these heads, joined by commas.")] = None,
    points: Annotated[int, typer.Option(min=2, max=20, help="Shares, from a tenth of the labels to all.")] = 6,
    repeats: Annotated[int, typer.Option(min=1, max=100, help="Draws of every share.")] = 5,
    card: CardFile = None,
    columns: Columns = None,
    seed: Seed = 0,
    json: Json = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Also write a page with the curves (.html).")] = None,
) -> None:
    """How many labels do I need: accuracy and log-loss as labels grow, and what more of them would bring.

    Learns and judges on the train split alone, by folds over people and near-duplicates; on all queries where there are
    no splits.
    """
    from eval.curve_figures import curve_figures
    from eval.curve_report import write_curve_report
    from eval.lab import one_thread
    from eval.label_show import show_curve
    from eval.labelled_rows import asked_heads, labelled_rows, part_of
    from eval.learning_curve import growing_shares, learning_curves, sampled_units
    from router.console import console, progress, write_json
    from router.lexicon import read_lexicon

    if out is not None and out.suffix.lower() not in (".html", ".htm"):
        raise typer.BadParameter(f"--out is {out}; wanted a page's name, as in `--out curve.html`.")
    with progress() as told, one_thread():
        part, name = part_of(_read(data, card, columns), ("train",), verb="weighbridge data curve")
        names = asked_heads(part, heads, option="--heads")
        used = sampled_units(part, seed=seed)
        rows = labelled_rows(used, _opened(encoder, told), read_lexicon(data, part.card), told.notify)
        curves = learning_curves(
            rows, names, shares=growing_shares(points), repeats=repeats, seed=seed, notify=told.notify
        )
        figures = curve_figures(rows, curves, whole=part, part=name, repeats=repeats, seed=seed)
    show_curve(console(), figures)
    write_json(json, figures)
    if out is not None:
        write_curve_report(figures, out)
        console().print(f"wrote {out}", markup=False)


def data_audit(
    data: Data,
    encoder: Encoder = DEFAULT_ENCODER,
    head: Annotated[str, typer.Option(help="A head, some joined by commas, or `all`.")] = "all",
    top: Annotated[int, typer.Option(min=0, help="Suspects told for each head, the most doubted first.")] = 20,
    split: Annotated[
        Literal["train", "calibration", "test", "all"] | None,
        typer.Option(help="Default: train and calibration; test labels stay unseen unless asked for."),
    ] = None,
    next_k: Annotated[
        int, typer.Option("--next", min=0, help="Also name this many queries without a label that are worth one.")
    ] = 0,
    pool: Annotated[
        Path | None, typer.Option(help="Take those from this file of unlabelled queries (JSONL or CSV: id, text).")
    ] = None,
    card: CardFile = None,
    columns: Columns = None,
    seed: Seed = 0,
    json: Json = None,
    csv: Csv = None,
) -> None:
    """Which labels to look at again, how many may be wrong, and which queries to label next.

    Confident learning: a label is a suspect where a model that has not seen it is confident of another one.
    """
    from eval.lab import one_thread
    from eval.label_show import show_audit
    from eval.labelaudit import audit_figures
    from eval.labelled_rows import asked_heads, held_out_heads, labelled_rows, part_of
    from eval.next_labels import next_labels
    from router.console import console, progress, write_json
    from router.lexicon import read_lexicon

    if pool is not None and not next_k:
        raise typer.BadParameter("--pool goes with --next K, as in `--pool new.jsonl --next 50`.")
    with progress() as told, one_thread():
        part, name = part_of(_read(data, card, columns), (split,) if split else AUDITED, verb="weighbridge data audit")
        names = asked_heads(part, head, option="--head")
        unlabelled = None if pool is None else _pool(pool, part, columns)
        rows = labelled_rows(part, _opened(encoder, told), read_lexicon(data, part.card), told.notify)
        fitted = held_out_heads(rows, names, seed=seed, notify=told.notify)
        told.notify("counting suspects")
        figures = audit_figures(rows, fitted, names, part=name, top=top, seed=seed)
        figures["next"] = next_labels(rows, fitted, names, count=next_k, pool=unlabelled) if next_k else None
    show_audit(console(), figures)
    write_json(json, figures)
    if csv is not None:
        _write_csv(csv, figures)
        console().print(f"wrote {csv}", markup=False)


def _read(data: Path, card: Path | None, columns: str | None) -> Dataset:
    from router.dataset import load_dataset
    from router.rows import parse_map

    return load_dataset(data, card=card, columns=parse_map(columns))


def _pool(pool: Path, part: Dataset, columns: str | None) -> Dataset:
    """Unlabelled queries, read with the card of the labelled ones where none lies beside them."""
    from router.dataset import load_dataset
    from router.rows import parse_map

    return load_dataset(pool, columns=parse_map(columns), default_card=part.card)


def _opened(encoder: str, told: Progress) -> CachedEncoder:
    """The encoder behind the shared cache. Raises EncoderError for one that `--finetune` taught."""
    from router.encoders import open_encoder
    from router.encoders.cache import CachedEncoder
    from router.encoders.finetune import RECORD
    from router.encoders.open import cache_directory
    from router.errors import EncoderError

    if (Path(encoder) / RECORD).exists():
        raise EncoderError(
            f"encoder {encoder} was taught by labels, so no label it saw can be held out from it;"
            f" wanted one that has seen none. Leave --encoder out ({DEFAULT_ENCODER})."
        )
    return CachedEncoder(open_encoder(encoder, notify=told.notify), cache_directory(), progress=told.advance)


def _write_csv(path: Path, figures: Mapping[str, Any]) -> None:
    import csv
    import io

    from router.files import write_atomic

    text = io.StringIO()
    writer = csv.DictWriter(text, CSV_COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for head, entry in figures["heads"].items():
        writer.writerows({**suspect, "head": head} for suspect in entry["top"] or ())
    write_atomic(path, text.getvalue())
