"""The router lab: from an outcome table's file to a leaderboard on disk, with partial results as routers finish."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.board import Judge, Judged, board
from eval.contest import Contest, Entry, choose_routers, protocol_of
from router.encoders import open_encoder
from router.encoders.cache import CachedEncoder
from router.encoders.open import HASHING, cache_directory
from router.encoders.protocol import Encoder
from router.files import canonical_json, write_atomic
from router.outcome_checks import OnStraddle
from router.outcome_findings import Findings
from router.outcome_rows import read_outcomes

BOARD_FILE = "leaderboard.json"

Notify = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabSpec:
    """What `weighbridge compare --outcomes` was asked for."""

    table: Path
    routers: str
    folds: int | None
    seed: int
    on_straddle: OnStraddle
    models: Sequence[str] | None
    columns: Mapping[str, str]
    encoder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LabResult:
    """The board, and what reports are drawn from."""

    board: dict[str, Any]
    judge: Judge
    judged: tuple[Judged, ...]
    findings: Findings


def run_lab(
    spec: LabSpec,
    out: Path,
    *,
    notify: Notify,
    advance: Callable[[int, int], None],
    finished: Callable[[dict[str, Any]], None],
) -> LabResult:
    """Read, deal, embed; then one router after the other.

    `out`/leaderboard.json is written after each router, with `complete` false until the last; `finished` gets its row.
    """
    names = choose_routers(spec.routers)  # a misspelt name is refused before a minute of embedding
    outcomes, findings = read_outcomes(spec.table, columns=spec.columns, models=spec.models)
    kept, protocol = protocol_of(outcomes, folds=spec.folds, seed=spec.seed, on_straddle=spec.on_straddle)
    notify(f"embedding {len(kept):,} queries")
    encoder = _opened(spec.encoder, notify, advance)
    with one_thread():
        contest = Contest(kept, protocol, encoder, seed=spec.seed)
        judge = Judge(contest.judged, contest.expected_usd, seed=spec.seed)
        described = {
            **protocol.description,
            "encoder": spec.encoder,
            "judged": len(contest.judged),
            "left_out_incomplete": int((~kept.complete).sum()),
            "dropped_straddling": len(outcomes) - len(kept),
            "findings": list(findings.sentences),
            "intervals": "95 %, bootstrap over groups of equal texts, the same draws for all; p-values corrected by Holm",
            "maxima": "PerfGain and CostSave at operating points chosen on other folds than they are judged on",
            "costs": "expected costs learned from the training part, the same for every router"
            if judge.has_cost
            else None,
        }
        judged: list[Judged] = []
        absent: list[Entry] = []
        for position, name in enumerate(names, start=1):
            entry = contest.run(name, notify=notify)
            if entry.value is None:
                absent.append(entry)
            else:
                judged.append(judge.judge(entry))
            if entry.chosen:
                described["chosen"] = list(entry.chosen)
            made = board(judge, judged, absent, table=outcomes.name, protocol=described)
            made["complete"] = position == len(names)
            write_atomic(out / BOARD_FILE, canonical_json(made, indent=1) + "\n")
            finished(next(row for row in made["rows"] if row["router"] == name))
    return LabResult(board=made, judge=judge, judged=tuple(judged), findings=findings)


def named_models(text: str | None) -> list[str] | None:
    """Read `--models a,b`; None takes all."""
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Linear algebra on one thread: on a busy machine several threads wait for one another, up to forty times as long."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):
        yield


def _opened(name: str, notify: Notify, advance: Callable[[int, int], None]) -> Encoder:
    encoder = open_encoder(name, notify=notify)
    return encoder if name == HASHING else CachedEncoder(encoder, cache_directory(), progress=advance)
