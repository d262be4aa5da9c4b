"""Bilevel problems whose lower variables are confined to a closed convex set Y, for the value-function methods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gnsopt._typing import Array
from gnsopt.arguments import shown
from gnsopt.bilevel.problem import BilevelProblem, as_bounds, as_vector
from gnsopt.exceptions import MissingRequirement


class ConstrainedProblem(BilevelProblem):
    r"""A bilevel problem with ``x*(theta) = argmin_{x in Y} h(x, theta)``, for ``method="penalty"``.

    Implicit gradients do not hold where a constraint is active, so there is no ``cross_t`` and the other methods refuse
    the problem. Where h is not strongly convex, leave out `mu`.

    Parameters
    ----------
    n, d : int
        Numbers of lower and upper variables.
    lower_bounds : pair of array_like, optional
        Y as a box: lower and upper bounds of x, each a number or of shape (n,).
    project : callable, optional
        ``project(x)``, the Euclidean projection on Y; give this or `lower_bounds`.
    **oracles : object
        As in `BilevelProblem`.

    Raises
    ------
    TypeError, ValueError
        If an oracle is not callable, both or neither of `lower_bounds` and `project` are given, or `cross_t` is.
    """

    def __init__(
        self,
        n: int,
        d: int,
        *,
        lower_bounds: Any = None,
        project: Callable[[Array], Array] | None = None,
        **oracles: Any,
    ) -> None:
        if (lower_bounds is None) == (project is None):
            raise ValueError("give one of lower_bounds and project; without constraints use BilevelProblem")
        if project is not None and not callable(project):
            raise TypeError(f"project={shown(project)} must be callable")
        if oracles.get("cross_t") is not None:
            raise ValueError("cross_t: implicit gradients do not hold under constraints of x; leave it out")
        super().__init__(n, d, **oracles)
        self.box: tuple[Array, Array] | None = None
        if lower_bounds is not None:
            try:
                self.box = as_bounds(lower_bounds, self.n)
            except ValueError as error:
                raise ValueError(f"lower_{error}") from None
        self._project = project
        moved = self.project(self._x0)
        if not np.allclose(moved, self.project(moved), rtol=1e-8, atol=1e-8):
            raise ValueError("project: projecting twice is not projecting once; it must be the projection on Y")
        self._x0 = moved

    def project(self, x: Array) -> Array:
        """Return the projection of `x` on Y."""
        if self.box is not None:
            return np.clip(x, *self.box)
        return as_vector(self._project(x.copy()), self.n, "project(x)")  # type: ignore[misc]

    def require(self, name: str, what: str) -> None:
        """Raise MissingRequirement unless the oracle `name` is there; ``cross_t`` never is.

        Parameters
        ----------
        name : str
            Oracle.
        what : str
            What needs it.

        Raises
        ------
        MissingRequirement
            Naming the oracle and the cure.
        """
        if name == "cross_t":
            raise MissingRequirement(f"x is constrained, and {what} knows no constraints of x: use method='penalty'")
        super().require(name, what)


def refuse_constraints(problem: BilevelProblem, method: str) -> None:
    """Raise ValueError where the lower variables are constrained.

    Parameters
    ----------
    problem : BilevelProblem
        Problem.
    method : str
        Name of a method that knows no constraints of x.

    Raises
    ------
    ValueError
        With the method to use instead.
    """
    if any(isinstance(block, ConstrainedProblem) for block in problem.blocks):
        raise ValueError(f"problem: its lower variables are constrained, which {method!r} does not know; use 'penalty'")
