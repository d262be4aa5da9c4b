r"""Directions along which the loss falls for ever, for rows in blocks; see `gnsopt.problems.recession`.

The samples whose margins still count must not move. The part of x in their null space comes from the Gram matrix of
their margins, ``G = A_M' A_M``: one pass, and a second one that certifies the direction, or corrects it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import eigh
from scipy.sparse.linalg import LinearOperator, cg

from gnsopt._typing import Array, IntArray
from gnsopt.blocks.work import Local, packed, unpacked
from gnsopt.linalg.forms import Gram
from gnsopt.linalg.rows import Rows, WeightRows
from gnsopt.problems.recession import GROWS, ROUNDING

DENSE = 3000  # variables up to which G is assembled (chosen)
NULL = 1e-13  # eigenvalues of G, scaled to a diagonal of ones, that are as good as zero, times their number (chosen)


class MarginRows(Rows):
    """``D_i = sum_c (e_y - e_c)(e_y - e_c)'`` over the classes c whose margins count.

    Parameters
    ----------
    M : ndarray of shape (n_samples, k)
        1 for the margins that count, 0 for the others and for the class of the sample.
    label : ndarray of shape (n_samples,)
        Class of each sample.
    """

    sums_to_zero = True

    def __init__(self, M: Array, label: IntArray) -> None:
        self.M, self.label, self.k = M, label, M.shape[1]

    def apply(self, U: Array) -> Array:
        """Return ``D_i u_i``."""
        i = np.arange(len(U))
        out = self.M * (U - U[i, self.label][:, None])
        out[i, self.label] -= out.sum(axis=1)
        return out

    def pair(self, a: int, b: int) -> Array:
        """Return one entry of each block."""
        if a == b:
            return np.asarray(self.M[:, a] + (self.label == a) * self.M.sum(axis=1))
        return np.where(self.label == a, -self.M[:, b], 0.0) + np.where(self.label == b, -self.M[:, a], 0.0)

    def take(self, index: IntArray | slice, scale: float) -> Rows:
        """Return the blocks of some samples."""
        return MarginRows(scale * self.M[index], self.label[index])

    def half(self, U: Array) -> Array:
        """Have no factor: products and entries are all that is needed."""
        raise NotImplementedError

    half_t = half


def _gram(local: Local, x: Array) -> Gram:
    problem = local.problem
    undecided, gaps, _ = problem.margins(local.scores(x))
    if problem.k == 1:
        n = problem.design.n_samples
        rows: Rows = WeightRows((undecided * gaps(np.ones(n)) ** 2).reshape(n, -1).sum(axis=1))
    else:
        rows = MarginRows(undecided.astype(float), problem.label)
    return Gram(problem.design, rows, np.zeros(()))


def _undecided_lower(local: Local, x: Array) -> tuple[Array]:
    """Return the lower triangle of ``A_M' A_M``, packed."""
    return (packed(_gram(local, x).lower()),)


def _undecided_product(local: Local, x: Array, v: Array) -> tuple[Array]:
    """Return ``A_M' A_M v``."""
    return (_gram(local, x).matvec(v),)


def _moves(local: Local, v: Array) -> tuple[float, float]:
    """Return the largest and the smallest movement of a weighted margin along `v`, by the norms of the rows."""
    problem = local.problem
    size = problem.design.row_norms * float(np.linalg.norm(v))
    Z = problem.design.matvec(v if problem.k == 1 else v.reshape(-1, problem.k))
    gaps = problem.margins(problem.scores_loss(Z))[1]
    M = (gaps(Z).T / np.where(size > 0, size, 1.0)).T[problem.weight > 0]
    return float(M.max(initial=-np.inf)), float(M.min(initial=np.inf))


def falls_for_ever(problem: Any, x: Array, step: Array) -> bool:
    """Whether the loss of a row-block problem falls for ever along x or the last step, cleared of what must not move.

    Parameters
    ----------
    problem : RowBlocks
        The problem.
    x, step : ndarray of shape (n,)
        The last point and the last step.

    Returns
    -------
    bool
        Whether there is no minimiser.
    """
    free = problem.ridge == 0
    if not free.any():
        return False
    clear = _projection(problem, x, free)
    for v in (x, step):
        v = clear(clear(np.where(free, v, 0.0)))  # twice: the second time corrects the rounding of the first
        if v.any():
            high, low = _extremes(problem, _moves, v)
            if high > GROWS and low >= -ROUNDING * high:
                return True
    return False


def _extremes(problem: Any, task: Any, v: Array) -> tuple[float, float]:
    found = problem.each(task, v)
    return max(high for high, _ in found), min(low for _, low in found)


def _projection(problem: Any, x: Array, free: Any) -> Any:
    """Return the projection onto the free directions that move no undecided margin."""
    if problem.n <= DENSE:
        L = unpacked(problem.total(_undecided_lower, x)[0], problem.n)
        G = (L + np.tril(L, -1).T)[np.ix_(free, free)]
        d = np.sqrt(G.diagonal())
        scale = np.where(d > 0, d, 1.0)
        s, V = eigh(G / scale / scale[:, None])
        N = np.linalg.qr(V[:, s <= NULL * s.size * max(1.0, float(s[-1]))] / scale[:, None])[0]

        def clear(v: Array) -> Array:
            out = np.zeros_like(v)
            out[free] = N @ (N.T @ v[free])
            return out

        return clear

    def product(v: Array) -> Array:
        out: Array = problem.total(_undecided_product, x, np.where(free, v, 0.0))[0]
        return np.where(free, out, 0.0)

    A = LinearOperator((problem.n, problem.n), matvec=product, dtype=float)
    return lambda v: v - cg(A, product(v), rtol=1e-15, maxiter=250)[0]
