"""One run of one solver on one problem: evaluations, and residuals at the point that it returns, by one criterion.

Evaluations are counted by the problem itself; a run ends when its CPU seconds are used up, and the last point it
evaluated a gradient at is then judged.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import NonlinearConstraint, minimize

import gnsopt
from experiments.benchmarks.cutest.library import CUTEst
from gnsopt._typing import Array

ITERATIONS = 1000


class OutOfTime(BaseException):
    """The run has used up its seconds; no solver catches this."""


class Limited:
    """A problem whose functions raise once the CPU seconds are used up.

    Parameters
    ----------
    problem : CUTEst
        The problem.
    seconds : float
        CPU seconds from now.
    """

    def __init__(self, problem: CUTEst, seconds: float) -> None:
        self.problem, self.last = problem, problem.x0.copy()
        self.end = time.process_time() + seconds

    def __getattr__(self, name: str) -> Any:
        """Return a function of the problem, limited."""
        inner = getattr(self.problem, name)

        def call(x: Array, *rest: Any) -> Any:
            if time.process_time() > self.end:
                raise OutOfTime
            if name == "grad":
                self.last = np.array(x)
            return inner(x, *rest)

        return call


def ours(p: Limited, n: int, m: int) -> tuple[Array, int]:
    """gnsopt.minimize with its defaults."""
    if m == 0:
        result = gnsopt.minimize(p.fun, p.problem.x0, jac=p.grad, hess=p.hess, options={"maxiter": ITERATIONS})
    else:
        constraint = NonlinearConstraint(p.cons, 0.0, 0.0, jac=p.jac, hess=p.cons_hess)
        options = {"maxiter": ITERATIONS}
        result = gnsopt.minimize(p.fun, p.problem.x0, jac=p.grad, hess=p.hess, constraints=constraint, options=options)
    return result.x, result.nit


def trust_constr(p: Limited, n: int, m: int) -> tuple[Array, int]:
    """SciPy's trust-constr with exact Hessians."""
    constraint = NonlinearConstraint(p.cons, 0.0, 0.0, jac=p.jac, hess=p.cons_hess)
    options = {"maxiter": ITERATIONS, "gtol": 1e-8, "xtol": 1e-12}
    result = minimize(
        p.fun, p.problem.x0, jac=p.grad, hess=p.hess, constraints=constraint, method="trust-constr", options=options
    )
    return result.x, result.nit


def slsqp(p: Limited, n: int, m: int) -> tuple[Array, int]:
    """SciPy's SLSQP."""
    constraint = {"type": "eq", "fun": p.cons, "jac": p.jac}
    options = {"maxiter": ITERATIONS, "ftol": 1e-12}
    result = minimize(p.fun, p.problem.x0, jac=p.grad, constraints=constraint, method="SLSQP", options=options)
    return result.x, result.nit


def ipopt(p: Limited, n: int, m: int) -> tuple[Array, int]:
    """Ipopt, where cyipopt is installed."""
    from cyipopt import minimize_ipopt

    constraint = {"type": "eq", "fun": p.cons, "jac": p.jac, "hess": p.cons_hess}
    result = minimize_ipopt(
        p.fun,
        p.problem.x0,
        jac=p.grad,
        hess=p.hess,
        constraints=[constraint],
        tol=1e-8,
        options={"maxiter": ITERATIONS},
    )
    return result.x, int(result.nit)


def trust_exact(p: Limited, n: int, m: int) -> tuple[Array, int]:
    """SciPy's trust-exact."""
    options = {"maxiter": ITERATIONS, "gtol": 1e-8}
    result = minimize(p.fun, p.problem.x0, jac=p.grad, hess=p.hess, method="trust-exact", options=options)
    return result.x, result.nit


CONSTRAINED: dict[str, Callable[[Limited, int, int], tuple[Array, int]]] = {
    "gnsopt": ours,
    "trust-constr": trust_constr,
    "SLSQP": slsqp,
    "Ipopt": ipopt,
}
UNCONSTRAINED: dict[str, Callable[[Limited, int, int], tuple[Array, int]]] = {
    "gnsopt": ours,
    "trust-exact": trust_exact,
}


def residuals(problem: CUTEst, x: Array) -> tuple[float, float]:
    """Return optimality and feasibility: ``|grad L(x, y_ls)|_inf / max(1, |g|, |y_ls|)`` and ``|c|_inf``.

    Without constraints: ``|g|_inf / max(1, |f|)`` and zero.
    """
    g = problem.grad(x)
    if problem.m == 0:
        return float(np.abs(g).max()) / max(1.0, abs(problem.fun(x))), 0.0
    G, c = problem.jac(x), problem.cons(x)
    if not (np.isfinite(g).all() and np.isfinite(G).all() and np.isfinite(c).all()):
        return np.inf, np.inf
    y = -np.linalg.lstsq(G.T, g, rcond=1e-12)[0]
    scale = max(1.0, float(np.linalg.norm(g)), float(np.linalg.norm(y)))
    return float(np.abs(g + G.T @ y).max()) / scale, float(np.abs(c).max())


def run(name: str, solver: str, seconds: float) -> dict[str, Any]:
    """Run one cell; return its row."""
    problem = CUTEst(name)
    limited = Limited(problem, seconds)
    table = CONSTRAINED if problem.m else UNCONSTRAINED
    began, ended = time.process_time(), "returned"
    nit = -1
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            x, nit = table[solver](limited, problem.n, problem.m)
        except OutOfTime:
            x, ended = limited.last, "out of time"
        except Exception as error:  # another package's solver may raise anything
            x, ended = limited.last, f"{type(error).__name__}: {error}"
    spent, counts = time.process_time() - began, dict(problem.counts)
    optimality, feasibility = residuals(problem, x)
    return {
        "problem": name,
        "solver": solver,
        "n": problem.n,
        "m": problem.m,
        "nit": nit,
        "ended": ended,
        "seconds": spent,
        **counts,
        "fun": float(problem.fun(x)),
        "optimality": optimality,
        "feasibility": feasibility,
        "residual": max(optimality, feasibility),
    }
