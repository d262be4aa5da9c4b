"""The separable quadratic penalty ``sum_j r_j x_j^2 / 2`` and its derivatives, in one pass without temporaries."""

from __future__ import annotations

from numba import njit

from gnsopt._typing import Array

REORDER = {"contract", "reassoc", "nsz"}  # what vectorised sums need; NaN and infinity keep their meaning


@njit(cache=True, fastmath=REORDER)  # type: ignore[misc, unused-ignore]
def square(r: Array, x: Array) -> float:
    """Return ``sum_j r_j x_j^2``.

    Parameters
    ----------
    r : ndarray of shape (n,)
        Weights.
    x : ndarray of shape (n,)
        Variables.

    Returns
    -------
    float
        The sum.
    """
    total = 0.0
    for j in range(x.shape[0]):
        total += r[j] * x[j] * x[j]
    return total


@njit(cache=True, fastmath=REORDER)  # type: ignore[misc, unused-ignore]
def products(r: Array, x: Array, h: Array) -> tuple[float, float, float]:
    """Return ``sum_j r_j x_j^2``, ``sum_j r_j x_j h_j`` and ``sum_j r_j h_j^2``.

    Parameters
    ----------
    r : ndarray of shape (n,)
        Weights.
    x, h : ndarray of shape (n,)
        Variables and a direction.

    Returns
    -------
    tuple of float
        The sums.
    """
    xx = xh = hh = 0.0
    for j in range(x.shape[0]):
        xx += r[j] * x[j] * x[j]
        xh += r[j] * x[j] * h[j]
        hh += r[j] * h[j] * h[j]
    return xx, xh, hh


@njit(cache=True)  # type: ignore[misc, unused-ignore]
def add_gradient(r: Array, x: Array, g: Array) -> None:
    """Add ``r_j x_j`` to ``g_j``.

    Parameters
    ----------
    r : ndarray of shape (n,)
        Weights.
    x : ndarray of shape (n,)
        Variables.
    g : ndarray of shape (n,)
        Written.
    """
    for j in range(x.shape[0]):
        g[j] += r[j] * x[j]
