"""Sketches by compiled loops: a few signed entries per column of S, and the Walsh-Hadamard transform."""

from __future__ import annotations

import numpy as np
from numba import njit

from gnsopt._typing import Array, IntArray


@njit(cache=True, nogil=True, fastmath={"contract"})  # type: ignore[misc, unused-ignore]
def signed_dense(rows: IntArray, signs: IntArray, scale: Array, A: Array, out: Array) -> None:
    """Add ``scale_i s_iz a_i`` to row ``rows[i, z]`` of `out`.

    Parameters
    ----------
    rows : ndarray of shape (n, zeta)
        Where each row of `A` goes.
    signs : ndarray of shape (n, zeta)
        With which sign.
    scale : ndarray of shape (n,)
        Times which factor.
    A : ndarray of shape (n, d)
        Dense rows.
    out : ndarray of shape (m, d)
        Written.
    """
    n, zeta = rows.shape
    d = A.shape[1]
    for i in range(n):
        a = A[i]
        for z in range(zeta):
            s = scale[i] * signs[i, z]
            target = out[rows[i, z]]
            for j in range(d):
                target[j] += s * a[j]


@njit(cache=True, nogil=True, fastmath={"contract"})  # type: ignore[misc, unused-ignore]
def signed_csr(
    rows: IntArray, signs: IntArray, scale: Array, indptr: IntArray, indices: IntArray, data: Array, out: Array
) -> None:
    """Add ``scale_i s_iz a_i`` to row ``rows[i, z]`` of `out`, for the rows of a CSR array.

    Parameters
    ----------
    rows, signs : ndarray of shape (n, zeta)
        Where each row goes, and with which sign.
    scale : ndarray of shape (n,)
        Times which factor.
    indptr, indices, data : ndarray
        CSR rows with d columns.
    out : ndarray of shape (m, d)
        C-ordered, written.
    """
    n, zeta = rows.shape
    F, d = out.reshape(out.size), np.uint64(out.shape[1])
    for i in range(n):
        for z in range(zeta):
            s, base = scale[i] * signs[i, z], np.uint64(rows[i, z]) * d
            for p in range(indptr[i], indptr[i + 1]):
                F[base + np.uint64(indices[p])] += s * data[p]


@njit(cache=True, nogil=True, fastmath={"contract"})  # type: ignore[misc, unused-ignore]
def signed_adjoint(rows: IntArray, signs: IntArray, U: Array, out: Array) -> None:
    """Add ``sum_z s_iz u_{rows[i, z]}`` to row i of `out`.

    Parameters
    ----------
    rows, signs : ndarray of shape (n, zeta)
        Where each column of S has its entries, and their signs.
    U : ndarray of shape (m, d)
        Rows.
    out : ndarray of shape (n, d)
        Written.
    """
    n, zeta = rows.shape
    d = U.shape[1]
    for i in range(n):
        for z in range(zeta):
            s, u = signs[i, z], U[rows[i, z]]
            for j in range(d):
                out[i, j] += s * u[j]


@njit(cache=True, nogil=True)  # type: ignore[misc, unused-ignore]
def hadamard(A: Array) -> None:
    """Replace the columns of `A` by their Walsh-Hadamard transforms, in place, without a factor.

    Parameters
    ----------
    A : ndarray of shape (n, d)
        C-ordered; n is a power of two.
    """
    n, d = A.shape
    h = 1
    while h < n:
        for start in range(0, n, 2 * h):
            for i in range(start, start + h):
                up, down = A[i], A[i + h]
                for j in range(d):
                    u, v = up[j], down[j]
                    up[j] = u + v
                    down[j] = u - v
        h *= 2
