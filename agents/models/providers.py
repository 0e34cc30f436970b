"""Providers as configuration: a name in the route table becomes a model that answers. Keys come from the environment."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from agents.models.protocol import Model
from agents.models.simulated import SimulatedModel
from agents.models.upstream import CONNECT_S, SILENCE_S, Timeouts, Upstream
from router.errors import DataError
from router.files import read_toml

Kind = Literal["openai", "anthropic", "simulated"]

PRIVATE_SUFFIXES = (".localhost", ".local", ".internal", ".lan", ".home.arpa")
PLAIN_HOST = re.compile(r"[a-z][a-z0-9_-]*")  # "ollama" in one's own network; not a number, which is an address too
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
FORM = (
    'Wanted [[providers]] tables with name = "…" and kind = "openai" | "anthropic" | "simulated"; '
    "optional are base_url, key_env, caches_prompts, connect_timeout_s and silence_timeout_s."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One provider. key_env: the variable that holds its key; None for a server that asks for none.

    base_url: None for the address of its kind.   caches_prompts: mark prompts for the cache of an "anthropic" kind.
    Raises DataError for a kind, an address or a limit that cannot be used.
    """

    name: str
    kind: Kind
    base_url: str | None = None
    key_env: str | None = None
    caches_prompts: bool = False
    connect_timeout_s: float = CONNECT_S
    silence_timeout_s: float = SILENCE_S

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise DataError(f"provider {self.name!r}: kind is {self.kind!r}. {FORM}")
        if self.key_env is not None and not VARIABLE.fullmatch(self.key_env):
            raise DataError(
                f"provider {self.name!r}: key_env is no name of a variable; a key itself must not stand there."
            )
        if self.base_url is not None:
            check_base_url(self.base_url, provider=self.name)
        _ = self.timeouts

    @property
    def timeouts(self) -> Timeouts:
        """Its limits in time."""
        return Timeouts(connect_s=self.connect_timeout_s, silence_s=self.silence_timeout_s)


BUILT_IN = (
    Provider(name="openai", kind="openai", key_env="OPENAI_API_KEY"),
    Provider(name="anthropic", kind="anthropic", key_env="ANTHROPIC_API_KEY", caches_prompts=True),
)
BASE_URLS = {"openai": "https://api.openai.com/v1", "anthropic": "https://api.anthropic.com"}  # by kind
BASE_URL_ENV = {"openai": "OPENAI_BASE_URL", "anthropic": "ANTHROPIC_BASE_URL"}  # of the built-in ones alone


def open_providers(
    names: Collection[str], *, environ: Mapping[str, str], simulated: bool, file: Path | None
) -> dict[str, Model]:
    """A model for each name, in their order. Nothing is connected yet; close every model when done.

    simulated: all of them answer by rule, and neither keys nor `file` are read.   file: a TOML file that adds providers to
    the built-in "openai" and "anthropic", or replaces them by name.
    Raises DataError for an unknown name, a missing key or a file that cannot be used, and then opens none.
    """
    if simulated:
        return {name: SimulatedModel(name) for name in names}
    known = {provider.name: provider for provider in (*_built_in(environ), *(read_providers(file) if file else ()))}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise DataError(
            f"no provider is called {', '.join(map(repr, unknown))}; known are {', '.join(known)}. "
            f"Add it to {file or 'a file of providers'}. `--simulated` works without any."
        )
    keys = _keys([known[name] for name in names], environ)
    return {name: _open(known[name], keys[name]) for name in names}


def read_providers(path: Path) -> tuple[Provider, ...]:
    """The providers of a TOML file. Raises DataError by table and field."""
    raw = read_toml(path, what="a file of providers", make=FORM)
    tables = raw.get("providers")
    if set(raw) != {"providers"} or not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
        raise DataError(f"{path}: its top level is {sorted(raw)}. {FORM}")
    providers = tuple(_provider(table, f"{path}: [[providers]] {number}") for number, table in enumerate(tables, 1))
    names = [provider.name for provider in providers]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{path}: {', '.join(twice)} stands there twice; wanted every name once.")
    return providers


def check_base_url(url: str, *, provider: str) -> None:
    """Raise DataError for an address that would send keys and queries where they can be read.

    https goes anywhere; http only to this machine, a private address, or a name that is only known on one's own network.
    The message leaves out the address where it holds a password.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError as err:
        raise DataError(f"provider {provider!r}: base_url cannot be read as an address ({err}).") from None
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise DataError(
            f"provider {provider!r}: base_url holds a user, a query or a fragment; wanted https://HOST/PATH. A key belongs in the variable that `key_env` names."
        )
    if not host or parts.scheme not in ("http", "https"):
        raise DataError(f"provider {provider!r}: base_url is {url!r}; wanted https://HOST/PATH.")
    if parts.scheme == "http" and not is_private(host):
        raise DataError(
            f"provider {provider!r}: base_url is {url!r}; http would show the key on the way to {host}. Wanted https, or a host on your own network."
        )


def is_private(host: str) -> bool:
    """Whether a host is this machine or on one's own network, as far as its name or address tells.

    Link-local addresses are not: the one of cloud metadata is among them.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return PLAIN_HOST.fullmatch(host) is not None or host.endswith(PRIVATE_SUFFIXES)
    return address.is_loopback or (address.is_private and not address.is_link_local and not address.is_unspecified)


def _built_in(environ: Mapping[str, str]) -> tuple[Provider, ...]:
    return tuple(replace(p, base_url=environ.get(BASE_URL_ENV[p.name], "").strip() or None) for p in BUILT_IN)


def _provider(table: Mapping[str, Any], where: str) -> Provider:  # Any: what a TOML file holds
    wanted: dict[str, tuple[type, ...]] = {field.name: (str,) for field in fields(Provider)}
    wanted |= {"caches_prompts": (bool,), "connect_timeout_s": (int, float), "silence_timeout_s": (int, float)}
    for name, value in table.items():
        if type(value) not in wanted.get(name, ()) or value == "":
            raise DataError(f"{where}: `{name}` = {_safe(name, value)} is not one of its fields or types. {FORM}")
    if not {"name", "kind"} <= set(table):
        raise DataError(f"{where}: has {sorted(table)}. {FORM}")
    try:
        return Provider(**table)
    except DataError as err:
        raise DataError(f"{where}: {err}") from err


def _safe(name: str, value: object) -> str:
    """A field's value as a message may show it: a field that looks like a secret was put there by mistake."""
    return "…" if "key" in name.lower() or "token" in name.lower() or "secret" in name.lower() else repr(value)


def _keys(providers: list[Provider], environ: Mapping[str, str]) -> dict[str, str | None]:
    """Each provider's key. Raises DataError that names every variable that is missing, and never a value."""
    keys = {p.name: environ.get(p.key_env, "").strip() if p.key_env else None for p in providers}
    missing = sorted({p.key_env for p in providers if p.key_env and not keys[p.name]})
    if missing:
        raise DataError(
            f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set; wanted the key of each provider that routes name. "
            f"Set it, or pass `--simulated`: that works without any key."
        )
    for provider in providers:
        key = keys[provider.name]
        if key and not (key.isascii() and key.isprintable() and " " not in key):
            raise DataError(f"{provider.key_env} holds characters that no key has; copy the key into it again.")
    return keys


def _open(provider: Provider, key: str | None) -> Model:
    """The model behind a provider. An SDK is loaded only when one is wanted."""
    if provider.kind == "simulated":
        return SimulatedModel(provider.name)
    base_url = provider.base_url or BASE_URLS[provider.kind]
    upstream = Upstream(
        base_url=base_url,
        api_key=key,
        timeouts=provider.timeouts,
        local=provider.base_url is not None and is_private(urlsplit(base_url).hostname or ""),
    )
    if provider.kind == "anthropic":
        from agents.models.anthropic_wire import AnthropicModel

        return AnthropicModel(provider.name, upstream, caches_prompts=provider.caches_prompts)
    from agents.models.openai_wire import OpenAIModel

    return OpenAIModel(provider.name, upstream)
