r"""Feasibility of a polytope ``{x : a_i'x <= b_i}`` by a power of the violations [1].

    f(x) = sum_i (a_i'x - b_i)_+^p,     grad = p A' s^{p-1},     hess = p (p-1) A' diag(s^{p-2}) A,   s = (Ax - b)_+

A sum, as in the authors' code. f* = 0 exactly when the polytope is not empty. For p = 2 the Hessian is the generalised
one, ``2 A' diag(1[s > 0]) A``, and f is not twice differentiable where a constraint is active.

References
----------
[1] Doikov, Mishchenko, Nesterov, "Super-universal regularized Newton method", 2208.05888, section 5.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gnsopt._typing import Array, ArrayLike
from gnsopt.linalg.design import Design
from gnsopt.linalg.forms import Form, Gram
from gnsopt.linalg.metric import Metric
from gnsopt.linalg.rows import WeightRows
from gnsopt.objective import Objective
from gnsopt.problems.nonlinear_equations import check_power, power_difference
from gnsopt.problems.residual_power import check_offsets, column_metric
from gnsopt.problems.validation import check_design


class PolytopeFeasibility(Objective):
    """``sum_i (a_i'x - b_i)_+^p``, convex.

    Parameters
    ----------
    A : array_like or sparse array of shape (m, n)
        Normals of the half-spaces.
    b : array_like of shape (m,)
        Their offsets.
    p : float, default=3.0
        Power, at least 2.

    Raises
    ------
    ValueError
        For data that are not finite, shapes that differ or ``p < 2``.
    """

    convex = True

    def __init__(self, A: Any, b: ArrayLike, p: float = 3.0) -> None:
        self.design = Design(check_design(A, "A"))
        self.b = check_offsets(b, self.design.n_samples)
        self.p = check_power(p)
        self.n = self.design.n_columns

    def start(self) -> Array:
        """Return the start of the authors' code, ones."""
        return np.ones(self.n)

    def metric(self) -> Metric:
        """Return ``B = diag(A'A)``, in which the steps do not depend on the scaling of the columns."""
        return column_metric(self.design)

    def prepare(self, x: Array) -> Array:
        """Return ``Ax - b``."""
        with np.errstate(over="ignore", invalid="ignore"):
            return self.design.matvec(x) - self.b

    def fun(self, x: Array, z: Array) -> float:
        """Return the sum of the powers of the violations; inf on overflow."""
        with np.errstate(over="ignore"):
            return float(np.sum(np.maximum(z, 0.0) ** self.p))

    def grad(self, x: Array, z: Array) -> Array:
        """Return ``p A' s^{p-1}``."""
        with np.errstate(over="ignore", invalid="ignore"):
            return self.design.rmatvec(self.p * np.maximum(z, 0.0) ** (self.p - 1))

    def hess(self, x: Array, z: Array) -> Form:
        """Return the Hessian by its factors; satisfied constraints have no weight."""
        p = self.p
        weights = np.where(z > 0, p * (p - 1) * np.maximum(z, 0.0) ** (p - 2), 0.0)
        return Gram(self.design, WeightRows(weights), np.zeros(self.n))

    def difference(self, x: Array, z: Array, h: Array) -> float:
        """Return ``f(x) - f(x + h)`` term by term, from the change of each violation."""
        d = self.design.matvec(h)
        change = np.where(z > 0, np.maximum(d, -z), np.maximum(z + d, 0.0))
        return -float(np.sum(power_difference(np.maximum(z, 0.0), change, self.p)))
