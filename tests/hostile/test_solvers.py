"""Every field of every solver and curvature model, stop rules, metrics: refused by name, or a run that is true."""

from dataclasses import fields, is_dataclass

import numpy as np
import pytest

import gnsopt
from gnsopt import SOLVERS, GradNormSmooth, Point, Status, curvature, gram_metric, problems
from gnsopt.curvature import merge, resolve
from gnsopt.objective import Callables
from gnsopt.solvers import LeastSquaresLayer, consensus_based, schedules
from gnsopt.stopping import GradientNorm, MaxIterations, MaxTime, Target, gradient_norm
from tests.hostile.judge import Case, assert_run, judge
from tests.hostile.values import (
    COUNTS,
    NOT_CALLABLE,
    NOT_NUMBERS,
    SEEDS,
    Nasty,
    matrices,
    named,
    numbers,
    spoiled,
    vectors,
    words,
)

D = np.array([1.0, 10.0, 100.0])
X0 = np.array([3.0, -2.0, 1.0])
LIMITS = {"gtol": 1e-6, "maxiter": 15}


def bowl(x):
    return 0.5 * float(x @ (D * x)) + 0.25 * float(np.sum(x**4))


def bowl_grad(x):
    return D * x + x**3


def bowl_hess(x):
    return np.diag(D + 3 * x**2)


def run_with(kind):
    """Return a call that minimises the bowl by an instance with the given fields."""

    def call(calls, **settings):
        functions = {"jac": calls.count(bowl_grad), "hess": calls.count(bowl_hess)}
        return gnsopt.minimize(calls.count(bowl), X0, method=kind(**settings), options=LIMITS, **functions)

    return call


def check_run(run):
    """The value and the gradient are those of the bowl."""
    assert_run(run, Callables(bowl, 3, jac=bowl_grad), **LIMITS)


NONE_TOO = named(numbers(), dict.fromkeys(("None",), "either"))
ANYTHING = {
    "curvature": named(words(numbers_too=False), {"class": "either"}),
    "metric": [
        *named(vectors(np.array([1.0, 2.0, 4.0]), one_number=True), {"None": "take", "square": "either"}),
        *(Nasty(n, v, "either") for n, v in (("matrix", np.diag(D)), ("number", 2.0))),
        Nasty("indefinite", np.diag([1.0, -1.0, 1.0])),
        Nasty("asymmetric", np.triu(np.ones((3, 3)))),
        Nasty("singular", np.ones((3, 3))),
        Nasty("matrix-NaN", np.full((3, 3), np.nan)),
        Nasty("zero", 0.0),
        Nasty("minus-one", -1.0),
    ],
    "seed": SEEDS,
    "max_trials": numbers(0, whole=True),
}


def table_of(kind, f):
    """Return the hostile values of a field, by its name or its type; of those that all solvers share a sample."""
    if f.name in ANYTHING:
        return ANYTHING[f.name] if kind is GradNormSmooth else ANYTHING[f.name][::4]
    if f.type == "bool":
        return [Nasty(n, v, "either") for n, v, _ in NOT_NUMBERS]
    if f.type == "str":
        return words()
    if f.type in ("float", "int"):
        return [
            n if n.verdict == "refuse" and n in NOT_NUMBERS else Nasty(n.name, n.value, "either") for n in numbers()
        ]
    callables = ("function", "class") if f.name == "lr" else ()  # a function of the step, which may raise what it likes
    return [Nasty(n, v, "either") for n, v, _ in [*numbers(none=True), *words()] if n not in callables]


def same_run(a, b):
    """A metric in other clothes makes the same steps."""
    np.testing.assert_allclose(a.x, b.x, rtol=1e-9, atol=1e-12)


CASES = [
    case
    for kind in SOLVERS.values()
    for f in fields(kind)
    if f.init
    for case in spoiled(
        kind,
        {"metric": [1.0, 2.0, 4.0]} if f.name == "metric" else {},
        f.name,
        table_of(kind, f),
        call=run_with(kind),
        check=check_run,
        same=same_run,
        early=f.name != "shape",
    )
]

# ------------------------------------------------------------------------------------------------- curvature models

rng = np.random.default_rng(0)
A, B = rng.standard_normal((12, 4)), np.arange(12) % 2
LOGISTIC = gnsopt.Logistic(A, B, l2=0.1)
NETWORK = problems.MLP(A, B, hidden=(2,), l2=0.1)
BANNED = {
    "strategy": NOT_NUMBERS,
    "rows": [n for n in NOT_NUMBERS if n.name not in ("function", "class")],
    "model": words(),
}


def run_model(problem, kind):
    """Return a call that minimises a small problem with a curvature model of the given fields."""

    def call(**settings):
        return gnsopt.minimize(problem, method=GradNormSmooth(curvature=kind(**settings)), options=LIMITS)

    return call


def check_on(problem):
    """Return the check of a run on a problem of the library."""
    return lambda run: assert_run(run, problem, **LIMITS)


MODELS = {
    name: kind
    for name in curvature.__all__
    if is_dataclass(kind := getattr(curvature, name)) and isinstance(kind, type)
}
SOUND = {
    "FromProblem": {"kind": "hess"},
    "Lazy": {"m": 2},
    "RandomSubspace": {"k": 2},
    "Subsampled": {"rows": 0.5},
    "TopK": {"k": 2},
}


def of_model(name, kind):
    """Return the cases of each field of a model."""
    problem = NETWORK if name in ("Kronecker", "MKOR") else LOGISTIC
    for f in fields(kind):
        table = BANNED.get(f.name) or table_of(kind, f)
        if f.type == "str" or f.name == "kind":
            table = [Nasty(n, v, "refuse") for n, v, _ in words()]
        yield from spoiled(
            kind,
            SOUND.get(name, {}),
            f.name,
            table,
            call=run_model(problem, kind),
            check=check_on(problem),
            title=name,
            blames=(f.name, "hess"),
        )


CASES += [case for name, kind in MODELS.items() if name != "lazy" for case in of_model(name, kind)]
CASES += [
    *spoiled(curvature.lazy, {"m": 2}, "m", numbers(0, whole=True), check=bool, title="lazy"),
    *spoiled(
        resolve,
        {},
        "curvature",
        [
            *words(),
            *(
                Nasty(n, n)
                for n in (
                    "exact:",
                    ":cg",
                    "lazy:0",
                    "topk:-1",
                    "topk:1e9x",
                    "sketch:0",
                    "sketch:5:haar",
                    "lazy:2:what",
                    "subsampled:2.5",
                    "subsampled:nan",
                    "mkor:-1",
                    "hutchinson:0",
                    "kfac:x",
                    "adahessian:2",
                    "sophia:nan",
                )
            ),
        ][:14],
        check=bool,
    ),
    *(
        Case(resolve, f"resolve-{text or 'empty'}", lambda calls, text=text: resolve(text), ("curvature",), "refuse")
        for text in (
            ":cg",
            "lazy:0",
            "topk:-1",
            "topk:9x",
            "sketch:0",
            "sketch:5:haar",
            "lazy:2:what",
            "subsampled:2.5",
            "subsampled:nan",
            "mkor:-1",
            "hutchinson:0",
            "kfac:x",
            "adahessian:2",
            "sophia:nan",
            "exact:qr",
            "diagonal:cg:cg",
            "mfac:0",
            "secant:dfp",
            "projected:up",
            "topk:" + "9" * 400,
        )
    ),
]
MERGED = {
    "models": [[1.0, 1.0], [2.0, 2.0]],
    "curvatures": [[1.0, 1.0], [1.0, 3.0]],
    "weights": [1.0, 2.0],
    "shift": 0.0,
}
PAIR = np.array([[1.0, 1.0], [2.0, 2.0]])
CASES += [
    *spoiled(
        merge,
        MERGED,
        "models",
        named(matrices(PAIR, sparse_too=False), dict.fromkeys(("scaled", "csr"), "either")),
        blames=("models", "curvatures", "weights"),
    ),
    *spoiled(merge, MERGED, "weights", named(vectors(np.array([1.0, 2.0])), {"None": "take", "zeros": "refuse"})),
    *spoiled(merge, MERGED, "shift", numbers(0, open_low=False)),
    *(
        Case(
            merge,
            f"merge-curvatures-{n.name}",
            lambda calls, v=n.value: merge(**{**MERGED, "curvatures": v}),
            ("curvatures", "curvatures[0]"),
            "refuse",
        )
        for n in [
            Nasty("None", None),
            Nasty("short", [[1.0, 1.0]]),
            Nasty("NaN", [[np.nan, 1.0], [1.0, 1.0]]),
            Nasty("negative", [[-1.0, 1.0], [1.0, 1.0]]),
            Nasty("words", ["a", "b"]),
            Nasty("complex", [[1j, 1.0], [1.0, 1.0]]),
            Nasty("cube", [np.ones((2, 2, 2)), np.ones(2)]),
            Nasty("number", 3),
        ]
    ),
    *spoiled(
        gram_metric,
        {"A": A},
        "A",
        named(matrices(np.rint(3 * A)), {"row-missing": "either"}),
        check=lambda m: None,
        same=lambda a, b: None,
    ),
    *spoiled(gram_metric, {"A": A}, "delta", numbers(0, open_low=False), check=lambda m: None),
]

# ------------------------------------------------------------------------------------------- stop rules and functions

POINT = Point(LOGISTIC, np.zeros(4))


def run_rule(kind):
    """Return a call that minimises under a stop rule of the given fields."""
    return lambda **settings: gnsopt.minimize(LOGISTIC, method="gns", options={"stop": kind(**settings), **LIMITS})


CASES += [
    *spoiled(
        GradientNorm,
        {"gtol": 1e-6},
        "gtol",
        named(numbers(0, open_low=False), {"inf": "either"}),
        call=run_rule(GradientNorm),
        check=bool,
    ),
    *spoiled(
        GradientNorm, {"gtol": 1e-6}, "norm", named(words(), {"two": "either"}), call=run_rule(GradientNorm), check=bool
    ),
    *spoiled(
        Target,
        {"f_target": 0.0},
        "f_target",
        named(numbers(), {"inf": "either", "minus-inf": "either"}),
        call=run_rule(Target),
        check=bool,
    ),
    *spoiled(
        MaxIterations,
        {"maxiter": 3},
        "maxiter",
        numbers(0, open_low=False, whole=True),
        call=run_rule(MaxIterations),
        check=bool,
    ),
    *spoiled(
        MaxTime, {"maxtime": 3}, "maxtime", named(numbers(0), {"inf": "either"}), call=run_rule(MaxTime), check=bool
    ),
    *spoiled(gradient_norm, {"x": POINT}, "norm", words(numbers_too=True)),
]


def spheres(x):
    with np.errstate(over="ignore"):
        return float(np.sum((x - 1) ** 2))


def consensus(calls, fun=spheres, **settings):
    return consensus_based(
        calls.count(fun) if callable(fun) else fun,
        **{"x0": [0.0, 2.0], "dt": 0.5, "T": 5.0, "particles": 10, **settings},
    )


def check_consensus(found):
    """The point is finite, and the value its own."""
    assert np.isfinite(found.x).all()
    assert found.fun == spheres(found.x)


CASES += [
    *spoiled(consensus_based, {}, "fun", NOT_CALLABLE, call=consensus),
    *spoiled(
        consensus_based,
        {"x0": [0.0, 2.0]},
        "x0",
        named(
            vectors(np.array([0.0, 2.0]), one_number=True), {"short": "either", "long": "either", "object": "either"}
        ),
        call=consensus,
        check=check_consensus,
        same=lambda a, b: None,
        blames=("x0", "particles"),
        early=False,
    ),
    *(
        case
        for name in ("deviation", "drift", "alpha", "dt", "T")
        for case in spoiled(
            consensus_based,
            {},
            name,
            numbers(0),
            call=consensus,
            check=check_consensus,
            blames=(name, "fun", "dt"),
            early=name not in ("deviation", "drift", "dt", "T", "alpha"),
        )
    ),
    *spoiled(
        consensus_based,
        {},
        "noise",
        numbers(0, open_low=False),
        call=consensus,
        check=check_consensus,
        blames=("noise", "fun", "dt"),
        early=False,
    ),
    *spoiled(consensus_based, {}, "particles", numbers(1, whole=True), call=consensus, check=check_consensus),
    *spoiled(consensus_based, {}, "seed", SEEDS, call=consensus, check=check_consensus),
]


def layer(p=(1.0, 2.0), w0=None, **settings):
    """Solve a layer whose solution is known."""
    sound = {"residual": lambda w, p: w - p**2, "jac": lambda w, p: np.eye(2), "n": 2}
    return LeastSquaresLayer(**{**sound, **settings}).solve(p, w0)


def check_layer(run):
    """The solution is stationary."""
    assert np.isfinite(run.x).all() or run.status == Status.NOT_FINITE
    assert not run.success or np.max(np.abs(run.jac)) <= 1e-8


CASES += [
    *spoiled(LeastSquaresLayer, {}, "residual", NOT_CALLABLE, call=layer),
    *spoiled(LeastSquaresLayer, {}, "jac", NOT_CALLABLE, call=layer),
    *spoiled(LeastSquaresLayer, {}, "n", COUNTS, call=layer, check=check_layer, blames=("n", "u", "jac")),
    *spoiled(LeastSquaresLayer, {}, "ridge", numbers(0, open_low=False), call=layer, check=check_layer),
    *spoiled(
        LeastSquaresLayer,
        {},
        "hess",
        [Nasty(n, v, "either" if v is None else d) for n, v, d in NOT_CALLABLE],
        call=layer,
        check=check_layer,
    ),
    *spoiled(
        LeastSquaresLayer,
        {},
        "solver",
        [n for n in NOT_NUMBERS if n.name != "empty-string"],
        call=layer,
        check=check_layer,
    ),
    *spoiled(
        LeastSquaresLayer,
        {"p": [1.0, 2.0]},
        "p",
        named(
            [n for n in vectors(np.array([1.0, 2.0])) if n.name not in ("empty", "long")],
            {"one-number": "either", "one-entry": "either", "short": "either", "long": "either", "square": "either"},
        ),
        call=layer,
        check=check_layer,
        same=same_run,
        blames=("p", "u", "jac"),
    ),
    *spoiled(
        LeastSquaresLayer,
        {"w0": [0.0, 1.0]},
        "w0",
        named(
            vectors(np.array([0.0, 1.0])),
            {"None": "take", "object": "either", "NaN": "either", "inf": "either", "minus-inf": "either"},
        ),
        call=layer,
        check=check_layer,
        same=lambda a, b: None,
        blames=("w0", "x0"),
    ),
    *spoiled(schedules.linear_decay, {"N": 5}, "N", COUNTS),
    *spoiled(schedules.linear_decay, {"N": 5}, "R", numbers(0)),
    *spoiled(schedules.linear_decay, {"N": 5}, "B", numbers(0)),
    *spoiled(
        schedules.from_weights,
        {"w": [1.0, 2.0]},
        "w",
        named(
            vectors(np.array([1.0, 2.0])),
            {"short": "either", "long": "either", "one-entry": "either", "zeros": "refuse", "subnormal": "either"},
        ),
    ),
    *spoiled(
        schedules.bound,
        {"w": [1.0, 2.0], "norms": [1.0, 2.0], "R": 1.0},
        "w",
        vectors(np.array([1.0, 2.0])),
        blames=("w", "norms"),
    ),
    *spoiled(schedules.bound, {"w": [1.0, 2.0], "norms": [1.0, 2.0], "R": 1.0}, "norms", vectors(np.array([1.0, 2.0]))),
    *spoiled(schedules.bound, {"w": [1.0, 2.0], "norms": [1.0, 2.0], "R": 1.0}, "R", numbers(0, open_low=False)),
    *spoiled(
        schedules.refined, {"norms": [1.0, 2.0]}, "norms", named(vectors(np.array([1.0, 2.0])), {"long": "either"})
    ),
    *spoiled(schedules.refined, {"norms": [1.0, 2.0]}, "width", numbers(0, 1, open_low=False)),
    *spoiled(schedules.refined, {"norms": [1.0, 2.0]}, "power", numbers()),
    *spoiled(schedules.cosine_power, {"N": 5}, "N", COUNTS),
    *spoiled(schedules.cosine_power, {"N": 5}, "first", numbers(1e-4, open_low=False)),
    *spoiled(schedules.cosine_power, {"N": 5}, "last", numbers(0, 0.1, open_low=False, open_high=False)),
    *spoiled(schedules.cosine_power, {"N": 5}, "power", numbers(0)),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case):
    judge(case)
