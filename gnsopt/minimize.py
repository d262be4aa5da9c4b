"""The functional door: ``gnsopt.minimize(problem_or_fun, x0, method="gns", ...)``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scipy.optimize import OptimizeResult

from gnsopt.objective import Callables, Objective
from gnsopt.solver import RUN_OPTIONS, Solver, check_x0, suggest
from gnsopt.solvers import SOLVERS


def minimize(
    problem_or_fun: Objective | Callable[..., Any],
    x0: Any = None,
    args: tuple[Any, ...] = (),
    method: str | Solver = "gns",
    jac: Any = None,
    hess: Any = None,
    hessp: Any = None,
    constraints: Any = (),
    callback: Callable[..., Any] | None = None,
    tol: float | None = None,
    options: dict[str, Any] | None = None,
    *,
    bounds: Any = None,
) -> OptimizeResult:
    """Minimise a problem of the library or a callable.

    Parameters
    ----------
    problem_or_fun : Objective or callable
        A problem (`gnsopt.Logistic`, ...), or ``fun(x, *args) -> float`` as in SciPy.
    x0 : array_like of shape (n,), optional
        Start; may be left out for a problem, which then starts at its own (zero).
    args : tuple, default=()
        Extra arguments of the callables.
    method : str or Solver, default="gns"
        ``"gns"``, ``"super-newton"``, ``"cubic-newton"``, ``"gradient"``, ``"fast-gradient"``, or an instance.
    jac : callable, bool or str, optional
        Gradient of a callable; True if `fun` returns both. None means central differences of `fun`.
    hess, hessp : callable, optional
        Hessian or its products; with neither, products are differences of the gradient, counted.
    constraints : object
        Refused by solvers of unconstrained problems.
    callback : callable, optional
        ``callback(xk)`` or ``callback(intermediate_result=...)``.
    tol : float, optional
        Sets ``gtol``, the tolerance on the infinity norm of the gradient (1e-8 by default).
    options : dict, optional
        Run options (``gtol norm f_target maxiter maxtime keep_x disp stop``) and fields of the solver.
    bounds : object
        Refused by solvers of unconstrained problems.

    Returns
    -------
    OptimizeResult
        ``x fun jac nit nfev njev nhev nhessp nsolve success status message trace curvature``.

    Raises
    ------
    TypeError, ValueError
        For misuse, before any work.
    """
    solver = _solver(method)
    options = dict(options or {})
    known = (*RUN_OPTIONS, *solver.settings())
    solver.refuse_constraints(options.get("bounds"), options.get("constraints"))
    for name in options:
        if name not in known:
            raise ValueError(f"options: {name!r} is unknown to {type(solver).__name__}; {suggest(name, known)}")
    solver.refuse_constraints(bounds, constraints)
    if isinstance(problem_or_fun, Objective):
        given = [
            name
            for name, value in (("args", args or None), ("jac", jac), ("hess", hess), ("hessp", hessp))
            if value is not None
        ]
        if given:
            raise ValueError(
                f"{given[0]}: a {type(problem_or_fun).__name__} brings its own derivatives; leave {given[0]} out"
            )
        return solver.run(problem_or_fun, x0, callback, tol, options)
    if not callable(problem_or_fun):
        raise TypeError(f"problem_or_fun={problem_or_fun!r} is neither a gnsopt problem nor a callable")
    if x0 is None:
        raise ValueError("x0=None: a callable needs a starting point, an array of shape (n,)")
    args = args if isinstance(args, tuple) else (args,)
    x = check_x0(x0, None)
    return solver.run(Callables(problem_or_fun, x.size, args, jac, hess, hessp), x, callback, tol, options)


def _solver(method: str | Solver) -> Solver:
    if isinstance(method, Solver):
        return method
    if isinstance(method, type) and issubclass(method, Solver):
        return method()
    if not isinstance(method, str) or method.lower() not in SOLVERS:
        raise ValueError(f"method={method!r} is unknown; {suggest(str(method), SOLVERS)}")
    return SOLVERS[method.lower()]()
