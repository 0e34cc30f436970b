"""Which tool a simulated model calls, and with what: by the words that a query and a tool have in common."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agents.types import Json, ModelRequest, ToolSpec

WORD = re.compile(r"[^\W\d_]{3,}")
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
COMMON = frozenset(
    [
        "the",
        "and",
        "for",
        "you",
        "your",
        "with",
        "from",
        "this",
        "that",
        "what",
        "where",
        "when",
        "how",
        "are",
        "can",
        "get",
        "has",
        "have",
        "not",
        "all",
        "any",
    ]
)
NAME_WEIGHT = 2  # a word of a tool's name says more than one of its description
OBVIOUS = 2  # one word of the name, or two of the description
FORMATS = {"date": "2026-01-01", "date-time": "2026-01-01T00:00:00Z", "time": "00:00:00Z", "email": "a@example.org"}
DEEPEST = 5  # a schema may refer to itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A tool to call. arguments: JSON text."""

    name: str
    arguments: str


def choose(request: ModelRequest) -> Call | None:
    """The call that a request obviously asks for; None where it asks for none, or has just been given a tool's result.

    A named tool is always taken; "required" takes the likeliest, however unlikely.
    """
    last = request.messages[-1] if request.messages else None
    if not request.tools or request.tool_choice == "none" or last is None or last.role != "user":
        return None
    named = [tool for tool in request.tools if tool.name == request.tool_choice]
    tool = named[0] if named else max(request.tools, key=lambda tool: _overlap(last.text, tool))
    if not named and request.tool_choice != "required" and _overlap(last.text, tool) < OBVIOUS:
        return None
    return Call(name=tool.name, arguments=json.dumps(_value(tool.parameters, last.text, depth=0), ensure_ascii=False))


def _overlap(query: str, tool: ToolSpec) -> int:
    asked = _words(query)
    name = _words(tool.name.replace("_", " "))
    return NAME_WEIGHT * len(asked & name) + len((asked & _words(tool.description)) - name)


def _words(text: str) -> set[str]:
    """Its words, without those that every text has, and without a plural's s."""
    return {word.removesuffix("s") for word in WORD.findall(text.lower()) if word not in COMMON}


def _value(schema: Json, query: str, *, depth: int) -> Any:  # Any: whatever JSON can hold
    """A value that the schema allows, made of the query where that is possible. Only what is required is filled in."""
    for fixed in ("const", "default"):
        if fixed in schema:
            return schema[fixed]
    if schema.get("enum"):
        return next((v for v in schema["enum"] if str(v).lower() in query.lower()), schema["enum"][0])
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        return _object(schema, query, depth=depth)
    if kind == "array":
        return [_value(schema.get("items", {}), query, depth=depth + 1) for _ in range(schema.get("minItems", 0))]
    if kind in ("integer", "number"):
        return _number(schema, query, whole=kind == "integer")
    if kind in ("boolean", "null"):
        return False if kind == "boolean" else None
    return FORMATS.get(schema.get("format", ""), query[: schema.get("maxLength")])


def _object(schema: Json, query: str, *, depth: int) -> dict[str, Any]:  # Any: whatever JSON can hold
    properties: Mapping[str, Json] = schema.get("properties", {})
    required = schema.get("required", ()) if depth < DEEPEST else ()
    return {name: _value(properties.get(name, {}), query, depth=depth + 1) for name in required}


def _number(schema: Json, query: str, *, whole: bool) -> float:
    """The first number of the query, within the schema's limits."""
    found = NUMBER.search(query)
    number = max(float(found.group()) if found else 0.0, schema.get("minimum", float("-inf")))
    number = min(number, schema.get("maximum", float("inf")))
    return int(number) if whole else number
