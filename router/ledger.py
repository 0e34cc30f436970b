"""Who was champion when: the versions of a registered model, read as a list that only grows.

Every promotion and every rollback is one model version, created with all its tags in one step; the alias `champion`
stands at the newest. A version names the entry that it follows. Of two that follow the same one the first counts and the
other is void, whichever process looks: MLflow gives version numbers out one at a time, and has no other way to compare
and set. The list is the truth, and the alias can be set again from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from router.errors import RegistryError
from router.registry import aliases, paged

ALIAS = "champion"
PREFIX = "weighbridge."
VOID = f"{PREFIX}void"
SETTLED = f"{PREFIX}settled"
PROMOTION = "promotion"
ROLLBACK = "rollback"
ATTEMPTS = 20  # to set an alias that others move meanwhile


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """One move of the champion. number: the version of the registered model that records it; 0 before it is recorded.

    kind: "promotion" or "rollback".   before, bundle: ids of the champion it ended and of the one it made.
    at: UTC, ISO 8601.   evidence: SHA-256 of the evidence; None for a rollback.   result: its comparison in one line.
    follows: number of the entry before it, 0 for the first.   restores: number of the promotion that a rollback
    returned to.   run_id: the MLflow run that logged the bundle.
    """

    name: str
    number: int = 0
    kind: str
    bundle: str
    before: str | None
    who: str
    why: str
    at: str
    follows: int
    run_id: str
    evidence: str | None = None
    result: str | None = None
    margin: float | None = None
    guarantee: str | None = None
    restores: int | None = None

    def to_tags(self) -> dict[str, str]:
        """One tag a field; what does not apply has none."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            PREFIX + key: str(value) for key, value in values.items() if key not in OF_THE_VERSION and value is not None
        }


OF_THE_VERSION = ("name", "number", "run_id")  # what MLflow keeps of a version itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """What the store knows of one name: entries from oldest to newest, and where the alias stands (None: nowhere)."""

    name: str
    entries: tuple[Promotion, ...]
    alias: int | None
    settled: bool

    @property
    def head(self) -> Promotion | None:
        """The newest entry: it made the champion."""
        return self.entries[-1] if self.entries else None

    @property
    def in_order(self) -> bool:
        """Whether the alias stands where the newest entry says."""
        return self.alias == (self.head.number if self.head else None)

    def line(self) -> tuple[Promotion, ...]:
        """The promotions that a rollback steps back along, the champion's last: a rollback takes from the end."""
        line: list[Promotion] = []
        for entry in self.entries:
            if entry.kind == ROLLBACK:
                while line and line[-1].number != entry.restores:
                    line.pop()
            else:
                line.append(entry)
        return tuple(line)


def read_ledger(client: Any, name: str) -> Ledger:  # Any: mlflow's client
    """The entries of a name; none where the store has no such name. Raises RegistryError for tags that are broken."""
    versions = sorted(paged(client.search_model_versions, f"name = '{name}'"), key=lambda version: int(version.version))
    entries: list[Promotion] = []
    settled = True
    for version in versions:
        entry = _entry(version)
        if entry is not None and (not entries or entries[-1].number <= entry.follows):
            entries.append(entry)
            settled = SETTLED in version.tags
    return Ledger(name=name, entries=tuple(entries), alias=aliases(client, name).get(ALIAS), settled=settled)


def append(client: Any, entry: Promotion, *, source: str, model_id: str | None) -> Promotion:
    """Record an entry; return it with its number. Raises RegistryError where another came first: it is void then.

    source: where the bundle's files are. Nothing is lost by a crash here: the entry counts as soon as it exists.
    """
    _make_name(client, entry.name)
    made = client.create_model_version(
        entry.name, source, run_id=entry.run_id, tags=entry.to_tags(), model_id=model_id, await_creation_for=0
    )
    recorded = replace(entry, number=int(made.version))
    entries = read_ledger(client, entry.name).entries
    if recorded.number not in [found.number for found in entries]:
        winner = next(found for found in entries if entry.follows < found.number < recorded.number)
        client.set_model_version_tag(entry.name, str(recorded.number), VOID, f"version {winner.number} came first")
        raise RegistryError(
            f"{entry.name}: {winner.who} made bundle {winner.bundle} champion at the same time (version {winner.number}),"
            f" so this {entry.kind} does not count. Look with `weighbridge registry history {entry.name}`,"
            " and compare with the champion that is one now."
        )
    return recorded


def settle(client: Any, name: str) -> Ledger:
    """Set the alias to the newest entry, and again where another entry comes meanwhile; return the ledger."""
    for _ in range(ATTEMPTS):
        ledger = read_ledger(client, name)
        if ledger.head is None or (ledger.in_order and ledger.settled):
            return ledger
        client.set_registered_model_alias(name, ALIAS, str(ledger.head.number))
        client.set_model_version_tag(name, str(ledger.head.number), SETTLED, "true")
    raise RegistryError(f"{name}: others keep moving its champion. Try `weighbridge registry sync {name}`.")


def _entry(version: Any) -> Promotion | None:
    """The entry that a version records; None for one that someone registered by other means, or that is void."""
    tags: Mapping[str, str] = version.tags
    if PREFIX + "kind" not in tags or VOID in tags:
        return None

    own = {key.removeprefix(PREFIX): value for key, value in tags.items() if key.startswith(PREFIX)}
    try:
        return Promotion(
            name=version.name,
            number=int(version.version),
            kind=own["kind"],
            bundle=own["bundle"],
            before=own.get("before"),
            who=own["who"],
            why=own["why"],
            at=own["at"],
            follows=int(own["follows"]),
            run_id=version.run_id,
            evidence=own.get("evidence"),
            result=own.get("result"),
            margin=float(own["margin"]) if "margin" in own else None,
            guarantee=own.get("guarantee"),
            restores=int(own["restores"]) if "restores" in own else None,
        )
    except (KeyError, ValueError) as err:
        raise RegistryError(
            f"{version.name}, version {version.version}: its tags are no entry of the history ({err})."
            f" Set {VOID} on that version to leave it out, then `weighbridge registry sync {version.name}`."
        ) from err


def _make_name(client: Any, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as err:
        if err.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
