"""Sketch-and-project steps with one sketched row at a time, for a dense square system ``M z = b``."""

from __future__ import annotations

from numba import njit

from gnsopt._typing import Array, IntArray


@njit(cache=True)
def kaczmarz(M: Array, K: Array, index: IntArray, z: Array, r: Array, tol: float) -> int:
    """Project onto the equations of `index` in turn until ``|r|_2 <= tol``; return the number of steps.

    Parameters
    ----------
    M : ndarray of shape (N, N)
        The matrix, C order.
    K : ndarray of shape (N, N)
        ``M M'``.
    index : ndarray of shape (steps,)
        Equations.
    z, r : ndarray of shape (N,)
        Point and residual ``M z - b``; overwritten.
    tol : float
        Residual to stop at.

    Returns
    -------
    int
        Steps done.
    """
    N = z.size
    for k in range(index.size):
        square = 0.0
        for j in range(N):
            square += r[j] * r[j]
        if not square > tol * tol:
            return k
        i = index[k]
        if K[i, i] > 0.0:
            a = r[i] / K[i, i]
            for j in range(N):
                z[j] -= a * M[i, j]
                r[j] -= a * K[i, j]
    return int(index.size)


@njit(cache=True)
def gaussian(M: Array, S: Array, z: Array, r: Array, tol: float) -> int:
    """Project onto the equation ``s' M z = s' b`` for each row s of `S` until ``|r|_2 <= tol``; return the steps.

    Parameters
    ----------
    M : ndarray of shape (N, N)
        The matrix, C order.
    S : ndarray of shape (steps, N)
        Sketches.
    z, r : ndarray of shape (N,)
        Point and residual ``M z - b``; overwritten.
    tol : float
        Residual to stop at.

    Returns
    -------
    int
        Steps done.
    """
    N = z.size
    w = z.copy()
    for k in range(S.shape[0]):
        square = 0.0
        for j in range(N):
            square += r[j] * r[j]
        if not square > tol * tol:
            return k
        along = 0.0
        w[:] = 0.0
        for i in range(N):
            along += S[k, i] * r[i]
            for j in range(N):
                w[j] += S[k, i] * M[i, j]
        square = 0.0
        for j in range(N):
            square += w[j] * w[j]
        if square > 0.0:
            a = along / square
            for i in range(N):
                z[i] -= a * w[i]
                change = 0.0
                for j in range(N):
                    change += M[i, j] * w[j]
                r[i] -= a * change
    return int(S.shape[0])
