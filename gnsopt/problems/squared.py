r"""Linear least squares with a ridge penalty.

    f(x) = sum_i w_i (a_i'x - y_i)^2 / 2 + l2/2 |x|^2,      sum_i w_i = 1
    grad = A' r + l2 x,   r_i = w_i (a_i'x - y_i)
    hess = A' diag(w) A + l2,     Fisher = A' diag(w (a_i'x - y_i)^2) A + l2

A mean over samples: l2 is n times smaller than the alpha of a penalised sum of squares.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gnsopt._typing import Array, ArrayLike
from gnsopt.arguments import as_array
from gnsopt.linalg.forms import Gram
from gnsopt.linalg.rows import Rows, WeightRows
from gnsopt.problems.linear import LinearModel, Scores


class SquaredLoss(LinearModel):
    """Least squares, mean of ``(a_i'x - y_i)^2 / 2`` plus ``l2/2 |w|^2``: ridge regression when l2 > 0.

    Parameters
    ----------
    X : array_like or sparse array of shape (n_samples, n_features)
        Samples in rows; dense or CSR, any real dtype.
    y : array_like of shape (n_samples,)
        Targets.
    l2 : float or array_like of shape (n_features,), default=0.0
        Penalty on the weights, not on the intercept.
    fit_intercept : bool, default=False
        Append an unpenalised intercept, the last variable.
    sample_weight : array_like of shape (n_samples,), optional
        Non-negative; the loss is the weighted mean.

    Raises
    ------
    ValueError
        For data that are not finite, shapes that differ, a negative penalty or weight.
    """

    def __init__(
        self,
        X: Any,
        y: ArrayLike,
        l2: Any = 0.0,
        fit_intercept: bool = False,
        sample_weight: ArrayLike | None = None,
    ) -> None:
        super().__init__(X, 1, l2, fit_intercept, sample_weight)
        self.y = check_targets(y, self.design.n_samples)

    def scores_loss(self, Z: Array) -> Scores:
        """Return loss and residual of the predictions `Z`."""
        with np.errstate(over="ignore", invalid="ignore"):
            e = Z - self.y
            r = self.weight * e
            return Scores(Z, 0.5 * float(r @ e), r, e)

    def rows(self, z: Scores) -> Rows:
        """Return the sample weights."""
        return WeightRows(self.weight)

    def fisher_rows(self, z: Scores) -> Rows:
        """Return the weights ``w (a'x - y)^2``."""
        return WeightRows(z.R * z.cache)

    def bound(self) -> Gram:
        """Return the Hessian, which is the same everywhere."""
        return Gram(self.design, WeightRows(self.weight), self.ridge)

    def scores_difference(self, z: Scores, delta: Array) -> float:
        """Return ``-<delta, w (e + delta/2)>``."""
        return -float(delta @ (z.R + 0.5 * self.weight * delta))


def check_targets(y: Any, n_samples: int) -> Array:
    """Return real targets as a float64 vector of its own.

    Parameters
    ----------
    y : array_like of shape (n_samples,)
        Targets.
    n_samples : int
        Expected length.

    Returns
    -------
    ndarray of shape (n_samples,)
        A copy.

    Raises
    ------
    ValueError
        If the shape does not fit or an entry is no finite real number.
    """
    targets = as_array(y, "y", finite=False).copy()
    if targets.ndim == 2 and 1 in targets.shape:
        targets = targets.reshape(-1)
    if targets.shape != (n_samples,):
        raise ValueError(f"y has shape {targets.shape}; X has {n_samples} rows, so it must be ({n_samples},)")
    if not np.isfinite(targets).all():
        raise ValueError("y contains NaN or infinity; every sample needs a target")
    return targets
