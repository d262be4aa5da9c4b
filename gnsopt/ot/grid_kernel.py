r"""The Gibbs kernel of a product grid as two factors, each with its own maxima taken out.

    E[(i, k), (j, l)] = F[i, l, j] G[i, k, l],
    F[i, l, j] = exp(y[j, l] - C1[i, j]/reg - M[i, l]),      M[i, l] = max_j,
    G[i, k, l] = exp(M[i, l] - C2[k, l]/reg - top[i, k]),    top[i, k] = max_l.

A product with E is one with F, then one with G; nothing can overflow, and what underflows does not matter to its row.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import blas

from gnsopt._typing import Array
from gnsopt.ot.gibbs import DENSE_RANGE, PASS, Kernel


class GridKernel(Kernel):
    """Both factors.

    Parameters
    ----------
    one, other : ndarray
        The factors of the cost without their offsets.
    inv : float
        ``1/reg``.
    y : ndarray of shape (m,)
        Column potentials over reg.
    """

    width, tiny = DENSE_RANGE, 1e-280

    def __init__(self, one: Array, other: Array, inv: float, y: Array) -> None:
        self._shape = one.shape, other.shape
        Y = y.reshape(one.shape[1], other.shape[1])
        F = Y.T[None] - inv * one[:, None, :]
        M = F.max(axis=2)
        F -= M[:, :, None]
        G = M[:, None, :] - inv * other[None]
        top = G.max(axis=2)
        G -= top[:, :, None]
        self._F, self._G = np.exp(F, out=F), np.exp(G, out=G)
        self.top = top.ravel()
        self.price = 2 * PASS * (F.size + G.size)

    def dot(self, d: Array) -> Array:
        """Return ``E d``."""
        return self._dot(self._F, self._G, d)

    def rdot(self, d: Array) -> Array:
        """Return ``E' d``."""
        return self._rdot(self._F, self._G, d)

    def _dot(self, F: Array, G: Array, d: Array) -> Array:
        (_, m1), (_, m2) = self._shape
        inner = np.einsum("ilj,jl->il", F, d.reshape(m1, m2))
        return np.asarray((G @ inner[:, :, None]).ravel())

    def _rdot(self, F: Array, G: Array, d: Array) -> Array:
        (n1, _), (n2, _) = self._shape
        inner = (d.reshape(n1, 1, n2) @ G)[:, 0, :]
        return np.einsum("ilj,il->jl", F, inner).ravel()

    def scale(self, v: Array, a: Array) -> tuple[Array, Array]:
        """Return ``s = E v`` and ``E'(a/s)``."""
        s = self.dot(v)
        return s, self.rdot(a / s)

    def gram(self, d: Array, w: Array) -> Array:
        """Return ``E'(w (E d))``."""
        return self.rdot(w * self.dot(d))

    def squares(self, w: Array) -> Array:
        """Return ``(E o E)' w``."""
        return self._rdot(self._F**2, self._G**2, w)

    def second_moment(self, w: Array) -> Array:
        """Return the lower triangle of ``E' diag(w) E``, slice by slice of the first factor."""
        (n1, m1), (n2, m2) = self._shape
        total = np.zeros((m1 * m2, m1 * m2), order="F")
        for F, G, v in zip(self._F, self._G, np.sqrt(w).reshape(n1, n2), strict=True):
            E = (v[:, None, None] * G[:, None, :] * F.T[None]).reshape(n2, m1 * m2)
            total = blas.dsyrk(1.0, E.T, beta=1.0, c=total, lower=1, overwrite_c=1)
        return total
