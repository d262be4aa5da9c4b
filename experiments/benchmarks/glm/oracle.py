r"""The objective in plain NumPy and SciPy, nothing of gnsopt: it judges all, and SciPy's minimisers run on it.

    f(V) = 1/n sum_i l_i(a_i'W + b) + l2/2 |W|^2,      V = W, or W with the intercepts b as its last row

Two classes: ``l_i = log(1 + exp(-s_i z_i))`` with ``s_i = +1`` for the larger label, V of shape (d,) or (d + 1,). More:
``l_i = log sum_c exp(z_ic) - z_iy``, V of shape (d, k) or (d + 1, k); a flat vector is V in C order. Intercepts have no
penalty. Losses are sums of positive terms without cancellation, however small they get.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Vector = NDArray[np.float64]


class Oracle:
    """Value, gradient, Hessian and its products; what belongs to the last point is kept, and work is counted."""

    def __init__(self, X: Any, codes: Any, outputs: int, l2: float, intercept: bool) -> None:
        self.X, self.codes, self.k, self.l2, self.intercept = X, codes, outputs, l2, intercept
        self.n, self.d = X.shape
        self.sign = 2.0 * codes - 1.0
        self.rows = np.arange(self.n)
        self.shape = (self.d + intercept, *([outputs] if outputs > 1 else []))
        self.size = int(np.prod(self.shape))
        self.counts: Counter[str] = Counter()
        self._x: Vector | None = None

    def fun(self, x: Vector) -> float:
        """Return f."""
        self._at(x)
        return self._value

    def grad(self, x: Vector) -> Vector:
        """Return the gradient, of the shape of `x`."""
        self._at(x)
        if self._gradient is None:
            self.counts["njev"] += 1
            self._gradient = (self._back(self._residual) / self.n + self._penalty(self._V)).reshape(x.shape)
        return self._gradient

    def fun_grad(self, x: Vector) -> tuple[float, Vector]:
        """Return both."""
        return self.fun(x), self.grad(x)

    def product(self, x: Vector, v: Vector) -> Vector:
        """Return the Hessian at `x` times `v`."""
        self._at(x)
        self.counts["nhessp"] += 1
        D = v.reshape(self.shape)
        U = self._scores(D)
        if self.k == 1:
            U *= self._weights()
        else:
            U *= self._P
            U -= self._P * U.sum(axis=1, keepdims=True)
        return (self._back(U) / self.n + self._penalty(D)).reshape(v.shape)

    def hess(self, x: Vector) -> Vector:
        """Return the Hessian, of shape (size, size)."""
        self._at(x)
        self.counts["nhev"] += 1
        m, k = self.shape[0], self.k
        if k == 1:
            H = self.gram(self._weights())
        else:
            H = np.empty((m, k, m, k))
            for a in range(k):
                for b in range(a + 1):
                    H[:, a, :, b] = H[:, b, :, a] = self.gram(self._P[:, a] * (float(a == b) - self._P[:, b]))
            H = H.reshape(m * k, m * k)
        H /= self.n
        diagonal = np.repeat(np.arange(m) < self.d, k) * self.l2
        H[np.diag_indices_from(H)] += diagonal
        return H

    def gram(self, weight: Vector) -> Vector:
        """Return ``A' diag(weight) A``, where A has the column of ones too if there is an intercept."""
        X, d = self.X, self.d
        G = np.empty((self.shape[0], self.shape[0]))
        if sparse.issparse(X):
            G[:d, :d] = (X.T @ (sparse.diags_array(weight) @ X)).toarray()
        else:
            G[:d, :d] = X.T @ (weight[:, None] * X)
        if self.intercept:
            G[d, :d] = G[:d, d] = X.T @ weight
            G[d, d] = weight.sum()
        return G

    def diagonal(self, x: Vector) -> Vector:
        """Return the diagonal of the Hessian, of the shape of `x`."""
        self._at(x)
        W = self._weights() if self.k == 1 else self._P * (1.0 - self._P)
        squares = self.X.multiply(self.X) if sparse.issparse(self.X) else self.X**2
        D = squares.T @ W
        if self.intercept:
            D = np.concatenate([D, np.atleast_1d(W.sum(axis=0))[None] if self.k > 1 else [W.sum()]])
        return (D / self.n + self._penalty(np.ones(self.shape))).reshape(x.shape)

    def _at(self, x: Vector) -> None:
        """Move to `x`: scores, loss and residual in one pass over the scores, unless they are there."""
        if self._x is not None and np.array_equal(x, self._x):
            return
        self.counts["nfev"] += 1
        self._x, self._gradient, self._W = x.copy(), None, None
        self._V = self._x.reshape(self.shape)
        with np.errstate(over="ignore", invalid="ignore"):  # a far trial is answered by inf
            loss = self._two(self._scores(self._V)) if self.k == 1 else self._many(self._scores(self._V))
            weights = self._V[: self.d].ravel()
            self._value = float(loss + 0.5 * self.l2 * (weights @ weights))

    def _two(self, z: Vector) -> float:
        t = self.sign * z
        e = np.exp(-np.abs(t))
        self._e = e
        wrong = np.where(t >= 0, e, 1.0) / (1.0 + e)  # probability of the other class
        self._residual = -self.sign * wrong
        return float((np.log1p(e) - np.minimum(t, 0.0)).sum() / self.n)

    def _weights(self) -> Vector:
        if self._W is None:
            self._W = self._e / (1.0 + self._e) ** 2
        return self._W

    def _many(self, Z: Vector) -> float:
        at_label = Z[self.rows, self.codes]
        top = Z.max(axis=1)
        Z -= top[:, None]
        E = np.exp(Z, out=Z)
        own = E[self.rows, self.codes]
        E[self.rows, self.codes] = 0.0
        others = E.sum(axis=1)
        E[self.rows, self.codes] = own
        total = own + others
        right = own > others
        loss = np.log(total) + (top - at_label)
        loss[right] = np.log1p(others[right] / own[right])  # total - own would cancel
        E /= total[:, None]
        self._P = E
        R = E.copy()
        R[self.rows, self.codes] = -others / total
        self._residual = R
        return float(loss.sum() / self.n)

    def _scores(self, V: Vector) -> Vector:
        if not self.intercept:
            return np.asarray(self.X @ V)
        Z = np.asarray(self.X @ V[:-1])
        Z += V[-1]
        return Z

    def _back(self, R: Vector) -> Vector:
        G = np.asarray(self.X.T @ R)
        return np.concatenate([G, R.sum(axis=0, keepdims=True)]) if self.intercept else G

    def _penalty(self, V: Vector) -> Vector:
        P = self.l2 * V
        P[self.d :] = 0.0
        return P
