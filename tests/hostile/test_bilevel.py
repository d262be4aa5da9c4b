"""Two levels of which one is broken: an error that names the oracle, or a result whose numbers are true."""

import numpy as np
import pytest

from gnsopt import bilevel
from gnsopt.bilevel import (
    METHODS,
    BilevelProblem,
    Certificate,
    Constants,
    ConstrainedProblem,
    CrossValidation,
    ElasticNet,
    FieldsOfExperts,
    LinearPenalties,
    LogisticPenalties,
    MultiBlock,
    Reweighting,
    RidgePenalties,
    TotalVariation,
    certify,
)
from gnsopt.problems import Logistic
from tests.hostile.judge import Case, judge
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

MAXITER = 6
T0 = np.array([0.5, -1.0])
GOAL = np.array([1.0, 2.0])
QUADRATIC = {
    "n": 2,
    "d": 2,
    "lower": lambda x, t: (float(x @ x) - float(t @ x), 2 * x - t),
    "upper": lambda x, t: (0.5 * float((x - GOAL) @ (x - GOAL)), x - GOAL, None),
    "cross_t": lambda x, t, q: -q,
    "hvp": lambda x, t: 2 * np.eye(2),
    "mu": 2.0,
    "constants": Constants(L=2.0, L_g=1.0, L_H=0.0, L_J=0.0),
    "J_norm": lambda x, t: 1.0,
}


def minimise(calls=None, theta0=T0, method="maid-qn", settings=None, **given):
    """Minimise ``|theta/2 - goal|^2/2``, with an oracle replaced."""
    oracles = {**QUADRATIC, **given}
    if calls is not None:
        oracles = {k: calls.count(v) if callable(v) and not isinstance(v, Constants) else v for k, v in oracles.items()}
    return bilevel.minimize(BilevelProblem(**oracles), theta0, method, **{"maxiter": MAXITER, **(settings or {})})


def assert_quadratic(result):
    """The value, the gradient and the bounds are those of ``|theta/2 - goal|^2/2``."""
    if not np.isfinite(result.theta).all():
        raise AssertionError(result.theta)
    if result.status == "not-finite":
        return
    rest = result.theta / 2 - GOAL
    with np.errstate(over="ignore"):
        f, z = 0.5 * rest @ rest, rest / 2
    if result.status == "budget" and not np.isfinite(result.fun):
        return  # the budget ended before the first value was known
    assert np.isfinite(result.fun) or not np.isfinite(f)
    low, high = result.interval
    slack = 1e-9 * max(1.0, abs(f))
    if result.certified:
        assert low - slack <= f <= high + slack, (low, f, high)
        assert np.linalg.norm(result.hypergradient - z) <= result.error + slack
    if result.status == "stationary":
        assert np.linalg.norm(z) <= 1e-5 + 1e-12 * np.linalg.norm(result.theta), "stationary, and it is not"


def finite(result):
    """What a run with a broken oracle returns is finite, or says so."""
    assert np.isfinite(result.theta).all()
    assert result.status in bilevel.STATUSES
    assert not result.success or np.isfinite(result.fun)


QUIET = {"warns": (UserWarning,)}  # the library says where constants are missing or a bound cannot be had
THETAS = named(vectors(T0, one_number=True), {"object": "either", "one-number": "either", "one-entry": "either"})
CASES = [
    *spoiled(
        bilevel.minimize,
        {"theta0": T0},
        "theta0",
        [n for n in THETAS if n.verdict != "same"],
        call=minimise,
        check=assert_quadratic,
        blames=("theta0", "upper", "lower", "theta"),
        early=False,
        **QUIET,
    ),
    *spoiled(
        bilevel.minimize,
        {"theta0": GOAL},
        "theta0",
        [n for n in vectors(GOAL) if n.verdict == "same" and n.name != "object"],
        call=minimise,
        check=assert_quadratic,
        same=lambda a, b: np.testing.assert_allclose(a.theta, b.theta),
        title="clothes",
        **QUIET,
    ),
    *spoiled(bilevel.minimize, {}, "method", [n for n in words() if n.name != "class"], call=minimise),
    *(
        case
        for option, table in {
            "tol": named(numbers(0, open_low=False), {"inf": "either"}),
            "maxiter": numbers(0, open_low=False, whole=True),
            "maxtime": named(numbers(0, none=True), {"inf": "either"}),
            "maxwork": named(numbers(0, none=True), {"inf": "either"}),
            "callback": [n for n in NOT_NUMBERS if n.name not in ("function", "class")],
            "bounds": [Nasty(n, v) for n, v, _ in NOT_NUMBERS if n not in ("pair", "array")]
            + [
                Nasty("crossed", (1, -1)),
                Nasty("NaN", (np.nan, 1)),
                Nasty("words", ("a", "b")),
                Nasty("three", (0, 1, 2)),
                Nasty("shapes", (np.zeros(3), 1)),
                Nasty("complex-pair", (1j, 2)),
                Nasty("infinite", (-np.inf, np.inf), "take"),
            ],
        }.items()
        for case in spoiled(
            bilevel.minimize,
            {},
            "settings",
            [Nasty(n, {option: v}, d) for n, v, d in table],
            call=minimise,
            check=assert_quadratic if option != "tol" else finite,
            blames=(option,),
            title=option,
            **QUIET,
        )
    ),
    *(
        case
        for name in ("lower", "upper", "cross_t", "hvp")
        for case in spoiled(BilevelProblem, {}, name, [n for n in NOT_CALLABLE if n.name != "None"], call=minimise)
    ),
    *(
        case
        for name in ("hdiag", "lower_theta")
        for case in spoiled(
            BilevelProblem, {}, name, [n for n in NOT_OPTIONALLY_CALLABLE if n.name != "None"], call=minimise
        )
    ),
    *spoiled(
        BilevelProblem,
        {},
        "n",
        [n for n in COUNTS if n.name not in ("True", "int8-1")],
        call=minimise,
        blames=("n", "lower", "upper", "x0", "hvp", "cross_t"),
        early=False,
    ),
    *spoiled(
        BilevelProblem, {}, "d", COUNTS, call=minimise, blames=("d", "theta0", "upper", "lower", "cross_t"), early=False
    ),
    *spoiled(
        BilevelProblem,
        {},
        "mu",
        named(numbers(0, 2, open_high=False, none=True), {"function": "either", "class": "either"}),
        call=minimise,
        check=finite,
        early=False,
        own=(TypeError,),
        **QUIET,
    )[:0],
    *spoiled(
        BilevelProblem,
        {},
        "mu",
        [
            n
            for n in named(numbers(0, 2, open_high=False), {"list": "either"})
            if n.name not in ("function", "class", "None")
        ],
        call=minimise,
        check=assert_quadratic,
        early=False,
        **QUIET,
    ),
    *(
        case
        for name in ("L", "L_g", "L_H", "L_J", "L_gt")
        for case in spoiled(
            Constants,
            {"L": 2.0, "L_g": 1.0, "L_H": 0.0, "L_J": 0.0},
            name,
            numbers(0, open_low=False),
            check=bool,
            blames=(name, "constants"),
        )
    ),
]

# ---------------------------------------------------------------------------------------- oracles that lie or break

BROKEN = {
    "None": None,
    "word": "a",
    "number": 1.0,
    "NaN": np.nan,
    "complex": 1j,
    "object": object(),
    "empty": [],
    "three": np.zeros(3),
    "pair-None": (None, None),
    "pair-words": ("a", "b"),
    "pair-NaN": (np.nan, np.full(2, np.nan)),
    "pair-three": (0.0, np.zeros(3)),
    "pair-complex": (1j, np.ones(2) * 1j),
    "triple-NaN": (0.0, np.full(2, np.nan), None),
    "triple-words": (0.0, ["a", "b"], None),
    "matrix-NaN": np.full((2, 2), np.nan),
    "matrix-three": np.eye(3),
    "strings": np.array(["a", "b"]),
    "ragged": [[1.0], [1.0, 2.0]],
    "dates": np.full(2, np.datetime64("2020-01-01")),
    "objects": np.full(2, None),
}
CASES += [
    Case(
        BilevelProblem,
        f"{name}-returns-{what}",
        lambda calls, name=name, value=value: minimise(**{name: lambda *a: value}),
        (name, "lower", "upper", "mu", "J_norm", "constants"),
        "either"
        if (name in ("hvp", "J_norm") and what in ("number", "NaN", "None"))
        or what == "objects"
        or (name, what) == ("lower", "ragged")
        else "refuse",
        finite,
        early=False,
        warns=(UserWarning,),
    )
    for name in ("lower", "upper", "cross_t", "hvp")
    for what, value in BROKEN.items()
]
FAR = 0.75
LIES = {
    "cross_t-sign": {"cross_t": lambda x, t, q: q},
    "cross_t-zero": {"cross_t": lambda x, t, q: 0 * q},
    "cross_t-huge": {"cross_t": lambda x, t, q: -1e200 * q},
    "hvp-negative": {"hvp": lambda x, t: -2 * np.eye(2)},
    "hvp-asymmetric": {"hvp": lambda x, t: np.array([[2.0, 5.0], [0.0, 2.0]])},
    "hvp-zero": {"hvp": lambda x, t: np.zeros((2, 2))},
    "lower-unbounded": {"lower": lambda x, t: (-float(x @ x), -2 * x)},
    "lower-linear": {"lower": lambda x, t: (float(np.sum(x)), np.ones(2)), "hvp": lambda x, t: np.zeros((2, 2))},
    "lower-sign": {"lower": lambda x, t: (float(x @ x) - float(t @ x), t - 2 * x)},
    "lower-NaN-beyond": {
        "lower": lambda x, t: (np.nan, np.full(2, np.nan)) if t[0] > FAR else QUADRATIC["lower"](x, t)
    },
    "upper-NaN-beyond": {
        "upper": lambda x, t: (np.nan, np.full(2, np.nan), None) if t[0] > FAR else QUADRATIC["upper"](x, t)
    },
    "upper-inf-beyond": {
        "upper": lambda x, t: (np.inf, np.full(2, np.inf), None) if t[0] > FAR else QUADRATIC["upper"](x, t)
    },
    "upper-unbounded": {"upper": lambda x, t: (float(np.sum(x)), np.ones(2), None)},
    "upper-constant": {"upper": lambda x, t: (1.0, np.zeros(2), None)},
    "upper-sign": {"upper": lambda x, t: (QUADRATIC["upper"](x, t)[0], GOAL - x, None)},
    "upper-huge": {"upper": lambda x, t: (1e200 * QUADRATIC["upper"](x, t)[0], 1e200 * (x - GOAL), None)},
    "mu-too-large": {"mu": 2.5},
    "mu-tiny": {"mu": 1e-12},
    "constants-wrong": {"constants": Constants(L=1e-9, L_g=1e-9, L_H=0.0, L_J=0.0)},
    "nothing": {"mu": None, "constants": None, "J_norm": None},
}
CASES += [
    Case(
        bilevel.minimize,
        f"{method}-{lie}",
        lambda calls, method=method, lie=lie: minimise(method=method, settings={"maxwork": 2e4}, **LIES[lie]),
        (
            "mu",
            "lower",
            "upper",
            "hvp",
            "cross_t",
            "constants",
            "J_norm",
            "method",
            "hess",
            "lower_theta",
            "blocks",
            "MultiBlock",
            "hdiag",
            "theta",
        ),
        "either",
        finite,
        early=False,
        warns=(UserWarning,),
    )
    for method in METHODS
    for lie in LIES
]

# --------------------------------------------------------------------------------------------------- ready problems

rng = np.random.default_rng(0)
X, XV = rng.integers(-3, 4, (12, 2)).astype(float), rng.integers(-3, 4, (8, 2)).astype(float)
Y, YV = np.arange(12.0) % 2, np.arange(8.0) % 2
PAIR = {"X_train": X, "y_train": Y, "X_val": XV, "y_val": YV}
IMAGE = rng.integers(0, 3, (6, 6)).astype(float)


def run_of(kind):
    """Return a call that makes a problem and minimises it for a few steps."""

    def call(**given):
        problem = kind(**given)
        low, high = problem.bounds
        return bilevel.minimize(problem, np.clip(np.zeros(problem.d), low, high), maxiter=2, tol=1e-3)

    return call


def same_value(a, b):
    np.testing.assert_allclose(a.fun, b.fun, rtol=1e-6)


def of_pair(kind, extra=None, targets=None):
    """Return the cases of a problem of training and validation sets."""
    good = {**PAIR, **(extra or {})}
    blames = (
        "X_train",
        "X_val",
        "y_train",
        "y_val",
        "X",
        "y",
        "lower",
        "upper",
        "mu",
        "hvp",
        "constants",
        "theta0",
        "bounds",
    )
    for name, value in PAIR.items():
        table = (
            matrices(value)
            if name[0] == "X"
            else targets(value)
            if targets
            else named(vectors(value), {"numbers-as-text": "either", "strings": "either", "dates": "either"})
        )
        table = [
            Nasty(n, v, "either" if name[0] == "y" and (n.startswith("times-") or n in ("subnormal", "zeros")) else d)
            for n, v, d in table
        ]
        yield from spoiled(
            kind,
            good,
            name,
            table,
            call=run_of(kind),
            check=finite,
            same=same_value,
            blames=blames,
            early=False,
            **QUIET,
        )


CASES += [
    *of_pair(LogisticPenalties),
    *of_pair(RidgePenalties),
    *[c for c in of_pair(ElasticNet) if "X_train" in c.name or "y_val" in c.name],
    *[c for c in of_pair(Reweighting) if "X_train" in c.name or "y_val" in c.name],
    *spoiled(RidgePenalties, PAIR, "groups", words(), call=run_of(RidgePenalties), check=finite, **QUIET),
    *spoiled(
        RidgePenalties,
        PAIR,
        "fit_intercept",
        [Nasty(n, v, "either") for n, v, _ in NOT_NUMBERS],
        call=run_of(RidgePenalties),
        check=finite,
        **QUIET,
    ),
    *spoiled(ElasticNet, PAIR, "penalty", words(), call=run_of(ElasticNet), check=finite, **QUIET),
    *spoiled(
        ElasticNet, PAIR, "l2", numbers(0, open_low=False), call=run_of(ElasticNet), check=finite, early=False, **QUIET
    ),
    *spoiled(Reweighting, PAIR, "loss", words(), call=run_of(Reweighting), check=finite, **QUIET),
    *spoiled(Reweighting, PAIR, "weights", words(none=True), call=run_of(Reweighting), check=finite, **QUIET),
    *spoiled(
        Reweighting,
        PAIR,
        "l2",
        numbers(0),
        call=run_of(Reweighting),
        check=finite,
        blames=("l2", "hvp", "constants"),
        **QUIET,
    ),
    *spoiled(
        CrossValidation,
        {"X": X, "y": Y},
        "X",
        matrices(X),
        call=run_of(CrossValidation),
        check=finite,
        same=same_value,
        blames=("X", "y", "folds", "lower", "upper", "hvp", "constants"),
        **QUIET,
    ),
    *spoiled(
        CrossValidation,
        {"X": X, "y": Y},
        "folds",
        numbers(1, 12, whole=True, open_high=False),
        call=run_of(CrossValidation),
        check=finite,
        blames=("folds", "y"),
        **QUIET,
    ),
    *spoiled(CrossValidation, {"X": X, "y": Y}, "loss", words(), call=run_of(CrossValidation), check=finite, **QUIET),
    *spoiled(CrossValidation, {"X": X, "y": Y}, "groups", words(), call=run_of(CrossValidation), check=finite, **QUIET),
    *spoiled(
        CrossValidation,
        {"X": X, "y": Y},
        "seed",
        [Nasty("word", "a"), Nasty("half", 0.5), Nasty("minus-one", -1), Nasty("nan", np.nan)],
        call=run_of(CrossValidation),
        check=finite,
        **QUIET,
    ),
    *spoiled(
        TotalVariation,
        {"clean": IMAGE, "noisy": IMAGE},
        "noisy",
        named(matrices(IMAGE, sparse_too=False), {"object": "either"}),
        call=run_of(TotalVariation),
        check=finite,
        same=same_value,
        blames=("clean", "noisy", "upper", "lower"),
        **QUIET,
    ),
    *spoiled(
        FieldsOfExperts,
        {"clean": IMAGE, "noisy": IMAGE, "filters": 2, "size": 3},
        "clean",
        matrices(IMAGE, sparse_too=False)[:20],
        check=bool,
        same=lambda a, b: None,
        blames=("clean", "noisy"),
    ),
    *spoiled(FieldsOfExperts, {"clean": IMAGE, "noisy": IMAGE, "filters": 2, "size": 3}, "filters", COUNTS, check=bool),
    *spoiled(
        FieldsOfExperts,
        {"clean": IMAGE, "noisy": IMAGE, "filters": 2, "size": 3},
        "size",
        numbers(1, whole=True),
        check=bool,
        blames=("size", "filters", "clean"),
    ),
    *spoiled(
        FieldsOfExperts, {"clean": IMAGE, "noisy": IMAGE, "filters": 2, "size": 3}, "largest", numbers(0), check=bool
    ),
    *spoiled(
        LinearPenalties, {"train": Logistic(X, Y), "validation": Logistic(XV, YV)}, "train", NOT_NUMBERS, check=bool
    ),
    *spoiled(
        LinearPenalties,
        {"train": Logistic(X, Y), "validation": Logistic(XV, YV)},
        "validation",
        [*NOT_NUMBERS, Nasty("other-size", Logistic(np.ones((3, 5)) * [[1], [2], [3]], [0, 1, 0]))],
        check=bool,
        blames=("validation", "train"),
    ),
    *spoiled(
        MultiBlock,
        {},
        "blocks",
        [
            *NOT_NUMBERS,
            Nasty("None", None),
            Nasty("empty", []),
            Nasty("words", ["a"]),
            Nasty("sizes", [BilevelProblem(**QUADRATIC), BilevelProblem(**{**QUADRATIC, "d": 1})]),
        ],
        check=bool,
    ),
    *spoiled(
        ConstrainedProblem,
        {"n": 2, "d": 2},
        "lower_bounds",
        [Nasty(n, v) for n, v, _ in NOT_NUMBERS if n not in ("pair", "array")] + [Nasty("crossed", (1, -1))],
        check=bool,
    ),
    *spoiled(
        ConstrainedProblem, {"n": 2, "d": 2}, "project", [n for n in NOT_CALLABLE if n.name != "None"], check=bool
    ),
    *spoiled(certify, {"problem": BilevelProblem(**QUADRATIC), "theta": T0}, "problem", NOT_NUMBERS, check=bool),
    *spoiled(
        certify,
        {"problem": BilevelProblem(**QUADRATIC), "theta": T0},
        "theta",
        [n for n in THETAS if n.verdict != "same"],
        check=lambda c: None,
        blames=("theta", "lower", "upper"),
    ),
    *spoiled(
        certify,
        {"problem": BilevelProblem(**QUADRATIC), "theta": T0},
        "tol",
        named(numbers(0, open_low=False), {"inf": "either"}),
        check=lambda c: None,
    ),
    *spoiled(
        certify, {"problem": BilevelProblem(**QUADRATIC), "theta": T0}, "lower_solver", words(), check=lambda c: None
    ),
    *spoiled(certify, {"problem": BilevelProblem(**QUADRATIC), "theta": T0}, "linear", words(), check=lambda c: None),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case):
    judge(case)


_ = Certificate
