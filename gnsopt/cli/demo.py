"""``gnsopt demo``: the library at work on data that come with it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from gnsopt import datasets
from gnsopt.cli.compare import report, run_all
from gnsopt.cli.fit import exit_code, facts_of, facts_of_result
from gnsopt.cli.interrupt import interruptible
from gnsopt.cli.options import FIGURES, Task, check_figure, check_writable
from gnsopt.cli.screen import Meter, describe, notices, output, table
from gnsopt.driver import Trace
from gnsopt.minimize import minimize

METHODS = ["line-newton", "gns", "gns:exact:cg", "super-newton", "scipy:L-BFGS-B", "scipy:trust-ncg"]
TOL = 1e-8
HEADINGS = {
    "nit": "iteration",
    "fun": "f",
    "gnorm": "|g|",
    "step": "step",
    "trials": "directions",
    "njev": "gradients",
    "time": "seconds",
}
FORMAT = {"fun": ".10f", "gnorm": ".1e", "step": ".2f", "time": ".3f"}


def demo(
    folder: Annotated[
        Path, typer.Option("--output", metavar="DIR", file_okay=False, exists=True, help="Folder of the figure.")
    ] = Path("."),
    figure: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="The figure itself: .png, .pdf or .svg. [default: DIR/gnsopt-demo.png]",
            show_default=False,
        ),
    ] = None,
) -> int:
    """Fit handwritten digits, show every iteration, and compare methods. Needs no network."""
    path = figure or folder / "gnsopt-demo.png"
    check_writable(path, FIGURES)
    check_figure(figure)
    screen = output()
    X, y = datasets.load("digits")
    task = Task("handwritten digits", X / 16, y, "softmax", 1e-3, "1e-3", True)
    limits = {"gtol": TOL, "maxiter": 10_000, "maxtime": None}
    signals = interruptible()
    try:
        with signals:
            screen.print("1. Fit with the defaults, gnsopt.minimize(problem)\n", style="bold")
            describe(screen, facts_of(task))
            with Meter(TOL) as meter:
                result = minimize(task.problem(), tol=TOL, callback=meter.follow("line-newton"))
            screen.print()
            screen.print(iterations(result.trace))
            screen.print()
            describe(screen, facts_of_result(result, TOL))
            if not result.success:
                return exit_code(result.status, signals.code)
            screen.print("\n2. Compare with other methods, by the same stopping rule", style="bold")
            runs, finished = run_all(task, METHODS, limits)
            if runs:
                report(screen, runs, task.name, path)
            if not finished:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        notices().print("interrupted")
        return signals.code
    screen.print("\nNext: gnsopt fit breast_cancer, gnsopt compare iris, gnsopt --help")
    return max(exit_code(run.result.status, signals.code) for run in runs)


def iterations(trace: Trace) -> Table:
    """Return the table of iterations."""
    rows = [{key: f"{row[key]:{FORMAT.get(key, 'g')}}" if key in row else "" for key in HEADINGS} for row in trace]
    return table(HEADINGS, rows)
