"""Sweeps over the rows of a CSR matrix: SOR, SSOR, Kaczmarz, coordinate descent, incomplete Cholesky."""

from __future__ import annotations

import numpy as np
from numba import njit

from gnsopt._typing import Array, IntArray


@njit(cache=True, nogil=True)  # type: ignore[misc, unused-ignore]
def sor(
    indptr: IntArray,
    indices: IntArray,
    data: Array,
    shift: float,
    omega: float,
    b: Array,
    x: Array,
    target: float,
    sizes: Array,
) -> int:
    """Iterate ``x += (D/omega + L)^{-1} (b - A x)`` for ``A + shift I`` until ``|b - A x| <= target``.

    Parameters
    ----------
    indptr, indices, data : ndarray
        CSR matrix A of order n with its whole diagonal.
    shift : float
        Added to the diagonal.
    omega : float
        Relaxation.
    b : ndarray of shape (n,)
        Right-hand side.
    x : ndarray of shape (n,)
        Start, overwritten by the last iterate.
    target : float
        Tolerance of the residual norm.
    sizes : ndarray of shape (maxiter + 1,)
        Overwritten by the residual norms.

    Returns
    -------
    int
        Number of iterations.
    """
    n, k = x.size, 0
    while True:
        total = 0.0
        for i in range(n):
            r = b[i] - shift * x[i]
            for p in range(indptr[i], indptr[i + 1]):
                r -= data[p] * x[indices[p]]
            total += r * r
        sizes[k] = np.sqrt(total)
        if sizes[k] <= target or k == sizes.size - 1 or not np.isfinite(total):
            return k
        for i in range(n):
            r, d = b[i] - shift * x[i], shift
            for p in range(indptr[i], indptr[i + 1]):
                r -= data[p] * x[indices[p]]
                if indices[p] == i:
                    d += data[p]
            x[i] += omega * r / d
        k += 1


@njit(cache=True, nogil=True)  # type: ignore[misc, unused-ignore]
def ssor(indptr: IntArray, indices: IntArray, data: Array, d: Array, omega: float, r: Array, z: Array) -> None:
    """Write ``omega (2 - omega) (D + omega L')^{-1} D (D + omega L)^{-1} r`` to `z`.

    Parameters
    ----------
    indptr, indices, data : ndarray
        CSR matrix, symmetric; its diagonal is not read.
    d : ndarray of shape (n,)
        The diagonal.
    omega : float
        Relaxation in (0, 2).
    r : ndarray of shape (n,)
        Right-hand side.
    z : ndarray of shape (n,)
        Written.
    """
    n = r.size
    for i in range(n):
        s = 0.0
        for p in range(indptr[i], indptr[i + 1]):
            if indices[p] < i:
                s += data[p] * z[indices[p]]
        z[i] = (r[i] - omega * s) / d[i]
    for i in range(n - 1, -1, -1):
        s = 0.0
        for p in range(indptr[i], indptr[i + 1]):
            if indices[p] > i:
                s += data[p] * z[indices[p]]
        z[i] -= omega * s / d[i]
    factor = omega * (2.0 - omega)
    for i in range(n):
        z[i] *= factor


@njit(cache=True, nogil=True)  # type: ignore[misc, unused-ignore]
def kaczmarz(
    indptr: IntArray, indices: IntArray, data: Array, squares: Array, order: IntArray, b: Array, x: Array
) -> None:
    """Project `x` onto the hyperplanes ``a_i' x = b_i`` in the given order.

    Parameters
    ----------
    indptr, indices, data : ndarray
        CSR rows ``a_i``.
    squares : ndarray of shape (m,)
        ``|a_i|^2``; rows of zero are passed over.
    order : ndarray of int
        Rows, one for each step.
    b : ndarray of shape (m,)
        Right-hand side.
    x : ndarray of shape (n,)
        Overwritten.
    """
    for i in order:
        if squares[i] == 0.0:
            continue
        r = b[i]
        for p in range(indptr[i], indptr[i + 1]):
            r -= data[p] * x[indices[p]]
        r /= squares[i]
        for p in range(indptr[i], indptr[i + 1]):
            x[indices[p]] += r * data[p]


@njit(cache=True, nogil=True)  # type: ignore[misc, unused-ignore]
def coordinate_steps(
    indptr: IntArray, indices: IntArray, data: Array, d: Array, order: IntArray, x: Array, r: Array
) -> None:
    """Take exact coordinate steps ``x_i += r_i / a_ii`` of a symmetric matrix; a negative index is the greedy choice.

    Parameters
    ----------
    indptr, indices, data : ndarray
        CSR matrix, symmetric.
    d : ndarray of shape (n,)
        Its positive diagonal.
    order : ndarray of int
        Coordinates, one for each step; -1 stands for the largest ``r_i^2 / a_ii``.
    x : ndarray of shape (n,)
        Overwritten.
    r : ndarray of shape (n,)
        Residual ``b - A x``, kept up to date.
    """
    for chosen in order:
        i = chosen
        if i < 0:
            i, best = 0, -1.0
            for j in range(r.size):
                gain = r[j] * r[j] / d[j]
                if gain > best:
                    i, best = j, gain
        step = r[i] / d[i]
        x[i] += step
        for p in range(indptr[i], indptr[i + 1]):
            r[indices[p]] -= step * data[p]


@njit(cache=True, nogil=True)  # type: ignore[misc, unused-ignore]
def incomplete_cholesky(indptr: IntArray, indices: IntArray, L: Array) -> bool:
    """Overwrite the lower triangle of a matrix by its incomplete factor: entries outside of the pattern are dropped.

    Parameters
    ----------
    indptr, indices : ndarray
        Pattern of the lower triangle by rows, sorted, each row ending with its diagonal entry.
    L : ndarray
        Entries, overwritten.

    Returns
    -------
    bool
        Whether all pivots were positive.
    """
    n = indptr.size - 1
    for i in range(n):
        start, last = indptr[i], indptr[i + 1] - 1
        for p in range(start, last):
            j = indices[p]
            q, end = indptr[j], indptr[j + 1] - 1
            s, t = L[p], start
            while q < end and t < p:  # rows i and j of L, where both have an entry before column j
                if indices[q] == indices[t]:
                    s -= L[q] * L[t]
                    q += 1
                    t += 1
                elif indices[q] < indices[t]:
                    q += 1
                else:
                    t += 1
            L[p] = s / L[end]
        s = L[last]
        for p in range(start, last):
            s -= L[p] * L[p]
        if not s > 0.0:
            return False
        L[last] = np.sqrt(s)
    return True


@njit(cache=True, nogil=True)  # type: ignore[misc, unused-ignore]
def lower_solves(indptr: IntArray, indices: IntArray, L: Array, x: Array) -> None:
    """Overwrite `x` by ``L^{-T} L^{-1} x``.

    Parameters
    ----------
    indptr, indices, L : ndarray
        Lower triangular CSR matrix, each row ending with its diagonal entry.
    x : ndarray of shape (n,)
        Overwritten.
    """
    n = x.size
    for i in range(n):
        last = indptr[i + 1] - 1
        s = x[i]
        for p in range(indptr[i], last):
            s -= L[p] * x[indices[p]]
        x[i] = s / L[last]
    for i in range(n - 1, -1, -1):
        last = indptr[i + 1] - 1
        x[i] /= L[last]
        for p in range(indptr[i], last):
            x[indices[p]] -= L[p] * x[i]
