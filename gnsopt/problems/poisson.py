r"""Poisson regression with the log link.

    f(x) = sum_i w_i (exp(z_i) - y_i z_i) + l2/2 |x|^2,   z = Ax,   sum_i w_i = 1
    grad = A' r + l2 x,   r_i = w_i (exp(z_i) - y_i)
    hess = A' diag(w exp(z)) A + l2,     Fisher = A' diag(w (exp(z) - y)^2) A + l2

The negative log-likelihood up to ``log y_i!``, which does not depend on x. Where exp(z) overflows f is inf, and the
trial is rejected.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gnsopt._typing import Array, ArrayLike
from gnsopt.linalg.rows import Rows, WeightRows
from gnsopt.problems.linear import LinearModel, Scores
from gnsopt.problems.recession import UNDECIDED, Map, falls_for_ever
from gnsopt.problems.squared import check_targets


class PoissonRegression(LinearModel):
    """Poisson regression, mean of ``exp(z_i) - y_i z_i`` plus ``l2/2 |w|^2``.

    Parameters
    ----------
    X : array_like or sparse array of shape (n_samples, n_features)
        Samples in rows; dense or CSR, any real dtype.
    y : array_like of shape (n_samples,)
        Counts, or counts per exposure with the exposure as `sample_weight`; not negative.
    l2 : float or array_like of shape (n_features,), default=0.0
        Penalty on the weights, not on the intercept.
    fit_intercept : bool, default=False
        Append an unpenalised intercept, the last variable.
    sample_weight : array_like of shape (n_samples,), optional
        Non-negative; the loss is the weighted mean.

    Raises
    ------
    ValueError
        For data that are not finite, counts below zero, shapes that differ, a negative penalty or weight.
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
        if self.y.min() < 0:
            raise ValueError(f"y has a value of {self.y.min()}; counts must not be negative")

    def scores_loss(self, Z: Array) -> Scores:
        """Return loss, residual and means of the scores; samples of weight zero cannot overflow."""
        with np.errstate(over="ignore", invalid="ignore"):
            mean = np.exp(np.where(self.weight > 0, Z, 0.0))
            loss = float(self.weight @ (mean - self.y * Z))
            return Scores(Z, loss, self.weight * (mean - self.y), mean)

    def rows(self, z: Scores) -> Rows:
        """Return the weights ``w exp(z)``."""
        return WeightRows(self.weight * z.cache)

    def fisher_rows(self, z: Scores) -> Rows:
        """Return the weights ``w (exp(z) - y)^2``."""
        return WeightRows(z.R * (z.cache - self.y))

    def scores_difference(self, z: Scores, delta: Array) -> float:
        """Return ``sum_i w_i (y_i delta_i - exp(z_i) expm1(delta_i))``; steps above 30 are exponentiated as a whole."""
        far = delta > 30.0
        with np.errstate(over="ignore", invalid="ignore"):
            growth = z.cache * np.expm1(np.where(far, 0.0, delta))
            if far.any():
                growth = np.where(far & (self.weight > 0), np.exp(z.Z + delta) - z.cache, growth)
            return float(self.weight @ (self.y * delta - growth))

    def at_infinity(self, x: Array, z: Scores, step: Array) -> bool:
        """Whether f falls for ever without a penalty: along a direction scores of y = 0 fall and the others stay."""
        free = np.where(self.ridge == 0, 1.0, 0.0)
        return bool(free.any()) and falls_for_ever(self.design, free, self.weight, *self.margins(z), (x, step))

    def margins(self, z: Scores) -> tuple[Any, Map, Map]:
        """Return which margins still count at the scores `z`, the map from scores to margins, and its adjoint."""
        counted = self.y > 0

        def gaps(Z: Array) -> Array:  # of y > 0 neither sign may fall
            return np.stack([-Z, np.where(counted, Z, 0.0)], axis=1)

        def gaps_t(U: Array) -> Array:
            return np.where(counted, U[:, 1], 0.0) - U[:, 0]

        return np.stack([counted | (z.cache > UNDECIDED)] * 2, axis=1), gaps, gaps_t

    def mean(self, Z: Array) -> Array:
        """Return the mean counts."""
        return np.asarray(np.exp(Z))
