r"""Sinkhorn-Newton-Sparse [1]: N1 Sinkhorn iterations, then Newton on the dual with a sparsified Hessian.

    H = [[diag(P 1), P], [P', diag(P'1)]],     M = H with the largest entries of P only,
    M d = -grad F  by conjugate gradients,      (x, y) <- (x, y) + t d  with t from backtracking.

The diagonal blocks stay exact, so that M is diagonally dominant and thus positive semidefinite whatever is dropped.

Departures from the paper, whose text leaves them open: conjugate gradients stop at ``min(0.1, sqrt(err1))`` of the
gradient, with the diagonal as preconditioner; backtracking halves t until Armijo's test with 1e-4 holds, in exact
arithmetic (`gnsopt.globalization.decrease`); where 20 halvings fail the step is one Sinkhorn iteration, and after 10
of these in a row the run ends: M is too far from H, or too nearly singular. `gnsopt.ot.Newton` has neither trouble.

References
----------
[1] Tang, Shavlovsky, Rahmanian, Tardini, Thekumparampil, Xiao, Ying, "Accelerating Sinkhorn algorithm with sparse
Newton iterations", ICLR 2024, arXiv 2401.12253, Algorithm 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from gnsopt._typing import Array
from gnsopt.exceptions import MissingRequirement, NotPositiveDefinite, StepFailure
from gnsopt.globalization import decrease
from gnsopt.linalg.precond import Jacobi
from gnsopt.linalg.shifted import Accuracy, KrylovShifted
from gnsopt.ot.dual import Coupling, Dual
from gnsopt.ot.semidual import column_logs, error
from gnsopt.point import Point
from gnsopt.solver import Solver

ARMIJO, HALVINGS, FAILURES = 1e-4, 20, 10


@dataclass(frozen=True)
class SinkhornNewtonSparse(Solver):
    r"""Sinkhorn-Newton-Sparse (method ``"sns"``).

    Parameters
    ----------
    N1 : int, default=20
        Sinkhorn iterations of the first stage; the paper takes 700 for L1 costs on a grid.
    density : float, optional
        Fraction of the n m entries of the plan that are kept, in (0, 1]; by default ``6 max(n, m)`` entries, which
        reproduces the paper's 9 Newton steps on its assignment instance (measured; with 2 n entries it takes 60).
    max_products : int, default=2000
        Products of conjugate gradients per step at the most.
    metric : "auto", None, array or Metric, default="auto"
        Norm of the residual; ``"auto"`` is the diagonal of both marginals.
    """

    N1: int = 20
    density: float | None = None
    max_products: int = 2000
    metric: Any = "auto"

    def __post_init__(self) -> None:
        """Check the hyper-parameters."""
        super().__post_init__()
        if not (isinstance(self.N1, int | np.integer) and self.N1 >= 0):
            raise ValueError(f"N1={self.N1!r} must be an integer of at least 0")
        if not (self.density is None or 0 < self.density <= 1):
            raise ValueError(f"density={self.density!r} must lie in (0, 1], or be None")
        if not (isinstance(self.max_products, int | np.integer) and self.max_products >= 1):
            raise ValueError(f"max_products={self.max_products!r} must be an integer of at least 1")

    def objective(self, problem: Any) -> Dual:
        """Return the dual in both potentials."""
        dual: Dual = problem.dual()
        return dual

    def iterates(self, x: Point) -> Iterator[tuple[Point, dict[str, float]]]:
        """Yield the points of both stages; ``newton`` is 0 or 1, ``kept`` the fraction of the mass in M."""
        if not isinstance(x.objective, Dual):
            name = type(x.objective).__name__
            raise MissingRequirement(
                f"SinkhornNewtonSparse solves the dual of transport problems, not a {name}; use ot.solve"
            )
        for _ in range(self.N1):
            x = x.at(sinkhorn_step(x))
            yield x, {"newton": 0.0}
        failures = 0
        while failures < FAILURES:
            M, kept = self.sparsified(x)
            d = -conjugate_gradients(M, x, min(0.1, error(x) ** 0.5), self.max_products)
            x, t = backtracking(x, d)
            failures = failures + 1 if t == 0 else 0
            yield x, {"newton": 1.0, "kept": kept, "t": t}

        raise StepFailure(f"{FAILURES} line searches failed in a row")

    def sparsified(self, x: Point) -> tuple[Coupling, float]:
        """Return M and the fraction of the mass of P that it keeps."""
        P = x.z.P
        size = 6 * max(P.shape) if self.density is None else int(np.ceil(self.density * P.size))
        if size >= P.size:
            return Coupling(x.z.r, x.z.c, P), 1.0
        rho = np.partition(P, P.size - size, axis=None)[P.size - size]  # the size-th largest entry
        K = csr_array(np.where(P >= rho, P, 0.0))
        return Coupling(x.z.r, x.z.c, K), float(K.sum() / P.sum())


def sinkhorn_step(x: Point) -> Array:
    """Return the potentials after one Sinkhorn iteration, rows first.

    Parameters
    ----------
    x : Point
        A point of a `Dual`.

    Returns
    -------
    ndarray
        Both potentials.
    """
    dual: Any = x.objective
    rows = dual.row_update(dual.split(x.x)[1])
    return np.asarray(dual.begin(rows, np.log(dual.b) - column_logs(dual.geometry, dual.reg, rows)))


def conjugate_gradients(M: Coupling, x: Point, tol: float, max_products: int) -> Array:
    """Solve ``M d = grad F`` from zero; the gradient has no part along M's null vector (1, -1).

    Where rounding makes M indefinite it is shifted by the least multiple of the metric that helps.

    Parameters
    ----------
    M : Coupling
        The sparsified Hessian.
    x : Point
        Where the gradient is taken.
    tol : float
        Relative residual.
    max_products : int
        Products at the most.

    Returns
    -------
    ndarray
        The solution.
    """

    def product(v: Array) -> Array:
        x.counts.nhessp += 1
        return M.matvec(v)

    solves = KrylovShifted(product, x.metric, Jacobi(M), Accuracy(0.0, tol, max_products=max_products))
    for lam in (0.0, *10.0 ** np.arange(-15, 1)):
        x.counts.nsolve += 1
        try:
            return solves.solve(lam, x.g)
        except NotPositiveDefinite:
            continue
    raise StepFailure("the sparsified Hessian is not positive definite")


def backtracking(x: Point, d: Array) -> tuple[Point, float]:
    """Return the first point along `d` that satisfies Armijo's test, with its t; else a Sinkhorn iteration, with t = 0.

    Parameters
    ----------
    x : Point
        Where.
    d : ndarray
        Direction.

    Returns
    -------
    y : Point
        The accepted point.
    t : float
        Step length.
    """
    slope, t = float(x.g @ d), 1.0
    for _ in range(HALVINGS):
        y = x.at(x.x + t * d)
        if decrease(x, y) >= -ARMIJO * t * slope > 0:
            return y, t
        t /= 2
    y = x.at(sinkhorn_step(x))
    if not decrease(x, y) > 0:
        raise StepFailure("neither Newton nor Sinkhorn decreases F", -slope)
    return y, 0.0
