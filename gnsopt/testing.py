"""Public checks of what others may write: objectives, curvature models and solvers.

Each check takes the object itself, tries it on what it promises, and raises AssertionError with a message that begins
with the name of the property that fails. Nothing here needs a test framework.

=====================  ===============================================================================================
`check_objective`      derivatives by the slopes of their Taylor errors, structure, exact differences, purity
`check_curvature`      shifted solves against products, definiteness, counts, no memory that leaks
`check_solver`         the contract of a run: result, trace, stopping, callbacks, interrupts, doors, determinism
`check_result`         what every single result must satisfy; part of `check_solver`
=====================  ===============================================================================================
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import scipy.optimize
from scipy.linalg import eigh
from scipy.optimize import OptimizeResult, OptimizeWarning

from gnsopt._typing import Array, ArrayLike
from gnsopt.arguments import as_seed, check_kind
from gnsopt.curvature import resolve
from gnsopt.curvature import start as start_curvature
from gnsopt.driver import ROUNDING
from gnsopt.exceptions import MissingRequirement, NotPositiveDefinite
from gnsopt.linalg.forms import Form, as_form
from gnsopt.linalg.metric import as_metric
from gnsopt.minimize import minimize
from gnsopt.objective import Objective
from gnsopt.point import COUNTS, Counts, Point
from gnsopt.solver import Solver
from gnsopt.stopping import Status

EPS = float(np.finfo(float).eps)
FIT = 6  # points of a slope fit, steps halved from one to the next: a factor of 32 (chosen)
CLEAN = 100.0  # errors count from a hundred times the rounding level: its share of the slope is then below 0.01
SLOPE = 0.1  # a Taylor error of order p has slope p - 0.1 or more; a wrong derivative has slope p - 1
SAME = 1e-8  # relative, between two ways to one product: finite differences pass, a wrong term does not (chosen)
AGAIN = 1e-10  # relative, between two evaluations of one point: a run may see it in other coordinates (chosen)
SOLVED = 1e-10  # backward error of a direct shifted solve (chosen: 1e6 eps)
FEW = 25  # iterations of the runs that only look at the protocol (chosen)
FORMS = ("hess", "gauss_newton", "fisher")


def _require(holds: Any, name: str, text: str) -> None:
    """Raise AssertionError with the `name` of the property in front; unlike ``assert``, also under ``python -O``."""
    if not holds:
        raise AssertionError(f"{name}: {text}")


def _same(a: Any, b: Any) -> bool:
    """Whether two answers are equal bit by bit (NaN equals NaN)."""
    return bool(np.array_equal(np.asarray(a), np.asarray(b), equal_nan=np.asarray(a).dtype.kind == "f"))


# -------------------------------------------------------------------------------------------------- objectives


def check_objective(problem: Objective, x: ArrayLike | None = None, *, seed: int = 0) -> None:
    """Check an objective at one point: derivatives, structure of its matrices, exact differences and purity.

    Parameters
    ----------
    problem : Objective
        What is checked, with all that it offers; small enough for a dense n x n matrix.
    x : array_like of shape (n,), optional
        Where; by default a random point at distance 1 from the problem's start. The objective must be smooth around it.
    seed : int, default=0
        Seed of the random directions.

    Raises
    ------
    AssertionError
        With the name of the property in front: ``start``, ``fun``, ``grad``, ``hess``, ``hessp``, ``gauss_newton``,
        ``fisher``, ``convex``, ``difference``, ``x_star``, ``f_star`` or ``purity``.

    Notes
    -----
    With exact derivatives the Taylor errors ``|f(x + tv) - f(x) - t <g, v>|`` and ``|g(x + tv) - g(x) - t H v|`` fall
    like ``t^2``. The slope of their logarithms is fitted to the smallest steps at which the error is above rounding
    and must be at least 1.9; a wrong derivative has slope 1, a vanishing second term 3. Where the error is rounding
    at every step (linear f, or quadratic f for the Hessian) there is nothing to fit, and nothing wrong.

    ``difference`` must agree with ``f(x) - f(x + h)`` for long steps, and for short ones, where that difference is
    noise, with the trapezoid of the slopes ``-<g(x) + g(x + h), h>/2``, which is exact to ``O(|h|^3)``.
    """
    check_kind(problem, "problem", Objective)
    rng = np.random.default_rng(as_seed(seed))
    n = problem.n
    begin = _checked_start(problem)
    x = begin + _unit(rng, n) if x is None else np.array(x, dtype=float)
    _require(x.shape == (n,), "start", f"x has shape {x.shape}, the problem has {n} variables")
    size = max(1.0, float(np.linalg.norm(x)))
    directions = [size * _unit(rng, n) for _ in range(3)]
    _check_purity(problem, x, directions)
    _check_values(problem, x)
    for v in directions:
        _check_gradient(problem, x, v)
        _check_hessian_products(problem, x, v)
    for kind in FORMS:
        if problem.offers(kind):
            _check_form(problem, kind, x, directions)
    if problem.offers("difference"):
        for v in directions:
            _check_difference(problem, x, v)
    _check_known_minimum(problem, [begin, x, *(x + v for v in directions)])


def _unit(rng: np.random.Generator, n: int) -> Array:
    v = rng.standard_normal(n)
    return np.asarray(v / np.linalg.norm(v))


def _checked_start(problem: Objective) -> Array:
    begin = problem.start()
    fits = isinstance(begin, np.ndarray) and begin.shape == (problem.n,) and begin.dtype == np.float64
    _require(fits and np.isfinite(begin).all(), "start", f"must be a finite float64 array of shape ({problem.n},)")
    kept = begin.copy()
    begin[:] = np.pi
    _require(_same(problem.start(), kept), "start", "writing into the start changes the next one; return a copy")
    return kept


def _fun(problem: Objective, x: Array) -> float:
    return float(problem.fun(x, problem.prepare(x)))


def _grad(problem: Objective, x: Array) -> Array:
    return problem.grad(x, problem.prepare(x))


def _form(problem: Objective, kind: str, x: Array) -> Form:
    return as_form(getattr(problem, kind)(x, problem.prepare(x)), problem.n)


def _answers(problem: Objective, v: Array) -> dict[str, Callable[[Array, Any], Any]]:
    """Everything that the problem offers, as functions of ``(x, z)``; matrices by one product."""

    def product(kind: str, x: Array, z: Any) -> Array:
        return as_form(getattr(problem, kind)(x, z), problem.n).matvec(v)

    answers: dict[str, Callable[[Array, Any], Any]] = {"fun": problem.fun, "grad": problem.grad}
    answers |= {kind: partial(product, kind) for kind in FORMS if problem.offers(kind)}
    if problem.offers("hessp"):
        answers["hessp"] = lambda x, z: problem.hessp(x, z, v)
    if problem.offers("difference"):
        answers["difference"] = lambda x, z: problem.difference(x, z, v)
    if problem.offers("at_infinity"):
        answers["at_infinity"] = lambda x, z: problem.at_infinity(x, z, v)
    return answers


def _check_purity(problem: Objective, x: Array, directions: Sequence[Array]) -> None:
    """The same answers in any order, at any time, and nothing written: not x, not v, not z, not an earlier answer."""
    x, v, y = x.copy(), directions[0].copy(), x + directions[1]
    kept_x, kept_v = x.copy(), v.copy()
    answers = _answers(problem, v)
    z = problem.prepare(x)
    first: dict[str, Any] = {}
    for name, answer in answers.items():
        first[name] = answer(x, z)
        _require(_same(x, kept_x), "purity", f"{name} writes into x")
        _require(_same(v, kept_v), "purity", f"{name} writes into the vector it is given")
    copies = copy.deepcopy(first)
    for name, answer in reversed(answers.items()):
        _require(_same(answer(x, z), copies[name]), "purity", f"{name} changes when asked again with the same z")
    other = problem.prepare(y)
    for answer in answers.values():
        answer(y, other)
    for name, value in first.items():
        _require(_same(value, copies[name]), "purity", f"the answer of {name} is overwritten by a later call")
    again = problem.prepare(x)
    for name, answer in answers.items():
        _require(_same(answer(x, again), copies[name]), "purity", f"{name} differs on the second visit of one x")
    _require(_same(x, kept_x), "purity", "prepare writes into x")


def _check_values(problem: Objective, x: Array) -> None:
    z = problem.prepare(x)
    f, g = problem.fun(x, z), problem.grad(x, z)
    _require(np.ndim(f) == 0 and np.isrealobj(f), "fun", f"returned {type(f).__name__}; it must return one real number")
    _require(np.isfinite(f), "fun", f"is {f} at x; pass another x")
    fits = isinstance(g, np.ndarray) and g.shape == (problem.n,) and g.dtype == np.float64
    _require(fits, "grad", f"must be a float64 array of shape ({problem.n},)")
    _require(np.isfinite(g).all(), "grad", "is not finite at x; pass another x")


STEPS: Array = np.ldexp(1.0, -np.arange(44))  # from the size of x down to 1e-13 of it


def _slope(steps: Array, errors: Array, noise: float) -> float | None:
    """Slope of log error against log step over the smallest steps above rounding; None where no range is above it."""
    finite = np.isfinite(errors)
    first = int(np.argmax(finite))
    clean = finite & (errors > CLEAN * noise)
    clean[:first] = True  # overflow at long steps
    last = int(np.argmin(clean)) if not clean.all() else clean.size
    if last - first < FIT:
        return None
    fit = slice(last - FIT, last)
    return float(np.polyfit(np.log(steps[fit]), np.log(errors[fit]), 1)[0])


def _rounding(values: Callable[[float], Any], scale: float) -> float:
    """Rounding level of a function of t: its second differences at steps too short for curvature to show."""
    noise = EPS * scale
    for t in (1.0e-10, 1.7e-10, 2.3e-10, 3.1e-10):
        noise = max(noise, float(np.linalg.norm(values(t) - 2 * values(0.0) + values(-t))))
    return noise


def _taylor(values: Callable[[float], Any], derivative: Any) -> float | None:
    """Slope of ``|values(t) - values(0) - t derivative|``, taken over t and -t together.

    In the pair the terms in t^2 and t^3 are orthogonal: near a zero of the second derivative, where they cancel on one
    side, the slope of one side alone falls below 2 although the derivative is right (seen: 1.84).
    """
    base = values(0.0)

    def error(t: float) -> float:
        return float(np.linalg.norm(values(t) - base - t * derivative))

    with np.errstate(all="ignore"):
        errors = np.array([np.hypot(error(t), error(-t)) for t in STEPS])
    return _slope(STEPS, errors, _rounding(values, float(np.linalg.norm(base))))


def _check_gradient(problem: Objective, x: Array, v: Array) -> None:
    slope = _taylor(lambda t: _fun(problem, x + t * v), float(_grad(problem, x) @ v))
    if slope is not None:
        _require(slope > 2 - SLOPE, "grad", f"not the gradient of fun: its Taylor error has slope {slope:.2f}, not 2")


def _check_hessian_products(problem: Objective, x: Array, v: Array) -> None:
    """Products against gradients, and the two ways to a product against each other."""
    products: dict[str, Array] = {}
    if problem.offers("hess"):
        products["hess"] = _form(problem, "hess", x).matvec(v)
    if problem.offers("hessp"):
        products["hessp"] = np.asarray(problem.hessp(x, problem.prepare(x), v))
    for name, Hv in products.items():
        _require(Hv.shape == (problem.n,), name, f"its product has shape {Hv.shape}, not ({problem.n},)")
        slope = _taylor(lambda t: _grad(problem, x + t * v), Hv)
        if slope is not None:
            text = f"not the derivative of grad: its Taylor error has slope {slope:.2f}, not 2"
            _require(slope > 2 - SLOPE, name, text)
    if len(products) == 2:
        scale = float(np.linalg.norm(products["hess"]))
        error = float(np.linalg.norm(products["hess"] - products["hessp"]))
        _require(error <= SAME * scale, "hessp", f"differs from hess @ v by {error:.1e} of {scale:.1e}")


def _check_form(problem: Objective, kind: str, x: Array, directions: Sequence[Array]) -> None:
    """Products, triangle and diagonal are of one symmetric matrix; semidefinite where promised."""
    H = _form(problem, kind, x)
    _require(H.n == problem.n, kind, f"is a form of order {H.n}, not {problem.n}")
    D = H.dense()
    _require(D.shape == (problem.n, problem.n), kind, f"dense() has shape {D.shape}")
    size = float(np.linalg.norm(D))
    u, v = directions[0], directions[1]
    Hu, Hv = H.matvec(u), H.matvec(v)
    gap = abs(float(v @ Hu - u @ Hv))
    scale = size * float(np.linalg.norm(u) * np.linalg.norm(v))
    _require(gap <= SAME * scale, kind, f"not symmetric: <v, Hu> and <u, Hv> differ by {gap:.1e} of {scale:.1e}")
    error = float(np.linalg.norm(D @ u - Hu))
    _require(
        error <= SAME * size * float(np.linalg.norm(u)), kind, f"lower() and matvec differ by {error:.1e} of {size:.1e}"
    )
    d = H.diagonal()
    if d is not None:
        _require(np.shape(d) == (problem.n,), kind, f"diagonal() has shape {np.shape(d)}")
        error = float(np.max(np.abs(d - D.diagonal())))
        _require(error <= SAME * size, kind, f"diagonal() and lower() differ by {error:.1e} of {size:.1e}")
    if kind != "hess" or problem.convex:
        least = float(np.linalg.eigvalsh(D)[0])
        name = "convex" if kind == "hess" else kind
        _require(
            least >= -SAME * size, name, f"not positive semidefinite: smallest eigenvalue {least:.1e} of {size:.1e}"
        )


def _check_difference(problem: Objective, x: Array, v: Array) -> None:
    z, f, g = problem.prepare(x), _fun(problem, x), _grad(problem, x)
    noise = CLEAN * _rounding(lambda t: _fun(problem, x + t * v), abs(f))
    for t in STEPS[:20]:
        h = t * v
        with np.errstate(all="ignore"):
            plain = f - _fun(problem, x + h)
        if not np.isfinite(plain):
            continue
        error = abs(float(problem.difference(x, z, h)) - plain)
        bound = noise + SAME * abs(plain)
        text = f"is not f(x) - f(x + h) at |h| = {np.linalg.norm(h):.1e}: off by {error:.1e}, more than {bound:.1e}"
        _require(error <= bound, "difference", text)
    for t in (1e-7, 1e-9, 1e-11):  # the trapezoid's own error is below 1e-14 of |g||h|
        h = t * v
        scale = float(np.linalg.norm(g) * np.linalg.norm(h))
        trapezoid = -0.5 * float((g + _grad(problem, x + h)) @ h)
        error = abs(float(problem.difference(x, z, h)) - trapezoid)
        text = f"cancels at |h| = {np.linalg.norm(h):.1e}: off by {error:.1e} where |g||h| = {scale:.1e}"
        _require(error <= SAME * scale, "difference", text)


def _check_known_minimum(problem: Objective, points: Sequence[Array]) -> None:
    f_star, x_star = problem.f_star, problem.x_star
    if x_star is not None:
        _require(np.shape(x_star) == (problem.n,), "x_star", f"has shape {np.shape(x_star)}, not ({problem.n},)")
        least = float(np.max(np.abs(_grad(problem, x_star))))
        scale = max(1.0, max(float(np.max(np.abs(_grad(problem, x)))) for x in points))
        _require(least <= SAME * scale, "x_star", f"not stationary: its largest slope is {least:.1e} of {scale:.1e}")
        if f_star is not None:
            gap = abs(_fun(problem, x_star) - f_star)
            _require(gap <= SAME * max(1.0, abs(f_star)), "f_star", f"differs from f(x_star) by {gap:.1e}")
    if f_star is not None:
        below = f_star - min(_fun(problem, x) for x in points)
        _require(below <= SAME * max(1.0, abs(f_star)), "f_star", f"there is a point {below:.1e} below it")


# -------------------------------------------------------------------------------------------------- curvatures

SHIFTS = (1e-13, 1e-9, 1e-5, 1e-2, 1.0, 1e4, 1e9)  # relative to the largest eigenvalue


def check_curvature(
    model: Any,
    point: Point,
    *,
    metrics: Sequence[Any] | None = None,
    theta: float = 0.0,
    floor: float = 0.0,
    memory: bool = False,
    seed: int = 0,
) -> None:
    """Check a curvature model at one point: shifted solves against products, definiteness, counts, no stale answers.

    Parameters
    ----------
    model : CurvatureModel or callable
        What is checked.
    point : Point
        Objective and place; counts and metric are made anew. Small enough for a dense n x n matrix.
    metrics : sequence, optional
        Metrics ``B`` as solvers take them (None, vector, matrix, `Metric`); by default the identity, a random diagonal
        and a random dense one. A model may refuse any but the identity with a ValueError about the metric.
    theta, floor : float, default=0.0
        Accuracy that inexact solves promise, ``|r|_* <= max(theta lam |h|, floor |b|_*)``; 0 means to rounding.
    memory : bool, default=False
        Whether the model may answer from earlier points of the run (lazy, secant and other histories).
    seed : int, default=0
        Seed of the random vectors.

    Raises
    ------
    AssertionError
        With the name of the property in front: ``matvec``, ``solve``, ``lam_noise``, ``definite``, ``counts``,
        ``purity``, ``stale`` or ``deterministic``.

    Notes
    -----
    ``H`` is what `matvec` says. A shift counts as definite or not where the smallest eigenvalue of the pencil
    ``(H, B)`` leaves no doubt: a definite system must be solved, an indefinite one solved exactly or refused with
    `NotPositiveDefinite`. Shifts below `lam_noise` are raised to it, as the solvers do.
    """
    check_kind(point, "point", Point)
    model = resolve(model)
    n = point.x.size
    rng = np.random.default_rng(as_seed(seed))
    if metrics is None:
        W = rng.standard_normal((n, n))
        metrics = (None, np.geomspace(0.1, 10.0, n) if n > 1 else np.array([2.0]), W @ W.T / n + np.eye(n))
    b = rng.standard_normal(n)
    away = point.x + _unit(rng, n)
    for metric in metrics:
        x = Point(point.objective, point.x.copy(), Counts(), as_metric(metric, n))
        try:
            answers = _curvature_answers(model, x, b, theta, floor)
        except ValueError as error:
            if metric is None or "metric" not in str(error):
                raise
            continue  # refused in so many words
        if not memory:
            _check_not_stale(model, x, away, answers[0])
        again = Point(point.objective, point.x.copy(), Counts(), x.metric)
        repeated = _curvature_answers(model, again, b, theta, floor)
        for one, other in zip(answers, repeated, strict=True):
            _require(_same(one, other), "deterministic", "a second run at the same point answers differently")


def _curvature_answers(model: Any, x: Point, b: Array, theta: float, floor: float) -> list[Array]:
    """Check one curvature; return its matrix and its solutions."""
    H = start_curvature(model, x)(x)
    M = _curvature_matrix(H, x)
    B = np.stack([x.metric.apply(e) for e in np.eye(x.x.size)])
    spectrum = eigh(M, B, eigvals_only=True)
    largest = float(np.max(np.abs(spectrum))) or 1.0
    least = float(spectrum[0])
    noise = float(H.lam_noise)
    _require(0.0 <= noise <= SAME * largest, "lam_noise", f"is {noise:.1e}, the largest eigenvalue {largest:.1e}")
    shifts = [largest * s for s in SHIFTS]
    if least < 0:
        shifts += [-0.5 * least, -2.0 * least]
    answers = [M]
    for lam in (max(shift, noise) for shift in shifts):
        doubt = SOLVED * (largest + lam)
        for rhs in (b, x.g):
            h = _checked_solve(H, x, lam, rhs)
            if h is None:
                refused = f"lam = {lam:.1e} is refused as indefinite; the smallest eigenvalue is {least:.1e}"
                _require(least + lam <= doubt, "definite", refused)
                continue
            r = rhs - M @ h - lam * (B @ h)
            size, step = x.metric.dual_norm(r), x.metric.norm(h)
            rounding = SOLVED * ((largest + lam) * step + x.metric.dual_norm(rhs))
            bound = max(rounding, theta * lam * step, floor * x.metric.dual_norm(rhs))
            text = f"(H + lam B) h = b is missed by {size:.1e}, more than {bound:.1e}, at lam = {lam:.1e}"
            _require(size <= bound, "solve", text)
            answers.append(h.copy())
    return answers


def _curvature_matrix(H: Any, x: Point) -> Array:
    before = x.counts.nhessp
    E = np.eye(x.x.size)
    M = np.stack([np.array(H.matvec(e)) for e in E])
    _require(_same(E, np.eye(x.x.size)), "purity", "matvec writes into its vector")
    _require(
        M.shape == E.shape and np.isfinite(M).all(), "matvec", f"must give finite vectors of shape ({E.shape[0]},)"
    )
    _require(x.counts.nhessp >= before + E.shape[0], "counts", "matvec must add to nhessp")
    gap, size = float(np.max(np.abs(M - M.T))), float(np.linalg.norm(M))
    _require(gap <= SAME * size, "matvec", f"not symmetric: <u, Hv> and <v, Hu> differ by {gap:.1e} of {size:.1e}")
    return np.asarray((M + M.T) / 2)


def _checked_solve(H: Any, x: Point, lam: float, b: Array) -> Array | None:
    """The solution, None where it is refused; twice, so that counts, purity and aliasing show."""
    kept, before = b.copy(), x.counts.nsolve
    try:
        h = H.solve(lam, b)
    except NotPositiveDefinite:
        return None
    _require(h.shape == b.shape and np.isfinite(h).all(), "solve", f"lam = {lam:.1e} gives no finite vector")
    _require(x.counts.nsolve == before + 1, "counts", "a solve must add one to nsolve")
    _require(_same(b, kept), "purity", "solve writes into b")
    first = h.copy()
    H.solve(lam, -2.0 * b)
    _require(_same(h, first), "purity", "a later solve overwrites an earlier solution")
    return first


def _check_not_stale(model: Any, x: Point, away: Array, expected: Array) -> None:
    """In one run the curvature belongs to the point asked for, wherever the run was before."""
    build, y = start_curvature(model, x), x.at(away)
    build(x)
    there = _curvature_matrix(build(y), y)
    fresh = Point(x.objective, away, Counts(), x.metric)
    for place, found, true in (
        ("the second point of a run", there, _curvature_matrix(start_curvature(model, fresh)(fresh), fresh)),
        ("a point revisited", _curvature_matrix(build(x), x), expected),
    ):
        text = f"at {place} it is not that of a run begun there (memory=True allows this)"
        _require(_close(found, true), "stale", text)
    if _close(there, expected):  # a new run does not help where the model never looks again
        for kind in (kind for kind in FORMS if x.objective.offers(kind)):
            is_it, moved = _close(expected, x.hess(kind).dense()), not _close(expected, y.hess(kind).dense())
            _require(not (is_it and moved), "stale", f"it is the {kind} of the first point, also at the second")


def _close(A: Array, B: Array) -> bool:
    """Whether two matrices agree up to what two ways of computing one may differ by."""
    return bool(np.linalg.norm(A - B) <= SAME * np.linalg.norm(B))


# ----------------------------------------------------------------------------------------------------- results

KEYS = {
    "x": np.ndarray,
    "fun": float,
    "jac": np.ndarray,
    "nit": int,
    **dict.fromkeys(COUNTS, int),
    "success": bool,
    "status": int,
    "message": str,
}


def check_result(
    result: OptimizeResult,
    problem: Objective,
    x0: ArrayLike | None = None,
    *,
    gtol: float,
    f_target: float | None = None,
) -> None:
    """Check what every result must satisfy, however the run ended.

    Parameters
    ----------
    result : OptimizeResult
        What `Solver.minimize` returned for the norm ``"inf"``.
    problem : Objective
        The problem that was minimised.
    x0 : array_like of shape (n,), optional
        Its start; the problem's own by default.
    gtol : float
        Tolerance of the run.
    f_target : float, optional
        Target of the run.

    Raises
    ------
    AssertionError
        With the name of the property in front: ``result``, ``trace``, ``counts``, ``time``, ``best point``,
        ``stationarity``, ``f_target`` or ``success``.

    Notes
    -----
    Value and gradient are computed anew at ``result.x``. Success must be earned: status 0 means a gradient of at most
    `gtol` (and rounding), status 8 a value of at most `f_target`; any other status is no success. A run without
    success returns the lowest of its finite points, to rounding.
    """
    check_kind(problem, "problem", Objective)
    check_kind(result, "result", OptimizeResult)
    _check_keys(result, problem.n)
    _check_trace(result, problem, problem.start() if x0 is None else np.asarray(x0, dtype=float))
    status = Status(result.status)
    text = f"{result.success} does not fit status {int(status)} ({status.name})"
    _require(result.success == status.success, "success", text)
    if status is Status.NOT_FINITE:
        _require(result.nit == 0, "result", "NOT_FINITE is about the start; nit must be 0")
        return
    _require(np.isfinite(result.x).all() and np.isfinite(result.fun), "best point", "x and fun must be finite")
    f, g = _fun(problem, result.x), _grad(problem, result.x)
    gap = abs(f - result.fun)
    _require(gap <= ROUNDING * abs(f), "result", f"fun differs from f(x) by {gap:.1e}")
    error, size = float(np.max(np.abs(g - result.jac))), float(np.max(np.abs(g)))
    slack = ROUNDING * max(size, float(np.max(np.abs(result.trace["gnorm"][0]))))
    _require(error <= slack, "result", f"jac differs from the gradient at x by {error:.1e}")
    if status is Status.CONVERGED:
        _require(size <= gtol + slack, "stationarity", f"claimed with a gradient of {size:.1e}; gtol is {gtol:.1e}")
    elif status is Status.TARGET_REACHED:
        reached = f_target is not None and f <= f_target + ROUNDING * abs(f)
        _require(reached, "f_target", f"claimed at f = {f}, target {f_target}")
    else:
        _check_best(result)


def _check_keys(result: OptimizeResult, n: int) -> None:
    for key, kind in KEYS.items():
        _require(key in result, "result", f"has no {key!r}")
        value = result[key]
        fits = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
        _require(fits, "result", f"{key} is a {type(value).__name__}, not a {kind.__name__}")
    for key in ("x", "jac"):
        fits = result[key].shape == (n,) and result[key].dtype == np.float64
        _require(fits, "result", f"{key} must be a float64 array of shape ({n},)")
    _require(result.message.strip() and "trace" in result, "result", "needs a message and a trace")
    _require(result.status in list(Status), "result", f"status {result.status} is unknown")


def _check_trace(result: OptimizeResult, problem: Objective, x0: Array) -> None:
    trace, nit = result.trace, result.nit
    _require(len(trace) == nit + 1, "trace", f"has {len(trace)} rows for nit = {nit}; it must have nit + 1")
    _require(_same(trace["nit"], np.arange(nit + 1)), "trace", "column nit must count 0, 1, ..., nit")
    f0 = _fun(problem, x0)
    first = float(trace["fun"][0])
    close = abs(first - f0) <= ROUNDING * abs(f0) or not np.isfinite(f0)
    _require(close, "trace", f"begins at f = {first}, the start has f = {f0}")
    _require(np.all(np.diff(trace["time"]) >= 0) and trace["time"][0] >= 0, "time", "must not fall")
    for name in COUNTS:
        column = trace[name]
        _require(np.all(np.diff(column) >= 0) and column[0] >= 0, "counts", f"column {name} falls")
        _require(result[name] >= column[-1], "counts", f"{name} of the result is below that of the trace")
    _require(result.nfev >= nit + 1, "counts", f"nfev = {result.nfev} for nit = {nit}; each point needs a value")


def _check_best(result: OptimizeResult) -> None:
    values = result.trace["fun"][np.isfinite(result.trace["gnorm"]) & np.isfinite(result.trace["fun"])]
    least = float(np.min(values))
    slack = 2 * ROUNDING * max(abs(least), abs(result.fun))
    _require(result.fun <= least + slack, "best point", f"f = {result.fun} is returned, {least} was seen")


# ----------------------------------------------------------------------------------------------------- solvers


def check_solver(
    solver: Solver,
    problem: Objective,
    x0: ArrayLike | None = None,
    *,
    monotone: bool | None = None,
    gtol: float = 1e-6,
    maxiter: int = 10_000,
) -> None:
    """Check that a solver keeps the contract of a run on a problem that it can solve.

    Parameters
    ----------
    solver : Solver
        What is checked.
    problem : Objective
        A small problem of the kind that the solver is for.
    x0 : array_like of shape (n,), optional
        Start; the problem's own by default. It must not be the solution.
    monotone : bool, optional
        Whether f never rises from iteration to iteration; by default what the solver's ``descends(problem)`` says,
        False where it has none.
    gtol : float, default=1e-6
        Tolerance on the largest entry of the gradient that the solver must reach ...
    maxiter : int, default=10000
        ... in this many iterations.

    Raises
    ------
    AssertionError
        With the name of the property in front: those of `check_result`, ``convergence``, ``monotone``, ``maxiter``,
        ``start at the solution``, ``NaN start``, ``x0``, ``points``, ``deterministic``, ``threads``, ``callback``,
        ``StopIteration``, ``KeyboardInterrupt``, ``SciPy``, ``options`` or ``bounds``.
    """
    check_kind(solver, "solver", Solver)
    check_kind(problem, "problem", Objective)
    begin = problem.start() if x0 is None else np.array(x0, dtype=float)
    bench = _Bench(solver, problem, begin, gtol, maxiter)
    full = bench.run()
    _check_convergence(bench, full, bool(solver.descends(problem) if monotone is None else monotone))
    _check_limits(bench, full)
    _check_starts(bench, full)
    _check_points_are_not_written(bench)
    _check_deterministic(bench)
    _check_callbacks(bench)
    _check_interrupts(bench)
    _check_doors(bench)


@dataclass(frozen=True)
class _Bench:
    """A solver on a problem, every result checked."""

    solver: Solver
    problem: Objective
    x0: Array
    gtol: float
    maxiter: int

    def run(self, problem: Objective | None = None, x0: Any = None, **options: Any) -> OptimizeResult:
        problem = self.problem if problem is None else problem
        options = {"gtol": self.gtol, "maxiter": self.maxiter} | options
        begin = self.x0.copy() if x0 is None else x0
        where = np.array(begin)  # before the solver can touch it
        result = self.solver.minimize(problem, begin, **options)
        check_result(result, self.problem, where, gtol=options["gtol"], f_target=options.get("f_target"))
        return result

    def few(self, problem: Objective | None = None, x0: Any = None, **options: Any) -> OptimizeResult:
        """A short run: enough to see the protocol."""
        return self.run(problem, x0, **{"maxiter": min(FEW, self.maxiter), **options})


def _check_convergence(bench: _Bench, full: OptimizeResult, monotone: bool) -> None:
    _require(full.success, "convergence", f"ended with status {full.status} after {full.nit}: {full.message}")
    _require(full.nit >= 1, "convergence", "x0 is the solution already; pass another x0")
    if monotone:
        f = full.trace["fun"]
        rise = float(np.max(np.diff(f) / np.maximum(np.abs(f[1:]), np.abs(f[:-1])).clip(np.finfo(float).tiny)))
        _require(rise <= ROUNDING, "monotone", f"f rises by {rise:.1e} of its size in one iteration")


def _check_limits(bench: _Bench, full: OptimizeResult) -> None:
    """Iterations and target; also at the iterations that end above an earlier value."""
    f = full.trace["fun"]
    worse = np.flatnonzero(f > np.minimum.accumulate(f) * (1 + np.sign(f) * 10 * ROUNDING))
    limits = {0, full.nit // 2, *worse[:1].tolist()} - {full.nit}
    for limit in sorted(limits):
        result = bench.run(maxiter=limit)
        right = result.status == Status.MAXITER and result.nit == limit
        _require(right, "maxiter", f"maxiter = {limit} ended with status {result.status} after {result.nit}")
    middle = (f[0] + f[-1]) / 2
    if f[-1] < middle < f[0]:
        result = bench.run(f_target=float(middle))
        text = f"ended with status {result.status} at {result.fun}, target {middle}"
        _require(result.status == Status.TARGET_REACHED, "f_target", text)
        before = result.trace["fun"][:-1]
        _require(np.all(before > middle), "f_target", "the run went on after its target")


def _check_starts(bench: _Bench, full: OptimizeResult) -> None:
    there = bench.run(x0=full.x.copy())
    still = there.nit == 0 and there.success and _same(there.x, full.x)
    _require(still, "start at the solution", f"made {there.nit} iterations, status {there.status}")
    with np.errstate(all="ignore"):
        lost = bench.run(x0=np.full_like(bench.x0, np.nan))
    right = lost.status == Status.NOT_FINITE and lost.nit == 0
    _require(right, "NaN start", f"ended with status {lost.status} after {lost.nit} iterations, not with NOT_FINITE")
    expected = bench.few()
    writable, fixed = bench.x0.copy(), bench.x0.copy()
    bench.few(x0=writable)
    _require(_same(writable, bench.x0), "x0", "is written")
    fixed.flags.writeable = False
    for name, begin in (("a read-only array", fixed), ("a list", bench.x0.tolist())):
        try:
            result = bench.few(x0=begin)
        except (TypeError, ValueError) as error:
            raise AssertionError(f"x0: {name} is refused: {error}") from error
        _require(_same(result.x, expected.x), "x0", f"{name} gives another result")
    _require(not np.shares_memory(expected.x, expected.jac), "result", "x and jac share memory")


def _spied(problem: Objective, name: str, hook: Callable[[Array], None]) -> Objective:
    """A twin of the problem (same type, same data) that calls ``hook(x)`` before its function called `name`."""
    original = getattr(problem, name)

    def spy(self: Objective, x: Array, *rest: Any) -> Any:
        hook(x)
        return original(x, *rest)

    twin = copy.copy(problem)
    twin.__class__ = type(type(problem).__name__, (type(problem),), {name: spy})
    return twin


def _check_points_are_not_written(bench: _Bench) -> None:
    seen: list[tuple[Array, Array]] = []
    bench.few(_spied(bench.problem, "fun", lambda x: seen.append((x, x.copy()))))
    _require(all(_same(x, kept) for x, kept in seen), "points", "the solver writes into the x of a point")


def _check_deterministic(bench: _Bench) -> None:
    def answer(_: int = 0) -> list[Array]:
        result = bench.few(keep_x=True)
        columns = result.trace.as_dict()
        columns.pop("time")
        return [result.x, *result.trace.x, *columns.values()]

    first = answer()
    again = answer()
    same = len(first) == len(again) and all(map(_same, first, again))
    _require(same, "deterministic", "two runs differ")
    with ThreadPoolExecutor(4) as pool:
        for other in pool.map(answer, range(4)):
            same = len(first) == len(other) and all(map(_same, first, other))
            _require(same, "threads", "a run beside others in threads differs from a run alone")


def _check_callbacks(bench: _Bench) -> None:
    plain = bench.few(keep_x=True)
    seen: list[Array] = []

    def by_position(xk: Array) -> None:
        seen.append(xk.copy())
        xk[:] = np.nan

    def by_name(*, intermediate_result: OptimizeResult) -> None:
        seen.append(intermediate_result.x.copy())
        value = float(intermediate_result.fun)
        close = abs(value - plain.trace["fun"][len(seen)]) <= AGAIN * abs(value)
        _require(close, "callback", "intermediate_result.fun is not f at its x")
        intermediate_result.x[:] = np.nan

    for callback in (by_position, by_name):
        seen.clear()
        kind = callback.__name__.replace("_", " ")
        try:
            result = bench.few(callback=callback)
        except AssertionError as error:
            raise AssertionError(f"callback: {kind}: it is not given copies, or not the iterates: {error}") from error
        _require(len(seen) == plain.nit, "callback", f"{kind}: {len(seen)} calls in {plain.nit} iterations")
        given = all(map(_same, seen, plain.trace.x[1:]))
        _require(given, "callback", f"{kind}: was not given the iterates")
        _require(_same(result.x, plain.x), "callback", f"{kind}: writing into what it is given changes the run")

    def stop(xk: Array) -> None:
        raise StopIteration

    result = bench.few(callback=stop)
    right = result.status == Status.CALLBACK and result.nit == 1
    _require(right, "StopIteration", f"ended with status {result.status} after {result.nit} iterations, not 99 after 1")


class _Interrupt:
    """Raises KeyboardInterrupt at its k-th call; never for k = 0, but counts down all the same."""

    def __init__(self, k: int) -> None:
        self.left = k

    def __call__(self, *_: Any) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def _check_interrupts(bench: _Bench) -> None:
    """Ctrl-C during a value, a gradient or a callback: the run ends with the best it has."""
    _check_interrupt("a callback", lambda: bench.run(callback=_Interrupt(1)))
    for name in ("fun", "grad"):
        calls = _Interrupt(0)
        bench.run(_spied(bench.problem, name, calls))
        for k in sorted({2, max(2, -calls.left // 2)}):  # the first trial, and the middle of the run
            twin = _spied(bench.problem, name, _Interrupt(k))
            _check_interrupt(f"{name}, call {k}", partial(bench.run, twin))


def _check_interrupt(place: str, run: Callable[[], OptimizeResult]) -> None:
    try:
        result = run()
    except KeyboardInterrupt:
        raise AssertionError(f"KeyboardInterrupt: in {place} it leaves the run, and the result is lost") from None
    except AssertionError as error:
        raise AssertionError(f"KeyboardInterrupt: in {place} the result is broken: {error}") from error
    right = result.status == Status.INTERRUPTED
    _require(right, "KeyboardInterrupt", f"in {place} ends with status {result.status}, not {int(Status.INTERRUPTED)}")


@contextmanager
def _refusal(name: str, text: str, *words: str) -> Iterator[None]:
    """Expect a ValueError whose message holds the words."""
    try:
        yield
    except ValueError as error:
        absent = [word for word in words if word not in str(error)]
        _require(not absent, name, f"the refusal does not say {' and '.join(map(repr, absent))}: {error}")
    else:
        raise AssertionError(f"{name}: {text}")


def _check_doors(bench: _Bench) -> None:
    """`scipy.optimize.minimize` and `gnsopt.minimize` lead to the same run and refuse what the solver cannot do."""
    solver, problem, x0 = bench.solver, bench.problem, bench.x0
    door: Any = scipy.optimize.minimize
    functions: dict[str, Any] = {"fun": partial(_fun, problem), "jac": partial(_grad, problem)}
    if problem.offers("hess"):
        functions["hess"] = lambda x: _form(problem, "hess", x).dense()
    elif problem.offers("hessp"):
        functions["hessp"] = lambda x, v: problem.hessp(x, problem.prepare(x), v)
    unknown = {"maxiter": 1, "no_such_option": 1}
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            door(x0=x0, method=solver, options=unknown, **functions)
        warned = any(issubclass(w.category, OptimizeWarning) and "no_such_option" in str(w.message) for w in caught)
        _require(warned, "options", "SciPy's door must warn OptimizeWarning about an unknown option, by its name")
        options = {"maxiter": bench.maxiter}
        result = door(x0=x0, method=solver, tol=bench.gtol, options=options, **functions)
        check_result(result, problem, x0, gtol=bench.gtol)
        _require(result.success, "SciPy", f"the same run through SciPy ends with status {result.status}")
    except MissingRequirement:
        pass  # the solver needs more of the problem than SciPy's callables can say
    with _refusal("options", "gnsopt.minimize must refuse an unknown option", "no_such_option"):
        minimize(problem, x0, method=solver, options=unknown)
    if not getattr(solver, "supports_bounds", False):
        bounds = [(None, None)] * problem.n
        text = "must be refused with a ValueError that names a solver to use"
        with _refusal("bounds", text, "bounds", "use"):
            minimize(problem, x0, method=solver, bounds=bounds)
        with _refusal("bounds", text, "bounds", "use"):
            door(x0=x0, method=solver, bounds=bounds, **functions)
    if not solver.supports_constraints:
        constraint = {"type": "eq", "fun": lambda x: x[0]}
        with _refusal("constraints", "must be refused with a ValueError that names a solver to use", "use"):
            minimize(problem, x0, method=solver, constraints=[constraint])
