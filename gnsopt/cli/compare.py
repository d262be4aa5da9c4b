"""``gnsopt compare``: several methods on one data set, by one rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from scipy.optimize import OptimizeResult

from gnsopt import plotting
from gnsopt.cli.fit import exit_code, facts_of
from gnsopt.cli.interrupt import interruptible, unhurried
from gnsopt.cli.kept_runs import KeptRuns
from gnsopt.cli.misuse import Misuse, said_in_one_line
from gnsopt.cli.options import (
    FIGURES,
    L2,
    Data,
    Intercept,
    Loss,
    LossOption,
    MaxIter,
    MaxTime,
    Quiet,
    Task,
    Tol,
    ZeroBased,
    check_figure,
    check_limits,
    check_writable,
    read_method,
    read_task,
)
from gnsopt.cli.saving import save
from gnsopt.cli.screen import Meter, describe, notices, output, table
from gnsopt.point import Point
from gnsopt.stopping import Status, gradient_norm

FIGURE = Path("gnsopt-compare.png")
HEADINGS = {
    "method": "method",
    "status": "status",
    "nit": "iterations",
    "njev": "gradients",
    "nhev": "Hessians",
    "nhessp": "products",
    "seconds": "seconds",
    "gap": "f - f*",
    "gnorm": "|g|",
}
SHORT = HEADINGS | {"nit": "iter", "njev": "grad", "nhev": "Hess", "nhessp": "prod", "seconds": "sec"}
WIDE = 110  # columns from which the full headings are used


@dataclass(frozen=True)
class Run:
    """One method's run, with value and gradient norm evaluated afresh at its point."""

    label: str
    result: OptimizeResult
    fun: float
    gnorm: float


def compare(
    data: Data,
    methods: Annotated[
        str, typer.Option(metavar="NAMES", help="With commas between them; 'gnsopt methods' lists them.")
    ] = "line-newton, gns, super-newton, scipy:L-BFGS-B, scipy:trust-ncg",
    loss: LossOption = Loss.auto,
    l2: L2 = "1/n",
    intercept: Intercept = False,
    tol: Tol = 1e-8,
    maxiter: MaxIter = 10_000,
    maxtime: MaxTime = None,
    zero_based: ZeroBased = False,
    figure: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help=f"Where the figure goes: .png, .pdf or .svg. [default: {FIGURE}]",
            show_default=False,
        ),
    ] = None,
    no_figure: Annotated[bool, typer.Option("--no-figure", help="Draw nothing.")] = False,
    save_runs_to: Annotated[
        Path | None,
        typer.Option(
            "--save-runs", metavar="FOLDER", help="Keep the run of each method as it ends.", show_default=False
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Take the finished runs that FOLDER has.")] = False,
    quiet: Quiet = False,
) -> int:
    """Compare methods on DATA: one table and one figure.

    All start at zero and stop by the same rule; the limits are those of each method. Seconds are the method's own:
    recording is not in them, nor is compilation, for each method makes one iteration before. Ctrl-C or SIGTERM end the
    comparison with the table of what there is; with --save-runs, the same command and --resume goes on from there.
    """
    labels = read_labels(methods)
    target = None if no_figure else figure or FIGURE
    check_writable(target, FIGURES)
    check_figure(None if no_figure else figure)
    check_limits(tol, maxiter, maxtime)
    screen = output()
    screen.quiet = quiet
    limits = {"gtol": tol, "maxiter": maxiter, "maxtime": maxtime}
    if resume and save_runs_to is None:
        raise Misuse("--resume takes the runs of a folder: name it, --save-runs FOLDER")
    kept = KeptRuns(save_runs_to, resume, labels) if save_runs_to else None
    signals, finished = interruptible(), False
    runs: list[Run] = []
    try:
        with signals:
            task = read_task(data, loss, l2, intercept, zero_based)
            describe(screen, facts_of(task))
            runs, all_run = run_all(task, labels, limits, quiet, kept)
            if runs:
                report(screen, runs, task.name, target)
            finished = all_run
    except KeyboardInterrupt:  # the runs are kept as they end; the table or the figure was not finished
        finished = False
    if not finished:
        notices().print(f"interrupted: {len(runs)} of {len(labels)} methods have run")
        return signals.code
    return max(exit_code(run.result.status) for run in runs)


def read_labels(methods: str) -> list[str]:
    """Return the methods that the user listed, all of them readable and none of them twice."""
    labels = [label.strip() for label in methods.split(",") if label.strip()]
    if not labels:
        raise Misuse("--methods is empty: name some, such as gns,scipy:L-BFGS-B (see 'gnsopt methods')")
    for label in labels:
        read_method(label)
        if labels.count(label) > 1:
            raise Misuse(f"method {label!r} is listed twice: leave one out")
    return labels


def run_all(
    task: Task, labels: list[str], limits: dict[str, Any], quiet: bool = False, kept: KeptRuns | None = None
) -> tuple[list[Run], bool]:
    """Run the methods in turn, or take what is kept; return the runs, and whether all of them came to their end."""
    runs: list[Run] = []
    try:
        with Meter(limits["gtol"], quiet, timed=True) as meter:
            for number, label in enumerate(labels, 1):
                found = kept.get(label, task, limits) if kept else None
                if found is None:
                    found = run_one(task, label, limits, meter.follow(f"{label} ({number} of {len(labels)})"))
                    with unhurried():  # kept and counted, or neither
                        if kept:
                            kept.put(label, task, limits, found)
                        runs.append(run_of(label, task, found))
                else:
                    runs.append(run_of(label, task, found))
                if found.status == Status.INTERRUPTED:
                    return runs, False
    except KeyboardInterrupt:
        return runs, False
    return runs, True


def run_of(label: str, task: Task, found: OptimizeResult) -> Run:
    """Return a method's run with value and gradient norm at its point."""
    point = Point(task.problem(), found.x)
    return Run(label, found, point.f, gradient_norm(point))


def run_one(task: Task, label: str, limits: dict[str, Any], callback: Callable[..., None]) -> OptimizeResult:
    """Run one method on a fresh problem, after one iteration on another that compiles what it needs."""
    method = read_method(label)
    with said_in_one_line():
        first = method.minimize(task.problem(), **(limits | {"maxiter": 1}))
        if first.status == Status.INTERRUPTED:
            raise KeyboardInterrupt
        return method.minimize(task.problem(), **limits, callback=callback)


def report(screen: Console, runs: list[Run], title: str, figure: Path | None) -> None:
    """Print the table, what the failed runs say, and draw the figure."""
    best = best_value(runs)
    narrow = screen.width < WIDE
    screen.print()
    screen.print(table(SHORT if narrow else HEADINGS, [row_of(run, best) for run in runs], narrow))
    screen.print()
    describe(screen, {"f*": f"{best:.15g}, the lowest value of all runs"})
    for run in runs:
        if not Status(run.result.status).success:
            screen.print(f"{run.label}: {run.result.message}")
    if figure is not None:
        draw(screen, runs, best, title, figure)


def best_value(runs: list[Run]) -> float:
    """Return the lowest value that any run has seen."""
    return float(min(min(run.fun, run.result.trace["fun"].min()) for run in runs))


def row_of(run: Run, best: float) -> dict[str, str]:
    """Return the cells of a run."""
    gap = run.fun - best
    counts = {name: str(run.result[name]) for name in ("nit", "njev", "nhev", "nhessp")}
    return counts | {
        "method": run.label,
        "status": Status(run.result.status).name.lower().replace("_", " "),
        "seconds": f"{run.result.trace['time'][-1]:.3g}",
        "gap": f"{gap:.1e}" if gap else "0",
        "gnorm": f"{run.gnorm:.1e}",
    }


def draw(screen: Console, runs: list[Run], best: float, title: str, path: Path) -> None:
    """Draw the figure, or say what is missing for it."""
    try:
        figure = plotting.convergence({run.label: run.result.trace for run in runs}, best, title=title)
    except ImportError as error:
        notices().print(f"no figure: {error}")
        return
    save(path, figure.savefig)
    describe(screen, {"figure": str(path)})
