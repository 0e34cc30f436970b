"""Public tables that `weighbridge data fetch` can get: where they lie, under which licence, and what reads them.

A hash stands here only where several independent projects publish the same one; for the others the first download is
recorded, and later ones must equal it. None of these files is part of this project.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal
from urllib.parse import urlsplit

from router.errors import DataError

Use = Literal["train", "evaluation-only"]
MB = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """One file: its address, its place below the source's folder, and the most bytes that it may have."""

    url: str
    path: str
    max_bytes: int
    sha256: str | None = None

    def __post_init__(self) -> None:
        parts = PurePosixPath(self.path).parts
        if not parts or ".." in parts or PurePosixPath(self.path).is_absolute():
            raise DataError(
                f"source file {self.path!r}: wanted a place below the source's folder. Mend eval/sources.py."
            )
        if urlsplit(self.url).scheme not in ("https", "http"):
            raise DataError(f"source file {self.url!r}: wanted an https address. Mend eval/sources.py.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One public table. `form` is the importer that reads it, None where `then` says what to do with it instead."""

    name: str
    what: str
    licence: str
    files: tuple[SourceFile, ...]
    form: str | None = None
    use: Use = "train"
    then: str = ""


ROUTELLM = "https://raw.githubusercontent.com/lm-sys/RouteLLM/main/routellm/evals"
MMLU_DOMAINS = """
    abstract_algebra anatomy astronomy business_ethics clinical_knowledge college_biology college_chemistry
    college_computer_science college_mathematics college_medicine college_physics computer_security
    conceptual_physics econometrics electrical_engineering elementary_mathematics formal_logic global_facts
    high_school_biology high_school_chemistry high_school_computer_science high_school_european_history
    high_school_geography high_school_government_and_politics high_school_macroeconomics high_school_mathematics
    high_school_microeconomics high_school_physics high_school_psychology high_school_statistics
    high_school_us_history high_school_world_history human_aging human_sexuality international_law jurisprudence
    logical_fallacies machine_learning management marketing medical_genetics miscellaneous moral_disputes
    moral_scenarios nutrition philosophy prehistory professional_accounting professional_law professional_medicine
    professional_psychology public_relations security_studies sociology us_foreign_policy virology world_religions
"""
HUB = "https://huggingface.co/datasets"
ROUTERBENCH = f"{HUB}/withmartian/routerbench/resolve/784021482c3f320c6619ed4b3bb3b41a21424fcb"
ROUTERDC = "https://raw.githubusercontent.com/shuhao02/RouterDC/1963d6874b69c94309ea37a34d7d4cd6f527e7c5"
SPROUT = f"{HUB}/CARROT-LLM-Routing/SPROUT/resolve/main/data"
LLMROUTERBENCH = f"{HUB}/NPULH/LLMRouterBench/resolve/0e5af1b84bf73437a01a1849c0f1d2468baa93fc"
CLINC = "https://raw.githubusercontent.com/clinc/oos-eval/828f8093932c8fe6ca7936c3d2e52903b1c523de/data"


def _files(base: str, paths: list[str], *, max_bytes: int) -> tuple[SourceFile, ...]:
    return tuple(SourceFile(url=f"{base}/{path}", path=path, max_bytes=max_bytes) for path in paths)


_ALL = (
    Source(
        name="routellm-mmlu",
        what="MMLU, 14,042 questions in 57 subjects: right or wrong by mixtral-8x7b and gpt-4-1106; no costs",
        licence="Apache-2.0",
        form="routellm",
        files=_files(
            ROUTELLM,
            [
                "mmlu/contaminated_prompts.jsonl",
                *(f"mmlu/responses/mmlu_{domain}.csv" for domain in MMLU_DOMAINS.split()),
            ],
            max_bytes=20 * MB,
        ),
    ),
    Source(
        name="routellm-gsm8k",
        what="GSM8K, 1,319 questions: right or wrong by mixtral-8x7b and gpt-4-1106; no costs",
        licence="Apache-2.0",
        form="routellm",
        files=_files(ROUTELLM, ["gsm8k/contaminated_prompts.jsonl", "gsm8k/gsm8k_responses.csv"], max_bytes=20 * MB),
    ),
    Source(
        name="routerbench",
        what="RouterBench without examples in the prompt, 36,497 queries by 11 models with the cost of each call",
        licence="none stated with the data (the code is MIT)",
        then="It is a pickle, which is never opened here: `weighbridge data import routerbench FILE.pkl` says what to do.",
        files=(
            SourceFile(
                url=f"{ROUTERBENCH}/routerbench_0shot.pkl",
                path="routerbench_0shot.pkl",
                max_bytes=110 * MB,
                sha256="ba4f77f19517610a707c374e99322d7750c30fc4ae7ff5527888595a1e65d36d",
            ),
        ),
    ),
    Source(
        name="routerbench-part",
        what="ARC-challenge, MBPP and WinoGrande of RouterBench as CSV, with a train and test split made by RouterDC",
        licence="none stated by the repository that holds it",
        form="routerbench",
        files=_files(
            ROUTERDC,
            [
                f"datasets/routerbench_zs/{name}_{split}.csv"
                for name in ("arc_challenge", "mbpp", "winograde")
                for split in ("train", "test")
            ],
            max_bytes=60 * MB,
        ),
    ),
    Source(
        name="sprout",
        what="SPROUT, some 44,000 prompts by 13 models: a judge's score and token counts",
        licence="none stated with the data",
        form="sprout",
        files=_files(
            SPROUT,
            [
                *(f"train-0000{part}-of-00003.parquet" for part in range(3)),
                "validation-00000-of-00001.parquet",
                "test-00000-of-00001.parquet",
            ],
            max_bytes=400 * MB,
        ),
    ),
    Source(
        name="llmrouterbench",
        what="LLMRouterBench, some 24,000 queries of more than 20 benchmarks by 33 models, 13 of them with costs",
        licence="MIT by its README (its benchmarks have terms of their own: GPQA asks not to show its questions)",
        form="llmrouterbench",
        files=(
            SourceFile(
                url=f"{LLMROUTERBENCH}/bench-release.tar.gz",
                path="bench-release.tar.gz",
                max_bytes=1_300 * MB,
                sha256="b79f8cde1a6f029c2efa663a3a3b6f7748defb22341fe59f328cebef6648c8f1",
            ),
        ),
    ),
    Source(
        name="clinc150",
        what="CLINC150, 23,700 texts with 150 intents in 10 domains, and out-of-scope texts",
        licence="CC-BY-3.0",
        then="These are labels, not outcomes: data_full.json holds [text, intent] pairs by split, domains.json the domains.",
        files=(
            SourceFile(
                url=f"{CLINC}/data_full.json",
                path="data_full.json",
                max_bytes=10 * MB,
                sha256="36923c3705a59e08fe9c3883d8bc2dd966ef93e22cb78ac41171782a698d56e0",
            ),
            SourceFile(
                url=f"{CLINC}/domains.json",
                path="domains.json",
                max_bytes=1 * MB,
                sha256="b947b579d3b8e74b06f93b01083d8efaff2888b43a3e362533bd88a6e1211b3a",
            ),
        ),
    ),
)
SOURCES: dict[str, Source] = {source.name: source for source in _ALL}
