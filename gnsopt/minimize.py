"""The functional door: ``gnsopt.minimize(problem_or_fun, x0, method="auto", ...)``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scipy.optimize import OptimizeResult

from gnsopt.arguments import shown
from gnsopt.constrained import AdaSketchNewton, ConstrainedProblem
from gnsopt.objective import Callables, Objective
from gnsopt.solver import RUN_OPTIONS, Solver, check_x0, suggest
from gnsopt.solvers import SOLVERS
from gnsopt.solvers.named import find_solver, solver_names


def minimize(
    problem_or_fun: Objective | ConstrainedProblem | Callable[..., Any],
    x0: Any = None,
    args: tuple[Any, ...] = (),
    method: str | Solver = "auto",
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
    problem_or_fun : Objective, ConstrainedProblem or callable
        A problem (`gnsopt.Logistic`, ...), one with its constraints, or ``fun(x, *args) -> float`` as in SciPy.
    x0 : array_like of shape (n,), optional
        Start; may be left out for a problem, which then starts at its own (zero).
    args : tuple, default=()
        Extra arguments of the callables.
    method : str or Solver, default="auto"
        ``"gns"``, ``"super-newton"``, ``"cubic-newton"``, ``"gradient"``, ``"fast-gradient"``, ... without constraints,
        ``"adasketch-newton"`` with them, or an instance. ``"auto"`` is ``"cubic-newton"`` for a callable with `hess`
        (fewer Hessians on general, indefinite problems; measured on CUTEst), ``"adasketch-newton"`` with constraints or
        bounds, ``"line-newton"`` for convex problems with a cheap `line` (linear models: half the steps of gns), and
        else ``"gns"``, whose systems one factorisation or a few products solve; also where `options` has fields of it.
    jac : callable, bool or str, optional
        Gradient of a callable; True if `fun` returns both. None means central differences of `fun`.
    hess, hessp : callable, optional
        Hessian or its products; with neither, products are differences of the gradient, counted.
    constraints : LinearConstraint, NonlinearConstraint, dict, gnsopt.constrained.Constraints, or a sequence of these
        Equality constraints as SciPy knows them, see `gnsopt.constrained.boundary`; refused by solvers without.
    callback : callable, optional
        ``callback(xk)`` or ``callback(intermediate_result=...)``.
    tol : float, optional
        Sets ``gtol``, the tolerance on the infinity norm of the gradient or on the KKT residual (1e-8 by default).
    options : dict, optional
        Run options (``gtol norm f_target maxiter maxtime keep_x disp stop``) and fields of the solver.
    bounds : Bounds or sequence of pairs
        Fixed variables only; refused by solvers without constraints.

    Returns
    -------
    OptimizeResult
        ``x fun jac nit nfev njev nhev nhessp nsolve success status message trace curvature``; with constraints as
        `gnsopt.AdaSketchNewton.minimize` says.

    Raises
    ------
    TypeError, ValueError
        For misuse, before any work.
    """
    if not (options is None or (isinstance(options, dict) and all(isinstance(name, str) for name in options))):
        raise TypeError(f"options={shown(options)} must be a dict of names and values")
    options = dict(options or {})
    if isinstance(method, str) and method == "auto":
        method = _automatic(problem_or_fun, bounds, constraints, hess, options)
    solver = _solver(method)
    if isinstance(solver, AdaSketchNewton):
        given = {"args": args or None, "jac": jac, "hess": hess, "hessp": hessp}
        return _constrained(solver, problem_or_fun, x0, given, constraints, bounds, callback, tol, options)
    if isinstance(problem_or_fun, ConstrainedProblem):
        raise ValueError(f"method={method!r} solves unconstrained problems; use method='adasketch-newton'")
    known = (*RUN_OPTIONS, *solver.settings())
    solver.refuse_constraints(options.get("bounds"), options.get("constraints"))
    for name in options:
        if name not in known:
            raise ValueError(f"options: {name!r} is unknown to {type(solver).__name__}; {suggest(name, known)}")
    solver.refuse_constraints(bounds, constraints)
    problem, x = _objective(problem_or_fun, x0, {"args": args or None, "jac": jac, "hess": hess, "hessp": hessp})
    return solver.run(problem, x, callback, tol, options)


def _automatic(problem_or_fun: Any, bounds: Any, constraints: Any, hess: Any, options: dict[str, Any]) -> str:
    if isinstance(problem_or_fun, ConstrainedProblem) or bounds is not None or _given(constraints):
        return "adasketch-newton"
    if isinstance(problem_or_fun, Objective):
        better = "line-newton" if problem_or_fun.convex and problem_or_fun.offers("line") else "gns"
    else:
        better = "cubic-newton" if callable(hess) else "gns"
    asked = {*options} & ({*SOLVERS["gns"].settings()} - {*SOLVERS[better].settings()})  # fields of gns alone
    return "gns" if asked else better


def _given(constraints: Any) -> bool:
    return constraints is not None and not (isinstance(constraints, list | tuple) and len(constraints) == 0)


def _constrained(
    solver: AdaSketchNewton,
    problem_or_fun: Any,
    x0: Any,
    given: dict[str, Any],
    constraints: Any,
    bounds: Any,
    callback: Any,
    tol: float | None,
    options: dict[str, Any],
) -> OptimizeResult:
    if isinstance(problem_or_fun, ConstrainedProblem):
        _refuse(problem_or_fun, given)
        return solver.run_constrained(problem_or_fun, x0, constraints, bounds, callback, tol, options)
    problem, x = _objective(problem_or_fun, x0, given)
    return solver.run_constrained(problem, x, constraints, bounds, callback, tol, options)


def _objective(problem_or_fun: Any, x0: Any, given: dict[str, Any]) -> tuple[Objective, Any]:
    """Return the objective and the start: a problem as it is, a callable with what is `given` of it."""
    if isinstance(problem_or_fun, Objective):
        _refuse(problem_or_fun, given)
        return problem_or_fun, x0
    if not callable(problem_or_fun):
        raise TypeError(f"problem_or_fun={shown(problem_or_fun)} is neither a gnsopt problem nor a callable")
    if x0 is None:
        raise ValueError("x0=None: a callable needs a starting point, an array of shape (n,)")
    args = () if given["args"] is None else given["args"]
    args = args if isinstance(args, tuple) else (args,)
    x = check_x0(x0, None)
    return Callables(problem_or_fun, x.size, args, given["jac"], given["hess"], given["hessp"]), x


def _refuse(problem: Any, given: dict[str, Any]) -> None:
    names = [name for name, value in given.items() if value is not None]
    if names:
        raise ValueError(f"{names[0]}: a {type(problem).__name__} brings its own derivatives; leave {names[0]} out")


def _solver(method: str | Solver) -> Solver:
    if isinstance(method, Solver):
        return method
    if isinstance(method, type) and issubclass(method, Solver):
        return method()
    if isinstance(method, str) and method.lower() == "adasketch-newton":
        return AdaSketchNewton()
    solver = find_solver(method) if isinstance(method, str) else None
    if solver is None:
        known = (*solver_names(), "adasketch-newton", "auto")
        raise ValueError(f"method={shown(method)} is unknown; {suggest(str(method), known)}")
    return solver()
