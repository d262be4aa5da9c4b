r"""Costs between product grids that are a sum over the axes, ``C = sum_k |x_k - y_k|^p``: images and volumes.

Such a cost is a sum of two factors, ``C[(i, k), (j, l)] = C1[i, j] + C2[k, l]``, and a pass over the kernel takes
``N (side of one factor + side of the other)`` operations instead of N^2.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real

import numpy as np

from gnsopt._typing import Array, ArrayLike, IntArray
from gnsopt.arguments import as_array, as_number, shown
from gnsopt.ot.geometry import Geometry


class Lookup(Geometry):
    """A sum of two factors at any places: ``C_ij = C1[i1_i, j1_j] + C2[i2_i, j2_j]``.

    Parameters
    ----------
    factors : tuple of ndarray
        ``C1`` and ``C2``.
    rows_at, columns_at : tuple of ndarray of int
        Places of the rows, and of the columns, in the two factors.
    """

    def __init__(
        self, factors: tuple[Array, Array], rows_at: tuple[IntArray, IntArray], columns_at: tuple[IntArray, IntArray]
    ) -> None:
        self.factors, self.rows_at, self.columns_at = factors, rows_at, columns_at
        self.shape = (rows_at[0].size, columns_at[0].size)

    def rows(self, lo: int, hi: int) -> Array:
        """Look the rows up."""
        one, other = (
            C[np.ix_(i[lo:hi], j)] for C, i, j in zip(self.factors, self.rows_at, self.columns_at, strict=True)
        )
        return np.asarray(one + other)

    def transposed(self) -> Lookup:
        """Return ``C'``."""
        one, other = self.factors
        return Lookup((one.T, other.T), self.columns_at, self.rows_at)

    def take(self, i: IntArray, j: IntArray) -> Lookup:
        """Return some rows and columns."""
        (i1, i2), (j1, j2) = self.rows_at, self.columns_at
        return Lookup(self.factors, (i1[i], i2[i]), (j1[j], j2[j]))


class Grid(Lookup):
    """Costs between two product grids.

    Parameters
    ----------
    X : sequence of array_like
        Coordinates of the source grid along each axis; an int is that many pixels, 0, 1, 2, ...
    Y : sequence of array_like, optional
        The same for the target grid, with the same number of axes; by default the source grid.
    power : float, default=2.0
        p in ``sum_k |x_k - y_k|^p``, positive: 2 is the squared Euclidean distance, 1 the L1 distance.

    Raises
    ------
    ValueError
        If coordinates are not finite vectors, the numbers of axes differ or the power is not positive.

    Notes
    -----
    Masses are flattened in C order, as by ``image.ravel()``. Where places have no mass, the rest is no grid any more
    and costs what any other matrix costs: a light background keeps the structure.
    """

    def __init__(
        self, X: Sequence[ArrayLike | int], Y: Sequence[ArrayLike | int] | None = None, power: float = 2.0
    ) -> None:
        axes = [_axes(X, "X"), _axes(X if Y is None else Y, "Y")]
        if len(axes[0]) != len(axes[1]):
            raise ValueError(f"X has {len(axes[0])} axes, Y has {len(axes[1])}")
        p = as_number(power, "power") if isinstance(power, Real) else np.nan
        if not 0 < p < np.inf:
            raise ValueError(f"power={shown(power)} must be a positive finite number")
        with np.errstate(over="ignore"):
            costs = [np.abs(x[:, None] - y) ** p for x, y in zip(*axes, strict=True)]
        if not all(np.isfinite(C).all() for C in costs):
            raise ValueError(f"X, Y and power={p:g} make costs beyond the range of float64; rescale the coordinates")
        half = len(costs) // 2
        self._build(_sum(costs[:half]), _sum(costs[half:]))

    def _build(self, one: Array, other: Array) -> None:
        (n1, m1), (n2, m2) = one.shape, other.shape
        i, j = np.divmod(np.arange(n1 * n2), n2), np.divmod(np.arange(m1 * m2), m2)
        super().__init__((one, other), i, j)

    @classmethod
    def from_factors(cls, one: Array, other: Array) -> Grid:
        """Return the geometry of two factors.

        Parameters
        ----------
        one, other : ndarray
            ``C1`` of shape (n1, m1) and ``C2`` of shape (n2, m2).

        Returns
        -------
        Grid
            Of shape ``(n1 n2, m1 m2)``.
        """
        grid = cls.__new__(cls)
        grid._build(one, other)
        return grid

    def transposed(self) -> Grid:
        """Return the grids in the other order."""
        return Grid.from_factors(self.factors[0].T.copy(), self.factors[1].T.copy())

    @property
    def finite(self) -> bool:
        """Whether no pair is forbidden."""
        return True

    @property
    def offsets(self) -> tuple[Array, Array]:
        """Minima of the rows, and of the columns of what they leave: sums of those of the factors."""
        p = [C.min(axis=1) for C in self.factors]
        q = [(C - least[:, None]).min(axis=0) for C, least in zip(self.factors, p, strict=True)]
        return np.add.outer(*p).ravel(), np.add.outer(*q).ravel()

    @property
    def extent(self) -> float:
        """Largest cost left by the offsets."""
        return float(sum(C.max() for C in self.reduced_factors))

    @property
    def reduced_factors(self) -> tuple[Array, Array]:
        """The factors without their offsets."""
        left = [C - C.min(axis=1, keepdims=True) for C in self.factors]
        one, other = (C - C.min(axis=0) for C in left)
        return one, other

    @property
    def limits(self) -> tuple[float, float]:
        """Least and largest cost."""
        one, other = self.factors
        return float(one.min() + other.min()), float(one.max() + other.max())

    @property
    def deviation(self) -> float:
        """Standard deviation of the costs."""
        most = self.limits[1] or 1.0  # squares may leave the floats
        return most * float(np.hypot(*((C / most).std() for C in self.factors)))


def _axes(X: Sequence[ArrayLike | int], name: str) -> list[Array]:
    if not isinstance(X, Sequence | np.ndarray) or isinstance(X, str | bytes):
        raise ValueError(f"{name}={shown(X)} must be a sequence with an entry for each axis, such as (28, 28)")
    axes = [np.arange(float(x)) if isinstance(x, int | np.integer) else as_array(x, name, finite=False) for x in X]
    if not axes or any(x.ndim != 1 or x.size == 0 or not np.isfinite(x).all() for x in axes):
        raise ValueError(f"{name} must hold, for each axis, a number of pixels or a vector of finite coordinates")
    return axes


def _sum(costs: list[Array]) -> Array:
    """Cost of the product of some axes; one place at cost 0 for none."""
    total = np.zeros((1, 1))
    for C in costs:
        n, m = total.shape[0] * C.shape[0], total.shape[1] * C.shape[1]
        total = (total[:, None, :, None] + C[None, :, None, :]).reshape(n, m)
    return total
