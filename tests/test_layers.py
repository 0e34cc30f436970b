"""Imports go one way. The table is the spine of the design; a module that is missing from it fails."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("router", "eval", "agents")

# Lowest first; a module may import from the rows above its own, and from none beside or below it.
LAYERS: tuple[tuple[str, ...], ...] = (
    (
        "router",
        "eval",
    ),
    ("router.errors",),
    (
        "router.types",
        "router.files",
    ),
    (
        "router.card",
        "router.prices",
        "router.evidence",
    ),
    (
        "router.rows",
        "router.gate",
    ),
    (
        "router.dataset",
        "router.routes",
        "router.encoders.protocol",
        "router.surface",
        "router.outcomes",
    ),
    (
        "router.agreement",
        "router.lexicon",
        "router.boilerplate",
        "router.outcome_files",
        "router.outcome_checks",
    ),
    (
        "router.scoring",
        "router.sweeps",
        "router.ngrams",
        "router.grouping",
        "router.outcome_cells",
        "router.outcome_findings",
        "router.outcome_stats",
        "router.encoders.hashing",
        "router.encoders.onnx",
    ),
    ("router.earlier",),
    (
        "router.encoders.cache",
        "router.encoders.export",
        "router.stats",
        "router.curves",
        "router.outcome_rows",
    ),
    (
        "router.encoders.e5wheel",
        "router.encoders.finetune",
    ),
    ("router.encoders.open",),
    ("router.encoders",),
    (
        "router.features",
        "router.calibration",
        "router.novelty",
        "router.policy",
        "router.outcome_policy",
        "router.guarantee",
        "router.thresholds",
        "router.solver",
    ),
    (
        "router.heads",
        "router.scope",
        "router.rowspace",
        "router.outcome_thresholds",
        "router.stickiness",
    ),
    ("router.columnspace",),
    ("router.fitting",),
    ("router.success",),
    (
        "router.success.solver",
        "router.success.space",
        "router.success.principal",
    ),
    (
        "router.success.neighbours",
        "router.success.landmarks",
    ),
    (
        "router.success.domain",
        "router.success.blend",
        "router.success.costs",
    ),
    ("router.success.model",),
    ("router.success.fitting",),
    (
        "router.baselines.protocol",
        "router.baselines.outcomes.protocol",
    ),
    ("router.baselines.perhead",),
    (
        "router.baselines.constant",
        "router.baselines.keywords",
        "router.baselines.length",
        "router.baselines.plain",
        "router.baselines.similarity",
        "router.baselines.tfidf",
    ),
    ("router.baselines",),
    (
        "router.baselines.outcomes.rowwise",
        "router.baselines.outcomes.learning",
        "router.baselines.outcomes.softlabels",
    ),
    (
        "router.baselines.outcomes.linear",
        "router.baselines.outcomes.clusters",
    ),
    (
        "router.baselines.outcomes.avengers",
        "router.baselines.outcomes.bestlabel",
        "router.baselines.outcomes.constant",
        "router.baselines.outcomes.datasetmean",
        "router.baselines.outcomes.factorisation",
        "router.baselines.outcomes.forest",
        "router.baselines.outcomes.logistic",
        "router.baselines.outcomes.mlp",
        "router.baselines.outcomes.neighbours",
        "router.baselines.outcomes.ridge",
        "router.baselines.outcomes.svm",
        "router.baselines.outcomes.users",
    ),
    ("router.baselines.outcomes",),
    (
        "router.success.contender",
        "router.outcome_router",
        "router.outcome_card",
        "router.bundlefiles",
    ),
    (
        "router.pipeline",
        "router.bundlecard",
        "router.bundleparts",
        "router.packing",
        "router.outcome_flips",
    ),
    (
        "router.fit_evidence",
        "router.alsoheads",
        "router.tuning",
    ),
    (
        "router.training",
        "router.explain",
        "router.outcome_explain",
        "router.outcome_targets",
    ),
    (
        "router.outcome_training",
        "router.outcome_figures",
        "router.outcome_calibration",
    ),
    (
        "router.bundle",
        "router.heads_bundle",
    ),
    (
        "router.outcome_bundle",
        "router.outcome_show",
    ),
    (
        "router.pyfunc",
        "router.registry",
        "router.console",
        "router.health",
    ),
    ("router.ledger",),
    (
        "router.compiled.fuse",
        "router.compiled.layout",
        "router.compiled.measure",
        "router.compiled.memory",
        "router.compiled.near",
        "router.compiled.words",
    ),
    (
        "router.compiled.card",
        "router.compiled.choosing",
        "router.compiled.earlier",
        "router.compiled.graph",
        "router.compiled.sparse",
        "router.compiled.tokens",
    ),
    (
        "router.compiled.quantise",
        "router.compiled.tiers",
    ),
    (
        "router.compiled.distil",
        "router.compiled.router",
    ),
    (
        "router.compiled.files",
        "router.compiled.static",
    ),
    (
        "router.compiled",
        "router.compiled.making",
    ),
    ("router.compiled.export",),
    ("router.current",),
    ("router.promotion",),
    (
        "router.show",
        "router.outcome_commands",
        "router.outcome_verbs",
    ),
    ("router.commands",),
    (
        "router.registry_commands",
        "router.threshold_commands",
        "router.compiled_commands",
    ),
    (
        "eval.errors",
        "eval.intervals",
        "eval.charts",
        "eval.perturb",
        "eval.labelled_rows",
        "eval.label_show",
    ),
    ("eval.power_law",),
    (
        "eval.paired",
        "eval.selective",
        "eval.robustness",
        "eval.heads",
        "eval.board_axes",
        "eval.conversations",
    ),
    (
        "eval.curve_outlook",
        "eval.curve_report",
        "eval.labelaudit",
        "eval.learning_curve",
        "eval.next_labels",
    ),
    ("eval.curve_figures",),
    (
        "eval.formats.cells",
        "eval.formats.written",
        "eval.sources",
        "eval.download",
    ),
    (
        "eval.formats.files",
        "eval.fetch",
    ),
    (
        "eval.formats.llmrouter",
        "eval.formats.llmrouterbench",
        "eval.formats.routellm",
        "eval.formats.routerarena",
        "eval.formats.routerbench",
        "eval.formats.sprout",
    ),
    ("eval.formats",),
    ("eval.contest",),
    (
        "eval.board",
        "eval.board_words",
    ),
    (
        "eval.lab",
        "eval.board_details",
        "eval.board_tables",
        "eval.board_plots",
        "eval.board_show",
    ),
    (
        "eval.board_notes",
        "eval.board_queries",
    ),
    ("eval.board_report",),
    ("eval.run",),
    (
        "eval.metrics",
        "eval.replay",
    ),
    ("eval.report_errors",),
    (
        "eval.compare",
        "eval.report",
        "eval.show",
        "eval.evidence",
    ),
    ("eval.workflow",),
    ("eval.simulate",),
    (
        "eval.simulate.amounts",
        "eval.simulate.circles",
        "eval.simulate.queueing",
        "eval.simulate.toml_lines",
    ),
    (
        "eval.simulate.turns",
        "eval.simulate.counts",
    ),
    ("eval.simulate.scenario",),
    (
        "eval.simulate.rates",
        "eval.simulate.draws",
        "eval.simulate.scenario_values",
    ),
    (
        "eval.simulate.use",
        "eval.simulate.policies",
        "eval.simulate.scenario_form",
    ),
    (
        "eval.simulate.chain",
        "eval.simulate.service",
        "eval.simulate.scenario_file",
        "eval.simulate.starting_point",
    ),
    (
        "eval.simulate.engine",
        "eval.simulate.session",
    ),
    (
        "eval.simulate.month",
        "eval.simulate.latency",
    ),
    ("eval.simulate.lab",),
    ("eval.simulate.drivers",),
    ("eval.simulate.levers",),
    ("eval.simulate.targets",),
    ("eval.simulate.parts",),
    ("eval.simulate.settings",),
    ("eval.simulate.figures",),
    ("eval.simulate.recorded_table",),
    ("eval.simulate.recorded_worlds",),
    ("eval.simulate.recorded_levers",),
    ("eval.simulate.recorded_figures",),
    ("eval.simulate.recorded_targets",),
    ("eval.simulate.recorded",),
    ("eval.simulate.numerals",),
    (
        "eval.simulate.words",
        "eval.simulate.printed",
    ),
    (
        "eval.simulate.sentences",
        "eval.simulate.plots",
        "eval.simulate.curves",
    ),
    ("eval.simulate.report_tables",),
    (
        "eval.simulate.report_parts",
        "eval.simulate.show",
    ),
    ("eval.simulate.report",),
    ("eval.demo",),
    ("eval.commands",),
    ("eval.simulate_commands",),
    ("eval.outcome_robustness",),
    (
        "eval.source_commands",
        "eval.robustness_commands",
        "eval.compare_commands",
        "eval.evidence_commands",
    ),
    ("eval.audit_commands",),
    (
        "agents",
        "agents.doors",
        "agents.doors.kept",
        "agents.doors.person",
        "agents.doors.quiet",
        "agents.gateway",
        "agents.gateway.choice",
        "agents.gateway.costs",
        "agents.gateway.exploring",
        "agents.gateway.inbox",
        "agents.gateway.known_keys",
        "agents.gateway.limits",
        "agents.gateway.log_file",
        "agents.gateway.pool",
        "agents.gateway.recent",
        "agents.gateway.settings",
        "agents.models",
        "agents.models.upstream",
        "agents.models.wire",
        "agents.types",
    ),
    (
        "agents.doors.chat_reply",
        "agents.doors.session",
        "agents.gateway.attempt_record",
        "agents.gateway.breaker",
        "agents.gateway.bulkhead",
        "agents.gateway.held",
        "agents.gateway.keys",
        "agents.gateway.log_writer",
        "agents.gateway.retries",
        "agents.models.anthropic_request",
        "agents.models.openai_request",
        "agents.models.protocol",
        "agents.models.simulated_tools",
    ),
    (
        "agents.doors.guard",
        "agents.gateway.attempt",
        "agents.gateway.decision_log",
        "agents.gateway.explaining",
        "agents.gateway.loading",
        "agents.gateway.reading",
        "agents.models.anthropic_wire",
        "agents.models.openai_wire",
        "agents.models.simulated",
    ),
    (
        "agents.doors.contained",
        "agents.gateway.deciding",
        "agents.gateway.events",
        "agents.gateway.from_log",
        "agents.models.providers",
    ),
    (
        "agents.doors.decision_json",
        "agents.doors.params",
        "agents.gateway.answers",
        "agents.gateway.loops",
        "agents.gateway.wishes",
        "agents.log_commands",
    ),
    (
        "agents.doors.message_form",
        "agents.gateway.turn",
    ),
    (
        "agents.doors.chat_form",
        "agents.gateway.lanes",
    ),
    ("agents.gateway.answering",),
    (
        "agents.gateway.metrics",
        "agents.gateway.tracing",
    ),
    ("agents.gateway.service",),
    (
        "agents.doors.chat_run",
        "agents.doors.decision_forms",
        "agents.doors.faults",
        "agents.doors.socket_forms",
        "agents.doors.teller",
        "agents.gateway.assembly",
    ),
    (
        "agents.commands",
        "agents.doors.sending",
        "agents.doors.socket",
    ),
    ("serve",),
    ("cli",),
)
LEVEL = {module: level for level, row in enumerate(LAYERS) for module in row}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def sources() -> dict[str, Path]:
    rooms = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    files = [*rooms, ROOT / "serve.py", ROOT / "cli.py"]
    return {module_name(path): path for path in files}


def imports(path: Path) -> Iterator[str]:
    """Every module of ours that a file imports, at its top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in LEVEL else node.module


@pytest.mark.parametrize("module", sorted(sources()))
def test_a_module_imports_only_from_the_layers_above_it(module: str) -> None:
    assert module in LEVEL, f"{module} is missing from LAYERS in tests/test_layers.py"
    for imported in imports(sources()[module]):
        if imported.split(".")[0] in {*ROOMS, "serve", "cli"}:
            assert imported in LEVEL, f"{module} imports {imported}, which is missing from LAYERS"
            assert LEVEL[imported] < LEVEL[module], f"{module} must not import {imported}"


def test_every_module_of_the_table_exists() -> None:
    assert set(LEVEL) == set(sources())


def test_the_router_never_imports_the_judge() -> None:
    for module, path in sources().items():
        if module.startswith("router"):
            assert not [name for name in imports(path) if name.startswith("eval")], module


def test_the_judge_and_the_agents_never_import_one_another() -> None:
    for module, path in sources().items():
        other = {"eval": "agents", "agents": "eval"}.get(module.split(".")[0])
        assert not [name for name in imports(path) if other and name.split(".")[0] == other], module


def test_datasets_holds_no_python() -> None:
    assert list((ROOT / "datasets").rglob("*.py")) == []
