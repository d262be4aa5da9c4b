r"""Entropic transport with linear constraints on the plan, ``<D_k, P> >= t_k`` or ``= t_k`` [1].

With entropy on the slacks too, the semi-dual gets one more variable for each constraint. Over reg, for mass one and
with ``D_k - t_k`` in place of ``D_k`` (the entries of P sum to one),

    f(y, w) = <a, L(y, w)> - <b, y> + sum_{k: >=} exp(-w_k - 1),
    L_i = log sum_j exp(y_j - C_ij/reg + sum_k w_k D_kij),
    grad = (P'1 - b,  <D_k, P> - s_k),     s_k = exp(-w_k - 1)  for >=,  0 for =,

and ``hess = [[S, B], [B', W]]`` with the Laplacian S and, m_ki being the mean of D_k over row i of P,

    B_jk = sum_i P_ij (D_kij - m_ki),   W_kl = sum_ij P_ij (D_kij - m_ki)(D_lij - m_li) + [k = l] s_k.

References
----------
[1] Tang, Rahmanian, Shavlovsky, Thekumparampil, Xiao, Ying, "A Sinkhorn-type algorithm for constrained optimal
transport", arXiv 2403.05054.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np

from gnsopt._typing import Array, ArrayLike
from gnsopt.arguments import as_number, shown
from gnsopt.kernels import sinkhorn as passes
from gnsopt.linalg.design import DENSE_PASS
from gnsopt.linalg.forms import Form
from gnsopt.linalg.metric import DiagonalMetric
from gnsopt.ot.geometry import Geometry, as_numbers
from gnsopt.ot.semidual import SemiDual
from gnsopt.point import Point

KINDS = (">=", "==")


@dataclass(frozen=True)
class Constraint:
    """A linear constraint ``<D, P> >= bound`` or ``<D, P> == bound``.

    Parameters
    ----------
    D : array_like of shape (n, m)
        Finite coefficients, copied; negate them for an upper bound.
    bound : float, default=0.0
        Right-hand side.
    kind : {">=", "=="}, default=">="
        Which of the two.
    """

    D: ArrayLike
    bound: float = 0.0
    kind: str = ">="

    def __post_init__(self) -> None:
        """Copy and check what does not depend on the problem."""
        D = as_numbers(self.D, "constraints: D")
        if D.dtype.kind not in "fiub":
            raise ValueError(f"constraints: D has dtype {D.dtype}; it must hold numbers")
        object.__setattr__(self, "D", np.array(D, dtype=float))
        if not (isinstance(self.kind, str) and self.kind in KINDS):
            raise ValueError(f"constraints: kind={shown(self.kind)} is unknown; choose one of {KINDS}")
        if not np.isfinite(as_number(self.bound, "constraints: bound")):
            raise ValueError(f"constraints: bound={shown(self.bound)} must be a finite number")
        object.__setattr__(self, "bound", float(self.bound))

    def checked(self, shape: tuple[int, int]) -> Array:
        """Return the coefficients as an array of this shape, or raise ValueError."""
        D = np.asarray(self.D, dtype=float)
        if D.shape != shape or not np.isfinite(D).all():
            raise ValueError(f"constraints: D has shape {D.shape}; it must be finite and of the shape {shape} of C")
        return D


class ConstrainedPlan:
    """The plan at one point.

    Parameters
    ----------
    problem : ConstrainedSemiDual
        The objective.
    y, w : ndarray of shape (m,), (K,)
        Column potentials and multipliers, over reg.
    """

    def __init__(self, problem: ConstrainedSemiDual, y: Array, w: Array) -> None:
        n, m = problem.geometry.shape
        p, q = problem.geometry.offsets
        E, top = np.empty((n, m)), np.empty(n)
        passes.exponents(problem.geometry.dense(), p, q, 1.0 / problem.reg, y, E, top)
        E += np.tensordot(w, problem.D, 1)
        top = E.max(axis=1)
        passes.exponentials(E, top)
        s = E.sum(axis=1)
        self.L = top + np.log(s)
        self.P = E * (problem.a / s)[:, None]
        self.c = self.P.sum(axis=0)
        self.products = np.tensordot(problem.D, self.P, 2)
        with np.errstate(over="ignore"):
            self.slack = np.where(problem.inequality, np.exp(-w - 1.0), 0.0)
        self.trusted = bool(self.c.min() > 0)


class ConstrainedSemiDual(SemiDual):
    """The semi-dual with one more variable for each constraint.

    Parameters
    ----------
    geometry : Geometry
        The n x m cost, kept in memory.
    a, b : ndarray of shape (n,), (m,)
        Positive marginals of sum one.
    reg : float
        Regularisation, in units of the cost.
    D : ndarray of shape (K, n, m)
        Constraints on ``<D_k, P>``, with bound zero.
    inequality : ndarray of shape (K,)
        Which of them are inequalities.
    """

    def __init__(self, geometry: Geometry, a: Array, b: Array, reg: float, D: Array, inequality: Array) -> None:
        super().__init__(geometry, a, b, reg)
        self.D, self.inequality = D, inequality
        self.n = b.size + D.shape[0]

    def fresh(self) -> ConstrainedSemiDual:
        """Return the problem for one run: itself, since no kernel is kept."""
        return copy.copy(self)

    def begin(self, x: Array | None, y: Array) -> Array:
        """Return the variables of the column potentials, with multipliers zero."""
        return np.concatenate([y, np.zeros(self.D.shape[0])])

    def start(self) -> Array:
        """Return ``log b`` and multipliers zero."""
        return self.begin(None, np.log(self.b))

    def split(self, y: Array) -> tuple[Array | None, Array]:
        """Return None and the column potentials; `multipliers` are the rest."""
        return None, y[: self.b.size]

    def multipliers(self, y: Array) -> Array:
        """Return w."""
        return y[self.b.size :]

    def least(self) -> float:
        """Return what f cannot be below where a plan satisfies the constraints.

        Minus f plus ``sum a log a`` is the dual. A plan costs at most the range of the cost, and its entropies are at
        most zero, the coefficients being at most one.

        Returns
        -------
        float
            The bound, less a margin for rounding.
        """
        value = self.geometry.extent / self.reg - float(self.a @ np.log(self.a))
        return -value * (1 + 1e-9) - 1e-9

    def centred(self, y: Array) -> Array:
        """Return the variables without the mean of the potentials."""
        out = y.copy()
        out[: self.b.size] -= float(self.b @ out[: self.b.size])
        return out

    def metric(self) -> DiagonalMetric:
        """Return ``diag(b)``, and 1 for the multipliers."""
        return DiagonalMetric(np.concatenate([self.b, np.ones(self.D.shape[0])]))

    def prepare(self, y: Array) -> ConstrainedPlan:  # type: ignore[override]
        """Return the plan."""
        return ConstrainedPlan(self, y[: self.b.size], y[self.b.size :])

    def fun(self, y: Array, z: ConstrainedPlan) -> float:  # type: ignore[override]
        """Return f."""
        return float(self.a @ z.L) - float(self.b @ y[: self.b.size]) + float(z.slack.sum())

    def grad(self, y: Array, z: ConstrainedPlan) -> Array:  # type: ignore[override]
        """Return the errors of the columns and of the constraints."""
        return np.concatenate([z.c - self.b, z.products - z.slack])

    def hess(self, y: Array, z: ConstrainedPlan) -> Bordered:  # type: ignore[override]
        """Return the bordered Laplacian."""
        means = np.einsum("kij,ij->ki", self.D, z.P) / self.a
        centred = self.D - means[:, :, None]
        weighted = centred * z.P
        W = np.einsum("kij,lij->kl", weighted, centred) + np.diag(z.slack)
        return Bordered(z.P, self.a, z.c, weighted.sum(axis=1).T, W)

    def sinkhorn(self, x: Point, steps: int) -> Point:
        """Return the point after as many Sinkhorn iterations on the potentials; the multipliers stay."""
        for _ in range(steps):
            if not x.z.trusted:
                break
            y = x.x.copy()
            y[: self.b.size] += np.log(self.b / x.z.c)
            x = x.at(y)
        return x


class Bordered(Form):
    """``[[diag(c) - P' diag(1/a) P, B], [B', W]]``.

    Parameters
    ----------
    P : ndarray of shape (n, m)
        The plan.
    a, c : ndarray of shape (n,), (m,)
        Its sums.
    B : ndarray of shape (m, K)
        The border.
    W : ndarray of shape (K, K)
        The corner.
    """

    def __init__(self, P: Array, a: Array, c: Array, B: Array, W: Array) -> None:
        self.P, self.a, self.c, self.B, self.W = P, a, c, B, W
        self.n = c.size + W.shape[0]
        self.product_price = 2 * DENSE_PASS * P.size
        self.dense_price = float(P.size) * c.size

    def matvec(self, v: Array) -> Array:
        """Return the product."""
        d, e = v[: self.c.size], v[self.c.size :]
        S = self.c * d - self.P.T @ ((self.P @ d) / self.a)
        return np.concatenate([S + self.B @ e, self.B.T @ d + self.W @ e])

    def diagonal(self) -> Array:
        """Return both diagonals."""
        squares = np.einsum("ij,ij,i->j", self.P, self.P, 1.0 / self.a)
        return np.concatenate([self.c - squares, self.W.diagonal()])

    def lower(self) -> Array:
        """Return the lower triangle."""
        m = self.c.size
        H = np.zeros((self.n, self.n), order="F")
        H[:m, :m] = np.diag(self.c) - self.P.T @ (self.P / self.a[:, None])
        H[m:, :m] = self.B.T
        H[m:, m:] = self.W
        return H
