"""The verbs `serve` and `keys`. What they need is imported inside: the serving process loads nothing it does not use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from router.commands import bundle_path

if TYPE_CHECKING:
    from agents.doors.guard import Guard
    from agents.gateway.service import Service

STATE = Path("out/serve")
KEYS = "keys.sqlite"
DEMO_BUNDLE = Path("out/demo/bundle")

keys_app = typer.Typer(help="API keys of the server: made once, shown once, kept as hashes.", no_args_is_help=True)


Run = Callable[["Service", "Guard", str, int], None]


def register(app: typer.Typer, *, train_demo: Callable[[Path], None], run: Run) -> None:
    """Add the verbs to the one command.

    train_demo: trains the demo's bundle into a directory.   run: opens the doors on a host and a port until it is stopped.
    """
    app.command()(_serve_verb(train_demo, run))
    app.add_typer(keys_app, name="keys")


State = Annotated[Path, typer.Option("--state", help="A directory for the decision log and the keys.")]


def compile_demo(bundle: Path) -> None:
    """Export what was just trained in single precision: faster, and with the very same decisions.

    int8 takes longer to make and decides a few queries otherwise; who wants it types `weighbridge export`.
    """
    from agents.gateway.loading import compiled_beside
    from router.compiled_commands import export

    export(bundle, compiled_beside(bundle), precision="fp32")


def _serve_verb(train_demo: Callable[[Path], None], run: Run) -> Callable[..., None]:
    def serve(
        port: Annotated[int, typer.Option(min=1, max=65_535)] = 8_080,
        host: Annotated[str, typer.Option(help="Other than loopback only with keys.")] = "127.0.0.1",
        bundle: Annotated[
            Path | None,
            typer.Option(
                "--bundle", "-b", parser=bundle_path, metavar="DIR",
                help="A bundle, a `current` link that is followed, or models:/NAME@ALIAS. Default: the demo's, trained when there is none.",
            ),
        ] = None,
        simulated: Annotated[bool, typer.Option("--simulated", help="Simulated models in place of providers: no key, no network.")] = False,
        providers: Annotated[Path | None, typer.Option("--providers", help="Providers beside openai and anthropic (TOML).")] = None,
        provider: Annotated[str, typer.Option("--provider", help="Who serves the models of a bundle trained on outcomes.")] = "openai",
        state: State = STATE,
        form: Annotated[
            Literal["auto", "fitted", "fp32", "int8", "static"],
            typer.Option(help="What of BUNDLE decides: its export in BUNDLE.compiled, int8 before fp32; or the fitted router."),
        ] = "auto",
        keep_text: Annotated[bool, typer.Option("--keep-text", help="Keep query texts in the decision log. Off: they are never stored.")] = False,
        explore: Annotated[float, typer.Option(min=0, max=1, help="The share of decisions drawn at random, with their propensities logged.")] = 0.0,
    ) -> None:  # fmt: skip
        """Put a router in front of models: OpenAI's wire, decisions, a WebSocket and a page at /. Stops on SIGTERM or Ctrl-C."""
        from agents.gateway.assembly import assemble, guard_of
        from agents.gateway.pool import share_interpreter
        from router.bundlefiles import MANIFEST
        from router.console import console

        found = bundle or DEMO_BUNDLE
        if bundle is None and not (DEMO_BUNDLE / MANIFEST).exists():
            console().print("no bundle yet: training the demo's, once; --bundle names another", markup=False)
            train_demo(DEMO_BUNDLE)
            if form != "fitted":
                compile_demo(DEMO_BUNDLE)
        share_interpreter()
        guard: Guard = guard_of(state, host=host)
        service: Service = assemble(
            found,
            state=state,
            simulated=simulated,
            providers=providers,
            keep_text=keep_text,
            form=form,
            explore=explore,
            provider=provider,
        )
        marks = " Every model is SIMULATED." if service.simulated else ""
        locked = "open, on this machine alone" if guard.open else "with API keys"
        held = service.decider.held
        decides = f"bundle {found} ({held.form})" if held else "no bundle"
        console().print(f"http://{host}:{port}/ {locked}; {decides}.{marks}", markup=False, soft_wrap=True)
        run(service, guard, host, port)

    return serve


@keys_app.command("create")
def keys_create(
    name: Annotated[str, typer.Argument(help="Whose key it is.")],
    scopes: Annotated[str, typer.Option(help="Of chat, route and admin, joined by commas.")] = "chat,route",
    rate: Annotated[int, typer.Option(min=1, help="Requests a minute.")] = 600,
    state: State = STATE,
) -> None:
    """Make a key and show it, this once."""
    from agents.gateway.keys import SCOPES, KeyStore
    from router.console import console
    from router.errors import DataError

    asked = [scope.strip() for scope in scopes.split(",") if scope.strip()]
    if unknown := [scope for scope in asked if scope not in SCOPES]:
        raise DataError(f"no scope {unknown[0]!r}; wanted some of {', '.join(SCOPES)}.")
    secret = KeyStore(state / KEYS).create(
        name, scopes=[scope for scope in SCOPES if scope in asked], rate_per_minute=rate
    )
    console().print(secret, markup=False, soft_wrap=True)  # a terminal's edge must not cut it in two


@keys_app.command("list")
def keys_list(state: State = STATE) -> None:
    """Names, scopes and rates; never a secret."""
    from agents.gateway.keys import KeyStore
    from router.console import console, table

    rows = [
        [info.name, f"{info.prefix}…", ", ".join(sorted(info.scopes)), f"{info.rate_per_minute}", info.revoked_at or ""]
        for info in KeyStore(state / KEYS).list()
    ]
    console().print(table("API keys", ["name", "begins", "scopes", "a minute", "revoked"], rows, left=3))


@keys_app.command("revoke")
def keys_revoke(name: Annotated[str, typer.Argument()], state: State = STATE) -> None:
    """End a key; the next request with it is refused."""
    from agents.gateway.keys import KeyStore

    KeyStore(state / KEYS).revoke(name)
