"""What the user sees: results on the standard output, progress on the standard error; 80 columns are enough."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

PIPE_WIDTH = 160  # columns where there is no terminal: nothing of ours is wrapped then
REDRAW = 0.1  # seconds between two drawings of the progress


def output() -> Console:
    """Return the console of results."""
    return _console(stderr=False)


def notices() -> Console:
    """Return the console of progress and of what is not a result."""
    return _console(stderr=True)


def _console(stderr: bool) -> Console:
    terminal = (sys.stderr if stderr else sys.stdout).isatty()
    width = None if terminal or "COLUMNS" in os.environ else PIPE_WIDTH
    return Console(stderr=stderr, highlight=False, emoji=False, markup=False, width=width)


def describe(screen: Console, facts: dict[str, str], style: str = "") -> None:
    """Print ``label  value`` lines, long values folded in their own column."""
    table = Table.grid(padding=(0, 2))
    table.add_column(width=10, style="bold")
    table.add_column(style=style)
    for fact in facts.items():
        table.add_row(*fact)
    screen.print(table)


def table(headings: dict[str, str], rows: Iterable[dict[str, str]], narrow: bool = False) -> Table:
    """Return a table: the first column to the left, which may fold, the others to the right.

    Parameters
    ----------
    headings : dict
        Heading of each column by the key that the rows use.
    rows : iterable of dict
        Cells by column.
    narrow : bool, default=False
        Fold a status of two words.

    Returns
    -------
    Table
        The table.
    """
    drawn = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True, padding=(0, 1, 0, 0))
    for number, (key, heading) in enumerate(headings.items()):
        if key == "status":
            drawn.add_column(heading, width=11 if narrow else None)  # of the longest word, "interrupted"
        else:
            drawn.add_column(heading, justify="right" if number else "left", no_wrap=number > 0, overflow="fold")
    for row in rows:
        drawn.add_row(*(row[key] for key in headings))
    return drawn


class Meter:
    """Live progress of a run: a bar on a terminal; elsewhere lines, at iterations 1, 2, 4, 8, ... or one for each run.

    The bar measures digits: how far the logarithm of the gradient norm has come on its way to the tolerance.

    Parameters
    ----------
    gtol : float
        Tolerance of the gradient norm.
    quiet : bool, default=False
        Show nothing.
    timed : bool, default=False
        Whether seconds are compared: then no thread redraws between two iterations, and lines are one for each run.
    done : int, default=0
        Iterations that were done before.
    """

    def __init__(self, gtol: float, quiet: bool = False, timed: bool = False, done: int = 0) -> None:
        self.screen, self.quiet, self.timed, self.done = notices(), quiet, timed, done
        self.live = self.screen.is_terminal and not quiet
        self.goal = math.log(max(gtol, float(np.finfo(float).eps)))
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=12),
            TextColumn("{task.fields[state]}"),
            TimeElapsedColumn(),
            console=self.screen,
            auto_refresh=not timed,
            refresh_per_second=4,
            transient=True,
            disable=not self.live,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Meter:
        """Begin to draw."""
        self.bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Wipe the bar; one that was not drawn would leave an empty line, before Rich 14.3."""
        with suppress(OSError):  # the terminal may have gone, which must not cost the result
            if self.live:
                self.bar.stop()

    def follow(self, label: str) -> Callable[..., None]:
        """Return the callback of a run that shows its progress."""
        if self._task is not None:
            self.bar.remove_task(self._task)
        self._task = task = self.bar.add_task(label, total=1.0, state="starting")
        self._refresh()
        if self.timed and not self.live and not self.quiet:
            self.screen.print(label)
        start, drawn, nit = -math.inf, -math.inf, self.done

        def show(intermediate_result: Any) -> None:
            with suppress(OSError):
                draw(intermediate_result)

        def draw(intermediate_result: Any) -> None:
            nonlocal start, drawn, nit
            nit += 1
            now = time.monotonic()
            if self.quiet or now - drawn < (REDRAW if self.live else 0.0):
                return
            if not self.live and (self.timed or nit & (nit - 1)):
                return
            gnorm = float(np.max(np.abs(intermediate_result.jac)))
            state = f"iteration {nit}  f {intermediate_result.fun:.8g}  |g| {gnorm:.1e}"
            if not self.live:
                self.screen.print(f"{label}: {state}", soft_wrap=True)
                return
            digits = math.log(gnorm) if gnorm > 0 else self.goal
            drawn, start = now, max(start, digits)
            self.bar.update(task, completed=(start - digits) / max(start - self.goal, 1.0), state=state)
            self._refresh()

        return show

    def _refresh(self) -> None:
        if self.live and not self.bar.live.auto_refresh:
            self.bar.refresh()
