r"""Rounding to the transport polytope [1]: scale rows down to a, columns down to b, spread what is missing.

    Q = diag(alpha) P diag(beta) + e_a e_b'/|e_a|_1,     Q 1 = a,  Q'1 = b,     |P - Q|_1 <= 2 err1(P)

The rank-one term is kept as two vectors, so that Q can be formed block by block. Where pairs are forbidden it would not
do: what is missing is pushed along a spanning forest of the allowed pairs instead, one that goes through the largest
entries of P, from which it may take away. Entries no larger than what is missing are left out where that fails: no plan
may be able to use these pairs.

References
----------
[1] Altschuler, Weed, Rigollet, "Near-linear time approximation algorithms for optimal transport via Sinkhorn
iteration", NeurIPS 2017, Algorithm 2 and Lemma 7.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import block_array, coo_array, csr_array
from scipy.sparse.csgraph import breadth_first_order, connected_components, minimum_spanning_tree

from gnsopt._typing import Array, ArrayLike
from gnsopt.arguments import as_array

SLACK = 64 * float(np.finfo(float).eps)  # of the mass, that a component may lack for rounding


class Rounded(NamedTuple):
    """A rounded plan in pieces.

    Parameters
    ----------
    alpha, beta : ndarray
        Scalings of rows and columns, at most 1.
    row_missing, column_missing : ndarray
        What is missing in rows and columns.
    pushed : csr_array, optional
        What is added in place of the rank-one term.
    cut : float, default=0.0
        Entries of P up to this one are left out.
    """

    alpha: Array
    beta: Array
    row_missing: Array
    column_missing: Array
    pushed: Any = None
    cut: float = 0.0

    def rows(self, rows: slice, P: Array) -> Array:
        """Return the rounded rows of a block."""
        Q = P * self.alpha[rows, None] * self.beta
        if self.pushed is not None:
            return np.maximum(np.where(P > self.cut, Q, 0.0) + self.pushed[rows].toarray(), 0.0)
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
        alpha[rows] = _shrinking(a[rows], r)
        c += alpha[rows] @ P
    beta = _shrinking(b, c)
    r = np.empty(a.size)
    for rows, P in blocks():
        r[rows] = alpha[rows] * (P @ beta)
    return Rounded(alpha, beta, np.maximum(a - r, 0.0), np.maximum(b - beta * c, 0.0))


def _shrinking(wanted: Array, found: Array) -> Array:
    """Return ``min(1, wanted/found)``; a quotient that may overflow is not formed."""
    return np.divide(wanted, found, out=np.ones_like(wanted), where=found > wanted)


def rounding_within(P: csr_array, a: Array, b: Array) -> Rounded | None:
    """Return the pieces of a rounded plan on the allowed pairs, by pushing what is missing along a spanning forest.

    Parameters
    ----------
    P : csr_array of shape (n, m)
        The plan, its stored entries being the allowed pairs.
    a, b : ndarray of shape (n,), (m,)
        Marginals of equal sum.

    Returns
    -------
    Rounded or None
        The pieces; None where an entry would turn negative or a component lacks mass.
    """
    n, m = P.shape
    ranks = np.empty(P.data.size)
    ranks[np.argsort(-P.data, kind="stable")] = np.arange(1, P.data.size + 1)
    cheap = csr_array((ranks, P.indices, P.indptr), shape=P.shape)
    forest: Any = minimum_spanning_tree(block_array([[None, cheap], [csr_array((m, n)), None]], format="csr"))
    slack, cut = SLACK * float(a.sum()), 0.0
    for _ in range(2):
        K = csr_array((np.where(P.data > cut, P.data, 0.0), P.indices, P.indptr), shape=P.shape)
        found = rounding(lambda K=K: [(slice(0, n), K)], a, b)  # type: ignore[misc]
        E = _flow(forest, found.row_missing, found.column_missing, slack)
        if E is not None:
            rows, columns = E.row, E.col
            if np.all(K[rows, columns] * found.alpha[rows] * found.beta[columns] + E.data >= -slack):
                return found._replace(pushed=csr_array(E), cut=cut)
        cut = float(found.column_missing.sum())
    return None


def _flow(forest: Any, supply: Array, demand: Array, slack: float) -> Any:
    """Return the matrix on the edges of a forest with these row and column sums; None where there is none."""
    n = supply.size
    lack = np.concatenate([supply, demand])
    ends, flows = [], []
    labels = connected_components(forest, directed=False)[1]
    for root in np.unique(labels, return_index=True)[1]:
        order, parents = breadth_first_order(forest, root, directed=False)
        for node in order[:0:-1]:  # leaves first: each gets from its parent what it lacks
            parent = parents[node]
            ends.append((min(node, parent), max(node, parent) - n))
            flows.append(lack[node])
            lack[parent] -= lack[node]
        if abs(lack[root]) > slack:
            return None
    return coo_array((flows, tuple(np.transpose(ends))), shape=(n, demand.size))


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
    P, a, b = (as_array(v, name, finite=False) for v, name in ((P, "P"), (a, "a"), (b, "b")))
    if P.ndim != 2 or P.size == 0 or a.shape != (P.shape[0],) or b.shape != (P.shape[1],):
        raise ValueError(
            f"P has shape {P.shape}, a {a.shape} and b {b.shape}; they must be (n, m), (n,) and (m,), n, m > 0"
        )
    for name, v in (("P", P), ("a", a), ("b", b)):
        if not (np.isfinite(v).all() and v.min() >= 0):
            raise ValueError(f"{name} must be finite and non-negative")
    if abs(a.sum() - b.sum()) > 1e-8 * max(a.sum(), b.sum()):
        raise ValueError(f"sum(a) = {a.sum():.10g} and sum(b) = {b.sum():.10g} differ")
    whole = slice(0, P.shape[0])
    return rounding(lambda: [(whole, P)], a, b).rows(whole, P)
