r"""Softmax (multinomial logistic) regression with k classes; variables flattened from (n_columns, k) in C order.

    f(V) = sum_i w_i [log sum_c exp(a_i'V_c) - a_i'V_{y_i}] + l2/2 |V|^2
    grad = A' W (P - Y) + l2 V,      hess D = A' W (Q - P * rowsum(Q)) + l2 D,   Q = P * (A D)
    Fisher D = A' W (R * rowsum(R * (A D))) + l2 D,   R = P - Y

``|hess - Fisher| <= 2 max_i |a_i|_*^2 f``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import softmax

from gnsopt._typing import Array, ArrayLike
from gnsopt.kernels import softmax as kernel
from gnsopt.linalg.forms import Gram
from gnsopt.linalg.rows import OuterRows, Rows, SoftmaxRows
from gnsopt.problems.linear import LinearModel, Scores
from gnsopt.problems.recession import UNDECIDED, Map, falls_for_ever
from gnsopt.problems.validation import check_design, check_labels


class Softmax(LinearModel):
    """Multinomial logistic regression, mean loss plus ``l2/2 |W|^2``.

    Parameters
    ----------
    X : array_like or sparse array of shape (n_samples, n_features)
        Samples in rows; dense or CSR, any real dtype.
    y : array_like of shape (n_samples,)
        Labels of at least two classes.
    l2 : float or array_like of shape (n_features,), default=0.0
        Penalty on the weights, not on the intercepts.
    fit_intercept : bool, default=False
        Append an unpenalised intercept per class, the last k variables.
    sample_weight : array_like of shape (n_samples,), optional
        Non-negative; the loss is the weighted mean.

    Attributes
    ----------
    classes : ndarray of shape (k,)
        The sorted labels.

    Raises
    ------
    ValueError
        For data that are not finite, a single class, shapes that differ, a negative penalty or weight.

    Notes
    -----
    Adding one vector to every column of ``W`` changes nothing but the penalty: with ``l2 = 0`` (and for the
    intercepts always) the minimisers form a subspace; direct solves from zero stay orthogonal to it, preconditioned
    conjugate gradients need not.
    """

    def __init__(
        self,
        X: Any,
        y: ArrayLike,
        l2: Any = 0.0,
        fit_intercept: bool = False,
        sample_weight: ArrayLike | None = None,
    ) -> None:
        X = check_design(X)
        self.label, self.classes = check_labels(y, X.shape[0])
        if self.classes.size < 2:
            raise ValueError("y has 1 class; Softmax needs at least two")
        super().__init__(X, int(self.classes.size), l2, fit_intercept, sample_weight)

    def scores_loss(self, Z: Array) -> Scores:
        """Return loss, residual and probabilities of the scores in one pass."""
        top = Z.max(axis=1)
        P = np.exp(Z - top[:, None])
        R = np.empty_like(P)
        loss = kernel.loss_residual(Z, top, P, self.label, self.weight, R)
        return Scores(Z, float(loss), R, P)

    def rows(self, z: Scores) -> Rows:
        """Return the blocks ``w (diag(p) - p p')``."""
        return SoftmaxRows(z.cache, self.weight)

    def fisher_rows(self, z: Scores) -> Rows:
        """Return the blocks ``w r r'`` with ``r = p - e_y``."""
        w = self.weight[:, None]
        return OuterRows(np.divide(z.R, w, out=np.zeros_like(z.R), where=w > 0), self.weight)

    def bound(self) -> Gram:
        """Return ``A' diag(w) A (x) (I - 1 1'/k) / 2 + l2``, which is above the Hessian everywhere."""
        uniform = np.full((self.design.n_samples, self.k), 1.0 / self.k)
        return Gram(self.design, SoftmaxRows(uniform, self.weight * (self.k / 2)), self.ridge)

    def scores_difference(self, z: Scores, delta: Array) -> float:
        """Return the decrease of the loss along `delta`; plainly where a score moves by more than 15."""
        if np.abs(delta).max() > 15.0:
            return z.loss - self.scores_loss(z.Z + delta).loss
        return float(kernel.loss_difference(z.cache, self.label, self.weight, delta))

    def at_infinity(self, x: Array, z: Scores, step: Array) -> bool:
        """Whether the classes are separable, fully or in part, along variables without a penalty."""
        if self.penalised:  # along the intercepts alone: a class is missing
            return self.design.intercept and np.unique(self.label[self.weight > 0]).size < self.k
        free = np.where(self.ridge == 0, 1.0, 0.0)
        return falls_for_ever(self.design, free, self.weight, *self.margins(z), (x, step))

    def margins(self, z: Scores) -> tuple[Any, Map, Map]:
        """Return which margins still count at the scores `z`, the map from scores to margins, and its adjoint."""
        wrong = np.arange(self.k) != self.label[:, None]
        undecided = wrong & (z.cache > UNDECIDED) & (self.weight > 0)[:, None]

        def gaps(Z: Array) -> Array:
            return np.take_along_axis(Z, self.label[:, None], axis=1) - Z

        def gaps_t(U: Array) -> Array:
            R = -U
            R[np.arange(len(R)), self.label] += U.sum(axis=1)
            return R

        return undecided, gaps, gaps_t

    def mean(self, Z: Array) -> Array:
        """Return the class probabilities."""
        return np.asarray(softmax(Z, axis=1))
