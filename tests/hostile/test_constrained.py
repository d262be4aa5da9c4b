"""Constraints that contradict, repeat, vanish or lie: a KKT point that is one, or a status that says what is wrong."""

from dataclasses import fields

import numpy as np
import pytest
import scipy.optimize
from scipy.optimize import rosen, rosen_der, rosen_hess
from scipy.sparse import csr_array

import gnsopt
from gnsopt.constrained import (
    AdaSketchNewton,
    AugmentedLagrangian,
    ConstrainedProblem,
    Equalities,
    Fletcher,
    KKTStatus,
    LinearEqualities,
    Stacked,
)
from gnsopt.objective import Callables
from tests.hostile.judge import ROUNDING, Case, close, judge
from tests.hostile.test_solvers import table_of
from tests.hostile.values import (
    COUNTS,
    NOT_CALLABLE,
    NOT_NUMBERS,
    NOT_OPTIONALLY_CALLABLE,
    Nasty,
    matrices,
    named,
    numbers,
    spoiled,
    vectors,
    words,
)

X0 = np.array([0.5, -1.0, 2.0])
GTOL, MAXITER = 1e-6, 30


def bowl(x):
    return 0.5 * float(x @ x) - float(np.sum(x))


OBJECTIVES = {
    "bowl": (bowl, lambda x: x - 1, lambda x: np.eye(3)),
    "rosenbrock": (rosen, rosen_der, rosen_hess),
    "linear": (lambda x: float(np.sum(x)), lambda x: np.ones(3), lambda x: np.zeros((3, 3))),
    "indefinite": (
        lambda x: float(x[0] ** 2 - x[1] ** 2 + x[2]),
        lambda x: np.array([2 * x[0], -2 * x[1], 1.0]),
        lambda x: np.diag([2.0, -2.0, 0.0]),
    ),
    "constant": (lambda x: 0.0, lambda x: np.zeros(3), lambda x: np.zeros((3, 3))),
    "huge": (lambda x: 1e100 * bowl(x), lambda x: 1e100 * (x - 1), lambda x: 1e100 * np.eye(3)),
    "NaN-hess": (bowl, lambda x: x - 1, lambda x: np.full((3, 3), np.nan)),
    "NaN-beyond": (
        lambda x: bowl(x) if abs(x[0]) < 1 else np.nan,
        lambda x: x - 1 if abs(x[0]) < 1 else np.full(3, np.nan),
        lambda x: np.eye(3),
    ),
    "sign-wrong": (bowl, lambda x: 1 - x, lambda x: np.eye(3)),
    "NaN": (lambda x: np.nan, lambda x: np.full(3, np.nan), lambda x: np.eye(3)),
}


def linear(A, b):
    """Return ``A x - b`` and its Jacobian."""
    A, b = np.atleast_2d(np.array(A, dtype=float)), np.atleast_1d(np.array(b, dtype=float))
    return lambda x: A @ x - b, lambda x: A.copy()


def sphere(radius, away=0.0):
    return lambda x: np.array([x @ x - radius]) + away, lambda x: 2 * x[None]


CONSTRAINTS = {
    "sound": linear([1, 1, 1], 1),
    "contradict": linear([[1, 0, 0], [1, 0, 0]], [0, 1]),
    "contradict-three": linear([[1, 1, 0], [0, 1, 1], [1, 2, 1]], [0, 0, 1]),
    "redundant": linear([[1, 0, 0], [1, 0, 0], [2, 0, 0]], [1, 1, 2]),
    "zero-row": linear([[1, 0, 0], [0, 0, 0]], [1, 0]),
    "zero-row-contradicts": linear([[1, 0, 0], [0, 0, 0]], [1, 1]),
    "all-zero": linear(np.zeros((2, 3)), [0, 0]),
    "nearly-parallel": linear([[1, 0, 0], [1, 1e-12, 0]], [1, 1]),
    "nearly-contradict": linear([[1, 0, 0], [1, 1e-12, 0]], [1, 2]),
    "huge-rows": linear([[1e150, 0, 0]], [1e150]),
    "tiny-rows": linear([[1e-150, 0, 0]], [1e-150]),
    "mixed-rows": linear([[1e100, 0, 0], [0, 1e-100, 0]], [1e100, 1e-100]),
    "square": linear(np.eye(3), [1, 2, 3]),
    "too-many": linear(np.vstack([np.eye(3), np.ones((1, 3))]), [1, 2, 3, 6]),
    "too-many-contradict": linear(np.vstack([np.eye(3), np.ones((1, 3))]), [1, 2, 3, 7]),
    "sphere": sphere(4.0),
    "sphere-empty": sphere(-1.0),
    "sphere-point": sphere(0.0),
    "cubic": (lambda x: np.array([x[0] ** 3]), lambda x: np.array([[3 * x[0] ** 2, 0, 0]])),
    "square-twice": (
        lambda x: np.array([x[0] ** 2, x[0] ** 2 + x[1] ** 2]),
        lambda x: np.array([[2 * x[0], 0, 0], [2 * x[0], 2 * x[1], 0]]),
    ),
    "exponential": (
        lambda x: np.array([np.exp(np.clip(x[0], -700, 700))]),
        lambda x: np.array([[np.exp(np.clip(x[0], -700, 700)), 0, 0]]),
    ),
    "jac-NaN": (lambda x: x[:1] - 1, lambda x: np.full((1, 3), np.nan)),
    "jac-inf": (lambda x: x[:1] - 1, lambda x: np.array([[np.inf, 0, 0]])),
    "jac-NaN-beyond": (
        lambda x: x[:1] - 1,
        lambda x: np.array([[1.0, 0, 0]]) if x[0] < 0.9 else np.full((1, 3), np.nan),
    ),
    "jac-sign-wrong": (lambda x: x[:1] - 1, lambda x: np.array([[-1.0, 0, 0]])),
    "jac-zero": (lambda x: x[:1] - 1, lambda x: np.zeros((1, 3))),
    "jac-scaled": (lambda x: x[:1] - 1, lambda x: np.array([[1e8, 0, 0]])),
    "jac-flat": (lambda x: x[:1] - 1, lambda x: np.array([1.0, 0, 0])),
    "jac-integer": (lambda x: x[:1] - 1, lambda x: np.array([[1, 0, 0]], dtype=np.int8)),
    "jac-sparse": (lambda x: x[:1] - 1, lambda x: csr_array(np.array([[1.0, 0, 0]]))),
    "jac-sparse-zeros": (
        lambda x: x[:1] - 1,
        lambda x: csr_array((np.array([0.5, 0.5, 0.0]), ([0, 0, 0], [0, 0, 1])), shape=(1, 3)),
    ),
    "cons-NaN": (lambda x: np.array([np.nan]), lambda x: np.array([[1.0, 0, 0]])),
    "cons-inf": (lambda x: np.array([np.inf]), lambda x: np.array([[1.0, 0, 0]])),
    "cons-number": (lambda x: float(x[0] - 1), lambda x: np.array([[1.0, 0, 0]])),
    "cons-list": (lambda x: [x[0] - 1], lambda x: [[1.0, 0, 0]]),
    "cons-steps": (lambda x: np.floor(x[:1]), lambda x: np.array([[1.0, 0, 0]])),
    "cons-kink": (lambda x: np.abs(x[:1]) - 1, lambda x: np.array([[np.sign(x[0]), 0, 0]])),
    "none": (lambda x: np.zeros(0), lambda x: np.zeros((0, 3))),
}
LIARS = {"jac-sign-wrong", "jac-zero", "jac-scaled"}


def assert_kkt(run, functions, constraint, gtol=GTOL):
    """The numbers of the result are those of the functions; success means a KKT point."""
    status = KKTStatus(run.status)
    assert run.success == status.success
    assert np.isfinite(run.x).all()
    (fun, jac, _), (cons, rows) = functions, constraint
    with np.errstate(all="ignore"):
        c = np.atleast_1d(np.asarray(cons(run.x), dtype=float))
        f, g = fun(run.x), np.asarray(jac(run.x), dtype=float)
        G = rows(run.x)
        G = G.toarray() if hasattr(G, "toarray") else np.asarray(G, dtype=float).reshape(c.size, 3)
        gL = g + G.T @ run.multipliers
    if status is KKTStatus.NOT_FINITE:
        assert not (np.isfinite(f) and np.isfinite(g).all() and np.isfinite(c).all() and np.isfinite(G).all())
        return
    assert np.isfinite(run.fun)
    assert close(f, run.fun)
    np.testing.assert_allclose(run.constr, c, rtol=ROUNDING, atol=1e-12)
    violation = float(np.max(np.abs(c), initial=0.0))
    assert close(run.constr_violation, violation)
    if status.success:
        size = max(1.0, float(np.max(np.abs(g))), float(np.max(np.abs(run.multipliers), initial=0.0)))
        assert violation <= gtol * (1 + ROUNDING)
        slack = 1e-12 * float(np.max(np.abs(G.T) @ np.abs(run.multipliers), initial=0.0)) / size
        assert float(np.max(np.abs(gL))) / size <= gtol * (1 + ROUNDING) + slack
    if status is KKTStatus.INFEASIBLE_STATIONARY:
        assert violation > gtol


def run_case(objective, constraint, settings, door):
    """Return the case of a pair of functions and a setting of the solver."""
    functions, cons = OBJECTIVES[objective], CONSTRAINTS[constraint]

    def call(calls):
        fun, jac, hess = map(calls.count, functions)
        c, G = map(calls.count, cons)
        solver, options = AdaSketchNewton(**settings), {"maxiter": MAXITER, "gtol": GTOL, "norm": "scaled"}
        if door == "native":
            m = np.size(cons[0](X0))
            problem = ConstrainedProblem(Callables(fun, 3, jac=jac, hess=hess), Equalities(c, 3, m, G))
            return gnsopt.minimize(problem, X0, method=solver, options=options)
        given = {"type": "eq", "fun": c, "jac": G}
        minimize = gnsopt.minimize if door == "gnsopt" else scipy.optimize.minimize
        return minimize(fun, X0, jac=jac, hess=hess, constraints=given, method=solver, options=options)

    def check(run):
        assert_kkt(run, functions, cons)

    name = "-".join([door, objective, constraint, *map(str, settings.values())])
    subject = {"native": ConstrainedProblem, "gnsopt": gnsopt.minimize, "scipy": scipy.optimize.minimize}[door]
    verdict = "either" if constraint in ("jac-flat", "none") else "take"
    return Case(subject, name, call, ("constraints", "jac", "fun", "hess"), verdict, check, early=False)


CASES = [run_case(f, c, {}, "native") for f in OBJECTIVES for c in CONSTRAINTS]
CASES += [run_case("bowl", c, {}, door) for door in ("gnsopt", "scipy") for c in CONSTRAINTS]
CASES += [run_case("bowl", c, {"kkt": kkt}, "native") for c in CONSTRAINTS for kkt in ("dense", "lu", "cg", "minres")]
CASES += [
    run_case(f, c, {"accuracy": "paper", "definite": 1e-6}, "native")
    for c in CONSTRAINTS
    for f in ("bowl", "rosenbrock", "NaN-hess")
]
CASES += [run_case(f, c, {"merit": "fletcher"}, "native") for c in CONSTRAINTS for f in ("bowl", "linear")]


# ------------------------------------------------------------------------------------------------------- constructors

A = np.array([[1.0, 2.0, 0.0], [0.0, 1.0, -1.0]])
B = np.array([1.0, 2.0])
FUN = (bowl, lambda x: x - 1, lambda x: np.eye(3))


def solved(constraints, calls, x0=X0, y0=None, **settings):
    """Minimise the bowl on the constraints."""
    fun, jac, hess = map(calls.count, FUN)
    problem = ConstrainedProblem(Callables(fun, 3, jac=jac, hess=hess), constraints, x0, y0)
    return AdaSketchNewton(**settings).minimize(problem, gtol=GTOL, maxiter=MAXITER)


def linearly(calls, A=A, b=B):
    return solved(LinearEqualities(A, b), calls)


def by_callables(calls, **given):
    sound = {"cons": lambda x: A @ x - B, "n": 3, "m": 2, "jac": lambda x: A}
    return solved(Equalities(**{**sound, **given}), calls)


def stacked(calls, parts):
    return solved(Stacked(parts), calls)


def with_settings(calls, **settings):
    return solved(LinearEqualities(A, B), calls, **settings)


def minimised(calls, **given):
    """Minimise by the solver's own method with an argument replaced."""
    fun, jac, hess = map(calls.count, FUN)
    problem = ConstrainedProblem(Callables(fun, 3, jac=jac, hess=hess), LinearEqualities(A, B))
    return AdaSketchNewton().minimize(**{"problem": problem, "x0": X0, "gtol": GTOL, "maxiter": MAXITER, **given})


def check_true(run):
    """The numbers are finite, and a success is one by the result's own certificate."""
    assert np.isfinite(run.x).all() or run.status == KKTStatus.NOT_FINITE
    assert not run.success or (np.isfinite(run.fun) and run.constr_violation <= GTOL)


def same_kkt(a, b):
    np.testing.assert_allclose(a.x, b.x, rtol=1e-9, atol=1e-12)


LINES = {"A": A, "b": B}
NUMBER_TOO = {"one-number": "refuse", "one-entry": "refuse", "None": "refuse", "deep": "either"}
CASES += [
    *spoiled(
        LinearEqualities,
        LINES,
        "A",
        matrices(A),
        call=linearly,
        check=check_true,
        same=same_kkt,
        blames=("A", "b", "constraints"),
        early=False,
    ),
    *spoiled(LinearEqualities, LINES, "b", vectors(B), call=linearly, check=check_true, same=same_kkt),
    *spoiled(Equalities, {}, "cons", NOT_CALLABLE, call=by_callables),
    *spoiled(Equalities, {}, "jac", NOT_OPTIONALLY_CALLABLE, call=by_callables),
    *spoiled(Equalities, {}, "hess", NOT_OPTIONALLY_CALLABLE, call=by_callables),
    *spoiled(Equalities, {}, "n", COUNTS, call=by_callables, blames=("n", "constraints")),
    *spoiled(
        Equalities,
        {},
        "m",
        numbers(0, open_low=False, whole=True),
        call=by_callables,
        blames=("m", "constraints"),
        early=False,
    ),
    *spoiled(
        Equalities,
        {"target": B},
        "target",
        named(vectors(B, one_number=True), {"row": "refuse", "column": "refuse"}),
        call=by_callables,
        check=check_true,
        same=same_kkt,
    ),
    *spoiled(
        Stacked,
        {},
        "parts",
        [
            *NOT_NUMBERS,
            Nasty("None", None),
            Nasty("empty", []),
            Nasty("words", ["a"]),
            Nasty("mixed", [LinearEqualities(A, B), 3]),
            Nasty("sizes", [LinearEqualities(A, B), LinearEqualities(A[:, :2], B)]),
            Nasty("twice", [LinearEqualities(A, B)] * 2, "take"),
            Nasty("contradict", [LinearEqualities(A, B), LinearEqualities(A, B + 1)], "take"),
        ],
        call=stacked,
        check=check_true,
        blames=("parts", "constraints"),
    ),
    *spoiled(
        ConstrainedProblem,
        {},
        "objective",
        [n for n in NOT_NUMBERS],
        call=lambda objective: ConstrainedProblem(objective, LinearEqualities(A, B)),
    ),
    *spoiled(
        ConstrainedProblem,
        {},
        "constraints",
        NOT_NUMBERS,
        call=lambda constraints: ConstrainedProblem(None, constraints),
    ),
    *spoiled(
        ConstrainedProblem,
        {"x0": np.array([1.0, 2.0, 3.0])},
        "x0",
        named(
            vectors(np.array([1.0, 2.0, 3.0])),
            {
                "None": "take",
                "NaN": "either",
                "inf": "either",
                "minus-inf": "either",
                "object": "either",
                "column": "refuse",
                "row": "refuse",
                "deep": "refuse",
            },
        ),
        call=lambda calls, x0: solved(LinearEqualities(A, B), calls, x0),
        check=lambda run: None,
        same=same_kkt,
    ),
    *spoiled(
        ConstrainedProblem,
        {"y0": B},
        "y0",
        named(
            vectors(B),
            {
                "None": "take",
                "NaN": "either",
                "inf": "either",
                "minus-inf": "either",
                "object": "either",
                "column": "refuse",
                "row": "refuse",
                "deep": "refuse",
            },
        ),
        call=lambda calls, y0: solved(LinearEqualities(A, B), calls, X0, y0),
        check=lambda run: None,
        same=same_kkt,
    ),
    *spoiled(AdaSketchNewton, {}, "problem", NOT_NUMBERS, call=minimised),
    *spoiled(
        AdaSketchNewton,
        {},
        "x0",
        named(vectors(np.array([1.0, 2.0, 3.0])), {"None": "take", "NaN": "either"})[:18],
        call=minimised,
        check=check_true,
    ),
    *spoiled(
        AdaSketchNewton,
        {},
        "gtol",
        named(numbers(0, none=True, open_low=False), {"inf": "either"}),
        call=minimised,
        check=lambda run: None,
    ),
    *spoiled(AdaSketchNewton, {}, "norm", words(none=True), call=minimised, check=check_true),
    *spoiled(
        AdaSketchNewton,
        {},
        "maxiter",
        numbers(0, none=True, open_low=False, whole=True),
        call=minimised,
        check=check_true,
    ),
    *spoiled(
        AdaSketchNewton,
        {},
        "maxtime",
        named(numbers(0, none=True), {"inf": "either"}),
        call=minimised,
        check=check_true,
    ),
    *(
        case
        for f in fields(AdaSketchNewton)
        for case in spoiled(
            AdaSketchNewton,
            {},
            f.name,
            [
                Nasty(n, v, "either") if f.type in ("float | None", "str | None") and v is None else Nasty(n, v, d)
                for n, v, d in table_of(AdaSketchNewton, f)
            ],
            call=with_settings,
            check=check_true,
        )
    ),
    *spoiled(AugmentedLagrangian, {}, "eta1", numbers(0), check=bool),
    *spoiled(AugmentedLagrangian, {}, "eta2", numbers(0), check=bool),
    *spoiled(AugmentedLagrangian, {}, "nu", numbers(1), check=bool),
    *spoiled(Fletcher, {}, "rho", numbers(0, open_low=False), check=bool),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case):
    judge(case)
