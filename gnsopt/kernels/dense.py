"""Dense rows: weighted second moments and products, in tiles that stay in registers.

Inner loops run over contiguous memory and keep a tile of sums in registers, which LLVM vectorises for whatever the
processor has. Sums may be reordered by the compiler, always in the same way, and nothing here is threaded: the same
input gives the same bits.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from gnsopt._typing import Array

SAMPLES = 256  # rows of a packed block, the longest sum that is kept in the precision of the block (measured)
REORDER = {"contract", "reassoc", "nsz"}  # what vectorised sums need; NaN and infinity keep their meaning


@njit(cache=True, nogil=True, fastmath=REORDER)  # type: ignore[misc, unused-ignore]
def multiply(U: Array, T: Array, size: int, triangle: bool, G: Array) -> None:
    """Add the inner products ``U[j, :size] . T[l, :size]`` to ``G[j, l]``.

    Tiles of 4 x 3: twelve sums and five operands fit into the 16 registers of AVX2, and keep AVX-512 busy.

    Parameters
    ----------
    U : ndarray of shape (e, at least size)
        Vectors; e is a multiple of 4.
    T : ndarray of shape (f, at least size)
        Vectors; f is a multiple of 3, or at least e + 2 in a triangle.
    size : int
        Length of the vectors.
    triangle : bool
        Whether only l <= j is wanted.
    G : ndarray of shape (e, f)
        Written, in a triangle for l <= j and around the diagonal.
    """
    zero = U.dtype.type(0.0)
    for j in range(0, U.shape[0], 4):
        u0, u1, u2, u3 = U[j], U[j + 1], U[j + 2], U[j + 3]
        for l in range(0, j + 4 if triangle else T.shape[0], 3):
            t0, t1, t2 = T[l], T[l + 1], T[l + 2]
            s00 = s01 = s02 = s10 = s11 = s12 = s20 = s21 = s22 = s30 = s31 = s32 = zero
            for r in range(size):
                s00 += u0[r] * t0[r]
                s01 += u0[r] * t1[r]
                s02 += u0[r] * t2[r]
                s10 += u1[r] * t0[r]
                s11 += u1[r] * t1[r]
                s12 += u1[r] * t2[r]
                s20 += u2[r] * t0[r]
                s21 += u2[r] * t1[r]
                s22 += u2[r] * t2[r]
                s30 += u3[r] * t0[r]
                s31 += u3[r] * t1[r]
                s32 += u3[r] * t2[r]
            G[j, l] += s00
            G[j, l + 1] += s01
            G[j, l + 2] += s02
            G[j + 1, l] += s10
            G[j + 1, l + 1] += s11
            G[j + 1, l + 2] += s12
            G[j + 2, l] += s20
            G[j + 2, l + 1] += s21
            G[j + 2, l + 2] += s22
            G[j + 3, l] += s30
            G[j + 3, l + 1] += s31
            G[j + 3, l + 2] += s32


@njit(cache=True, nogil=True)  # type: ignore[misc, unused-ignore]
def _pack(X: Array, lo: int, size: int, full: int, scale: Array, intercept: bool, T: Array) -> None:
    """Transpose `size` scaled rows, a one behind each, into the columns of `T`, with zeros from there to `full`."""
    d = X.shape[1]
    for r in range(size):
        for j in range(d):
            T[j, r] = X[lo + r, j] * scale[j]
    if intercept:
        T[d, :size] = T.dtype.type(1.0)
    if size < full:
        T[:, size:full] = T.dtype.type(0.0)


@njit(cache=True, nogil=True)  # type: ignore[misc, unused-ignore]
def weighted_grams(X: Array, W: Array, scale: Array, intercept: bool, T: Array, U: Array, G: Array) -> None:
    """Add ``sum_i w_ic a_ij a_il`` to ``G[c, l, j]`` for l <= j, with the rows ``a_i = [scale * x_i, 1]``.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        Rows.
    W : ndarray of shape (n, m)
        Weights, m sets of them.
    scale : ndarray of shape (d,)
        Factors of the columns.
    intercept : bool
        Whether a one is appended to each row.
    T : ndarray of shape (e + 2, at least min(n, SAMPLES) rounded up to a multiple of 8)
        Zeros, overwritten; e is the number of columns of ``a_i`` rounded up to a multiple of 4. Its precision is the
        one of the products and of the sums over `SAMPLES` rows.
    U : ndarray of shape (e, as `T`)
        Overwritten.
    G : ndarray of shape (m, e + 2, e)
        Written for l <= j and around the diagonal.
    """
    n = X.shape[0]
    w = np.zeros(T.shape[1], T.dtype)
    for lo in range(0, n, SAMPLES):
        size = min(SAMPLES, n - lo)
        full = (size + 7) // 8 * 8
        _pack(X, lo, size, full, scale, intercept, T)
        for c in range(W.shape[1]):
            for r in range(size):
                w[r] = W[lo + r, c]
            for j in range(U.shape[0]):
                t, u = T[j], U[j]
                for r in range(full):
                    u[r] = t[r] * w[r]
            multiply(U, T, full, True, G[c].T)


@njit(cache=True, nogil=True)  # type: ignore[misc, unused-ignore]
def pair_grams(X: Array, W: Array, scale: Array, intercept: bool, T: Array, Q: Array, V: Array, B: Array) -> None:
    """Add the same to ``B[l, j, c]``, by products of columns times all weights at once: for few columns.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        Rows.
    W : ndarray of shape (n, m)
        Weights, m sets of them.
    scale : ndarray of shape (d,)
        Factors of the columns.
    intercept : bool
        Whether a one is appended to each row.
    T : ndarray of shape (e, at least min(n, SAMPLES) rounded up to a multiple of 8)
        Zeros, overwritten; e is the number of columns of ``a_i`` rounded up to a multiple of 4.
    Q : ndarray of shape (e, as `T`)
        Zeros, overwritten.
    V : ndarray of shape (f, as `T`)
        Zeros, overwritten; f is m rounded up to a multiple of 3.
    B : ndarray of shape (e, e, f)
        Written for l <= j and around the diagonal.
    """
    n, d = X.shape
    for lo in range(0, n, SAMPLES):
        size = min(SAMPLES, n - lo)
        full = (size + 7) // 8 * 8
        _pack(X, lo, size, full, scale, intercept, T)
        for r in range(size):
            for c in range(W.shape[1]):
                V[c, r] = W[lo + r, c]
        for j in range(d + intercept):
            t = T[j]
            for l in range(j + 1):
                q, s = Q[l], T[l]
                for r in range(full):
                    q[r] = s[r] * t[r]
            multiply(Q[: j // 4 * 4 + 4], V, full, False, B[:, j, :])


@njit(cache=True, nogil=True, fastmath=REORDER)  # type: ignore[misc, unused-ignore]
def scores(X: Array, V: Array, Z: Array) -> None:
    """Write ``X V'`` to `Z`.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        Rows.
    V : ndarray of shape (f, d)
        Vectors; f is k rounded up to a multiple of 3.
    Z : ndarray of shape (n, k)
        Written.
    """
    n, d = X.shape
    block = np.empty((64, V.shape[0]))
    for lo in range(0, n, 64):
        size = min(64, n - lo)
        block[:] = 0.0
        whole = size // 4 * 4
        multiply(X[lo : lo + whole], V, d, False, block)
        for r in range(whole, size):
            x = X[lo + r]
            for c in range(Z.shape[1]):
                v, s = V[c], 0.0
                for j in range(d):
                    s += x[j] * v[j]
                block[r, c] = s
        Z[lo : lo + size] = block[:size, : Z.shape[1]]


@njit(cache=True, nogil=True, fastmath={"contract"})  # type: ignore[misc, unused-ignore]
def accumulate(X: Array, R: Array, out: Array) -> None:
    """Add ``R' X`` to `out`.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        Rows.
    R : ndarray of shape (n, k)
        Rows.
    out : ndarray of shape (k, d)
        Written.
    """
    n, d = X.shape
    k = R.shape[1]
    whole = n // 4 * 4
    for i in range(0, whole, 4):
        x0, x1, x2, x3 = X[i], X[i + 1], X[i + 2], X[i + 3]
        for c in range(0, k - 1, 2):  # two vectors at a time share the loads of four rows
            g, h = out[c], out[c + 1]
            a0, a1, a2, a3 = R[i, c], R[i + 1, c], R[i + 2, c], R[i + 3, c]
            b0, b1, b2, b3 = R[i, c + 1], R[i + 1, c + 1], R[i + 2, c + 1], R[i + 3, c + 1]
            for j in range(d):
                g[j] += a0 * x0[j] + a1 * x1[j] + a2 * x2[j] + a3 * x3[j]
                h[j] += b0 * x0[j] + b1 * x1[j] + b2 * x2[j] + b3 * x3[j]
        if k % 2:
            g = out[k - 1]
            a0, a1, a2, a3 = R[i, k - 1], R[i + 1, k - 1], R[i + 2, k - 1], R[i + 3, k - 1]
            for j in range(d):
                g[j] += a0 * x0[j] + a1 * x1[j] + a2 * x2[j] + a3 * x3[j]
    for i in range(whole, n):
        for c in range(k):
            for j in range(d):
                out[c, j] += R[i, c] * X[i, j]


@njit(cache=True, nogil=True, fastmath=REORDER)  # type: ignore[misc, unused-ignore]
def products(X: Array, v: Array, out: Array) -> None:
    """Write ``out_i = x_i . v``: four rows at a time, which reads memory faster than BLAS's ``gemv`` does (measured).

    Parameters
    ----------
    X : ndarray of shape (n, d)
        Rows.
    v : ndarray of shape (d,)
        Vector.
    out : ndarray of shape (n,)
        Overwritten.
    """
    n, d = X.shape
    whole = n // 4 * 4
    for i in range(0, whole, 4):
        x0, x1, x2, x3 = X[i], X[i + 1], X[i + 2], X[i + 3]
        s0 = s1 = s2 = s3 = 0.0
        for j in range(d):
            s0 += x0[j] * v[j]
            s1 += x1[j] * v[j]
            s2 += x2[j] * v[j]
            s3 += x3[j] * v[j]
        out[i], out[i + 1], out[i + 2], out[i + 3] = s0, s1, s2, s3
    for i in range(whole, n):
        s = 0.0
        for j in range(d):
            s += X[i, j] * v[j]
        out[i] = s


@njit(cache=True, nogil=True, fastmath=REORDER)  # type: ignore[misc, unused-ignore]
def add_rows(X: Array, r: Array, out: Array) -> None:
    """Add ``sum_i r_i x_i`` to `out`, four rows at a time.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        Rows.
    r : ndarray of shape (n,)
        Factors.
    out : ndarray of shape (d,)
        Written.
    """
    n, d = X.shape
    whole = n // 4 * 4
    for i in range(0, whole, 4):
        x0, x1, x2, x3 = X[i], X[i + 1], X[i + 2], X[i + 3]
        r0, r1, r2, r3 = r[i], r[i + 1], r[i + 2], r[i + 3]
        for j in range(d):
            out[j] += r0 * x0[j] + r1 * x1[j] + r2 * x2[j] + r3 * x3[j]
    for i in range(whole, n):
        s = r[i]
        for j in range(d):
            out[j] += s * X[i, j]


@njit(cache=True, nogil=True, fastmath=REORDER)  # type: ignore[misc, unused-ignore]
def add_squares(X: Array, w: Array, out: Array) -> None:
    """Add ``sum_i w_i x_i^2``, entry by entry, to `out`, four rows at a time.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        Rows.
    w : ndarray of shape (n,)
        Weights.
    out : ndarray of shape (d,)
        Written.
    """
    n, d = X.shape
    whole = n // 4 * 4
    for i in range(0, whole, 4):
        x0, x1, x2, x3 = X[i], X[i + 1], X[i + 2], X[i + 3]
        w0, w1, w2, w3 = w[i], w[i + 1], w[i + 2], w[i + 3]
        for j in range(d):
            out[j] += w0 * x0[j] * x0[j] + w1 * x1[j] * x1[j] + w2 * x2[j] * x2[j] + w3 * x3[j] * x3[j]
    for i in range(whole, n):
        s = w[i]
        for j in range(d):
            out[j] += s * X[i, j] * X[i, j]


@njit(cache=True, nogil=True, fastmath=REORDER)  # type: ignore[misc, unused-ignore]
def weighted_product(X: Array, w: Array, v: Array, intercept: bool, out: Array) -> None:
    """Add ``A' (w * (A v))`` to `out`, reading each row once.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        Rows.
    w : ndarray of shape (n,)
        Weights.
    v : ndarray of shape (e,)
        Vector; e is d, or d + 1 with an intercept.
    intercept : bool
        Whether a one is appended to each row.
    out : ndarray of shape (e,)
        Written.
    """
    n, d = X.shape
    shift = v[-1] if intercept else 0.0
    total = 0.0
    whole = n // 4 * 4
    for i in range(0, whole, 4):
        x0, x1, x2, x3 = X[i], X[i + 1], X[i + 2], X[i + 3]
        s0 = s1 = s2 = s3 = 0.0
        for j in range(d):
            s0 += x0[j] * v[j]
            s1 += x1[j] * v[j]
            s2 += x2[j] * v[j]
            s3 += x3[j] * v[j]
        s0 = w[i] * (s0 + shift)
        s1 = w[i + 1] * (s1 + shift)
        s2 = w[i + 2] * (s2 + shift)
        s3 = w[i + 3] * (s3 + shift)
        total += (s0 + s1) + (s2 + s3)
        for j in range(d):
            out[j] += s0 * x0[j] + s1 * x1[j] + s2 * x2[j] + s3 * x3[j]
    for i in range(whole, n):
        s = 0.0
        for j in range(d):
            s += X[i, j] * v[j]
        s = w[i] * (s + shift)
        total += s
        for j in range(d):
            out[j] += s * X[i, j]
    if intercept:
        out[-1] += total
