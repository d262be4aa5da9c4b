"""Softmax blocks ``w (diag(p) - p p')`` of all rows at once, and the assembly of a matrix from pairs of classes."""

from __future__ import annotations

from numba import njit

from gnsopt._typing import Array, IntArray


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})  # type: ignore[misc, unused-ignore]
def softmax_apply(P: Array, w: Array, U: Array, out: Array) -> None:
    """Write ``w (p * u - p <p, u>)`` of every row to `out`.

    Parameters
    ----------
    P : ndarray of shape (n, k)
        Probabilities.
    w : ndarray of shape (n,)
        Weights.
    U : ndarray of shape (n, k)
        Rows u.
    out : ndarray of shape (n, k)
        Written; may be `U`.
    """
    n, k = P.shape
    for i in range(n):
        p, u, q, wi = P[i], U[i], out[i], w[i]
        inner = 0.0
        for c in range(k):
            inner += p[c] * u[c]
        for c in range(k):
            q[c] = wi * p[c] * (u[c] - inner)


@njit(cache=True, nogil=True)  # type: ignore[misc, unused-ignore]
def softmax_diagonals(P: Array, w: Array, out: Array) -> None:
    """Write ``w p_c (sum of the other p)`` to ``out[:, c]``: sums of positive terms, without cancellation.

    Parameters
    ----------
    P : ndarray of shape (n, k)
        Probabilities.
    w : ndarray of shape (n,)
        Weights.
    out : ndarray of shape (n, k)
        Written.
    """
    n, k = P.shape
    for i in range(n):
        behind = 0.0
        for c in range(k - 1, -1, -1):
            out[i, c] = behind
            behind += P[i, c]
        before = 0.0
        for c in range(k):
            p = P[i, c]
            out[i, c] = w[i] * p * (before + out[i, c])
            before += p


@njit(cache=True, nogil=True)  # type: ignore[misc, unused-ignore]
def softmax_pairs(P: Array, w: Array, out: Array) -> None:
    """Write ``-w p_a p_b`` of all pairs b < a to the columns of `out`, in the order (1, 0), (2, 0), (2, 1), (3, 0), ...

    Parameters
    ----------
    P : ndarray of shape (n, k)
        Probabilities.
    w : ndarray of shape (n,)
        Weights.
    out : ndarray of shape (n, k (k - 1) / 2)
        Written.
    """
    n, k = P.shape
    for i in range(n):
        p, pairs = P[i], out[i]
        c = 0
        for a in range(1, k):
            t = -w[i] * p[a]
            for b in range(a):
                pairs[c + b] = t * p[b]
            c += a


@njit(cache=True, nogil=True)  # type: ignore[misc, unused-ignore]
def spread(B: Array, first: int, pairs: IntArray, sums_to_zero: bool, k: int, H: Array) -> None:
    """Add blocks of pairs of classes, one matrix for each pair, to the matrix of all classes.

    Parameters
    ----------
    B : ndarray of shape (r, e, m)
        ``B[l - first, j, c]`` is entry (l, j) of the symmetric block of pair c; read for l <= j.
    first : int
        First l.
    pairs : ndarray of shape (m, 2)
        Classes a >= b of each pair.
    sums_to_zero : bool
        Whether the diagonal block of each class is minus the sum of its others, and is to be added too.
    k : int
        Number of classes.
    H : ndarray of shape (e k, e k)
        Added to in its upper triangle (C order), variables flattened from (e, k).
    """
    strip, e = B.shape[:2]
    for l in range(first, first + strip):
        for j in range(l, e):
            for c in range(pairs.shape[0]):
                a, b = pairs[c]
                s = B[l - first, j, c]
                H[l * k + b, j * k + a] += s
                if a != b:
                    H[l * k + a, j * k + b] += s
                    if sums_to_zero:
                        H[l * k + a, j * k + a] -= s
                        H[l * k + b, j * k + b] -= s
