"""What the commands share: one console, tables, and word of progress that suits a person as well as a log file."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

LOG_EVERY = 0.25  # of the total, between two lines of progress in a log
LOG_WIDTH = 118
WORTH_TELLING = 200  # texts; fewer are embedded before a person wonders


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """notify(message) says which step has begun; advance(done, total) how far a long one has come."""

    notify: Callable[[str], None]
    advance: Callable[[int, int], None]


def console() -> Console:
    """Standard output: as wide as the terminal, or wide enough for the tables in a file or a log."""
    from rich.console import Console

    out = Console(highlight=False, soft_wrap=False)
    return out if out.is_terminal else Console(highlight=False, soft_wrap=False, width=LOG_WIDTH)


@contextlib.contextmanager
def progress() -> Iterator[Progress]:
    """A live bar on a terminal; one plain line a step elsewhere."""
    out = console()
    if out.is_terminal:
        from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bars

        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=30), TimeElapsedColumn())
        with Bars(*columns, console=out, transient=True) as bars:
            task = bars.add_task("", total=None)

            def notify(message: str) -> None:
                bars.update(task, description=message, total=None, completed=0)

            def advance(done: int, total: int) -> None:
                if total >= WORTH_TELLING:
                    bars.update(task, completed=done, total=total)

            yield Progress(notify=notify, advance=advance)
    else:
        said = 0.0

        def tell(done: int, total: int) -> None:
            nonlocal said
            share = done / max(1, total)
            if total < WORTH_TELLING:
                return
            if done == 0 or share >= min(1.0, said + LOG_EVERY):
                said = share
                out.print(f"  … {done:,} of {total:,}", markup=False)

        yield Progress(notify=lambda message: out.print(f"  … {message}", markup=False), advance=tell)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> Table:
    """A table whose first `left` columns are text and the others figures."""
    from rich import box
    from rich.table import Table

    made = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for position, name in enumerate(columns):
        made.add_column(name, justify="left" if position < left else "right", overflow="fold")
    for row in rows:
        made.add_row(*row)
    return made


def share(value: float | None, interval: Sequence[float] | None = None) -> str:
    """A share as a percentage with its interval; a dash for what does not apply.

    >>> share(0.9123, [0.9, 0.92])
    '91.2 % [90.0, 92.0]'
    """
    if value is None:
        return "–"
    bounds = f" [{interval[0] * 100:.1f}, {interval[1] * 100:.1f}]" if interval else ""
    return f"{value * 100:.1f} %{bounds}"


def write_json(path: Path | None, content: Mapping[str, Any]) -> None:
    """Write `--json FILE`, whole or not at all; nothing where none was asked for."""
    if path is not None:
        from router.files import canonical_json, write_atomic

        write_atomic(path, canonical_json(content, indent=1) + "\n")
