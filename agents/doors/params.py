"""Parameters of a request that cannot be had: by their name, with what to do instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agents.gateway.events import ChatRequest
from agents.models.protocol import Model
from router.errors import DataError
from router.types import Route

# What to do about a parameter that is refused; beside what pydantic says is wrong with it.
ADVICE = {
    "n": "ask once for each answer",
    "logprobs": "answers are told as text alone; leave it out",
    "top_logprobs": "answers are told as text alone; leave it out",
    "logit_bias": "tokens have other numbers in every model, and another may answer; leave it out",
    "modalities": "every route answers in text",
    "audio": "every route answers in text; leave it out",
    "store": "this server has no answer stored with a provider; leave it out",
    "service_tier": "the route table decides what is paid for; leave it out",
    "functions": "`tools` replaced it",
    "function_call": "`tool_choice` replaced it",
    "web_search_options": "no route searches the web by itself; give the model a tool",
    "moderation": "no route judges texts; leave it out",
}
UNKNOWN = "this server does not take it; leave it out"


class UnsupportedError(DataError):
    """A parameter that cannot be had. param: where it stands in the body."""

    def __init__(self, param: str, why: str, *, code: str = "unsupported_value") -> None:
        super().__init__(f"{param}: {why}")
        self.param, self.code = param, code


def require_taken(chat: ChatRequest, routes: Sequence[Route], models: Mapping[str, Model]) -> None:
    """Refuse what one of `routes`, of which any may answer, has no word for.

    So a request is taken or refused whatever its message says, and wherever it would have gone. models: by provider.
    Raises UnsupportedError for the first parameter.
    """
    able: list[str] = []
    unable: dict[str, tuple[str, ...]] = {}
    for route in routes:
        lacks = models[route.provider].lacking(chat.to_model(route.model, user=None))
        if lacks:
            unable[route.name] = lacks
        else:
            able.append(route.name)
    if not unable:
        return
    route_name, (param, *_) = next(iter(unable.items()))
    provider = next(route.provider for route in routes if route.name == route_name)
    other = f", or ask for a route that takes it: {', '.join(able)}" if able else ""
    raise UnsupportedError(
        param,
        f"route {route_name} is served by {provider}, which has no word for it. Leave it out{other}.",
        code="unsupported_parameter",
    )
