"""The span of the rows of wide data: orthonormal coordinates from one Gram matrix."""

from __future__ import annotations

import numpy as np
from scipy.linalg import lapack

from gnsopt._typing import Array
from gnsopt.linalg.design import Design

CLEAR = 1e-12  # squared pivots below this, relative to the first, must be rounding: no basis otherwise (chosen)


class RowSpan:
    r"""``X = L Q'`` with orthonormal ``Q = X_p' T^{-T}``, from the pivoted Cholesky factor of ``X X'``.

    ``T`` is the leading triangle of ``L`` and ``X_p`` its rows of X; ``L`` has as many columns as X has rank.

    Parameters
    ----------
    design : Design
        Wide rows; the intercept has no part in it.

    Raises
    ------
    ArithmeticError
        If the rank is not clear: lifted vectors would lose more than half of float64's digits.
    """

    def __init__(self, design: Design) -> None:
        n = design.n_samples
        F, pivots, rank, _ = lapack.dpstrf(design.row_gram, lower=1, tol=-1.0)
        squares = F.diagonal()[:rank] ** 2
        rank = int(np.count_nonzero(squares > CLEAR * squares[:1]))
        if rank == 0 or squares[rank:].max(initial=0.0) > 10 * n * np.finfo(float).eps * squares[0]:
            raise ArithmeticError("the rank of the rows is not clear")
        L = np.tril(F[:, :rank])
        self._order = pivots[:rank] - 1
        self._T, self._design = np.asfortranarray(L[:rank]), design
        self.norms = np.sqrt(design.row_gram.diagonal())
        self.L = np.empty((n, rank))
        self.L[pivots - 1] = L

    def coefficients(self, y: Array) -> Array:
        """Return c of shape (n_samples,) + y.shape[1:] with ``Q y = X' c``."""
        c = np.zeros((self._design.n_samples, *y.shape[1:]))
        c[self._order] = lapack.dtrtrs(self._T, y, lower=1, trans=1)[0]
        return c

    def length(self, y: Array) -> float:
        """Return the length of the terms of which ``Q y = sum_j c_j a_j`` is the sum: of ``(|c_j| |a_j|)_j``.

        Times eps, it is what a score ``L y`` is off ``X (Q y)``, in units of ``|a_i|``: ``X X' - L L'`` has entries of
        about ``eps |a_i| |a_j|``, of random signs.

        Parameters
        ----------
        y : ndarray of shape (n,) or (n, k)
            Coordinates.

        Returns
        -------
        float
            The length, in the units of x.
        """
        return float(np.linalg.norm(self.coefficients(y[: self.L.shape[1]]).T * self.norms))

    def coordinates(self, x: Array) -> Array:
        """Return ``Q' x``; an intercept's entry, the last one of `x`, is kept."""
        d = self._design.n_features
        y = lapack.dtrtrs(self._T, np.asarray(self._design.X @ x[:d])[self._order], lower=1)[0]
        return np.concatenate([y, x[d:]])

    def vector(self, y: Array) -> Array:
        """Return ``Q y``; an intercept's entry, the last one of `y`, is kept."""
        y, tail = y[: self.L.shape[1]], y[self.L.shape[1] :]
        return np.concatenate([np.asarray(self._design.X.T @ self.coefficients(y)), tail])
