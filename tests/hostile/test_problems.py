"""Every problem class against hostile data: refused by the name of the argument, or minimised to a true result."""

import numpy as np
import pytest

from gnsopt import problems
from gnsopt.problems import (
    MLP,
    ChebyshevChain,
    Composite,
    CoordinateDifferences,
    LinearModel,
    Logistic,
    LogSumExp,
    MatrixFactorization,
    ModularAddition,
    NonlinearEquations,
    NonlinearRegression,
    NormPower,
    PoissonRegression,
    PolytopeFeasibility,
    PseudoHuber,
    ResidualPower,
    Rosenbrock,
    RosenbrockEquations,
    Separable,
    SmoothMax,
    Softmax,
    Softplus,
    Squared,
    SquaredLoss,
    TabularMDP,
    TwoLayerReLU,
    WorstCaseChain,
    load_nist,
)
from tests.hostile.judge import assert_sound, judge
from tests.hostile.values import (
    COUNTS,
    NOT_CALLABLE,
    NOT_NUMBERS,
    NOT_OPTIONALLY_CALLABLE,
    SEEDS,
    Nasty,
    matrices,
    named,
    numbers,
    spoiled,
    vectors,
    words,
)

rng = np.random.default_rng(0)
X = rng.integers(-3, 4, (8, 3)).astype(float)  # small integers: exact in every dtype
X[0], X[1] = [1, 0, 2], [0, -1, 0]
Y = np.array([0.0, 1, 0, 1, 1, 0, 1, 0])
Y3 = np.array([0.0, 1, 2, 0, 1, 2, 0, 1])
B = np.array([1.0, -2, 0, 3, 1, -1, 2, 0])
U = {"u": lambda x: x * x - 1, "jac": lambda x: np.diag(2 * x), "n": 3}
P = rng.dirichlet(np.ones(3), size=(3, 2))
R = rng.integers(0, 3, (3, 2)).astype(float)

AS_LABELS = {"word", "strings", "numbers-as-text", "dates", "backwards"}  # classes may be called anything


def labels(y):
    """Return hostile labels: whatever can be sorted names a class."""
    softer = {"strings": "refuse", "numbers-as-text": "take", "dates": "refuse", "one-number": "refuse"}
    keep = []
    for name, value, verdict in vectors(y):
        if name.startswith(("times-", "subnormal")):
            verdict = "either"
        keep.append(Nasty(name, value, softer.get(name, verdict)))
    return keep


def flags(table=("word", "list", "nan", "array", "None")):
    """Return what is no truth value."""
    return [Nasty(n, v, "either") for n, v, _ in [*NOT_NUMBERS, Nasty("None", None)] if n in table]


PENALTY = numbers(0, open_low=False, junk=[n for n in NOT_NUMBERS if n.name not in ("list", "no-array")]) + [
    Nasty("list", [1.0], "either"),
    Nasty("no-array", np.array([])),
    Nasty("per-feature", [1.0, 0.0, 2.0], "either"),
    Nasty("per-feature-negative", [1.0, -1.0, 2.0]),
    Nasty("column", np.ones((3, 1))),
]
WEIGHTS = [*vectors(np.ones(8), one_number=True), Nasty("negative", -np.ones(8)), Nasty("nothing", 0.0)]
WEIGHTS += [Nasty("all-zero", np.zeros(8)), Nasty("one-sample", np.eye(8)[0], "either")]
WEIGHTS = [
    Nasty(n, v, "refuse" if n == "zeros" else "either" if n in ("None", "one-number") else d) for n, v, d in WEIGHTS
]


def linear(kind, y, targets):
    """Return the cases of a model of rows and targets."""
    good = {"X": X, "y": y, "l2": 0.1}
    return [
        *spoiled(kind, good, "X", matrices(X)),
        *spoiled(kind, good, "y", targets),
        *spoiled(kind, good, "l2", PENALTY),
        *spoiled(kind, good, "sample_weight", WEIGHTS),
        *spoiled(kind, good, "fit_intercept", flags()),
    ]


RAGGED_B = {"column": "either", "row": "either"}
CASES = [
    *linear(Logistic, Y, labels(Y)),
    *linear(Softmax, Y3, labels(Y3)),
    *linear(SquaredLoss, B, vectors(B)),
    *linear(PoissonRegression, Y3, [*vectors(Y3), Nasty("negative", -Y3), Nasty("halves", Y3 / 2, "either")]),
    *spoiled(
        LinearModel,
        {"X": X, "k": 1, "l2": 0.0, "fit_intercept": False, "sample_weight": None},
        "X",
        named(matrices(X), {"row-missing": "either"}),
        check=lambda m: None,
        same=lambda a, b: None,
    ),
    *spoiled(
        LinearModel,
        {"X": X, "k": 1, "l2": 0.0, "fit_intercept": False, "sample_weight": None},
        "k",
        COUNTS,
        check=lambda m: None,
    ),
    *spoiled(LogSumExp, {"A": X, "b": B}, "A", matrices(X)),
    *spoiled(LogSumExp, {"A": X, "b": B}, "b", vectors(B)),
    *spoiled(LogSumExp, {"A": X, "b": B}, "mu", numbers(0)),
    *spoiled(PolytopeFeasibility, {"A": X, "b": -np.abs(B) - 1}, "A", matrices(X)),
    *spoiled(PolytopeFeasibility, {"A": X, "b": B}, "b", vectors(B)),
    *spoiled(PolytopeFeasibility, {"A": X, "b": B}, "p", numbers(2, open_low=False)),
    *spoiled(ResidualPower, {"A": X, "b": B}, "A", matrices(X)),
    *spoiled(ResidualPower, {"A": X, "b": B}, "b", vectors(B)),
    *spoiled(ResidualPower, {"A": X, "b": B}, "p", numbers(2, open_low=False)),
    *spoiled(MLP, {"X": X, "y": Y3, "hidden": (2,)}, "X", matrices(X)),
    *spoiled(MLP, {"X": X, "y": Y3, "hidden": (2,)}, "y", labels(Y3)),
    *spoiled(
        MLP,
        {"X": X, "y": B, "hidden": (2,), "loss": "squared"},
        "y",
        named(vectors(B), {"square": "either"}),
        title="MLP-squared",
    ),
    *spoiled(
        MLP,
        {"X": X, "y": Y3},
        "hidden",
        numbers(
            0,
            junk=[
                n for n in NOT_NUMBERS if n.name not in ("list", "pair", "no-array", "array", "empty-string", "dict")
            ],
        )
        + [
            Nasty("zero-layer", (0,)),
            Nasty("half-layer", (2.5,)),
            Nasty("negative", (-1,)),
            Nasty("words", ("a",)),
            Nasty("none", (), "either"),
            Nasty("deep", (1,) * 12, "either"),
        ],
    ),
    *spoiled(MLP, {"X": X, "y": Y3, "hidden": (2,)}, "activation", words()),
    *spoiled(MLP, {"X": X, "y": Y3, "hidden": (2,)}, "loss", words()),
    *spoiled(MLP, {"X": X, "y": Y3, "hidden": (2,)}, "l2", numbers(0, open_low=False)),
    *spoiled(MLP, {"X": X, "y": Y3, "hidden": (2,)}, "sample_weight", WEIGHTS),
    *spoiled(MLP, {"X": X, "y": Y3, "hidden": (2,)}, "seed", SEEDS),
    *spoiled(MatrixFactorization, {"X": X, "Y": X[:, :2], "rank": 2}, "X", matrices(X, sparse_too=False)),
    *spoiled(MatrixFactorization, {"X": X, "Y": X[:, :2], "rank": 2}, "Y", matrices(X[:, :2], sparse_too=False)),
    *spoiled(MatrixFactorization, {"X": X, "Y": X[:, :2], "rank": 2}, "rank", COUNTS),
    *spoiled(MatrixFactorization, {"X": X, "Y": X[:, :2], "rank": 2}, "seed", SEEDS),
    *spoiled(TwoLayerReLU, {"X": X, "y": B, "neurons": 2, "beta": 0.1}, "X", matrices(X, sparse_too=False)),
    *spoiled(TwoLayerReLU, {"X": X, "y": B, "neurons": 2, "beta": 0.1}, "y", vectors(B)),
    *spoiled(TwoLayerReLU, {"X": X, "y": B, "neurons": 2, "beta": 0.1}, "neurons", COUNTS),
    *spoiled(TwoLayerReLU, {"X": X, "y": B, "neurons": 2, "beta": 0.1}, "beta", numbers(0, open_low=False)),
    *spoiled(TwoLayerReLU, {"X": X, "y": B, "neurons": 2, "beta": 0.1}, "seed", SEEDS),
    *spoiled(ModularAddition, {"p": 3, "neurons": 2}, "p", numbers(1, whole=True)),
    *spoiled(ModularAddition, {"p": 3, "neurons": 2}, "neurons", COUNTS),
    *spoiled(ModularAddition, {"p": 3, "neurons": 2}, "l2", numbers(0, open_low=False)),
    *spoiled(ModularAddition, {"p": 3, "neurons": 2}, "seed", SEEDS),
    *spoiled(ChebyshevChain, {"n": 3}, "n", COUNTS),
    *spoiled(ChebyshevChain, {"n": 3}, "p", numbers(1, open_low=False)),
    *spoiled(ChebyshevChain, {"n": 3}, "seed", SEEDS),
    *spoiled(WorstCaseChain, {"n": 3}, "n", COUNTS),
    *spoiled(WorstCaseChain, {"n": 3}, "q", numbers(1)),
    *spoiled(Rosenbrock, {}, "a", numbers()),
    *spoiled(Rosenbrock, {}, "b", numbers(0)),
    *spoiled(RosenbrockEquations, {}, "p", numbers(1, open_low=False)),
    *spoiled(RosenbrockEquations, {}, "a", numbers()),
    *spoiled(RosenbrockEquations, {}, "b", numbers(0)),
    *spoiled(NormPower, {}, "p", numbers(1, open_low=False), check=lambda m: None),
    *spoiled(PseudoHuber, {}, "delta", numbers(0), check=lambda m: None),
    *spoiled(SmoothMax, {}, "mu", numbers(0), check=lambda m: None),
    *(
        case
        for kind in (Separable, Squared, Softplus, PseudoHuber)
        for case in spoiled(
            kind,
            {},
            "weight",
            named(numbers(0, open_low=False), {"list": "either", "pair": "either", "array": "either"}),
            check=lambda m: None,
        )
    ),
    *spoiled(NonlinearEquations, U, "u", NOT_CALLABLE),
    *spoiled(NonlinearEquations, U, "jac", NOT_CALLABLE),
    *spoiled(NonlinearEquations, U, "n", COUNTS),
    *spoiled(NonlinearEquations, U, "p", numbers(1, open_low=False)),
    *spoiled(NonlinearEquations, U, "hess_u", NOT_OPTIONALLY_CALLABLE),
    *spoiled(NonlinearEquations, U, "change", NOT_OPTIONALLY_CALLABLE),
    *spoiled(Composite, {"loss": Squared(), **U}, "loss", NOT_CALLABLE),
    *spoiled(Composite, {"loss": Squared(), **U}, "u", NOT_CALLABLE),
    *spoiled(Composite, {"loss": Squared(), **U}, "jac", NOT_CALLABLE),
    *spoiled(Composite, {"loss": Squared(), **U}, "n", COUNTS),
    *spoiled(Composite, {"loss": Squared(), **U}, "outer", words()),
    *spoiled(CoordinateDifferences, {"fun": lambda x: float(x @ x), "n": 3}, "fun", NOT_CALLABLE, check=lambda m: None),
    *spoiled(CoordinateDifferences, {"fun": lambda x: float(x @ x), "n": 3}, "n", COUNTS, check=lambda m: None),
    *spoiled(CoordinateDifferences, {"fun": lambda x: float(x @ x), "n": 3}, "mu", numbers(0), check=lambda m: None),
    *spoiled(CoordinateDifferences, {"fun": lambda x: float(x @ x), "n": 3}, "scheme", words(), check=lambda m: None),
    *spoiled(
        CoordinateDifferences,
        {"fun": lambda x: float(x @ x), "n": 3},
        "mask",
        [Nasty(n, v, "either" if n == "None" else "refuse") for n, v, _ in vectors(np.array([1.0, 0, 1]))],
        check=lambda m: None,
    ),
    *spoiled(
        TabularMDP,
        {"P": P, "r": R},
        "P",
        [
            Nasty("None", None),
            Nasty("word", "a"),
            Nasty("NaN", P * np.nan),
            Nasty("sum", 2 * P),
            Nasty("negative", -P),
            Nasty("flat", P[0]),
            Nasty("complex", P + 0j),
            Nasty("empty", P[:0]),
        ],
    ),
    *spoiled(TabularMDP, {"P": P, "r": R}, "r", matrices(R, sparse_too=False)),
    *spoiled(TabularMDP, {"P": P, "r": R}, "gamma", numbers(0, 1, open_low=False)),
    *spoiled(
        TabularMDP,
        {"P": P, "r": R},
        "rho",
        [
            Nasty("NaN", [np.nan, 1, 0]),
            Nasty("sum", [1.0, 1, 1]),
            Nasty("negative", [2.0, -1, 0]),
            Nasty("short", [1.0]),
            Nasty("word", "a"),
            Nasty("None", None, "take"),
        ],
    ),
    *spoiled(
        load_nist,
        {},
        "name",
        [Nasty(n, v) for n, v, _ in NOT_NUMBERS if n not in ("function", "class")],
        check=lambda m: None,
    ),
]
MODEL = {"model": lambda b, x: b[0] * np.exp(-b[1] * x), "x": np.arange(8.0), "y": B, "b0": [1.0, 0.5]}
CASES += [
    *spoiled(NonlinearRegression, MODEL, "model", NOT_CALLABLE),
    *spoiled(NonlinearRegression, MODEL, "y", [*vectors(B)]),
    *spoiled(
        NonlinearRegression,
        MODEL,
        "b0",
        [n for n in vectors(np.array([1.0, 2.0])) if n.name not in ("short", "long", "one-number", "one-entry")],
    ),
    *spoiled(NonlinearRegression, MODEL, "jac", NOT_OPTIONALLY_CALLABLE),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case):
    judge(case)


_ = (problems, assert_sound)
