"""The driver of constrained runs: everything that is not mathematics, with trace, clock and callback of all runs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult

from gnsopt._typing import Array
from gnsopt.constrained.point import KKTPoint, largest
from gnsopt.constrained.rows import RowSpace
from gnsopt.constrained.safeguard import Ending
from gnsopt.constrained.status import KKTStatus
from gnsopt.driver import Clock, Trace, _notifier, new_result, print_row
from gnsopt.exceptions import StepFailure

NORMS = ("scaled", "inf", "2")
ROUNDING = 1e4 * float(np.finfo(float).eps)
BOTTOM = -1e15  # value of f at a feasible point below which the problem counts as unbounded (chosen)


@np.errstate(over="ignore", invalid="ignore")  # trial points may lie anywhere; what is not finite is rejected
def drive(
    iterates: Callable[[KKTPoint], Iterator[tuple[KKTPoint, dict[str, float]]]],
    p: KKTPoint,
    *,
    gtol: float,
    norm: str,
    maxiter: int,
    maxtime: float | None = None,
    callback: Callable[..., Any] | None = None,
    keep_x: bool = False,
    disp: bool = False,
) -> OptimizeResult:
    """Run a solver's generator from `p` until the KKT residual is at most `gtol` or something else ends it.

    Parameters
    ----------
    iterates : callable
        ``iterates(p)`` yields ``(point, scalars)`` after each accepted step; it may raise `StepFailure` or `Ending`.
    p : KKTPoint
        The start.
    gtol : float
        Tolerance of the residual.
    norm : {"scaled", "inf", "2"}
        Which residual.
    maxiter : int
        Iterations at the most.
    maxtime : float, optional
        Seconds at the most.
    callback : callable, optional
        ``callback(xk)`` or ``callback(intermediate_result=...)`` with x, fun, jac, nit, constr_violation, optimality;
        StopIteration ends the run, which returns that point.
    keep_x : bool, default=False
        Keep the iterates in the trace.
    disp : bool, default=False
        Print a line for each iteration.

    Returns
    -------
    OptimizeResult
        See `gnsopt.AdaSketchNewton.minimize`.
    """
    trace, clock = Trace(keep_x), Clock()
    nit, best = 0, p

    def told(*xk: Array, **by_name: OptimizeResult) -> None:
        for state in by_name.values():
            state.update(nit=nit, constr_violation=p.feasibility, optimality=p.optimality)
        callback(*xk, **by_name)  # type: ignore[misc]

    notify: Any = _notifier(functools.wraps(callback)(told) if callable(callback) else callback)  # keeps its signature
    scalars: dict[str, float] = {}
    clock.go()
    status = None if p.finite else KKTStatus.NOT_FINITE
    least, residual = np.inf, np.inf
    try:
        steps = iter(iterates(p))
        while True:
            clock.pause()
            residual = p.residual(norm) if p.finite else np.inf
            row = row_of(p, nit, clock.seconds, residual, scalars)
            trace.append(row, p.x)
            if disp:
                print_row(row, header=nit == 0)
            if residual < least or nit == 0:
                best, least = p, residual
            if nit and notify is not None and status is None and notify(p) is not None:
                status = KKTStatus.CALLBACK
            if status is None:
                status = judged(p, residual, gtol, nit, maxiter, clock.seconds, maxtime)
            if status is not None:
                break
            clock.go()
            step = next(steps, None)
            if step is None:
                status = KKTStatus.PRECISION_LIMIT
                break
            (p, scalars), nit = step, nit + 1
    except StepFailure as failure:
        at_rounding = failure.promised <= ROUNDING * max(1.0, abs(best.f)) and best.feasibility <= max(gtol, 1e-6)
        status = KKTStatus.PRECISION_LIMIT if at_rounding else KKTStatus.LINE_SEARCH
    except Ending as ending:
        status = ending.status
        best = p if status is KKTStatus.INFEASIBLE_STATIONARY else best
    except KeyboardInterrupt:
        status = KKTStatus.INTERRUPTED
    clock.pause()
    here = status.success or status in (KKTStatus.CALLBACK, KKTStatus.UNBOUNDED)
    return result(p if here else best, nit, status, trace)


def judged(
    p: KKTPoint, residual: float, gtol: float, nit: int, maxiter: int, seconds: float, maxtime: float | None
) -> KKTStatus | None:
    """Return the status that ends the run at `p`, or None.

    Parameters
    ----------
    p : KKTPoint
        Where.
    residual, gtol : float
        KKT residual and its tolerance.
    nit, maxiter : int
        Iterations, and their limit.
    seconds : float
        Seconds so far.
    maxtime : float or None
        Their limit.

    Returns
    -------
    KKTStatus or None
        The status.
    """
    if residual <= gtol:
        return KKTStatus.CONVERGED
    if p.finite and p.f < BOTTOM and p.feasibility <= max(gtol, 1e-6) * max(1.0, largest(p.x)):
        return KKTStatus.UNBOUNDED
    if nit >= maxiter:
        return KKTStatus.MAXITER
    return KKTStatus.MAXTIME if maxtime is not None and seconds >= maxtime else None


def row_of(p: KKTPoint, nit: int, seconds: float, residual: float, scalars: dict[str, float]) -> dict[str, float]:
    """Return one row of the trace.

    Parameters
    ----------
    p : KKTPoint
        The point.
    nit : int
        Iterations so far.
    seconds : float
        Seconds so far.
    residual : float
        KKT residual in the norm of the run.
    scalars : dict
        What the solver adds.

    Returns
    -------
    dict
        Name to number.
    """
    counts = counts_of(p)
    feasibility = p.feasibility if p.finite else np.nan
    return {"nit": nit, "fun": p.f, "gnorm": residual, "time": seconds, **counts, "feasibility": feasibility, **scalars}


def counts_of(p: KKTPoint) -> dict[str, float]:
    """Return all counts, with those of finite differences.

    Parameters
    ----------
    p : KKTPoint
        Any point of the run.

    Returns
    -------
    dict
        Name to count.
    """
    counts = p.work.as_dict()
    for extra in (p.problem.objective.extra_counts(), p.problem.constraints.extra_counts()):
        for name, count in extra.items():
            counts[name] += count
    return counts


def result(p: KKTPoint, nit: int, status: KKTStatus, trace: Trace) -> OptimizeResult:
    """Return what a run returns.

    Parameters
    ----------
    p : KKTPoint
        The point to report.
    nit : int
        Iterations.
    status : KKTStatus
        Why it ended.
    trace : Trace
        Its record.

    Returns
    -------
    OptimizeResult
        See `gnsopt.AdaSketchNewton.minimize`.
    """
    finite = p.finite
    return new_result(
        x=p.x.copy(),
        fun=p.f,
        jac=p.g.copy(),
        multipliers=p.y.copy(),
        multipliers_ls=RowSpace.of(p).multipliers(p.g) if finite else np.full_like(p.y, np.nan),
        constr=p.c.copy(),
        constr_violation=p.feasibility,
        lagrangian_grad=p.gL.copy(),
        optimality=p.optimality,
        kkt={norm: p.residual(norm) for norm in NORMS},
        nit=nit,
        success=status.success,
        status=int(status),
        reason=status.reason,
        message=status.message,
        trace=trace,
        **counts_of(p),
    )
