"""The door to entropic transport: ``ot.solve(a, b, C, reg=..., method="auto")``."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gnsopt.arguments import as_number, shown
from gnsopt.ot.auto import Auto
from gnsopt.ot.constrained import Constraint
from gnsopt.ot.constrained_result import ConstrainedResult
from gnsopt.ot.feasibility import Unbounded, Violated, hall_violation
from gnsopt.ot.newton import Newton
from gnsopt.ot.problem import Infeasible, Problem
from gnsopt.ot.result import NotConverged, OTResult
from gnsopt.ot.sinkhorn import Sinkhorn
from gnsopt.ot.sns import SinkhornNewtonSparse
from gnsopt.ot.unbalanced_result import UnbalancedResult
from gnsopt.solver import Solver, suggest
from gnsopt.stopping import GradientNorm, Progress, Status, StopRule

METHODS: dict[str, type[Solver]] = {"auto": Auto, "newton": Newton, "sinkhorn": Sinkhorn, "sns": SinkhornNewtonSparse}


@dataclass(frozen=True)
class MaxGradients(StopRule):
    """Stop after `limit` gradients of the dual: Sinkhorn iterations and Newton trials.

    Parameters
    ----------
    limit : int
        Gradients at the most; a burst of Sinkhorn iterations is finished.
    """

    limit: int

    def __call__(self, progress: Progress) -> Status | None:
        """Compare the gradients with the limit."""
        return Status.MAXITER if progress.point.counts.njev >= self.limit else None


def solve(
    a: Any = None,
    b: Any = None,
    C: Any = None,
    reg: float | None = None,
    *,
    reg_rel: float | None = None,
    scale: str = "max",
    method: str | Solver = "auto",
    tol: float = 1e-9,
    max_iter: int = 100_000,
    max_time: float | None = None,
    warm_start: Any = None,
    normalize: bool = False,
    rho: float | tuple[float, float] | None = None,
    constraints: Sequence[Constraint] = (),
    callback: Callable[..., Any] | None = None,
    disp: bool = False,
    **options: Any,
) -> OTResult:
    r"""Solve entropic optimal transport,  ``min <C, P> + reg sum P log P``  over plans P of marginals a and b.

    Parameters
    ----------
    a : array_like of shape (n,) or Problem, optional
        Source masses, non-negative; None is uniform. A `Problem` brings everything up to `scale` and `normalize`.
    b : array_like of shape (m,), optional
        Target masses, of the same sum; None is uniform.
    C : Geometry, array_like or sparse array of shape (n, m)
        Cost; +inf, and in a sparse array what is not stored, forbids a pair.
    reg : float, optional
        Regularisation in units of the cost.
    reg_rel : float, optional
        The same as a fraction of `scale`; give one of the two.
    scale : {"max", "std"}, default="max"
        The largest finite cost, or their standard deviation.
    method : {"auto", "newton", "sinkhorn", "sns"} or Solver, default="auto"
        Sinkhorn or Newton by counted work, one of the two, the paper's Sinkhorn-Newton-Sparse, or an instance.
    tol : float, default=1e-9
        Stop at ``|P 1 - a|_1 + |P'1 - b|_1 <= tol * mass``.
    max_iter : int, default=100000
        Gradients of the dual at the most: Sinkhorn iterations and Newton trials, those of epsilon scaling included. It
        is looked at, as `max_time` is, after each burst of 10 Sinkhorn iterations (each single one where the kernel is
        not kept in memory) or step, and after 10 steps of a stage of epsilon scaling; what has been begun is finished.
    max_time : float, optional
        Seconds at the most.
    warm_start : OTResult or tuple of ndarray, optional
        Potentials ``(phi, psi)`` in units of the cost to begin with, also from another reg.
    normalize : bool, default=False
        Divide `a` and `b` by their sums.
    rho : float or tuple of float, optional
        Unbalanced transport,  ``min <C, P> + reg KL(P | a b') + rho KL(P 1 | a) + rho KL(P'1 | b)``: prices, in units
        of the cost, of marginals that are not met; inf on one side makes that one exact.
    constraints : sequence of Constraint, default=()
        Linear constraints ``<D, P> >= bound`` or ``== bound``; entropy on their slacks is added to the objective.
    callback : callable, optional
        As in `gnsopt.minimize`; x are the column potentials over reg. StopIteration ends the run.
    disp : bool, default=False
        Print a line for each step.
    **options : dict
        Fields of the method, such as ``momentum=`` or ``eps_scaling=``.

    Returns
    -------
    OTResult
        Plan, potentials, values, bounds; whether it converged, and why not.

    Raises
    ------
    TypeError, ValueError
        For misuse, before any work.

    Warns
    -----
    NotConverged
        Where the tolerance was not reached.

    Notes
    -----
    Computed in float64, whatever the input. Tolerances below about ``1e-16 range(C)/reg`` cannot be reached.
    """
    problem = a if isinstance(a, Problem) else _problem(a, b, C, reg, reg_rel, scale, normalize, rho, constraints)
    given = any(v is not None for v in (b, C, reg, reg_rel, rho)) or normalize or scale != "max" or constraints != ()
    if isinstance(a, Problem) and given:
        raise TypeError("a Problem brings b, C, reg, rho, scale, normalize and constraints; leave them out")
    solver = as_method(method, tol, options)
    objective: Any = solver.objective(problem) if hasattr(solver, "objective") else problem.semidual()
    y0 = None if warm_start is None else objective.begin(*problem.start(_potentials(warm_start)))
    tol = as_number(tol, "tol") if not isinstance(tol, bool) else np.nan
    if not 0 <= tol < np.inf:
        raise ValueError(f"tol={shown(tol)} must be a number >= 0")
    if not (isinstance(max_iter, int | np.integer) and max_iter >= 0):
        raise ValueError(f"max_iter={shown(max_iter)} must be an integer >= 0")
    rule: StopRule = MaxGradients(int(max_iter))
    rule = rule | Violated(tol / 2) if problem.forbids else rule
    rule = rule | Unbounded(objective.least()) if problem.constraints else rule
    run = solver.minimize(
        objective,
        y0,
        gtol=tol,
        norm=1.0,
        maxiter=int(max_iter),
        maxtime=max_time,
        callback=callback,
        disp=disp,
        stop=GradientNorm(tol, 1.0) | rule,
    )
    x, y = objective.split(run.x)
    name = next((name for name, kind in METHODS.items() if type(solver) is kind), type(solver).__name__)
    certificate = _certificate(problem, y, run, tol)
    if problem.constraints:
        result: OTResult = ConstrainedResult(problem, None, run.x, run, tol, certificate, name)
    else:
        result = (OTResult if problem.rho is None else UnbalancedResult)(problem, x, y, run, tol, certificate, name)
    if not result.converged and result.status not in ("interrupted", "callback"):
        warnings.warn(result.message, NotConverged, stacklevel=2)
    return result


def _problem(
    a: Any, b: Any, C: Any, reg: Any, reg_rel: Any, scale: str, normalize: bool, rho: Any, constraints: Any
) -> Problem:
    if C is None:
        raise TypeError("C=None: give the cost, an n x m array or a geometry such as PointCloud(X, Y)")
    return Problem(a, b, C, reg, reg_rel=reg_rel, scale=scale, normalize=normalize, rho=rho, constraints=constraints)


def as_method(method: str | Solver, tol: float, options: dict[str, Any]) -> Solver:
    """Return the solver of a name, with its options.

    Parameters
    ----------
    method : str or Solver
        A name of `METHODS`, or an instance.
    tol : float
        Tolerance of the run, which methods that plan ahead want to know.
    options : dict
        Fields to set.

    Returns
    -------
    Solver
        The solver.

    Raises
    ------
    ValueError
        If the name or an option is unknown.
    """
    if isinstance(method, str):
        if method not in METHODS:
            raise ValueError(f"method={method!r} is unknown; {suggest(method, METHODS)}")
        solver: Solver = METHODS[method]()
    elif isinstance(method, Solver):
        solver = method
    else:
        raise TypeError(f"method={method!r} must be one of {', '.join(METHODS)}, or a solver")
    for name in options:
        if name not in solver.settings():
            raise ValueError(
                f"{name}= is unknown to solve and to {type(solver).__name__}; {suggest(name, solver.settings())}"
            )
    if "tol" in solver.settings():
        options = {"tol": tol, **options}
    return replace(solver, **options) if options else solver


def _potentials(warm: Any) -> Any:
    if isinstance(warm, OTResult):
        return warm.potentials
    if not (isinstance(warm, tuple | list) and len(warm) == 2):
        raise TypeError("warm_start must be an OTResult or a pair of potentials (phi, psi) in units of the cost")
    return warm


def _certificate(problem: Problem, y: Any, run: Any, tol: float) -> Infeasible | None:
    if run.success or not problem.forbids:
        return None
    a, b = problem.marginals
    return problem.expand_certificate(hall_violation(problem.reduced, a, b, y, tol / 2))
