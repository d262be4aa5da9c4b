"""Plain functions that break every promise, through both functional doors and every solver of the registry."""

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import rosen, rosen_der, rosen_hess
from scipy.sparse import csr_array

import gnsopt
from gnsopt import SOLVERS, Status
from gnsopt.objective import Callables
from tests.hostile.judge import Case, assert_run, judge
from tests.hostile.values import NOT_CALLABLE, NOT_NUMBERS, Nasty, named, numbers, spoiled, vectors, words

X0 = np.array([-1.2, 1.0])
LIMITS = {"gtol": 1e-6, "maxiter": 40}
METHODS = [*SOLVERS, "auto"]


class Own(Exception):
    """What only the user raises."""


def door(scipys, method, fun, x0, jac, hess, **more):
    """Minimise through one of the two doors."""
    options = {**LIMITS, **more.pop("options", {})}
    if scipys:
        solver = SOLVERS[method]() if method in SOLVERS else gnsopt.GradNormSmooth()
        return scipy.optimize.minimize(fun, x0, jac=jac, hess=hess, method=solver, options=options, **more)
    return gnsopt.minimize(fun, x0, jac=jac, hess=hess, method=method, options=options, **more)


# ------------------------------------------------------------------------------- functions that lie, break or wander


def bowl(x):
    return 0.5 * float(x @ x)


def with_hess(H):
    """Return the bowl with another Hessian."""
    return bowl, lambda x: x.copy(), lambda x: H


def cut(value):
    """Return a bowl that is `value` beyond a short distance of the start."""

    def far(x):
        return np.max(np.abs(x - X0)) > 0.5

    return (
        lambda x: value if far(x) else bowl(x),
        lambda x: np.full(2, value) if far(x) else x.copy(),
        lambda x: np.full((2, 2), value) if far(x) else np.eye(2),
    )


def raising(error):
    """Return a bowl that raises beyond a short distance of the start."""

    def check(x):
        if np.max(np.abs(x - X0)) > 0.5:
            raise error

    def fun(x):
        check(x)
        return bowl(x)

    return fun, lambda x: x.copy(), lambda x: np.eye(2)


def quadratic(*d):
    """Return ``sum d_i x_i^2 / 2``."""
    D = np.array(d)
    return lambda x: 0.5 * float(x @ (D * x)), lambda x: D * x, lambda x: np.diag(D)


FUNCTIONS = {
    "rosenbrock": (rosen, rosen_der, rosen_hess),
    "gradient-sign-wrong": (bowl, lambda x: -x, lambda x: np.eye(2)),
    "gradient-zero": (bowl, lambda x: np.zeros(2), lambda x: np.eye(2)),
    "gradient-scaled": (bowl, lambda x: 1e6 * x, lambda x: np.eye(2)),
    "gradient-tiny": (bowl, lambda x: 1e-6 * x, lambda x: np.eye(2)),
    "gradient-turned": (bowl, lambda x: np.array([x[1], -x[0]]), lambda x: np.eye(2)),
    "gradient-integer": (bowl, lambda x: np.rint(x).astype(int), lambda x: np.eye(2)),
    "gradient-float32": (bowl, lambda x: x.astype(np.float32), lambda x: np.eye(2)),
    "gradient-list": (bowl, lambda x: [float(x[0]), float(x[1])], lambda x: [[1.0, 0.0], [0.0, 1.0]]),
    "gradient-column": (bowl, lambda x: x[:, None], lambda x: np.eye(2)),
    "hess-zero": with_hess(np.zeros((2, 2))),
    "hess-negative": with_hess(-np.eye(2)),
    "hess-indefinite": with_hess(np.diag([1.0, -1.0])),
    "hess-asymmetric": with_hess(np.array([[1.0, 100.0], [0.0, 1.0]])),
    "hess-skew": with_hess(np.array([[0.0, 1.0], [-1.0, 0.0]])),
    "hess-huge": with_hess(1e300 * np.eye(2)),
    "hess-tiny": with_hess(1e-300 * np.eye(2)),
    "hess-mixed": with_hess(np.diag([1e300, 1e-300])),
    "hess-NaN": with_hess(np.full((2, 2), np.nan)),
    "hess-inf": with_hess(np.full((2, 2), np.inf)),
    "hess-one-NaN": with_hess(np.array([[1.0, np.nan], [np.nan, 1.0]])),
    "hess-sparse": with_hess(csr_array(np.eye(2))),
    "hess-int8": with_hess(np.eye(2, dtype=np.int8)),
    "hess-float16": with_hess(np.eye(2, dtype=np.float16)),
    "hess-read-only": with_hess(np.broadcast_to(1.0, (2, 2))),
    "hess-fortran": with_hess(np.asfortranarray(np.array([[2.0, 1.0], [1.0, 2.0]]))),
    "hess-ones": with_hess(np.ones((2, 2))),
    "NaN-beyond": cut(np.nan),
    "inf-beyond": cut(np.inf),
    "minus-inf-beyond": cut(-np.inf),
    "ValueError-beyond": raising(ValueError("outside")),
    "ZeroDivisionError-beyond": raising(ZeroDivisionError("outside")),
    "OverflowError-beyond": raising(OverflowError("outside")),
    "LinAlgError-beyond": raising(np.linalg.LinAlgError("outside")),
    "NaN-everywhere": (lambda x: np.nan, lambda x: np.full(2, np.nan), lambda x: np.eye(2)),
    "gradient-NaN": (bowl, lambda x: np.full(2, np.nan), lambda x: np.eye(2)),
    "unbounded-linear": (lambda x: float(np.sum(x)), lambda x: np.ones(2), lambda x: np.zeros((2, 2))),
    "unbounded-quadratic": quadratic(-1.0, -1.0),
    "saddle": quadratic(1.0, -1.0),
    "unbounded-cubic": (lambda x: float(np.sum(x**3)), lambda x: 3 * x**2, lambda x: np.diag(6 * x)),
    "unbounded-exponential": (
        lambda x: -float(np.exp(np.clip(x[0], None, 700)) + x[1]),
        lambda x: np.array([-np.exp(np.clip(x[0], None, 700)), -1.0]),
        lambda x: np.diag([-np.exp(np.clip(x[0], None, 700)), 0.0]),
    ),
    "falls-for-ever": (
        lambda x: float(np.exp(-x[0])),
        lambda x: np.array([-np.exp(-x[0]), 0.0]),
        lambda x: np.diag([np.exp(-x[0]), 0.0]),
    ),
    "constant": (lambda x: 1.0, lambda x: np.zeros(2), lambda x: np.zeros((2, 2))),
    "steps": (lambda x: float(np.floor(x @ x)), lambda x: 2 * x, lambda x: 2 * np.eye(2)),
    "signs": (lambda x: float(np.sum(np.sign(x))), lambda x: np.ones(2), lambda x: np.eye(2)),
    "kink": (lambda x: float(np.sum(np.abs(x))), lambda x: np.sign(x), lambda x: np.zeros((2, 2))),
    "corner": (
        lambda x: float(np.max(np.abs(x))),
        lambda x: np.sign(x) * (np.abs(x) == np.max(np.abs(x))),
        lambda x: np.zeros((2, 2)),
    ),
    "root": (
        lambda x: float(np.sum(np.sqrt(np.abs(x)))),
        lambda x: np.sign(x) / (2 * np.sqrt(np.abs(x) + 1e-300)),
        lambda x: -np.diag(0.25 * (np.abs(x) + 1e-10) ** -1.5),
    ),
    "flat-quartic": (lambda x: float(np.sum(x**4)), lambda x: 4 * x**3, lambda x: np.diag(12 * x**2)),
    "ill-conditioned": quadratic(1e12, 1e-12),
    "huge": (lambda x: 1e250 * bowl(x), lambda x: 1e250 * x, lambda x: 1e250 * np.eye(2)),
    "tiny": (lambda x: 1e-250 * bowl(x), lambda x: 1e-250 * x, lambda x: 1e-250 * np.eye(2)),
    "offset": (lambda x: 1e15 + bowl(x), lambda x: x.copy(), lambda x: np.eye(2)),
    "log-barrier": (
        lambda x: -float(np.log(x[0] + 2) + np.log(2 - x[0])) + x[1] ** 2 if abs(x[0]) < 2 else np.nan,
        lambda x: np.array([-1 / (x[0] + 2) + 1 / (2 - x[0]), 2 * x[1]]),
        lambda x: np.diag([(x[0] + 2) ** -2 + (2 - x[0]) ** -2, 2.0]),
    ),
    "value-is-integer": (lambda x: int(np.rint(1e6 * bowl(x))), lambda x: 1e6 * x, lambda x: 1e6 * np.eye(2)),
    "value-is-bool": (lambda x: bool(x[0] > 0), lambda x: np.zeros(2), lambda x: np.zeros((2, 2))),
    "value-is-array": (lambda x: np.array([[bowl(x)]]), lambda x: x.copy(), lambda x: np.eye(2)),
    "value-is-float16": (lambda x: np.float16(bowl(x)), lambda x: x.copy(), lambda x: np.eye(2)),
    "value-is-longdouble": (lambda x: np.longdouble(bowl(x)), lambda x: x.copy(), lambda x: np.eye(2)),
}
NOISY = {"value-is-float16", "steps", "signs"}


def run_case(name, method, scipys, derivatives):
    """Return the case of a function, a method and a door."""
    fun, jac, hess = FUNCTIONS[name]
    jac, hess = jac if derivatives > 0 else None, hess if derivatives > 1 else None

    def call(calls):
        return door(
            scipys, method, calls.count(fun), X0, calls.count(jac) if jac else None, calls.count(hess) if hess else None
        )

    def check(run):
        assert_run(run, Callables(fun, 2, jac=jac, hess=hess), **LIMITS)

    title = f"{'scipy' if scipys else 'gnsopt'}-{method}-{name}-{('values', 'gradients', 'hessians')[derivatives]}"
    return Case(
        scipy.optimize.minimize if scipys else gnsopt.minimize,
        title,
        call,
        ("hess", "jac", "fun"),
        "take",
        check,
        early=False,
    )


CASES = [run_case(name, method, False, 2) for name in FUNCTIONS for method in METHODS]
CASES += [run_case(name, method, True, 1) for name in FUNCTIONS for method in ("gns", "cubic-newton", "gradient")]
CASES += [run_case(name, "auto", False, 0) for name in FUNCTIONS]


# ------------------------------------------------------------------------------------------- what functions give back

WRONG = {
    "None": None,
    "word": "low",
    "complex": 1j,
    "object": object(),
    "dict": {},
    "empty": [],
    "three": np.ones(3),
    "ragged": [[1.0], [1.0, 2.0]],
    "strings": np.array(["a", "b"]),
    "complex-pair": np.array([1j, 1.0]),
    "objects": np.array([None, 1.0], dtype=object),
    "date": np.datetime64("2020-01-01"),
    "cube": np.ones((2, 2, 2)),
    "function": len,
    "masked": np.ma.masked_array([1.0, 2.0], mask=[True, False]),
}
SQUARE = {
    "complex-square": np.eye(2) * 1j,
    "strings-square": np.full((2, 2), "a"),
    "objects-square": np.full((2, 2), object()),
    "masked-square": np.ma.masked_array(np.eye(2), mask=[[True, False], [False, False]]),
    "sparse-complex": csr_array(1j * np.eye(2)),
    "sparse-three": csr_array(np.eye(3)),
}


def returning(which, value, scipys, method):
    """Return a case whose function `which` returns a wrong thing at once."""

    def call(calls):
        functions = {"fun": rosen, "jac": rosen_der, "hess": rosen_hess, which: lambda x, *v: value}
        hessp = functions.pop("hessp", None)
        if hessp is not None:
            functions["hess"] = None
        return door(scipys, method, x0=X0, **functions, **({"hessp": hessp} if hessp is not None else {}))

    return call


CASES += [
    Case(
        scipy.optimize.minimize if scipys else gnsopt.minimize,
        f"{'scipy' if scipys else 'gnsopt'}-{method}-{which}-returns-{name}",
        returning(which, value, scipys, method),
        (which,),
        "either" if name == "objects" else "refuse",
        early=False,
    )
    for which in ("fun", "jac", "hess", "hessp")
    for name, value in (WRONG | SQUARE if which == "hess" else WRONG).items()
    for scipys, method in ((False, "auto"), (True, "gns"), (False, "cubic-newton"))
]

# ------------------------------------------------------------------------------------------------------- the arguments


def counted(calls, **given):
    """Minimise Rosenbrock's function with one argument replaced."""
    sound = {"x0": X0, "jac": calls.count(rosen_der), "hess": calls.count(rosen_hess), "options": LIMITS}
    fun = given.pop("problem_or_fun", calls.count(rosen))
    return gnsopt.minimize(fun, **{**sound, **given})


def counted_scipy(calls, **given):
    """Minimise through SciPy with one argument replaced."""
    sound = {"x0": X0, "jac": calls.count(rosen_der), "hess": calls.count(rosen_hess), "options": LIMITS}
    return scipy.optimize.minimize(calls.count(rosen), **{"method": gnsopt.GradNormSmooth(), **sound, **given})


def with_tol(door):
    """Return a door that leaves the tolerance to ``tol``."""
    return lambda calls, **given: door(calls, **{"options": {"maxiter": 40}, **given})


def check_rosen(run):
    """The run on Rosenbrock's function is true."""
    assert_run(run, Callables(rosen, 2, jac=rosen_der), **LIMITS)


def same_point(a, b):
    """Two runs end at the same point."""
    np.testing.assert_array_equal(a.x, b.x)


START = np.array([-1.0, 2.0])
STARTS = named(
    vectors(START),
    {
        "short": "either",
        "long": "either",
        "one-entry": "either",
        "NaN": "either",
        "inf": "either",
        "minus-inf": "either",
        "object": "either",
        "one-number": "either",
        "deep": "refuse",
        "column": "refuse",
        "row": "refuse",
    },
)
STARTS = [
    n for n in STARTS if n.name not in ("one-number", "one-entry", "short", "long")
]  # another problem: the user's functions decide
DERIVATIVES = [n for n in NOT_CALLABLE if n.name not in ("None", "word")] + [
    Nasty("4-point", "4-point"),
    Nasty("complex", 1j),
]
TOLERANCES = named(numbers(0, open_low=False), {"inf": "either", "None": "take"})
OPTIONS = [
    Nasty("word", "a"),
    Nasty("list", [1]),
    Nasty("number", 3),
    Nasty("pairs", [("gtol", 1e-3)], "either"),
    Nasty("unknown", {"gtoll": 1}),
    Nasty("key-number", {3: 1}),
    Nasty("key-None", {None: 1}),
    Nasty("None", None, "take"),
    Nasty("empty", {}, "take"),
]
JUNK = [
    n for n in NOT_NUMBERS if n.name not in ("list", "function", "class", "no-array", "empty-string", "dict", "bytes")
]
CASES += [
    *spoiled(gnsopt.minimize, {}, "problem_or_fun", NOT_CALLABLE, call=counted),
    *spoiled(gnsopt.minimize, {"x0": START}, "x0", STARTS, call=counted, check=check_rosen, same=same_point),
    *spoiled(gnsopt.minimize, {}, "method", [n for n in words() if n.name != "class"], call=counted),
    *spoiled(
        gnsopt.minimize,
        {},
        "method",
        [Nasty("int-class", int), Nasty("dict-class", dict), Nasty("instance", object())],
        call=counted,
        title="class",
    ),
    *spoiled(gnsopt.minimize, {}, "jac", DERIVATIVES, call=counted),
    *spoiled(gnsopt.minimize, {}, "hess", DERIVATIVES, call=counted),
    *spoiled(gnsopt.minimize, {}, "hessp", [*DERIVATIVES, Nasty("word", "2-point")], call=counted),
    *spoiled(gnsopt.minimize, {}, "callback", DERIVATIVES, call=counted),
    *spoiled(
        gnsopt.minimize, {}, "tol", TOLERANCES, call=with_tol(counted), check=lambda run: None, blames=("tol", "gtol")
    ),
    *spoiled(gnsopt.minimize, {}, "options", OPTIONS, call=counted),
    *spoiled(
        gnsopt.minimize,
        {},
        "constraints",
        [
            *JUNK,
            Nasty("list", [3]),
            Nasty("dict", {"type": "eq"}),
            Nasty("inequality", {"type": "ineq", "fun": rosen}),
            Nasty("no-type", {"fun": rosen}),
            Nasty("bad-key", {"type": "eq", "fun": rosen, "gradient": 3}),
        ],
        call=counted,
    ),
    *spoiled(
        gnsopt.minimize,
        {},
        "bounds",
        [
            *JUNK,
            Nasty("list", [3]),
            Nasty("one", [(0, 1)]),
            Nasty("words", [("a", "b")] * 2),
            Nasty("crossed", [(1, 0)] * 2),
            Nasty("NaN", [(np.nan, 0)] * 2),
            Nasty("triples", [(0, 1, 2)] * 2),
        ],
        call=counted,
    ),
    *spoiled(
        scipy.optimize.minimize,
        {"x0": START},
        "x0",
        [n for n in STARTS if n.verdict == "same"],
        call=counted_scipy,
        check=check_rosen,
        same=same_point,
        title="scipy",
    ),
    *spoiled(
        scipy.optimize.minimize,
        {},
        "tol",
        TOLERANCES,
        call=with_tol(counted_scipy),
        check=lambda run: None,
        blames=("tol", "gtol"),
        title="scipy",
    ),
]
RUN_OPTIONS = {
    "gtol": named(numbers(0, open_low=False), {"inf": "either"}),
    "norm": [*words(numbers_too=True), *named(numbers(1, open_low=False), {"inf": "either"})],
    "f_target": named(numbers(none=True), {"inf": "either", "minus-inf": "either"}),
    "maxiter": numbers(0, open_low=False, whole=True),
    "maxtime": named(numbers(0, none=True), {"inf": "either"}),
    "stop": [n for n in NOT_NUMBERS if n.name != "nan"] + [Nasty("nan", np.nan)],
    "keep_x": [Nasty(n, v, "either") for n, v, _ in NOT_NUMBERS],
    "disp": [Nasty(n, v, "either") for n, v, _ in NOT_NUMBERS if n in ("None", "no-array", "empty-string", "array")],
}
for title, subject, run in (("gnsopt", gnsopt.minimize, counted), ("scipy", scipy.optimize.minimize, counted_scipy)):
    for option, table in RUN_OPTIONS.items():
        rows = [Nasty(n, {**LIMITS, option: v}, d) for n, v, d in table]
        CASES += spoiled(
            subject, {}, "options", rows, call=run, check=lambda run: None, blames=(option,), title=f"{title}-{option}"
        )

# ------------------------------------------------------------------------------------------------------- callbacks


def throwing(error):
    """Return a callback that raises at the third point."""
    seen = []

    def callback(xk):
        seen.append(xk.copy())
        xk[:] = np.nan  # it is the callback's own copy
        if len(seen) == 3:
            raise error

    return callback


def stopped(status):
    """Return the check of a run that a callback ended."""

    def check(run):
        check_rosen(run)
        assert (run.status, run.success, run.nit) == (status, False, 3)

    return check


CASES += [
    Case(
        scipy.optimize.minimize if scipys else gnsopt.minimize,
        f"{'scipy' if scipys else 'gnsopt'}-{method}-callback-raises-{kind.__name__}",
        lambda calls, s=scipys, m=method, kind=kind: door(
            s, m, rosen, X0, rosen_der, rosen_hess, callback=throwing(kind("stop"))
        ),
        verdict="take",
        check=stopped(Status.CALLBACK if kind is StopIteration else Status.INTERRUPTED),
        own=(ValueError, Own, ZeroDivisionError, MemoryError) if kind not in (StopIteration, KeyboardInterrupt) else (),
    )
    for kind in (StopIteration, KeyboardInterrupt, ValueError, ZeroDivisionError, MemoryError, Own)
    for scipys, method in ((False, "gns"), (False, "cubic-newton"), (False, "gradient"), (True, "gns"), (True, "adam"))
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case):
    judge(case)


@pytest.mark.parametrize("kind", [ValueError, ZeroDivisionError, KeyboardInterrupt, Own])
def test_what_a_callback_raises_is_what_scipy_raises(kind):
    """An error comes out of both; Ctrl-C, which SciPy loses the run by, leaves the best point here."""
    for method in (None, gnsopt.GradNormSmooth()):
        if kind is KeyboardInterrupt and method is not None:
            continue
        with pytest.raises(kind, match="stop"):
            scipy.optimize.minimize(rosen, X0, jac=rosen_der, callback=throwing(kind("stop")), method=method)


# --------------------------------------------------------------------------------------------------------- hypothesis

ENTRIES = st.floats(-1e6, 1e6) | st.sampled_from([0.0, 1e-300, -1e300, 1e150, np.nan, np.inf, -np.inf])


@given(
    st.lists(ENTRIES, min_size=4, max_size=4),
    st.lists(ENTRIES, min_size=2, max_size=2),
    st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=2),
    st.sampled_from(sorted(SOLVERS)),
)
def test_any_quadratic(H, g, x0, method):
    """Whatever the matrix and the slope: a status, and numbers that are those of the functions."""
    H, g = np.array(H).reshape(2, 2), np.array(g)

    def quiet(function):
        def call(x):
            with np.errstate(all="ignore"):
                return function(x)

        return call

    fun = quiet(lambda x: 0.5 * float(x @ (H @ x)) + float(g @ x))
    jac = quiet(lambda x: (H + H.T) @ x / 2 + g)

    def hess(x):
        return (H + H.T) / 2

    def call(calls):
        return gnsopt.minimize(calls.count(fun), x0, jac=jac, hess=hess, method=method, options=LIMITS)

    def check(run):
        assert_run(run, Callables(fun, 2, jac=jac, hess=hess), **LIMITS)

    name = f"{method}-{H.tolist()}-{g.tolist()}-{x0}"
    judge(Case(gnsopt.minimize, name, call, ("hess",), "take", check, early=False))
