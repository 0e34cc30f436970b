"""The one command, `weighbridge`: composed of the rooms' verbs."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import typer

from eval import commands as judge_verbs
from eval import compare_commands, evidence_commands, robustness_commands, simulate_commands, source_commands
from router import commands as router_verbs
from router import registry_commands, threshold_commands
from router.errors import WeighbridgeError

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
registry_commands.register(app)


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
