"""The registry's verbs: promote, and registry list, history, show, rollback, sync."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from router.commands import Json

if TYPE_CHECKING:
    from router.ledger import Ledger, Promotion

DEFAULT_NAME = "router"  # router.registry.MODEL_NAME, whose module the command line need not load for `--help`

Name = Annotated[str, typer.Argument(help="The registered model's name.")]
NameOption = Annotated[str, typer.Option("--name", help="The registered model that gets a new champion.")]
Why = Annotated[str, typer.Option("--why", help="Goes on record: one line.")]
Who = Annotated[str | None, typer.Option("--who", help="Goes on record. Default: your login name.", show_default=False)]
Link = Annotated[
    Path | None,
    typer.Option("--link", help="A link to point at the champion's bundle, as a running server follows it."),
]

registry_app = typer.Typer(help="Champions: who, since when, why, and back again.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the verbs to the one command."""
    app.command()(promote)
    app.add_typer(registry_app, name="registry")


def promote(
    bundle: Annotated[
        str,
        typer.Option("--bundle", "-b", help="A bundle's directory, models:/NAME@ALIAS, or runs:/ID of an MLflow run."),
    ],
    evidence: Annotated[Path, typer.Option("--evidence", help="The comparison with the champion (JSON).")],
    why: Why,
    name: NameOption = DEFAULT_NAME,
    margin: Annotated[
        float,
        typer.Option("--margin", help="How much worse it may be, in the metric's unit, at the interval's bad end."),
    ] = 0.0,
    require_guarantee: Annotated[
        bool, typer.Option("--require-guarantee", help="Refuse without a guarantee for this bundle.")
    ] = False,
    who: Who = None,
    link: Link = None,
    json: Json = None,
) -> None:
    """Make a bundle the champion if the evidence holds; else say all that is missing. Exit 2 if it is refused."""
    from router.console import progress
    from router.current import resolve
    from router.evidence import read_evidence
    from router.promotion import promote as promoted

    found = read_evidence(evidence)
    with progress() as told:
        told.notify(f"checking the evidence, moving the champion of {name}")
        source = bundle.removeprefix("runs:/") if bundle.startswith("runs:/") else resolve(bundle)
        entry = promoted(
            source,
            found,
            name=name,
            margin=margin,
            require_guarantee=require_guarantee,
            who=_login() if who is None else who,
            why=why,
            link=link,
        )
    _tell(entry, link=link, json=json)


@registry_app.command("list")
def registry_list(json: Json = None) -> None:
    """Every registered model and its champion."""
    from router.console import console, table, write_json
    from router.promotion import champions

    found = champions()
    rows = [[ledger.name, *_row(ledger.head), str(len(ledger.entries))] for ledger in found]
    out = console()
    out.print(table("Champions", ["name", "champion", "since (UTC)", "by", "moves"], rows, left=4), markup=False)
    for ledger in found:
        if not ledger.in_order:
            out.print(
                f"{ledger.name}: the alias champion stands elsewhere than the history says;"
                f" `weighbridge registry sync {ledger.name}` sets it.",
                markup=False,
                soft_wrap=True,
            )
    write_json(json, {"models": [_ledger_mapping(ledger) for ledger in found]})


@registry_app.command("history")
def registry_history(name: Name = DEFAULT_NAME, json: Json = None) -> None:
    """Every promotion and rollback: who, why, from, to, on which evidence."""
    from router.console import console, table, write_json
    from router.promotion import history

    entries = history(name)
    rows = [
        [str(entry.number), _minute(entry), entry.kind, entry.before or "–", entry.bundle, entry.who, _reason(entry)]
        for entry in entries
    ]
    columns = ["", "at (UTC)", "what", "from", "to", "who", "why"]
    console().print(table(f"Champions of {name}", columns, rows, left=7), markup=False)
    write_json(json, {"name": name, "entries": [asdict(entry) for entry in entries]})


@registry_app.command("show")
def registry_show(
    reference: Annotated[str, typer.Argument(help="NAME@ALIAS, as in router@champion.")],
    json: Json = None,
) -> None:
    """Fetch and verify what an alias stands for; say what it is and how it came there."""
    from router.bundle import bundle_id
    from router.console import console, progress, write_json
    from router.current import SCHEME, resolve
    from router.promotion import history

    name = reference.removeprefix(SCHEME).partition("@")[0]
    with progress() as told:
        told.notify(f"fetching {reference}")
        path = resolve(SCHEME + reference.removeprefix(SCHEME))
        entries = history(name)
    identity = bundle_id(path)
    entry = next((entry for entry in reversed(entries) if entry.bundle == identity), None)
    out = console()
    out.print(f"bundle {identity} in {path}: every file matches its manifest", markup=False, soft_wrap=True)
    if entry is None:
        origin = f"No entry of the history of {name} made it champion."
    else:
        stands = "champion of" if entry == entries[-1] else "once champion of"
        origin = f"{stands} {name} by {entry.kind}, version {entry.number}, {entry.at}, {entry.who}: {_reason(entry)}"
    out.print(origin, markup=False, soft_wrap=True)
    write_json(json, {"bundle": identity, "path": str(path), "entry": asdict(entry) if entry else None})


@registry_app.command("rollback")
def registry_rollback(name: Name, why: Why, who: Who = None, link: Link = None, json: Json = None) -> None:
    """Make the champion before this one champion again; a second time goes one further back."""
    from router.console import progress
    from router.promotion import rollback

    with progress() as told:
        told.notify(f"moving the champion of {name} back")
        entry = rollback(name, who=_login() if who is None else who, why=why, link=link)
    _tell(entry, link=link, json=json)


@registry_app.command("sync")
def registry_sync(name: Name = DEFAULT_NAME, link: Link = None, json: Json = None) -> None:
    """Set the alias, and the link if one is named, to what the history says; also on a machine that only serves."""
    from router.console import progress
    from router.promotion import sync

    with progress() as told:
        told.notify(f"following the champion of {name}")
        entry = sync(name, link=link)
    _tell(entry, link=link, json=json)


def _tell(entry: Promotion, *, link: Path | None, json: Path | None) -> None:
    """The champion as it is now, and what still follows another."""
    from router.console import console, write_json

    came = f"after {entry.before}" if entry.before else "the first"
    follows = (
        f"{link} leads to it."
        if link
        else f"No link was moved; a server follows one: weighbridge registry sync {entry.name} --link PATH"
    )
    console().print(
        f"{entry.name}: champion is bundle {entry.bundle} ({came}), by {entry.kind}, version {entry.number}, {entry.at}",
        f"{entry.who}: {_reason(entry)}",
        follows,
        sep="\n",
        markup=False,
        soft_wrap=True,
    )
    write_json(json, {**asdict(entry), "link": str(link) if link else None})


def _row(entry: Promotion | None) -> list[str]:
    return [entry.bundle, _minute(entry), entry.who] if entry else ["–"] * 3


def _minute(entry: Promotion) -> str:
    """When, short enough for a table."""
    return entry.at[:16].replace("T", " ")


def _reason(entry: Promotion) -> str:
    """Why, and on what evidence."""
    result = None if entry.result is None else f"{entry.result}, margin {entry.margin:g}"
    digest = None if entry.evidence is None else f"evidence {entry.evidence[:16]}"
    return "; ".join(part for part in (entry.why, result, entry.guarantee, digest) if part)


def _ledger_mapping(ledger: Ledger) -> dict[str, object]:
    return {
        "name": ledger.name,
        "champion": asdict(ledger.head) if ledger.head else None,
        "moves": len(ledger.entries),
        "alias": ledger.alias,
        "in_order": ledger.in_order,
    }


def _login() -> str:
    """The login name. Raises RegistryError where this account has none."""
    import getpass

    from router.errors import RegistryError

    try:
        return getpass.getuser()
    except (OSError, KeyError) as err:
        raise RegistryError("this account has no login name to put on record; name yourself with --who NAME.") from err
