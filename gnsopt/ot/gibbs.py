r"""Gibbs kernels ``E_ij = exp(y_j - (C_ij - p_i - q_j)/reg - top_i)``, anchored at y; the largest of a row is 1.

At nearby potentials ``y + log v`` everything that is needed comes from products with the same E: two passes over it in
place of one over the exponentials, which are four to eight times as dear. Four ways to keep it:

==============  ====================================================================================================
`DenseKernel`   all entries
`SparseKernel`  the entries that float64 can see: small regularisation leaves few of them
`BlockKernel`   none: computed anew, block by block, in each pass; O(n + m) memory
`GridKernel`    two factors: costs that are a sum over axes, in `gnsopt.ot.grid_kernel`
==============  ====================================================================================================
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy.linalg import blas
from scipy.sparse import csr_array

from gnsopt._typing import Array, IntArray
from gnsopt.kernels import sinkhorn as passes
from gnsopt.ot.geometry import Geometry

# With scalings in exp(-w, w), entries below exp(-cut) of the largest of their row come to less than m exp(2 w - cut) of
# its sum: cut - 2 w = 42 is below rounding. Dense kernels end at exp(-700), which leaves room for w = 50.
DENSE_RANGE = 50.0
SPARSE_RANGE, SPARSE_CUT = 4.0, 50.0
# Counted work of one entry in BLAS-3 flops (about 0.02 ns each; measured once, never at run time).
PASS = 8.0  # two uses of a row in one read
SPARSE_ENTRY = 100.0
EXPONENTIAL = 36.0


class Kernel(ABC):
    """Products with ``E``; `top` are the logarithms taken out of its rows, `width` how far scalings may go."""

    top: Array
    width: float
    tiny: float  # column sums below are not to be trusted
    price: float  # counted work of a pass
    bursts: bool = True  # whether iterations are cheaper in a row than as points that the driver sees

    @abstractmethod
    def scale(self, v: Array, a: Array) -> tuple[Array, Array]:
        """Return ``s = E v`` and ``E'(a/s)``."""

    @abstractmethod
    def gram(self, d: Array, w: Array) -> Array:
        """Return ``E'(w (E d))``."""

    @abstractmethod
    def squares(self, w: Array) -> Array:
        """Return ``(E o E)' w``."""

    @abstractmethod
    def dot(self, d: Array) -> Array:
        """Return ``E d``."""

    @abstractmethod
    def rdot(self, d: Array) -> Array:
        """Return ``E' d``."""

    @abstractmethod
    def second_moment(self, w: Array) -> Array:
        """Return the lower triangle of ``E' diag(w) E``, in Fortran order."""

    def burst(self, v: Array, a: Array, b: Array, steps: int) -> int:
        """Do up to `steps` iterations ``v <- b/(E'(a/(E v)))`` in place, within the width; return how many."""
        for step in range(steps):
            _, c = self.scale(v, a)
            if not c.min() > 0:
                return step
            new = b / c
            if not (new.min() >= np.exp(-self.width) and new.max() <= np.exp(self.width)):
                return step
            v[:] = new
        return steps


class DenseKernel(Kernel):
    """All entries.

    Parameters
    ----------
    E : ndarray of shape (n, m)
        Exponents on entry; overwritten by the kernel.
    top : ndarray of shape (n,)
        Row maxima of the exponents.
    """

    width, tiny = DENSE_RANGE, 1e-280

    def __init__(self, E: Array, top: Array) -> None:
        passes.exponentials(E, top)
        self.E, self.top = E, top
        self.price = PASS * E.size

    def scale(self, v: Array, a: Array) -> tuple[Array, Array]:
        """Return ``s = E v`` and ``E'(a/s)`` by one pass."""
        s, c = np.empty(self.E.shape[0]), np.zeros(self.E.shape[1])
        passes.scale(self.E, v, a, s, c)
        return s, c

    def gram(self, d: Array, w: Array) -> Array:
        """Return ``E'(w (E d))`` by one pass."""
        c = np.zeros(self.E.shape[1])
        passes.gram(self.E, d, w, c)
        return c

    def squares(self, w: Array) -> Array:
        """Return ``(E o E)' w``."""
        c = np.zeros(self.E.shape[1])
        passes.squares(self.E, w, c)
        return c

    def dot(self, d: Array) -> Array:
        """Return ``E d``."""
        return np.asarray(self.E @ d)

    def rdot(self, d: Array) -> Array:
        """Return ``E' d``."""
        return np.asarray(d @ self.E)

    def second_moment(self, w: Array) -> Array:
        """Return the lower triangle of ``E' diag(w) E`` by a rank-k update."""
        return _second_moment(self.E, w)

    def burst(self, v: Array, a: Array, b: Array, steps: int) -> int:
        """Do the iterations in one kernel."""
        low, high = np.exp(-self.width), np.exp(self.width)
        n, m = self.E.shape
        return int(passes.burst(self.E, v, a, b, steps, low, high, np.empty(m), np.empty(n)))


class SparseKernel(Kernel):
    """The entries within ``exp(-50)`` of the largest of their row, as CSR rows.

    Parameters
    ----------
    indptr : ndarray of shape (n + 1,)
        Where rows begin.
    indices, data : ndarray of shape (nnz,)
        Columns and values.
    top : ndarray of shape (n,)
        Row maxima of the exponents.
    m : int
        Number of columns.
    """

    width = SPARSE_RANGE
    tiny = 1e6 * float(np.exp(2 * SPARSE_RANGE - SPARSE_CUT))

    def __init__(self, indptr: IntArray, indices: Array, data: Array, top: Array, m: int) -> None:
        self.indptr, self.indices, self.data, self.top, self.m = indptr, indices, data, top, m
        self.price = SPARSE_ENTRY * data.size

    def scale(self, v: Array, a: Array) -> tuple[Array, Array]:
        """Return ``s = E v`` and ``E'(a/s)`` by one pass."""
        s, c = np.empty(a.size), np.zeros(self.m)
        passes.sparse_scale(self.indptr, self.indices, self.data, v, a, s, c)
        return s, c

    def gram(self, d: Array, w: Array) -> Array:
        """Return ``E'(w (E d))`` by one pass."""
        c = np.zeros(self.m)
        passes.sparse_gram(self.indptr, self.indices, self.data, d, w, c)
        return c

    def squares(self, w: Array) -> Array:
        """Return ``(E o E)' w``."""
        c = np.zeros(self.m)
        passes.sparse_squares(self.indptr, self.indices, self.data, w, c)
        return c

    def matrix(self) -> Any:
        """Return the kernel as a CSR array."""
        return csr_array((self.data, self.indices, self.indptr), shape=(self.top.size, self.m))

    def dot(self, d: Array) -> Array:
        """Return ``E d``."""
        return np.asarray(self.matrix() @ d)

    def rdot(self, d: Array) -> Array:
        """Return ``E' d``."""
        return np.asarray(d @ self.matrix())

    def second_moment(self, w: Array) -> Array:
        """Return ``E' diag(w) E`` by a sparse product."""
        E = self.matrix()
        return np.asfortranarray((E.T @ E.multiply(w[:, None])).toarray())

    def burst(self, v: Array, a: Array, b: Array, steps: int) -> int:
        """Do the iterations in one kernel."""
        low, high = np.exp(-self.width), np.exp(self.width)
        work = np.empty(self.m), np.empty(a.size)
        return int(passes.sparse_burst(self.indptr, self.indices, self.data, v, a, b, steps, low, high, *work))


class BlockKernel(Kernel):
    """No entries: each pass computes them, block by block.

    Parameters
    ----------
    exponents : Exponents
        The exponents by blocks.
    top : ndarray of shape (n,)
        Their row maxima.
    """

    width, tiny, bursts = DENSE_RANGE, 1e-280, False

    def __init__(self, exponents: Exponents, top: Array) -> None:
        self._exponents, self.top = exponents, top
        n, m = exponents.geometry.shape
        self.price = EXPONENTIAL * n * m

    def _sum(self, work: Callable[[slice, Array, Array], None]) -> Array:
        """Sum what ``work(rows, E, c)`` adds to c of shape (m,), block by block."""

        def part(lo: int, hi: int) -> Array:
            c = np.zeros(self._exponents.y.size)
            for rows, E, top in self._exponents.blocks(lo, hi):
                passes.exponentials(E, top)
                work(rows, E, c)
            return c

        total = np.zeros(self._exponents.y.size)
        for c in self._exponents.geometry.parts(part):
            total += c
        return total

    def scale(self, v: Array, a: Array) -> tuple[Array, Array]:
        """Return ``s = E v`` and ``E'(a/s)`` by one pass."""
        s = np.empty(a.size)
        return s, self._sum(lambda rows, E, c: passes.scale(E, v, a[rows], s[rows], c))

    def gram(self, d: Array, w: Array) -> Array:
        """Return ``E'(w (E d))`` by one pass."""
        return self._sum(lambda rows, E, c: passes.gram(E, d, w[rows], c))

    def squares(self, w: Array) -> Array:
        """Return ``(E o E)' w``."""
        return self._sum(lambda rows, E, c: passes.squares(E, w[rows], c))

    def dot(self, d: Array) -> Array:
        """Return ``E d``."""
        s = np.empty(self.top.size)

        def work(rows: slice, E: Array, c: Array) -> None:
            s[rows] = E @ d

        self._sum(work)
        return s

    def rdot(self, d: Array) -> Array:
        """Return ``E' d``."""

        def work(rows: slice, E: Array, c: Array) -> None:
            c += d[rows] @ E

        return self._sum(work)

    def second_moment(self, w: Array) -> Array:
        """Return the lower triangle of ``E' diag(w) E``, added up over the blocks."""
        m = self._exponents.y.size
        total = np.zeros((m, m), order="F")
        for rows, E, top in self._exponents.blocks(0, self.top.size):
            passes.exponentials(E, top)
            total += _second_moment(E, w[rows])
        return total


def _second_moment(E: Array, w: Array) -> Array:
    return np.asarray(blas.dsyrk(1.0, (E * np.sqrt(w)[:, None]).T, lower=1))


class Exponents:
    """The exponents ``y_j - (C_ij - p_i - q_j)/reg`` by blocks, with their row maxima.

    Parameters
    ----------
    geometry : Geometry
        The cost.
    inv : float
        ``1/reg``.
    y : ndarray of shape (m,)
        Column potentials over reg.
    """

    def __init__(self, geometry: Geometry, inv: float, y: Array) -> None:
        self.geometry, self.inv, self.y = geometry, inv, y

    def blocks(self, lo: int, hi: int) -> Iterator[tuple[slice, Array, Array]]:
        """Iterate over ``(slice of rows, exponents, row maxima)``; arrays are overwritten by the next block.

        Parameters
        ----------
        lo, hi : int
            First row, and the one after the last.

        Yields
        ------
        tuple
            Of the rows from `lo` to `hi`.
        """
        p, q = self.geometry.offsets
        E, top = np.empty((0, 0)), np.empty(0)
        for rows, C in self.geometry.blocks(lo, hi):
            k = C.shape[0]
            if k > E.shape[0]:
                E, top = np.empty(C.shape), np.empty(k)
            passes.exponents(C, p[rows], q, self.inv, self.y, E[:k], top[:k])
            yield rows, E[:k], top[:k]
