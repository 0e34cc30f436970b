"""The verb `export`: a compiled form of a bundle, for deciding fast."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from router.commands import SHIPPED_DATA, Data, Json, bundle_path

if TYPE_CHECKING:
    from router.compiled.files import Precision
    from router.dataset import Dataset
    from router.pipeline import Router


def register(app: typer.Typer) -> None:
    """Add the verb to the one command."""
    app.command()(export)


def export(
    bundle: Annotated[
        Path,
        typer.Argument(parser=bundle_path, metavar="BUNDLE", help="A label bundle's directory, or models:/NAME@ALIAS."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The directory to write.")],
    precision: Annotated[
        Literal["fp32", "int8", "both"], typer.Option(help="Which graphs: the exact one, the fast one, or both.")
    ] = "both",
    static: Annotated[
        bool,
        typer.Option("--static/--no-static", help="Let token vectors answer first where they are sure (some minutes)."),
    ] = False,
    static_loss: Annotated[
        float,
        typer.Option(
            min=0.0, max=1.0, help="Route accuracy that they may cost, at the upper end of its 95 % interval."
        ),
    ] = 0.015,
    data: Data = SHIPPED_DATA,
    json: Json = None,
) -> None:
    """Compile a bundle into one ONNX graph: thresholds on the calibration split, figures on the test split of --data."""
    from router.bundle import bundle_id
    from router.compiled.export import export as exported
    from router.compiled.making import Parts
    from router.console import console, progress, write_json
    from router.dataset import load_dataset

    precisions: tuple[Precision, ...] = ("fp32", "int8") if precision == "both" else (precision,)
    with progress() as told:
        router = _label_router(bundle, told.notify)
        found = load_dataset(data, default_card=router.card)
        _require_unseen(router, found, data)
        parts = Parts(calibration=found.split("calibration"), test=found.split("test"))
        manifest = exported(
            router,
            out,
            source_id=bundle_id(bundle),
            parts=parts,
            precisions=precisions,
            static=static,
            most_lost=static_loss,
            notify=told.notify,
        )
    out_to = console()
    out_to.print(f"wrote {out}: {', '.join(manifest['tiers'])}", markup=False, soft_wrap=True)
    out_to.print(_table(manifest["measured"]))
    write_json(json, {name: manifest[name] for name in ("source", "tiers", "static", "measured")})


def _label_router(bundle: Path, notify: Any) -> Router:  # Any: the listener of `progress`
    from router.bundle import load
    from router.bundlefiles import kind_of
    from router.errors import BundleError

    kind = kind_of(bundle)
    if kind is not None:
        raise BundleError(
            f"{bundle}: holds a router by {kind}; `export` compiles one by labels, and this one is served as it stands."
            " Train one: `weighbridge train --data D --routes FILE --out B`."
        )
    return load(bundle, notify=notify)


def _require_unseen(router: Router, found: Dataset, data: Path) -> None:
    """Raise DataError where --data has other heads, or its calibration or test queries were trained on."""
    from router.errors import DataError

    if found.card.heads != router.card.heads:
        raise DataError(
            f"{data}: its heads or labels are not the bundle's ({', '.join(router.card.heads)}); name the data it was trained on with --data."
        )
    seen = {query.conversation for query in router.training}
    judged = [query for query in found.queries if query.split in ("calibration", "test")]
    again = [query.query_id for query in judged if query.conversation in seen]
    if again:
        raise DataError(
            f"{data}: {len(again)} of its calibration and test queries were trained on ({again[0]!r} first); see `weighbridge data stats`."
        )


def _table(measured: Mapping[str, Any]) -> Any:  # Any: rich.table.Table, loaded when it is needed
    from router.compiled.measure import line
    from router.console import table

    rows = []
    for name, entry in measured.items():
        if name != "split":
            equal = entry["decisions_equal"]
            rows.append(
                [
                    name,
                    f"{equal['n']:,}",
                    f"{equal['share']:.4f} [{equal['low']:.4f}, {equal['high']:.4f}]",
                    line(entry["accuracy"]["route"]),
                    line(entry["loss"]["route"]),
                    f"{entry['static_share']:.1%}" if "static_share" in entry else "–",
                ]
            )
    columns = ["form", "n", "decisions equal", "route accuracy", "loss", "static share"]
    return table(f"Measured on the {measured['split']} split", columns, rows)
