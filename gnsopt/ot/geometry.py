r"""Costs ``C_ij`` of moving mass from place i to place j: a matrix, points and a function, a product of axes.

All of them give blocks of rows, so that whatever is done once (cost of a plan, rounding, certificates) needs one loop
and O(n + m) memory. What is done in every iteration goes through the Gibbs kernels of `gnsopt.ot.gibbs`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from scipy.sparse import csr_array, issparse

from gnsopt._typing import Array, ArrayLike, IntArray
from gnsopt.arguments import as_array, shown
from gnsopt.kernels import sinkhorn as passes

BLOCK = 2**16  # entries of a block of rows: it stays in the second-level cache
WIDEST = 1e150  # span of coordinates whose squares are floats
PARTS = 32  # of a pass that threads share
METRICS = ("sqeuclidean", "euclidean")
T = TypeVar("T")


class Geometry(ABC):
    """An n x m cost, +inf where a pair is forbidden; `shape` is ``(n, m)``."""

    shape: tuple[int, int]
    stored: bool = False  # whether the whole matrix is in memory anyway
    workers: int = 1  # threads of the passes over a cost that is not stored

    @cached_property
    def finite(self) -> bool:
        """Whether no pair is forbidden."""
        return all(_finite(C).size == C.size for _, C in self.blocks())

    @abstractmethod
    def rows(self, lo: int, hi: int) -> Array:
        """Return the rows from `lo` to `hi`; read-only for the caller."""

    @abstractmethod
    def transposed(self) -> Geometry:
        """Return the geometry of ``C'``."""

    @abstractmethod
    def take(self, i: IntArray, j: IntArray) -> Geometry:
        """Return the geometry of the rows `i` and the columns `j`."""

    def blocks(self, lo: int = 0, hi: int | None = None) -> Iterator[tuple[slice, Array]]:
        """Iterate over ``(slice of rows, their costs)``.

        Parameters
        ----------
        lo : int, default=0
            First row.
        hi : int, optional
            The row after the last; all by default.

        Yields
        ------
        tuple
            Slice and costs.
        """
        n, m = self.shape
        hi, step = n if hi is None else hi, max(1, BLOCK // m)
        for first in range(lo, hi, step):
            last = min(first + step, hi)
            yield slice(first, last), self.rows(first, last)

    def parts(self, work: Callable[[int, int], T]) -> Iterable[T]:
        """Return what ``work(lo, hi)`` returns for consecutive ranges of rows, in their order.

        The ranges do not depend on the number of threads, so neither does a sum over them.

        Parameters
        ----------
        work : callable
            Called for each range.

        Returns
        -------
        iterable
            One answer for each range.
        """
        ends = [round(k * self.shape[0] / PARTS) for k in range(PARTS + 1)]
        if self.workers == 1:
            return map(work, ends[:-1], ends[1:])
        with ThreadPoolExecutor(self.workers) as pool:
            return list(pool.map(work, ends[:-1], ends[1:]))

    def dense(self) -> Array:
        """Return the whole matrix."""
        return np.concatenate([C for _, C in self.blocks()])

    @cached_property
    def limits(self) -> tuple[float, float]:
        """Least and largest finite cost; zero where there is none."""
        least, most = np.inf, -np.inf
        for _, C in self.blocks():
            finite = _finite(C)
            if finite.size:
                least, most = min(least, float(finite.min())), max(most, float(finite.max()))
        return (least, most) if least <= most else (0.0, 0.0)

    @cached_property
    def deviation(self) -> float:
        """Standard deviation of the finite costs, computed in units of their range: squares may leave the floats."""
        least, half = self.limits[0], 0.5 * self.limits[1] - 0.5 * self.limits[0]
        if half == 0.0:
            return 0.0
        count, total, square = 0, 0.0, 0.0
        for _, C in self.blocks():
            part = (0.5 * _finite(C) - 0.5 * least) / half
            count, total, square = count + part.size, total + float(part.sum()), square + float(np.vdot(part, part))
        return 2 * half * float(np.sqrt(max(square / count - (total / count) ** 2, 0.0)))

    @cached_property
    def offsets(self) -> tuple[Array, Array]:
        """Minima of the rows, and of the columns of what they leave: the plan does not depend on them, rounding does.

        A row or a column without a finite cost has the offset 0.
        """
        n, m = self.shape
        p, q = np.empty(n), np.full(m, np.inf)
        for rows, C in self.blocks():
            passes.offsets(C, p[rows], q)
        q[q == np.inf] = 0.0
        return p, q

    @cached_property
    def extent(self) -> float:
        """Largest finite ``C_ij - p_i - q_j``: what a regularisation is to be compared with."""
        p, q = self.offsets
        return max(float(passes.largest(C, p[rows], q)) for rows, C in self.blocks())


def as_numbers(X: Any, what: str) -> Any:
    """Return what the user gave as an array of any dtype.

    Parameters
    ----------
    X : array_like
        The user's.
    what : str
        Its name, for the message.

    Returns
    -------
    ndarray
        The array itself where it is one.

    Raises
    ------
    ValueError
        If its rows differ in length, or entries are masked.
    """
    if np.ma.is_masked(X):
        raise ValueError(f"{what} has masked entries; fill them in, with +inf for a forbidden pair of a cost")
    try:
        raw = np.asarray(X)
    except ValueError:
        raise ValueError(f"{what} is ragged: its rows differ in length") from None
    return as_array(raw, what, finite=False) if raw.dtype.kind == "O" else raw


def _check_costs(C: Array, what: str) -> None:
    """Raise ValueError unless every cost is a number or +inf."""
    least = float(np.min(C))
    if np.isnan(least):
        i, j = np.argwhere(np.isnan(C))[0]
        raise ValueError(f"{what} has a NaN at ({i}, {j}); a forbidden pair has cost +inf")
    if least == -np.inf:
        i, j = np.argwhere(C == -np.inf)[0]
        raise ValueError(f"{what} is -inf at ({i}, {j}); costs must be finite, or +inf for a forbidden pair")


def _finite(C: Array) -> Array:
    """Return the finite entries; the block itself where all of them are. Costs are checked: +inf is the only other."""
    return C if C.max() < np.inf else C[np.isfinite(C)]


class CostMatrix(Geometry):
    """A cost given entry by entry.

    Parameters
    ----------
    C : array_like or sparse array of shape (n, m)
        Costs, +inf for forbidden pairs; copied. In a sparse array the pairs that are not stored are forbidden, and
        entries at the same place add up.

    Raises
    ------
    ValueError
        If it is not a matrix of numbers, or has a NaN or -inf.
    """

    stored = True

    def __init__(self, C: ArrayLike | Any) -> None:
        raw: Any = C if issparse(C) else as_numbers(C, "C")
        if raw.ndim != 2 or 0 in raw.shape or raw.dtype.kind not in "fiub":
            raise ValueError(f"C has shape {raw.shape} and dtype {raw.dtype}; it must be an n x m matrix of numbers")
        if issparse(C):
            S: Any = csr_array(raw, dtype=float, copy=True)
            S.sum_duplicates()  # what a sparse array means by two entries at one place
            S = S.tocoo()
            self.C: Array = np.full(S.shape, np.inf)
            self.C[S.row, S.col] = S.data
        else:
            self.C = np.array(raw, dtype=float, order="C")  # a copy: results are computed from it when asked for
        self.shape = (raw.shape[0], raw.shape[1])
        _check_costs(self.C, "C")

    @classmethod
    def _checked(cls, C: Array) -> CostMatrix:
        """Return the geometry of checked costs, without another copy."""
        geometry = cls.__new__(cls)
        geometry.C, geometry.shape = np.ascontiguousarray(C), (C.shape[0], C.shape[1])
        return geometry

    def rows(self, lo: int, hi: int) -> Array:
        """Return a view of the rows."""
        return self.C[lo:hi]

    def dense(self) -> Array:
        """Return the matrix itself."""
        return self.C

    def transposed(self) -> CostMatrix:
        """Return ``C'``."""
        return self._checked(self.C.T)

    def take(self, i: IntArray, j: IntArray) -> CostMatrix:
        """Return the submatrix."""
        return self._checked(self.C[np.ix_(i, j)])


class PointCloud(Geometry):
    r"""Costs between points, computed by blocks of rows whenever they are needed.

    Parameters
    ----------
    X : array_like of shape (n, d)
        Points of the source; one axis means d = 1.
    Y : array_like of shape (m, d)
        Points of the target.
    cost : {"sqeuclidean", "euclidean"} or callable, default="sqeuclidean"
        ``|x - y|^2``, ``|x - y|``, or ``cost(X_block, Y) -> array of shape (len(X_block), m)``.
    workers : int, default=1
        Threads of the passes over problems too large for a kernel in memory; the result does not depend on it.

    Raises
    ------
    ValueError
        If the points are not finite, differ in dimension, or the cost is unknown or of another shape.
    """

    def __init__(
        self,
        X: ArrayLike,
        Y: ArrayLike,
        cost: str | Callable[[Array, Array], Array] = "sqeuclidean",
        workers: int = 1,
    ) -> None:
        self.X, self.Y = _points(X, "X"), _points(Y, "Y")
        if self.X.shape[1] != self.Y.shape[1]:
            raise ValueError(f"X has points of dimension {self.X.shape[1]}, Y of {self.Y.shape[1]}")
        if not (callable(cost) or (isinstance(cost, str) and cost in METRICS)):
            choices = f"choose one of {METRICS}, or a callable (X_block, Y) -> costs"
            raise ValueError(f"cost={shown(cost)} is unknown; {choices}")
        self.cost, self._columns = cost, np.ascontiguousarray(self.Y.T)
        if not callable(cost):
            corners = [(Z.min(axis=0), Z.max(axis=0)) for Z in (self.X, self.Y)]
            with np.errstate(over="ignore"):
                width = np.max(np.maximum(corners[0][1], corners[1][1]) - np.minimum(corners[0][0], corners[1][0]))
            if width > WIDEST:
                raise ValueError(f"X, Y: the coordinates span {width:.3g}; above {WIDEST:g} their squares overflow")
        if not (isinstance(workers, int | np.integer) and workers >= 1):
            raise ValueError(f"workers={workers!r} must be an integer of at least 1")
        self.shape, self.workers = (self.X.shape[0], self.Y.shape[0]), int(workers)

    @cached_property
    def finite(self) -> bool:
        """Whether no pair is forbidden: distances are finite, what a callable gives is looked at."""
        return not callable(self.cost) or all(bool(np.isfinite(C).all()) for _, C in self.blocks())

    def rows(self, lo: int, hi: int) -> Array:
        """Compute the rows."""
        if not callable(self.cost):
            D = np.empty((hi - lo, self.shape[1]))
            passes.distances(self.X[lo:hi], self._columns, self.cost == "euclidean", D)
            return D
        C = np.array(self.cost(self.X[lo:hi], self.Y), dtype=float, order="C")
        if C.shape != (hi - lo, self.shape[1]):
            raise ValueError(
                f"cost returned shape {C.shape} for {hi - lo} points; it must be {(hi - lo, self.shape[1])}"
            )
        _check_costs(C, "cost")
        return C

    def transposed(self) -> PointCloud:
        """Return the clouds in the other order."""
        cost = self.cost
        swapped = cost if not callable(cost) else lambda Y, X: np.ascontiguousarray(np.asarray(cost(X, Y)).T)
        return PointCloud(self.Y, self.X, swapped, self.workers)

    def take(self, i: IntArray, j: IntArray) -> PointCloud:
        """Return the clouds of the chosen points."""
        return PointCloud(self.X[i], self.Y[j], self.cost, self.workers)


def _points(X: ArrayLike, name: str) -> Array:
    raw = as_numbers(X, name)
    if raw.dtype.kind not in "fiub":
        raise ValueError(f"{name} has dtype {raw.dtype}; coordinates must be real numbers")
    points = np.array(raw, dtype=float, order="C")
    points = points[:, None] if points.ndim == 1 else points
    if points.ndim != 2 or points.size == 0 or not np.isfinite(points).all():
        raise ValueError(f"{name} has shape {points.shape}; it must be (n, d) with finite coordinates")
    return points


def as_geometry(C: Any) -> Geometry:
    """Return `C` if it is a geometry, else the cost matrix it holds.

    Parameters
    ----------
    C : Geometry, array_like or sparse array of shape (n, m)
        The cost.

    Returns
    -------
    Geometry
        The geometry.
    """
    return C if isinstance(C, Geometry) else CostMatrix(C)
