"""The door of the bilevel package: one table of methods, loaded when they are asked for."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from importlib import import_module
from numbers import Real
from typing import Any

import numpy as np

from gnsopt._typing import ArrayLike
from gnsopt.arguments import as_number, shown
from gnsopt.bilevel.checks import check_oracles, mu_holds
from gnsopt.bilevel.problem import BilevelProblem, as_bounds, as_start
from gnsopt.bilevel.result import BilevelResult
from gnsopt.bilevel.run import Method, Run, drive
from gnsopt.solver import suggest

METHODS = {
    "maid-qn": "gnsopt.bilevel.maid_qn:MaidQN",
    "maid": "gnsopt.bilevel.maid:Maid",
    "hoag": "gnsopt.bilevel.hoag:Hoag",
    "implicit": "gnsopt.bilevel.implicit:Implicit",
    "penalty": "gnsopt.bilevel.penalty:Penalty",
    "f2ba": "gnsopt.bilevel.f2ba:F2BA",
    "bome": "gnsopt.bilevel.bome:Bome",
    "scalebio": "gnsopt.bilevel.scalebio:ScaleBiO",
    "multi-block": "gnsopt.bilevel.multiblock:BlockTracking",
}


def load(name: str) -> Any:
    """Return the class of a method.

    Parameters
    ----------
    name : str
        A name of `METHODS`.

    Returns
    -------
    type
        A subclass of `Method`.

    Raises
    ------
    ValueError
        If the name is unknown.
    """
    if not isinstance(name, str) or name.lower() not in METHODS:
        raise ValueError(f"method={name!r} is unknown; {suggest(str(name), METHODS)}")
    module, _, attribute = METHODS[name.lower()].partition(":")
    return getattr(import_module(module), attribute)


@np.errstate(over="ignore", invalid="ignore", divide="ignore")  # trials lie anywhere; what is not finite is rejected
def minimize(
    problem: BilevelProblem,
    theta0: ArrayLike | float,
    method: str | Method = "maid-qn",
    *,
    bounds: Any = None,
    tol: float = 1e-6,
    certified: bool = False,
    maxiter: int = 1000,
    maxtime: float | None = None,
    maxwork: float | None = None,
    callback: Callable[..., Any] | None = None,
    keep_theta: bool = False,
    check: bool = True,
    **options: Any,
) -> BilevelResult:
    r"""Minimise ``f(theta) = g(x*(theta), theta)`` with ``x*(theta) = argmin_x h(x, theta)`` over a box.

    Parameters
    ----------
    problem : BilevelProblem
        The oracles.
    theta0 : array_like of shape (d,) or float
        Start; a number stands for a vector of it.
    method : str or Method, default="maid-qn"
        A name of `gnsopt.bilevel.METHODS`, or an instance.
    bounds : pair of array_like, optional
        Box of theta; the problem's own by default.
    tol : float, default=1e-6
        Stop when the norm of the projected hypergradient plus its error bound is at most this.
    certified : bool, default=False
        Whether steps, interval and stop rule use rigorous bounds, which need ``mu``, ``constants`` and ``J_norm``.
        Otherwise the curvature of the lower level that enters the bounds is measured along the way, which is orders
        of magnitude cheaper, and the interval is an estimate.
    maxiter : int, default=1000
        Accepted outer steps at the most.
    maxtime : float, optional
        Seconds at the most; no limit by default.
    maxwork : float, optional
        Work at the most, in units of a lower gradient or a product with a Hessian.
    callback : callable, optional
        ``callback(iterate)`` with ``iterate.theta``, ``.x``, ``.fun``, ``.z``, ``.work``; StopIteration ends the run.
    keep_theta : bool, default=False
        Keep the iterates in ``result.trace.x``.
    check : bool, default=True
        Call every oracle once at the start and check shapes, finiteness and `mu`; and `mu` at the result, which
        is none where `mu` is wrong (status ``"wrong-mu"``).
    **options : dict
        Fields of the method.

    Returns
    -------
    BilevelResult
        ``theta x fun interval hypergradient norm error status certified nit work counts trace``.

    Raises
    ------
    TypeError, ValueError
        For misuse, before any work: a missing oracle, a wrong shape, theta0 outside the box, a `mu` that is too large.

    Warns
    -----
    RuntimeWarning
        If certificates are asked for and the problem does not declare its constants.

    Examples
    --------
    ``h = (x - theta)^2/2`` and ``g = (x - 1)^2/2``: the lower solution is theta, so theta is to be 1.

    >>> from gnsopt import bilevel
    >>> problem = bilevel.BilevelProblem(
    ...     n=1,
    ...     d=1,
    ...     lower=lambda x, theta: (0.5 * float((x - theta) @ (x - theta)), x - theta),
    ...     hvp=lambda x, theta: lambda v: v,
    ...     cross_t=lambda x, theta, q: -q,
    ...     upper=lambda x, theta: (0.5 * float((x - 1) @ (x - 1)), x - 1, None),
    ...     mu=1.0,
    ... )
    >>> result = bilevel.minimize(problem, 0.0, tol=1e-8)
    >>> print(result.status, result.theta.round(6))
    stationary [1.]
    """
    if not isinstance(problem, BilevelProblem):
        raise TypeError(f"problem={type(problem).__name__} is not a BilevelProblem")
    solver = method if isinstance(method, Method) and not options else _build(method, options)
    low, high = problem.bounds if bounds is None else as_bounds(bounds, problem.d)
    theta = as_start(theta0, low, high, "theta0")
    if not (isinstance(tol, Real) and as_number(tol, "tol") >= 0):
        raise ValueError(f"tol={shown(tol)} must be a number >= 0")
    for name, value in (("maxtime", maxtime), ("maxwork", maxwork)):
        if not (value is None or (isinstance(value, Real) and as_number(value, name) > 0)):
            raise ValueError(f"{name}={shown(value)} must be a positive number or None")
    if not (isinstance(maxiter, int | np.integer) and maxiter >= 0):
        raise ValueError(f"maxiter={maxiter!r} must be an integer >= 0")
    if not (callback is None or callable(callback)):
        raise TypeError(f"callback={shown(callback)} is not callable; pass callback(iterate)")
    for block in problem.blocks:
        for name in solver.requires:
            block.require(name, f"method {solver.name!r}")
    if certified and not problem.certifiable:
        warnings.warn(
            "certified=True needs mu, constants and J_norm of the problem; going on with estimates",
            RuntimeWarning,
            stacklevel=2,
        )
        certified = False
    if check:
        for block in problem.blocks:
            check_oracles(block, theta, solver.requires)
    seconds, work = (np.inf if limit is None else float(limit) for limit in (maxtime, maxwork))
    run = Run(problem, theta, low, high, float(tol), bool(certified), seconds, work)
    result = drive(solver, run, maxiter=int(maxiter), callback=callback, keep_theta=keep_theta)
    if check and not mu_holds(problem, result.theta, result.x):
        result.certified = False
        if result.status not in ("interrupted", "not-finite", "not-convex"):
            result.status = "wrong-mu"
    return result


def _build(method: Any, options: dict[str, Any]) -> Method:
    """Return the method with its options; an unknown one is an error with a suggestion."""
    if isinstance(method, Method):
        cls: Any = type(method)
        make: Any = partial(replace, method)
    else:
        cls = make = load(method)
    known = [f.name for f in fields(cls)]
    for name in options:
        if name not in known:
            raise ValueError(f"{name!r} is unknown to method {cls.name!r}; {suggest(name, known)}")
    if isinstance(method, Method) and "preset" in options:
        raise ValueError("preset: an instance has its fields already; give the preset where it is made")
    made: Method = make(**options)
    return made
