"""The tables of a scenario file as pydantic forms, and their faults in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator
from pydantic_core import ErrorDetails

from eval.simulate.amounts import Assumption
from eval.simulate.counts import COLUMNS, Counts
from eval.simulate.scenario import (
    HOURS,
    BadAnswer,
    Baseline,
    Conversation,
    PromptCache,
    QueryClass,
)
from eval.simulate.scenario_values import (
    MOST_HOURS,
    Advice,
    Hours,
    Part,
    Parts,
    Positive,
    Row,
    Share,
    Text,
    Used,
    Volume,
    advice,
    as_good,
    as_messages,
    as_turns,
    beside,
    counted,
    day,
    first_day,
)
from eval.simulate.toml_lines import KeyPath
from eval.simulate.turns import MOST_TURNS, Turns
from router.errors import DataError
from router.prices import TIERS

CLOSE = 0.7  # likeness above which one name may be meant by another
SHOWN = 60  # characters of a value that is found wanting
UNSET: Any = None  # Any: a default for fields of every type; a record takes only what the file says
Fault = tuple[KeyPath, str]
Target = Literal[
    "usd_per_query",
    "usd_per_100k",
    "usd_per_month",
    "saving",
    "latency_ms_p50",
    "latency_ms_p95",
    "latency_ms_p99",
    "weak_latency_ms_p50",
    "weak_latency_ms_p95",
    "strong_latency_ms_p50",
    "strong_latency_ms_p95",
    "routing_accuracy",
    "good_answers",
    "cache_hit_rate",
]


class Form(BaseModel):
    """One table of the file: no key but its fields, and no value of another type."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    def said(self) -> dict[str, Any]:  # Any: each field's own type, which the form has checked
        """What the file says; for the rest the records have defaults."""
        return {name: getattr(self, name) for name in type(self).model_fields if name in self.model_fields_set}


def _made(form: type[Form], record: Callable[..., object]) -> PlainValidator:
    """Check a table by its form and make its record at once: what the record refuses is then said of that table."""
    return PlainValidator(lambda raw: record(**form.model_validate(raw).said()))


class QueryForm(Form):
    """[[queries]]."""

    name: Text
    share: Share
    needs: Text
    also: Parts = UNSET
    sends: Row = UNSET


class RouterForm(Form):
    """[router]."""

    accuracy: Share = UNSET
    counts: Annotated[
        Counts | None,
        PlainValidator(counted),
        advice(f"a CSV of {','.join(COLUMNS)} that lies beside the scenario", '`KEY = "scenario.routing.csv"`'),
    ] = UNSET
    threshold: Annotated[float | None, Field(ge=0, le=1), advice("a number in [0, 1]", "`KEY = 0.6`")] = UNSET
    decision_ms: Positive = UNSET
    usd_per_month: Positive = UNSET


class ConversationForm(Form):
    """[conversation]."""

    messages: Annotated[
        Assumption,
        PlainValidator(as_messages),
        advice("the mean number of messages, 1 or more, or a range", "`KEY = 2`, or `KEY = { low = 2, high = 4 }`"),
    ] = UNSET
    same_need: Share = UNSET
    stickiness: Share = UNSET


class PromptCacheForm(Form):
    """[prompt_cache]."""

    minutes: Annotated[float, Field(gt=0), advice("minutes, more than 0", "`KEY = 5`")] = UNSET
    in_time: Share = UNSET
    loop_hit: Share = UNSET


class BadAnswerForm(Form):
    """[bad_answer]."""

    right: Share = UNSET
    weak: Share = UNSET
    strong: Share = UNSET
    sideways: Share = UNSET
    reask: Share = UNSET
    usd: Positive = UNSET


class DefaultsForm(Form):
    """[route_defaults]: what a route has where it does not say otherwise."""

    model: Text = UNSET
    provider: Text = UNSET
    tier: Annotated[
        str, Field(pattern=f"^({'|'.join(TIERS)})$"), advice(f"one of {', '.join(TIERS)}", '`KEY = "standard"`')
    ] = UNSET
    system_tokens: Used = UNSET
    tool_schema_tokens: Used = UNSET
    history_tokens: Used = UNSET
    message_tokens: Used = UNSET
    output_tokens: Used = UNSET
    tool_result_tokens: Used = UNSET
    turns: Annotated[
        Turns,
        PlainValidator(as_turns),
        advice(
            f"model calls of an answer: 1 to {MOST_TURNS}, weights of 1, 2, ... calls, or {{ mean, most }}",
            "`KEY = 1`, `KEY = [0.7, 0.3]`, or `KEY = { mean = { low = 2, high = 3 }, most = 8 }`",
        ),
    ] = UNSET
    usd_per_query: Used = UNSET
    caches_prompts: Annotated[bool, advice("true or false, without quotes", "`KEY = true`")] = UNSET
    good: Annotated[
        float | dict[str, float],
        PlainValidator(as_good),
        advice("a share in [0, 1], or one for each class of queries", "`KEY = 0.9`, or `KEY = { easy = 0.9 }`"),
    ] = UNSET
    strength: Positive = UNSET
    call_ms: Used = UNSET
    tool_ms: Used = UNSET
    concurrency: Annotated[int, Field(ge=1), advice("a whole number, 1 or more", "`KEY = 40`")] = UNSET
    failed_attempts: Share = UNSET
    retries: Annotated[int, Field(ge=0, le=10), advice("a whole number, 0 to 10", "`KEY = 2`")] = UNSET
    failed_ms: Positive = UNSET
    billed_when_failed: Part = UNSET
    fallback: Annotated[str, advice("the name of a route, or nothing", '`KEY = "large"`, or `KEY = ""`')] = UNSET
    handoff: Share = UNSET


class RouteForm(DefaultsForm):
    """[[routes]]."""

    name: Text


class BaselineForm(Form):
    """[[baselines]]."""

    name: Text
    route: Text = UNSET
    sends: Annotated[
        dict[str, Row],
        advice("for classes of queries, shares of routes that add up to 1", "`KEY = { easy = { large = 1.0 } }`"),
    ] = UNSET


class LeftOutForm(Form):
    """[left_out]."""

    notes: Annotated[list[str] | None, advice("a list of texts", '`KEY = ["what the tools cost"]`')] = UNSET


class ScenarioForm(Form):
    """The whole file."""

    name: Text
    title: Annotated[str, advice("text in quotes", '`KEY = "..."`')] = UNSET
    month: Annotated[
        date,
        PlainValidator(first_day),
        advice("the first day of a month, without quotes and without a time", "`KEY = 2026-11-01`"),
    ]
    queries_per_month: Volume
    growth_per_month: Annotated[
        float, Field(gt=-1, lt=10), advice("growth from month to month, above -1 and below 10", "`KEY = 0.05`")
    ] = UNSET
    months: Annotated[int, Field(ge=1, le=60), advice("a whole number of months, 1 to 60", "`KEY = 6`")] = UNSET
    chance: Annotated[bool, advice("true or false, without quotes", "`KEY = false`")] = UNSET
    mix_n: Annotated[
        float, Field(gt=0), advice("the number of queries that the shares were counted on, above 0", "`KEY = 400`")
    ] = UNSET
    traffic_by_hour: Annotated[
        list[Annotated[float, Field(ge=0)]] | None,
        AfterValidator(day),
        advice(f"{HOURS} weights, none below 0 and some above", "`KEY = [1, 1, ...]`, one from each midnight on"),
    ] = UNSET
    answer_cache: Share = UNSET
    outcomes: Annotated[
        Path | None,
        PlainValidator(beside),
        advice("a table that lies beside the scenario", '`KEY = "outcomes.parquet"`'),
    ] = UNSET
    queries: Annotated[
        list[Annotated[QueryClass, _made(QueryForm, QueryClass)]] | None,
        Field(min_length=1),
        advice("one [[queries]] table or more", "`[[queries]]` with `name`, `share` and `needs`"),
    ] = UNSET
    router: Annotated[RouterForm, advice("a table", "`[router]` with `accuracy = 0.9`")] = RouterForm()
    conversation: Annotated[
        Conversation, _made(ConversationForm, Conversation), advice("a table", "`[conversation]` with `messages = 2`")
    ] = UNSET
    prompt_cache: Annotated[
        PromptCache, _made(PromptCacheForm, PromptCache), advice("a table", "`[prompt_cache]` with `minutes = 5`")
    ] = UNSET
    bad_answer: Annotated[
        BadAnswer, _made(BadAnswerForm, BadAnswer), advice("a table", "`[bad_answer]` with `right = 0.95`")
    ] = UNSET
    outages: Annotated[
        dict[str, Hours] | None,
        advice(
            f"hours a month for each provider, 0 to {MOST_HOURS}",
            "`provider = 2`, or `provider = { low = 0.5, high = 4 }`",
        ),
    ] = UNSET
    route_defaults: Annotated[DefaultsForm, advice("a table", "`[route_defaults]` with `retries = 2`")] = DefaultsForm()
    routes: Annotated[
        list[RouteForm],
        Field(min_length=1),
        advice("one [[routes]] table or more", "`[[routes]]` with `name`, `model` and `provider`"),
    ]
    baselines: Annotated[
        list[Annotated[Baseline, _made(BaselineForm, Baseline)]],
        Field(min_length=1),
        advice(
            "one [[baselines]] table or more", '`[[baselines]]` with `name = "large for all"` and `route = "large"`'
        ),
    ]
    targets: Annotated[
        dict[Target, Annotated[float, Field(ge=0)]],
        advice(f"numbers, 0 or more, for any of {', '.join(get_args(Target))}", "`saving = 0.4` in [targets]"),
    ] = UNSET
    printed: Annotated[dict[str, float], advice("a number for each name", "`saving = 0.87` in [printed]")] = UNSET
    left_out: Annotated[LeftOutForm, advice("a table", '`[left_out]` with `notes = ["..."]`')] = LeftOutForm()


FORMS: Mapping[str, type[Form]] = {
    "queries": QueryForm,
    "router": RouterForm,
    "conversation": ConversationForm,
    "prompt_cache": PromptCacheForm,
    "bad_answer": BadAnswerForm,
    "route_defaults": DefaultsForm,
    "routes": RouteForm,
    "baselines": BaselineForm,
    "left_out": LeftOutForm,
}


def told(error: ErrorDetails) -> Fault:
    """Where pydantic found a fault, and that fault in the words of the key's advice."""
    path = tuple(step for step in error["loc"] if step != "[key]")
    names = [step for step in path if isinstance(step, str)]
    form, key = (FORMS[names[0]], names[1]) if names[0] in FORMS and len(names) > 1 else (ScenarioForm, names[0])
    if error["type"] == "extra_forbidden":
        close = get_close_matches(key, form.model_fields, n=1, cutoff=CLOSE)
        fix = f"Write `{close[0]}`." if close else "Take it out."
        return path, f"found a key of this name; wanted none but {', '.join(form.model_fields)}. {fix}"
    advice = next(item for item in form.model_fields[key].metadata if isinstance(item, Advice))
    cause = error.get("ctx", {}).get("error")
    found = "nothing" if error["type"] == "missing" else _shown(error["input"])
    said = str(cause) if isinstance(cause, DataError) else f"found {found}; wanted {advice.wanted}."
    return path, f"{said} {advice.fix.replace('KEY', key)}"


def _shown(value: object) -> str:
    """A value as the file has it, or nearly, and not too much of it."""
    if isinstance(value, bool):
        return str(value).lower()
    text = value.isoformat() if isinstance(value, date) else repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
