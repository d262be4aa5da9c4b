"""Sparse rows: weighted second moments by outer products of rows, and products with several vectors.

Indices are cast to unsigned integers: Numba then leaves out its test for negative ones, which makes the loops up to
three times faster.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from gnsopt._typing import Array, IntArray


@njit(cache=True, nogil=True, fastmath={"contract"})  # type: ignore[misc, unused-ignore]
def weighted_gram(indptr: IntArray, indices: IntArray, data: Array, w: Array, intercept: bool, G: Array) -> None:
    """Add ``sum_i w_i a_ij a_il`` to ``G[l, j]`` for l <= j.

    Parameters
    ----------
    indptr, indices, data : ndarray
        CSR rows, n of them with d columns; indices sorted within a row.
    w : ndarray of shape (n,)
        Weights.
    intercept : bool
        Whether a one is appended to each row.
    G : ndarray of shape (e, e)
        C-ordered, written for l <= j; e is d, or d + 1 with an intercept.
    """
    F, e, one = G.reshape(G.size), np.uint64(G.shape[0]), np.uint64(1)
    last = e - one
    for i in range(indptr.shape[0] - 1):
        wi = w[i]
        if wi == 0.0:
            continue
        q, hi = np.uint64(indptr[i]), np.uint64(indptr[i + 1])
        while q + one < hi:  # two rows of G at a time share the loads of index and value
            u, v = wi * data[q], wi * data[q + one]
            a, b = np.uint64(indices[q]) * e, np.uint64(indices[q + one]) * e
            F[a + np.uint64(indices[q])] += u * data[q]
            for p in range(q + one, hi):
                j, x = np.uint64(indices[p]), data[p]
                F[a + j] += u * x
                F[b + j] += v * x
            if intercept:
                F[a + last] += u
                F[b + last] += v
            q += np.uint64(2)
        if q < hi:
            u, j = wi * data[q], np.uint64(indices[q])
            F[j * e + j] += u * data[q]
            if intercept:
                F[j * e + last] += u
        if intercept:
            F[last * e + last] += wi


@njit(cache=True, nogil=True, fastmath={"contract"})  # type: ignore[misc, unused-ignore]
def weighted_grams(
    indptr: IntArray, indices: IntArray, data: Array, W: Array, intercept: bool, first: int, u: Array, B: Array
) -> None:
    """Add ``sum_i w_ic a_ij a_il`` to ``B[l - first, j, c]`` for l <= j, all weights at once, for a strip of l.

    Parameters
    ----------
    indptr, indices, data : ndarray
        CSR rows, n of them with d columns; indices sorted within a row.
    W : ndarray of shape (n, m)
        Weights; best with zeros up to a multiple of eight columns.
    intercept : bool
        Whether a one is appended to each row.
    first : int
        First l of the strip.
    u : ndarray of shape (m,)
        Overwritten.
    B : ndarray of shape (r, e, m)
        C-ordered, written for the r values of l from `first` on and l <= j; e is d, or d + 1 with an intercept.
    """
    strip, e, m = B.shape
    F, M, one = B.reshape(B.size), np.uint64(m), np.uint64(1)
    stride, last = np.uint64(e) * M, np.uint64(e - 1) * M
    behind = first + strip
    for i in range(indptr.shape[0] - 1):
        wi = W[i]
        q, hi = np.uint64(indptr[i]), np.uint64(indptr[i + 1])
        while q < hi and indices[q] < first:
            q += one
        while q < hi and indices[q] < behind:
            x = data[q]
            for c in range(m):
                u[c] = x * wi[c]
            row = np.uint64(indices[q] - first) * stride
            for p in range(q, hi):
                y, b = data[p], row + np.uint64(indices[p]) * M
                for c in range(M):
                    F[b + c] += y * u[c]
            if intercept:
                for c in range(M):
                    F[row + last + c] += u[c]
            q += one
        if intercept and behind == e:
            for c in range(m):
                B[strip - 1, e - 1, c] += wi[c]


@njit(cache=True, nogil=True)  # type: ignore[misc, unused-ignore]
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
        for p in range(np.uint64(indptr[i]), np.uint64(indptr[i + 1])):
            s = data[p] * data[p]
            j = np.uint64(indices[p])
            for c in range(k):
                out[j, c] += s * w[i, c]


@njit(cache=True, nogil=True)  # type: ignore[misc, unused-ignore]
def row_squares(indptr: IntArray, indices: IntArray, data: Array, t: Array) -> Array:
    """Return ``sum_j t_j a_ij^2`` for each row.

    Parameters
    ----------
    indptr, indices, data : ndarray
        CSR rows ``a_i``, n of them with d columns.
    t : ndarray of shape (d,)
        Scale.

    Returns
    -------
    ndarray of shape (n,)
        The sums.
    """
    out = np.empty(indptr.shape[0] - 1)
    for i in range(indptr.shape[0] - 1):
        s = 0.0
        for p in range(np.uint64(indptr[i]), np.uint64(indptr[i + 1])):
            s += data[p] * data[p] * t[np.uint64(indices[p])]
        out[i] = s
    return out


@njit(cache=True, nogil=True, fastmath={"contract"})  # type: ignore[misc, unused-ignore]
def scores(indptr: IntArray, indices: IntArray, data: Array, V: Array, z: Array, Z: Array) -> None:
    """Write ``A V`` to `Z`.

    Parameters
    ----------
    indptr, indices, data : ndarray
        CSR rows ``a_i``, n of them with d columns.
    V : ndarray of shape (d, at least k)
        C-ordered; best with zeros up to a multiple of four columns.
    z : ndarray of shape (V.shape[1],)
        What every row begins with: zeros, or the intercepts.
    Z : ndarray of shape (n, k)
        Written.
    """
    F, m, one = V.reshape(V.size), np.uint64(V.shape[1]), np.uint64(1)
    two, three, four = np.uint64(2), np.uint64(3), np.uint64(4)
    s = np.empty_like(z)
    for i in range(indptr.shape[0] - 1):
        p, hi = np.uint64(indptr[i]), np.uint64(indptr[i + 1])
        for c in range(m):
            s[c] = z[c]
        while p + three < hi:
            x0, x1, x2, x3 = data[p], data[p + one], data[p + two], data[p + three]
            b0, b1 = np.uint64(indices[p]) * m, np.uint64(indices[p + one]) * m
            b2, b3 = np.uint64(indices[p + two]) * m, np.uint64(indices[p + three]) * m
            for c in range(m):
                s[c] += x0 * F[b0 + c] + x1 * F[b1 + c] + x2 * F[b2 + c] + x3 * F[b3 + c]
            p += four
        while p < hi:
            x, b = data[p], np.uint64(indices[p]) * m
            for c in range(m):
                s[c] += x * F[b + c]
            p += one
        for c in range(Z.shape[1]):
            Z[i, c] = s[c]


@njit(cache=True, nogil=True, fastmath={"contract"})  # type: ignore[misc, unused-ignore]
def accumulate(indptr: IntArray, indices: IntArray, data: Array, R: Array, out: Array) -> None:
    """Add ``A' R`` to the first k columns of `out`.

    Parameters
    ----------
    indptr, indices, data : ndarray
        CSR rows ``a_i``, n of them with d columns.
    R : ndarray of shape (n, k)
        Rows.
    out : ndarray of shape (d, at least k)
        C-ordered, written; best with a multiple of four columns.
    """
    F, m = out.reshape(out.size), np.uint64(out.shape[1])
    r = np.zeros(out.shape[1])
    for i in range(indptr.shape[0] - 1):
        for c in range(R.shape[1]):
            r[c] = R[i, c]
        for p in range(np.uint64(indptr[i]), np.uint64(indptr[i + 1])):
            x, b = data[p], np.uint64(indices[p]) * m
            for c in range(m):
                F[b + c] += x * r[c]


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})  # type: ignore[misc, unused-ignore]
def weighted_product(
    indptr: IntArray, indices: IntArray, data: Array, w: Array, v: Array, intercept: bool, out: Array
) -> None:
    """Add ``A' (w * (A v))`` to `out`, reading each row once.

    Parameters
    ----------
    indptr, indices, data : ndarray
        CSR rows ``a_i``, n of them with d columns.
    w : ndarray of shape (n,)
        Weights.
    v : ndarray of shape (e,)
        Vector; e is d, or d + 1 with an intercept.
    intercept : bool
        Whether a one is appended to each row.
    out : ndarray of shape (e,)
        Written.
    """
    shift = v[-1] if intercept else 0.0
    total = 0.0
    for i in range(indptr.shape[0] - 1):
        lo, hi = np.uint64(indptr[i]), np.uint64(indptr[i + 1])
        s = shift
        for p in range(lo, hi):
            s += data[p] * v[np.uint64(indices[p])]
        s *= w[i]
        total += s
        for p in range(lo, hi):
            out[np.uint64(indices[p])] += data[p] * s
    if intercept:
        out[-1] += total
