"""``min f(x)`` subject to ``c(x) = 0``: an objective of the library and equality constraints."""

from __future__ import annotations

from typing import Any

import numpy as np

from gnsopt._typing import Array, ArrayLike
from gnsopt.constrained.constraints import Constraints
from gnsopt.objective import Objective


class Constant(Objective):
    """The zero function: what a system of equations minimises.

    Parameters
    ----------
    n : int
        Number of variables.
    """

    convex = True

    def __init__(self, n: int) -> None:
        self.n = n

    def fun(self, x: Array, z: Any) -> float:
        """Return zero."""
        return 0.0

    def grad(self, x: Array, z: Any) -> Array:
        """Return zeros."""
        return np.zeros(self.n)

    def hess(self, x: Array, z: Any) -> Any:
        """Return the zero matrix."""
        return np.zeros((self.n, self.n))


class ConstrainedProblem:
    """``min f(x)`` subject to ``c(x) = 0``; the Lagrangian is ``L = f + y'c``.

    Parameters
    ----------
    objective : Objective or None
        f; None for a system of equations.
    constraints : Constraints
        c.
    x0 : array_like of shape (n,), optional
        Start; the objective's own by default.
    y0 : array_like of shape (m,), optional
        First multipliers; a solver that needs none of its own takes the least-squares ones by default.

    Raises
    ------
    TypeError, ValueError
        If a part is of the wrong kind or shape.
    """

    def __init__(
        self,
        objective: Objective | None,
        constraints: Constraints,
        x0: ArrayLike | None = None,
        y0: ArrayLike | None = None,
    ) -> None:
        if not isinstance(constraints, Constraints):
            raise TypeError(f"constraints={type(constraints).__name__} are not gnsopt.constrained.Constraints")
        objective = Constant(constraints.n) if objective is None else objective
        if not isinstance(objective, Objective):
            raise TypeError(f"objective={type(objective).__name__} is not an Objective; see gnsopt.minimize")
        if objective.n != constraints.n:
            raise ValueError(f"constraints have {constraints.n} variables; the objective has {objective.n}")
        self.objective, self.constraints = objective, constraints
        self.n, self.m = objective.n, constraints.m
        self.x0 = objective.start() if x0 is None else vector(x0, self.n, "x0")
        self.y0 = None if y0 is None else vector(y0, self.m, "y0")


def vector(v: ArrayLike, size: int, name: str) -> Array:
    """Return a float64 copy of a vector of known length.

    Parameters
    ----------
    v : array_like
        The vector.
    size : int
        Its length.
    name : str
        What to call it in an error.

    Returns
    -------
    ndarray of shape (size,)
        The copy.

    Raises
    ------
    ValueError
        If it is not a real vector of that length.
    """
    try:
        raw = np.asarray("" if np.ma.is_masked(v) else v)
    except ValueError:
        raise ValueError(f"{name} is ragged; it must hold {size} real numbers") from None
    if raw.dtype.kind not in "fiub" or raw.ndim > 1 or raw.size != size:
        raise ValueError(f"{name} has shape {raw.shape} and dtype {raw.dtype}; it must hold {size} real numbers")
    return np.array(raw, dtype=float).reshape(-1)
