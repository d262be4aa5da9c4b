r"""Newton steps of ``F(x, y) = (g_L, c) = 0``: the system ``[[B, G'], [G, 0]] (dx, dy) = -(g_L, c)``.

===========  =========================================================  ============================================
name         how                                                        what makes Z'BZ definite
===========  =========================================================  ============================================
``dense``    null-space basis and eigenvalues of the reduced Hessian    absolute values of the eigenvalues
``lu``       sparse LU with a probe of the curvature of the step        shifts of B, growing until the probe passes
``qdldl``    sparse LDL' (package ``qdldl``), inertia from D            shifts of B, growing until inertia is right
``cg``       conjugate gradients in the null space, products only       nothing: negative curvature is reported
``minres``   MINRES preconditioned by ``diag(I, GG')``, products only   shifts of B, growing until the probe passes
``sketch``   blocks of rows of the equilibrated system [1]              the same
===========  =========================================================  ============================================

A Jacobian without full rank is met by least squares (``dense``) or by ``-delta_c I`` in the place of the zero block.

Departure from the authors' code and from a shift by the least eigenvalue: ``dense`` replaces the eigenvalues of an
indefinite reduced Hessian by their absolute values, at least ``min(1e-3 |H|, |F|)``, and the others begin with that
shift. A floor that falls with the residual keeps fast convergence where the reduced Hessian is singular at the
solution: with a fixed shift LUKVLE13 takes more than 500 steps (measured).

References
----------
[1] Gower, Richtarik, "Randomized iterative methods for linear systems", 2015; see `gnsopt.linalg.sketch_and_project`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import block_array, csc_array, diags_array, eye_array, issparse
from scipy.sparse.linalg import LinearOperator, minres

from gnsopt._typing import Array
from gnsopt.constrained.factor import sparse_lu
from gnsopt.constrained.matrices import csr, dense, size
from gnsopt.constrained.point import KKTPoint
from gnsopt.constrained.rows import DenseRows, RowSpace
from gnsopt.exceptions import NotPositiveDefinite
from gnsopt.linalg.sketch_and_project import SketchAndProject, equilibration
from gnsopt.linalg.sketches import keyed

DEFINITE = 1e-8  # least curvature, relative to the Hessian's size, that needs no shift (chosen)
SHIFT = 1e-3  # first shift, and largest floor of raised eigenvalues, relative to the Hessian's size (chosen)
TRIES = 12  # shifts at the most; beyond, the safeguard takes over
REGULAR = 1e-8  # delta_c, relative
REFINEMENTS = 4  # runs of MINRES, or tighter runs of sketches, for one system at the most
DENSE = 500  # variables up to which an "auto" choice takes dense linear algebra (chosen)
SMALL = 60  # variables up to which it assembles a Hessian known by products (chosen)


@dataclass
class Step:
    """A Newton step.

    Parameters
    ----------
    dx, dy : ndarray
        Changes of x and of the multipliers.
    curvature : float
        ``u'Bu`` of its tangential part u.
    shift : float
        What was added to the Hessian, or to its most changed eigenvalue.
    """

    dx: Array
    dy: Array
    curvature: float
    shift: float


def dense_step(p: KKTPoint, tol: float, seed: int, k: int) -> Step:
    """Solve in the null space; least squares where G has no full rank.

    Parameters
    ----------
    p : KKTPoint
        Where.
    tol : float
        Not used: the solve is exact.
    seed, k : int
        Not used.

    Returns
    -------
    Step
        The step.
    """
    rows = RowSpace.of(p)
    if not isinstance(rows, DenseRows):
        rows = DenseRows(dense(p.G))
    values, W = rows.reduced(p.H)
    largest = size(p.H)
    raised = values
    if values.size and values[0] <= DEFINITE * largest:
        least = max(min(SHIFT * largest, p.F), DEFINITE * largest, EPS)
        raised = np.maximum(np.abs(values), least)
    v = rows.range_step(p.c)
    Hv = np.asarray(p.H @ v)
    a = W.T @ (p.gL + Hv) / raised
    u = -np.asarray(W @ a)
    dx = v + u
    dy = rows.multipliers(p.gL + Hv + np.asarray(p.H @ u))
    p.work.objective.nsolve += 1
    return Step(dx, dy, float(raised @ a**2), float((raised - values).max(initial=0.0)))


def lu_step(p: KKTPoint, tol: float, seed: int, k: int) -> Step:
    """Solve by sparse LU; the curvature of the tangential part of the step tells whether B needs a shift [1].

    Parameters
    ----------
    p : KKTPoint
        Where; the Hessian is a matrix.
    tol : float
        Not used: the solve is exact.
    seed, k : int
        Not used.

    Returns
    -------
    Step
        The step.

    References
    ----------
    [1] Chiang, Zavala, "An inertia-free filter line-search algorithm for large-scale nonlinear programming", 2016.
    """

    def solve(shift: float, delta: float) -> Array | None:
        factor = sparse_lu(_matrix(p, shift, delta))
        if factor is None:
            return None
        p.work.objective.nsolve += 1
        return np.asarray(factor.solve(-np.concatenate([p.gL, p.c])))

    return _shifted(p, solve)


def qdldl_step(p: KKTPoint, tol: float, seed: int, k: int) -> Step:
    """Solve by sparse LDL' of the quasi-definite system with ``-delta_c I``, refined; D tells the inertia.

    Parameters
    ----------
    p : KKTPoint
        Where; the Hessian is a matrix.
    tol : float
        Not used: the solve is exact.
    seed, k : int
        Not used.

    Returns
    -------
    Step
        The step.
    """
    import qdldl

    rhs = -np.concatenate([p.gL, p.c])

    def solve(shift: float, delta: float) -> Array | None:
        exact = _matrix(p, shift, delta)
        try:
            factor = qdldl.Solver(csc_array(_matrix(p, shift, max(delta, REGULAR))))
        except RuntimeError:
            return None
        p.work.objective.nsolve += 1
        d = np.asarray(factor.factors()[1])
        if np.count_nonzero(d > 0) != p.problem.n:
            return None
        z = np.asarray(factor.solve(rhs))
        for _ in range(10):
            r = rhs - exact @ z
            if np.linalg.norm(r) <= 1e-12 * np.linalg.norm(rhs):
                break
            z = z + np.asarray(factor.solve(r))
        return z

    return _shifted(p, solve)


def cg_step(p: KKTPoint, tol: float, seed: int, k: int) -> Step:
    """Solve by conjugate gradients in the null space of G, with products of the Hessian alone.

    Parameters
    ----------
    p : KKTPoint
        Where.
    tol : float
        Norm of the projected residual to stop at.
    seed, k : int
        Not used.

    Returns
    -------
    Step
        The step.

    Raises
    ------
    NotPositiveDefinite
        Where a direction of non-positive curvature is met.
    """
    rows = RowSpace.of(p)

    def project(v: Array) -> Array:
        return v + rows.range_step(np.asarray(p.G @ v))

    v = rows.range_step(p.c)
    b = p.gL + np.asarray(p.H @ v)
    u, r = np.zeros(p.problem.n), project(b)
    d, square = -r, float(r @ r)
    curvature, limit = 0.0, min(max(tol, 1e-14 * float(np.linalg.norm(b))), 0.1 * square**0.5)
    for _ in range(2 * p.problem.n):
        if square**0.5 <= limit:
            break
        Hd = np.asarray(p.H @ d)
        p.work.nmatvec += 1
        bend = float(d @ Hd)
        if bend <= EPS * float(np.linalg.norm(d)) * float(np.linalg.norm(Hd)):
            raise NotPositiveDefinite("the reduced Hessian has a direction of non-positive curvature")
        step = square / bend
        u, r = u + step * d, r + step * Hd
        r = project(r)
        last, square = square, float(r @ r)
        d = -r + (square / last) * d
        curvature += last * step
    p.work.objective.nsolve += 1
    dx = v + u
    return Step(dx, rows.multipliers(p.gL + np.asarray(p.H @ dx)), curvature, 0.0)


def minres_step(p: KKTPoint, tol: float, seed: int, k: int) -> Step:
    """Solve by MINRES with the preconditioner ``diag(a I, GG'/a)``, ``a = |H|``, until the residual is `tol`.

    Parameters
    ----------
    p : KKTPoint
        Where.
    tol : float
        Norm of the residual.
    seed, k : int
        Not used.

    Returns
    -------
    Step
        The step.
    """
    n, N, rows, scale = p.problem.n, p.problem.n + p.problem.m, RowSpace.of(p), max(size(p.H), DEFINITE)
    rhs = -np.concatenate([p.gL, p.c])

    def precondition(z: Array) -> Array:
        z = np.asarray(z).reshape(-1)
        bottom = z[n:] if rows.deficient else scale * rows.gram_solve(z[n:])
        return np.concatenate([z[:n] / scale, bottom])

    def solve(shift: float, delta: float) -> Array | None:
        def product(z: Array) -> Array:
            p.work.nmatvec += 1
            z = np.asarray(z).reshape(-1)
            top = np.asarray(p.H @ z[:n]) + shift * z[:n] + np.asarray(p.G.T @ z[n:])
            return np.concatenate([top, np.asarray(p.G @ z[:n]) - delta * z[n:]])

        K = LinearOperator((N, N), matvec=product, dtype=float)
        M = LinearOperator((N, N), matvec=precondition, dtype=float)
        p.work.objective.nsolve += 1
        z = np.zeros(N)
        for _ in range(REFINEMENTS):  # its own test is in another norm: go on until the residual is small
            r = rhs - product(z)
            left = float(np.linalg.norm(r))
            if left <= tol:
                break
            z = z + minres(K, r, M=M, rtol=max(0.1 * tol / left, 1e-13), maxiter=5 * N)[0]
        return z

    return _shifted(p, solve)


def sketch_step(p: KKTPoint, tol: float, seed: int, k: int) -> Step:
    """Solve by sketch-and-project with blocks of half the rows, equilibrated, until the residual is `tol`.

    Parameters
    ----------
    p : KKTPoint
        Where; the Hessian is a matrix.
    tol : float
        Norm of the residual.
    seed, k : int
        Key of the sketches.

    Returns
    -------
    Step
        The step.
    """
    rhs = -np.concatenate([p.gL, p.c])

    def solve(shift: float, delta: float) -> Array | None:
        K = _matrix(p, shift, delta)
        d = equilibration(K)
        scaled = (diags_array(d) @ K @ diags_array(d)).tocsr()
        scaled = scaled if issparse(p.G) else scaled.toarray()
        inner = SketchAndProject(scaled, d * rhs, "rows", max(1, rhs.size // 2), keyed(seed, "kkt rows", k))
        limit = tol * float(d.min())  # |r| = |D^{-1} r_scaled| <= |r_scaled| / min d
        for _ in range(REFINEMENTS):
            inner.run(limit, 50 * rhs.size)
            if np.linalg.norm(K @ (d * inner.z) - rhs) <= tol or inner.steps >= 50 * rhs.size:
                break
            limit *= 0.1
        p.work.nmatvec += inner.products
        p.work.objective.nsolve += 1
        return np.asarray(d * inner.z)

    return _shifted(p, solve)


StepSolver = Callable[[KKTPoint, float, int, int], Step]
SOLVERS: dict[str, StepSolver] = {
    "dense": dense_step,
    "lu": lu_step,
    "qdldl": qdldl_step,
    "cg": cg_step,
    "minres": minres_step,
    "sketch": sketch_step,
}
INEXACT = ("cg", "minres", "sketch")
EPS = float(np.finfo(float).eps)


def choose(p: KKTPoint) -> str:
    """Return the solver that ``kkt="auto"`` stands for at `p`: by sizes and kinds alone.

    Parameters
    ----------
    p : KKTPoint
        The start.

    Returns
    -------
    str
        ``"dense"`` up to 500 variables (60 where the Hessian is known by products), else ``"cg"`` for products and
        ``"lu"`` for matrices.
    """
    products, n = isinstance(p.H, LinearOperator), p.problem.n
    if n <= (SMALL if products else DENSE) or not (products or issparse(p.G) or issparse(p.H)):
        return "dense"
    return "cg" if products else "lu"


def _shifted(p: KKTPoint, solve: Callable[[float, float], Array | None]) -> Step:
    """Return the step of the least shift tried that the probe accepts: the tangential part sees enough curvature."""
    n, largest, shift, delta = p.problem.n, max(size(p.H), 1e-8), 0.0, 0.0
    for _ in range(TRIES):
        z = solve(shift, delta)
        if z is not None and np.isfinite(z).all():
            dx = z[:n]
            u = dx - RowSpace.of(p).range_step(-np.asarray(p.G @ dx))
            bend = float(u @ (p.H @ u)) + shift * float(u @ u)
            if bend >= DEFINITE * largest * float(u @ u):
                return Step(dx, z[n:], bend, shift)
        if z is None and delta == 0.0:
            delta = REGULAR * max(1.0, largest)
        else:
            shift = max(min(SHIFT * largest, p.F), DEFINITE * largest) if shift == 0.0 else 10.0 * shift
    raise NotPositiveDefinite(f"{TRIES} shifts of the Hessian failed")


def _matrix(p: KKTPoint, shift: float, delta: float) -> Any:
    B = csr(p.H) + shift * eye_array(p.problem.n)
    return block_array([[B, csr(p.G.T)], [csr(p.G), -delta * eye_array(p.problem.m)]], format="csc")
