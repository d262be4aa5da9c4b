r"""Paper mode: AdaSketch-Newton as published [1], with the constants of the authors' code.

    Gamma dz = -F,     Gamma = [[B, G'], [G, 0]],     F = (g_L, c),     stopped as soon as, with r = Gamma dz + F,

    (a)  |Gamma|_F Psi |r| <= theta delta |F|,         Psi = 20 max(|B|_F^2, 1) / (min(xi_G, 1) min(xi_B, 1)),
    (b)  grad L_eta' dz <= -eta2/2 |F|^2;              where (a) holds and (b) fails:  eta1 nu^2, eta2/nu, delta/nu^4.

Psi bounds ``|Gamma^{-1}|``, loosely (by a factor of 1000 in the median), so that the relative error of dz is at most
``theta delta``; with the floor 1e-6 of delta the solves are in effect exact.

Departure: the gradient of the merit has the Hessian of the Lagrangian, where the authors' code has that of f (the same
for linear constraints); step halvings are limited to 60, and a trial that is not finite is rejected.

References
----------
[1] Hong, Na, Mahoney, Kolar, "Constrained optimization via exact augmented Lagrangian and randomized iterative
    sketching", ICML 2023, 2305.18379.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import qr

from gnsopt._typing import Array
from gnsopt.constrained.matrices import dense
from gnsopt.constrained.merit import AugmentedLagrangian
from gnsopt.constrained.point import KKTPoint
from gnsopt.constrained.safeguard import Ending
from gnsopt.constrained.status import KKTStatus
from gnsopt.exceptions import StepFailure
from gnsopt.linalg.sketch_and_project import SketchAndProject
from gnsopt.linalg.sketches import keyed

if TYPE_CHECKING:
    from gnsopt.constrained.adasketch_newton import AdaSketchNewton

DELTA_MIN = 1e-6
HALVINGS = 60


def iterates(solver: AdaSketchNewton, p: KKTPoint) -> Iterator[tuple[KKTPoint, dict[str, float]]]:
    """Yield points, with the step length ``t``, ``eta1``, ``eta2``, ``delta`` and ``inner`` steps of the solver.

    Parameters
    ----------
    solver : AdaSketchNewton
        Constants.
    p : KKTPoint
        The start.

    Yields
    ------
    tuple
        Point and scalars.

    Raises
    ------
    Ending
        With status "singular" where ``xi_G < licq``.
    """
    merit, delta, k = AugmentedLagrangian(solver.eta1, solver.eta2, solver.nu), solver.delta, 0
    while True:
        G, H = dense(p.G), dense(p.H)
        xi_G = float(np.linalg.eigvalsh(G @ G.T)[0]) if p.problem.m else 1.0
        if xi_G < solver.licq:
            raise Ending(KKTStatus.SINGULAR)
        B = definite(H, G, solver.definite, solver.xi_B)
        Gamma = kkt_matrix(B, G)
        Psi = inverse_bound(B, xi_G, solver.xi_B)
        Ups = max(float(np.linalg.norm(G)), float(np.linalg.norm(H)), 1.0)
        theta = 1.0 if solver.theta == "const" else 1.0 / (k + 1)
        delta = max(min(delta, trial_delta(merit, Ups, Psi, solver.armijo)), DELTA_MIN)
        inner = Inner(Gamma, -np.concatenate([p.gL, p.c]), solver, k)
        size = float(np.linalg.norm(Gamma)) * Psi
        while True:
            p.work.objective.nsolve += 1
            dz = inner.solve(theta * delta * p.F / size)
            dx, dy = dz[: p.problem.n], dz[p.problem.n :]
            slope = merit.slope(p, dx, dy)
            if merit.descends(p, slope) or not merit.sharpen():
                break
            delta = max(min(delta / solver.nu**4, trial_delta(merit, Ups, Psi, solver.armijo)), DELTA_MIN)
        p.work.nmatvec += inner.products
        p, t = backtracking(merit, p, dx, dy, slope, solver.armijo)
        k += 1
        yield p, {"t": t, "eta1": merit.eta1, "eta2": merit.eta2, "delta": delta, "inner": inner.steps}


class Inner:
    """The inner solver of one outer step, taken up again where (b) fails.

    Parameters
    ----------
    Gamma : ndarray of shape (N, N)
        The KKT matrix.
    b : ndarray of shape (N,)
        ``-F``.
    solver : AdaSketchNewton
        Kind, block, cap and seed of the sketches.
    k : int
        Number of the outer step, part of the key of the sketches.
    """

    def __init__(self, Gamma: Array, b: Array, solver: AdaSketchNewton, k: int) -> None:
        self.steps, self.products, self._cap = 0, 0.0, solver.inner_cap
        self._exact: Array | None = None
        if solver.sketch == "exact":
            try:
                self._exact = np.asarray(np.linalg.solve(Gamma, b))
            except np.linalg.LinAlgError:
                raise Ending(KKTStatus.SINGULAR) from None
            return
        block = solver.block or (1 if solver.sketch in ("gaussian", "kaczmarz") else max(1, b.size // 2))
        self._sketched = SketchAndProject(Gamma, b, solver.sketch, min(block, b.size), keyed(solver.seed, "kkt", k))

    def solve(self, tol: float) -> Array:
        """Return dz with ``|r| <= tol``, or what the cap allows."""
        if self._exact is not None:
            return self._exact
        self._sketched.run(tol, self._cap)
        self.steps, self.products = self._sketched.steps, self._sketched.products
        return self._sketched.z


def backtracking(
    merit: AugmentedLagrangian, p: KKTPoint, dx: Array, dy: Array, slope: float, beta: float
) -> tuple[KKTPoint, float]:
    """Return the first of ``t = 1, 1/2, 1/4, ...`` that passes Armijo's test.

    Parameters
    ----------
    merit : AugmentedLagrangian
        The penalty.
    p : KKTPoint
        Where.
    dx, dy : ndarray
        Direction.
    slope : float
        Derivative of the merit along it.
    beta : float
        Armijo's constant.

    Returns
    -------
    q : KKTPoint
        The accepted point.
    t : float
        Its step length.

    Raises
    ------
    StepFailure
        If 60 halvings are not enough, or the decrease to be seen is below rounding.
    """
    before, t = merit.value(p), 1.0
    noise = float(np.finfo(float).eps) * abs(before)
    for _ in range(HALVINGS):
        if -t * beta * slope <= noise:  # a decrease this small cannot be seen
            break
        q = merit.trial(p, dx, dy, t)
        if merit.value(q) <= before + t * beta * slope:
            return q, t
        t /= 2
    raise StepFailure("the line search found no decrease", promised=max(-slope, 0.0))


def definite(H: Array, G: Array, least: float, xi_B: float) -> Array:
    """Return ``B = H`` where ``Z'HZ >= least I``, else ``H + (xi_B + |H|_F) I``.

    Parameters
    ----------
    H : ndarray of shape (n, n)
        Hessian of the Lagrangian.
    G : ndarray of shape (m, n)
        Jacobian; with m = n there is nothing to test.
    least : float
        Threshold.
    xi_B : float
        What is left of the curvature after a shift.

    Returns
    -------
    ndarray of shape (n, n)
        B.
    """
    m, n = G.shape
    if m >= n:
        return H
    Z = qr(G.T)[0][:, m:] if m else np.eye(n)
    if np.linalg.eigvalsh(Z.T @ H @ Z)[0] >= least:
        return H
    return np.asarray(H + (xi_B + float(np.linalg.norm(H))) * np.eye(n))


def kkt_matrix(B: Array, G: Array) -> Array:
    """Return ``[[B, G'], [G, 0]]``.

    Parameters
    ----------
    B : ndarray of shape (n, n)
        Upper left block.
    G : ndarray of shape (m, n)
        Jacobian.

    Returns
    -------
    ndarray of shape (n + m, n + m)
        Gamma.
    """
    m = G.shape[0]
    return np.block([[B, G.T], [G, np.zeros((m, m))]])


def inverse_bound(B: Array, xi_G: float, xi_B: float) -> float:
    """Return Psi, which bounds ``|Gamma^{-1}|_2`` where ``Z'BZ >= xi_B I`` and ``GG' >= xi_G I``.

    Parameters
    ----------
    B : ndarray of shape (n, n)
        Upper left block.
    xi_G, xi_B : float
        Least eigenvalues.

    Returns
    -------
    float
        ``20 max(|B|_F^2, 1) / (min(xi_G, 1) min(xi_B, 1))``.
    """
    return 20.0 * max(float(np.linalg.norm(B)) ** 2, 1.0) / (min(xi_G, 1.0) * min(xi_B, 1.0))


def trial_delta(merit: AugmentedLagrangian, Ups: float, Psi: float, beta: float) -> float:
    """Return the accuracy with which the unit step passes Armijo's test near a solution.

    Parameters
    ----------
    merit : AugmentedLagrangian
        The penalties.
    Ups, Psi : float
        Bounds of the derivatives and of the inverse.
    beta : float
        Armijo's constant.

    Returns
    -------
    float
        ``(1/2 - beta) eta2 / ((1 + eta1 + eta2) Ups^2 Psi^2)``.
    """
    return (0.5 - beta) * merit.eta2 / ((1.0 + merit.eta1 + merit.eta2) * Ups**2 * Psi**2)
