"""The one command, `weighbridge`: composed of the rooms' verbs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from agents import commands as server_verbs
from agents import log_commands
from eval import (
    audit_commands,
    compare_commands,
    evidence_commands,
    robustness_commands,
    simulate_commands,
    source_commands,
)
from eval import commands as judge_verbs
from router import commands as router_verbs
from router import compiled_commands, registry_commands, threshold_commands
from router.errors import WeighbridgeError

if TYPE_CHECKING:
    from agents.doors.guard import Guard
    from agents.gateway.service import Service

DRAIN_S = 20


def train_demo(target: Path) -> None:
    """Train the shipped data's bundle, for a server that has none yet."""
    from eval.workflow import fit_router, judge_and_save, open_materials
    from router.commands import SHIPPED_DATA
    from router.console import progress

    with progress() as told:
        materials = open_materials(
            SHIPPED_DATA, card=None, columns={}, routes=None, encoder=judge_verbs.DEFAULT_ENCODER, seed=0, told=told
        )
        judge_and_save(fit_router(materials, told), materials, target, carry_encoder=False, told=told)


def run_server(service: Service, guard: Guard, host: str, port: int) -> None:
    """Open the doors until SIGTERM or Ctrl-C; running answers then have `DRAIN_S` to end."""
    import signal

    import uvicorn

    from serve import create_app

    # uvicorn raises the signal that stopped it once more: after a graceful end there is nothing left to stop
    signal.signal(signal.SIGTERM, lambda *_: None)
    uvicorn.run(
        create_app(service, guard=guard),
        host=host, port=port, log_level="warning", access_log=False, timeout_graceful_shutdown=DRAIN_S,
        ws_max_size=1_000_000, server_header=False,
    )  # fmt: skip


app = typer.Typer(
    name="weighbridge",
    help="Weighs each query and sends it down the cheapest road that can carry it. Start with `weighbridge demo`.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
router_verbs.register(app)
judge_verbs.register(app)
compare_commands.register(app)
simulate_commands.register(app)
evidence_commands.register(app)
threshold_commands.register(app)
robustness_commands.register(app)
source_commands.register(router_verbs.data_app)
audit_commands.register(router_verbs.data_app)
registry_commands.register(app)
compiled_commands.register(app)
server_verbs.register(app, train_demo=train_demo, run=run_server)
log_commands.register(router_verbs.data_app)


def main() -> None:
    """Run; an error raised on purpose becomes one line on standard error and exit code 2."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        app()
    except WeighbridgeError as err:
        refuse(str(err))
    except BrokenPipeError:  # the reader of our output has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as err:
        place = err.filename2 or err.filename
        refuse(
            f"{place}: {err.strerror}; wanted a place that can be read and written. Name another with --out or --json."
        )


def refuse(message: str) -> NoReturn:
    """Say it on one line of standard error; leave with 2."""
    print(f"weighbridge: {' '.join(message.split())}", file=sys.stderr)  # noqa: T201
    sys.exit(2)


if __name__ == "__main__":
    main()
