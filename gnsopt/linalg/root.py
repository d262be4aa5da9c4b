r"""Matrices ``Y'Y + diag(ridge)`` of few dense rows: sketched Hessians, and their solves in the space of the rows."""

from __future__ import annotations

import numpy as np
from scipy.linalg import lapack

from gnsopt._typing import Array
from gnsopt.exceptions import NotPositiveDefinite
from gnsopt.linalg.design import Design
from gnsopt.linalg.forms import Gram, Shifted, noise
from gnsopt.linalg.metric import DiagonalMetric, Metric
from gnsopt.linalg.rows import WeightRows
from gnsopt.linalg.structured import LowRankShifted


class Root(Gram):
    """``Y'Y + diag(ridge)``.

    Parameters
    ----------
    Y : ndarray of shape (m, n)
        Rows.
    ridge : ndarray of shape (n,)
        Non-negative diagonal term.
    """

    def __init__(self, Y: Array, ridge: Array) -> None:
        super().__init__(Design(np.ascontiguousarray(Y)), WeightRows(np.ones(Y.shape[0])), ridge)
        self.Y = self.design.X
        free = np.flatnonzero(ridge == 0.0)
        self.free = free if free.size < self.n else free[:0]  # columns without a ridge where others have one

    def structured(self, metric: Metric) -> Shifted | None:
        """Return solves in the space of the rows where these are fewer than the penalised columns."""
        few = self.Y.shape[0] <= self.n - self.free.size and self.free.size <= self.Y.shape[0]
        return RootShifted(self, metric) if few and metric.diagonal is not None else None


class RootShifted(Shifted):
    r"""``(Y'Y + ridge + lam B)^{-1} b`` for diagonal B: O(n m^2) for each ``lam``, without forming an n x n matrix.

    Columns C without a ridge of their own (intercepts) have a diagonal term that vanishes with lam, which would swamp
    the others in Woodbury's formula; they are eliminated by a Schur complement. With ``Delta = ridge + lam B`` on the
    other columns Z, ``sigma`` on C, and ``F = Z Delta^{-1} Z' + I``,

        t = (sigma + C'F^{-1}C)^{-1} (b_C - C'F^{-1} Z Delta^{-1} b_Z),      x_Z = (Z'Z + Delta)^{-1} (b_Z - Z'C t),

    in which no term cancels; the last inverse is that of `LowRankShifted`.

    Parameters
    ----------
    form : Root
        ``Y'Y + ridge``.
    metric : Metric
        ``B``, diagonal.
    """

    def __init__(self, form: Root, metric: Metric) -> None:
        self._form, self._B = form, np.broadcast_to(np.asarray(metric.diagonal, dtype=float), form.n)
        self._lam = np.nan
        kept = np.ones(form.n, dtype=bool)
        kept[form.free] = False
        self._kept = kept
        self._Z, self._C = (form.Y, form.Y[:, :0]) if kept.all() else (form.Y[:, kept], form.Y[:, ~kept])
        self.lam_noise = noise(form.diagonal(), self._B)

    def _prepare(self, lam: float) -> None:
        delta = self._form.ridge + lam * self._B
        if not delta.min() > 0:
            raise NotPositiveDefinite("ridge + lam B is not positive")
        m = self._Z.shape[0]
        self._delta = delta[self._kept]
        self._inverse = LowRankShifted(self._Z.T, np.ones(m), DiagonalMetric(self._delta))
        if self._C.shape[1]:
            F = np.asfortranarray((self._Z / self._delta) @ self._Z.T)
            F.flat[:: m + 1] += 1.0
            self._L, info = lapack.dpotrf(F, lower=1, overwrite_a=1, clean=0)
            if info != 0:
                raise NotPositiveDefinite("Cholesky failed in the space of the rows")
            self._FC = lapack.dpotrs(self._L, np.asfortranarray(self._C), lower=1)[0]
            self._S = self._C.T @ self._FC + np.diag(delta[~self._kept])
        self._lam = lam

    def solve(self, lam: float, b: Array) -> Array:
        """Solve in the space of the rows."""
        if lam != self._lam:
            self._lam = np.nan
            self._prepare(lam)
        x = np.empty_like(b)
        bz = b[self._kept]
        if self._C.shape[1]:
            t = np.linalg.solve(self._S, b[~self._kept] - self._FC.T @ (self._Z @ (bz / self._delta)))
            x[~self._kept] = t
            bz = bz - self._Z.T @ (self._C @ t)
        x[self._kept] = self._inverse.solve(1.0, bz)
        return x
