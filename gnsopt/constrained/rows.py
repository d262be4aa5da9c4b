"""The Jacobian G at a point: its range and null space, least-squares multipliers, steps towards the constraints."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from scipy.linalg import svd
from scipy.sparse import block_array, eye_array, issparse

from gnsopt._typing import Array
from gnsopt.constrained.factor import sparse_lu
from gnsopt.constrained.point import KKTPoint
from gnsopt.constrained.trust import projected_lanczos, trust_region
from gnsopt.exceptions import StepFailure

RCOND = 1e-10  # singular values below this multiple of the largest count as zero (chosen)
REGULAR = 1e-8  # delta_c of a sparse Jacobian without full rank, relative to |G|^2 (chosen)


class RowSpace(ABC):
    """What solvers ask of G; subclasses factorise it once."""

    @staticmethod
    def of(p: KKTPoint) -> RowSpace:
        """Return the row space at `p`, factorised once for each x."""
        kept = p.primal.__dict__
        if "row_space" not in kept:
            kept["row_space"] = SparseRows(p.G) if issparse(p.G) else DenseRows(p.G)
        found: RowSpace = kept["row_space"]
        return found

    deficient: bool

    @abstractmethod
    def gram_solve(self, w: Array) -> Array:
        """Return ``(G G')^+ w``."""

    @abstractmethod
    def range_step(self, c: Array) -> Array:
        """Return ``-G^+ c``, the shortest v of least ``|c + G v|``."""

    @abstractmethod
    def multipliers(self, g: Array) -> Array:
        """Return the y of least ``|g + G'y|``, the shortest of them."""

    @abstractmethod
    def normal(self, c: Array, radius: float) -> Array:
        """Return v with ``|v| <= radius`` that makes ``|c + G v|`` small."""

    @abstractmethod
    def tangent(self, H: Any, q: Array, radius: float) -> Array:
        """Return u with ``G u = 0, |u| <= radius`` that makes ``q'u + u'Hu/2`` small."""

    def least_squares_point(self, p: KKTPoint) -> KKTPoint:
        """Return `p` with least-squares multipliers."""
        return p.with_multipliers(self.multipliers(p.g))


class DenseRows(RowSpace):
    """By a singular value decomposition.

    Parameters
    ----------
    G : ndarray of shape (m, n)
        The Jacobian.

    Attributes
    ----------
    Z : ndarray of shape (n, n - r)
        Orthonormal basis of the null space; r is the rank to `RCOND`.
    deficient : bool
        Whether r < m.
    """

    def __init__(self, G: Array) -> None:
        m, n = G.shape
        U, s, Vt = svd(G, check_finite=False) if m else (np.zeros((0, 0)), np.zeros(0), np.eye(n))
        r = int(np.count_nonzero(s > RCOND * s[0])) if s.size and s[0] > 0 else 0
        self.U, self.s, self.Y, self.Z = U[:, :r], s[:r], Vt[:r].T, Vt[r:].T
        self.deficient = r < m

    def gram_solve(self, w: Array) -> Array:
        """Return ``U s^{-2} U'w``."""
        return np.asarray(self.U @ (self.U.T @ w / self.s**2))

    def range_step(self, c: Array) -> Array:
        """Return ``-Y s^{-1} U'c``."""
        return -np.asarray(self.Y @ (self.U.T @ c / self.s))

    def multipliers(self, g: Array) -> Array:
        """Return ``-U s^{-1} Y'g``."""
        return -np.asarray(self.U @ (self.Y.T @ g / self.s))

    def normal(self, c: Array, radius: float) -> Array:
        """Return the minimiser of ``|c + G v|`` in the ball."""
        s = self.s[::-1]
        v = trust_region(s**2, s * (self.U.T @ c)[::-1], radius)
        return np.asarray(self.Y @ v[::-1])

    def reduced(self, H: Any) -> tuple[Array, Array]:
        """Return eigenvalues and eigenvectors of ``Z'HZ``, the latter in the coordinates of x."""
        Z = self.Z
        if Z.shape[1] == 0:  # as many independent constraints as variables: H is not asked for its products
            return np.zeros(0), Z
        HZ = np.asarray(H @ Z)
        reduced = Z.T @ HZ
        if not np.isfinite(reduced).all():
            raise StepFailure("the Hessian is not finite")
        values, W = np.linalg.eigh((reduced + reduced.T) / 2)
        return values, np.asarray(Z @ W)

    def tangent(self, H: Any, q: Array, radius: float) -> Array:
        """Return the minimiser of the model in the ball of the null space."""
        values, W = self.reduced(H)
        return np.asarray(W @ trust_region(values, W.T @ q, radius))


class SparseRows(RowSpace):
    """By a sparse LU factorisation of ``[[I, G'], [G, -delta I]]``; delta > 0 only where G has no full rank.

    Parameters
    ----------
    G : sparse array of shape (m, n)
        The Jacobian.
    """

    def __init__(self, G: Any) -> None:
        self.G = G
        self.m, self.n = G.shape
        self.deficient = False
        self._factor = self._factorised(0.0)
        if self._factor is None:
            self.deficient = True
            self._factor = self._factorised(REGULAR * max(float(abs(G).max()) if G.nnz else 0.0, 1.0) ** 2)

    def _factorised(self, delta: float) -> Any:
        K = block_array([[eye_array(self.n), self.G.T], [self.G, -delta * eye_array(self.m)]], format="csc")
        factor = sparse_lu(K)
        if factor is None:
            return None
        probe = np.asarray(factor.solve(np.ones(self.n + self.m)))
        d = np.abs(factor.U.diagonal())
        trusted = np.isfinite(probe).all() and d.min() > RCOND * d.max()
        return factor if trusted or delta > 0 else None

    def _solve(self, top: Array, bottom: Array) -> tuple[Array, Array]:
        z = np.asarray(self._factor.solve(np.concatenate([top, bottom])))
        return z[: self.n], z[self.n :]

    def gram_solve(self, w: Array) -> Array:
        """Return ``(GG' + delta I)^{-1} w``."""
        return -self._solve(np.zeros(self.n), w)[1]

    def range_step(self, c: Array) -> Array:
        """Return ``-G'(GG' + delta I)^{-1} c``."""
        return self._solve(np.zeros(self.n), -c)[0]

    def multipliers(self, g: Array) -> Array:
        """Return ``-(GG' + delta I)^{-1} G g``."""
        return -self._solve(g, np.zeros(self.m))[1]

    def project(self, v: Array) -> Array:
        """Return the part of `v` in the null space of G, projected twice against rounding."""
        for _ in range(2):
            v = self._solve(v, np.zeros(self.m))[0]
        return v

    def normal(self, c: Array, radius: float) -> Array:
        """Return the dogleg step: towards ``-G'c``, then towards ``-G^+ c``."""
        full = self.range_step(c)
        if np.linalg.norm(full) <= radius:
            return full
        down = -np.asarray(self.G.T @ c)
        steep = float(np.linalg.norm(down))
        if steep == 0.0:
            return np.zeros(self.n)
        cauchy = down * (steep / float(np.linalg.norm(self.G @ down))) ** 2
        length = float(np.linalg.norm(cauchy))
        if length >= radius:
            return cauchy * (radius / length)
        along = full - cauchy
        a, b = float(along @ along), float(cauchy @ along)
        t = (-b + np.sqrt(b * b + a * (radius**2 - length**2))) / a
        return np.asarray(cauchy + t * along)

    def tangent(self, H: Any, q: Array, radius: float) -> Array:
        """Return the minimiser of the model over a Krylov space of the projected Hessian."""
        return projected_lanczos(H, self.project, q, radius)
