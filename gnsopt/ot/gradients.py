r"""Derivatives of values and plans, in closed form.

By the envelope theorem the entropic value V has the gradients

    dV/da = phi,   dV/db = psi   (on the tangent space: up to a constant),   dV/dC = P,   dV/dreg = sum P log P,

and for points ``dV/dX_i = sum_j P_ij dc(X_i, Y_j)/dX_i``, which is ``2 (r_i X_i - (P Y)_i)`` for the squared distance.
The plan itself moves by

    dP = P o (dx 1' + 1 dy' - dC)/reg,
    [diag(a) P; P' diag(b)] (dx, dy) = (rowsum(P o dC) + reg da, colsum(P o dC) + reg db),

one Newton system, whose Schur complement is the Hessian of the semi-dual. It has the null vector 1 and is solved with
``b b'`` added, which a right-hand side of sum zero does not see.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gnsopt._typing import Array, ArrayLike
from gnsopt.arguments import as_array, check_name, shown
from gnsopt.curvature.selection import Engine
from gnsopt.linalg.forms import RankOneUpdate
from gnsopt.ot.geometry import PointCloud
from gnsopt.ot.result import OTResult
from gnsopt.point import Counts, Point

ACCURACY = 1e-13  # relative residual of the system
MAX_PRODUCTS = 20_000


class Gradients(NamedTuple):
    """Gradients of a function of the problem's data.

    Parameters
    ----------
    a, b : ndarray of shape (n,), (m,)
        For the masses; only differences between entries mean something, because the sums have to stay equal.
    C : ndarray of shape (n, m)
        For the cost.
    """

    a: Array
    b: Array
    C: Array


def value_gradients(result: OTResult, convention: str = "entropy") -> Gradients:
    """Return the gradients of the entropic value.

    Parameters
    ----------
    result : OTResult
        A converged solution.
    convention : {"entropy", "kl"}, default="entropy"
        Of ``result.value`` or of ``result.value_kl``.

    Returns
    -------
    Gradients
        The potentials and the plan; with ``"kl"`` the potentials minus ``reg log a``, and ``reg log b``.

    Raises
    ------
    ValueError
        If the convention is unknown.
    """
    _plain(result)
    check_name(convention, "convention", ("entropy", "kl"))
    phi, psi = result.potentials
    if convention == "kl":
        problem = result.problem
        phi, psi = (
            v - problem.reg * np.log(np.where(mass > 0, mass, 1.0)) for v, mass in ((phi, problem.a), (psi, problem.b))
        )
    return Gradients(phi, psi, result.plan)


def point_gradients(result: OTResult) -> tuple[Array, Array]:
    """Return the gradients of the entropic value in the points of a `PointCloud`, in O(n + m) memory.

    Parameters
    ----------
    result : OTResult
        A converged solution between point clouds with the squared or the plain Euclidean distance.

    Returns
    -------
    X : ndarray of shape (n, d)
        Gradients in the source points.
    Y : ndarray of shape (m, d)
        Gradients in the target points.

    Raises
    ------
    TypeError
        If the cost is another one.
    """
    if not isinstance(result, OTResult) or result.problem.constraints:
        _plain(result)
    geometry = result.problem.geometry
    if not isinstance(geometry, PointCloud) or callable(geometry.cost):
        raise TypeError(
            "point_gradients needs a PointCloud with cost 'sqeuclidean' or 'euclidean'; for others contract "
            "result.plan with the derivative of the cost"
        )
    reduced = result.problem.reduced
    assert isinstance(reduced, PointCloud)
    X, Y = reduced.X, reduced.Y
    gX, gY = np.empty_like(X), np.zeros_like(Y)
    for rows, P, C in result.blocks():
        # weights W with d cost / dX_i = W_ij (X_i - Y_j); the plain distance has no derivative at 0, take 0
        W = 2 * P if reduced.cost == "sqeuclidean" else P / np.where(C > 0, C, np.inf)
        gX[rows] = W.sum(axis=1)[:, None] * X[rows] - W @ Y
        gY += W.sum(axis=0)[:, None] * Y - W.T @ X[rows]
    return result.problem.expand_places(gX, gY)


def plan_vjp(result: OTResult, G: ArrayLike) -> Gradients:
    """Return the gradients of ``l(P)`` in masses and cost, from ``G = dl/dP``.

    Parameters
    ----------
    result : OTResult
        A converged solution.
    G : array_like of shape (n, m)
        Derivative of a scalar function of the plan.

    Returns
    -------
    Gradients
        ``dl/da``, ``dl/db`` (zero-mass places: 0) and ``dl/dC``.

    Raises
    ------
    ValueError
        If `G` has another shape.
    """
    _plain(result)
    problem, P = result.problem, result.plan
    GP = _like(G, P, "G") * P
    alpha, beta = _solve_system(result, GP.sum(axis=1), GP.sum(axis=0))
    dC = (P * (alpha[:, None] + beta) - GP) / problem.reg
    return Gradients(alpha, beta, dC)


def plan_jvp(
    result: OTResult, da: ArrayLike | None = None, db: ArrayLike | None = None, dC: ArrayLike | None = None
) -> Array:
    """Return the derivative of the plan along a change of the data.

    Parameters
    ----------
    result : OTResult
        A converged solution.
    da, db : array_like of shape (n,), (m,), optional
        Changes of the masses, of equal sum; zero where there is no mass.
    dC : array_like of shape (n, m), optional
        Change of the cost.

    Returns
    -------
    ndarray of shape (n, m)
        ``dP``.

    Raises
    ------
    ValueError
        If a shape does not fit or the sums of `da` and `db` differ.
    """
    _plain(result)
    problem, P = result.problem, result.plan
    change = np.zeros_like(P) if dC is None else _like(dC, P, "dC")
    one = np.zeros(P.shape[0]) if da is None else _like(da, problem.a, "da")
    other = np.zeros(P.shape[1]) if db is None else _like(db, problem.b, "db")
    if abs(one.sum() - other.sum()) > 1e-10 * (np.abs(one).sum() + np.abs(other).sum()):
        raise ValueError(f"sum(da) = {one.sum():.6g} and sum(db) = {other.sum():.6g} differ")
    PC = P * np.where(P > 0, change, 0.0)
    dx, dy = _solve_system(result, PC.sum(axis=1) + problem.reg * one, PC.sum(axis=0) + problem.reg * other)
    return np.asarray((P * (dx[:, None] + dy) - PC) / problem.reg)


def _plain(result: OTResult) -> None:
    """Refuse problems for which the formulas do not hold."""
    if type(result) is not OTResult:
        raise TypeError(
            f"result={shown(result)}: these derivatives are for what ot.solve returns for balanced transport without "
            "constraints"
        )


def _like(v: ArrayLike, other: Array, name: str) -> Array:
    array = as_array(v, name)
    if array.shape != other.shape:
        raise ValueError(f"{name} has shape {array.shape}; it must be {other.shape}")
    return array


def _solve_system(result: OTResult, rows: Array, columns: Array) -> tuple[Array, Array]:
    """Solve ``[diag(a) P; P' diag(b)] (alpha, beta) = (rows, columns)`` by the Schur complement of the row block."""
    problem = result.problem
    one, other = problem.restrict(rows, columns)
    objective = problem.semidual().fresh()
    y = Point(objective, result.reduced_potentials[1], Counts(), objective.metric())
    a, b = problem.marginals
    S = RankOneUpdate(y.hess(), 1.0, b)
    right = other - y.z.rmatvec(one / a)
    beta = Engine("auto", 0.0, ACCURACY, MAX_PRODUCTS).attach(S, y, "").solve(0.0, right)
    alpha = (one - y.z.matvec(beta)) / a
    return problem.expand_places(alpha / problem.mass, beta / problem.mass)
