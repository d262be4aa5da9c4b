r"""Linear models: ``f(x) = sum_i w_i l_i(a_i' V) + sum_j l2_j |V_j|^2 / 2``, a weighted mean plus a penalty.

Conventions: `w` sums to one, so the loss is a mean over samples; `l2` multiplies one half of the squared norm; the
intercept is the last row of ``V`` and unpenalised. ``V`` has shape (n_columns,) for one output and (n_columns, k) for k
outputs, flattened in C order. One product with the data gives the scores ``Z = A V``, and one pass over them the loss
and the residual ``R`` together; the gradient ``A' R + l2 V`` is one more product.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gnsopt._typing import Array
from gnsopt.kernels import penalty
from gnsopt.linalg.design import Design
from gnsopt.linalg.forms import Form, Gram
from gnsopt.linalg.metric import DiagonalMetric, Metric
from gnsopt.linalg.rows import Rows
from gnsopt.linalg.span import RowSpan
from gnsopt.objective import Objective
from gnsopt.problems.validation import check_design, check_l2, check_rows, check_variables, check_weights

FAR = 1e3  # change of a score whose rounding, 1e-13, may show in a residual
CANCELLED = 0.01  # share of a sum of squares below which it has lost digits
LINEAR = ("prepare", "fun", "grad", "hess", "difference", "line")  # what makes a model linear in its rows


@dataclass(frozen=True)
class Scores:
    """The shared work at one x.

    Parameters
    ----------
    Z : ndarray of shape (n_samples,) or (n_samples, k)
        Scores ``A V``.
    loss : float
        Their weighted loss, without the penalty.
    R : ndarray of the shape of `Z`
        Residual: the gradient of the loss in the scores.
    cache : object
        What the curvature weights need.
    reach : float, default=0.0
        Largest change of a score since they were products with the data: what `Z` may be off by, times eps.
    """

    Z: Array
    loss: float
    R: Array
    cache: Any
    reach: float = 0.0


class LinearModel(Objective):
    """Base of the linear models; a loss is one file with four short methods.

    Parameters
    ----------
    X : array_like or sparse array of shape (n_samples, n_features)
        Samples in rows.
    k : int
        Number of outputs.
    l2 : float or array_like of shape (n_features,)
        Penalty, one value or one per feature.
    fit_intercept : bool
        Append an unpenalised intercept as the last row of the variables.
    sample_weight : array_like of shape (n_samples,), optional
        Non-negative; normalised to sum to one.
    """

    convex = True

    def __init__(self, X: Any, k: int, l2: Any, fit_intercept: bool, sample_weight: Any) -> None:
        if not isinstance(fit_intercept, bool | np.bool_):
            raise ValueError(f"fit_intercept={fit_intercept!r} must be True or False")
        if not isinstance(k, int | np.integer) or not 1 <= k < 2**31:
            raise ValueError(f"k={k!r} must be a positive integer")
        self.design = Design(check_design(X), bool(fit_intercept))
        self.k = k
        self.n = self.design.n_columns * k
        self.weight = check_weights(sample_weight, self.design.n_samples)
        penalty = np.zeros(self.design.n_columns)
        penalty[: self.design.n_features] = check_l2(l2, self.design.n_features)
        self.ridge = np.repeat(penalty, k)

    @property
    def penalised(self) -> bool:
        """Whether every variable but the intercept has a penalty."""
        return bool(self.ridge[: self.design.n_features * self.k].all())

    def metric(self) -> Metric:
        """Return ``B = diag(sum_i w_i a_ij^2)``, in which the steps do not depend on the scaling of the features.

        With fewer rows than columns it is the largest of these numbers times the identity: a scalar metric keeps one
        Gram matrix of the rows valid for every shift, and a feature that few rows share is not let loose.

        Returns
        -------
        Metric
            The diagonal metric.
        """
        moments = self.design.weighted_squares(self.weight[:, None])[:, 0]
        if self.design.n_samples < self.design.n_columns:
            return DiagonalMetric(float(moments.max()) or 1.0)
        return DiagonalMetric(np.repeat(np.where(moments > 0, moments, 1.0), self.k))

    def scores_loss(self, Z: Array) -> Scores:
        """Return loss and residual of the scores `Z`."""
        raise NotImplementedError

    def rows(self, z: Scores) -> Rows:
        """Return the blocks of the Hessian of the loss."""
        raise NotImplementedError

    def fisher_rows(self, z: Scores) -> Rows:
        """Return the blocks of the empirical Fisher matrix, ``w_i r_i r_i'`` with the residual per unit of weight."""
        raise NotImplementedError

    def scores_difference(self, z: Scores, delta: Array) -> float:
        """Return the loss at ``Z`` minus the loss at ``Z + delta``, without cancellation."""
        raise NotImplementedError

    def mean(self, Z: Array) -> Array:
        """Return what the model predicts for scores `Z`: the scores themselves unless overridden."""
        return Z

    def predict(self, x: Array, X: Any) -> Array:
        """Return the prediction for each row of `X`.

        Parameters
        ----------
        x : ndarray of shape (n,)
            Variables, as in a result.
        X : array_like or sparse array of shape (n_rows, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_rows,) or (n_rows, k)
            Probability of the larger label, class probabilities, or mean, by the model; a mean may be infinite.

        Raises
        ------
        ValueError
            For shapes that do not fit, entries that are not finite, or scores that are not.
        """
        v = check_variables(x, self.n)
        rows = Design(check_rows(X, self.design.n_features), self.design.intercept)
        with np.errstate(over="ignore", invalid="ignore"):
            Z = rows.matvec(v if self.k == 1 else v.reshape(-1, self.k))
            if not np.isfinite(Z).all():
                raise ValueError(f"x has entries up to {np.abs(v).max():.3g}: scores of X leave the range of float64")
            return self.mean(Z)

    def _scores(self, x: Array) -> Array:
        if not x.any():  # where most runs begin
            return np.zeros((self.design.n_samples, self.k) if self.k > 1 else self.design.n_samples)
        return self.design.matvec(x if self.k == 1 else x.reshape(-1, self.k))

    def prepare(self, x: Array) -> Scores:
        """Return scores, loss and residual: one product with the data and one pass over the scores."""
        with np.errstate(over="ignore", invalid="ignore"):  # not finite is an answer here: the trial is rejected
            return self.scores_loss(self._scores(x))

    def fun(self, x: Array, z: Scores) -> float:
        """Return the weighted mean loss plus the penalty."""
        with np.errstate(over="ignore", invalid="ignore"):
            return z.loss + 0.5 * float(penalty.square(self.ridge, x))

    def grad(self, x: Array, z: Scores) -> Array:
        """Return ``A' R + l2 x``."""
        with np.errstate(over="ignore", invalid="ignore"):
            g = self.design.rmatvec(z.R).reshape(-1)
            penalty.add_gradient(self.ridge, x, g)
        return g

    def hess(self, x: Array, z: Scores) -> Form:
        """Return ``A' blockdiag(D_i) A + l2`` by its factors."""
        return Gram(self.design, self.rows(z), self.ridge)

    def gauss_newton(self, x: Array, z: Scores) -> Form:
        """Return the generalised Gauss-Newton matrix: the Hessian, since the scores are linear in x."""
        return self.hess(x, z)

    def fisher(self, x: Array, z: Scores) -> Form:
        """Return ``sum_i w_i grad l_i grad l_i' + l2`` by its factors."""
        return Gram(self.design, self.fisher_rows(z), self.ridge)

    def row_space(self) -> tuple[LinearModel, RowSpan] | None:
        """Return the same model in orthonormal coordinates of the row space, and their basis.

        Returns
        -------
        tuple of LinearModel and RowSpan, or None
            A model of at most n_samples columns; exact for iterates in the span of the rows and one value of `l2`. None
            where the rank of the rows is not clear, or where a function of this model has been overridden.
        """
        if not self._plain:
            return None
        try:
            span = RowSpan(self.design)
        except ArithmeticError:
            return None
        twin = copy.copy(self)
        twin.design = Design(span.L, self.design.intercept)
        twin.design.reduced = True
        twin.design.row_gram = self.design.row_gram  # L L' = X X'
        twin.n = twin.design.n_columns * self.k
        d = self.design.n_features * self.k
        twin.ridge = np.concatenate([np.full(span.L.shape[1] * self.k, self.ridge[0]), self.ridge[d:]])
        return twin, span

    @property
    def _plain(self) -> bool:
        """Whether no function of this model has been overridden."""
        return all(getattr(getattr(self, name), "__func__", None) is getattr(LinearModel, name) for name in LINEAR)

    def offers(self, name: str) -> bool:
        """Whether the function called `name` is there; `line` where it still is that of the values."""
        return super().offers(name) and (name != "line" or type(self).line is not LinearModel.line or self._plain)

    def line(self, x: Array, z: Scores, h: Array) -> Callable[[float], tuple[Scores, float, float]]:
        """Return ``t -> (prepare(y), f(y), slope)``, ``y = x + t h``: one product with the data for all t."""
        D = self._scores(h)
        xx, xh, hh = penalty.products(self.ridge, x, h)
        length = float(max(D.max(), -D.min()))

        def at(t: float) -> tuple[Scores, float, float]:
            with np.errstate(over="ignore", invalid="ignore"):
                y = self.scores_loss(z.Z + t * D)
                y = Scores(y.Z, y.loss, y.R, y.cache, max(z.reach, t * length))
                square = xx + t * (2 * xh + t * hh)
                if not square >= CANCELLED * (xx + t * t * hh):
                    square = penalty.square(self.ridge, x + t * h)
                return y, y.loss + 0.5 * square, float(np.vdot(y.R, D)) + xh + t * hh

        return at

    def stale(self, z: Scores) -> bool:
        """Whether scores have moved by more than `FAR`."""
        return not z.reach <= FAR

    def summed(self, z: Any) -> bool:
        """Whether scores are not products with the data; a `prepare` of another kind makes no sums."""
        return isinstance(z, Scores) and z.reach > 0

    def difference(self, x: Array, z: Scores, h: Array) -> float:
        """Return ``f(x) - f(x + h)`` to full relative accuracy: one more product with the data."""
        return self.scores_difference(z, self._scores(h)) - 0.5 * float((self.ridge * h) @ (2 * x + h))
