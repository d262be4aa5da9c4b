"""``gnsopt fit``: one data set, one method."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from scipy.optimize import OptimizeResult

from gnsopt.cli.interrupt import interruptible
from gnsopt.cli.misuse import Misuse, said_in_one_line
from gnsopt.cli.options import (
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
    check_limits,
    check_writable,
    read_method,
    read_task,
)
from gnsopt.cli.saving import save, save_weights
from gnsopt.cli.scipy_method import SciPyMethod
from gnsopt.cli.screen import Meter, describe, notices, output
from gnsopt.stopping import Status

INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def fit(
    data: Data,
    loss: LossOption = Loss.auto,
    l2: L2 = "1/n",
    method: Annotated[
        str, typer.Option(metavar="NAME", help="One of those that 'gnsopt methods' lists.")
    ] = "line-newton",
    curvature: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The approximate Hessian; --method gns:fisher says it too.", show_default=False
        ),
    ] = None,
    intercept: Intercept = False,
    tol: Tol = 1e-8,
    maxiter: MaxIter = 10_000,
    maxtime: MaxTime = None,
    zero_based: ZeroBased = False,
    save_weights_to: Annotated[
        Path | None,
        typer.Option(
            "--save-weights", metavar="FILE.npz", help="Save weights, classes, l2, loss and status.", show_default=False
        ),
    ] = None,
    save_trace_to: Annotated[
        Path | None,
        typer.Option("--save-trace", metavar="FILE.csv", help="Save a row for each iteration.", show_default=False),
    ] = None,
    quiet: Quiet = False,
) -> int:
    """Fit a linear classifier to DATA.

    The objective is the mean loss plus l2/2 |w|^2. Ctrl-C ends the fit with the best point so far, which is printed
    and saved like any other.
    """
    solver = read_method(method, curvature)
    if isinstance(solver, SciPyMethod):
        raise Misuse(f"method {method!r} can be compared, not fitted: use 'gnsopt compare {data} --methods {method}'")
    check_writable(save_weights_to, (".npz",))
    check_writable(save_trace_to, (".csv",))
    check_limits(tol, maxiter, maxtime)
    screen = output()
    screen.quiet = quiet
    try:
        with interruptible():
            task = read_task(data, loss, l2, intercept, zero_based)
            problem = task.problem()
            describe(screen, facts_of(task))
            with Meter(tol, quiet) as meter, said_in_one_line():
                result = solver.minimize(
                    problem, gtol=tol, maxiter=maxiter, maxtime=maxtime, callback=meter.follow(method)
                )
            facts = facts_of_result(result, tol)
            facts["accuracy"] = f"{accuracy(problem, result.x, task):.2%} of these samples"
            describe(screen, facts)
            if save_weights_to:
                save_weights(save_weights_to, problem, result, task)
                describe(screen, {"weights": str(save_weights_to)})
            if save_trace_to:
                save(save_trace_to, result.trace.to_csv)
                describe(screen, {"trace": str(save_trace_to)})
            return exit_code(result.status)
    except KeyboardInterrupt:
        notices().print("interrupted outside the fit: nothing saved")
        return INTERRUPTED


def exit_code(status: int) -> int:
    """Return the exit code for a status."""
    if status == Status.INTERRUPTED:
        return INTERRUPTED
    return 0 if Status(status).success else 1


def facts_of(task: Task) -> dict[str, str]:
    """Describe data and model."""
    problem = task.problem()
    design = problem.design
    share = f" ({design.nnz / design.n_samples / design.n_features:.2g} nonzero)" if design.sparse else ""
    penalty = f"l2 = {task.l2:.6g}" if task.l2_text.count("/") == 0 else f"l2 = {task.l2_text} = {task.l2:.6g}"
    return {
        "data": f"{task.name}: {design.n_samples} samples, {design.n_features} features{share}, "
        f"{problem.classes.size} classes",
        "model": f"{task.loss} regression, {penalty}, {'an' if task.intercept else 'no'} intercept: "
        f"{problem.n} variables",
    }


def facts_of_result(result: OptimizeResult, tol: float) -> dict[str, str]:
    """Describe how a run ended."""
    facts = {
        "curvature": result.curvature,
        "status": result.message,
        "objective": f"{result.fun:.15g}",
        "gradient": f"{np.max(np.abs(result.jac)):.3g} in the infinity norm (tolerance {tol:g})",
        "iterations": f"{result.nit} in {result.trace['time'][-1]:.3g} s",
        "work": f"{result.nfev} values, {result.njev} gradients, {result.nhev} Hessians, "
        f"{result.nhessp} Hessian products, {result.nsolve} solves",
    }
    return {label: fact for label, fact in facts.items() if fact}


def accuracy(problem: Any, x: Any, task: Task) -> float:
    """Return the share of the samples whose most probable class is their own."""
    chances = problem.predict(x, task.X)
    best = (chances > 0.5).astype(int) if chances.ndim == 1 else np.argmax(chances, axis=1)
    return float(np.mean(problem.classes[best] == task.y))
