"""The verb `evidence`: a challenger against the champion, or a baseline where there is none, for `weighbridge promote`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from eval.commands import Seed
from router.commands import CardFile, Columns, Json

if TYPE_CHECKING:
    from eval.evidence import Comparison, Valued
    from eval.run import Run
    from router.console import Progress
    from router.dataset import Dataset
    from router.encoders.protocol import Encoder
    from router.outcome_router import ModelRouter
    from router.outcomes import Ints, Outcomes
    from router.pipeline import Router


def register(app: typer.Typer) -> None:
    """Add the verb to the one command."""
    app.command()(evidence)


def evidence(
    bundle: Annotated[
        str, typer.Option("--bundle", "-b", help="The challenger: a bundle's directory or models:/NAME@ALIAS.")
    ],
    against: Annotated[
        str,
        typer.Option(
            "--against",
            help="models:/router@champion, a bundle's directory, or, for a first champion, a baseline that is fitted on"
            " the train split (labels: knn-15, tfidf-lr, ...; outcomes: lr, knn-100, ...).",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The evidence to write (JSON), for `weighbridge promote`.")],
    data: Annotated[
        Path | None, typer.Option("--data", "-d", help="Labelled queries, to judge routers by labels on.")
    ] = None,
    outcomes: Annotated[
        Path | None, typer.Option("--outcomes", help="An outcome table, to judge routers by outcomes on.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Judge on train, calibration, test or all. Default: test where there is one.")
    ] = None,
    on_straddle: Annotated[
        Literal["refuse", "drop-train"],
        typer.Option(help="Outcomes, baselines: texts that stand in train and in test."),
    ] = "refuse",
    card: CardFile = None,
    columns: Columns = None,
    seed: Seed = 0,
    json: Json = None,
) -> None:
    """Challenger and champion on the same queries: their paired difference, as the evidence that `promote` asks for.

    Refused are queries that one of them learned from, and sides that know other heads or models.
    """
    from eval.evidence import guarantee_of
    from router.bundle import bundle_id, read_manifest
    from router.console import console, progress, write_json
    from router.current import resolve
    from router.evidence import write_evidence
    from router.rows import parse_map

    if (data is None) == (outcomes is None):
        raise typer.BadParameter(
            "give exactly one of --data and --outcomes, as in `weighbridge evidence --bundle out/b --against"
            " models:/router@champion --data datasets/pam-v1 --out evidence.json`."
        )
    with progress() as told:
        told.notify("loading the bundles")
        challenger = resolve(bundle)
        asked = Asked(challenger=challenger, against=against, split=split, columns=parse_map(columns), seed=seed)
        if data is not None:
            made = judge_labels(asked, data, card=card, told=told)
        else:
            assert outcomes is not None
            made = judge_outcomes(asked, outcomes, on_straddle=on_straddle, told=told)
        guarantee = guarantee_of(read_manifest(challenger), bundle_id(challenger))
    record = made.evidence(guarantee)
    write_evidence(record, out)
    write_json(json, {**made.to_mapping(), "against": against, "guarantee": record.to_mapping()["guarantee"]})
    lines = [
        f"{made.metric} {made.ours:.4f} (bundle {made.challenger}) against {made.theirs:.4f} ({_opponent(made)}),"
        f" on {made.n:,} queries in {made.n_units:,} units",
        f"difference {made.estimate:+.4f} [{made.low:+.4f}, {made.high:+.4f}], 95 %, paired: {made.sentence()}",
        *_points(made),
        f"guarantee: {guarantee.sentence if guarantee else 'none in the bundle'}",
        f"wrote {out}; next: weighbridge promote --bundle {bundle} --evidence {out} --why TEXT{_name_of(against)}",
    ]
    if made.low < 0:
        lines.append(
            f"promote will refuse it: it may be worse by {-made.low:.6g}, and --margin is 0 unless you allow more"
        )
    console().print(*lines, sep="\n", markup=False, soft_wrap=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What both kinds of routers are asked. challenger: a bundle's directory. against: as typed."""

    challenger: Path
    against: str
    split: str | None
    columns: Mapping[str, str]
    seed: int


def judge_labels(asked: Asked, data: Path, *, card: Path | None, told: Progress) -> Comparison:
    """Replay both sides on labelled queries. Raises DataError where the comparison would not be fair."""
    from eval.evidence import compare_labels, require_same
    from eval.replay import choose_split, replay
    from eval.workflow import data_for_bundle
    from router.baselines import BASELINES
    from router.bundle import bundle_id, load

    ours = load(asked.challenger, notify=told.notify)
    ours = replace(ours, encoder=_cached(ours.encoder, told))
    other = opponent(asked, BASELINES)
    whole = data_for_bundle(data, card=card, columns=asked.columns, default=ours.card)
    part, name = choose_split(whole, asked.split)
    _require_unseen_labels(ours, part, who=f"bundle {bundle_id(asked.challenger)}")

    def replayed(router: Router, path: Path) -> Run:
        told.notify(f"replaying {len(part):,} queries of split {name} with bundle {bundle_id(path)}")
        return replay(router, part, split=name, seed=asked.seed, bundle=bundle_id(path))

    if isinstance(other, Path):
        theirs = load(other, notify=told.notify)
        theirs = replace(theirs, encoder=_cached(theirs.encoder, told))
        who = f"bundle {bundle_id(other)}"
        require_same("heads", ours.classes, theirs.classes, other=who)
        _require_unseen_labels(theirs, part, who=who)
        return compare_labels(replayed(ours, asked.challenger), replayed(theirs, other))
    told.notify(f"fitting {other} on the train split")
    fitted = _fitted_baseline(other, whole, part, ours, data, seed=asked.seed)
    return compare_labels(replayed(ours, asked.challenger), fitted)


def judge_outcomes(
    asked: Asked, table: Path, *, on_straddle: Literal["refuse", "drop-train"], told: Progress
) -> Comparison:
    """Ask both sides for their values of a table's queries. Raises DataError where the comparison would not be fair."""
    import numpy as np

    from eval.evidence import compare_outcomes, require_same
    from eval.lab import one_thread
    from router.baselines.outcomes import ROUTERS
    from router.bundle import bundle_id
    from router.outcome_checks import with_costs_filled
    from router.outcome_rows import read_outcomes

    ours = _outcome_router(asked.challenger, told)
    other = opponent(asked, ROUTERS)
    whole, _ = read_outcomes(table, columns=asked.columns, models=ours.models)
    theirs = None
    if isinstance(other, Path):
        theirs = _outcome_router(other, told)
        require_same("models", ours.models, theirs.models, other=f"bundle {bundle_id(other)}")
    index, name = judged_rows(whole, asked.split)
    part = whole.rows(index)
    told.notify(f"judging {len(part):,} queries of split {name}")
    with one_thread():
        mine = _values(ours, asked.challenger, part)
        if theirs is not None and isinstance(other, Path):
            filled = with_costs_filled(whole, np.arange(len(whole))).rows(index)
            second = _values(theirs, other, part)
        else:
            told.notify(f"fitting {other}")
            filled, second = _fitted_router(
                str(other), whole, index, ours.encoder, on_straddle=on_straddle, seed=asked.seed
            )
        return compare_outcomes(mine, second, filled, fingerprint=part.fingerprint(), seed=asked.seed)


def opponent(asked: Asked, baselines: Collection[str]) -> Path | str:
    """The other side: a baseline's name, else the directory of a bundle. `./lr` is the directory, where both exist.

    Raises DataError for what is neither, and where the challenger would be judged against itself.
    """
    from router.bundle import MANIFEST, bundle_id
    from router.current import SCHEME, resolve
    from router.errors import DataError

    if asked.against in baselines:
        return asked.against
    path = resolve(asked.against)
    if not asked.against.startswith(SCHEME) and not (path / MANIFEST).is_file():
        raise DataError(
            f"--against is {asked.against!r}; wanted models:/NAME@ALIAS, a bundle's directory, or one of"
            f" {', '.join(baselines)}."
        )
    if bundle_id(path) == bundle_id(asked.challenger):
        raise DataError(
            f"--against {asked.against} is the challenger itself, bundle {bundle_id(path)}: nothing to compare. Name"
            " another, or see who is champion with `weighbridge registry list`."
        )
    return path


def judged_rows(outcomes: Outcomes, split: str | None) -> tuple[Ints, str]:
    """Positions of the complete queries of a split, and its name: test where there is one, else all.

    Raises DataError where none is left.
    """
    import numpy as np

    from router.errors import DataError

    name = split or ("test" if "test" in outcomes.split else "all")
    chosen = np.array([name in ("all", own) for own in outcomes.split])
    index = np.flatnonzero(chosen & outcomes.complete)
    if not len(index):
        raise DataError(
            f"outcomes {outcomes.name!r}: no query of split {name!r} was answered by every model; see what there is with"
            " `weighbridge data stats`, and choose another --split."
        )
    return index, name


def _require_unseen_labels(router: Router, part: Dataset, *, who: str) -> None:
    """Neither the queries that it was fitted on nor those that its threshold was chosen on."""
    from eval.evidence import require_unseen
    from router.errors import DataError

    ids = [query.query_id for query in part.queries]
    require_unseen([query.conversation for query in router.training], part.conversations, who=who, ids=ids)
    held = part.split("calibration")
    if len(held) and held.fingerprint() == router.fitted.get("calibration_fingerprint"):
        raise DataError(
            f"{who} chose its threshold on {len(held):,} of the {len(part):,} judged queries; wanted queries that it has"
            " not seen. Judge on `--split test`."
        )


def _fitted_baseline(name: str, whole: Dataset, part: Dataset, ours: Router, data: Path, *, seed: int) -> Run:
    """A label baseline, fitted on train and calibration, with the challenger's encoder and route table."""
    from eval.compare import Bench, baseline_run
    from eval.evidence import require_unseen
    from router.lexicon import read_lexicon
    from router.training import splits_for_training

    splits = splits_for_training(whole)
    learned = [*splits.train.conversations, *splits.calibration.conversations]
    require_unseen(learned, part.conversations, who=name, ids=[query.query_id for query in part.queries])
    lexicon = read_lexicon(data, whole.card)
    bench = Bench(splits=splits, test=part, table=ours.table, encoder=ours.encoder, lexicon=lexicon, seed=seed)
    return baseline_run(name, bench)


def _fitted_router(
    name: str,
    whole: Outcomes,
    index: Ints,
    encoder: Encoder,
    *,
    on_straddle: Literal["refuse", "drop-train"],
    seed: int,
) -> tuple[Outcomes, Valued]:
    """An outcome baseline, fitted on all of the table's train and calibration queries; and the judged rows, costs known."""
    import numpy as np

    from eval.contest import Contest, Protocol
    from eval.evidence import Valued, require_unseen
    from router.errors import DataError

    train = np.array([own in ("train", "calibration") for own in whole.split])
    if on_straddle == "drop-train":
        train &= ~np.isin(whole.unit, whole.unit[index])
    learn = np.flatnonzero(train)
    if not len(learn):
        raise DataError(
            f"outcomes {whole.name!r}: no query of split train that is not judged, so {name} cannot be fitted. Bring a"
            " table with a split, or compare with a bundle."
        )
    part = whole.rows(index)
    remedy = "Judge on `--split test`, and leave copies out of train with `--on-straddle drop-train`."
    require_unseen([whole.texts[i] for i in learn], part.texts, who=name, ids=part.ids, remedy=remedy)
    contest = Contest(whole, Protocol(kind="split", parts=((learn, index),), description={}), encoder, seed=seed)
    entry = contest.run(name)
    if entry.value is None:
        raise DataError(f"{name} cannot take part: {entry.reason}")
    return contest.judged, Valued(name=name, is_bundle=False, value=entry.value, expected_usd=contest.expected_usd)


def _values(router: ModelRouter, path: Path, part: Outcomes) -> Valued:
    """What a bundle says of the judged queries, in the order of the table's models. Raises DataError where it knows them."""
    import numpy as np

    from eval.evidence import Valued, require_unseen
    from router.bundle import bundle_id

    require_unseen(router.training.texts, part.texts, who=f"bundle {bundle_id(path)}", ids=part.ids)
    said = router.scored(part)
    order = [router.models.index(model) for model in part.models]
    column = np.array([part.models.index(model) for model in router.models])
    choice = column[router.policy.choose(said.p, said.expected_usd).model]
    expected = None if said.expected_usd is None else said.expected_usd[:, order]
    return Valued(name=bundle_id(path), is_bundle=True, value=said.p[:, order], expected_usd=expected, choice=choice)


def _outcome_router(path: Path, told: Progress) -> ModelRouter:
    from router.outcome_bundle import load

    router = load(path, notify=told.notify)
    return replace(router, encoder=_cached(router.encoder, told))


def _cached(encoder: Encoder, told: Progress) -> Encoder:
    """The encoder behind the shared cache; the hashing encoder is faster than a look-up."""
    from router.encoders.cache import CachedEncoder
    from router.encoders.open import HASHING, cache_directory

    if encoder.spec.name == HASHING:
        return encoder
    return CachedEncoder(encoder, cache_directory(), progress=told.advance)


def _opponent(made: Comparison) -> str:
    return f"bundle {made.other}" if made.other_is_bundle else f"the baseline {made.other}"


def _points(made: Comparison) -> list[str]:
    """Where the policies of routers by outcomes stand on their curves: said, because the evidence does not weigh it."""
    if made.our_point is None:
        return []
    theirs = "" if made.their_point is None else f", the other's {made.their_point}"
    return [f"the curves are compared whole; the challenger's own policy has {made.our_point}{theirs}"]


def _name_of(against: str) -> str:
    """The option that promotes under the name whose champion was challenged, where it is not the usual one."""
    from router.current import REFERENCE
    from router.registry import MODEL_NAME

    match = REFERENCE.fullmatch(against)
    return f" --name {match[1]}" if match and match[1] != MODEL_NAME else ""
