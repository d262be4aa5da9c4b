r"""Rounding to the transport polytope [1]: scale rows down to a, columns down to b, spread what is missing.

    Q = diag(alpha) P diag(beta) + e_a e_b'/|e_a|_1,     Q 1 = a,  Q'1 = b,     |P - Q|_1 <= 2 err1(P)

The rank-one term is kept as two vectors, so that Q can be formed block by block.

References
----------
[1] Altschuler, Weed, Rigollet, "Near-linear time approximation algorithms for optimal transport via Sinkhorn
iteration", NeurIPS 2017, Algorithm 2 and Lemma 7.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from gnsopt._typing import Array, ArrayLike


class Rounded(NamedTuple):
    """A rounded plan in pieces.

    Parameters
    ----------
    alpha, beta : ndarray
        Scalings of rows and columns, at most 1.
    row_missing, column_missing : ndarray
        What is missing in rows and columns.
    """

    alpha: Array
    beta: Array
    row_missing: Array
    column_missing: Array

    def rows(self, rows: slice, P: Array) -> Array:
        """Return the rounded rows of a block."""
        Q = P * self.alpha[rows, None] * self.beta
        total = float(self.column_missing.sum())
        return Q + np.outer(self.row_missing[rows], self.column_missing / total) if total > 0 else Q


def rounding(blocks: Callable[[], Iterable[tuple[slice, Array]]], a: Array, b: Array) -> Rounded:
    """Return the pieces of the rounded plan.

    Parameters
    ----------
    blocks : callable
        ``blocks()`` iterates over ``(slice of rows, P)``; it is called twice.
    a, b : ndarray of shape (n,), (m,)
        Marginals of equal sum.

    Returns
    -------
    Rounded
        The pieces.
    """
    alpha, c = np.empty(a.size), np.zeros(b.size)
    for rows, P in blocks():
        r = P.sum(axis=1)
        alpha[rows] = np.minimum(1.0, a[rows] / np.where(r > 0, r, 1.0))
        c += alpha[rows] @ P
    beta = np.minimum(1.0, b / np.where(c > 0, c, 1.0))
    r = np.empty(a.size)
    for rows, P in blocks():
        r[rows] = alpha[rows] * (P @ beta)
    return Rounded(alpha, beta, np.maximum(a - r, 0.0), np.maximum(b - beta * c, 0.0))


def round_plan(P: ArrayLike, a: ArrayLike, b: ArrayLike) -> Array:
    """Return the plan of marginals `a` and `b` next to `P`.

    Parameters
    ----------
    P : array_like of shape (n, m)
        Non-negative matrix.
    a : array_like of shape (n,)
        Row masses, non-negative.
    b : array_like of shape (m,)
        Column masses, of the same sum.

    Returns
    -------
    ndarray of shape (n, m)
        Non-negative, with these marginals to rounding, within ``2 (|P 1 - a|_1 + |P'1 - b|_1)`` of `P`.

    Raises
    ------
    ValueError
        If shapes do not fit, or something is negative or not finite, or the sums differ.
    """
    P, a, b = (np.asarray(v, dtype=float) for v in (P, a, b))
    if P.ndim != 2 or a.shape != (P.shape[0],) or b.shape != (P.shape[1],):
        raise ValueError(f"P has shape {P.shape}, a {a.shape} and b {b.shape}; they must be (n, m), (n,) and (m,)")
    for name, v in (("P", P), ("a", a), ("b", b)):
        if not (np.isfinite(v).all() and v.min() >= 0):
            raise ValueError(f"{name} must be finite and non-negative")
    if abs(a.sum() - b.sum()) > 1e-8 * max(a.sum(), b.sum()):
        raise ValueError(f"sum(a) = {a.sum():.10g} and sum(b) = {b.sum():.10g} differ")
    whole = slice(0, P.shape[0])
    return rounding(lambda: [(whole, P)], a, b).rows(whole, P)
