"""Sparse rows: the weighted second moment ``A' diag(w) A`` by row outer products, lower triangle."""

from __future__ import annotations

from numba import njit

from gnsopt._typing import Array, IntArray


@njit(cache=True)  # type: ignore[misc, unused-ignore]
def weighted_gram(indptr: IntArray, indices: IntArray, data: Array, w: Array, G: Array) -> None:
    """Add ``sum_i w_i a_i a_i'`` to the lower triangle of `G`.

    Parameters
    ----------
    indptr, indices, data : ndarray
        CSR rows ``a_i``, n of them with d columns; indices sorted within a row.
    w : ndarray of shape (n,)
        Weights.
    G : ndarray of shape (d, d)
        Written at (row, column) with row >= column.
    """
    for i in range(indptr.shape[0] - 1):
        wi = w[i]
        if wi == 0.0:
            continue
        lo, hi = indptr[i], indptr[i + 1]
        for p in range(lo, hi):
            v = wi * data[p]
            row = G[indices[p]]
            for q in range(lo, p + 1):
                row[indices[q]] += v * data[q]


@njit(cache=True)  # type: ignore[misc, unused-ignore]
def weighted_squares(indptr: IntArray, indices: IntArray, data: Array, w: Array, out: Array) -> None:
    """Add ``sum_i w_ic a_ij^2`` to ``out[j, c]``.

    Parameters
    ----------
    indptr, indices, data : ndarray
        CSR rows ``a_i``, n of them with d columns.
    w : ndarray of shape (n, k)
        Weights.
    out : ndarray of shape (d, k)
        Written.
    """
    k = w.shape[1]
    for i in range(indptr.shape[0] - 1):
        for p in range(indptr[i], indptr[i + 1]):
            s = data[p] * data[p]
            j = indices[p]
            for c in range(k):
                out[j, c] += s * w[i, c]
