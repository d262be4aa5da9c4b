"""The design ``A = [X, 1]``: dense or CSR rows and an optional intercept column that is never stored."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from scipy.linalg import blas
from scipy.sparse import issparse

from gnsopt._typing import Array, IntArray, Matrix
from gnsopt.kernels import csr

BLOCK = 2**18  # entries of a dense block: it stays in cache between its scaling and its rank-k update (measured)

# Fixed prices of one entry, in BLAS-3 flops (about 0.02 ns each; measured once, never at run time).
DENSE_PASS = 13.0  # A v or A'r, dense: bound by memory
SPARSE_PASS = 20.0  # the same by CSR
OUTER_ENTRY = 40.0  # one entry of a sparse row's outer product


class Design:
    """Rows ``a_i`` of shape (n_samples, n_columns); every product with the data goes through here.

    Parameters
    ----------
    X : ndarray or CSR array of shape (n_samples, n_features)
        Finite float64 rows, C-ordered or CSR with sorted indices.
    intercept : bool, default=False
        Append a column of ones (the last one), without storing it.
    """

    def __init__(self, X: Matrix, intercept: bool = False) -> None:
        self.X = X
        self.intercept = intercept
        self.sparse = bool(issparse(X))
        self.n_samples, self.n_features = (int(s) for s in X.shape)
        self.n_columns = self.n_features + int(intercept)
        self.nnz = int(X.nnz) if self.sparse else self.n_samples * self.n_features
        self._XT: Any = X.T  # a view: CSR's transpose is CSC on the same arrays

    def matvec(self, v: Array) -> Array:
        """Return ``A v`` for `v` of shape (n_columns,) or (n_columns, k)."""
        if not self.intercept:
            out: Array = self.X @ v
            return out
        out = self.X @ v[:-1]
        out += v[-1]
        return out

    def rmatvec(self, r: Array) -> Array:
        """Return ``A' r`` for `r` of shape (n_samples,) or (n_samples, k)."""
        if not self.intercept:
            out: Array = self._XT @ r
            return out
        out = np.empty((self.n_columns, *r.shape[1:]))
        out[:-1] = self._XT @ r
        out[-1] = r.sum(axis=0)
        return out

    def gram_lower(self, w: Array) -> Array:
        """Return ``A' diag(w) A`` (Fortran order, lower triangle valid) for `w` of shape (n_samples,)."""
        d, e = self.n_features, self.n_columns
        G = np.zeros((e, e), order="F")
        if self.sparse:
            L = np.zeros((d, d))
            csr.weighted_gram(self.X.indptr, self.X.indices, self.X.data, w, L)
            G[:d, :d] = L
        else:
            G[:d, :d] = self._dense_gram(w)
        if self.intercept:
            G[d, :d] = self._XT @ w
            G[d, d] = w.sum()
        return G

    @property
    def _block_rows(self) -> int:
        return max(256, BLOCK // self.n_features)

    def _dense_gram(self, w: Array) -> Array:
        """Rank-k updates on cached blocks: half of the flops of a product, and no copy of X."""
        d = self.n_features
        G = np.zeros((d, d), order="F")
        sign = -1.0 if np.all(w <= 0) and np.any(w < 0) else 1.0
        root = np.sqrt(sign * w) if np.all(sign * w >= 0) else None
        step = self._block_rows
        for lo in range(0, self.n_samples, step):
            Xb = self.X[lo : lo + step]
            if root is not None:
                scaled = (Xb * root[lo : lo + step, None]).T
                G = blas.dsyrk(sign, scaled, beta=1.0, c=G, lower=1, overwrite_c=1)
            else:
                G = blas.dgemm(1.0, Xb.T, (Xb * w[lo : lo + step, None]).T, beta=1.0, c=G, trans_b=1, overwrite_c=1)
        return G

    def weighted_squares(self, w: Array) -> Array:
        """Return ``sum_i w_ic a_ij^2`` of shape (n_columns, k) for `w` of shape (n_samples, k)."""
        out = np.zeros((self.n_columns, w.shape[1]))
        d = self.n_features
        if self.sparse:
            csr.weighted_squares(self.X.indptr, self.X.indices, self.X.data, np.ascontiguousarray(w), out[:d])
        else:
            step = self._block_rows
            for lo in range(0, self.n_samples, step):
                Xb = self.X[lo : lo + step]
                out[:d] += (Xb * Xb).T @ w[lo : lo + step]
        if self.intercept:
            out[d] = w.sum(axis=0)
        return out

    @cached_property
    def row_gram(self) -> Array:
        """``X X'`` of shape (n_samples, n_samples), built once; the intercept is not in it."""
        K = self.X @ self._XT
        return np.asarray(K.toarray() if self.sparse else K)

    def row_squares(self, scale: Array) -> Array:
        """Return ``sum_j scale_j a_ij^2`` of shape (n_samples,) for `scale` of shape (n_columns,)."""
        t = scale[: self.n_features]
        if self.sparse:
            squares = np.asarray(type(self.X)((self.X.data**2, self.X.indices, self.X.indptr), self.X.shape) @ t)
        else:
            squares = np.einsum("ij,ij,j->i", self.X, self.X, t)
        return squares + scale[-1] if self.intercept else squares

    @cached_property
    def row_norms(self) -> Array:
        """Euclidean norms of the rows ``a_i``, the intercept included."""
        return np.asarray(np.sqrt(self.row_squares(np.ones(self.n_columns))))

    def row_kernel(self, index: IntArray, root: Array) -> Array:
        """Return the lower triangle of ``a_i' diag(root^2) a_j`` for i, j in `index` (Fortran order)."""
        Y = self.X[index]
        t = root[: self.n_features]
        if self.sparse:
            Y.data *= t[Y.indices]
            K = np.asfortranarray((Y @ Y.T).toarray())
        else:
            Y = Y * t
            K = blas.dsyrk(1.0, Y.T, trans=1, lower=1)
        if self.intercept:
            K += root[-1] ** 2
        return K

    @property
    def pass_price(self) -> float:
        """Counted work of ``A v`` or ``A' r`` for one vector, in BLAS-3 flops."""
        return (SPARSE_PASS if self.sparse else DENSE_PASS) * (self.nnz + self.n_samples)

    @property
    def gram_price(self) -> float:
        """Counted work of ``A' diag(w) A``."""
        if self.sparse:
            return OUTER_ENTRY * self.nnz * (self.nnz / max(self.n_samples, 1) + 1) / 2
        return float(self.n_samples) * self.n_features**2

    @cached_property
    def row_gram_price(self) -> float:
        """Counted work of ``X X'``: a column of c stored entries meets c^2 pairs of rows."""
        if self.sparse:
            return OUTER_ENTRY * float(
                (np.bincount(self.X.indices, minlength=self.n_features).astype(float) ** 2).sum()
            )
        return 2.0 * self.n_features * self.n_samples**2
