r"""Sums of rank-one terms, ``F = rows' rows / N`` (M-FAC): per-sample gradients, the Fisher matrix, past gradients.

==================  ======================================================================================
rows                what
==================  ======================================================================================
``"fisher"``        per-sample gradients: the empirical Fisher matrix
``"gauss_newton"``  ``sqrt(p_ik) grad log p(k | x_i)``, n k rows: the true Fisher matrix, which for losses that are
                    negative log-likelihoods of exponential families is the Gauss-Newton matrix
``"window"``        the last m gradients of the run, the M-FAC optimiser's
an array            the rows themselves
a callable          ``rows(point)``, an array of shape (m, n)
==================  ======================================================================================
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from gnsopt._typing import Array, ArrayLike
from gnsopt.arguments import as_array, settle, shown
from gnsopt.curvature.base import Build, Curvature
from gnsopt.curvature.selection import MEMORY, Engine
from gnsopt.exceptions import StepFailure
from gnsopt.linalg.forms import Form
from gnsopt.linalg.metric import DiagonalMetric
from gnsopt.linalg.mfac import GradientWindow, RankOneForm, RankOneInverse, rows_count, rows_of
from gnsopt.linalg.shifted import DenseShifted
from gnsopt.point import Point

NAMED = ("fisher", "gauss_newton", "window")


@dataclass(frozen=True, eq=False)
class RankOneSum:
    r"""``F = rows' rows / count``, exactly inverted in the space of the rows where they are fewer than the variables.

    Parameters
    ----------
    rows : {"fisher", "gauss_newton", "window"}, array_like of shape (m, n) or callable, default="fisher"
        Where the rows come from; a callable gets the point. An array is a matrix that stays the same, for which
        `solve`, `matvec` and `inverse` work without any problem. A penalty of the problem is added as it is.
    m : int, default=64
        Length of the window of past gradients ([1] has 1024).
    count : float, optional
        What the sum of given rows or of a window is divided by; by default their number (of a window that is not full:
        of what it holds). Named rows have the weights of the samples.

    Raises
    ------
    TypeError
        If `rows` is none of these.
    ValueError
        If the array is no finite matrix, or a number is out of range.

    Notes
    -----
    The authors' code begins with a window of zeros and divides by its length, so that the matrix is too small at
    first; here it is the mean of what there is. The inexactness of the empirical Fisher matrix is that of
    `FromProblem`; a window of full gradients has none that holds in general.

    References
    ----------
    [1] Frantar, Kurtic, Alistarh, "M-FAC: efficient matrix-free approximations of second-order information",
       2107.03356.

    Examples
    --------
    >>> from gnsopt.curvature import RankOneSum
    >>> RankOneSum([[3, 0, 0], [0, 4, 0]], count=1).solve(1.0, [10, 17, 1])
    array([1., 1., 1.])
    """

    rows: Any = "fisher"
    m: int = 64
    count: float | None = None

    def __post_init__(self) -> None:
        """Check the rows and the numbers."""
        settle(self)
        rows = self.rows
        if isinstance(rows, str):
            if rows not in NAMED:
                raise ValueError(f"rows={rows!r} is unknown; choose one of {NAMED}, an array or a callable")
        elif not callable(rows):
            object.__setattr__(self, "rows", _checked(rows))
        if not (isinstance(self.m, int | np.integer) and self.m >= 1):
            raise ValueError(f"m={self.m!r} must be an integer of at least 1")
        if self.count is not None and not self.count > 0:
            raise ValueError(f"count={self.count!r} must be positive, or None for the number of rows")

    # ------------------------------------------------------------------------------------- a matrix of its own

    @cached_property
    def form(self) -> RankOneForm:
        """The matrix of given rows."""
        if not isinstance(self.rows, np.ndarray):
            raise TypeError(f"rows={self.rows!r} depend on a point; pass an array of rows, or use it as curvature=")
        return self._averaged(self.rows)

    def matvec(self, v: Array) -> Array:
        """Return ``F v`` for given rows."""
        return self.form.matvec(v)

    def solve(self, lam: float, b: Array) -> Array:
        """Return ``(F + lam I)^{-1} b`` for given rows; one factorisation serves every `lam`.

        Parameters
        ----------
        lam : float
            Shift, positive where there are fewer rows than variables.
        b : ndarray of shape (n,)
            Right-hand side.

        Returns
        -------
        ndarray of shape (n,)
            The solution.

        Raises
        ------
        ValueError
            If `b` has another shape or `lam` is not finite.
        NotPositiveDefinite
            Where the matrix is not.
        """
        b = np.asarray(b, dtype=float)
        if b.shape != (self.form.n,):
            raise ValueError(f"b has shape {b.shape}; the rows have {self.form.n} entries")
        if not np.isfinite(lam):
            raise ValueError(f"lam={lam} must be finite")
        return self._shifted.solve(float(lam), b)

    @cached_property
    def _shifted(self) -> Any:
        identity = DiagonalMetric()
        structured = self.form.structured(identity)
        return DenseShifted(self.form.lower(), identity) if structured is None else structured

    def inverse(self, lam: float) -> RankOneInverse:
        """Return ``(F + lam I)^{-1}`` for given rows: its diagonal, entries, pruning scores, O(m^2 n) once.

        Parameters
        ----------
        lam : float
            Positive shift.

        Returns
        -------
        RankOneInverse
            The inverse.
        """
        return RankOneInverse(self.form.rows, lam, 1.0)

    def _averaged(self, rows: Array) -> RankOneForm:
        count = max(rows.shape[0], 1) if self.count is None else self.count
        return RankOneForm(rows / np.sqrt(count))

    # ------------------------------------------------------------------------------------------ a model of runs

    def start(self, x: Point) -> Build:
        """Begin a run: a window is empty then; refuse problems without the named rows."""
        form, label = self._source(x)
        engine = Engine("auto", theta=0.25, floor=1e-8, max_products=20_000)

        def build(x: Point) -> Curvature:
            F = form(x)
            if F.n != x.x.size:
                raise ValueError(f"rows have {F.n} entries; the problem has {x.x.size} variables")
            return Curvature(F, engine.attach(F, x, label), x.counts)

        return build

    def _source(self, x: Point) -> tuple[Callable[[Point], Form], str]:
        rows, n = self.rows, x.x.size
        if isinstance(rows, np.ndarray):
            return (lambda x: self.form), f"sum of {len(rows)} rank-one terms"
        if not isinstance(rows, str):
            return (lambda x: self._averaged(_checked(rows(x)))), "sum of rank-one terms"
        if rows == "window":
            check_rows(min(self.m, n), n)
            window = GradientWindow(self.m, x.metric)
            return (lambda x: self._pushed(window, x)), f"window of {self.m} gradients"
        x.objective.require(rows, f"curvature RankOneSum({rows!r})")
        return (lambda x: self._named(x, rows)), f"{rows} as a sum of rank-one terms"

    def _pushed(self, window: GradientWindow, x: Point) -> RankOneForm:
        if not x.finite:
            raise StepFailure("the gradient is not finite")
        window.push(x.g)
        return window.form(self.count)

    def _named(self, x: Point, kind: str) -> Form:
        source = x.hess(kind)
        if rows_count(source) >= x.x.size:  # nothing is gained by storing them
            return source
        check_rows(rows_count(source), x.x.size)
        V, ridge = rows_of(source)
        x.counts.nhev += 1
        return RankOneForm(V, ridge)


def _checked(rows: ArrayLike) -> Array:
    try:
        G = as_array(rows, "rows", finite=False).copy()
    except ValueError:
        raise TypeError(f"rows={shown(rows)}: pass one of {NAMED}, an array of shape (m, n) or a callable") from None
    if G.ndim != 2 or G.shape[1] == 0 or not np.isfinite(G).all():
        raise ValueError(f"rows has shape {G.shape}; it must be a finite array of shape (m, n)")
    return G


def check_rows(m: int, n: int) -> None:
    """Refuse rows that would not fit into memory.

    Parameters
    ----------
    m, n : int
        Number and length of the rows.

    Raises
    ------
    ValueError
        If two copies of them exceed the limit.
    """
    if 16.0 * m * n > MEMORY:
        raise ValueError(
            f"{m} rows of {n} entries need {16e-9 * m * n:.0f} GB; use fewer rows, or curvature='diagonal'"
        )
