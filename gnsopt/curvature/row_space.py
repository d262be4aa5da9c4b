r"""Wide linear models in the coordinates of their row space.

With one shift for all features every iterate from zero, or from another start in the row space, is ``x = Q y``, where
the columns of Q are an orthonormal basis of the rows (`gnsopt.linalg.span`). The model with the rows ``L = X Q`` has
the same values, norms and steps, so the solver runs on y, of n_samples entries, and the data are read for the entries
of the gradient alone. The factor of the Gram matrix rounds: where that shows in f, the run leaves for the data, and it
ends on a point that is evaluated by them (`Lifted.settled`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from gnsopt._typing import Array
from gnsopt.curvature.selection import dear_rows, prefers_row_space
from gnsopt.exceptions import StepFailure
from gnsopt.linalg.forms import Gram
from gnsopt.point import Point

EPS = float(np.finfo(float).eps)
SPANNED = 1e-10  # part of a start outside the row space, relative, that is rounding (measured up to 1e-11)
SHARP = 1e-11  # relative error of f by rounding in the factor with which a point still belongs to the model (chosen)
Iterates = Callable[[Point], Iterator[tuple[Point, dict[str, float]]]]


class Lifted(Point):
    """The point ``Q y``: value and gradient from y, the entries of x once they are asked for.

    Parameters
    ----------
    y : Point
        The point in the row space.
    span : RowSpan
        The basis.
    start : Point
        A point of the run.
    """

    __slots__ = ("_lift", "_shape", "_span", "_start", "_x", "_y", "left")
    provisional = True

    def __init__(self, y: Point, span: Any, start: Point) -> None:
        super().__init__(start.objective, start.x, start.counts, start.metric, start.enough, trial=True)
        self._x: Array | None = None
        self._span, self._start, self.left = span, start, False
        k = getattr(start.objective, "k", 1)
        self._shape = shape = (-1,) if k == 1 else (-1, k)
        self._lift: Callable[[Array], Array] = lambda v: span.vector(v.reshape(shape)).reshape(-1)
        self._y, self._f, self._g = y, y.f, self._lift(y.g)

    @property
    def x(self) -> Array:
        """``Q y``."""
        if self._x is None:
            self._x = self._lift(self._y.x)
        return self._x

    @x.setter
    def x(self, value: Array) -> None:
        """Ignore what the base class sets."""

    def sharp(self) -> bool:
        """Whether f is that of the data but for rounding."""
        y, length = self._y, self._span.length(self._y.x.reshape(self._shape))
        slope = float(np.linalg.norm(y.z.R.T * self._span.norms))
        error = EPS * length * (slope + 0.5 * float(y.objective.ridge[0]) * length)  # type: ignore[attr-defined]
        return bool(error <= SHARP * abs(self.f))

    def settled(self, leave: bool = False) -> Point:
        """Return the point by the data; with `leave` the run goes on from it, by the data."""
        if self._settled is None:
            self._settled = self._start.at(self.x)
        self.left |= leave
        return self._settled


def through_rows(iterates: Iterates, x: Point, patient: bool = False) -> Iterator[tuple[Point, dict[str, float]]]:
    """Run `iterates` from `x` in the space of the rows where that is cheaper, else as it is.

    Parameters
    ----------
    iterates : callable
        A solver's generator.
    x : Point
        The start.
    patient : bool, default=False
        Whether the solver makes quick steps before it asks for the Gram matrix of the rows.

    Yields
    ------
    tuple of Point and dict
        As the solver.
    """
    if patient:
        for x, scalars in _by_data(iterates, x):  # noqa: B020
            yield x, scalars
    space = _space(x)
    if space is None:
        yield from iterates(x)
        return
    problem, span, begin = space
    y = Point(problem, begin, x.counts, x.metric, x.enough / np.sqrt(x.x.size))
    last: Point = x
    try:
        for y, scalars in iterates(y):  # noqa: B020
            lifted = Lifted(y, span, x)
            choices = x.counts.choices  # which speak of y
            choices["curvature"] = f"{choices.get('curvature', '')}, in the row space of {x.x.size} variables"
            if not lifted.sharp():
                if lifted.settled().f < last.f:
                    last = lifted.settled()
                    yield last, scalars
                break
            last = lifted
            yield last, scalars
            if lifted.left:
                break
    except StepFailure:  # of the model: the data have the last word
        pass
    yield from iterates(last.settled())


def _by_data(iterates: Iterates, x: Point) -> Iterator[tuple[Point, dict[str, float]]]:
    """Yield the steps by the data themselves: all of them, or those before the solver asks for the Gram matrix."""
    form = x.hess() if x.objective.offers("row_space") else None
    if isinstance(form, Gram) and prefers_row_space(form, x) and dear_rows(form, x):
        for x, scalars in iterates(x):  # noqa: B020
            yield x, scalars
            if x.counts.rows:
                break


def _space(x: Point) -> Any:
    """The model in the row space, the basis and the start; None where that is dearer or x is outside."""
    form = x.hess() if x.objective.offers("row_space") else None
    if not isinstance(form, Gram) or not prefers_row_space(form, x):
        return None
    space = x.objective.row_space()  # type: ignore[attr-defined]
    x.counts.nhev += space is not None  # the Gram matrix of the rows
    if space is None:
        return None
    problem, span = space
    start, shape = np.zeros(problem.n), (-1,) if form.k == 1 else (-1, form.k)
    if x.x.any():
        start = span.coordinates(x.x.reshape(shape)).reshape(-1)
        outside = x.x - span.vector(start.reshape(shape)).reshape(-1)
        if np.abs(outside).max() > SPANNED * np.abs(x.x).max():
            return None
    return problem, span, start
