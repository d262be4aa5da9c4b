"""Cyclic coordinate descent for the elastic net with a penalty for each feature."""

from __future__ import annotations

from numba import njit

from gnsopt._typing import Array, IntArray


@njit(cache=True)  # type: ignore[misc, unused-ignore]
def sweep(X: Array, squares: Array, l1: Array, l2: Array, order: IntArray, w: Array, r: Array) -> float:
    """Minimise ``|y - X w|^2/(2 n) + sum_j l1_j |w_j| + l2_j w_j^2/2`` once in each coordinate of `order`.

    Parameters
    ----------
    X : ndarray of shape (n, p), Fortran order
        Features in columns.
    squares : ndarray of shape (p,)
        ``|X_j|^2/n``.
    l1, l2 : ndarray of shape (p,)
        Penalties.
    order : ndarray of int
        Coordinates.
    w : ndarray of shape (p,)
        Weights; overwritten.
    r : ndarray of shape (n,)
        Residual ``y - X w``; kept up to date.

    Returns
    -------
    float
        Largest change of a prediction, ``max_j |w_j' - w_j| |X_j|/sqrt(n)``.
    """
    n = X.shape[0]
    largest = 0.0
    for j in order:
        if squares[j] + l2[j] == 0.0:
            continue
        old = w[j]
        rho = squares[j] * old
        for i in range(n):
            rho += X[i, j] * r[i] / n
        if rho > l1[j]:
            new = (rho - l1[j]) / (squares[j] + l2[j])
        elif rho < -l1[j]:
            new = (rho + l1[j]) / (squares[j] + l2[j])
        else:
            new = 0.0
        if new != old:
            for i in range(n):
                r[i] -= (new - old) * X[i, j]
            w[j] = new
            largest = max(largest, abs(new - old) * squares[j] ** 0.5)
    return largest
