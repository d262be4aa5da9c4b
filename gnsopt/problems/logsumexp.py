r"""Log-sum-exp, the smooth maximum of linear functions.

    f(x) = mu log sum_i exp((a_i'x - b_i)/mu),   z = (Ax - b)/mu,   pi = softmax(z),   grad = A' pi
    hess = (A' diag(pi) A - g g')/mu,            weighted Gauss-Newton = A' diag(pi) A / mu

``hess = WGN - g g'/mu``, so ``|hess - WGN|_* = |g|_*^2/mu``, and the exact and the Gauss-Newton step at the same
damping are collinear, ``h_exact = h_wgn/(1 - q/mu)`` with ``q = -<g, h_wgn>``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.special import logsumexp, softmax

from gnsopt._typing import Array, ArrayLike
from gnsopt.arguments import as_array, as_number, shown
from gnsopt.linalg.design import Design
from gnsopt.linalg.forms import Form, Gram, RankOneUpdate
from gnsopt.linalg.rows import WeightRows
from gnsopt.objective import Objective
from gnsopt.problems.validation import check_design


@dataclass(frozen=True)
class _State:
    design: Design
    f: float
    pi: Array

    @cached_property
    def g(self) -> Array:
        """The gradient ``A' pi``, which the Hessian needs too."""
        return self.design.rmatvec(self.pi)


class LogSumExp(Objective):
    """Log-sum-exp of the rows of `A`.

    Parameters
    ----------
    A : array_like or sparse array of shape (m, n)
        Rows ``a_i``.
    b : array_like of shape (m,)
        Offsets.
    mu : float, default=1.0
        Smoothing, positive: ``max_i <= f <= max_i + mu log m``.

    Raises
    ------
    ValueError
        For data that are not finite, shapes that differ or ``mu <= 0``.
    """

    convex = True

    def __init__(self, A: Any, b: ArrayLike, mu: float = 1.0) -> None:
        self.design = Design(check_design(A, "A"))
        self.b = as_array(b, "b", finite=False).reshape(-1).copy()
        if self.b.shape != (self.design.n_samples,) or not np.isfinite(self.b).all():
            raise ValueError(
                f"b has shape {self.b.shape}; A has {self.design.n_samples} rows, so it must be "
                f"({self.design.n_samples},) and finite"
            )
        self.mu = as_number(mu, "mu")
        if not 0 < self.mu < np.inf:
            raise ValueError(f"mu={shown(mu)} must be positive and finite")
        self.n = self.design.n_columns
        self._no_ridge = np.zeros(self.n)

    @classmethod
    def centered(cls, A: Any, b: ArrayLike, mu: float = 1.0) -> LogSumExp:
        """Return the problem with rows ``a_i - A' softmax(-b/mu)``: minimised at 0, where ``f* = mu logsumexp(-b/mu)``.

        Parameters
        ----------
        A : array_like or sparse array of shape (m, n)
            Rows before the shift.
        b : array_like of shape (m,)
            Offsets.
        mu : float, default=1.0
            Smoothing.

        Returns
        -------
        LogSumExp
            The shifted problem; its rows are dense.
        """
        plain = cls(A, b, mu)
        X = plain.design.X
        X = X.toarray() if plain.design.sparse else X
        problem = cls(X - X.T @ softmax(-plain.b / plain.mu), b, mu)
        problem.x_star = np.zeros(problem.n)
        problem.f_star = float(problem.mu * logsumexp(-problem.b / problem.mu))
        return problem

    def prepare(self, x: Array) -> _State:
        """Return the value and the weights pi; exponentials are shifted by their maximum."""
        z = (self.design.matvec(x) - self.b) / self.mu
        top = float(z.max())
        e = np.exp(z - top)
        total = float(e.sum())
        return _State(self.design, self.mu * (top + float(np.log(total))), e / total)

    def fun(self, x: Array, z: _State) -> float:
        """Return f."""
        return z.f

    def grad(self, x: Array, z: _State) -> Array:
        """Return ``A' pi``."""
        return z.g

    def gauss_newton(self, x: Array, z: _State) -> Form:
        """Return the weighted Gauss-Newton matrix ``A' diag(pi) A / mu``."""
        return Gram(self.design, WeightRows(z.pi / self.mu), self._no_ridge)

    def hess(self, x: Array, z: _State) -> Form:
        """Return the weighted Gauss-Newton matrix minus ``g g'/mu``."""
        return RankOneUpdate(self.gauss_newton(x, z), -1.0 / self.mu, z.g)

    def difference(self, x: Array, z: _State, h: Array) -> float:
        """Return ``-mu log1p(sum_i pi_i expm1(a_i'h/mu))``, around the largest exponent where that is above 30."""
        d = self.design.matvec(h) / self.mu
        top = float(d.max())
        change = float(z.pi @ np.expm1(np.minimum(d, 30.0)))
        if top <= 30.0 and change > -0.5:
            return -self.mu * float(np.log1p(change))
        total = float(z.pi @ np.exp(d - top))  # positive terms; zero where the weights of the new leaders underflow
        return -self.mu * (float(np.log(total)) + top) if total > 0 else z.f - self.prepare(x + h).f
