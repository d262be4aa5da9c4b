r"""The debiased Sinkhorn divergence [1].

    S(a, b) = V(a, b) - V(a, a)/2 - V(b, b)/2,      V = min <C, P> + reg KL(P | a b'),

zero for equal measures, positive otherwise where ``exp(-C/reg)`` is a positive definite kernel, as for both Euclidean
costs. Each term is solved to the tolerance, so that the sum of the bounds of their errors bounds that of S. Unbalanced,
with a price rho of the marginals, V has their penalties and S one more term [2],

    S(a, b) = V(a, b) - V(a, a)/2 - V(b, b)/2 + reg/2 (sum a - sum b)^2.

References
----------
[1] Feydy, Sejourne, Vialard, Amari, Trouve, Peyre, "Interpolating between optimal transport and MMD using Sinkhorn
divergences", AISTATS 2019.
[2] Sejourne, Feydy, Vialard, Trouve, Peyre, "Sinkhorn divergences for unbalanced optimal transport", 1910.12958,
definition 2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from gnsopt._typing import Array, ArrayLike
from gnsopt.ot.geometry import PointCloud
from gnsopt.ot.gradients import point_gradients, value_gradients
from gnsopt.ot.result import OTResult
from gnsopt.ot.solve import solve


@dataclass(frozen=True)
class Divergence:
    """A Sinkhorn divergence and the three solutions it is made of.

    Parameters
    ----------
    ab, aa, bb : OTResult
        Solutions between source and target, and of each with itself.
    """

    ab: OTResult
    aa: OTResult
    bb: OTResult

    @property
    def value(self) -> float:
        """``V(a, b) - V(a, a)/2 - V(b, b)/2``; unbalanced, with the term of the masses."""
        return self.ab.value_kl - 0.5 * (self.aa.value_kl + self.bb.value_kl) + 0.5 * self._reg * self._excess**2

    @property
    def _reg(self) -> float:
        return self.ab.problem.reg

    @property
    def _excess(self) -> float:
        """By how much the masses differ; zero for balanced transport."""
        problem = self.ab.problem
        return 0.0 if problem.rho is None else float(problem.a.sum() - problem.b.sum())

    @cached_property
    def error(self) -> float:
        """Bound of the error of `value`, rounding included, from those of the three solutions."""
        return self.ab.value_error + 0.5 * (self.aa.value_error + self.bb.value_error)

    @property
    def converged(self) -> bool:
        """Whether all three solutions reached their tolerance."""
        return self.ab.converged and self.aa.converged and self.bb.converged

    def mass_gradients(self) -> tuple[Array, Array]:
        """Return the gradients in `a` and `b`, up to a constant each.

        Returns
        -------
        a : ndarray of shape (n,)
            Gradient in the source masses.
        b : ndarray of shape (m,)
            Gradient in the target masses.
        """
        ab, aa, bb = (value_gradients(r, "kl") for r in (self.ab, self.aa, self.bb))
        return ab.a - 0.5 * (aa.a + aa.b), ab.b - 0.5 * (bb.a + bb.b)

    def point_gradients(self) -> tuple[Array, Array]:
        """Return the gradients in the points.

        Returns
        -------
        X : ndarray of shape (n, d)
            Gradient in the source points.
        Y : ndarray of shape (m, d)
            Gradient in the target points.
        """
        X, Y = point_gradients(self.ab)
        X1, X2 = point_gradients(self.aa)
        Y1, Y2 = point_gradients(self.bb)
        return X - 0.5 * (X1 + X2), Y - 0.5 * (Y1 + Y2)


def sinkhorn_divergence(
    a: ArrayLike | None,
    b: ArrayLike | None,
    X: ArrayLike,
    Y: ArrayLike,
    reg: float,
    *,
    cost: str | Callable[[Array, Array], Array] = "sqeuclidean",
    **options: Any,
) -> Divergence:
    """Solve the three problems of the Sinkhorn divergence between two weighted point clouds.

    Parameters
    ----------
    a : array_like of shape (n,) or None
        Source masses; None is uniform.
    b : array_like of shape (m,) or None
        Target masses, of the same sum.
    X : array_like of shape (n, d)
        Source points.
    Y : array_like of shape (m, d)
        Target points.
    reg : float
        Regularisation in units of the cost, the same in all three.
    cost : {"sqeuclidean", "euclidean"} or callable, default="sqeuclidean"
        As in `PointCloud`; a callable must be symmetric.
    **options : dict
        Options of `solve`; with a number ``rho=`` the divergence is unbalanced.

    Returns
    -------
    Divergence
        Value, bound of its error, gradients; unbalanced without the gradients.

    Raises
    ------
    ValueError
        If the prices of the two sides differ, or there are constraints: no divergence is defined then.
    """
    rho = options.get("rho")
    if isinstance(rho, tuple | list) and len(set(rho)) > 1:
        raise ValueError(f"rho={rho!r}: a divergence has the same price on both sides; pass one number")
    if options.get("constraints"):
        raise ValueError("constraints: a divergence is of plain or unbalanced transport; leave them out")
    ab = solve(a, b, PointCloud(X, Y, cost), reg, **options)
    aa = solve(ab.problem.a, ab.problem.a, PointCloud(X, X, cost), reg, **options)
    bb = solve(ab.problem.b, ab.problem.b, PointCloud(Y, Y, cost), reg, **options)
    return Divergence(ab, aa, bb)
