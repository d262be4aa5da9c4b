"""SciPy's constraint objects and dicts as equality constraints of the library.

Understood: `LinearConstraint`, `NonlinearConstraint` and ``{"type": "eq"}`` whose two sides are equal, fixed variables
in bounds, and sides that are infinite (no constraint). A finite inequality or bound is refused with a pointer to
solvers that treat them: a method for equalities would solve them badly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, NonlinearConstraint
from scipy.sparse import csr_array, issparse

from gnsopt._typing import Array
from gnsopt.constrained.constraints import Constraints, Equalities, LinearEqualities, Stacked
from gnsopt.constrained.matrices import csr
from gnsopt.constrained.problem import ConstrainedProblem
from gnsopt.objective import Objective
from gnsopt.solver import suggest

REFUSAL = (
    "AdaSketchNewton treats equality constraints; for inequalities and bounds use "
    "scipy.optimize.minimize(method='trust-constr') or 'SLSQP', or Ipopt (package cyipopt)"
)
KEYS = ("type", "fun", "jac", "hess", "args")  # of a dict; "hess" is of this library


def from_scipy(objective: Objective, x0: Array, constraints: Any, bounds: Any = None) -> ConstrainedProblem:
    """Return the constrained problem.

    Parameters
    ----------
    objective : Objective
        f.
    x0 : ndarray of shape (n,)
        Start, where callables are asked for their number of values.
    constraints : Constraints, LinearConstraint, NonlinearConstraint, dict, or a sequence of these
        The constraints; none is allowed.
    bounds : Bounds or sequence of pairs, optional
        Only fixed and free variables are understood.

    Returns
    -------
    ConstrainedProblem
        The problem.

    Raises
    ------
    TypeError, ValueError
        For what is not understood, misshapen, or an inequality.
    """
    n = objective.n
    listed = constraints if isinstance(constraints, list | tuple) else [] if constraints is None else [constraints]
    parts = [part for one in listed for part in converted(one, x0)]
    parts += fixed(bounds, n)
    for part in parts:
        if part.n != n:
            raise ValueError(f"constraints have {part.n} variables; x0 has {n}")
    if not parts:
        parts = [LinearEqualities(np.zeros((0, n)), np.zeros(0))]
    return ConstrainedProblem(objective, parts[0] if len(parts) == 1 else Stacked(parts), x0)


def converted(one: Any, x0: Array) -> list[Constraints]:
    """Return one SciPy constraint as constraints of the library, none where it restricts nothing.

    Parameters
    ----------
    one : Constraints, LinearConstraint, NonlinearConstraint or dict
        The constraint.
    x0 : ndarray of shape (n,)
        Start.

    Returns
    -------
    list of Constraints
        One, or none.

    Raises
    ------
    TypeError, ValueError
        As in `from_scipy`.
    """
    if isinstance(one, Constraints):
        return [one]
    if isinstance(one, LinearConstraint):
        A = csr(one.A) if issparse(one.A) else np.atleast_2d(np.asarray(one.A, dtype=float))
        if A.shape[1] != x0.size:
            raise ValueError(f"constraints: A has {A.shape[1]} columns; x0 has {x0.size} variables")
        keep, target = sides(one.lb, one.ub, A.shape[0])
        return [LinearEqualities(A[keep], target)] if keep.size else []
    if isinstance(one, NonlinearConstraint):
        hess = one.hess if callable(one.hess) else None
        return _nonlinear(one.fun, one.jac, hess, one.lb, one.ub, x0, ())
    if isinstance(one, dict):
        for key in one:
            if key not in KEYS:
                raise ValueError(f"constraints: the dict's key {key!r} is unknown; {suggest(str(key), KEYS)}")
        if str(one.get("type")).lower() != "eq":
            raise ValueError(f"constraints: type={one.get('type')!r}: {REFUSAL}")
        if "fun" not in one:
            raise ValueError("constraints: the dict has no 'fun'")
        args = one.get("args", ())
        return _nonlinear(
            one["fun"], one.get("jac"), one.get("hess"), 0.0, 0.0, x0, tuple(args) if np.iterable(args) else (args,)
        )
    raise TypeError(
        f"constraints: {type(one).__name__} is not understood; pass NonlinearConstraint, LinearConstraint or a dict"
    )


def _nonlinear(
    fun: Callable[..., Any], jac: Any, hess: Any, lb: Any, ub: Any, x0: Array, args: tuple[Any, ...]
) -> list[Constraints]:
    if not callable(fun):
        raise TypeError(f"constraints: fun={fun!r} is not callable")
    at_start = _numbers(fun, fun(x0.copy(), *args))
    if at_start.ndim > 1:
        raise ValueError(f"constraints: fun returned shape {at_start.shape}; it must be a vector")
    m = at_start.size
    keep, target = sides(lb, ub, m)
    if not keep.size:
        return []
    jac = jac if callable(jac) else None
    if keep.size == m:
        part = Equalities(fun, x0.size, m, jac, hess, target, args)
    else:
        some, rows, curved = _kept(fun, jac, hess, keep, m)
        part = Equalities(some, x0.size, keep.size, rows, curved, target, args)
    part.jac(x0)  # a wrong shape shows before any work
    return [part]


def _numbers(fun: Callable[..., Any], values: Any) -> Array:
    """Return the values of `fun` as floats; NumPy would take None for NaN and a string for the number in it."""
    try:
        found = np.asarray(values)
        if found.dtype.kind == "O":
            found = np.vectorize(float, otypes=[float])(found)
    except (TypeError, ValueError):
        found = np.array("")
    if found.dtype.kind not in "biuf":
        raise TypeError(f"constraints: fun={fun!r} returned {values!r}; it must return a vector of real numbers")
    return found.astype(float)


def _kept(fun: Callable[..., Any], jac: Any, hess: Any, keep: Array, m: int) -> tuple[Any, ...]:
    """Return the callables of the rows that restrict something."""

    def spread(y: Array) -> Array:
        full = np.zeros(m)
        full[keep] = y
        return full

    def some(x: Array, *a: Any) -> Array:
        return np.asarray(fun(x, *a), dtype=float).reshape(-1)[keep]

    def rows(x: Array, *a: Any) -> Any:
        G = jac(x, *a)
        return csr(G)[keep] if issparse(G) else np.asarray(G, dtype=float).reshape(m, -1)[keep]

    def curved(x: Array, y: Array, *a: Any) -> Any:
        return hess(x, spread(y), *a)

    return some, None if jac is None else rows, None if hess is None else curved


def sides(lb: Any, ub: Any, m: int) -> tuple[Any, Array]:
    """Return the rows that are equalities and their values; raise ValueError for inequalities.

    Parameters
    ----------
    lb, ub : array_like
        Sides, broadcast to m.
    m : int
        Number of rows.

    Returns
    -------
    keep : ndarray of int
        Rows whose sides are finite.
    target : ndarray
        Their values.

    Raises
    ------
    ValueError
        For sides that do not fit, contradict each other or differ.
    """
    try:
        low = np.broadcast_to(np.asarray(lb, dtype=float), (m,))
        high = np.broadcast_to(np.asarray(ub, dtype=float), (m,))
    except ValueError:
        raise ValueError(
            f"constraints: lb and ub have shapes {np.shape(lb)} and {np.shape(ub)}; fun returns {m} values"
        ) from None
    if np.isnan(low).any() or np.isnan(high).any():
        raise ValueError("constraints: lb or ub is NaN")
    if (low > high).any() or (low == np.inf).any() or (high == -np.inf).any():
        raise ValueError("constraints: lb is above ub, so that nothing is feasible")
    free = np.isneginf(low) & np.isposinf(high)
    if (low[~free] != high[~free]).any():
        raise ValueError(f"constraints: lb < ub: {REFUSAL}")
    keep = np.flatnonzero(~free)
    return keep, np.array(low[keep])


def fixed(bounds: Any, n: int) -> list[Constraints]:
    """Return fixed variables as linear constraints.

    Parameters
    ----------
    bounds : Bounds, sequence of pairs or None
        The bounds.
    n : int
        Number of variables.

    Returns
    -------
    list of Constraints
        One, or none.

    Raises
    ------
    TypeError, ValueError
        For what is not pairs, a bound that is an inequality, or a wrong number of bounds.
    """
    if bounds is None:
        return []
    if isinstance(bounds, Bounds):
        low, high = bounds.lb, bounds.ub
    else:
        try:
            pairs = [(-np.inf if a is None else float(a), np.inf if b is None else float(b)) for a, b in bounds]
        except (TypeError, ValueError):
            raise TypeError(f"bounds={bounds!r}: pass Bounds, or a pair (low, high) for each variable") from None
        if len(pairs) != n:
            raise ValueError(f"bounds: there are {len(pairs)} pairs for {n} variables")
        low, high = np.array(pairs, dtype=float).T
    try:
        keep, target = sides(low, high, n)
    except ValueError as error:
        raise ValueError(str(error).replace("constraints", "bounds", 1)) from None
    if not keep.size:
        return []
    rows = csr_array((np.ones(keep.size), (np.arange(keep.size), keep)), shape=(keep.size, n))
    return [LinearEqualities(rows if n > 500 else rows.toarray(), target)]
