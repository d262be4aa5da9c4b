"""``gnsopt ot``: the transport plan between two clouds of points, or two grey images."""

from __future__ import annotations

import warnings
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from scipy.sparse import save_npz
from scipy.spatial.distance import cdist

from gnsopt.cli import ot_figure
from gnsopt.cli.interrupt import interruptible
from gnsopt.cli.misuse import Misuse, said_in_one_line
from gnsopt.cli.options import MaxTime, Quiet, check_distinct, check_figure, check_limits, check_writable
from gnsopt.cli.places import Places, read_places
from gnsopt.cli.saving import save
from gnsopt.cli.screen import Meter, describe, notices, output
from gnsopt.ot import METHODS, Geometry, Grid, NotConverged, OTResult, PointCloud, Problem, solve
from gnsopt.solver import suggest

SMALLER = "thin out the points or shrink the images"  # the cure where memory runs out
REG_REL = 0.01  # of the largest cost, where the user gives none (chosen: fast, and visibly smooth)


class Cost(str, Enum):
    """The costs of the command line."""

    sqeuclidean = "sqeuclidean"
    euclidean = "euclidean"
    l1 = "l1"


def ot(
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="CSV file of points, or grey image.", show_default=False)
    ],
    target: Annotated[Path, typer.Argument(metavar="TARGET", help="The same.", show_default=False)],
    reg: Annotated[
        float | None, typer.Option(metavar="NUMBER", help="Regularisation, in units of the cost.", show_default=False)
    ] = None,
    reg_rel: Annotated[
        float | None,
        typer.Option(
            metavar="NUMBER", help="The same as a fraction of the largest cost. [default: 0.01]", show_default=False
        ),
    ] = None,
    cost: Annotated[Cost, typer.Option(metavar="NAME", help="sqeuclidean, euclidean or l1.")] = Cost.sqeuclidean,
    method: Annotated[str, typer.Option(metavar="NAME", help="auto, newton, sinkhorn or sns.")] = "auto",
    dark: Annotated[bool, typer.Option("--dark", help="Dark pixels of an image carry the mass.")] = False,
    tol: Annotated[float, typer.Option(metavar="NUMBER", help="L1 error of both marginals, over the mass.")] = 1e-9,
    maxiter: Annotated[int, typer.Option(metavar="COUNT", help="Iterations at the most.")] = 100_000,
    maxtime: MaxTime = None,
    plan_to: Annotated[
        Path | None,
        typer.Option(
            "--save-plan",
            metavar="FILE",
            help="Save the plan: .csv, a line for each pair, or .npz, a sparse array of SciPy.",
            show_default=False,
        ),
    ] = None,
    drop: Annotated[
        float, typer.Option(metavar="NUMBER", help="Leave out pairs below this fraction of the mean of their row.")
    ] = 1e-6,
    figure: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Draw the plan: .png, .pdf or .svg.", show_default=False)
    ] = None,
    quiet: Quiet = False,
) -> int:
    """Transport the mass of SOURCE to TARGET at the least cost.

    A line of a CSV file is a point; a column called mass or weight holds masses, which are otherwise equal. Pixels of
    an image are points one apart, their grey the mass. Masses are divided by their sum. The cost is that of the
    entropic plan; the interval encloses the least cost of all plans.
    """
    check_writable(plan_to, (".csv", ".npz"))
    check_figure(figure)
    check_distinct([source, target], {"--save-plan": plan_to, "--figure": figure})
    check_limits(tol, maxiter, maxtime)
    if method not in METHODS:
        raise Misuse(f"method {method!r} is unknown; {suggest(method, METHODS)}")
    if reg is not None and reg_rel is not None:
        raise Misuse("give --reg or --reg-rel, not both: the second one is a fraction of the largest cost")
    if not 0 <= drop < 1:
        raise Misuse(f"--drop {drop:g} is no fraction: write a number from 0 to 1, without 1")
    screen = output()
    screen.quiet = quiet
    signals = interruptible()
    try:
        with signals:
            one, other = read_places(source, dark), read_places(target, dark)
            with said_in_one_line(SMALLER):
                relative = REG_REL if reg is None and reg_rel is None else reg_rel
                problem = Problem(
                    one.mass, other.mass, geometry(one, other, cost), reg, reg_rel=relative, normalize=True
                )
            describe(screen, facts_of(one, other, problem, cost, relative))
            with Meter(tol, quiet) as meter, said_in_one_line(SMALLER), warnings.catch_warnings():
                warnings.simplefilter("ignore", NotConverged)  # the status says it
                found = solve(
                    problem,
                    method=method,
                    tol=tol,
                    max_iter=maxiter,
                    max_time=maxtime,
                    callback=meter.follow(method),
                )
            with said_in_one_line(SMALLER):
                describe(screen, facts_of_result(found))
                plan = found.sparse_plan(drop) if plan_to or figure else None
            if plan is not None:
                write(screen, one, other, plan, found, plan_to, figure)
            return signals.code if found.status == "interrupted" else 0 if found.converged else 1
    except KeyboardInterrupt:
        notices().print("interrupted outside the run: nothing saved")
        return signals.code


def geometry(one: Places, other: Places, cost: Cost) -> Geometry:
    """Return the cost between two files; between two images by its axes, where it is a sum over them."""
    if one.X.shape[1] != other.X.shape[1]:
        raise Misuse(
            f"{one.name} has {one.X.shape[1]} coordinates a point, {other.name} {other.X.shape[1]}: they must agree"
        )
    if one.sides and other.sides and cost is not Cost.euclidean:
        return Grid(one.sides, other.sides, power=1 if cost is Cost.l1 else 2)
    return PointCloud(one.X, other.X, (lambda X, Y: cdist(X, Y, "cityblock")) if cost is Cost.l1 else cost.value)


def facts_of(one: Places, other: Places, problem: Problem, cost: Cost, relative: float | None) -> dict[str, str]:
    """Describe the problem."""
    name = {Cost.sqeuclidean: "squared Euclidean", Cost.euclidean: "Euclidean", Cost.l1: "L1"}[cost]
    fraction = "" if relative is None else f", {relative:g} of the largest cost"
    return {"source": str(one), "target": str(other), "problem": f"{name} cost, reg = {problem.reg:.6g}{fraction}"}


def facts_of_result(found: OTResult) -> dict[str, str]:
    """Describe what was found."""
    lower, upper = found.interval
    return {
        "status": found.message,
        "cost": f"{found.cost:.12g}",
        "interval": f"[{lower:.12g}, {upper:.12g}] for the least cost",
        "error": f"{found.err1:.3g} of both marginals, L1 (tolerance {found.tol:g})",
        "iterations": f"{found.n_iter} in {found.trace['time'][-1]:.3g} s, {found.n_cg} products with the Hessian",
    }


def write(
    screen: Console, one: Places, other: Places, plan: Any, found: OTResult, plan_to: Path | None, figure: Path | None
) -> None:
    """Save the plan and draw the figure, where they are asked for."""
    if plan_to:
        save(plan_to, lambda part: save_npz(part, plan) if plan_to.suffix.lower() == ".npz" else save_pairs(part, plan))
        describe(screen, {"plan": f"{plan_to}: {plan.nnz} pairs, {plan.sum():.9g} of the mass"})
    if figure:
        save(figure, ot_figure.draw(one, other, plan, found).savefig)
        describe(screen, {"figure": str(figure)})


def save_pairs(path: Path, plan: Any) -> None:
    """Write a line for each pair: the numbers of source and target, from 0 in the order of the files, and the mass."""
    pairs = plan.tocoo()
    table = np.rec.fromarrays([pairs.row, pairs.col, pairs.data])
    np.savetxt(path, table, fmt=["%d", "%d", "%.17g"], delimiter=",", header="source,target,mass", comments="")
