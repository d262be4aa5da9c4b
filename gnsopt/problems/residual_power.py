r"""Power of the norm of a linear residual [1].

    f(x) = |u|^p / p,   u = Ax - b,   r = |u|,   grad = r^{p-2} A'u
    hess = r^{p-2} A'A + ((p-2)/r^p) g g',       Fisher = ((p-2)/r^p) g g'

u is linear, so the Gauss-Newton matrix is the Hessian. With ``B = A'A`` and a consistent system
``|hess - Fisher|_* = r^{p-2} = |g|_*^{(p-2)/(p-1)}``, and every method moves along one ray.

References
----------
[1] Semenov, Jaggi, Doikov, "Gradient-normalized smoothness for optimization with approximate Hessians", 2506.13710.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gnsopt._typing import Array, ArrayLike
from gnsopt.arguments import as_array
from gnsopt.linalg.design import Design
from gnsopt.linalg.forms import Form
from gnsopt.linalg.metric import DiagonalMetric, Metric
from gnsopt.linalg.structured import Zero
from gnsopt.problems.nonlinear_equations import NonlinearEquations
from gnsopt.problems.validation import check_design


class ResidualPower(NonlinearEquations):
    """``|Ax - b|^p / p``; a sum over the rows, as in the paper.

    Parameters
    ----------
    A : array_like or sparse array of shape (m, n)
        Rows of the equations.
    b : array_like of shape (m,)
        Right-hand side.
    p : float, default=4.0
        Power, at least 2.

    Raises
    ------
    ValueError
        For data that are not finite, shapes that differ or ``p < 2``.
    """

    convex = True

    def __init__(self, A: Any, b: ArrayLike, p: float = 4.0) -> None:
        self.design = Design(check_design(A, "A"))
        self.b = check_offsets(b, self.design.n_samples)
        super().__init__(
            self._residual, self._rows, self.design.n_columns, p, self._no_curvature, self._residual_change
        )

    def start(self) -> Array:
        """Return the start of the paper, ones."""
        return np.ones(self.n)

    def metric(self) -> Metric:
        """Return ``B = diag(A'A)``, in which the steps do not depend on the scaling of the columns."""
        return column_metric(self.design)

    def _residual(self, x: Array) -> Array:
        return self.design.matvec(x) - self.b

    def _rows(self, x: Array) -> Design:
        return self.design

    def _no_curvature(self, x: Array, v: Array) -> Form:
        return Zero(self.n)

    def _residual_change(self, x: Array, h: Array) -> Array:
        return self.design.matvec(h)


def column_metric(design: Design) -> Metric:
    """Return the metric ``diag(A'A)``, with 1 for empty columns.

    Parameters
    ----------
    design : Design
        The rows.

    Returns
    -------
    Metric
        The diagonal metric.
    """
    squares = design.weighted_squares(np.ones((design.n_samples, 1)))[:, 0]
    return DiagonalMetric(np.where(squares > 0, squares, 1.0))


def check_offsets(b: ArrayLike, m: int) -> Array:
    """Return the right-hand side of `m` rows as a float64 vector of its own.

    Parameters
    ----------
    b : array_like of shape (m,)
        The right-hand side.
    m : int
        Number of rows.

    Returns
    -------
    ndarray of shape (m,)
        A copy.

    Raises
    ------
    ValueError
        If the shape does not fit or an entry is not finite.
    """
    out = as_array(b, "b", finite=False).copy()
    if out.shape != (m,) or not np.isfinite(out).all():
        raise ValueError(f"b has shape {out.shape}; A has {m} rows, so it must be ({m},) and finite")
    return out
