"""The kernel of a run: which kind, where it is anchored, when it is built anew."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from gnsopt._typing import Array, IntArray
from gnsopt.kernels import sinkhorn as passes
from gnsopt.ot.geometry import Geometry
from gnsopt.ot.gibbs import SPARSE_CUT, BlockKernel, DenseKernel, Exponents, Kernel, SparseKernel
from gnsopt.ot.grid import Grid
from gnsopt.ot.grid_kernel import GridKernel

SPARSE_PAYS = 0.06  # density below which indexed passes are faster (measured: equal at 0.08)
DENSE_BYTES = 2.0**30  # kernels up to this size are kept whole,
SPARSE_BYTES = 2.0**30  # or sparse; beyond both they are computed anew in each pass


class Anchor:
    """The kernel of a run: built at some potentials, used near them, built anew when they have moved too far.

    Only one is kept at a time. `generation` counts them, so that a state can tell whether its kernel is still there.

    Parameters
    ----------
    geometry : Geometry
        The cost.
    keep : bool, default=True
        Use a kernel at other potentials than its own; False is the log domain, one pass of exponentials each time.
    """

    def __init__(self, geometry: Geometry, keep: bool = True) -> None:
        self.geometry, self.keep = geometry, keep
        self.generation = 0
        self.kernel: Kernel | None = None
        self._y, self._reg = np.empty(0), 0.0
        self._buffer: Array | None = None

    def at(self, y: Array, reg: float) -> tuple[Kernel, Array, float]:
        """Return a kernel, the scalings v and a shift with ``exp(y - y_kernel) = v exp(shift)``."""
        if self.kernel is not None and reg == self._reg and (self.keep or np.array_equal(y, self._y)):
            delta = y - self._y
            low, high = float(delta.min()), float(delta.max())
            if high - low <= 2 * self.kernel.width:
                shift = 0.5 * (low + high)
                return self.kernel, np.exp(delta - shift), shift
        self.kernel = None  # let go of the old one before there is a new one
        self.generation += 1
        self.kernel, self._y, self._reg = self._build(y, 1.0 / reg), y, reg
        return self.kernel, np.ones(y.size), 0.0

    def _build(self, y: Array, inv: float) -> Kernel:
        if isinstance(self.geometry, Grid):
            return GridKernel(*self.geometry.reduced_factors, inv, y)
        n, m = self.geometry.shape
        top, counts = np.empty(n), np.empty(n, dtype=np.int64)
        if 8.0 * n * m <= DENSE_BYTES:
            if self._buffer is None:
                self._buffer = np.empty((n, m))
            E = self._buffer
            p, q = self.geometry.offsets
            for rows, C in [(slice(0, n), self.geometry.dense())] if self.geometry.stored else self.geometry.blocks():
                passes.exponents(C, p[rows], q, inv, y, E[rows], top[rows])
            passes.count_above(E, top, SPARSE_CUT, counts)
            nnz = int(counts.sum())
            if nnz <= SPARSE_PAYS * n * m:
                return self._sparse([(slice(0, n), E, top)], top, counts)
            return DenseKernel(E, top)
        exponents = Exponents(self.geometry, inv, y)

        def part(lo: int, hi: int) -> None:
            for rows, E, most in exponents.blocks(lo, hi):
                top[rows] = most
                passes.count_above(E, most, SPARSE_CUT, counts[rows])

        list(self.geometry.parts(part))
        if 12.0 * float(counts.sum()) <= SPARSE_BYTES:
            return self._sparse(exponents.blocks(0, n), top, counts)
        return BlockKernel(exponents, top)

    def _sparse(self, blocks: Iterable[tuple[slice, Array, Array]], top: Array, counts: IntArray) -> SparseKernel:
        indptr = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)])
        data, indices = np.empty(indptr[-1]), np.empty(indptr[-1], dtype=np.int32)
        place = 0
        for _, E, most in blocks:
            place = passes.gather_above(E, most, SPARSE_CUT, data, indices, place)
        return SparseKernel(indptr, indices, data, top, self.geometry.shape[1])
