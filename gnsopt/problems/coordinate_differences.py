r"""Coordinate-wise differences (CGE): a function of which only values are known, as an objective.

    forward:  g_j = (f(x + mu e_j) - f(x))/mu,             off by mu H_jj/2 exactly on quadratics
    central:  g_j = (f(x + mu e_j) - f(x - mu e_j))/2mu,   exact on quadratics, O(mu^2) otherwise
    second:   H_jj = (f(x + mu e_j) - 2 f(x) + f(x - mu e_j))/mu^2

Coordinates outside a mask stay where they are: their entries are zero. Estimates along random directions, which need a
factor n and not the step of the difference in front of the direction, are left out: with n + 1 values coordinates give
the whole gradient.

References
----------
[1] Chen et al., "DeepZero: scaling up zeroth-order optimization for deep model training", 2310.02025.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from gnsopt._typing import Array, ArrayLike
from gnsopt.arguments import as_number, check_name, shown
from gnsopt.linalg.structured import Diagonal
from gnsopt.objective import Objective
from gnsopt.problems.composite import check_count

SCHEMES = ("forward", "central")


class CoordinateDifferences(Objective):
    """A callable with a gradient by differences along the coordinates.

    The matrix that it offers as ``gauss_newton`` is the diagonal of second differences, clipped at zero.

    Parameters
    ----------
    fun : callable
        ``fun(x) -> float``.
    n : int
        Number of variables.
    mu : float, default=1e-6
        Step of the differences; absolute.
    scheme : {"central", "forward"}, default="central"
        Which differences.
    mask : array_like of shape (n,), optional
        Booleans: the coordinates that may move; all by default.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range.

    Notes
    -----
    The values that differences cost are counted in the run's ``nfev``.
    """

    def __init__(
        self,
        fun: Callable[[Array], float],
        n: int,
        mu: float = 1e-6,
        scheme: str = "central",
        mask: ArrayLike | None = None,
    ) -> None:
        if not callable(fun):
            raise TypeError(f"fun={shown(fun)} must be callable")
        self.n = check_count(n, "n", 1)
        self.mu: float = as_number(mu, "mu")
        if not 0 < self.mu < np.inf:
            raise ValueError(f"mu={shown(mu)} must be a positive number")
        check_name(scheme, "scheme", SCHEMES)
        try:
            self.mask: Array = np.ones(self.n, dtype=bool) if mask is None else np.array(mask)
        except ValueError:
            raise ValueError(f"mask={shown(mask)} must be {n} booleans") from None
        if self.mask.shape != (self.n,) or self.mask.dtype != bool:
            raise ValueError(f"mask has shape {self.mask.shape} and dtype {self.mask.dtype}; it must be {n} booleans")
        self._fun: Callable[[Array], float] = fun
        self.scheme: str = scheme
        self._extra: dict[str, int] = {"nfev": 0}

    def fresh(self) -> CoordinateDifferences:
        """Return a twin that counts its differences from zero."""
        twin = copy.copy(self)
        twin._extra = {"nfev": 0}
        return twin

    def extra_counts(self) -> dict[str, int]:
        """Return the evaluations made by differences."""
        return dict(self._extra)

    def prepare(self, x: Array) -> dict[int, Array]:
        """Return an empty store for the values beside x, by their side: +1 or -1."""
        return {}

    def fun(self, x: Array, z: Any) -> float:
        """Return f(x)."""
        return float(self._fun(x.copy()))

    def grad(self, x: Array, z: Any) -> Array:
        """Return the differences; zero outside the mask."""
        up = self._beside(x, z, 1)
        if self.scheme == "central":
            return np.asarray((up - self._beside(x, z, -1)) / (2 * self.mu))
        return np.asarray(np.where(self.mask, (up - self._centre(x, z)) / self.mu, 0.0))

    def gauss_newton(self, x: Array, z: Any) -> Diagonal:
        """Return the second differences, where they are positive."""
        return Diagonal(np.maximum(self.second_differences(x, z), 0.0))

    def second_differences(self, x: Array, z: Any = None) -> Array:
        """Return the diagonal of the Hessian by second differences; zero outside the mask.

        Parameters
        ----------
        x : ndarray of shape (n,)
            Where.
        z : dict, optional
            Values that are known there.

        Returns
        -------
        ndarray of shape (n,)
            The differences; exact on quadratics, up to ``4 eps |f|/mu^2`` of rounding.
        """
        z = {} if z is None else z
        change = self._beside(x, z, 1) - 2 * self._centre(x, z) + self._beside(x, z, -1)
        return np.asarray(np.where(self.mask, change / self.mu**2, 0.0))

    def _centre(self, x: Array, z: dict[int, Array]) -> Array:
        if 0 not in z:
            z[0] = np.full(self.n, self._fun(x.copy()))
            self._extra["nfev"] += 1
        return z[0]

    def _beside(self, x: Array, z: dict[int, Array], side: int) -> Array:
        if side not in z:
            z[side] = np.zeros(self.n)
            for j in np.flatnonzero(self.mask):
                y = x.copy()
                y[j] += side * self.mu
                z[side][j] = self._fun(y)
            self._extra["nfev"] += int(self.mask.sum())
        return z[side]
