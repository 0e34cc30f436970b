"""A server from a bundle and a few settings: every part opened, checked against each other, and handed to the doors."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from agents.doors.guard import LOOPBACK, Guard
from agents.gateway.answering import Gateway
from agents.gateway.deciding import Decider
from agents.gateway.decision_log import DecisionLog
from agents.gateway.exploring import Exploration
from agents.gateway.held import Held, LabelBundle
from agents.gateway.keys import KeyStore
from agents.gateway.loading import Form, load_held
from agents.gateway.metrics import Metrics
from agents.gateway.service import Service
from agents.gateway.tracing import Tracing
from agents.models.protocol import Model
from agents.models.providers import open_providers
from router.errors import BundleError, DataError
from router.prices import read_prices
from router.types import Route

LOG, KEYS = "decisions.sqlite", "keys.sqlite"


def guard_of(state: Path, *, host: str) -> Guard:
    """The door with the keys of the state directory. Without any it is open, until one is made there.

    Raises DataError for a host beside loopback without keys.
    """
    store = KeyStore(state / KEYS)
    if host not in LOOPBACK and not store.locked:
        raise DataError(
            f"--host {host} would let others in, and there is no API key; wanted one. Make it with"
            f" `weighbridge keys create NAME --state {state}`."
        )
    return Guard(keys=store)


def assemble(
    bundle: Path,
    *,
    state: Path,
    simulated: bool,
    providers: Path | None = None,
    keep_text: bool = False,
    form: Form = "auto",
    explore: float = 0.0,
    provider: str = "openai",
    environ: Mapping[str, str] | None = None,
    seed: int | None = None,
) -> Service:
    """Open everything. provider: of a router over models, who serves them.   form: see `load_held`.

    Raises BundleError, EncoderError or DataError before anything listens.
    """
    held = load_held(bundle, form=form)
    routes = routes_of(held, provider=provider)
    names = list(dict.fromkeys(route.provider for route in routes))
    models: dict[str, Model] = open_providers(
        names, environ=os.environ if environ is None else environ, simulated=simulated, file=providers
    )
    metrics = Metrics()
    served = {route.name for route in routes}

    def check(found: Held) -> None:
        unknown = sorted(set(found.routes) - served)
        if unknown:
            raise BundleError(
                f"bundle {found.bundle_id} routes to {unknown[0]!r}, which this server has no model for; restart it with that bundle."
            )

    state.mkdir(parents=True, exist_ok=True)
    decider = Decider(
        held,
        safe=held.safe,
        rng=np.random.default_rng(seed),
        exploration=Exploration(rate=explore),
        form=form,
        check=check,
    )
    metrics.watch(decider.reader.pool)
    gateway = Gateway(routes, models, prices=read_prices())
    gateway.cost.warm(dict.fromkeys(route.model for route in routes))
    return Service(
        routes=routes,
        decider=decider,
        gateway=gateway,
        models=models,
        log=DecisionLog(state / LOG, keep_text=keep_text),
        metrics=metrics,
        tracing=Tracing(),
        followed=bundle if bundle.is_symlink() else None,
    )


def routes_of(held: Held, *, provider: str) -> tuple[Route, ...]:
    """The routes that a bundle decides between: its table's; of a router over models, each model at `provider`.

    Such a model falls back on the strongest one, and the strongest on the one before it.
    """
    if isinstance(held, LabelBundle):
        return held.table.routes
    others = [name for name in held.routes if name != held.safe]
    return tuple(
        Route(
            name=name, model=name, provider=provider, desk=None, safe=name == held.safe, input_tokens=0, output_tokens=0,
            latency_ms_p50=1.0, latency_ms_p95=1.0, fallback=(held.safe,) if name != held.safe else tuple(others[-1:]),
        )
        for name in held.routes
    )  # fmt: skip
