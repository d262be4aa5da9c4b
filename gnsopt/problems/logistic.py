r"""Logistic regression with two classes.

    f(x) = sum_i w_i log(1 + exp(-s_i a_i'x)) + l2/2 |x|^2,      s_i = +1 for the larger label, -1 for the smaller
    grad = A' r + l2 x,   r_i = -s_i w_i sigma(-t_i),   t_i = s_i a_i'x
    hess = A' diag(w sigma(1 - sigma)) A + l2,          Fisher = A' diag(w sigma(-t)^2) A + l2

``|hess - Fisher| <= max_i |a_i|_*^2 f`` since ``|s(1 - s) - s^2| <= s <= -log(1 - s)``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit

from gnsopt._typing import Array, ArrayLike
from gnsopt.kernels import logistic as kernel
from gnsopt.linalg.forms import Gram
from gnsopt.linalg.rows import Rows, WeightRows
from gnsopt.problems.linear import LinearModel, Scores
from gnsopt.problems.recession import UNDECIDED, Map, falls_for_ever
from gnsopt.problems.validation import check_labels


class Logistic(LinearModel):
    """Binary logistic regression, mean loss plus ``l2/2 |w|^2``.

    Parameters
    ----------
    X : array_like or sparse array of shape (n_samples, n_features)
        Samples in rows; dense or CSR, any real dtype.
    y : array_like of shape (n_samples,)
        Any two label values; the larger one is the positive class.
    l2 : float or array_like of shape (n_features,), default=0.0
        Penalty on the weights, not on the intercept.
    fit_intercept : bool, default=False
        Append an unpenalised intercept, the last variable.
    sample_weight : array_like of shape (n_samples,), optional
        Non-negative; the loss is the weighted mean.

    Attributes
    ----------
    classes : ndarray of shape (2,)
        The labels, negative class first.

    Raises
    ------
    ValueError
        For data that are not finite, labels that are not two, shapes that differ, a negative penalty or weight.
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
        codes, self.classes = check_labels(y, self.design.n_samples)
        if self.classes.size != 2:
            cure = "use Softmax" if self.classes.size > 2 else "there is nothing to separate"
            raise ValueError(f"y has {self.classes.size} class(es); Logistic needs exactly two: {cure}")
        self.sign = np.where(codes == 1, 1.0, -1.0)

    def scores_loss(self, Z: Array) -> Scores:
        """Return loss, residual and curvature of the margins in one pass."""
        e = np.exp(-np.abs(Z))
        r = np.empty_like(Z)
        loss = kernel.loss_residual(Z, e, self.sign, self.weight, r)
        return Scores(Z, float(loss), r, e)

    def rows(self, z: Scores) -> Rows:
        """Return the weights ``w sigma(1 - sigma)``."""
        return WeightRows(z.cache)

    def fisher_rows(self, z: Scores) -> Rows:
        """Return the weights ``w sigma(-t)^2``."""
        return WeightRows(np.divide(z.R * z.R, self.weight, out=np.zeros_like(z.R), where=self.weight > 0))

    def bound(self) -> Gram:
        """Return ``A' diag(w) A / 4 + l2``, which is above the Hessian everywhere."""
        return Gram(self.design, WeightRows(self.weight / 4), self.ridge)

    def scores_difference(self, z: Scores, delta: Array) -> float:
        """Return the decrease of the loss along `delta`."""
        return float(kernel.loss_difference(z.Z, self.sign, self.weight, delta))

    def at_infinity(self, x: Array, z: Scores, step: Array) -> bool:
        """Whether the data are separable, fully or in part, along variables without a penalty."""
        if self.penalised:  # along the intercept alone: a label is missing
            return self.design.intercept and np.ptp(self.sign[self.weight > 0]) == 0
        free = np.where(self.ridge == 0, 1.0, 0.0)
        return falls_for_ever(self.design, free, self.weight, *self.margins(z), (x, step))

    def margins(self, z: Scores) -> tuple[Any, Map, Map]:
        """Return which margins still count at the scores `z`, the map from scores to margins, and its adjoint."""

        def gaps(Z: Array) -> Array:
            return self.sign * Z

        return np.abs(z.R) > UNDECIDED * self.weight, gaps, gaps

    def mean(self, Z: Array) -> Array:
        """Return the probability of the larger label."""
        return np.asarray(expit(Z))
