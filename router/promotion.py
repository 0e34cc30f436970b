"""Champion and challenger: the alias `champion` moves when the evidence holds, and every move is on record.

Order of a promotion: check; log the bundle; record the entry (from here on it counts); set the alias; point the link.
A crash after the entry leaves alias or link behind, and the next promotion, rollback or sync finishes the move first.
"""

from __future__ import annotations

import math
import shutil
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from router.bundle import bundle_id, read_manifest
from router.current import fetch_run, follow, linked, require_link, require_name
from router.errors import BundleError, PolicyError, RegistryError
from router.evidence import Evidence, write_evidence
from router.gate import PromotionError, Shortcoming, shortcomings
from router.ledger import ALIAS, PROMOTION, ROLLBACK, Ledger, Promotion, append, read_ledger, settle
from router.registry import MODEL_NAME, SET_URI, LoggedBundle, log_run, logged_bundle, model_names, opened_store

Clock = Callable[[], float]
MOST_WORDS = 2_000  # characters of who and why


def promote(
    source: Path | str,
    evidence: Evidence,
    *,
    name: str = MODEL_NAME,
    margin: float = 0.0,
    require_guarantee: bool = False,
    who: str,
    why: str,
    link: Path | None = None,
    clock: Clock = time.time,
) -> Promotion:
    """Make a bundle the champion of `name` if the evidence holds; return the entry of the history.

    source: a bundle's directory, or the id of the MLflow run that logged it.   margin: how much worse the challenger may
    be, in the metric's unit, at the unfavourable end of the 95 % interval.   link: is pointed at the new champion.
    Called again with the same bundle and evidence it records nothing, and finishes what a crash left undone.
    Raises PromotionError with all that is missing, RegistryError where another promotion came first or the store
    cannot be used, BundleError for a bundle that is damaged, PolicyError for a margin that is none.
    """
    require_name(name)
    if not (math.isfinite(margin) and margin >= 0):
        raise PolicyError(f"--margin is {margin}; wanted a finite number of 0 or more, in the unit of the metric.")
    with tempfile.TemporaryDirectory() as work:
        copy = _copied(source, Path(work))  # what is checked is what is logged, whatever becomes of the original
        bundle, manifest = bundle_id(copy), read_manifest(copy)
        head = _finished(name).head
        if head and (head.kind, head.bundle, head.evidence) == (PROMOTION, bundle, evidence.digest()):
            return _linked(head, link)
        missing = shortcomings(
            evidence,
            name=name,
            bundle=bundle,
            champion=head.bundle if head else None,
            threshold=manifest.get("threshold"),
            margin=margin,
            require_guarantee=require_guarantee,
        )
        missing += _unsigned(who, why, verb="promote --bundle B --evidence FILE") + _unlinkable(link)
        if missing:
            raise PromotionError(name, bundle, missing)
        logged = logged_bundle(source) if isinstance(source, str) else _logged(copy, evidence, name)
    entry = Promotion(
        name=name,
        kind=PROMOTION,
        bundle=bundle,
        before=head.bundle if head else None,
        who=who.strip(),
        why=why.strip(),
        at=_stamp(clock),
        follows=head.number if head else 0,
        run_id=logged.run_id,
        evidence=evidence.digest(),
        result=evidence.summary(),
        margin=margin,
        guarantee=evidence.guarantee.sentence if evidence.guarantee else None,
    )
    return _recorded(entry, source=logged.location, model_id=logged.model_id, link=link)


def rollback(name: str, *, who: str, why: str, link: Path | None = None, clock: Clock = time.time) -> Promotion:
    """Make the champion before this one champion again; return the entry of the history.

    A second rollback goes one further back, not to and fro; a promotion after a rollback starts from where that went.
    A rollback that a crash left undone is finished, and goes no further. Raises RegistryError where there is no champion
    to go back to, and as `promote` does.
    """
    require_name(name)
    if missing := _unsigned(who, why, verb=f"registry rollback {name}") + _unlinkable(link):
        raise RegistryError(
            f"{name}: not rolled back: {'; '.join(what for what, _ in missing)}. Next: `{missing[0][1]}`."
        )
    ledger = _finished(name, existing=True)
    head, line = ledger.head, ledger.line()
    behind = not ledger.settled or (link is not None and linked(link) != (head and head.bundle))
    if head and head.kind == ROLLBACK and behind:
        return _linked(head, link)
    if head is None or len(line) < 2:
        raise RegistryError(
            f"{name}: no champion before this one ({len(ledger.entries)} entries in the history)."
            f" Look with `weighbridge registry history {name}`; promote another with `weighbridge promote`."
        )
    restored = line[-2]
    entry = Promotion(
        name=name,
        kind=ROLLBACK,
        bundle=restored.bundle,
        before=head.bundle,
        who=who.strip(),
        why=why.strip(),
        at=_stamp(clock),
        follows=head.number,
        run_id=restored.run_id,
        restores=restored.number,
    )
    return _recorded(entry, source=f"models:/{name}/{restored.number}", model_id=None, link=link)


def history(name: str) -> tuple[Promotion, ...]:
    """Every promotion and rollback of a name, oldest first; none where the store has no such name."""
    require_name(name)
    with opened_store(existing=True, advice=SET_URI) as client:
        return read_ledger(client, name).entries


def champion(name: str) -> Promotion:
    """The entry that made the champion. Raises RegistryError where there is none, or where the alias stands elsewhere."""
    require_name(name)
    with opened_store(existing=True, advice=SET_URI) as client:
        ledger = read_ledger(client, name)
    if ledger.head is None:
        raise RegistryError(f"{name}: has no champion; make one with `weighbridge promote --name {name}`.")
    if not ledger.in_order:
        raise RegistryError(_out_of_order(ledger))
    return ledger.head


def sync(name: str, *, link: Path | None = None) -> Promotion:
    """Set the alias, and the link if one is named, to what the history says; return the champion's entry."""
    require_name(name)
    with opened_store(existing=True, advice=SET_URI) as client:
        head = settle(client, name).head
    if head is None:
        raise RegistryError(f"{name}: has no champion; make one with `weighbridge promote --name {name}`.")
    return _linked(head, link)


def champions() -> tuple[Ledger, ...]:
    """The ledger of every registered model of the store, by name."""
    with opened_store(existing=True, advice=SET_URI) as client:
        return tuple(read_ledger(client, name) for name in model_names(client))


def _finished(name: str, *, existing: bool = False) -> Ledger:
    """The ledger, with the alias set where a crash left it behind. `settled` says how it was found.

    Raises RegistryError where the alias was moved by other means: that is for a person to decide.
    """
    with opened_store(existing=existing, advice=SET_URI) as client:
        ledger = read_ledger(client, name)
        if not ledger.settled:
            settle(client, name)
        elif not ledger.in_order:
            raise RegistryError(_out_of_order(ledger))
    return ledger


def _out_of_order(ledger: Ledger) -> str:
    stands = "is not set" if ledger.alias is None else f"stands at version {ledger.alias}"
    wanted = f"version {ledger.head.number}" if ledger.head else "no champion"
    return (
        f"{ledger.name}: the alias {ALIAS} {stands}, the history says {wanted}: it was moved by other means, or a"
        f" promotion was cut short. Set it to the history's with `weighbridge registry sync {ledger.name}`."
    )


def _copied(source: Path | str, work: Path) -> Path:
    """The verified bundle in a directory of our own."""
    if isinstance(source, str):
        return fetch_run(source, work / "run")
    read_manifest(source)
    return Path(shutil.copytree(source, work / "bundle"))


def _logged(copy: Path, evidence: Evidence, name: str) -> LoggedBundle:
    """Log the bundle and its evidence as an MLflow run."""
    write_evidence(evidence, copy.parent / "evidence.json")
    figures = {"delta": evidence.estimate, "delta_low": evidence.low, "delta_high": evidence.high, "n": evidence.n}
    run_id = log_run(
        "promote",
        params={"verb": "promote", "name": name, "bundle": bundle_id(copy), "metric": evidence.metric},
        metrics=figures,
        artifacts=[copy.parent / "evidence.json"],
        bundle=copy,
        advice=SET_URI,
    )
    return logged_bundle(run_id)


def _recorded(entry: Promotion, *, source: str, model_id: str | None, link: Path | None) -> Promotion:
    """Append the entry, then let alias and link follow."""
    with opened_store(advice=SET_URI) as client:
        recorded = append(client, entry, source=source, model_id=model_id)
    try:
        with opened_store(advice=SET_URI) as client:
            settle(client, entry.name)
        return _linked(recorded, link)
    except (RegistryError, BundleError, OSError) as err:
        again = f"weighbridge registry sync {entry.name}" + (f" --link {link}" if link else "")
        raise RegistryError(
            f"{entry.name}: bundle {entry.bundle} is champion on record (version {recorded.number}), but the alias or the"
            f" link did not follow ({err}). Next: `{again}`."
        ) from err


def _linked(entry: Promotion, link: Path | None) -> Promotion:
    if link is not None:
        follow(entry.name, link)
    return entry


def _unsigned(who: str, why: str, *, verb: str) -> list[Shortcoming]:
    given = {"--who": who, "--why": why}
    return [
        (f"{option} is {text!r}; wanted one line of text", f"weighbridge {verb} {option} TEXT")
        for option, text in given.items()
        if not text.strip() or not text.isprintable() or len(text) > MOST_WORDS
    ]


def _unlinkable(link: Path | None) -> list[Shortcoming]:
    try:
        if link is not None:
            require_link(link)
    except RegistryError as err:
        return [(str(err), "weighbridge registry sync NAME --link OTHER")]
    return []


def _stamp(clock: Clock) -> str:
    return datetime.fromtimestamp(clock(), UTC).isoformat(timespec="seconds")
